/* ndarray.c: arrays to CBOR, numbers as bytes in one piece: numpy's ndarrays and scalars, array.array, memoryview. numpy is
 * reached by the buffer protocol and by C functions that were caught when it was imported; its headers are not needed.
 * Arrays go out in row-major order whatever theirs is. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

/* What a buffer holds, by its format: the struct module's, with the additions of PEP 3118. */
static pyexec_item
read_format(const Py_buffer *view)
{
    const char *f = view->format == NULL ? "B" : view->format;
    pyexec_item it = {.size = (size_t)view->itemsize, .little = PYEXEC_HOST_LITTLE};
    if (*f == '<' || *f == '>' || *f == '!') {
        it.little = *f == '<';
    }
    f += strchr("@=<>!^", *f) != NULL && *f != '\0';
    bool complex = *f == 'Z';
    f += complex;
    while (*f >= '0' && *f <= '9') { /* of texts: itemsize tells, too */
        f++;
    }
    if (*f == '\0' || f[1] != '\0') {
        return it;
    }
    size_t part = complex ? it.size / 2 : it.size;
    if (strchr("bhilqn", *f) != NULL) {
        it.code = 'i';
    }
    else if (strchr("BHILQN", *f) != NULL) {
        it.code = 'u';
    }
    else if ((strchr("fd", *f) != NULL || (*f == 'e' && !complex)) && part <= 8) {
        it.code = complex ? 'c' : 'f';
    }
    else if (strchr("?Osw", *f) != NULL) {
        it.code = *f;
    }
    return it;
}

static uint64_t
tag_of(pyexec_item it, char code, size_t size)
{
    uint64_t log2 = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
    uint64_t little = it.little && size > 1 ? 4 : 0;
    if (code == 'f') {
        return CBOR_TAG_TYPED + 16 + little + log2 - 1; /* floats begin with those of two bytes */
    }
    return CBOR_TAG_TYPED + (code == 'i' ? 8 : 0) + little + log2;
}

static void
put_shape(pyexec_writer *w, const Py_buffer *view)
{
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_SHAPED);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 2);
    pyexec_cbor_head(w->out, CBOR_ARRAY, (uint64_t)view->ndim);
    for (int i = 0; i < view->ndim; i++) {
        pyexec_cbor_head(w->out, CBOR_UINT, (uint64_t)view->shape[i]);
    }
}

static int
put_raw(pyexec_writer *w, Py_buffer *view, PyObject *v)
{
    size_t n = (size_t)view->len;
    if (!pyexec_encode_fits(w, n, v)) {
        return -1;
    }
    pyexec_cbor_head(w->out, CBOR_BYTES, n);
    if (n == 0) {
        return 0;
    }
    if (w->out->cap - w->out->len < n && !pyexec_buf_grow(w->out, n)) {
        return pyexec_encode_fail(w, "out of memory", v);
    }
    if (PyBuffer_ToContiguous(w->out->p + w->out->len, view, view->len, 'C') < 0) {
        return pyexec_encode_fail(w, "its memory cannot be read in order", v);
    }
    w->out->len += n;
    return 0;
}

static int
put_item(pyexec_writer *w, pyexec_item it, const uint8_t *p)
{
    if (it.code == 'O') {
        PyObject *v = NULL; /* borrowed: the array holds it */
        memcpy(&v, p, sizeof v);
        return pyexec_encode(w, v == NULL ? Py_None : v);
    }
    size_t n = it.size;
    if (it.code == 's') {
        while (n > 0 && p[n - 1] == 0) { /* as numpy's own items */
            n--;
        }
        pyexec_cbor_head(w->out, CBOR_BYTES, n);
        pyexec_buf_put(w->out, p, n);
        return 0;
    }
    Py_ssize_t chars = (Py_ssize_t)(n / 4);
    int order = it.little ? -1 : 1, result = -1;
    while (chars > 0 && memcmp(p + 4 * (chars - 1), "\0\0\0", 4) == 0) {
        chars--;
    }
    PyObject *s = PyUnicode_DecodeUTF32((const char *)p, 4 * chars, "surrogatepass", &order); /* new */
    result = s == NULL ? -1 : pyexec_encode(w, s);
    if (s == NULL) {
        PyErr_Clear();
        w->reason = "a text in it is not Unicode";
        w->culprit = &PyUnicode_Type;
    }
    Py_XDECREF(s);
    return result;
}

static int
put_items(pyexec_writer *w, Py_buffer *view, pyexec_item it, PyObject *v)
{
    size_t n = it.size == 0 ? 0 : (size_t)view->len / it.size;
    uint8_t *copy = NULL;
    const uint8_t *p = view->buf;
    int result = -1;
    if (it.size == 0 && view->ndim > 0) { /* texts of no length */
        n = 1;
        for (int i = 0; i < view->ndim; i++) {
            n *= (size_t)view->shape[i];
        }
    }
    if (!pyexec_encode_fits(w, n, v)) {
        return -1;
    }
    if (!PyBuffer_IsContiguous(view, 'C')) {
        copy = PyMem_Malloc((size_t)view->len);
        if (copy == NULL || PyBuffer_ToContiguous(copy, view, view->len, 'C') < 0) {
            pyexec_encode_fail(w, "out of memory", v);
            goto done;
        }
        p = copy;
    }
    pyexec_cbor_head(w->out, CBOR_ARRAY, n);
    result = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        result = pyexec_encode_fits(w, it.size + 9, v) ? put_item(w, it, p + i * it.size) : -1;
    }

done:
    PyMem_Free(copy);
    return result;
}

int
pyexec_encode_view(pyexec_writer *w, Py_buffer *view, PyObject *v)
{
    pyexec_item it = read_format(view);
    bool list = it.code == 'O' || it.code == 's' || it.code == 'w';
    if (it.code == '\0' || it.size > 16 * (list ? SIZE_MAX / 16 : 1)) {
        return pyexec_encode_fail(w, "its items have no Go form", v);
    }
    if (view->ndim != 1 || list) { /* a typed array of one dimension stands for itself */
        put_shape(w, view);
    }
    if (list) {
        return put_items(w, view, it, v);
    }
    switch (it.code) {
    case '?':
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_BOOLS);
        break;
    case 'c':
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_COMPLEXES);
        pyexec_cbor_head(w->out, CBOR_TAG, tag_of(it, 'f', it.size / 2));
        break;
    default:
        pyexec_cbor_head(w->out, CBOR_TAG, tag_of(it, it.code, it.size));
        break;
    }
    return put_raw(w, view, v);
}

int
pyexec_encode_buffer(pyexec_writer *w, PyObject *v)
{
    Py_buffer view;
    if (PyObject_GetBuffer(v, &view, PyBUF_FULL_RO) < 0) {
        return pyexec_encode_fail(w, "its items have no Go form", v);
    }
    int result = pyexec_encode_view(w, &view, v);
    PyBuffer_Release(&view);
    return result;
}

/* The unit of a datetime64 or timedelta64, from the name of its type, "<M8[ns]"; NULL: none that has a Go form. */
static const char *
unit_of(const pyexec_known *known, PyObject *dtype /* may be NULL */, bool *deltas)
{
    static const char *const units[] = {"D", "h", "m", "s", "ms", "us", "ns"};
    const char *unit = NULL;
    PyObject *str = pyexec_slot(known, KNOWN_DTYPE_STR, dtype); /* new */
    const char *s = str != NULL && PyUnicode_Check(str) ? PyUnicode_AsUTF8(str) : NULL;
    if (s != NULL && s[0] == (PYEXEC_HOST_LITTLE ? '<' : '>') && (s[1] == 'M' || s[1] == 'm') && strncmp(s + 2, "8[", 2) == 0) {
        *deltas = s[1] == 'm';
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            size_t n = strlen(units[i]);
            if (strncmp(s + 4, units[i], n) == 0 && strcmp(s + 4 + n, "]") == 0) {
                unit = units[i];
            }
        }
    }
    PyErr_Clear();
    Py_XDECREF(str);
    return unit;
}

static void
put_unit(pyexec_writer *w, const char *unit, bool deltas)
{
    pyexec_cbor_head(w->out, CBOR_TAG, deltas ? CBOR_TAG_DELTAS : CBOR_TAG_INSTANTS);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 2);
    pyexec_cbor_text(w->out, unit);
}

int
pyexec_encode_ndarray(pyexec_writer *w, PyObject *v)
{
    const pyexec_known *known = &w->k->known;
    Py_buffer view;
    if (PyObject_GetBuffer(v, &view, PyBUF_FULL_RO) == 0) {
        int result = pyexec_encode_view(w, &view, v);
        PyBuffer_Release(&view);
        return result;
    }
    PyErr_Clear();

    /* numpy gives no buffers of times: so as integers. */
    bool deltas = false;
    int result = -1;
    PyObject *dtype = pyexec_slot(known, KNOWN_NDARRAY_DTYPE, v); /* new */
    PyObject *ints = NULL;
    const char *unit = unit_of(known, dtype, &deltas);
    if (unit != NULL && known->at[KNOWN_NDARRAY_VIEW] != NULL && known->at[KNOWN_NP_INT64] != NULL) {
        ints = PyObject_CallFunctionObjArgs(known->at[KNOWN_NDARRAY_VIEW], v, known->at[KNOWN_NP_INT64], NULL); /* new */
    }
    if (ints == NULL || PyObject_GetBuffer(ints, &view, PyBUF_FULL_RO) < 0) {
        pyexec_encode_fail(w, "its items have no Go form", v);
    }
    else {
        put_unit(w, unit, deltas);
        result = pyexec_encode_view(w, &view, v);
        PyBuffer_Release(&view);
    }
    Py_XDECREF(ints);
    Py_XDECREF(dtype);
    PyErr_Clear();
    return result;
}

/* A number by itself, of the host's byte order. */
static int
put_scalar(pyexec_writer *w, pyexec_item it, const uint8_t *p, PyObject *v)
{
    uint64_t u = 0;
    float f = 0;
    double d[2] = {0};
    if (it.code == '?') {
        pyexec_buf_byte(w->out, p[0] != 0 ? CBOR_TRUE : CBOR_FALSE);
        return 0;
    }
    if (it.code == 'i' || it.code == 'u') {
        for (size_t i = 0; i < it.size; i++) {
            u |= (uint64_t)p[it.little ? i : it.size - 1 - i] << (8 * i);
        }
        if (it.code == 'u') {
            pyexec_cbor_head(w->out, CBOR_UINT, u);
            return 0;
        }
        unsigned unused = 64 - 8 * (unsigned)it.size;
        pyexec_cbor_int(w->out, (int64_t)(u << unused) >> unused);
        return 0;
    }
    if (it.code == 'f' && it.size == 2) {
        d[0] = pyexec_half_to_double((uint16_t)(it.little ? p[0] | p[1] << 8 : p[1] | p[0] << 8));
    }
    else if (it.little != PYEXEC_HOST_LITTLE) {
        return pyexec_encode_fail(w, "its bytes are not in the order of this machine", v);
    }
    else {
        size_t size = it.code == 'c' ? it.size / 2 : it.size;
        for (size_t i = 0; i < it.size / size; i++) {
            if (size == 4) {
                memcpy(&f, p + 4 * i, 4);
                d[i] = f;
            }
            else {
                memcpy(&d[i], p + 8 * i, 8);
            }
        }
    }
    if (it.code == 'c') {
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_COMPLEX);
        pyexec_cbor_head(w->out, CBOR_ARRAY, 2);
        pyexec_encode_double(w, d[0]);
    }
    pyexec_encode_double(w, d[it.code == 'c']);
    return 0;
}

int
pyexec_encode_np_scalar(pyexec_writer *w, PyObject *v)
{
    const pyexec_known *known = &w->k->known;
    Py_buffer view;
    int result = -1;
    if ((Py_TYPE(v)->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0 || PyObject_GetBuffer(v, &view, PyBUF_FULL_RO) < 0) {
        return pyexec_encode_fail(w, "its type has no Go form", v); /* a class of a snippet's can have its own buffers */
    }
    pyexec_item it = read_format(&view);
    if (Py_IS_TYPE(v, (PyTypeObject *)known->at[KNOWN_NP_DATETIME]) ||
        Py_IS_TYPE(v, (PyTypeObject *)known->at[KNOWN_NP_DELTA])) {
        bool deltas = false;
        PyObject *dtype = pyexec_slot(known, KNOWN_NP_GENERIC_DTYPE, v); /* new */
        const char *unit = unit_of(known, dtype, &deltas);
        Py_XDECREF(dtype);
        if (unit != NULL && view.len == 8) {
            put_unit(w, unit, deltas);
            result = put_scalar(w, (pyexec_item){'i', 8, PYEXEC_HOST_LITTLE}, view.buf, v);
        }
    }
    else if (view.len == (Py_ssize_t)it.size && it.size <= 16 && it.code != '\0' && strchr("?iufc", it.code) != NULL) {
        result = put_scalar(w, it, view.buf, v);
    }
    PyBuffer_Release(&view);
    return result < 0 ? pyexec_encode_fail(w, "its type has no Go form", v) : 0;
}
