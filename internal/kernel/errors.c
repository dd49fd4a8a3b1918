/* errors.c: exceptions as CBOR records, read by errors.go. Getting an exception's text and attributes can run code of
 * the snippet (__str__, properties): all of it happens within the call, before anything is put back. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

enum { MAX_FRAMES = 200, MAX_RECORDS = 256 };

/* An item of a type's dict, found without running code: type(name, bases, {Evil(): 1}) puts keys of any type there, and
 * a lookup could call their __eq__. */
static PyObject * /* borrowed */
plain_get(PyObject *dict, const char *name)
{
    PyObject *key = NULL, *value = NULL;
    Py_ssize_t pos = 0;
    while (dict != NULL && PyDict_Next(dict, &pos, &key, &value)) {
        if (PyUnicode_CheckExact(key) && PyUnicode_CompareWithASCIIString(key, name) == 0) {
            return value;
        }
    }
    return NULL;
}

void
pyexec_put_type(pyexec_buf *b, PyTypeObject *type)
{
    PyObject *module = NULL, *name = NULL, *full = NULL;
    if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0) {
        pyexec_cbor_text(b, strncmp(type->tp_name, "builtins.", 9) == 0 ? type->tp_name + 9 : type->tp_name);
        return;
    }
    name = Py_XNewRef(((PyHeapTypeObject *)type)->ht_qualname);
    module = Py_XNewRef(plain_get(type->tp_dict, "__module__"));
    if (name == NULL || !PyUnicode_Check(name)) {
        pyexec_cbor_text(b, type->tp_name);
    }
    else if (module == NULL || !PyUnicode_Check(module) ||
             PyUnicode_CompareWithASCIIString(module, "builtins") == 0 ||
             PyUnicode_CompareWithASCIIString(module, "__main__") == 0 ||
             (full = PyUnicode_FromFormat("%U.%U", module, name)) == NULL) {
        pyexec_cbor_str(b, name);
    }
    else {
        pyexec_cbor_str(b, full);
    }
    PyErr_Clear();
    Py_XDECREF(module);
    Py_XDECREF(name);
    Py_XDECREF(full);
}

static void
put_str_of(pyexec_buf *b, PyObject *v)
{
    PyObject *s = PyObject_Str(v); /* new */
    if (s == NULL) {
        PyErr_Clear();
        pyexec_cbor_text(b, "<exception str() failed>");
        return;
    }
    pyexec_cbor_str(b, s);
    Py_DECREF(s);
}

static void
put_attr_str(pyexec_buf *b, const char *name, PyObject *v, const char *attr)
{
    PyObject *s = PyObject_GetAttrString(v, attr); /* new */
    PyErr_Clear();
    pyexec_cbor_text(b, name);
    if (s != NULL && PyUnicode_Check(s)) {
        pyexec_cbor_str(b, s);
    }
    else {
        pyexec_cbor_text(b, "");
    }
    Py_XDECREF(s);
}

static void
put_attr_int(pyexec_buf *b, const char *name, PyObject *v, const char *attr)
{
    PyObject *i = PyObject_GetAttrString(v, attr); /* new */
    PyErr_Clear();
    long n = i != NULL && PyLong_Check(i) ? PyLong_AsLong(i) : 0;
    PyErr_Clear();
    pyexec_cbor_text(b, name);
    pyexec_cbor_int(b, n);
    Py_XDECREF(i);
}

static void
put_frames(pyexec_buf *b, PyObject *exc)
{
    PyObject *tb = PyException_GetTraceback(exc); /* new */
    pyexec_buf_byte(b, CBOR_OPEN_ARRAY);
    /* Endless recursion has a thousand frames: the outermost and the innermost say it all. */
    size_t total = 0, i = 0;
    for (PyTracebackObject *t = (PyTracebackObject *)tb; t != NULL; t = t->tb_next) {
        total++;
    }
    for (PyTracebackObject *t = (PyTracebackObject *)tb; t != NULL; t = t->tb_next, i++) {
        if (total > MAX_FRAMES && i >= MAX_FRAMES / 2 && i < total - MAX_FRAMES / 2) {
            continue;
        }
        PyCodeObject *code = PyFrame_GetCode(t->tb_frame); /* new */
        int line = 0, column = 0, end_line = 0, end_column = 0;
        if (t->tb_lasti < 0 || PyCode_Addr2Location(code, t->tb_lasti, &line, &column, &end_line, &end_column) == 0) {
            column = end_column = -1;
        }
        line = t->tb_lineno > 0 ? t->tb_lineno : line;
        pyexec_cbor_head(b, CBOR_ARRAY, 6);
        pyexec_cbor_str(b, code->co_filename);
        pyexec_cbor_str(b, code->co_name);
        pyexec_cbor_int(b, line);
        pyexec_cbor_int(b, column + 1);
        pyexec_cbor_int(b, end_line);
        pyexec_cbor_int(b, end_column + 1);
        Py_DECREF(code);
    }
    pyexec_buf_byte(b, CBOR_BREAK);
    Py_XDECREF(tb);
}

static void
put_bases(pyexec_buf *b, PyTypeObject *type)
{
    PyObject *mro = Py_XNewRef(type->tp_mro); /* new */
    Py_ssize_t n = mro == NULL ? 0 : PyTuple_GET_SIZE(mro);
    pyexec_cbor_head(b, CBOR_ARRAY, (uint64_t)n);
    for (Py_ssize_t i = 0; i < n; i++) {
        pyexec_put_type(b, (PyTypeObject *)PyTuple_GET_ITEM(mro, i));
    }
    Py_XDECREF(mro);
}

static void
put_notes(pyexec_buf *b, PyObject *exc)
{
    PyObject *notes = PyObject_GetAttrString(exc, "__notes__"); /* new */
    PyErr_Clear();
    Py_ssize_t n = notes != NULL && PyList_Check(notes) ? PyList_GET_SIZE(notes) : 0;
    pyexec_buf_byte(b, CBOR_OPEN_ARRAY);
    for (Py_ssize_t i = 0; i < n && i < PyList_GET_SIZE(notes); i++) {
        PyObject *note = PyList_GET_ITEM(notes, i); /* borrowed */
        if (PyUnicode_Check(note)) {
            pyexec_cbor_str(b, note);
        }
    }
    pyexec_buf_byte(b, CBOR_BREAK);
    Py_XDECREF(notes);
}

static void
put_syntax(pyexec_buf *b, PyObject *exc)
{
    pyexec_cbor_text(b, "syntax");
    pyexec_buf_byte(b, CBOR_OPEN_MAP);
    put_attr_str(b, "message", exc, "msg");
    put_attr_str(b, "file", exc, "filename");
    put_attr_str(b, "text", exc, "text");
    put_attr_int(b, "line", exc, "lineno");
    put_attr_int(b, "column", exc, "offset");
    put_attr_int(b, "endLine", exc, "end_lineno");
    put_attr_int(b, "endColumn", exc, "end_offset");
    pyexec_buf_byte(b, CBOR_BREAK);
}

/* The exceptions that hang together as causes, contexts and members of groups. Each is written once. */
typedef struct {
    PyObject *seen[MAX_RECORDS]; /* owned: what runs below could drop them, and give their address to another */
    size_t n;
} chain;

static bool
enter(chain *c, PyObject *exc)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->seen[i] == exc) {
            return false;
        }
    }
    if (c->n == MAX_RECORDS) {
        return false;
    }
    c->seen[c->n++] = Py_NewRef(exc);
    return true;
}

static void put_record(pyexec_kernel *k, PyObject *exc, PyObject *traceback, chain *c);

static void
put_members(pyexec_kernel *k, PyObject *exc, chain *c)
{
    if (!PyObject_TypeCheck(exc, (PyTypeObject *)PyExc_BaseExceptionGroup)) {
        return;
    }
    PyObject *members = Py_XNewRef(((PyBaseExceptionGroupObject *)exc)->excs); /* new: a tuple */
    pyexec_cbor_text(&k->buf, "exceptions");
    pyexec_buf_byte(&k->buf, CBOR_OPEN_ARRAY);
    for (Py_ssize_t i = 0; members != NULL && i < PyTuple_GET_SIZE(members); i++) {
        PyObject *member = PyTuple_GET_ITEM(members, i); /* borrowed */
        if (PyExceptionInstance_Check(member) && enter(c, member)) {
            put_record(k, member, NULL, c);
        }
    }
    pyexec_buf_byte(&k->buf, CBOR_BREAK);
    Py_XDECREF(members);
}

static void
put_record(pyexec_kernel *k, PyObject *exc, PyObject *traceback, chain *c)
{
    pyexec_buf *b = &k->buf;
    pyexec_buf_byte(b, CBOR_OPEN_MAP);
    pyexec_cbor_text(b, "type");
    pyexec_put_type(b, Py_TYPE(exc));
    pyexec_cbor_text(b, "bases");
    put_bases(b, Py_TYPE(exc));
    pyexec_cbor_text(b, "message");
    put_str_of(b, exc);
    pyexec_cbor_text(b, "frames");
    put_frames(b, exc);
    pyexec_cbor_text(b, "notes");
    put_notes(b, exc);
    if (PyObject_TypeCheck(exc, (PyTypeObject *)PyExc_SyntaxError)) {
        put_syntax(b, exc);
    }
    uint64_t id = pyexec_go_error_id(k, exc);
    if (id != 0) {
        pyexec_cbor_text(b, "go");
        pyexec_cbor_head(b, CBOR_UINT, id);
    }
    if (traceback != NULL) {
        pyexec_cbor_text(b, "traceback");
        pyexec_cbor_str(b, traceback);
    }
    pyexec_put_attrs(k, exc);
    PyObject *cause = PyException_GetCause(exc);     /* new */
    PyObject *context = PyException_GetContext(exc); /* new */
    if (cause != NULL && enter(c, cause)) {
        pyexec_cbor_text(b, "cause");
        put_record(k, cause, NULL, c);
    }
    if (context != NULL && enter(c, context)) {
        pyexec_cbor_text(b, "context");
        put_record(k, context, NULL, c);
    }
    put_members(k, exc, c);
    if (((PyBaseExceptionObject *)exc)->suppress_context) {
        pyexec_cbor_text(b, "suppressContext");
        pyexec_buf_byte(b, CBOR_TRUE);
    }
    pyexec_buf_byte(b, CBOR_BREAK);
    Py_XDECREF(cause);
    Py_XDECREF(context);
}

void
pyexec_write_exception(pyexec_kernel *k, const char *name, const char *code, PyObject *exc)
{
    chain c = {.n = 0};
    enter(&c, exc);
    /* Whoever stops a call wants to know where it was, and has no time for the rest: in part it is Python's own code. */
    PyObject *traceback = k->stop.raised ? NULL : pyexec_traceback(k, name, code, exc); /* new */
    PyGC_Disable(); /* what ran there may have enabled it; so may __str__, but nothing borrowed is held across that */
    put_record(k, exc, traceback, &c);
    Py_XDECREF(traceback);
    for (size_t i = 0; i < c.n; i++) {
        Py_DECREF(c.seen[i]);
    }
    PyErr_Clear();
}

/* What `python3 file.py` would exit with: https://docs.python.org/3/library/exceptions.html#SystemExit */
void
pyexec_write_exit(pyexec_kernel *k, PyObject *exc)
{
    long status = 1;
    PyObject *code = PyObject_GetAttrString(exc, "code"); /* new */
    PyErr_Clear();
    if (code == NULL || code == Py_None) {
        status = 0;
    }
    else if (PyLong_Check(code)) {
        status = PyLong_AsLong(code);
        PyErr_Clear();
    }
    pyexec_cbor_head(&k->buf, CBOR_MAP, 2);
    pyexec_cbor_text(&k->buf, "code");
    pyexec_cbor_int(&k->buf, status);
    pyexec_cbor_text(&k->buf, "message");
    if (code != NULL && code != Py_None && !PyLong_Check(code)) {
        put_str_of(&k->buf, code);
    }
    else {
        pyexec_cbor_text(&k->buf, "");
    }
    Py_XDECREF(code);
}
