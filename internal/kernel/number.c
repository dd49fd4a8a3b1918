/* number.c: complex, Decimal, Fraction and UUID, both ways. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

int
pyexec_encode_complex(pyexec_writer *w, PyObject *v)
{
    Py_complex c = ((PyComplexObject *)v)->cval;
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_COMPLEX);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 2);
    pyexec_encode_double(w, c.real);
    pyexec_encode_double(w, c.imag);
    return 0;
}

PyObject *
pyexec_decode_complex(pyexec_reader *r)
{
    uint64_t n = 0;
    double part[2] = {0};
    if (!pyexec_decode_array(r, &n)) {
        return NULL;
    }
    for (uint64_t i = 0; i < n && i < 2; i++) {
        PyObject *v = pyexec_decode(r); /* new */
        if (v == NULL) {
            return NULL;
        }
        bool ok = PyFloat_CheckExact(v);
        part[i] = ok ? PyFloat_AS_DOUBLE(v) : 0;
        Py_DECREF(v);
        if (!ok) {
            return pyexec_decode_fail(r, "a complex number is malformed");
        }
    }
    return n == 2 ? PyComplex_FromDoubles(part[0], part[1]) : pyexec_decode_fail(r, "a complex number is malformed");
}

/* A Decimal's text tells sign, digits and exponent apart, and depends on no context but for the case of its E. */
int
pyexec_encode_decimal(pyexec_writer *w, PyObject *v)
{
    PyTypeObject *decimal = (PyTypeObject *)w->k->known.at[KNOWN_DECIMAL];
    int result = -1;
    Py_ssize_t n = 0;
    PyObject *text = decimal->tp_str(v); /* new */
    const char *s = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, &n);
    if (s == NULL) {
        pyexec_encode_fail(w, "out of memory", v);
    }
    else if (pyexec_encode_fits(w, (size_t)n, v)) {
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_DECIMAL);
        pyexec_cbor_textn(w->out, s, (size_t)n);
        result = 0;
    }
    Py_XDECREF(text);
    return result;
}

PyObject *
pyexec_decode_decimal(pyexec_reader *r)
{
    const uint8_t *s = NULL;
    size_t n = 0;
    PyTypeObject *decimal = NULL; /* borrowed */
    if (!pyexec_decode_bytes(r, CBOR_TEXT, &s, &n) ||
        (decimal = (PyTypeObject *)pyexec_known_need(r, KNOWN_DECIMAL)) == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '_' || s[i] <= ' ' || s[i] > '~') {
            return pyexec_decode_fail(r, "it is no decimal number"); /* what only Python's constructor takes */
        }
    }
    PyObject *args = Py_BuildValue("(s#)", (const char *)s, (Py_ssize_t)n);          /* new */
    PyObject *v = args == NULL ? NULL : decimal->tp_new(decimal, args, NULL); /* new; exact, whatever the context */
    Py_XDECREF(args);
    if (v == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        return pyexec_decode_fail(r, "it is no decimal number, or its exponent is too large for Python's");
    }
    return v;
}

static bool
is_at_least(PyObject *v, long long least)
{
    int overflow = 0;
    long long n = PyLong_AsLongLongAndOverflow(v, &overflow);
    return overflow > 0 || (overflow == 0 && n >= least);
}

int
pyexec_encode_fraction(pyexec_writer *w, PyObject *v)
{
    int result = -1;
    PyObject *a = pyexec_slot(&w->k->known, KNOWN_FRACTION_NUMERATOR, v);   /* new */
    PyObject *b = pyexec_slot(&w->k->known, KNOWN_FRACTION_DENOMINATOR, v); /* new */
    if (a == NULL || b == NULL || !PyLong_Check(a) || !PyLong_Check(b) || !is_at_least(b, 1)) {
        pyexec_encode_fail(w, "its numerator and denominator are no integers", v);
        goto done;
    }
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_RATIONAL);
    pyexec_cbor_head(w->out, CBOR_ARRAY, 2);
    result = pyexec_encode_builtin(w, a) < 0 || pyexec_encode_builtin(w, b) < 0 ? -1 : 0;

done:
    Py_XDECREF(a);
    Py_XDECREF(b);
    return result;
}

/* An instance as its class's __new__ makes it, with two slots filled: no function in Python runs. */
static PyObject * /* new */
make(pyexec_known *known, int type, int slot1, PyObject *v1, int slot2, PyObject *v2)
{
    PyTypeObject *t = (PyTypeObject *)known->at[type];
    PyObject *d1 = known->at[slot1], *d2 = known->at[slot2]; /* borrowed */
    PyObject *v = t->tp_alloc(t, 0);                         /* new */
    if (v != NULL && (Py_TYPE(d1)->tp_descr_set(d1, v, v1) < 0 || Py_TYPE(d2)->tp_descr_set(d2, v, v2) < 0)) {
        Py_CLEAR(v);
    }
    return v;
}

PyObject *
pyexec_decode_fraction(pyexec_reader *r)
{
    uint64_t n = 0;
    PyObject *a = NULL, *b = NULL, *v = NULL;
    if (!pyexec_decode_array(r, &n) || pyexec_known_need(r, KNOWN_FRACTION) == NULL ||
        pyexec_known_need(r, KNOWN_FRACTION_NUMERATOR) == NULL ||
        pyexec_known_need(r, KNOWN_FRACTION_DENOMINATOR) == NULL) {
        return NULL;
    }
    if (n != 2) {
        return pyexec_decode_fail(r, "a fraction is malformed");
    }
    a = pyexec_decode(r);                     /* new */
    b = a == NULL ? NULL : pyexec_decode(r); /* new */
    if (b != NULL) {
        /* That it is in lowest terms is up to the host: finding out costs more than all the rest. */
        v = PyLong_CheckExact(a) && PyLong_CheckExact(b) && is_at_least(b, 1)
                ? make(&r->k->known, KNOWN_FRACTION, KNOWN_FRACTION_NUMERATOR, a, KNOWN_FRACTION_DENOMINATOR, b)
                : pyexec_decode_fail(r, "a fraction is malformed");
    }
    Py_XDECREF(a);
    Py_XDECREF(b);
    return v;
}

int
pyexec_encode_uuid(pyexec_writer *w, PyObject *v)
{
    uint8_t bytes[17] = {0}; /* some versions count a sign byte */
    PyObject *n = pyexec_slot(&w->k->known, KNOWN_UUID_INT, v); /* new */
    if (n == NULL || !PyLong_CheckExact(n) || !is_at_least(n, 0) || pyexec_long_nbytes(n) > (Py_ssize_t)sizeof bytes ||
        pyexec_long_to_big_endian(n, bytes, sizeof bytes) < 0 || bytes[0] != 0) {
        Py_XDECREF(n);
        return pyexec_encode_fail(w, "it is no UUID of 128 bits", v);
    }
    Py_DECREF(n);
    pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_UUID);
    pyexec_cbor_head(w->out, CBOR_BYTES, 16);
    pyexec_buf_put(w->out, bytes + 1, 16);
    return 0;
}

PyObject *
pyexec_decode_uuid(pyexec_reader *r)
{
    const uint8_t *s = NULL;
    size_t n = 0;
    if (!pyexec_decode_bytes(r, CBOR_BYTES, &s, &n) || pyexec_known_need(r, KNOWN_UUID) == NULL ||
        pyexec_known_need(r, KNOWN_UUID_INT) == NULL || pyexec_known_need(r, KNOWN_UUID_SAFE) == NULL ||
        pyexec_known_need(r, KNOWN_UUID_UNKNOWN) == NULL) {
        return NULL;
    }
    if (n != 16) {
        return pyexec_decode_fail(r, "a UUID is malformed");
    }
    PyObject *number = pyexec_long_from_big_endian(s, n); /* new */
    PyObject *v = number == NULL ? NULL
                                 : make(&r->k->known, KNOWN_UUID, KNOWN_UUID_INT, number, KNOWN_UUID_SAFE,
                                        r->k->known.at[KNOWN_UUID_UNKNOWN]); /* new */
    Py_XDECREF(number);
    return v;
}
