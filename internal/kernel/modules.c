/* modules.c: which C modules were loaded, and does one of them forbid to finalise the interpreter? The audit event "import"
 * tells of each, since sys.modules can be edited. */
#include "compat.h"

#include "kernel.h"

#include <stdio.h>
#include <string.h>

/* C modules that an interpreter can be finalised with and initialised again, 200 times, with neither a crash nor more
 * than 1 KB lost each time, and that work afterwards; and since when. */
static const struct {
    const char *name;
    int since; /* 0x030B: 3.11 */
} sound[] = {
    {"_bisect", 0x030B},      {"_blake2", 0x030B},    {"_csv", 0x030B},      {"_hashlib", 0x030B},
    {"_heapq", 0x030B},       {"_json", 0x030B},      {"_md5", 0x030B},      {"_opcode", 0x030B},
    {"_pickle", 0x030B},      {"_posixsubprocess", 0x030B}, {"_random", 0x030B}, {"_sha1", 0x030B},
    {"_sha2", 0x030B},        {"_sha256", 0x030B},    {"_sha3", 0x030B},     {"_sha512", 0x030B},
    {"_sqlite3", 0x030B},     {"_statistics", 0x030B}, {"_struct", 0x030B},  {"_typing", 0x030B},
    {"_uuid", 0x030B},        {"array", 0x030B},      {"binascii", 0x030B},  {"fcntl", 0x030B},
    {"math", 0x030B},         {"pyexpat", 0x030B},    {"_elementtree", 0x030B}, {"select", 0x030B},
    {"unicodedata", 0x030E},  {"zlib", 0x030B},       {"_ast", 0x030B},      {"atexit", 0x030B},
    {"_datetime", 0x030E},    {"_decimal", 0x030E},   {"_asyncio", 0x030E},  {"_contextvars", 0x030B},
    {"_socket", 0x030E},      {"_ssl", 0x030E},       {"_interpreters", 0x030E}, {"_opcode_metadata", 0x030E},
    {"_suggestions", 0x030E}, {"_collections", 0x030E}, {"_functools", 0x030E},  {"_locale", 0x030E},
    {"_operator", 0x030E},   {"_queue", 0x030E},      {"_string", 0x030E},     {"_weakref", 0x030E},
    {"_zoneinfo", 0x030E},   {"errno", 0x030E},       {"grp", 0x030E},         {"itertools", 0x030E},
    {"pwd", 0x030E},         {"time", 0x030E},        {"_math_integer", 0x030F},
};

static bool
is_builtin(const char *name)
{
    for (struct _inittab *t = PyImport_Inittab; t != NULL && t->name != NULL; t++) {
        if (strcmp(t->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_sound(const char *name)
{
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        if (strcmp(sound[i].name, name) == 0) {
            return PYEXEC_PYTHON_SINCE(sound[i].since);
        }
    }
    return false;
}

/* A built-in one that must not be loaded twice: its audit event comes before importlib is asked. */
bool
pyexec_is_unsound_builtin(PyObject *name)
{
    const char *s = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    PyErr_Clear();
    return s != NULL && is_builtin(s) && !is_sound(s);
}

void
pyexec_saw_import(pyexec_kernel *k, PyObject *args)
{
    k->confine.imported = true;
    if (!k->started || !PyTuple_Check(args) || PyTuple_GET_SIZE(args) < 2) {
        return;
    }
    PyObject *module = PyTuple_GET_ITEM(args, 0), *file = PyTuple_GET_ITEM(args, 1); /* borrowed */
    const char *name = PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : NULL;
    if (name == NULL) {
        PyErr_Clear();
        name = "a module with a strange name";
    }
    const char *path = PyUnicode_Check(file) ? PyUnicode_AsUTF8(file) : "";
    PyErr_Clear();
    bool ours = path != NULL && strstr(path, "/lib-dynload/") != NULL; /* of the standard library */
    if ((file != Py_None && !(ours && is_sound(name))) || (is_builtin(name) && !is_sound(name))) {
        k->natives++;
        if (k->pinned[0] == '\0') {
            snprintf(k->pinned, sizeof k->pinned, "%s", name);
        }
    }
}
