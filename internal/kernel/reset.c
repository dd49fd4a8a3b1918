/* reset.c: the table of what a snippet can leave behind, and the one loop that puts it back.
 *
 * To add a row: an entry in pyexec_rows, of a kind in row_*.c (or a new kind beside them), and a case in the table of
 * reset_test.go. Whatever a row looks at must be watched (watch.c), or the loop is never entered. */
#include "compat.h"

#include "kernel.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define IN_PLACE "undone in place"

const pyexec_row pyexec_rows[] = {
    {"sys.path", "sys", "path", pyexec_list_snapshot, pyexec_list_restore,
     "its items' pointers, and the version of the sys module's dict",
     "the original list object gets its original items back and is bound again", "a pointer compare per item", IN_PLACE},
    {"sys.argv", "sys", "argv", pyexec_list_snapshot, pyexec_list_restore,
     "its items' pointers, and the version of the sys module's dict",
     "the original list object gets its original items back and is bound again", "a pointer compare per item", IN_PLACE},
    {"os.environ", "os", "environ", pyexec_environ_snapshot, pyexec_environ_restore,
     "the versions of the mapping's dicts, and the pointers of the C environ (which os.putenv changes, too)",
     "setenv and unsetenv per variable, the mapping refilled in its original order and bound again; what the host "
     "itself set meanwhile stays", "a pointer compare per variable", IN_PLACE},
};

enum { ROWS = sizeof pyexec_rows / sizeof *pyexec_rows, ROUNDS = 4 };
_Static_assert((int)ROWS <= (int)PYEXEC_MAX_ROWS, "PYEXEC_MAX_ROWS is too small");

size_t
pyexec_row_count(void)
{
    return ROWS;
}

void
pyexec_row_describe(size_t i, pyexec_row_text *text)
{
    const pyexec_row *r = &pyexec_rows[i];
    *text = (pyexec_row_text){r->name, r->noticed, r->undone, r->cost, r->level};
}

int
pyexec_reset_init(pyexec_kernel *k)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (pyexec_rows[i].snapshot(k, &pyexec_rows[i], &k->rows[i]) < 0) {
            return -1;
        }
    }
    pyexec_watch_accept(k);
    return pyexec_watch_environ(k);
}

void
pyexec_reset_clear(pyexec_kernel *k)
{
    for (size_t i = 0; i < ROWS; i++) {
        Py_CLEAR(k->rows[i].owner);
        Py_CLEAR(k->rows[i].key);
        Py_CLEAR(k->rows[i].object);
        Py_CLEAR(k->rows[i].contents);
    }
    Py_CLEAR(k->environ_vars);
    pyexec_watch_clear(k);
}

void
pyexec_reset_before(pyexec_kernel *k)
{
    if (__builtin_expect(!pyexec_watch_environ_quiet(k), 0)) {
        pyexec_environ_adopt(k);
    }
}

/* Releasing what a snippet had put somewhere can run its finalizers, which can change things again: so rows are looked
 * at until a whole round finds nothing, and a snippet that always finds something taints the interpreter. */
void
pyexec_reset_after(pyexec_kernel *k)
{
    const pyexec_row *last = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        if (pyexec_watch_quiet(k)) {
            return;
        }
        last = NULL;
        k->burying = round == ROUNDS - 1;
        for (size_t i = 0; i < ROWS; i++) {
            int rc = pyexec_rows[i].restore(k, &pyexec_rows[i], &k->rows[i]);
            if (rc < 0) {
                PyErr_Clear();
                pyexec_taint(k, "%s could not be put back", pyexec_rows[i].name);
            }
            if (rc != 0) {
                last = &pyexec_rows[i];
            }
        }
        pyexec_watch_accept(k);
        if (last == NULL) {
            k->burying = false;
            return;
        }
        pyexec_gc_collect(k); /* what only the changed state had kept alive */
    }
    k->burying = false;
    pyexec_taint(k, "%s changes again each time it is put back", last->name);
}

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
    else {
        snprintf(text, sizeof text, "<%.200s object>", Py_TYPE(v)->tp_name);
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
