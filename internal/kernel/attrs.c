/* attrs.c: what an exception carries besides its message: args, what was set on it, and the fields of the classes it is
 * made of (OSError.errno, ImportError.name, __slots__). All of it is read where it lies, so that no property, no
 * __getattr__ and no descriptor of the snippet's runs. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

static bool
is_private(const char *name)
{
    return name[0] == '_' && name[1] == '_';
}

/* One name and its value, or nothing of it. */
static void
put_attr(pyexec_kernel *k, const char *name, size_t name_len, PyObject *v)
{
    pyexec_writer w = {.out = &k->buf, .max_depth = k->config.max_depth, .max_len = (size_t)k->config.max_result};
    size_t start = k->buf.len;
    pyexec_cbor_textn(&k->buf, name, name_len);
    if (pyexec_encode(&w, v) < 0) {
        k->buf.len = start;
    }
}

static void
put_dict(pyexec_kernel *k, PyObject *exc)
{
    PyObject *dict = ((PyBaseExceptionObject *)exc)->dict; /* borrowed; NULL until something is set */
    PyObject *items = PyList_New(0);                        /* new: name, value, name, value */
    PyObject *name = NULL, *v = NULL;                       /* borrowed */
    Py_ssize_t pos = 0, n = 0;
    while (items != NULL && dict != NULL && PyDict_Next(dict, &pos, &name, &v)) {
        if (PyUnicode_CheckExact(name) && (PyList_Append(items, name) < 0 || PyList_Append(items, v) < 0)) {
            break;
        }
    }
    for (Py_ssize_t i = 0; items != NULL && i + 1 < PyList_GET_SIZE(items); i += 2) {
        const char *s = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(items, i), &n);
        if (s != NULL && !is_private(s)) {
            put_attr(k, s, (size_t)n, PyList_GET_ITEM(items, i + 1));
        }
        PyErr_Clear();
    }
    PyErr_Clear();
    Py_XDECREF(items);
}

/* The members that C structs and __slots__ declare. Those of the classes that are written as something else already, and
 * those that are unset, are left out. */
static void
put_members(pyexec_kernel *k, PyObject *exc)
{
    PyObject *mro = Py_XNewRef(Py_TYPE(exc)->tp_mro); /* new */
    for (Py_ssize_t i = 0; mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *type = (PyTypeObject *)PyTuple_GET_ITEM(mro, i); /* borrowed */
        if ((PyObject *)type == PyExc_SyntaxError || (PyObject *)type == PyExc_BaseExceptionGroup) {
            continue;
        }
        for (PyMemberDef *m = type->tp_members; m != NULL && m->name != NULL; m++) {
            PyObject *v = is_private(m->name) ? NULL : PyMember_GetOne((const char *)exc, m); /* new */
            if (v != NULL && v != Py_None) {
                put_attr(k, m->name, strlen(m->name), v);
            }
            PyErr_Clear();
            Py_XDECREF(v);
        }
    }
    Py_XDECREF(mro);
}

void
pyexec_put_attrs(pyexec_kernel *k, PyObject *exc)
{
    PyObject *args = Py_XNewRef(((PyBaseExceptionObject *)exc)->args); /* new */
    Py_ssize_t n = args != NULL && PyTuple_Check(args) ? PyTuple_GET_SIZE(args) : 0;
    PyGC_Disable(); /* what ran before may have enabled it */
    pyexec_cbor_text(&k->buf, "args");
    pyexec_cbor_head(&k->buf, CBOR_ARRAY, (uint64_t)n);
    for (Py_ssize_t i = 0; i < n; i++) {
        pyexec_writer w = {.out = &k->buf, .max_depth = k->config.max_depth, .max_len = (size_t)k->config.max_result};
        size_t start = k->buf.len;
        if (pyexec_encode(&w, PyTuple_GET_ITEM(args, i)) < 0) {
            k->buf.len = start;
            pyexec_buf_byte(&k->buf, CBOR_NULL);
        }
    }
    pyexec_cbor_text(&k->buf, "attrs");
    pyexec_buf_byte(&k->buf, CBOR_OPEN_MAP);
    put_dict(k, exc);
    put_members(k, exc);
    pyexec_buf_byte(&k->buf, CBOR_BREAK);
    Py_XDECREF(args);
}
