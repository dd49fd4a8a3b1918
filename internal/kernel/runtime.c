/* runtime.c: the one file that reads CPython's own structures by its internal headers, for few fields: which thread is the
 * main one, where signals are looked for (limit.c), since that is to be the thread that runs a call; how many freed ints
 * are kept (memory.c); and the option -i. */
#define Py_BUILD_CORE 1
#include "compat.h"

#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"

#include "kernel.h"

#include <sched.h>

void
pyexec_be_main_thread(PyThreadState *state)
{
    (void)state;
    _PyRuntime.main_thread = PyThread_get_thread_ident();
#ifdef PYEXEC_MAIN_STATE
    _PyRuntime.main_tstate = state;
#endif
}

/* Asked on the thread that has just initialised the interpreter: are the fields where the headers say? */
bool
pyexec_main_thread_known(void)
{
#ifdef PYEXEC_MAIN_STATE
    if (_PyRuntime.main_tstate != PyThreadState_Get()) {
        return false;
    }
#endif
    return _PyRuntime.main_thread == PyThread_get_thread_ident();
}

/* ---- freed ints ----
 * A loop in C that counts takes and returns one int after the other, and from 3.14 on they come out of a list of freed
 * ones: nothing is allocated that could fail. While the length of the list is negative nothing is put into it, as CPython
 * has it for its own end; it then runs dry, and ints are allocated. */
#ifdef PYEXEC_FREED_INTS
enum { ATTEMPTS = 100 };
static bool freed_ints_known = false;

static struct _Py_freelist *
freed_ints(void)
{
    return &_PyRuntime._main_interpreter.object_state.freelists.ints;
}

void
pyexec_find_freed_ints(void)
{
    PyObject *v = PyLong_FromLong(1 << 20); /* new */
    Py_XDECREF(v);
    PyErr_Clear();
    freed_ints_known = v != NULL && freed_ints()->freelist == v && freed_ints()->size > 0;
}

void
pyexec_keep_no_ints(void)
{
    Py_ssize_t *size = &freed_ints()->size;
    for (int i = 0; i < ATTEMPTS && freed_ints_known; i++) {
        if (i > 0 && __atomic_load_n(size, __ATOMIC_RELAXED) < 0) {
            return;
        }
        __atomic_store_n(size, PY_SSIZE_T_MIN / 2, __ATOMIC_RELAXED);
        sched_yield(); /* the other thread may have been counting, and write over it what it had read before */
    }
}

void
pyexec_keep_ints(void)
{
    Py_ssize_t n = 0;
    for (void **p = freed_ints()->freelist; p != NULL && freed_ints_known; p = *p) {
        n++;
    }
    if (freed_ints_known) {
        freed_ints()->size = n;
    }
}
#else
void
pyexec_find_freed_ints(void)
{
}

void
pyexec_keep_no_ints(void)
{
}

void
pyexec_keep_ints(void)
{
}
#endif

/* With the option -i, PyErr_Print and what calls it print a SystemExit as any exception, and do not end the process. */
void
pyexec_survive_exit(pyexec_kernel *k, bool survive)
{
    k->interp->config.inspect = survive;
}
