/* compat.h: every difference between Python versions 3.11 to 3.15, and nothing else; those of the byte code are in
 * opcodes.h, which belongs to it.
 *
 * A .c file of the kernel includes this header first and then kernel.h; no other file asks for PY_VERSION_HEX. */
#ifndef PYEXEC_COMPAT_H
#define PYEXEC_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* An #error alone would be the first of hundreds: that a file is not found ends the compilation. */
#if PY_VERSION_HEX < 0x030B0000
#error "pyexec needs Python 3.11 or newer, and this is an older one: install a newer python3-dev, or set PKG_CONFIG_PATH to the folder of another python3-embed.pc"
#include "pyexec needs Python 3.11 or newer"
#endif
#ifdef Py_GIL_DISABLED
#error "pyexec needs a Python with the GIL, and this one is a free-threaded build: set PKG_CONFIG_PATH to the folder of another python3-embed.pc"
#include "pyexec needs a Python with the GIL"
#endif

#include <frameobject.h>
#include <limits.h>
#include <opcode.h>
#include <stdbool.h>

/* Is this Python at least major.minor, given as 0x030E? */
#define PYEXEC_PYTHON_SINCE(version) (PY_VERSION_HEX >> 16 >= (version))

/* ---- how a change of a dict is noticed ----
 * 3.11 has a version tag in each dict; 3.12 has watchers, whose one flag serves all dicts. */
#if PY_VERSION_HEX < 0x030C0000
#define PYEXEC_DICT_VERSIONS 1
static inline uint64_t
pyexec_dict_version(PyObject *dict)
{
    return ((PyDictObject *)dict)->ma_version_tag;
}
#else
#define PYEXEC_DICT_WATCHERS 1
#endif

/* ---- the current exception, taken as one normalised object with its traceback set ---- */
static inline PyObject * /* new, or NULL if none is set */
pyexec_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type = NULL, *value = NULL, *tb = NULL;
    PyErr_Fetch(&type, &value, &tb);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb != NULL && value != NULL) {
        PyException_SetTraceback(value, tb);
    }
    Py_XDECREF(type);
    Py_XDECREF(tb);
    return value;
#endif
}

static inline void
pyexec_restore_exception(PyObject *exc /* stolen, may be NULL */)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exc);
#else
    if (exc == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exc)), exc, PyException_GetTraceback(exc));
#endif
}

/* ---- big integers as bytes ---- */
static inline Py_ssize_t /* bytes needed for the absolute value, -1 on error; v is a non-negative int */
pyexec_long_nbytes(PyObject *v)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_AsNativeBytes(v, NULL, 0, Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER);
#else
    size_t bits = _PyLong_NumBits(v);
    if (bits == (size_t)-1 && PyErr_Occurred()) {
        return -1;
    }
    return (Py_ssize_t)((bits + 7) / 8);
#endif
}

static inline int
pyexec_long_to_big_endian(PyObject *v, uint8_t *out, size_t n)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_AsNativeBytes(v, out, (Py_ssize_t)n,
                                Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER) < 0
               ? -1
               : 0;
#else
    return _PyLong_AsByteArray((PyLongObject *)v, out, n, 0, 0);
#endif
}

static inline PyObject * /* new */
pyexec_long_from_big_endian(const uint8_t *in, size_t n)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_FromUnsignedNativeBytes(in, n, Py_ASNATIVEBYTES_BIG_ENDIAN);
#else
    return _PyLong_FromByteArray(in, n, 0, 0);
#endif
}

/* ---- tracebacks ----
 * Up to 3.12 the interpreter prints them in C and reads source through io.open; from 3.13 on it uses the module
 * traceback, which reads source through linecache. errors.c serves the snippet's source to either. */
#if PY_VERSION_HEX >= 0x030D0000
#define PYEXEC_TRACEBACK_IN_PYTHON 1
#endif

/* ---- how deep code may recurse on a stack ----
 * 3.11 counts calls, those of Python code and those in C alike, with one limit for all threads; 3.12 and 3.13 count those in
 * C by themselves, up to a number that a stack of 8 MB does not hold; later versions look at the stack itself. The most
 * that was found is sorted() with a key that sorts, with 2.6 KB a call in each version. (numpy's ufuncs take more, see
 * README.md.) */
enum { PYEXEC_STACK_OF_A_CALL = 2688 };

static inline int
pyexec_recursion_on(size_t stack)
{
    return stack == 0 ? INT_MAX : (int)(stack / PYEXEC_STACK_OF_A_CALL < INT_MAX ? stack / PYEXEC_STACK_OF_A_CALL : INT_MAX);
}

static inline void
pyexec_bound_recursion(PyThreadState *state, int most)
{
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
    if (state->c_recursion_remaining > most) {
        state->c_recursion_remaining = most;
    }
#else
    (void)state;
    (void)most;
#endif
}

/* Whether sys.setrecursionlimit has anything to do with stacks. */
#if PY_VERSION_HEX < 0x030C0000
#define PYEXEC_RECURSION_IS_OF_STACK 1
#else
#define PYEXEC_RECURSION_IS_OF_STACK 0
#endif

/* ---- where site looks for packages when it finds a virtual environment: at sys.prefix, and at PREFIXES as well ----
 * Up to 3.13 those are to be the Python that the environment was made with; later ones add them by themselves. */
static inline int
pyexec_site_prefixes(PyObject *site)
{
#if PY_VERSION_HEX < 0x030E0000
    PyObject *all = Py_BuildValue("[OO]", PySys_GetObject("base_prefix"), PySys_GetObject("base_exec_prefix")); /* new */
    int rc = all == NULL ? -1 : PyObject_SetAttrString(site, "PREFIXES", all);
    Py_XDECREF(all);
    return rc;
#else
    (void)site;
    return 0;
#endif
}

/* ---- the dict of a class ---- */
static inline PyObject * /* new */
pyexec_type_dict(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyType_GetDict(type);
#else
    return Py_XNewRef(type->tp_dict);
#endif
}

static inline PyObject * /* borrowed: the interpreter keeps it for as long as it lives */
pyexec_static_type_dict(PyTypeObject *type)
{
    PyObject *dict = pyexec_type_dict(type);
    Py_XDECREF(dict);
    return dict;
}

static inline bool
pyexec_has_instance_dict(PyObject *v)
{
    return _PyObject_GetDictPtr(v) != NULL;
}

/* The dict of an instance's attributes, such that whatever changes one is seen by who watches the dict. From 3.13 on the
 * values of a young one lie in the object itself, and are set there without a word. */
static inline PyObject * /* new */
pyexec_instance_dict(PyObject *v)
{
    PyObject *dict = PyObject_GenericGetDict(v, NULL); /* new */
#if PY_VERSION_HEX >= 0x030D0000
    if (dict != NULL && PyDict_Check(dict) && ((PyDictObject *)dict)->ma_values != NULL) {
        PyObject *items = PyDict_New(), *odd = PyLong_FromLong(0), *key = NULL, *value = NULL; /* new, new, borrowed */
        Py_ssize_t pos = 0;
        int rc = items == NULL || odd == NULL ? -1 : 0;
        while (rc == 0 && PyDict_Next(dict, &pos, &key, &value)) {
            rc = PyDict_SetItem(items, key, value);
        }
        /* a key that is no str makes the dict take a table of its own */
        if (rc < 0 || PyDict_SetItem(dict, odd, Py_None) < 0) {
            Py_CLEAR(dict);
        }
        else {
            PyDict_Clear(dict);
            rc = PyDict_Update(dict, items);
        }
        if (rc < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(items);
        Py_XDECREF(odd);
    }
#endif
    return dict;
}

/* 1 and a new reference, or 0: the object is gone */
static inline int
pyexec_weakref_get(PyObject *ref, PyObject **v)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyWeakref_GetRef(ref, v);
#else
    PyObject *o = PyWeakref_GetObject(ref); /* borrowed */
    *v = o == Py_None ? NULL : Py_XNewRef(o);
    return *v != NULL;
#endif
}

/* ---- the state of another thread ----
 * From 3.12 on deleting one that is known to PyGILState_Ensure makes the calling thread, too, unknown to it. */
static inline void
pyexec_delete_thread_state(PyThreadState *state)
{
#if PY_VERSION_HEX >= 0x030C0000
    state->_status.bound_gilstate = 0;
#endif
    PyThreadState_Delete(state);
}

/* ---- the same, of a thread that lives ----
 * From 3.15 on it keeps a pointer to it through the end of the interpreter, and writes there when it takes its next state. So
 * the memory is left for then. What is returned is for PyMem_RawFree, when the thread has another state or is gone; or NULL. */
#if PY_VERSION_HEX >= 0x030F0000
typedef struct {
    PyMemAllocatorEx real;
    void *spared;
} pyexec_sparing;

static inline void
pyexec_free_all_but_one(void *ctx, void *p)
{
    pyexec_sparing *s = (pyexec_sparing *)ctx;
    if (p != s->spared) {
        s->real.free(s->real.ctx, p);
    }
}

static inline void *
pyexec_sparing_malloc(void *ctx, size_t n)
{
    pyexec_sparing *s = (pyexec_sparing *)ctx;
    return s->real.malloc(s->real.ctx, n);
}

static inline void *
pyexec_sparing_calloc(void *ctx, size_t n, size_t size)
{
    pyexec_sparing *s = (pyexec_sparing *)ctx;
    return s->real.calloc(s->real.ctx, n, size);
}

static inline void *
pyexec_sparing_realloc(void *ctx, void *p, size_t n)
{
    pyexec_sparing *s = (pyexec_sparing *)ctx;
    return s->real.realloc(s->real.ctx, p, n);
}
#endif

static inline void * /* while no other thread allocates; the GIL is held */
pyexec_bury_thread_state(PyThreadState *state)
{
#if PY_VERSION_HEX >= 0x030F0000
    pyexec_sparing s = {.spared = state};
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &s.real);
    PyMemAllocatorEx sparing = {&s, pyexec_sparing_malloc, pyexec_sparing_calloc, pyexec_sparing_realloc, pyexec_free_all_but_one};
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &sparing);
    pyexec_delete_thread_state(state);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &s.real);
    return state;
#else
    pyexec_delete_thread_state(state);
    return NULL;
#endif
}

/* ---- the state that is current; it need not be this thread's before 3.12 ---- */
static inline PyThreadState * /* NULL: the GIL is not held; before 3.12, by nobody */
pyexec_current_thread_state(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

/* ---- trace functions of all threads: true if there were any ---- */
static inline bool
pyexec_forget_all_tracers(PyInterpreterState *interp)
{
    bool found = false;
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp); t != NULL; t = PyThreadState_Next(t)) {
        found = found || t->c_traceobj != NULL || t->c_profileobj != NULL;
    }
#if PY_VERSION_HEX >= 0x030C0000
    PyEval_SetTraceAllThreads(NULL, NULL);
    PyEval_SetProfileAllThreads(NULL, NULL);
#endif
    return found;
}

/* ---- threading.local: from 3.13 on it hangs on a sentinel in the thread state and no longer on an entry in its dict ---- */
static inline bool
pyexec_has_sentinel(PyThreadState *t)
{
#if PY_VERSION_HEX >= 0x030D0000
    return t->threading_local_sentinel != NULL;
#else
    (void)t;
    return false;
#endif
}

static inline void
pyexec_drop_sentinel(PyThreadState *t)
{
#if PY_VERSION_HEX >= 0x030D0000
    Py_CLEAR(t->threading_local_key);
    Py_CLEAR(t->threading_local_sentinel);
#else
    (void)t;
#endif
}

/* ---- members of types ---- */
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#define Py_T_OBJECT_EX T_OBJECT_EX
#endif

/* ---- the main thread (runtime.c): from 3.13 on its state is kept, too ---- */
#if PY_VERSION_HEX >= 0x030D0000
#define PYEXEC_MAIN_STATE 1
#endif

/* ---- recursive locks: from 3.14 on only their owner can release them ---- */
#define PYEXEC_RLOCK_HAS_OWNER (PY_VERSION_HEX >= 0x030E0000)

/* ---- freed ints (runtime.c): from 3.14 on small ones are kept for the next, as floats always were ---- */
#if PY_VERSION_HEX >= 0x030E0000
#define PYEXEC_FREED_INTS 1
#endif

/* ---- sys.monitoring, from 3.12 on: tools that a snippet can be, and at least as many events as there are ---- */
enum { PYEXEC_MONITORING_TOOLS = 6, PYEXEC_MONITORING_EVENTS = 24 };

/* ---- a trace function of this thread; true: even from within another one ----
 * 3.15 does not bear that: code that a trace function runs has no record of its events, which it reads for each exception.
 * There this one is called from when the other has ended. */
static inline bool
pyexec_trace_here(Py_tracefunc function)
{
    PyThreadState *state = PyThreadState_Get();
#if PY_VERSION_HEX < 0x030F0000
    state->tracing = 0;
#endif
    PyEval_SetTrace(function, NULL);
    return state->tracing == 0;
}

/* ---- tracing other threads: 3.11 has a function for one, later versions for all ---- */
#if PY_VERSION_HEX < 0x030C0000
#define PYEXEC_TRACES_EACH_THREAD 1
#else
#define PYEXEC_TRACES_EACH_THREAD 0
#endif

/* ---- re-initialisation (RATIONALE.md, "Why not always initialise again?") ----
 * What Py_FinalizeEx + Py_InitializeFromConfig in one process is worth, as measured:
 * 3.11: sound while only modules built into the interpreter's core are loaded; leaks with others.
 * 3.12: aborts after several stdlib modules, leaks 1 MB bare.   3.13: leaks 0.2 MB bare.
 * 3.14 and later: sound with every stdlib module. */
#if PY_VERSION_HEX >= 0x030E0000
#define PYEXEC_REINIT_BARE 1
#elif PY_VERSION_HEX < 0x030C0000
#define PYEXEC_REINIT_BARE 1
#else
#define PYEXEC_REINIT_BARE 0
#endif

/* ---- the collector's list of young objects ----
 * The two words before a collected object link it into its generation (unchanged since 3.8 in builds with the GIL;
 * the low bits of the first are flags). gc.c reads one neighbour of one object of its own, nothing else. */
typedef struct {
    uintptr_t next;
    uintptr_t prev;
} pyexec_gc_head;

static inline uintptr_t
pyexec_gc_next(PyObject *op)
{
    return ((pyexec_gc_head *)op - 1)->next & ~(uintptr_t)3;
}

#endif /* PYEXEC_COMPAT_H */
