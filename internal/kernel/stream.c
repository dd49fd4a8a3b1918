/* stream.c: output that goes to the host as it is written, and input that is read from it as the snippet reads.
 *
 * Output is sent by the line, as to a terminal: at a newline, at flush(), when much has come together, and when the call
 * ends. sys.stdin is Python's own io.TextIOWrapper and io.BufferedReader over a raw stream that asks the host. */
#include "compat.h"

#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 8192, READ_MAX = 1 << 16 };

static int
send(pyexec_capture *c, const char *p, size_t n)
{
    pyexec_kernel *k = c->stream;
    pyexec_request r = {.what = PYEXEC_ASK_WRITE, .index = c->index, .ticket = k->host.ticket++,
                        .in = {(const uint8_t *)p, n}};
    pyexec_host_ask(k, k->host.serial, &r);
    if (r.answer != PYEXEC_ANSWERED) {
        pyexec_host_raise_os(k, PyExc_BrokenPipeError, EPIPE, c->index == 1 ? "<stdout>" : "<stderr>", &r);
        return -1;
    }
    free(r.out);
    return 0;
}

int
pyexec_stream_flush(pyexec_capture *c)
{
    if (c->buf.len == 0) {
        return 0;
    }
    pyexec_buf pending = c->buf; /* other threads may write while this one sends */
    c->buf = (pyexec_buf){0};
    int rc = send(c, (const char *)pending.p, pending.len);
    if (c->buf.cap == 0) {
        c->buf = pending;
        pyexec_buf_clear(&c->buf);
    }
    else {
        pyexec_buf_free(&pending);
    }
    return rc;
}

int
pyexec_stream_write(pyexec_capture *c, const char *p, size_t n)
{
    if (n >= CHUNK) {
        return pyexec_stream_flush(c) < 0 ? -1 : send(c, p, n);
    }
    pyexec_buf_put(&c->buf, p, n);
    if (c->buf.failed) {
        pyexec_buf_clear(&c->buf);
        PyErr_NoMemory();
        return -1;
    }
    return c->buf.len >= CHUNK || memchr(p, '\n', n) != NULL ? pyexec_stream_flush(c) : 0;
}

/* ---- sys.stdin ---- */

typedef struct {
    PyObject_HEAD
    pyexec_kernel *kernel;
    uint64_t host; /* the call it belongs to */
    bool closed;
} input;

static int /* 0, with r->out to be freed, or -1 */
ask_for(PyObject *self, size_t max, pyexec_request *r)
{
    input *in = (input *)self;
    if (in->closed) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed file.");
        return -1;
    }
    *r = (pyexec_request){.what = PYEXEC_ASK_READ, .max = max < READ_MAX ? max : READ_MAX};
    pyexec_host_ask(in->kernel, in->host, r);
    if (r->answer != PYEXEC_ANSWERED) {
        pyexec_host_raise_os(in->kernel, PyExc_OSError, EIO, "<stdin>", r);
        return -1;
    }
    if (r->out_len > r->max) {
        free(r->out);
        PyErr_SetString(PyExc_SystemError, "pyexec: the host's answer is malformed");
        return -1;
    }
    return 0;
}

static PyObject *
input_readinto(PyObject *self, PyObject *arg)
{
    Py_buffer view;
    pyexec_request r;
    PyObject *result = NULL;
    if (PyObject_GetBuffer(arg, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    if (view.len == 0) {
        result = PyLong_FromLong(0);
    }
    else if (ask_for(self, (size_t)view.len, &r) == 0) {
        memcpy(view.buf, r.out, r.out_len);
        result = PyLong_FromUnsignedLongLong(r.out_len);
        free(r.out);
    }
    PyBuffer_Release(&view);
    return result;
}

static PyObject *
input_readall(PyObject *self, PyObject *unused)
{
    (void)unused;
    pyexec_buf all = {0};
    pyexec_request r;
    PyObject *result = NULL;
    for (bool end = false; !end;) {
        if (ask_for(self, READ_MAX, &r) < 0) {
            goto done;
        }
        end = r.out_len == 0;
        pyexec_buf_put(&all, r.out, r.out_len);
        free(r.out);
    }
    result = all.failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize((const char *)all.p, (Py_ssize_t)all.len);

done:
    pyexec_buf_free(&all);
    return result;
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
nothing(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return Py_NewRef(Py_None);
}

static PyObject *
input_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    ((input *)self)->closed = true;
    return Py_NewRef(Py_None);
}

static PyObject *
get_text(PyObject *self, void *text)
{
    (void)self;
    return PyUnicode_FromString(text);
}

static PyObject *
get_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((input *)self)->closed);
}

static void
input_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef input_methods[] = {
    {"readinto", input_readinto, METH_O, NULL},
    {"readall", input_readall, METH_NOARGS, NULL},
    {"readable", yes, METH_NOARGS, NULL},
    {"writable", no, METH_NOARGS, NULL},
    {"seekable", no, METH_NOARGS, NULL},
    {"isatty", no, METH_NOARGS, NULL},
    {"flush", nothing, METH_NOARGS, NULL},
    {"close", input_close, METH_NOARGS, NULL},
    {0},
};
static PyGetSetDef input_attributes[] = {
    {"name", get_text, NULL, NULL, "<stdin>"},
    {"mode", get_text, NULL, NULL, "rb"},
    {"closed", get_closed, NULL, NULL, NULL},
    {0},
};
static PyType_Slot input_slots[] = {
    {Py_tp_dealloc, input_dealloc}, {Py_tp_methods, input_methods}, {Py_tp_getset, input_attributes}, {0, NULL}};
static PyType_Spec input_spec = {"pyexec.RawInput", sizeof(input), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                                 input_slots};

int
pyexec_stream_install(pyexec_kernel *k)
{
    k->host.input_type = (PyTypeObject *)PyType_FromSpec(&input_spec);
    return k->host.input_type == NULL ? -1 : 0;
}

int
pyexec_stream_input(pyexec_kernel *k, bool open)
{
    if (!open) {
        return PySys_SetObject("stdin", k->empty_input);
    }
    int result = -1;
    PyObject *io = NULL, *buffer = NULL, *text = NULL;
    input *raw = (input *)k->host.input_type->tp_alloc(k->host.input_type, 0); /* new */
    io = PyImport_ImportModule("io");
    if (raw == NULL || io == NULL) {
        goto done;
    }
    raw->kernel = k;
    raw->host = k->host.serial;
    buffer = PyObject_CallMethod(io, "BufferedReader", "O", raw);
    text = buffer == NULL ? NULL : PyObject_CallMethod(io, "TextIOWrapper", "Oss", buffer, "utf-8", "surrogateescape");
    if (text != NULL) {
        result = PySys_SetObject("stdin", text);
    }

done:
    Py_XDECREF(raw);
    Py_XDECREF(io);
    Py_XDECREF(buffer);
    Py_XDECREF(text);
    return result;
}
