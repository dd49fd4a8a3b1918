/* buf.c: growing bytes, and the CBOR heads written into them (RFC 8949 section 3). */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>

bool
pyexec_buf_grow(pyexec_buf *b, size_t n)
{
    if (b->failed || b->lent || n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
        b->failed = true;
        return false;
    }
    size_t cap = b->cap < 256 ? 256 : b->cap * 2;
    while (cap < b->len + n) {
        cap *= 2;
    }
    uint8_t *p = realloc(b->p, cap);
    if (p == NULL) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void
pyexec_buf_free(pyexec_buf *b)
{
    if (!b->lent) {
        free(b->p);
    }
    *b = (pyexec_buf){0};
}

void
pyexec_cbor_long_head(pyexec_buf *b, int major, uint64_t n)
{
    uint8_t head[9];
    size_t len = 0;
    uint8_t m = (uint8_t)(major << 5);
    if (n <= 0xff) {
        head[0] = m | 24;
        len = 2;
    }
    else if (n <= 0xffff) {
        head[0] = m | 25;
        len = 3;
    }
    else if (n <= 0xffffffff) {
        head[0] = m | 26;
        len = 5;
    }
    else {
        head[0] = m | 27;
        len = 9;
    }
    for (size_t i = len - 1; i > 0; i--) {
        head[i] = (uint8_t)n;
        n >>= 8;
    }
    pyexec_buf_put(b, head, len);
}

void
pyexec_cbor_textn(pyexec_buf *b, const char *s, size_t n)
{
    pyexec_cbor_head(b, CBOR_TEXT, n);
    pyexec_buf_put(b, s, n);
}

void
pyexec_cbor_text(pyexec_buf *b, const char *s)
{
    if (s == NULL) {
        pyexec_buf_byte(b, CBOR_NULL);
        return;
    }
    pyexec_cbor_textn(b, s, strlen(s));
}

void
pyexec_cbor_int(pyexec_buf *b, int64_t v)
{
    if (v < 0) {
        pyexec_cbor_head(b, CBOR_NEGATIVE, (uint64_t)(-1 - v));
    }
    else {
        pyexec_cbor_head(b, CBOR_UINT, (uint64_t)v);
    }
}

void
pyexec_cbor_str(pyexec_buf *b, PyObject *str)
{
    Py_ssize_t n = 0;
    const char *s = PyUnicode_AsUTF8AndSize(str, &n);
    if (s != NULL) {
        pyexec_cbor_textn(b, s, (size_t)n);
        return;
    }
    PyErr_Clear();
    PyObject *bytes = PyUnicode_AsEncodedString(str, "utf-8", "backslashreplace"); /* new */
    if (bytes == NULL) {
        PyErr_Clear();
        pyexec_cbor_text(b, "?");
        return;
    }
    pyexec_cbor_textn(b, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
}
