/* source.c: the snippet's source, for code that shows it: traceback, logging.exception, inspect. They ask linecache, which
 * asks the __loader__ of the frame's globals; a namespace has one that answers with the source of the call that runs.
 * linecache keeps what it was told, so the row here makes it forget all that is in no file. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

typedef struct {
    PyObject_HEAD
    pyexec_kernel *kernel;
} loader;

static PyObject *
get_source(PyObject *self, PyObject *name)
{
    pyexec_kernel *k = ((loader *)self)->kernel;
    bool main = PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "__main__") == 0;
    if (!main || k->running == NULL) {
        return Py_NewRef(Py_None);
    }
    return PyUnicode_DecodeUTF8(k->running->code, (Py_ssize_t)k->running->code_len, "replace");
}

static PyObject *
loader_repr(PyObject *self)
{
    (void)self;
    return PyUnicode_FromString("<pyexec.Loader>");
}

static void
loader_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"get_source", get_source, METH_O, "get_source(fullname): the source of the snippet, for fullname '__main__'."},
    {0},
};
static PyType_Slot slots[] = {
    {Py_tp_dealloc, loader_dealloc}, {Py_tp_repr, loader_repr}, {Py_tp_methods, methods}, {0, NULL}};
static PyType_Spec spec = {"pyexec.Loader", sizeof(loader), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, slots};

PyObject * /* new */
pyexec_loader(pyexec_kernel *k)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(&spec);                   /* new */
    loader *l = type == NULL ? NULL : (loader *)type->tp_alloc(type, 0); /* new */
    if (l != NULL) {
        l->kernel = k;
    }
    Py_XDECREF(type);
    return (PyObject *)l;
}

/* linecache has just been imported: watch its cache. */
void
pyexec_saw_linecache(pyexec_kernel *k, PyObject *module)
{
    PyObject *cache = PyObject_GetAttrString(module, "cache"); /* new */
    if (cache != NULL && PyDict_CheckExact(cache) && k->line_cache == NULL) {
        Py_ssize_t watch = pyexec_watch_dict(k, cache);
        if (watch >= 0) {
            k->line_cache = Py_NewRef(cache);
            k->line_cache_watch = (size_t)watch;
        }
    }
    PyErr_Clear();
    Py_XDECREF(cache);
}

/* An entry is (size, mtime, lines, name), with no mtime if the lines are in no file, or (function,) if they are not even
 * fetched. Not reported: the snippet did nothing that it could know of. */
static bool
is_from_file(PyObject *entry)
{
    return PyTuple_CheckExact(entry) && PyTuple_GET_SIZE(entry) == 4 && PyTuple_GET_ITEM(entry, 1) != Py_None;
}

int
pyexec_linecache_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    if (k->line_cache == NULL || !pyexec_watch_dict_changed(k, k->line_cache_watch)) {
        return 0;
    }
    PyObject *keys = PyDict_Keys(k->line_cache); /* new */
    for (Py_ssize_t i = 0; keys != NULL && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i);                                   /* borrowed */
        PyObject *entry = PyDict_GetItemWithError(k->line_cache, key); /* borrowed */
        if (entry != NULL && !is_from_file(entry)) {
            pyexec_bury(k, entry);
            if (PyDict_DelItem(k->line_cache, key) < 0) {
                Py_CLEAR(keys);
            }
        }
    }
    int result = keys == NULL ? -1 : 0;
    Py_XDECREF(keys);
    return result;
}
