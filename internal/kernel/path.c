/* path.c: POSIX paths of pathlib, both ways. Their text is put together here as PurePath.__str__ does, from the slots that
 * 3.11 (drive, root and parts, the first part being the anchor) or 3.12 and later (the strings the path was made of) keep. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

/* All of list as UTF-8 strings, each through add. */
static int
each(PyObject *list, Py_ssize_t from, pyexec_buf *b, void (*add)(pyexec_buf *b, const char *s, size_t n))
{
    if (list == NULL || !PyList_Check(list)) {
        return -1;
    }
    for (Py_ssize_t i = from; i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i); /* borrowed */
        Py_ssize_t n = 0;
        const char *s = PyUnicode_Check(item) ? PyUnicode_AsUTF8AndSize(item, &n) : NULL;
        if (s == NULL) {
            PyErr_Clear();
            return -1;
        }
        add(b, s, (size_t)n);
    }
    return 0;
}

static void
add_part(pyexec_buf *b, const char *s, size_t n)
{
    if (b->len > 0 && b->p[b->len - 1] != '/') {
        pyexec_buf_byte(b, '/');
    }
    pyexec_buf_put(b, s, n);
}

static void
add_joined(pyexec_buf *b, const char *s, size_t n) /* as posixpath.join: an absolute one starts over */
{
    if (n > 0 && s[0] == '/') {
        b->len = 0;
    }
    add_part(b, s, n);
}

/* In place: no empty parts but for two leading slashes, no parts "." */
static void
normalize(pyexec_buf *b)
{
    const char *s = (const char *)b->p;
    size_t n = b->len, i = 0, out = 0;
    while (i < n && s[i] == '/') {
        i++;
    }
    size_t root = i == 2 ? 2 : i > 0;
    out = root;
    while (i < n) {
        size_t end = i;
        while (end < n && s[end] != '/') {
            end++;
        }
        if (end > i && !(end == i + 1 && s[i] == '.')) {
            if (out > root) {
                b->p[out++] = '/';
            }
            memmove(b->p + out, b->p + i, end - i);
            out += end - i;
        }
        i = end + 1;
    }
    b->len = out;
}

static int
put_text(pyexec_buf *b, PyObject *str)
{
    Py_ssize_t n = 0;
    const char *s = str != NULL && PyUnicode_Check(str) ? PyUnicode_AsUTF8AndSize(str, &n) : NULL;
    if (s == NULL) {
        PyErr_Clear();
        return -1;
    }
    pyexec_buf_put(b, s, (size_t)n);
    return 0;
}

int
pyexec_encode_path(pyexec_writer *w, PyObject *v)
{
    const pyexec_known *known = &w->k->known;
    int result = -1;
    pyexec_buf text = {0};
    PyObject *raw = NULL, *drive = NULL, *root = NULL, *parts = NULL;
    PyObject *str = pyexec_slot(known, KNOWN_PATH_STR, v); /* new; NULL: not asked for yet */
    if (str != NULL) {
        result = put_text(&text, str);
    }
    else if (known->at[KNOWN_PATH_RAW] != NULL) {
        raw = pyexec_slot(known, KNOWN_PATH_RAW, v); /* new */
        result = each(raw, 0, &text, add_joined);
        normalize(&text);
    }
    else {
        drive = pyexec_slot(known, KNOWN_PATH_DRIVE, v); /* new, as the next two */
        root = pyexec_slot(known, KNOWN_PATH_ROOT, v);
        parts = pyexec_slot(known, KNOWN_PATH_PARTS, v);
        if (put_text(&text, drive) == 0 && put_text(&text, root) == 0) {
            result = each(parts, text.len > 0 ? 1 : 0, &text, add_part);
        }
    }
    if (result < 0) {
        pyexec_encode_fail(w, "it is no path of strings that UTF-8 can carry", v);
    }
    else if (text.failed) {
        result = pyexec_encode_fail(w, "out of memory", v);
    }
    else if (!pyexec_encode_fits(w, text.len + 1, v)) {
        result = -1;
    }
    else {
        pyexec_cbor_head(w->out, CBOR_TAG, CBOR_TAG_PATH);
        pyexec_cbor_textn(w->out, text.len > 0 ? (const char *)text.p : ".", text.len > 0 ? text.len : 1);
    }
    pyexec_buf_free(&text);
    Py_XDECREF(str);
    Py_XDECREF(raw);
    Py_XDECREF(drive);
    Py_XDECREF(root);
    Py_XDECREF(parts);
    return result;
}

static int
set(PyObject *v, PyObject *descriptor, PyObject *value /* stolen, may be NULL */)
{
    int result = value == NULL ? -1 : Py_TYPE(descriptor)->tp_descr_set(descriptor, v, value);
    Py_XDECREF(value);
    return result;
}

/* The parts of 3.11: the root, if there is one, and what stands between slashes. */
static PyObject * /* new */
split(const char *s, size_t n, size_t root)
{
    PyObject *parts = PyList_New(0); /* new */
    size_t i = root;
    for (bool first = root > 0; parts != NULL && (first || i < n); first = false) {
        const char *slash = first ? s + root : memchr(s + i, '/', n - i);
        size_t end = slash == NULL ? n : (size_t)(slash - s);
        size_t from = first ? 0 : i;
        PyObject *part = PyUnicode_DecodeUTF8(s + from, (Py_ssize_t)(end - from), NULL); /* new */
        if (part != NULL) {
            PyUnicode_InternInPlace(&part);
        }
        if (part == NULL || PyList_Append(parts, part) < 0) {
            Py_CLEAR(parts);
        }
        Py_XDECREF(part);
        i = first ? root : end + 1;
    }
    return parts;
}

PyObject *
pyexec_decode_path(pyexec_reader *r)
{
    const uint8_t *s = NULL;
    size_t n = 0;
    pyexec_buf text = {0};
    PyObject *v = NULL;
    if (!pyexec_decode_bytes(r, CBOR_TEXT, &s, &n) || pyexec_known_need(r, KNOWN_PATH) == NULL) {
        return NULL;
    }
    const pyexec_known *known = &r->k->known;
    PyTypeObject *type = (PyTypeObject *)known->at[KNOWN_PATH];
    PyObject *raw = known->at[KNOWN_PATH_RAW]; /* borrowed */
    if (raw == NULL && (known->at[KNOWN_PATH_DRIVE] == NULL || known->at[KNOWN_PATH_ROOT] == NULL ||
                        known->at[KNOWN_PATH_PARTS] == NULL)) {
        return pyexec_decode_fail(r, "this Python's paths are of a kind that pyexec does not know");
    }
    if (memchr(s, '\0', n) != NULL) {
        return pyexec_decode_fail(r, "it is no path: there is a NUL byte in it");
    }
    pyexec_buf_put(&text, s, n);
    if (text.failed) {
        return PyErr_NoMemory();
    }
    normalize(&text);
    const char *p = (const char *)text.p;
    v = type->tp_alloc(type, 0); /* new */
    if (v == NULL) {
        goto done;
    }
    int rc = 0;
    if (raw != NULL) {
        rc = set(v, raw, Py_BuildValue("[s#]", text.len > 0 ? p : "", (Py_ssize_t)text.len));
    }
    else {
        size_t root = text.len == 0 || p[0] != '/' ? 0 : text.len > 1 && p[1] == '/' ? 2 : 1;
        rc = set(v, known->at[KNOWN_PATH_DRIVE], PyUnicode_FromString(""));
        rc = rc < 0 ? rc : set(v, known->at[KNOWN_PATH_ROOT], PyUnicode_FromStringAndSize(p, (Py_ssize_t)root));
        rc = rc < 0 ? rc : set(v, known->at[KNOWN_PATH_PARTS], split(p, text.len, root));
    }
    if (rc < 0) {
        Py_CLEAR(v);
        if (PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            PyErr_Clear();
            pyexec_decode_fail(r, "a string is not valid UTF-8");
        }
    }

done:
    pyexec_buf_free(&text);
    return v;
}
