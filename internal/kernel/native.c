/* native.c: a call whose code is the host's own, made of C API calls. It has all that a snippet's call has: the GIL, a fresh
 * namespace, its output caught, and everything put back. */
#include "compat.h"

#include "kernel.h"

/* What stands for the code of such a call where a snippet has its source. */
static const pyexec_code no_code = {.name = "", .code = ""};

void *
pyexec_native_begin(pyexec_kernel *k, uint64_t id, int64_t since, uint32_t flags, const char *name, size_t name_len,
                    uint64_t host, const char *functions, size_t functions_len)
{
    pyexec_native *n = &k->native;
    *n = (pyexec_native){.reset = (flags & PYEXEC_RESET) != 0};
    n->attached = pyexec_call_begin(k, id, since, flags, name, name_len, host);
    if (!n->attached) {
        return NULL;
    }
    if (n->reset) {
        pyexec_reset_before(k);
    }
    k->running = &no_code;
    pyexec_gc_mark(k);
    if (pyexec_namespace_open(k, &n->ns, 0, functions, functions_len) < 0) {
        return NULL;
    }
    n->opened = true;
    pyexec_survive_exit(k, true);
    if (k->gc_enabled) {
        PyGC_Enable();
    }
    k->evaluating = true;
    return n->ns.globals;
}

const pyexec_reply *
pyexec_native_end(pyexec_kernel *k)
{
    pyexec_native *n = &k->native;
    pyexec_sections at = {0};
    if (!n->attached) {
        return &k->reply;
    }
    k->reply.status = PYEXEC_NO_MEMORY;
    if (n->opened) {
        bool had_gil = pyexec_attach_again();
        k->evaluating = false;
        pyexec_survive_exit(k, false);
        if (!had_gil && PyErr_Occurred() == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "the function returned without the GIL that it had been given");
        }
        n->ns.value = PyErr_Occurred() != NULL ? NULL : Py_NewRef(Py_None);
        k->reply.status = pyexec_put_outcome(k, &n->ns, &no_code, NULL, 0, &at);
    }
    pyexec_namespace_close(k, &n->ns);
    at.error_end = k->buf.len;
    return pyexec_call_end(k, true, n->reset, &at);
}
