/* confine_names.c: which names confined code may use (confine.c has the argument): of builtins, of attributes and of
 * modules. A name belongs here if what it stands for cannot be changed, and gives nothing of which that is not true. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

/* ---- the lists ---- */

static const char *const builtins_listed[] = {
    "Ellipsis", "NotImplemented", "abs", "all", "any", "ascii", "bin", "bool", "bytearray", "bytes", "callable", "chr",
    "classmethod", "complex", "dict", "divmod", "enumerate", "filter", "float", "format", "frozenset", "hash", "hex", "id",
    "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "object", "oct", "ord", "pow",
    "print", "property", "range", "repr", "reversed", "round", "set", "slice", "sorted", "staticmethod", "str", "sum",
    "super", "tuple", "type", "zip",
    /* exceptions; not the groups: ExceptionGroup can be changed */
    "ArithmeticError", "AssertionError", "AttributeError", "BaseException", "BufferError", "EOFError", "Exception",
    "FileExistsError", "FileNotFoundError", "FloatingPointError", "GeneratorExit", "IOError", "ImportError", "IndexError",
    "KeyError", "KeyboardInterrupt", "LookupError", "ModuleNotFoundError", "NameError", "NotImplementedError",
    "OSError", "OverflowError", "PermissionError", "RecursionError", "ReferenceError", "RuntimeError", "StopIteration",
    "SyntaxError", "SystemError", "SystemExit", "TimeoutError", "TypeError", "UnboundLocalError", "UnicodeDecodeError",
    "UnicodeEncodeError", "UnicodeError", "ValueError", "ZeroDivisionError",
};

/* Attributes that types made in C have: of data, of exceptions, generators, properties and the types of the modules below.
 * Those at the end belong to types that are out of reach, and are often the names of something else. */
static const char *const attributes_listed[] = {
    "add", "add_note", "append", "args", "as_integer_ratio", "bit_count", "bit_length", "capitalize", "casefold",
    "center", "clear", "code", "conjugate", "copy", "count", "decode", "deleter", "denominator", "difference",
    "difference_update", "discard", "encode", "encoding", "end", "end_lineno", "end_offset", "endswith", "errno",
    "expandtabs", "extend", "filename", "filename2", "find", "from_bytes", "fromhex", "fromkeys", "get", "getter", "hex",
    "imag", "index", "indices", "insert", "intersection", "intersection_update", "is_integer", "isalnum", "isalpha",
    "isascii", "isdecimal", "isdigit", "isdisjoint", "isidentifier", "islower", "isnumeric", "isprintable", "isspace",
    "issubset", "issuperset", "istitle", "isupper", "items", "join", "keys", "lineno", "ljust", "lower", "lstrip",
    "maketrans", "msg", "name", "numerator", "offset", "partition", "path", "pop", "popitem", "real", "reason",
    "remove", "removeprefix", "removesuffix", "replace", "reverse", "rfind", "rindex", "rjust", "rpartition", "rsplit",
    "rstrip", "setdefault", "setter", "sort", "split", "splitlines", "start", "startswith", "step", "stop", "strerror",
    "strip", "swapcase", "symmetric_difference", "symmetric_difference_update", "text", "title", "to_bytes",
    "translate", "union", "update", "upper", "value", "values", "with_traceback", "zfill",
    "close", "send", "throw",
    "astimezone", "combine", "ctime", "date", "day", "days", "dst", "fold", "fromisocalendar", "fromisoformat", "fromordinal",
    "fromtimestamp", "hour", "isocalendar", "isoformat", "isoweekday", "microsecond", "microseconds", "minute", "month",
    "now", "resolution", "second", "seconds", "strftime", "time", "timestamp", "timetuple", "timetz", "today", "toordinal",
    "total_seconds", "tzinfo", "tzname", "utc", "utcfromtimestamp", "utcnow", "utcoffset", "utctimetuple", "week", "weekday",
    "year",
    "appendleft", "default_factory", "extendleft", "from_iterable", "maxlen", "move_to_end", "popleft", "rotate",
    "children", "closed", "debug", "delete", "errors", "flush", "id", "lock", "max", "message", "min", "mode", "nested",
    "object", "quiet", "read", "readline", "release", "reset", "run", "set", "shape", "size", "symbols", "type", "verbose",
    "version", "width", "write",
};

/* Of these only what the type's own machinery does on the snippet's own objects can be had. */
static const char *const dunders_listed[] = {
    "__abs__", "__add__", "__and__", "__bool__", "__call__", "__contains__", "__delitem__", "__divmod__", "__doc__",
    "__enter__", "__eq__", "__exit__", "__float__", "__floordiv__", "__format__", "__ge__", "__getitem__", "__gt__",
    "__hash__", "__init__", "__int__", "__iter__", "__le__", "__len__", "__lt__", "__mod__", "__mul__", "__name__",
    "__ne__", "__neg__", "__new__", "__next__", "__or__", "__pow__", "__qualname__", "__radd__", "__repr__",
    "__reversed__", "__rmul__", "__round__", "__rsub__", "__setitem__", "__str__", "__sub__", "__truediv__", "__xor__",
};

/* What a module's top level may bind of __names__: nothing that the interpreter looks up in a namespace. */
static const char *const module_dunders_listed[] = {
    "__all__", "__annotate__", "__annotations__", "__author__", "__conditional_annotations__", "__doc__", "__version__",
};

const pyexec_open_module pyexec_open_modules[] = {
    {"bisect", true, NULL, NULL, NULL},
    {"cmath", true, NULL, NULL, NULL},
    {"collections", false, " OrderedDict defaultdict deque ", NULL, NULL},
    {"datetime", false, " MAXYEAR MINYEAR date datetime time timedelta timezone tzinfo ", NULL, NULL},
    {"functools", false, " cmp_to_key partial reduce ", NULL, NULL},
    {"heapq", true, " heapify heappop heappush heappushpop heapreplace ", NULL, NULL},
    {"itertools", false, NULL, NULL, NULL},
    {"json", false, " ", " dumps loads ", " JSONDecodeError "},
    {"math", true, NULL, NULL, NULL},
    {"operator", false,
     " abs add and_ concat contains countOf eq floordiv ge getitem gt index indexOf inv invert is_ is_not itemgetter le lt "
     "mod mul ne neg not_ or_ pos pow setitem sub truediv truth xor ", NULL, NULL},
    {"string", true, NULL, NULL, NULL},
    {"time", true, " monotonic monotonic_ns perf_counter perf_counter_ns process_time sleep time time_ns ", NULL, NULL},
};

enum { NMODULES = sizeof pyexec_open_modules / sizeof *pyexec_open_modules };
#define IS_LISTED(name, list) is_in(name, list, sizeof(list) / sizeof *(list))

static bool
is_in(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool
has_word(const char *words /* may be NULL */, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; p != NULL && (p = strstr(p, word)) != NULL; p += n) {
        if (p[-1] == ' ' && p[n] == ' ') {
            return true;
        }
    }
    return false;
}

/* ---- what is had of builtins and modules ---- */

static bool
is_fixed_type(PyObject *v)
{
    return PyType_Check(v) && ((((PyTypeObject *)v)->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 ||
                               (((PyTypeObject *)v)->tp_flags & Py_TPFLAGS_IMMUTABLETYPE) != 0);
}

static bool
is_fixed(PyObject *v)
{
    return PyCFunction_CheckExact(v) || is_fixed_type(v) || PyUnicode_CheckExact(v) || PyFloat_CheckExact(v) ||
           PyLong_CheckExact(v) || PyComplex_CheckExact(v);
}

/* Preloaded modules may have put something else in the place of a builtin. */
bool
pyexec_confine_genuine(PyObject *builtins, const char *name)
{
    PyObject *v = PyDict_GetItemString(builtins, name); /* borrowed */
    if (v == NULL) {
        return false;
    }
    if (PyCFunction_CheckExact(v)) {
        PyObject *self = PyCFunction_GET_SELF(v); /* borrowed, may be NULL */
        return self != NULL && PyModule_Check(self) && PyModule_GetDict(self) == builtins &&
               strcmp(((PyCFunctionObject *)v)->m_ml->ml_name, name) == 0;
    }
    return v == Py_Ellipsis || v == Py_NotImplemented ||
           (PyType_Check(v) && (((PyTypeObject *)v)->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0);
}

const char * /* "" if it has a character that no name listed here has */
pyexec_confine_text(PyObject *name)
{
    return PyUnicode_IS_ASCII(name) ? (const char *)PyUnicode_1BYTE_DATA(name) : "";
}

bool
pyexec_confine_is_dunder(const char *s)
{
    size_t n = strlen(s);
    return n > 4 && s[0] == '_' && s[1] == '_' && s[n - 1] == '_' && s[n - 2] == '_';
}

bool
pyexec_confine_builtin(PyObject *builtins, const char *name)
{
    return IS_LISTED(name, builtins_listed) && pyexec_confine_genuine(builtins, name);
}

bool
pyexec_confine_binds(const char *name)
{
    return !pyexec_confine_is_dunder(name) || IS_LISTED(name, module_dunders_listed);
}

bool
pyexec_confine_attribute(pyexec_kernel *k, const char *name)
{
    if (pyexec_confine_is_dunder(name)) {
        return IS_LISTED(name, dunders_listed);
    }
    if (strcmp(name, "strptime") == 0) {
        return false; /* datetime's is made in Python, and has a cache */
    }
    return IS_LISTED(name, attributes_listed) || PyDict_GetItemString(k->confine.names, name) == NULL;
}

const pyexec_open_module * /* NULL: it is not open to confined code */
pyexec_confine_module(const char *name)
{
    for (size_t i = 0; i < NMODULES; i++) {
        if (strcmp(pyexec_open_modules[i].name, name) == 0) {
            return &pyexec_open_modules[i];
        }
    }
    return NULL;
}

pyexec_taken
pyexec_confine_take(pyexec_kernel *k, const pyexec_open_module *m, const char *name)
{
    PyObject *loaded = PyDict_GetItemString(k->modules.copy, m->name);                            /* borrowed */
    PyObject *dict = loaded == NULL || !PyModule_Check(loaded) ? NULL : PyModule_GetDict(loaded); /* borrowed */
    if (dict == NULL) {
        return PYEXEC_NOT_LOADED;
    }
    PyObject *v = PyDict_GetItemString(dict, name); /* borrowed */
    if (v == NULL || *name == '\0' || *name == '_') {
        return PYEXEC_NOT_OPEN;
    }
    if (has_word(m->called, name)) { /* the module's own, and not a wrapper that something preloaded put there */
        return PyFunction_Check(v) && PyFunction_GET_GLOBALS(v) == dict ? PYEXEC_TO_CALL : PYEXEC_NOT_OPEN;
    }
    if (has_word(m->caught, name)) {
        return PYEXEC_TO_CATCH;
    }
    return (m->listed == NULL || has_word(m->listed, name)) && is_fixed(v) ? PYEXEC_TO_HAVE : PYEXEC_NOT_OPEN;
}

/* The names of attributes of all types made in C, but for __names__. */
static int
add_names(PyObject *names, PyTypeObject *type)
{
    int result = 0;
    PyObject *dict = NULL, *subclasses = NULL, *key = NULL; /* key: borrowed */
    Py_ssize_t pos = 0;
    dict = pyexec_type_dict(type); /* new */
    if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0) {
        while (result == 0 && dict != NULL && PyDict_Next(dict, &pos, &key, NULL)) {
            if (PyUnicode_Check(key) && !pyexec_confine_is_dunder(pyexec_confine_text(key))) {
                result = PyDict_SetItem(names, key, Py_None);
            }
        }
    }
    subclasses = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", type); /* new */
    result = subclasses == NULL || !PyList_Check(subclasses) ? -1 : result;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(subclasses); i++) {
        PyTypeObject *subclass = (PyTypeObject *)PyList_GET_ITEM(subclasses, i); /* borrowed */
        if (subclass != &PyType_Type || type == &PyBaseObject_Type) {
            result = add_names(names, subclass);
        }
    }
    Py_XDECREF(subclasses);
    Py_XDECREF(dict);
    return result;
}

/* May state of what the proof relies on persist? */
void
pyexec_confine_configure(pyexec_kernel *k)
{
    const char *keep = k->config.keep;
    k->confine.off = false;
    while (keep != NULL && *keep != '\0') {
        size_t n = strcspn(keep, ".[\n");
        for (size_t i = 0; i < NMODULES; i++) {
            if (strlen(pyexec_open_modules[i].name) == n && memcmp(pyexec_open_modules[i].name, keep, n) == 0) {
                k->confine.off = true;
            }
        }
        if ((n == 8 && memcmp(keep, "builtins", n) == 0) || (n == 3 && memcmp(keep, "sys", n) == 0)) {
            k->confine.off = true;
        }
        keep += strcspn(keep, "\n");
        keep += *keep == '\n';
    }
}

int
pyexec_confine_init(pyexec_kernel *k)
{
    int result = -1;
    PyObject *encodings = PyImport_ImportModule("encodings"); /* new */
    PyObject *codecs = encodings == NULL ? NULL : PyObject_GetAttrString(encodings, "_cache"); /* new */
    Py_ssize_t watch = codecs == NULL || !PyDict_CheckExact(codecs) ? -1 : pyexec_watch_dict(k, codecs);
    k->confine.names = PyDict_New(); /* new */
    if (watch >= 0 && k->confine.names != NULL) {
        k->confine.codecs = (size_t)watch;
        result = add_names(k->confine.names, &PyBaseObject_Type);
    }
    Py_XDECREF(codecs);
    Py_XDECREF(encodings);
    return result;
}

void
pyexec_confine_clear(pyexec_kernel *k)
{
    Py_CLEAR(k->confine.names);
}
