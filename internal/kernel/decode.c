/* decode.c: CBOR (RFC 8949) to Python values. The bytes may come from anywhere: every length is checked against what
 * is left before it is believed, and depth is bounded. */
#include "compat.h"

#include "kernel.h"

#include <math.h>
#include <string.h>

void *
pyexec_decode_fail(pyexec_reader *r, const char *reason)
{
    if (r->reason == NULL) {
        r->reason = reason;
    }
    return NULL;
}

enum { INDEFINITE = 31 };

static inline bool
read_head(pyexec_reader *r, int *major, uint8_t *info, uint64_t *n)
{
    if (r->p >= r->end) {
        pyexec_decode_fail(r, "the encoding ends too early");
        return false;
    }
    uint8_t b = *r->p++;
    *major = b >> 5;
    *info = b & 31;
    *n = *info;
    if (*info < 24 || *info == INDEFINITE) {
        return true;
    }
    if (*info > 27) {
        pyexec_decode_fail(r, "the encoding is malformed");
        return false;
    }
    size_t size = (size_t)1 << (*info - 24);
    if ((size_t)(r->end - r->p) < size) {
        pyexec_decode_fail(r, "the encoding ends too early");
        return false;
    }
    *n = 0;
    for (size_t i = 0; i < size; i++) {
        *n = *n << 8 | *r->p++;
    }
    return true;
}

bool
pyexec_decode_head(pyexec_reader *r, int *major, uint8_t *info, uint64_t *n)
{
    return read_head(r, major, info, n);
}

bool
pyexec_decode_array(pyexec_reader *r, uint64_t *n)
{
    int major = 0;
    uint8_t info = 0;
    if (!pyexec_decode_head(r, &major, &info, n)) {
        return false;
    }
    if (major != CBOR_ARRAY || info == INDEFINITE || *n > (uint64_t)(r->end - r->p)) {
        pyexec_decode_fail(r, "the encoding is malformed");
        return false;
    }
    return true;
}

bool
pyexec_decode_int(pyexec_reader *r, int64_t *v)
{
    int major = 0;
    uint8_t info = 0;
    uint64_t n = 0;
    if (!pyexec_decode_head(r, &major, &info, &n)) {
        return false;
    }
    if (major > CBOR_NEGATIVE || info == INDEFINITE || n > INT64_MAX) {
        pyexec_decode_fail(r, "the encoding is malformed");
        return false;
    }
    *v = major == CBOR_UINT ? (int64_t)n : -1 - (int64_t)n;
    return true;
}

bool
pyexec_decode_bytes(pyexec_reader *r, int want, const uint8_t **s, size_t *n)
{
    int major = 0;
    uint8_t info = 0;
    uint64_t len = 0;
    if (!pyexec_decode_head(r, &major, &info, &len)) {
        return false;
    }
    if (major != want || info == INDEFINITE || len > (uint64_t)(r->end - r->p)) {
        pyexec_decode_fail(r, "the encoding is malformed");
        return false;
    }
    *s = r->p;
    *n = (size_t)len;
    r->p += len;
    return true;
}

bool
pyexec_decode_null(pyexec_reader *r)
{
    if (r->p < r->end && *r->p == CBOR_NULL) {
        r->p++;
        return true;
    }
    return false;
}

double
pyexec_half_to_double(uint16_t h) /* RFC 8949 appendix D */
{
    int exponent = (h >> 10) & 0x1f;
    int mantissa = h & 0x3ff;
    double d = 0;
    if (exponent == 0) {
        d = ldexp(mantissa, -24);
    }
    else if (exponent != 31) {
        d = ldexp(mantissa + 1024, exponent - 25);
    }
    else {
        d = mantissa == 0 ? INFINITY : NAN;
    }
    return (h & 0x8000) != 0 ? -d : d;
}

static PyObject *
decode_simple(pyexec_reader *r, uint8_t info, uint64_t n)
{
    uint32_t f32 = 0;
    float f = 0;
    double d = 0;
    switch (info) {
    case 20:
        return Py_NewRef(Py_False);
    case 21:
        return Py_NewRef(Py_True);
    case 22:
    case 23: /* undefined */
        return Py_NewRef(Py_None);
    case 25:
        return PyFloat_FromDouble(pyexec_half_to_double((uint16_t)n));
    case 26:
        f32 = (uint32_t)n;
        memcpy(&f, &f32, sizeof f);
        return PyFloat_FromDouble(f);
    case 27:
        memcpy(&d, &n, sizeof d);
        return PyFloat_FromDouble(d);
    default:
        return pyexec_decode_fail(r, "the encoding holds a simple value that has no Python form");
    }
}

static PyObject *
decode_string(pyexec_reader *r, int major, uint8_t info, uint64_t n)
{
    if (info == INDEFINITE) {
        return pyexec_decode_fail(r, "the encoding holds a string of unknown length");
    }
    if (n > (uint64_t)(r->end - r->p)) {
        return pyexec_decode_fail(r, "the encoding ends too early");
    }
    const char *s = (const char *)r->p;
    r->p += n;
    if (major == CBOR_BYTES) {
        return PyBytes_FromStringAndSize(s, (Py_ssize_t)n);
    }
    PyObject *str = PyUnicode_DecodeUTF8(s, (Py_ssize_t)n, NULL);
    if (str == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return pyexec_decode_fail(r, "a string is not valid UTF-8");
    }
    return str;
}

static bool
at_break(pyexec_reader *r)
{
    if (r->p < r->end && *r->p == CBOR_BREAK) {
        r->p++;
        return true;
    }
    return false;
}

/* Items of an array as a list; a head of known length cannot promise more items than there are bytes. */
static PyObject *
decode_list(pyexec_reader *r, uint8_t info, uint64_t n)
{
    bool open = info == INDEFINITE;
    if (!open && n > (uint64_t)(r->end - r->p)) {
        return pyexec_decode_fail(r, "the encoding ends too early");
    }
    bool grow = open || n > 1 << 16; /* heads within heads must not add up to more than the items that come */
    PyObject *list = PyList_New(grow ? 0 : (Py_ssize_t)n); /* new */
    if (list == NULL) {
        return NULL;
    }
    for (uint64_t i = 0; open ? !at_break(r) : i < n; i++) {
        PyObject *item = pyexec_decode(r); /* new */
        if (item == NULL) {
            goto error;
        }
        if (!grow) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, item); /* stolen */
            continue;
        }
        int rc = PyList_Append(list, item);
        Py_DECREF(item);
        if (rc < 0) {
            goto error;
        }
    }
    return list;

error:
    Py_DECREF(list);
    return NULL;
}

/* Many dicts have the same keys: one str serves for all, whose hash is known then. */
static PyObject * /* new */
decode_key(pyexec_reader *r)
{
    size_t n = r->p < r->end ? *r->p - (CBOR_TEXT << 5) : 0; /* huge if it is anything before a short text */
    if (r->keys == NULL || n == 0 || n > 23 || n >= (size_t)(r->end - r->p)) {
        return pyexec_decode(r);
    }
    const uint8_t *s = r->p + 1;
    PyObject **kept = &r->keys[(n ^ s[0] ^ s[n - 1]) % PYEXEC_READER_KEYS]; /* owned */
    if (*kept != NULL && (size_t)PyUnicode_GET_LENGTH(*kept) == n && memcmp(PyUnicode_1BYTE_DATA(*kept), s, n) == 0) {
        r->p += 1 + n;
        return Py_NewRef(*kept);
    }
    PyObject *key = pyexec_decode(r); /* new */
    if (key != NULL && PyUnicode_IS_COMPACT_ASCII(key)) {
        Py_XSETREF(*kept, Py_NewRef(key));
    }
    return key;
}

static PyObject *
decode_dict(pyexec_reader *r, uint8_t info, uint64_t n)
{
    bool open = info == INDEFINITE;
    PyObject *key = NULL, *value = NULL;
    PyObject *dict = PyDict_New(); /* new */
    if (dict == NULL) {
        return NULL;
    }
    for (uint64_t i = 0; open ? !at_break(r) : i < n; i++) {
        key = decode_key(r);                           /* new */
        value = key == NULL ? NULL : pyexec_decode(r); /* new */
        if (value == NULL) {
            goto error;
        }
        if (PyDict_SetItem(dict, key, value) < 0) {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Clear();
                pyexec_decode_fail(r, "a map has a key that Python cannot hash (a list, a dict or a set)");
            }
            goto error;
        }
        Py_CLEAR(key);
        Py_CLEAR(value);
    }
    return dict;

error:
    Py_XDECREF(key);
    Py_XDECREF(value);
    Py_DECREF(dict);
    return NULL;
}

static PyObject *
decode_big(pyexec_reader *r, bool negative)
{
    int major = 0;
    uint8_t info = 0;
    uint64_t n = 0;
    if (!pyexec_decode_head(r, &major, &info, &n)) {
        return NULL;
    }
    if (major != CBOR_BYTES || info == INDEFINITE || n > (uint64_t)(r->end - r->p)) {
        return pyexec_decode_fail(r, "a big integer is malformed");
    }
    PyObject *v = pyexec_long_from_big_endian(r->p, (size_t)n); /* new */
    r->p += n;
    if (v != NULL && negative) {
        Py_SETREF(v, PyLong_Type.tp_as_number->nb_invert(v));
    }
    return v;
}

/* Types of modules. Nothing that is computed with them is plain any more. */
static PyObject *
decode_rich(pyexec_reader *r, uint64_t tag)
{
    if (r->k != NULL) {
        r->k->inputs_plain = false;
    }
    switch (tag) {
    case CBOR_TAG_DECIMAL:
        return pyexec_decode_decimal(r);
    case CBOR_TAG_RATIONAL:
        return pyexec_decode_fraction(r);
    case CBOR_TAG_UUID:
        return pyexec_decode_uuid(r);
    case CBOR_TAG_PATH:
        return pyexec_decode_path(r);
    case CBOR_TAG_DATETIME:
        return pyexec_decode_datetime(r);
    case CBOR_TAG_DATE:
        return pyexec_decode_date(r);
    case CBOR_TAG_TIME:
        return pyexec_decode_time(r);
    case CBOR_TAG_DELTA:
        return pyexec_decode_delta(r);
    case CBOR_TAG_MEMORY:
        return pyexec_decode_memory(r);
    default:
        break;
    }
    if (tag == CBOR_TAG_SHAPED || tag == CBOR_TAG_BOOLS || tag == CBOR_TAG_COMPLEXES ||
        (tag >= CBOR_TAG_TYPED && tag < CBOR_TAG_TYPED + 24)) {
        return pyexec_decode_ndarray(r, tag);
    }
    return pyexec_decode_fail(r, "it has a form (CBOR tag) that pyexec does not know");
}

static PyObject *
decode_tagged(pyexec_reader *r, uint64_t tag)
{
    PyObject *v = NULL, *made = NULL;
    if (tag == CBOR_TAG_BIG || tag == CBOR_TAG_NEGATIVE_BIG) {
        return decode_big(r, tag == CBOR_TAG_NEGATIVE_BIG);
    }
    if (tag == CBOR_TAG_COMPLEX) {
        return pyexec_decode_complex(r);
    }
    if (tag != CBOR_TAG_TUPLE && tag != CBOR_TAG_SET && tag != CBOR_TAG_FROZENSET) {
        return decode_rich(r, tag);
    }
    v = pyexec_decode(r); /* new */
    if (v == NULL) {
        return NULL;
    }
    if (!PyList_CheckExact(v)) {
        Py_DECREF(v);
        return pyexec_decode_fail(r, "the encoding is malformed");
    }
    switch (tag) {
    case CBOR_TAG_TUPLE:
        made = PyList_AsTuple(v);
        break;
    case CBOR_TAG_SET:
        made = PySet_New(v);
        break;
    default:
        made = PyFrozenSet_New(v);
        break;
    }
    Py_DECREF(v);
    if (made == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        return pyexec_decode_fail(r, "a set has an item that Python cannot hash (a list, a dict or a set)");
    }
    return made;
}

PyObject *
pyexec_decode(pyexec_reader *r)
{
    int major = 0;
    uint8_t info = 0;
    uint64_t n = 0;
    if (!read_head(r, &major, &info, &n)) {
        return NULL;
    }
    if (info == INDEFINITE && (major < CBOR_BYTES || major == CBOR_TAG || major == 7)) {
        return pyexec_decode_fail(r, "the encoding is malformed");
    }
    switch (major) {
    case CBOR_UINT:
        return PyLong_FromUnsignedLongLong(n);
    case CBOR_NEGATIVE: {
        PyObject *v = PyLong_FromUnsignedLongLong(n); /* new */
        if (v != NULL) {
            Py_SETREF(v, PyLong_Type.tp_as_number->nb_invert(v));
        }
        return v;
    }
    case CBOR_BYTES:
    case CBOR_TEXT:
        return decode_string(r, major, info, n);
    case 7:
        return decode_simple(r, info, n);
    default:
        break;
    }

    if (r->depth >= r->max_depth) {
        return pyexec_decode_fail(r, "it is nested too deep");
    }
    r->depth++;
    PyObject *v = NULL;
    if (major == CBOR_ARRAY) {
        v = decode_list(r, info, n);
    }
    else if (major == CBOR_MAP) {
        v = decode_dict(r, info, n);
    }
    else {
        v = decode_tagged(r, n);
    }
    r->depth--;
    return v;
}

/* The call's input: a CBOR map of names to values, set into dict. */
int
pyexec_decode_vars(pyexec_kernel *k, PyObject *dict, const char *p, size_t n)
{
    PyObject *keys[PYEXEC_READER_KEYS] = {NULL};
    pyexec_reader r = {.p = (const uint8_t *)p, .end = (const uint8_t *)p + n, .max_depth = k->config.max_depth,
                       .keys = keys, .k = k};
    int result = -1;
    int major = 0;
    uint8_t info = 0;
    uint64_t count = 0;
    const char *name = "";
    size_t name_len = 0;
    PyObject *key = NULL, *value = NULL;

    if (!pyexec_decode_head(&r, &major, &info, &count) || major != CBOR_MAP || info == INDEFINITE) {
        pyexec_decode_fail(&r, "the encoding is malformed");
        goto error;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t len = 0;
        if (!pyexec_decode_head(&r, &major, &info, &len)) {
            goto error;
        }
        if (major != CBOR_TEXT || info == INDEFINITE || len > (uint64_t)(r.end - r.p)) {
            pyexec_decode_fail(&r, "the encoding is malformed");
            goto error;
        }
        name = (const char *)r.p;
        name_len = (size_t)len;
        key = PyUnicode_DecodeUTF8(name, (Py_ssize_t)name_len, NULL); /* new */
        if (key == NULL) {
            PyErr_Clear();
            pyexec_decode_fail(&r, "its name is not valid UTF-8");
            goto error;
        }
        r.p += len;
        value = pyexec_decode(&r); /* new */
        if (value == NULL || PyDict_SetItem(dict, key, value) < 0) {
            goto error;
        }
        Py_CLEAR(key);
        Py_CLEAR(value);
    }
    result = 0;
    goto done;

error:
    Py_XDECREF(key);
    Py_XDECREF(value);
    if (r.reason == NULL) {
        r.reason = PyErr_ExceptionMatches(PyExc_MemoryError) ? "out of memory" : "it cannot be built in Python";
    }
    PyErr_Clear();
    pyexec_cbor_head(&k->buf, CBOR_MAP, 2);
    pyexec_cbor_text(&k->buf, "name");
    pyexec_cbor_textn(&k->buf, name, name_len);
    pyexec_cbor_text(&k->buf, "reason");
    pyexec_cbor_text(&k->buf, r.reason);

done:
    for (int i = 0; i < PYEXEC_READER_KEYS; i++) {
        Py_XDECREF(keys[i]);
    }
    return result;
}
