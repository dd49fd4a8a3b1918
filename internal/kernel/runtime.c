/* runtime.c: the one file that reads CPython's own structures by its internal headers, for two fields: which thread is the
 * main one, where signals are looked for (limit.c). It is the thread that runs a call. */
#define Py_BUILD_CORE 1
#include "compat.h"

#include "internal/pycore_runtime.h"

#include "kernel.h"

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
