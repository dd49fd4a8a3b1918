/* Python.h, as github.com/go-python/cpy3 v0.2.0 sees it: the real one, and what has been taken out of it since Python 3.8,
 * for which cpy3 was written. It is found first because of python3.pc, which is in this folder, too.
 *
 * Where Python has kept a function and only hides it, its old declaration is here. What is gone does here what it says. */
#ifndef PYEXEC_CPY3_PYTHON_H
#define PYEXEC_CPY3_PYTHON_H

#include_next <Python.h>

/* ---- gone by 3.9 ---- */

/* Free lists are emptied by full collections. These emptied one, and said how many objects had been in it. */
static inline int
PyDict_ClearFreeList(void)
{
    return 0;
}

static inline int
PyFloat_ClearFreeList(void)
{
    return 0;
}

static inline int
PyList_ClearFreeList(void)
{
    return 0;
}

/* It was for the child of a fork. A Go program cannot fork without starting another program. */
static inline void
PyEval_ReInitThreads(void)
{
}

/* ---- declared in 3.11 and 3.12, but not to be had from libpython ---- */

#if PY_VERSION_HEX < 0x030D0000
/* Python has no descriptor to wake up: -1 is what it returned for none, and for a new one that it cannot use. */
static inline int
pyexec_cpy3_SetWakeupFd(int fd)
{
    (void)fd;
    return -1;
}
#define PySignal_SetWakeupFd pyexec_cpy3_SetWakeupFd
#endif

/* ---- taken out of the headers by 3.13, and still in libpython but for one ---- */

#if PY_VERSION_HEX >= 0x030D0000
PyAPI_FUNC(int) PyEval_ThreadsInitialized(void);
PyAPI_FUNC(void) PySys_AddWarnOption(const wchar_t *s);
PyAPI_FUNC(void) PySys_AddXOption(const wchar_t *s);
PyAPI_FUNC(void) PySys_SetPath(const wchar_t *path);
PyAPI_FUNC(void) Py_SetPath(const wchar_t *path);

/* It was for the time before Py_Initialize, and failed after it. Now it always does. */
static inline int
Py_SetStandardStreamEncoding(const char *encoding, const char *errors)
{
    (void)encoding;
    (void)errors;
    return -1;
}
#endif

/* ---- not to be had while an Executor has the interpreter ----
 * It begins and ends it, and begins it again; a program that was written for cpy3 alone does so, too. Such calls then do
 * nothing, and fail if they can. pyexec_owns_python is in pyexec's kernel; in a program without it, it is NULL. */

extern int pyexec_owns_python(void) __attribute__((weak));

static inline int
pyexec_cpy3_owned(void)
{
    return pyexec_owns_python != NULL && pyexec_owns_python();
}

static inline int
pyexec_cpy3_FinalizeEx(void)
{
    return pyexec_cpy3_owned() ? -1 : Py_FinalizeEx();
}

static inline void
pyexec_cpy3_Finalize(void)
{
    (void)pyexec_cpy3_FinalizeEx();
}

static inline int
pyexec_cpy3_Main(int argc, wchar_t **argv)
{
    return pyexec_cpy3_owned() ? -1 : Py_Main(argc, argv);
}

static inline void
pyexec_cpy3_SetPath(const wchar_t *path)
{
    if (!pyexec_cpy3_owned()) {
        Py_SetPath(path);
    }
}

static inline void
pyexec_cpy3_SetProgramName(const wchar_t *name)
{
    if (!pyexec_cpy3_owned()) {
        Py_SetProgramName(name);
    }
}

static inline void
pyexec_cpy3_SetPythonHome(const wchar_t *home)
{
    if (!pyexec_cpy3_owned()) {
        Py_SetPythonHome(home);
    }
}

#define Py_FinalizeEx pyexec_cpy3_FinalizeEx
#define Py_Finalize pyexec_cpy3_Finalize
#define Py_Main pyexec_cpy3_Main
#define Py_SetPath pyexec_cpy3_SetPath
#define Py_SetProgramName pyexec_cpy3_SetProgramName
#define Py_SetPythonHome pyexec_cpy3_SetPythonHome

#endif /* PYEXEC_CPY3_PYTHON_H */
