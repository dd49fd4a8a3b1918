/* bench.c: what the benchmarks compare a call with. */
#include "compat.h"

#include "kernel.h"

#include <time.h>

/* The limit of what any embedder can do: compiled code, a fresh dict, nothing else. For bench_test.go. */
int64_t
pyexec_bench_eval(pyexec_kernel *k, const char *source, int64_t n)
{
    int64_t ns = -1;
    struct timespec from, to;
    if (k->interp == NULL || !pyexec_attach(k)) {
        return -1;
    }
    PyObject *code = Py_CompileString(source, "<bench>", Py_file_input); /* new */
    if (code == NULL) {
        goto done;
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int64_t i = 0; i < n; i++) {
        PyObject *globals = PyDict_New(); /* new */
        if (globals == NULL) {
            goto done;
        }
        PyObject *r = PyEval_EvalCode(code, globals, globals); /* new */
        Py_XDECREF(r);
        Py_DECREF(globals);
        if (r == NULL) {
            goto done;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    ns = (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec);

done:
    PyErr_Clear();
    Py_XDECREF(code);
    pyexec_detach(k);
    return ns;
}
