/* output.c: sys.stdin, sys.stdout and sys.stderr as snippets see them.
 *
 * The two outputs are text streams straight onto the call's capture buffers (from which stream.c sends on what is to be
 * streamed), and their .buffer the same for bytes. They are of immutable types and hold no state, so a snippet cannot change them for the next one: close() and flush() do
 * nothing, and descriptors are refused (io.UnsupportedOperation), as io.StringIO does. */
#include "compat.h"

#include "kernel.h"

typedef struct {
    PyObject_HEAD
    pyexec_capture *capture; /* the kernel's; NULL for the empty input */
    const char *name, *errors;
    PyObject *buffer; /* owned: the same stream for bytes; NULL in that one */
} stream;

static int /* -1: an exception is set */
keep(pyexec_capture *c, const char *p, size_t n)
{
    size_t room = c->max > c->buf.len ? c->max - c->buf.len : 0;
    if (!c->open || c->cut) {
        return 0; /* what is kept is a beginning, without gaps */
    }
    if (c->given_up != NULL && *c->given_up != 0 && !pyexec_on_call_thread() && PyThreadState_Get()->id <= *c->given_up) {
        return 0;
    }
    if (c->stream != NULL) {
        return pyexec_stream_write(c, p, n);
    }
    if (n > room) {
        c->cut = true;
        n = room;
        while (n > 0 && room - n < 3 && ((unsigned char)p[n] & 0xc0) == 0x80) {
            n--; /* not in the middle of a character */
        }
    }
    pyexec_left_lock();
    pyexec_buf_put(&c->buf, p, n);
    pyexec_left_unlock();
    if (c->length != NULL) {
        *c->length = c->buf.len;
    }
    return 0;
}

static PyObject *
text_write(PyObject *self, PyObject *arg)
{
    stream *s = (stream *)self;
    if (!PyUnicode_Check(arg)) {
        return PyErr_Format(PyExc_TypeError, "write() argument must be str, not %s", Py_TYPE(arg)->tp_name);
    }
    Py_ssize_t n = 0;
    const char *p = PyUnicode_AsUTF8AndSize(arg, &n);
    if (p != NULL) {
        return keep(s->capture, p, (size_t)n) < 0 ? NULL : PyLong_FromSsize_t(PyUnicode_GET_LENGTH(arg));
    }
    PyErr_Clear();
    PyObject *bytes = PyUnicode_AsEncodedString(arg, "utf-8", s->errors); /* new */
    if (bytes == NULL) {
        return NULL;
    }
    int rc = keep(s->capture, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return rc < 0 ? NULL : PyLong_FromSsize_t(PyUnicode_GET_LENGTH(arg));
}

static PyObject *
bytes_write(PyObject *self, PyObject *arg)
{
    Py_buffer view;
    if (PyObject_GetBuffer(arg, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int rc = keep(((stream *)self)->capture, view.buf, (size_t)view.len);
    Py_ssize_t n = view.len;
    PyBuffer_Release(&view);
    return rc < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyObject *
write_lines(PyObject *self, PyObject *lines)
{
    PyObject *line = NULL;
    PyObject *it = PyObject_GetIter(lines); /* new */
    if (it == NULL) {
        return NULL;
    }
    while ((line = PyIter_Next(it)) != NULL) { /* new */
        PyObject *r = ((stream *)self)->buffer != NULL ? text_write(self, line) : bytes_write(self, line); /* new */
        Py_DECREF(line);
        if (r == NULL) {
            break;
        }
        Py_DECREF(r);
    }
    Py_DECREF(it);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *
do_nothing(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    (void)self;
    (void)args;
    (void)n;
    (void)names;
    return Py_NewRef(Py_None);
}

static PyObject *
flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyexec_capture *c = ((stream *)self)->capture;
    return c != NULL && c->stream != NULL && pyexec_stream_flush(c) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
yes(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return Py_NewRef(Py_True);
}

static PyObject *
no(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return Py_NewRef(Py_False);
}

static PyObject *
unsupported(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyObject *io = PyImport_ImportModule("io");                                                  /* new */
    PyObject *type = io == NULL ? NULL : PyObject_GetAttrString(io, "UnsupportedOperation"); /* new */
    if (type != NULL) {
        PyErr_SetString(type, "this stream is captured by pyexec and has no file descriptor");
    }
    Py_XDECREF(type);
    Py_XDECREF(io);
    return NULL;
}

static PyObject *
itself(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *
read_nothing(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)args;
    (void)n;
    return ((stream *)self)->buffer != NULL ? PyUnicode_FromString("") : PyBytes_FromString("");
}

static PyObject *
read_no_lines(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    (void)args;
    (void)n;
    return PyList_New(0);
}

static PyObject *
iter_end(PyObject *self)
{
    (void)self;
    return NULL;
}

static PyObject *
get_buffer(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((stream *)self)->buffer);
}

static PyObject *
get_name(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(((stream *)self)->name);
}

static PyObject *
get_errors(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(((stream *)self)->errors);
}

static PyObject *
get_text(PyObject *self, void *text)
{
    (void)self;
    return PyUnicode_FromString(text);
}

static PyObject *
get_bool(PyObject *self, void *value)
{
    (void)self;
    return PyBool_FromLong(value != NULL);
}

static PyObject *
get_line_buffering(PyObject *self, void *unused)
{
    (void)unused;
    pyexec_capture *c = ((stream *)self)->capture;
    return PyBool_FromLong(c != NULL && c->stream != NULL);
}

static PyObject *
get_none(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return Py_NewRef(Py_None);
}

#define FASTCALL(f) ((PyCFunction)(void (*)(void))(f))
#define COMMON_METHODS                                                          \
    {"close", FASTCALL(do_nothing), METH_FASTCALL | METH_KEYWORDS, NULL},       \
    {"flush", flush, METH_NOARGS, NULL},                                        \
    {"__exit__", FASTCALL(do_nothing), METH_FASTCALL | METH_KEYWORDS, NULL},    \
    {"reconfigure", FASTCALL(do_nothing), METH_FASTCALL | METH_KEYWORDS, NULL}, \
    {"__enter__", itself, METH_NOARGS, NULL},                                   \
    {"isatty", no, METH_NOARGS, NULL},                                          \
    {"seekable", no, METH_NOARGS, NULL},                                        \
    {"fileno", unsupported, METH_NOARGS, NULL},                                 \
    {"detach", unsupported, METH_NOARGS, NULL},                                 \
    {"tell", unsupported, METH_NOARGS, NULL}

#define OUTPUT_METHODS(write)                \
    COMMON_METHODS,                          \
    {"write", write, METH_O, NULL},          \
    {"writelines", write_lines, METH_O, NULL}, \
    {"writable", yes, METH_NOARGS, NULL},    \
    {"readable", no, METH_NOARGS, NULL},     \
    {"read", FASTCALL(unsupported), METH_NOARGS, NULL}

static PyMethodDef text_output_methods[] = {OUTPUT_METHODS(text_write), {0}};
static PyMethodDef bytes_output_methods[] = {OUTPUT_METHODS(bytes_write), {0}};
static PyMethodDef input_methods[] = {
    COMMON_METHODS,
    {"read", FASTCALL(read_nothing), METH_FASTCALL, NULL},
    {"read1", FASTCALL(read_nothing), METH_FASTCALL, NULL},
    {"readline", FASTCALL(read_nothing), METH_FASTCALL, NULL},
    {"readlines", FASTCALL(read_no_lines), METH_FASTCALL, NULL},
    {"readable", yes, METH_NOARGS, NULL},
    {"writable", no, METH_NOARGS, NULL},
    {0},
};

#define COMMON_ATTRIBUTES                      \
    {"name", get_name, NULL, NULL, NULL},      \
    {"closed", get_bool, NULL, NULL, NULL}

#define TEXT_ATTRIBUTES                                 \
    COMMON_ATTRIBUTES,                                  \
    {"buffer", get_buffer, NULL, NULL, NULL},           \
    {"errors", get_errors, NULL, NULL, NULL},           \
    {"encoding", get_text, NULL, NULL, "utf-8"},        \
    {"newlines", get_none, NULL, NULL, NULL},           \
    {"line_buffering", get_line_buffering, NULL, NULL, NULL}, \
    {"write_through", get_bool, NULL, NULL, "yes"}

static PyGetSetDef text_output_attributes[] = {TEXT_ATTRIBUTES, {"mode", get_text, NULL, NULL, "w"}, {0}};
static PyGetSetDef bytes_output_attributes[] = {COMMON_ATTRIBUTES, {"mode", get_text, NULL, NULL, "wb"}, {0}};
static PyGetSetDef text_input_attributes[] = {TEXT_ATTRIBUTES, {"mode", get_text, NULL, NULL, "r"}, {0}};
static PyGetSetDef bytes_input_attributes[] = {COMMON_ATTRIBUTES, {"mode", get_text, NULL, NULL, "rb"}, {0}};

static void
stream_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((stream *)self)->buffer);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
stream_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s name='%s'>", Py_TYPE(self)->tp_name, ((stream *)self)->name);
}

#define SLOTS(id, methods, attributes)                                                          \
    static PyType_Slot id[] = {{Py_tp_dealloc, stream_dealloc}, {Py_tp_repr, stream_repr},      \
                               {Py_tp_iter, PyObject_SelfIter}, {Py_tp_iternext, iter_end},     \
                               {Py_tp_methods, methods}, {Py_tp_getset, attributes}, {0, NULL}}

SLOTS(text_output_slots, text_output_methods, text_output_attributes);
SLOTS(bytes_output_slots, bytes_output_methods, bytes_output_attributes);
SLOTS(text_input_slots, input_methods, text_input_attributes);
SLOTS(bytes_input_slots, input_methods, bytes_input_attributes);

enum { TYPE_FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE };

static PyType_Spec specs[] = {
    {"pyexec.TextOutput", sizeof(stream), 0, TYPE_FLAGS, text_output_slots},
    {"pyexec.BytesOutput", sizeof(stream), 0, TYPE_FLAGS, bytes_output_slots},
    {"pyexec.TextInput", sizeof(stream), 0, TYPE_FLAGS, text_input_slots},
    {"pyexec.BytesInput", sizeof(stream), 0, TYPE_FLAGS, bytes_input_slots},
};
static const char *const abstract[] = {"TextIOBase", "BufferedIOBase", "TextIOBase", "BufferedIOBase"};

/* One of the types, registered with its abstract class so that isinstance(sys.stdout, io.TextIOBase) holds. */
static PyTypeObject * /* new */
make_type(size_t i)
{
    PyObject *io = NULL, *base = NULL, *done = NULL;
    PyObject *type = PyType_FromSpec(&specs[i]); /* new */
    io = PyImport_ImportModule("io");
    base = io == NULL ? NULL : PyObject_GetAttrString(io, abstract[i]);
    done = base == NULL || type == NULL ? NULL : PyObject_CallMethod(base, "register", "O", type);
    if (done == NULL) {
        Py_CLEAR(type);
    }
    Py_XDECREF(done);
    Py_XDECREF(base);
    Py_XDECREF(io);
    return (PyTypeObject *)type;
}

static PyObject * /* new */
make_stream(PyTypeObject *type, pyexec_capture *capture, const char *name, const char *errors, PyObject *buffer)
{
    stream *s = type == NULL ? NULL : (stream *)type->tp_alloc(type, 0); /* new */
    if (s == NULL) {
        return NULL;
    }
    s->capture = capture;
    s->name = name;
    s->errors = errors;
    s->buffer = Py_XNewRef(buffer);
    return (PyObject *)s;
}

static PyObject * /* new */
make_pair(PyTypeObject *const types[2], pyexec_capture *capture, const char *name, const char *errors)
{
    PyObject *buffer = make_stream(types[1], capture, name, errors, NULL); /* new */
    PyObject *text = buffer == NULL ? NULL : make_stream(types[0], capture, name, errors, buffer); /* new */
    Py_XDECREF(buffer);
    return text;
}

int
pyexec_output_install(pyexec_kernel *k)
{
    PyTypeObject *types[4] = {make_type(0), make_type(1), make_type(2), make_type(3)}; /* new */
    k->out.max = k->err.max = (size_t)k->config.max_output;
    k->out.given_up = k->err.given_up = &k->given_up;
    k->sys_stdout = make_pair(types, &k->out, "<stdout>", "surrogateescape");
    k->sys_stderr = make_pair(types, &k->err, "<stderr>", "backslashreplace");
    k->out.index = 1;
    k->err.index = 2;
    k->trace.max = 1 << 20;
    k->trace.open = true;
    k->trace_output = make_pair(types, &k->trace, "<stderr>", "backslashreplace");
    k->empty_input = make_pair(types + 2, NULL, "<stdin>", "surrogateescape");
    for (size_t i = 0; i < 4; i++) {
        Py_XDECREF(types[i]);
    }
    if (k->sys_stdout == NULL || k->sys_stderr == NULL || k->trace_output == NULL || k->empty_input == NULL ||
        PySys_SetObject("stdout", k->sys_stdout) < 0 || PySys_SetObject("__stdout__", k->sys_stdout) < 0 ||
        PySys_SetObject("stderr", k->sys_stderr) < 0 || PySys_SetObject("__stderr__", k->sys_stderr) < 0 ||
        PySys_SetObject("stdin", k->empty_input) < 0 || PySys_SetObject("__stdin__", k->empty_input) < 0) {
        return -1;
    }
    return 0;
}
