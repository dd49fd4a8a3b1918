/* find.c: what hangs on a module that can be changed without binding a name anew: its containers, the attributes of its
 * instances, the cells of its closures, its caches.
 *
 * Looked for once, when the module is pristine, from its dict on: through containers, classes, instances and functions, a
 * few steps deep. What is found is watched and copied by row_objects.c. Nothing here runs Python code. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

/* From logging.root over its handlers to a handler's own attributes it takes five. */
enum { MAX_STEPS = 6 };

static int visit(pyexec_kernel *k, PyObject *name, PyObject *v, int steps);

/* What was looked at is kept alive, or another object could come to have its address. */
static int
see(pyexec_kernel *k, PyObject *v) /* 1: for the first time, 0: again, -1: failed */
{
    int result = -1;
    if (k->objects.seen == NULL) {
        k->objects.seen = PyDict_New(); /* new */
    }
    PyObject *address = PyLong_FromVoidPtr(v); /* new */
    if (k->objects.seen != NULL && address != NULL) {
        result = PyDict_Contains(k->objects.seen, address);
        if (result >= 0) {
            result = result == 1 ? 0 : PyDict_SetItem(k->objects.seen, address, v) < 0 ? -1 : 1;
        }
    }
    Py_XDECREF(address);
    return result;
}

bool
pyexec_is_baseline(pyexec_kernel *k, PyObject *v)
{
    PyObject *address = PyLong_FromVoidPtr(v); /* new */
    int rc = address == NULL || k->objects.seen == NULL ? 0 : PyDict_Contains(k->objects.seen, address);
    PyErr_Clear();
    Py_XDECREF(address);
    return rc == 1;
}

int
pyexec_find_skip(pyexec_kernel *k, PyObject *v)
{
    return see(k, v) < 0 ? -1 : 0;
}

static int
visit_item(pyexec_kernel *k, PyObject *name, PyObject *key, PyObject *v, int steps)
{
    if (!PyObject_IS_GC(v) && !PyByteArray_CheckExact(v)) {
        return 0; /* the most common case: it cannot lead to anything */
    }
    PyObject *full = key != NULL && PyUnicode_CheckExact(key) ? PyUnicode_FromFormat("%U[%R]", name, key)
                                                              : PyUnicode_FromFormat("%U[...]", name); /* new */
    int result = full == NULL ? -1 : visit(k, full, v, steps);
    Py_XDECREF(full);
    return result;
}

static int
visit_attribute(pyexec_kernel *k, PyObject *name, PyObject *key, PyObject *v, int steps)
{
    if ((!PyObject_IS_GC(v) && !PyByteArray_CheckExact(v)) || !PyUnicode_CheckExact(key)) {
        return 0;
    }
    PyObject *full = PyUnicode_FromFormat("%U.%U", name, key); /* new */
    int result = full == NULL ? -1 : visit(k, full, v, steps);
    Py_XDECREF(full);
    return result;
}

static int
visit_dict(pyexec_kernel *k, PyObject *name, PyObject *dict, int steps, bool attributes)
{
    PyObject *key = NULL, *v = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    int result = 0;
    while (result == 0 && PyDict_Next(dict, &pos, &key, &v)) {
        result = attributes ? visit_attribute(k, name, key, v, steps) : visit_item(k, name, key, v, steps);
    }
    return result;
}

static int
visit_sequence(pyexec_kernel *k, PyObject *name, PyObject *const *items, Py_ssize_t n, int steps)
{
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < n; i++) {
        result = items[i] == NULL ? 0 : visit_item(k, name, NULL, items[i], steps);
    }
    return result;
}

static int
visit_function(pyexec_kernel *k, PyObject *name, PyObject *f, int steps)
{
    PyObject *defaults = PyFunction_GET_DEFAULTS(f), *kw = PyFunction_GET_KW_DEFAULTS(f); /* borrowed, as all here */
    PyObject *closure = PyFunction_GET_CLOSURE(f), *dict = ((PyFunctionObject *)f)->func_dict;
    int result = 0;
    if (defaults != NULL && PyTuple_CheckExact(defaults)) {
        result = visit_sequence(k, name, ((PyTupleObject *)defaults)->ob_item, PyTuple_GET_SIZE(defaults), steps);
    }
    if (result == 0 && kw != NULL) {
        result = visit_dict(k, name, kw, steps, false);
    }
    if (result == 0 && dict != NULL) {
        result = visit_dict(k, name, dict, steps, true);
    }
    for (Py_ssize_t i = 0; result == 0 && closure != NULL && i < PyTuple_GET_SIZE(closure); i++) {
        PyObject *cell = PyTuple_GET_ITEM(closure, i);
        result = see(k, cell);
        if (result == 1) {
            result = pyexec_slot_track(k, name, cell, &((PyCellObject *)cell)->ob_ref);
            PyObject *v = PyCell_GET(cell);
            if (result == 0 && v != NULL) {
                result = visit_item(k, name, NULL, v, steps);
            }
        }
    }
    return result;
}

static int
visit_class(pyexec_kernel *k, PyObject *name, PyObject *class, int steps)
{
    static const char *const skipped[] = {"__dict__", "__weakref__", "__abstractmethods__", "_abc_impl", "__base__"};
    if ((((PyTypeObject *)class)->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0) {
        return 0;
    }
    PyObject *dict = pyexec_type_dict((PyTypeObject *)class); /* new */
    PyObject *key = NULL, *v = NULL;                           /* borrowed */
    Py_ssize_t pos = 0;
    int result = dict == NULL ? -1 : 0;
    while (result == 0 && PyDict_Next(dict, &pos, &key, &v)) {
        bool skip = false;
        for (size_t i = 0; i < sizeof skipped / sizeof *skipped && !skip; i++) {
            skip = PyUnicode_CheckExact(key) && PyUnicode_CompareWithASCIIString(key, skipped[i]) == 0;
        }
        result = skip ? 0 : visit_attribute(k, name, key, v, steps);
    }
    Py_XDECREF(dict);
    return result;
}

/* Objects of C that hold others: staticmethod, classmethod, property, functools.partial ... */
typedef struct {
    pyexec_kernel *k;
    PyObject *name;
    PyObject *dict; /* of its own: not visited here */
    PyObject *cache;
    int steps;
} inside;

static int
visit_inside(PyObject *v, void *arg)
{
    inside *in = arg;
    if (v == in->dict || PyModule_Check(v) || PyType_Check(v)) {
        return 0;
    }
    if (PyDict_CheckExact(v)) {
        in->cache = v;
    }
    return visit_item(in->k, in->name, NULL, v, in->steps) < 0 ? -1 : 0;
}

static int
find_cache(PyObject *v, void *arg)
{
    inside *in = arg;
    if (v != in->dict && PyDict_CheckExact(v) && in->cache == NULL) {
        in->cache = v;
    }
    return 0;
}

static int
visit_c_object(pyexec_kernel *k, PyObject *name, PyObject *v, int steps)
{
    static const char *const holders[] = {"staticmethod",      "classmethod",       "property",
                                          "functools.partial", "builtin_method",    "functools._lru_cache_wrapper",
                                          "method",            "mappingproxy",      "method-wrapper"};
    const char *type = Py_TYPE(v)->tp_name;
    bool known = false;
    for (size_t i = 0; i < sizeof holders / sizeof *holders && !known; i++) {
        known = strcmp(type, holders[i]) == 0;
    }
    if (!known || Py_TYPE(v)->tp_traverse == NULL) {
        return 0;
    }
    PyObject **slot = _PyObject_GetDictPtr(v);
    inside in = {k, name, slot == NULL ? NULL : *slot, NULL, steps};
    if (strcmp(type, "functools._lru_cache_wrapper") == 0) {
        /* Its entries come and go by its own rules: found here, emptied by its own method. */
        Py_TYPE(v)->tp_traverse(v, find_cache, &in);
        if (in.cache != NULL && (see(k, in.cache) < 0 || pyexec_object_track(k, PYEXEC_CACHE, name, v, in.cache) < 0)) {
            return -1;
        }
        PyObject *f = in.dict == NULL ? NULL : PyDict_GetItemString(in.dict, "__wrapped__"); /* borrowed */
        return f == NULL ? 0 : visit(k, name, f, steps);
    }
    return Py_TYPE(v)->tp_traverse(v, visit_inside, &in) < 0 ? -1 : 0;
}

/* An instance whose attributes are in a dict. */
static bool
has_attributes(PyObject *v)
{
    PyTypeObject *t = Py_TYPE(v);
    if (PyModule_Check(v) || PyType_Check(v) || PyExceptionInstance_Check(v) || PyCFunction_Check(v) ||
        strcmp(t->tp_name, "_thread._local") == 0) {
        return false;
    }
    if ((t->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0) {
        PyObject *dict = pyexec_type_dict(t);                                                    /* new */
        PyObject *module = dict == NULL ? NULL : PyDict_GetItemString(dict, "__module__"); /* borrowed */
        bool importing = module != NULL && PyUnicode_CheckExact(module) && PyUnicode_IS_ASCII(module) &&
                         strncmp(PyUnicode_AsUTF8(module), "_frozen_importlib", 17) == 0;
        Py_XDECREF(dict);
        if (importing && strstr(t->tp_name, "Loader") == NULL && strcmp(t->tp_name, "ModuleSpec") != 0) {
            return false; /* the import system's own finders and locks change as it works */
        }
    }
    return pyexec_has_instance_dict(v);
}

static int
visit_instance(pyexec_kernel *k, PyObject *name, PyObject *v, int steps)
{
    PyObject *dict = pyexec_instance_dict(v); /* new */
    if (dict == NULL || !PyDict_Check(dict)) {
        PyErr_Clear();
        Py_XDECREF(dict);
        return 0;
    }
    int result = see(k, dict);
    if (result == 1) {
        result = pyexec_object_track(k, PYEXEC_INSTANCE, name, v, dict);
        if (result == 0) {
            result = visit_dict(k, name, dict, steps, true);
        }
    }
    Py_DECREF(dict);
    return result;
}

/* What an instance of a class made in Python has in __slots__. */
static int
visit_slots(pyexec_kernel *k, PyObject *name, PyObject *v, int steps)
{
    int result = 0;
    for (PyTypeObject *t = Py_TYPE(v); result == 0 && t != NULL; t = t->tp_base) {
        PyMemberDef *m = (t->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0 ? t->tp_members : NULL;
        for (; result == 0 && m != NULL && m->name != NULL; m++) {
            if (m->type != Py_T_OBJECT_EX || (m->flags & Py_READONLY) != 0) {
                continue;
            }
            PyObject **at = (PyObject **)((char *)v + m->offset);
            PyObject *full = PyUnicode_FromFormat("%U.%s", name, m->name); /* new */
            result = full == NULL ? -1 : pyexec_slot_track(k, full, v, at);
            if (result == 0 && *at != NULL) {
                result = visit_item(k, full, NULL, *at, steps);
            }
            Py_XDECREF(full);
        }
    }
    return result;
}

static int
visit_attributes(pyexec_kernel *k, PyObject *name, PyObject *v, int steps)
{
    int result = PyType_Check(v) ? 0 : visit_slots(k, name, v, steps);
    return result < 0 || !has_attributes(v) ? result : visit_instance(k, name, v, steps);
}

static int
visit(pyexec_kernel *k, PyObject *name, PyObject *v, int steps)
{
    int result = 0;
    uintptr_t mask = 0;
    if (steps >= MAX_STEPS || PyModule_Check(v) || PyCode_Check(v)) {
        return 0;
    }
    if (PyTuple_CheckExact(v)) {
        return visit_sequence(k, name, ((PyTupleObject *)v)->ob_item, PyTuple_GET_SIZE(v), steps + 1);
    }
    result = see(k, v);
    if (result <= 0) {
        return result;
    }
    steps++;
    if (PyDict_Check(v)) {
        result = pyexec_object_track(k, PyODict_Check(v) ? PYEXEC_ODICT : PYEXEC_DICT, name, v, v);
        result = result < 0 ? -1 : visit_dict(k, name, v, steps, false);
        return result < 0 ? -1 : visit_attributes(k, name, v, steps);
    }
    if (PyList_Check(v)) {
        result = pyexec_object_track(k, PYEXEC_LIST, name, v, NULL);
        result = result < 0 ? -1 : visit_sequence(k, name, ((PyListObject *)v)->ob_item, PyList_GET_SIZE(v), steps);
        return result < 0 ? -1 : visit_attributes(k, name, v, steps);
    }
    if (PyTuple_Check(v)) {
        result = visit_sequence(k, name, ((PyTupleObject *)v)->ob_item, PyTuple_GET_SIZE(v), steps);
        return result < 0 ? -1 : visit_attributes(k, name, v, steps);
    }
    if (PySet_Check(v)) {
        result = pyexec_object_track(k, PYEXEC_SET, name, v, NULL);
        return result < 0 ? -1 : visit_attributes(k, name, v, steps);
    }
    if (PyByteArray_CheckExact(v)) {
        return pyexec_object_track(k, PYEXEC_BYTEARRAY, name, v, NULL);
    }
    if (strcmp(Py_TYPE(v)->tp_name, "collections.deque") == 0) {
        return pyexec_object_track(k, PYEXEC_DEQUE, name, v, NULL);
    }
    if (PyFunction_Check(v)) {
        return visit_function(k, name, v, steps);
    }
    if (pyexec_word_of(k, v, &mask) != NULL) {
        return pyexec_object_track(k, PYEXEC_WORD, name, v, NULL);
    }
    if (PyType_Check(v)) {
        return visit_class(k, name, v, steps);
    }
    result = visit_c_object(k, name, v, steps);
    return result < 0 ? -1 : visit_attributes(k, name, v, steps);
}

/* What has come into something that is tracked already, with an import. */
int
pyexec_find_inside(pyexec_kernel *k, PyObject *name, uint8_t kind, PyObject *v)
{
    PyObject *dict = NULL;
    int result = 0;
    switch (kind) {
    case PYEXEC_DICT:
    case PYEXEC_ODICT:
        return visit_dict(k, name, v, 1, false);
    case PYEXEC_LIST:
        return visit_sequence(k, name, ((PyListObject *)v)->ob_item, PyList_GET_SIZE(v), 1);
    case PYEXEC_INSTANCE:
        dict = pyexec_instance_dict(v); /* new */
        result = dict == NULL || !PyDict_Check(dict) ? 0 : visit_dict(k, name, dict, 1, true);
        PyErr_Clear();
        Py_XDECREF(dict);
        return result;
    default:
        return 0;
    }
}

int
pyexec_find(pyexec_kernel *k, PyObject *name, PyObject *dict)
{
    /* What the import system keeps while it works, and what other rows put back by their own rules. */
    static const char *const skipped[] = {"__builtins__", "__cached__"};
    static const char *const working[] = {"_frozen_importlib._module_locks", "_frozen_importlib._blocking_on",
                                          "os.environ",                      "os.environb",
                                          "linecache.cache",                 "sys.modules",
                                          "threading._main_thread",          "atexit",
                                          "sys.lazy_modules"};
    PyObject *key = NULL, *v = NULL; /* borrowed */
    int result = 0;
    /* Classes and functions in the second round: what they share with the module is better known by its name there. */
    for (int round = 0; round < 2; round++) {
        Py_ssize_t pos = 0;
        while (result == 0 && PyDict_Next(dict, &pos, &key, &v)) {
            bool skip = !PyUnicode_CheckExact(key) || (PyType_Check(v) || PyFunction_Check(v)) != (round == 1);
            for (size_t i = 0; i < sizeof skipped / sizeof *skipped && !skip; i++) {
                skip = PyUnicode_CompareWithASCIIString(key, skipped[i]) == 0;
            }
            if (skip) {
                continue;
            }
            PyObject *full = PyUnicode_FromFormat("%U.%U", name, key); /* new */
            for (size_t i = 0; full != NULL && i < sizeof working / sizeof *working && !skip; i++) {
                skip = PyUnicode_CompareWithASCIIString(full, working[i]) == 0;
            }
            result = full == NULL ? -1 : skip ? 0 : visit(k, full, v, 0);
            Py_XDECREF(full);
        }
    }
    return result;
}
