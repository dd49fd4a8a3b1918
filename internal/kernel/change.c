/* change.c: what the rows of the reset table say of what they found: the report of a change, the taint that asks for a
 * recycle, and the graveyard. */
#include "compat.h"

#include "kernel.h"

#include <stdarg.h>
#include <stdio.h>

void
pyexec_bury(pyexec_kernel *k, PyObject *v)
{
    if (!k->burying || v == NULL) {
        return;
    }
    if (k->graveyard == NULL) {
        k->graveyard = PyList_New(0); /* new */
    }
    if (k->graveyard == NULL || PyList_Append(k->graveyard, v) < 0) {
        PyErr_Clear();
    }
}

/* Config.Keep: a name there stands for itself and for all that is in it. */
bool
pyexec_keeps(pyexec_kernel *k, PyObject *name)
{
    const char *keep = k->config.keep;
    const char *s = keep == NULL || *keep == '\0' ? NULL : PyUnicode_AsUTF8(name);
    PyErr_Clear();
    for (const char *p = keep; s != NULL && *p != '\0';) {
        size_t n = strcspn(p, "\n");
        if (strncmp(p, s, n) == 0 && (s[n] == '\0' || s[n] == '.' || s[n] == '[')) {
            return true;
        }
        p += n + (p[n] == '\n');
    }
    return false;
}

void
pyexec_taint(pyexec_kernel *k, const char *format, ...)
{
    if (k->taint[0] != '\0') {
        return; /* the first reason is the one that explains the rest */
    }
    va_list args;
    va_start(args, format);
    vsnprintf(k->taint, sizeof k->taint, format, args);
    va_end(args);
}

/* ---- reports: text only, so that no Python object is kept alive and no Python code runs ---- */

enum { MAX_TEXT = 4096, MAX_ITEMS = 4096 };

static void
put_text(pyexec_buf *b, PyObject *v)
{
    char text[256];
    if (v == NULL || v == Py_None) {
        pyexec_cbor_text(b, v == NULL ? NULL : "None");
    }
    else if (PyUnicode_Check(v)) {
        Py_ssize_t n = PyUnicode_GET_LENGTH(v);
        if (n <= MAX_TEXT) {
            pyexec_cbor_str(b, v);
            return;
        }
        PyObject *head = PyUnicode_Substring(v, 0, MAX_TEXT); /* new */
        PyObject *cut = head == NULL ? NULL : PyUnicode_FromFormat("%U...", head); /* new */
        if (cut == NULL) {
            PyErr_Clear();
            pyexec_cbor_text(b, "...");
        }
        else {
            pyexec_cbor_str(b, cut);
        }
        Py_XDECREF(head);
        Py_XDECREF(cut);
    }
    else if (PyBytes_Check(v)) {
        Py_ssize_t n = PyBytes_GET_SIZE(v) < MAX_TEXT ? PyBytes_GET_SIZE(v) : MAX_TEXT;
        PyObject *s = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(v), n, "backslashreplace"); /* new */
        if (s == NULL) {
            PyErr_Clear();
            pyexec_cbor_text(b, "...");
            return;
        }
        pyexec_cbor_str(b, s);
        Py_DECREF(s);
    }
    else if (PyLong_CheckExact(v) || PyFloat_CheckExact(v) || PyBool_Check(v)) {
        PyObject *s = PyObject_Repr(v); /* new; runs no code but C */
        if (s == NULL) { /* too many digits */
            PyErr_Clear();
            pyexec_cbor_text(b, "...");
            return;
        }
        pyexec_cbor_str(b, s);
        Py_DECREF(s);
    }
    else if (PyType_Check(v) || PyFunction_Check(v)) {
        PyObject *name = PyType_Check(v) ? PyType_GetQualName((PyTypeObject *)v)
                                         : Py_NewRef(((PyFunctionObject *)v)->func_qualname); /* new */
        PyObject *s = name == NULL ? NULL
                                   : PyUnicode_FromFormat("<%s %U>", PyType_Check(v) ? "class" : "function", name); /* new */
        if (s == NULL) {
            PyErr_Clear();
            pyexec_cbor_text(b, "...");
        }
        else {
            pyexec_cbor_str(b, s);
        }
        Py_XDECREF(s);
        Py_XDECREF(name);
    }
    else {
        const char *name = Py_TYPE(v)->tp_name;
        size_t n = strlen(name) < 200 ? strlen(name) : 200;
        while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) {
            n--; /* not in the middle of a character */
        }
        snprintf(text, sizeof text, "<%.*s object>", (int)n, name);
        pyexec_cbor_text(b, text);
    }
}

void
pyexec_change_begin(pyexec_kernel *k, const pyexec_row *row)
{
    pyexec_cbor_head(&k->changes, CBOR_ARRAY, 4);
    pyexec_cbor_text(&k->changes, row->name);
    pyexec_buf_byte(&k->changes, CBOR_TRUE);
}

static bool
has_underscore(PyObject *name, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i + 1 < n; i++) {
        if (PyUnicode_READ_CHAR(name, i) == '.' && PyUnicode_READ_CHAR(name, i + 1) == '_') {
            return true;
        }
    }
    return false;
}

/* What a module keeps for itself, a name with an underscore in front, is put back without a report: caches fill in the
 * course of ordinary work. copyreg's __slotnames__ is such a one, too. anywhere: what is in something private is private. */
bool
pyexec_is_private(PyObject *name, bool anywhere)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(name), dot = PyUnicode_FindChar(name, '.', 0, n, -1);
    bool private = anywhere ? has_underscore(name, n)
                            : dot >= 0 && dot + 2 < n && PyUnicode_READ_CHAR(name, dot + 1) == '_' &&
                                  PyUnicode_READ_CHAR(name, dot + 2) != '_';
    PyObject *cache = private ? NULL : PyUnicode_FromString(".__slotnames__"); /* new */
    private = private || (cache != NULL && PyUnicode_Tailmatch(name, cache, 0, n, 1) == 1);
    PyErr_Clear();
    Py_XDECREF(cache);
    return private;
}

void
pyexec_change_named(pyexec_kernel *k, PyObject *name)
{
    pyexec_cbor_head(&k->changes, CBOR_ARRAY, 4);
    pyexec_cbor_str(&k->changes, name);
    pyexec_buf_byte(&k->changes, CBOR_TRUE);
}

/* A list or tuple as its items' texts, a dict as a map of texts, anything else as one text. */
void
pyexec_change_repr(pyexec_kernel *k, PyObject *v)
{
    pyexec_buf *b = &k->changes;
    if (v != NULL && (PyList_CheckExact(v) || PyTuple_CheckExact(v))) {
        PyObject **items = PyList_CheckExact(v) ? ((PyListObject *)v)->ob_item : ((PyTupleObject *)v)->ob_item;
        Py_ssize_t n = Py_SIZE(v) < MAX_ITEMS ? Py_SIZE(v) : MAX_ITEMS;
        pyexec_cbor_head(b, CBOR_ARRAY, (uint64_t)n);
        for (Py_ssize_t i = 0; i < n; i++) {
            put_text(b, items[i]);
        }
        return;
    }
    if (v != NULL && PyDict_CheckExact(v)) {
        PyObject *key = NULL, *value = NULL; /* borrowed */
        Py_ssize_t pos = 0, n = 0;
        pyexec_buf_byte(b, CBOR_OPEN_MAP);
        while (n++ < MAX_ITEMS && PyDict_Next(v, &pos, &key, &value)) {
            put_text(b, key);
            put_text(b, value == Py_None ? NULL : value);
        }
        pyexec_buf_byte(b, CBOR_BREAK);
        return;
    }
    put_text(b, v);
}

void
pyexec_report(pyexec_kernel *k, const pyexec_row *row, const char *before, const char *after)
{
    pyexec_change_begin(k, row);
    pyexec_cbor_text(&k->changes, before);
    pyexec_cbor_text(&k->changes, after);
}

static bool
is_plain(PyObject *v) /* its repr runs no code of a snippet's */
{
    if (PyTuple_CheckExact(v)) {
        bool plain = true;
        for (Py_ssize_t i = 0; plain && i < PyTuple_GET_SIZE(v); i++) {
            plain = is_plain(PyTuple_GET_ITEM(v, i));
        }
        return plain;
    }
    return v == Py_None || PyUnicode_CheckExact(v) || PyBool_Check(v) || PyLong_CheckExact(v) || PyFloat_CheckExact(v);
}

static void
put_plain(pyexec_kernel *k, PyObject *v /* borrowed, may be NULL */)
{
    PyObject *s = v != NULL && !PyUnicode_Check(v) && is_plain(v) ? PyObject_Repr(v) : NULL; /* new */
    PyErr_Clear();
    pyexec_change_repr(k, s != NULL ? s : v);
    Py_XDECREF(s);
}

void
pyexec_report_values(pyexec_kernel *k, const pyexec_row *row, PyObject *before, PyObject *after)
{
    pyexec_change_begin(k, row);
    put_plain(k, before);
    put_plain(k, after);
}
