/* host.c: what a call asks of the host program while it runs, and how the answer comes back into Python.
 *
 * One question at a time and per thread, by the GIL-less call of one function pointer; question and answer are bytes, so
 * that an engine in another process can carry them as messages. What a call has (functions, streams) knows the call's
 * serial number and is dead when it is over, whoever kept it. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int32_t
thread_id(void)
{
    static _Thread_local int32_t id = 0;
    if (id == 0) {
        id = (int32_t)syscall(SYS_gettid);
    }
    return id;
}

typedef struct {
    void (*ask)(pyexec_request *);
    pyexec_request *request;
} question;

static void
put_question(void *p) /* GIL not held */
{
    question *q = p;
    q->ask(q->request);
}

void
pyexec_host_ask(pyexec_kernel *k, uint64_t serial, pyexec_request *r)
{
    question q = {k->config.host_ask, r};
    r->answer = PYEXEC_ANSWER_OVER;
    r->out = NULL;
    r->out_len = 0;
    if (serial != 0 && serial == k->host.serial && q.ask != NULL) {
        k->host.asked = true;
        r->host = serial;
        r->thread = thread_id();
        r->own = r->thread == k->host.thread;
        pyexec_without_gil(put_question, &q);
    }
}

/* ---- pyexec.GoError ---- */

typedef struct {
    PyBaseExceptionObject base;
    uint64_t id; /* by which the host remembers the error; 0: made by Python code */
} go_error;

PyDoc_STRVAR(go_error_doc, "An error that a function of the host program returned.\n\n"
                           "function is the function's name, go_type the Go type of the error.");
PyDoc_STRVAR(module_doc, "What snippets that pyexec runs can use beside Python itself.");

static PyType_Slot go_error_slots[] = {{Py_tp_doc, (void *)go_error_doc}, {0, NULL}};
static PyType_Spec go_error_spec = {"pyexec.GoError", sizeof(go_error), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE, go_error_slots};

uint64_t
pyexec_go_error_id(pyexec_kernel *k, PyObject *exc)
{
    return PyObject_TypeCheck(exc, (PyTypeObject *)k->host.go_error) ? ((go_error *)exc)->id : 0;
}

/* The module pyexec, so that snippets can say `except pyexec.GoError`. */
static int
install_module(pyexec_kernel *k)
{
    PyObject *module = PyModule_New("pyexec"); /* new */
    int rc = module == NULL ? -1 : PyModule_SetDocString(module, module_doc);
    rc = rc < 0 ? rc : PyModule_AddObjectRef(module, "GoError", k->host.go_error);
    rc = rc < 0 ? rc : PyDict_SetItemString(PyImport_GetModuleDict(), "pyexec", module);
    Py_XDECREF(module);
    return rc;
}

/* The GoError of an answer, which is [id, Go type, message]. */
static PyObject * /* new */
make_go_error(pyexec_kernel *k, PyObject *function, const pyexec_request *r)
{
    pyexec_reader reader = {.p = r->out, .end = r->out + r->out_len, .max_depth = 2};
    PyObject *exc = NULL;
    PyObject *parts = pyexec_decode(&reader); /* new */
    if (parts == NULL || !PyList_Check(parts) || PyList_GET_SIZE(parts) != 3) {
        PyErr_Clear();
        PyErr_SetString(PyExc_SystemError, "pyexec: the host's answer is malformed");
        goto done;
    }
    exc = PyObject_CallOneArg(k->host.go_error, PyList_GET_ITEM(parts, 2));
    if (exc == NULL || PyObject_SetAttrString(exc, "function", function) < 0 ||
        PyObject_SetAttrString(exc, "go_type", PyList_GET_ITEM(parts, 1)) < 0) {
        Py_CLEAR(exc);
        goto done;
    }
    ((go_error *)exc)->id = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(parts, 0));
    PyErr_Clear();

done:
    Py_XDECREF(parts);
    return exc;
}

static void
raise_text(PyObject *type, PyObject *function, const char *text, size_t n)
{
    PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)n, "replace"); /* new */
    if (message != NULL) {
        PyErr_Format(type, "%U%U", function, message);
        Py_DECREF(message);
    }
}

/* Make an exception of an answer that is none, and free it. */
void
pyexec_host_raise(pyexec_kernel *k, PyObject *function, pyexec_request *r)
{
    PyObject *exc = NULL;
    switch (r->answer) {
    case PYEXEC_ANSWER_ERROR:
        exc = make_go_error(k, function, r); /* new */
        if (exc != NULL) {
            PyErr_SetObject(k->host.go_error, exc);
            Py_DECREF(exc);
        }
        break;
    case PYEXEC_ANSWER_BAD_ARGUMENTS:
        raise_text(PyExc_TypeError, function, (const char *)r->out, r->out_len);
        break;
    default:
        PyErr_Format(PyExc_RuntimeError, "%U: the call that it belongs to is over", function);
        break;
    }
    free(r->out);
    r->out = NULL;
}

/* The same for a stream: an OSError, as of a real one, whose cause is the GoError. */
void
pyexec_host_raise_os(pyexec_kernel *k, PyObject *type, int number, const char *stream, pyexec_request *r)
{
    PyObject *name = PyUnicode_FromString(stream); /* new */
    PyObject *cause = NULL, *text = NULL, *exc = NULL;
    if (name == NULL || r->answer != PYEXEC_ANSWER_ERROR) {
        if (name != NULL) {
            pyexec_host_raise(k, name, r);
        }
        goto done;
    }
    cause = make_go_error(k, name, r);
    text = cause == NULL ? NULL : PyObject_Str(cause);
    exc = text == NULL ? NULL : PyObject_CallFunction(type, "iO", number, text);
    if (exc != NULL) {
        PyException_SetCause(exc, Py_NewRef(cause)); /* stolen */
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    }

done:
    free(r->out);
    r->out = NULL;
    Py_XDECREF(name);
    Py_XDECREF(cause);
    Py_XDECREF(text);
    Py_XDECREF(exc);
}

/* ---- functions ---- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pyexec_kernel *kernel;
    uint64_t host; /* the call it belongs to */
    uint32_t index;
    PyObject *name; /* owned */
} function;

/* [positional, keywords] */
static int
encode_arguments(pyexec_kernel *k, function *f, pyexec_buf *b, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    pyexec_writer w = {.out = b, .max_depth = k->config.max_depth, .max_len = (size_t)k->config.max_result};
    Py_ssize_t nnames = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    pyexec_cbor_head(b, CBOR_ARRAY, 2);
    pyexec_cbor_head(b, CBOR_ARRAY, (uint64_t)n);
    for (Py_ssize_t i = 0; i < n + nnames; i++) {
        if (i == n) {
            pyexec_cbor_head(b, CBOR_MAP, (uint64_t)nnames);
        }
        if (i >= n) {
            pyexec_cbor_str(b, PyTuple_GET_ITEM(names, i - n));
        }
        if (pyexec_encode(&w, args[i]) < 0) {
            const char *type = w.culprit->tp_name;
            if (i < n) {
                PyErr_Format(PyExc_TypeError, "%U() argument %zd: %s (%s)", f->name, i + 1, w.reason, type);
            }
            else {
                PyErr_Format(PyExc_TypeError, "%U() argument %R: %s (%s)", f->name, PyTuple_GET_ITEM(names, i - n), w.reason,
                             type);
            }
            return -1;
        }
    }
    if (nnames == 0) {
        pyexec_cbor_head(b, CBOR_MAP, 0);
    }
    if (b->failed) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject * /* new */
decode_result(pyexec_kernel *k, function *f, const pyexec_request *r)
{
    pyexec_reader reader = {.p = r->out, .end = r->out + r->out_len, .max_depth = k->config.max_depth};
    PyObject *result = pyexec_decode(&reader);
    if (result == NULL && reader.reason != NULL) {
        PyErr_Clear();
        PyErr_Format(PyExc_RuntimeError, "%U(): the result has no Python form: %s", f->name, reader.reason);
    }
    return result;
}

static PyObject *
call_function(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    function *f = (function *)self;
    pyexec_kernel *k = f->kernel;
    pyexec_buf in = {0};
    pyexec_request r = {.what = PYEXEC_ASK_CALL, .index = f->index};
    PyObject *result = NULL;

    /* Off while values are looked at, as in run.c: a collection could run the snippet's code under our hands. */
    int gc = PyGC_Disable();
    int rc = encode_arguments(k, f, &in, args, PyVectorcall_NARGS(nargsf), names);
    if (gc) {
        PyGC_Enable();
    }
    if (rc < 0) {
        goto done;
    }
    r.in = (pyexec_bytes){in.p, in.len};
    pyexec_host_ask(k, f->host, &r);
    if (r.answer != PYEXEC_ANSWERED) {
        pyexec_host_raise(k, f->name, &r);
        goto done;
    }
    gc = PyGC_Disable();
    result = decode_result(k, f, &r);
    if (gc) {
        PyGC_Enable();
    }

done:
    free(r.out);
    pyexec_buf_free(&in);
    return result;
}

static void
function_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((function *)self)->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
function_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<Go function %U>", ((function *)self)->name);
}

static PyObject *
get_name(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((function *)self)->name);
}

static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(function, vectorcall), Py_READONLY, NULL},
    {0},
};
static PyGetSetDef function_attributes[] = {
    {"__name__", get_name, NULL, NULL, NULL},
    {"__qualname__", get_name, NULL, NULL, NULL},
    {0},
};
static PyType_Slot function_slots[] = {
    {Py_tp_dealloc, function_dealloc}, {Py_tp_repr, function_repr},     {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, function_members}, {Py_tp_getset, function_attributes}, {0, NULL}};
static PyType_Spec function_spec = {"pyexec.Function", sizeof(function), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE |
                                        Py_TPFLAGS_HAVE_VECTORCALL,
                                    function_slots};

/* The call's functions, from their names, into its namespace. */
int
pyexec_host_functions(pyexec_kernel *k, PyObject *globals, const char *names, size_t n)
{
    pyexec_reader r = {.p = (const uint8_t *)names, .end = (const uint8_t *)names + n, .max_depth = 2};
    PyTypeObject *type = k->host.function_type;
    int result = -1;
    PyObject *list = pyexec_decode(&r); /* new */
    if (list == NULL || !PyList_Check(list)) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *name = PyList_GET_ITEM(list, i);          /* borrowed */
        function *f = (function *)type->tp_alloc(type, 0); /* new */
        if (f == NULL) {
            goto done;
        }
        f->vectorcall = call_function;
        f->kernel = k;
        f->host = k->host.serial;
        f->index = (uint32_t)i;
        f->name = Py_NewRef(name);
        int rc = PyDict_SetItem(globals, name, (PyObject *)f);
        Py_DECREF(f);
        if (rc < 0) {
            goto done;
        }
    }
    result = 0;

done:
    Py_XDECREF(list);
    return result;
}

/* ---- a call's host ---- */

int
pyexec_host_install(pyexec_kernel *k)
{
    k->host.function_type = (PyTypeObject *)PyType_FromSpec(&function_spec);
    k->host.go_error = PyType_FromSpecWithBases(&go_error_spec, PyExc_RuntimeError);
    return k->host.function_type == NULL || k->host.go_error == NULL ? -1 : install_module(k);
}

void
pyexec_host_release(pyexec_kernel *k)
{
    Py_CLEAR(k->host.function_type);
    Py_CLEAR(k->host.input_type);
    Py_CLEAR(k->host.go_error);
}

void
pyexec_host_begin(pyexec_kernel *k, uint64_t serial)
{
    k->host.serial = serial;
    k->host.ticket = 0;
    k->host.thread = thread_id();
    k->host.asked = false;
}

/* The last question: from here on the call's functions and streams are dead. */
void
pyexec_host_end(pyexec_kernel *k)
{
    pyexec_request r = {.what = PYEXEC_ASK_END};
    if (k->host.asked) {
        pyexec_host_ask(k, k->host.serial, &r);
        free(r.out);
    }
    k->host.serial = 0;
}
