/* encode.c: Python values to CBOR, through the concrete C API of the built-in types: no method of a snippet's own class
 * is ever called, so nothing here can run Python code, raise from it, or find a container changed under it. What is not
 * of a built-in type is for object.c, which keeps to that. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

int
pyexec_encode_fail(pyexec_writer *w, const char *reason, PyObject *v)
{
    PyErr_Clear();
    w->reason = reason;
    w->culprit = Py_TYPE(v);
    return -1;
}

bool
pyexec_encode_fits(pyexec_writer *w, size_t n, PyObject *v)
{
    if (w->out->len > w->max_len || n > w->max_len - w->out->len) {
        pyexec_encode_fail(w, "the result grew past its limit", v);
        return false;
    }
    return true;
}

static int
encode_long(pyexec_writer *w, PyObject *v)
{
    int overflow = 0;
    long long n = PyLong_AsLongLongAndOverflow(v, &overflow);
    if (overflow == 0) {
        pyexec_cbor_int(w->out, n);
        return 0;
    }

    int result = -1;
    PyObject *magnitude = NULL; /* CBOR wants n, or -1 - n for a negative n */
    if (overflow < 0) {
        magnitude = PyLong_Type.tp_as_number->nb_invert(v); /* new: -1 - v */
    }
    else {
        magnitude = Py_NewRef(v);
    }
    if (magnitude == NULL) {
        return pyexec_encode_fail(w, "out of memory", v);
    }
    Py_ssize_t size = pyexec_long_nbytes(magnitude);
    if (size < 0) {
        result = pyexec_encode_fail(w, "too large", v);
        goto done;
    }
    if (!pyexec_encode_fits(w, (size_t)size, v)) {
        goto done;
    }
    uint8_t stack[64];
    uint8_t *bytes = (size_t)size <= sizeof stack ? stack : PyMem_Malloc((size_t)size);
    if (bytes == NULL || pyexec_long_to_big_endian(magnitude, bytes, (size_t)size) < 0) {
        result = pyexec_encode_fail(w, "out of memory", v);
    }
    else {
        uint8_t *p = bytes;
        while (size > 8 && *p == 0) { /* some versions count a sign byte */
            p++;
            size--;
        }
        if (size <= 8) {
            uint64_t u = 0;
            for (Py_ssize_t i = 0; i < size; i++) {
                u = u << 8 | p[i];
            }
            pyexec_cbor_head(w->out, overflow < 0 ? CBOR_NEGATIVE : CBOR_UINT, u);
        }
        else {
            pyexec_cbor_head(w->out, CBOR_TAG, overflow < 0 ? CBOR_TAG_NEGATIVE_BIG : CBOR_TAG_BIG);
            pyexec_cbor_head(w->out, CBOR_BYTES, (uint64_t)size);
            pyexec_buf_put(w->out, p, (size_t)size);
        }
        result = 0;
    }
    if (bytes != stack) {
        PyMem_Free(bytes);
    }

done:
    Py_DECREF(magnitude);
    return result;
}

void
pyexec_encode_double(pyexec_writer *w, double d)
{
    uint8_t item[9] = {CBOR_FLOAT64};
    uint64_t bits = 0;
    memcpy(&bits, &d, sizeof bits);
    for (int i = 8; i > 0; i--) {
        item[i] = (uint8_t)bits;
        bits >>= 8;
    }
    pyexec_buf_put(w->out, item, sizeof item);
}

static int
encode_str(pyexec_writer *w, PyObject *v)
{
    Py_ssize_t n = 0;
    const char *s = NULL;
    if (PyUnicode_IS_COMPACT_ASCII(v)) {
        s = PyUnicode_DATA(v);
        n = PyUnicode_GET_LENGTH(v);
    }
    else if ((s = PyUnicode_AsUTF8AndSize(v, &n)) == NULL) {
        return pyexec_encode_fail(w, "it holds a lone surrogate, which UTF-8 cannot carry", v);
    }
    if (!pyexec_encode_fits(w, (size_t)n, v)) {
        return -1;
    }
    pyexec_cbor_textn(w->out, s, (size_t)n);
    return 0;
}

static int
encode_bytes(pyexec_writer *w, PyObject *v, const char *s, Py_ssize_t n)
{
    if (!pyexec_encode_fits(w, (size_t)n, v)) {
        return -1;
    }
    pyexec_cbor_head(w->out, CBOR_BYTES, (uint64_t)n);
    pyexec_buf_put(w->out, s, (size_t)n);
    return 0;
}

/* An item takes a byte at least: that a list of very many does not fit is known at once. */
static int
encode_items(pyexec_writer *w, PyObject *v, PyObject **items, Py_ssize_t n)
{
    if (!pyexec_encode_fits(w, (size_t)n, v)) {
        return -1;
    }
    pyexec_cbor_head(w->out, CBOR_ARRAY, (uint64_t)n);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (pyexec_encode(w, items[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
encode_dict(pyexec_writer *w, PyObject *v)
{
    PyObject *key = NULL, *value = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    if (!pyexec_encode_fits(w, 2 * (size_t)PyDict_GET_SIZE(v), v)) {
        return -1;
    }
    pyexec_cbor_head(w->out, CBOR_MAP, (uint64_t)PyDict_GET_SIZE(v));
    while (PyDict_Next(v, &pos, &key, &value)) {
        if (pyexec_encode(w, key) < 0 || pyexec_encode(w, value) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
encode_set(pyexec_writer *w, PyObject *v, uint64_t tag)
{
    int result = 0;
    PyObject *item = NULL;
    if (!pyexec_encode_fits(w, (size_t)PySet_GET_SIZE(v), v)) {
        return -1;
    }
    PyObject *it = PySet_Type.tp_iter(v); /* new; the built-in iterator, also for subclasses */
    if (it == NULL) {
        return pyexec_encode_fail(w, "out of memory", v);
    }
    pyexec_cbor_head(w->out, CBOR_TAG, tag);
    pyexec_cbor_head(w->out, CBOR_ARRAY, (uint64_t)PySet_GET_SIZE(v));
    while (result == 0 && (item = Py_TYPE(it)->tp_iternext(it)) != NULL) { /* new */
        result = pyexec_encode(w, item);
        Py_DECREF(item);
    }
    Py_DECREF(it);
    return result;
}

int
pyexec_encode_builtin(pyexec_writer *w, PyObject *v)
{
    if (PyLong_Check(v)) {
        return encode_long(w, v);
    }
    if (PyFloat_Check(v)) {
        pyexec_encode_double(w, PyFloat_AS_DOUBLE(v));
        return 0;
    }
    if (PyUnicode_Check(v)) {
        return encode_str(w, v);
    }
    if (PyList_Check(v)) {
        return encode_items(w, v, ((PyListObject *)v)->ob_item, PyList_GET_SIZE(v));
    }
    if (PyDict_Check(v)) {
        return encode_dict(w, v);
    }
    if (PyTuple_Check(v)) {
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_TUPLE);
        return encode_items(w, v, ((PyTupleObject *)v)->ob_item, PyTuple_GET_SIZE(v));
    }
    if (PyBytes_Check(v)) {
        return encode_bytes(w, v, PyBytes_AS_STRING(v), PyBytes_GET_SIZE(v));
    }
    if (PyByteArray_Check(v)) {
        return encode_bytes(w, v, PyByteArray_AS_STRING(v), PyByteArray_GET_SIZE(v));
    }
    if (PyAnySet_Check(v)) {
        return encode_set(w, v, PyFrozenSet_Check(v) ? CBOR_TAG_FROZENSET : CBOR_TAG_SET);
    }
    return pyexec_encode_fail(w, "its type has no Go form", v);
}

/* All there is to say of a value is said by comparing its type with a few addresses, for the types that are usual. */
int
pyexec_encode(pyexec_writer *w, PyObject *v)
{
    PyTypeObject *type = Py_TYPE(v);
    if (v == Py_None) {
        pyexec_buf_byte(w->out, CBOR_NULL);
        return 0;
    }
    if (type == &PyBool_Type) {
        pyexec_buf_byte(w->out, v == Py_True ? CBOR_TRUE : CBOR_FALSE);
        return 0;
    }
    if (w->out->failed || w->out->len + 9 > w->max_len) {
        return pyexec_encode_fail(w, w->out->failed ? "out of memory" : "the result grew past its limit", v);
    }
    if (type == &PyLong_Type) {
        return encode_long(w, v);
    }
    if (type == &PyFloat_Type) {
        pyexec_encode_double(w, PyFloat_AS_DOUBLE(v));
        return 0;
    }
    if (type == &PyUnicode_Type) {
        return encode_str(w, v);
    }

    if (w->depth >= w->max_depth) {
        return pyexec_encode_fail(w, "it is nested too deep, or contains itself", v);
    }
    w->depth++;
    bool usual = type == &PyList_Type || type == &PyDict_Type || type == &PyTuple_Type || type == &PyBytes_Type ||
                 type == &PySet_Type;
    int result = usual ? pyexec_encode_builtin(w, v) : pyexec_encode_object(w, v);
    w->depth--;
    return result;
}
