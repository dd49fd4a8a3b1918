/* ndarray_in.c: arrays from CBOR: numpy's ndarrays and memoryviews, over a bytearray of their own. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

enum { MAX_DIMS = 32 }; /* numpy's own limit up to 1.26 */

typedef struct {
    int ndim;
    Py_ssize_t shape[MAX_DIMS];
    pyexec_item item;
    const uint8_t *p;
    size_t n; /* bytes */
} typed;

static bool
malformed(pyexec_reader *r)
{
    pyexec_decode_fail(r, "an array is malformed: its shape and data do not match");
    return false;
}

static bool
read_shape(pyexec_reader *r, typed *t)
{
    uint64_t two = 0, n = 0;
    if (!pyexec_decode_array(r, &two) || two != 2 || !pyexec_decode_array(r, &n) || n > MAX_DIMS) {
        return malformed(r);
    }
    t->ndim = (int)n;
    for (int i = 0; i < t->ndim; i++) {
        int64_t length = 0;
        if (!pyexec_decode_int(r, &length) || length < 0) {
            return malformed(r);
        }
        t->shape[i] = (Py_ssize_t)length;
    }
    return true;
}

/* How many items a shape has, or -1 if that is more than max. */
static int64_t
count(const typed *t, uint64_t max)
{
    uint64_t n = 1;
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] == 0) {
            return 0;
        }
    }
    for (int i = 0; i < t->ndim; i++) {
        if (n > max / (uint64_t)t->shape[i]) {
            return -1;
        }
        n *= (uint64_t)t->shape[i];
    }
    return n > max ? -1 : (int64_t)n;
}

/* The data behind tag, which has been read; a shape may have been, too. */
static bool
read_data(pyexec_reader *r, uint64_t tag, bool shaped, typed *t)
{
    int major = 0;
    uint8_t info = 0;
    pyexec_item it = {.code = '?', .size = 1, .little = PYEXEC_HOST_LITTLE};
    if (tag == CBOR_TAG_COMPLEXES) {
        if (!pyexec_decode_head(r, &major, &info, &tag) || major != CBOR_TAG || tag < CBOR_TAG_TYPED + 16) {
            return malformed(r);
        }
        it.code = 'c';
    }
    if (tag != CBOR_TAG_BOOLS) {
        uint64_t bits = tag - CBOR_TAG_TYPED;
        bool floats = (bits & 16) != 0;
        if (tag < CBOR_TAG_TYPED || bits >= 24 || bits == 12) {
            return malformed(r);
        }
        it.size = (size_t)1 << ((bits & 3) + floats);
        it.little = it.size == 1 ? PYEXEC_HOST_LITTLE : (bits & 4) != 0;
        if (it.size > 8 || (it.code == 'c' && it.size < 4)) {
            return malformed(r);
        }
        if (it.code == 'c') {
            it.size *= 2;
        }
        else {
            it.code = floats ? 'f' : (bits & 8) != 0 ? 'i' : 'u';
        }
    }
    if (!pyexec_decode_bytes(r, CBOR_BYTES, &t->p, &t->n)) {
        return false;
    }
    t->item = it;
    if (!shaped) {
        t->ndim = 1;
        t->shape[0] = (Py_ssize_t)(t->n / it.size);
    }
    int64_t items = count(t, t->n);
    return (items >= 0 && (uint64_t)items * it.size == t->n) || malformed(r);
}

static PyObject * /* new: bytearray, so that what is made of it can be written to */
own_memory(const typed *t)
{
    return PyByteArray_FromStringAndSize((const char *)t->p, (Py_ssize_t)t->n);
}

static PyObject * /* new: tuple */
shape_of(const typed *t)
{
    PyObject *shape = PyTuple_New(t->ndim); /* new */
    for (int i = 0; shape != NULL && i < t->ndim; i++) {
        PyObject *n = PyLong_FromSsize_t(t->shape[i]); /* new */
        if (n == NULL) {
            Py_CLEAR(shape);
            break;
        }
        PyTuple_SET_ITEM(shape, i, n); /* stolen */
    }
    return shape;
}

static PyObject * /* new */
new_ndarray(pyexec_reader *r, const typed *t, const char *dtype, PyObject *memory /* borrowed, or NULL: zeroes */)
{
    PyTypeObject *type = (PyTypeObject *)pyexec_known_need(r, KNOWN_NDARRAY); /* borrowed */
    PyObject *shape = type == NULL ? NULL : shape_of(t);                      /* new */
    PyObject *args = NULL, *v = NULL;
    if (shape != NULL) {
        args = memory == NULL ? Py_BuildValue("(Os)", shape, dtype) : Py_BuildValue("(OsO)", shape, dtype, memory);
        v = args == NULL ? NULL : type->tp_new(type, args, NULL); /* new */
    }
    if (v == NULL && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        pyexec_decode_fail(r, "numpy refuses an array of that shape");
    }
    Py_XDECREF(shape);
    Py_XDECREF(args);
    return v;
}

/* An array of objects: the items of a list, put where numpy has put None. */
static PyObject * /* new */
object_array(pyexec_reader *r, typed *t)
{
    PyObject *v = NULL;
    Py_buffer view;
    PyObject *list = pyexec_decode(r); /* new */
    if (list == NULL) {
        return NULL;
    }
    if (!PyList_CheckExact(list) || count(t, (uint64_t)PyList_GET_SIZE(list)) != (int64_t)PyList_GET_SIZE(list)) {
        malformed(r);
        goto done;
    }
    v = new_ndarray(r, t, "O", NULL);
    if (v == NULL) {
        goto done;
    }
    if (PyObject_GetBuffer(v, &view, PyBUF_ANY_CONTIGUOUS | PyBUF_WRITABLE | PyBUF_FORMAT) < 0) {
        Py_CLEAR(v);
        goto done;
    }
    PyObject **items = view.buf;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list) && (i + 1) * (Py_ssize_t)sizeof *items <= view.len; i++) {
        Py_XSETREF(items[i], Py_NewRef(PyList_GET_ITEM(list, i)));
    }
    PyBuffer_Release(&view);

done:
    Py_DECREF(list);
    return v;
}

PyObject *
pyexec_decode_ndarray(pyexec_reader *r, uint64_t tag)
{
    typed t = {0};
    char dtype[8];
    bool shaped = tag == CBOR_TAG_SHAPED;
    int major = 0;
    uint8_t info = 0;
    if (shaped) {
        if (!read_shape(r, &t)) {
            return NULL;
        }
        if (r->p < r->end && *r->p >> 5 == CBOR_ARRAY) {
            return object_array(r, &t);
        }
        if (!pyexec_decode_head(r, &major, &info, &tag) || major != CBOR_TAG) {
            malformed(r);
            return NULL;
        }
    }
    if (!read_data(r, tag, shaped, &t)) {
        return NULL;
    }
    PyOS_snprintf(dtype, sizeof dtype, "%c%c%d", t.item.little ? '<' : '>', t.item.code == '?' ? 'b' : t.item.code,
                  (int)t.item.size);
    PyObject *memory = own_memory(&t); /* new */
    PyObject *v = memory == NULL ? NULL : new_ndarray(r, &t, dtype, memory);
    Py_XDECREF(memory);
    return v;
}

/* What memoryview.cast takes: the struct module's letter for an item. */
static char
letter(const typed *t)
{
    static const char ints[] = "bhiq";
    int log2 = t->item.size == 8 ? 3 : t->item.size == 4 ? 2 : t->item.size == 2 ? 1 : 0;
    if (t->item.size > 1 && t->item.little != PYEXEC_HOST_LITTLE) {
        return '\0';
    }
    switch (t->item.code) {
    case '?':
        return '?';
    case 'i':
        return ints[log2];
    case 'u':
        return (char)Py_TOUPPER(ints[log2]);
    case 'f':
        return log2 == 3 ? 'd' : log2 == 2 ? 'f' : '\0';
    default:
        return '\0';
    }
}

PyObject *
pyexec_decode_memory(pyexec_reader *r)
{
    typed t = {0};
    int major = 0;
    uint8_t info = 0;
    uint64_t tag = 0;
    PyObject *memory = NULL, *view = NULL, *shape = NULL, *v = NULL;
    if (!pyexec_decode_head(r, &major, &info, &tag)) {
        return NULL;
    }
    bool shaped = major == CBOR_TAG && tag == CBOR_TAG_SHAPED;
    if (shaped && (!read_shape(r, &t) || !pyexec_decode_head(r, &major, &info, &tag))) {
        return NULL;
    }
    if (major != CBOR_TAG || !read_data(r, tag, shaped, &t)) {
        malformed(r);
        return NULL;
    }
    char format[2] = {letter(&t), '\0'};
    if (format[0] == '\0') {
        return pyexec_decode_fail(r, "a memoryview cannot have items of that kind");
    }
    memory = own_memory(&t);                                         /* new */
    view = memory == NULL ? NULL : PyMemoryView_FromObject(memory); /* new */
    shape = shape_of(&t);                                            /* new */
    if (view != NULL && shape != NULL) {
        v = t.n == 0 && t.ndim != 1 ? NULL
            : t.ndim == 1           ? PyObject_CallMethod(view, "cast", "s", format)
                                    : PyObject_CallMethod(view, "cast", "sO", format, shape);
        if (v == NULL) {
            PyErr_Clear();
            pyexec_decode_fail(r, "a memoryview cannot have that shape");
        }
    }
    Py_XDECREF(memory);
    Py_XDECREF(view);
    Py_XDECREF(shape);
    return v;
}
