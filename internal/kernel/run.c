/* run.c: one call, from the GIL to the reply. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

typedef struct {
    uint32_t flags;
    const char *name, *code, *vars, *want, *functions;
    size_t name_len, code_len, vars_len, want_len, functions_len;
} call;

static void __attribute__((noinline))
skip(pyexec_kernel *k, PyObject *name, PyTypeObject *type, const char *reason)
{
    pyexec_cbor_head(&k->skipped, CBOR_ARRAY, 3);
    if (name != NULL) {
        pyexec_cbor_str(&k->skipped, name);
    }
    else {
        pyexec_cbor_text(&k->skipped, "");
    }
    if (type != NULL) {
        pyexec_put_type(&k->skipped, type);
    }
    else {
        pyexec_cbor_text(&k->skipped, "");
    }
    pyexec_cbor_text(&k->skipped, reason);
}

/* One value into the reply, or nothing of it and a line in skipped. name NULL: the value of the last expression. */
static void
put_value(pyexec_kernel *k, PyObject *name, PyObject *v)
{
    pyexec_writer w = {
        .out = &k->buf, .max_depth = k->config.max_depth, .max_len = (size_t)k->config.max_result, .k = k};
    size_t start = k->buf.len;
    if (__builtin_expect(pyexec_stop_wanted(k), 0)) {
        k->stop.raised = true; /* there is no time left to convert it */
        return;
    }
    if (k->wasted > w.max_len) { /* many variables, none of which fits, are not to take the time of many results */
        w.max_len = Py_MIN(w.max_len, start + 4096);
    }
    if (name != NULL) {
        pyexec_cbor_str(&k->buf, name);
    }
    if (pyexec_encode(&w, v) < 0) {
        k->wasted += k->buf.len - start;
        k->buf.len = start;
        skip(k, name, w.culprit, w.reason);
    }
}

static bool
is_dunder(PyObject *name)
{
    if (!PyUnicode_IS_ASCII(name)) {
        return false;
    }
    Py_ssize_t n = PyUnicode_GET_LENGTH(name);
    const Py_UCS1 *s = PyUnicode_1BYTE_DATA(name);
    return s[0] == '_' && n > 4 && s[1] == '_' && s[n - 1] == '_' && s[n - 2] == '_';
}

static void
put_all(pyexec_kernel *k, PyObject *locals)
{
    PyObject *name = NULL, *value = NULL; /* borrowed: nothing below runs Python code */
    /* What a namespace starts with comes first in it. If the last of that is still where it was, all before it is that. */
    Py_ssize_t pos = PyDict_GET_SIZE(k->namespace) - 1;
    if (!PyDict_Next(locals, &pos, &name, &value) || name != k->namespace_end) {
        pos = 0;
    }
    while (PyDict_Next(locals, &pos, &name, &value)) {
        if (PyUnicode_CheckExact(name) && !is_dunder(name) && Py_TYPE(value) != k->host.function_type) {
            put_value(k, name, value);
        }
    }
}

static void
put_wanted(pyexec_kernel *k, PyObject *locals, const char *want, size_t want_len)
{
    pyexec_reader r = {.p = (const uint8_t *)want, .end = (const uint8_t *)want + want_len, .max_depth = 2};
    PyObject *names = pyexec_decode(&r); /* new */
    for (Py_ssize_t i = 0; names != NULL && PyList_Check(names) && i < PyList_GET_SIZE(names); i++) {
        PyObject *name = PyList_GET_ITEM(names, i);                     /* borrowed */
        PyObject *value = Py_XNewRef(PyDict_GetItemWithError(locals, name)); /* new */
        PyErr_Clear();
        if (value != NULL) {
            put_value(k, name, value);
            Py_DECREF(value);
        }
        else {
            skip(k, name, NULL, "the snippet did not define it");
        }
    }
    PyErr_Clear();
    Py_XDECREF(names);
}

/* Functions hold their globals and globals hold their functions. If no other reference to either got out, clearing the
 * namespace frees both at once; if one did, or if there are classes (whose finalizers want to find their globals
 * whole), the collector sorts it out. */
static void
release_namespace(PyObject *globals /* stolen */)
{
    if (Py_REFCNT(globals) > 1) {
        Py_ssize_t pos = 0, functions = 0;
        PyObject *name = NULL, *v = NULL; /* borrowed */
        bool classes = false;
        while (PyDict_Next(globals, &pos, &name, &v)) {
            functions += PyFunction_Check(v) && Py_REFCNT(v) == 1 && PyFunction_GET_GLOBALS(v) == globals;
            classes = classes || (PyType_Check(v) && (((PyTypeObject *)v)->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0);
        }
        if (!classes && Py_REFCNT(globals) == 1 + functions) {
            PyDict_Clear(globals);
        }
    }
    Py_DECREF(globals);
}

static PyObject * /* new, or NULL: the value of the last expression, None if there is none */
evaluate(const pyexec_code *code, PyObject *globals, PyObject *locals)
{
    PyObject *value = NULL;
    if (code->body != NULL) {
        value = PyEval_EvalCode(code->body, globals, locals); /* new */
        if (value == NULL || code->tail == NULL) {
            return value;
        }
        Py_DECREF(value);
    }
    return PyEval_EvalCode(code->tail, globals, locals);
}

static int32_t
put_exception(pyexec_kernel *k, const char *name, const char *code)
{
    int32_t status = PYEXEC_EXCEPTION;
    PyObject *exc = pyexec_take_exception(); /* new */
    if (exc == NULL) {
        return PYEXEC_NO_MEMORY;
    }
    if (k->stop.raised) {
        pyexec_stop_saw(k, exc);
    }
    if (PyErr_GivenExceptionMatches(exc, PyExc_SystemExit)) {
        pyexec_write_exit(k, exc);
        status = PYEXEC_EXIT;
    }
    else {
        pyexec_write_exception(k, name, code, exc);
    }
    Py_DECREF(exc);
    return status;
}

static char *
copy(const char *s, size_t n) /* NUL-terminated; NULL if there is no memory */
{
    char *p = PyMem_Malloc(n + 1);
    if (p != NULL) {
        memcpy(p, s, n);
        p[n] = '\0';
    }
    return p;
}

/* Errors before the code runs: the cache has no entry to take name and source from. */
static int32_t
put_compile_error(pyexec_kernel *k, const call *c)
{
    char *name = copy(c->name, c->name_len), *code = copy(c->code, c->code_len);
    int32_t status = put_exception(k, name != NULL ? name : "", code != NULL ? code : "");
    PyMem_Free(name);
    PyMem_Free(code);
    return status;
}

/* A namespace for a call, with the functions of its host; meanwhile the module __main__ is the snippet's. -1: no memory. */
int
pyexec_namespace_open(pyexec_kernel *k, pyexec_namespace *ns, uint32_t flags, const char *functions, size_t functions_len)
{
    ns->globals = PyDict_Copy(k->namespace);                                               /* new */
    ns->locals = (flags & PYEXEC_SPLIT) != 0 ? PyDict_New() : Py_XNewRef(ns->globals); /* new */
    if (ns->globals == NULL || ns->locals == NULL) {
        goto failed;
    }
    ns->main_dict = *k->main_slot; /* owned, put back by pyexec_namespace_close */
    *k->main_slot = Py_NewRef(ns->globals);
    if (functions_len != 0 && pyexec_host_functions(k, ns->globals, functions, functions_len) < 0) {
        goto failed;
    }
    return 0;

failed:
    PyErr_Clear();
    return -1;
}

/* Write what came of the code: variables, value and exception. ns->value NULL: the exception that is set. */
int32_t
pyexec_put_outcome(pyexec_kernel *k, const pyexec_namespace *ns, const pyexec_code *code, const char *want, size_t want_len,
                   pyexec_sections *at)
{
    int32_t status = PYEXEC_OK;
    PyObject *value = ns->value; /* borrowed */
    bool raised = value == NULL;
    PyObject *exc = raised ? pyexec_take_exception() : NULL; /* new; out of the way of what follows */
    k->gc_enabled = PyGC_Disable();
    if (want_len != 0) {
        put_wanted(k, ns->locals, want, want_len);
    }
    else {
        put_all(k, ns->locals);
    }
    at->vars_end = k->buf.len;
    if (value != NULL && value != Py_None) {
        put_value(k, NULL, value);
    }
    at->value_end = k->buf.len;
    if (raised) {
        pyexec_restore_exception(exc); /* stolen */
        status = put_exception(k, code->name, code->code);
    }
    return status;
}

void
pyexec_namespace_close(pyexec_kernel *k, pyexec_namespace *ns)
{
    if (ns->main_dict != NULL) {
        PyObject *mine = *k->main_slot;
        *k->main_slot = ns->main_dict;
        Py_XDECREF(mine);
    }
    Py_XDECREF(ns->value);
    if (ns->locals != ns->globals || ns->globals == NULL) {
        Py_XDECREF(ns->locals);
    }
    else {
        Py_DECREF(ns->locals);
    }
    if (ns->globals != NULL) {
        release_namespace(ns->globals); /* stolen */
    }
}

static int32_t
run(pyexec_kernel *k, const call *c, const pyexec_code *code, pyexec_sections *at)
{
    int32_t status = PYEXEC_NO_MEMORY;
    pyexec_namespace ns = {NULL};

    if (!code->computes || c->functions_len != 0) {
        pyexec_gc_mark(k);
    }
    if (pyexec_namespace_open(k, &ns, c->flags, c->functions, c->functions_len) < 0) {
        goto done;
    }
    if (c->vars_len != 0 && pyexec_decode_vars(k, ns.locals, c->vars, c->vars_len) < 0) {
        status = PYEXEC_BAD_INPUT;
        goto done;
    }
    if (!k->inputs_plain && (k->confine.skip || code->computes) && (c->flags & PYEXEC_RESET) != 0) {
        k->confine.skip = false;
        pyexec_reset_before(k);
    }
    if ((c->flags & PYEXEC_HOST_STDIN) != 0 && pyexec_stream_input(k, true) < 0) {
        PyErr_Clear();
        goto done;
    }

    if (k->gc_enabled) {
        PyGC_Enable();
    }
    k->evaluating = true;
    ns.value = evaluate(code, ns.globals, ns.locals);
    k->evaluating = false;
    status = pyexec_put_outcome(k, &ns, code, c->want, c->want_len, at);

done:
    pyexec_namespace_close(k, &ns);
    if ((c->flags & PYEXEC_HOST_STDIN) != 0 && pyexec_stream_input(k, false) < 0) {
        PyErr_Clear();
    }
    return status;
}

static pyexec_bytes
section(const pyexec_buf *b, size_t from, size_t to)
{
    return from < to ? (pyexec_bytes){b->p + from, to - from} : (pyexec_bytes){NULL, 0};
}

static void
finish(pyexec_kernel *k, const pyexec_sections *at)
{
    pyexec_reply *r = &k->reply;
    if (k->buf.failed || k->skipped.failed || k->changes.failed || k->out.buf.failed || k->err.buf.failed) {
        r->status = PYEXEC_NO_MEMORY;
    }
    r->vars = section(&k->buf, 0, at->vars_end);
    r->cached = k->codes.count;
    r->evictions = k->codes.evictions;
    if (k->buf.len == at->vars_end && (k->skipped.len | k->changes.len | k->out.buf.len | k->err.buf.len) == 0 &&
        k->taint[0] == '\0' && !k->out.cut && !k->err.cut &&
        (r->flags & ~(uint32_t)PYEXEC_COMPILED) == 0) {
        return; /* as most calls end */
    }
    r->value = section(&k->buf, at->vars_end, at->value_end);
    r->error = section(&k->buf, at->value_end, at->error_end);
    r->skipped = section(&k->skipped, 0, k->skipped.len);
    r->changes = section(&k->changes, 0, k->changes.len);
    r->out = section(&k->out.buf, 0, k->out.buf.len);
    r->err = section(&k->err.buf, 0, k->err.buf.len);
    r->taint = (pyexec_bytes){(const uint8_t *)k->taint, k->taint[0] == '\0' ? 0 : strlen(k->taint)};
    r->flags |= PYEXEC_MORE | (k->out.cut ? PYEXEC_STDOUT_CUT : 0) | (k->err.cut ? PYEXEC_STDERR_CUT : 0) |
                (r->taint.n != 0 ? PYEXEC_TAINTED : 0);
}

void
pyexec_call_clear(pyexec_kernel *k)
{
    pyexec_buf_clear(&k->buf);
    pyexec_buf_clear(&k->skipped);
    pyexec_buf_clear(&k->changes);
    pyexec_buf_clear(&k->out.buf);
    pyexec_buf_clear(&k->err.buf);
    k->out.cut = k->err.cut = false;
    k->out.open = k->err.open = true;
    k->inputs_plain = true;
    k->confine.skip = false;
    k->modules.n_before = k->modules.n;
    k->taint[0] = '\0';
    k->reply.flags = 0;
    k->reply.brief = PYEXEC_NOT_BRIEF;
    k->wasted = 0;
}

static void __attribute__((noinline))
open_host(pyexec_kernel *k, uint64_t serial, uint32_t flags)
{
    pyexec_host_begin(k, serial);
    k->out.stream = (flags & PYEXEC_HOST_STDOUT) != 0 ? k : NULL;
    k->err.stream = (flags & PYEXEC_HOST_STDERR) != 0 ? k : NULL;
}

/* The host has been told of what fails here, and will say so. */
static void __attribute__((noinline))
flush_streams(pyexec_kernel *k)
{
    pyexec_capture *both[] = {&k->out, &k->err};
    for (size_t i = 0; i < 2; i++) {
        if (both[i]->stream != NULL && pyexec_stream_flush(both[i]) < 0) {
            PyErr_Clear();
        }
    }
}

static void __attribute__((noinline))
close_host(pyexec_kernel *k)
{
    flush_streams(k); /* of what finalizers wrote */
    k->out.open = k->err.open = false;
    k->out.stream = k->err.stream = NULL;
    pyexec_host_end(k);
}

/* From here on k is this call's. False: there is no interpreter, or no memory, as the reply says; and no call to end. */
bool
pyexec_call_begin(pyexec_kernel *k, uint64_t id, int64_t since, uint32_t flags, const char *name, size_t name_len,
                  uint64_t host)
{
    if (k->interp == NULL) {
        k->reply = (pyexec_reply){.status = PYEXEC_NOT_RUNNING};
        return false;
    }
    pyexec_stop_begin(k, id, since, name, name_len);
    if (!pyexec_attach(k)) {
        pyexec_stop_end(k);
        k->reply = (pyexec_reply){.status = PYEXEC_NO_MEMORY};
        return false;
    }
    pyexec_call_clear(k);
    if (k->config.memory_limit != 0) {
        pyexec_memory_begin(k);
    }
    if (__builtin_expect(host != 0, 0)) {
        open_host(k, host, flags);
    }
    /* Or any allocation of the kernel's could collect, and run gc.callbacks and finalizers under its hands. */
    k->gc_enabled = PyGC_Disable();
    return true;
}

/* Put everything back, and finish the reply. look: something may have been left behind. */
const pyexec_reply *
pyexec_call_end(pyexec_kernel *k, bool look, bool reset, const pyexec_sections *at)
{
    bool host = k->host.serial != 0;
    if (look) {
        pyexec_gc_sweep(k);
    }
    if (__builtin_expect(host, 0)) {
        flush_streams(k); /* now, when other threads may still run meanwhile */
    }
    if (reset && !pyexec_confine_end(k)) {
        pyexec_reset_after(k);
    }
    pyexec_gc_settle(k);
    if (__builtin_expect(host, 0)) {
        close_host(k);
    }
    if (k->given_up != 0) { /* a thread that would not end may hold the GIL for ever */
        k->reply.brief = PYEXEC_NOT_BRIEF;
    }
    k->running = NULL;
    k->out.open = k->err.open = false;
    pyexec_stop_end(k);
    k->reply.flags |= (k->stop.raised ? PYEXEC_STOPPED : 0) |
                      (k->config.memory_limit != 0 && pyexec_memory_end() ? PYEXEC_MEMORY : 0);
    finish(k, at);
    if (k->gc_enabled) {
        PyGC_Enable();
    }
    pyexec_detach(k);
    return &k->reply;
}

const pyexec_reply *
pyexec_run(pyexec_kernel *k, uint64_t id, int64_t since, uint32_t flags, uint64_t hash, const char *name,
           size_t name_len, const char *code_text, size_t code_len, const char *vars, size_t vars_len, const char *want,
           size_t want_len, uint64_t host, const char *functions, size_t functions_len)
{
    call c = {flags, name, code_text, vars, want, functions, name_len, code_len, vars_len, want_len, functions_len};
    pyexec_sections at = {0};
    if (!pyexec_call_begin(k, id, since, flags, name, name_len, host)) {
        return &k->reply;
    }
    /* Code that only computes cannot see or change what the reset is about, but what it has of the host may. */
    pyexec_code *code = pyexec_code_get(k, hash, name, name_len, code_text, code_len); /* borrowed */
    bool look = code == NULL || !code->computes || functions_len != 0 || (k->reply.flags & PYEXEC_COMPILED) != 0;
    bool reset = look && (flags & PYEXEC_RESET) != 0;
    if (code == NULL) {
        k->reply.status = put_compile_error(k, &c);
    }
    else if ((flags & PYEXEC_COMPILE_ONLY) != 0) {
        k->reply.status = PYEXEC_OK;
    }
    else {
        if (reset && host == 0 && (k->reply.flags & PYEXEC_COMPILED) == 0) {
            pyexec_confine_begin(k, code);
        }
        if (reset && !k->confine.skip) {
            pyexec_reset_before(k);
        }
        k->running = code;
        k->reply.status = run(k, &c, code, &at);
        look = look || !k->inputs_plain;
        reset = look && (flags & PYEXEC_RESET) != 0;
    }
    at.error_end = k->buf.len;
    /* a warning, which Python code has shown; or what it was computing is left as it is */
    if (__builtin_expect(!look && (k->err.buf.len != 0 || k->stop.raised), 0)) {
        look = true;
        reset = (flags & PYEXEC_RESET) != 0;
    }
    k->reply.brief = code != NULL ? code->brief : PYEXEC_NOT_BRIEF;
    return pyexec_call_end(k, look, reset, &at);
}
