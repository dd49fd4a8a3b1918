/* limit.c: how a call is stopped from another thread, which never waits for the GIL.
 *
 * CPython looks for signals in its evaluation loop, in every system call that a signal interrupts (PEP 475), and in its
 * long-running C code: matching a regular expression, arithmetic with huge integers. It does so on its main thread, so
 * whichever thread runs a call is made that one (runtime.c). To stop a call, a real-time signal is sent to its thread; the
 * handler marks the same signal for Python, whose handler for it is a function of ours, which raises.
 *
 * Code that catches what is raised meets a trace function next that raises at every instruction. Code in a C loop that
 * never looks for signals is left with memory: an allocation of its thread fails, once for each time it is asked to stop.
 * What is left is a C loop that does not even allocate. */
#include "compat.h"

#include "kernel.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define STOP_SIGNAL (SIGRTMAX - 1)

/* One kernel in a process: handlers and trace functions are given no pointer that a snippet could not get hold of. */
static pyexec_kernel *_Atomic the_kernel = NULL; /* is freed only after interrupting was held to set this to NULL */
static pthread_mutex_t interrupting = PTHREAD_MUTEX_INITIALIZER;

static bool
is_wanted(const pyexec_stopping *s)
{
    uint64_t call = s->call;
    return call != 0 && s->wanted == call;
}

bool
pyexec_stop_wanted(pyexec_kernel *k)
{
    return is_wanted(&k->stop) && k->stop.stage >= PYEXEC_STOP_TRACE;
}

static void
raise_stop(pyexec_stopping *s)
{
    s->raised = true;
    PyErr_SetString(s->type, "pyexec stops the call");
}

/* ---- on the thread of the call ---- */

static int
kill_trace(PyObject *arg, PyFrameObject *frame, int what, PyObject *value)
{
    (void)arg;
    (void)frame;
    if (the_kernel == NULL || !is_wanted(&the_kernel->stop) || what == PyTrace_EXCEPTION ||
        (what == PyTrace_RETURN && value == NULL)) {
        return 0; /* what is raised already keeps its traceback */
    }
    raise_stop(&the_kernel->stop);
    return -1;
}

/* Trace functions do not trace each other: if the call is in one of its own, that is forgotten, and none of its own must be
 * called in turn. */
static void
trace_alone(pyexec_stopping *s)
{
    pyexec_trace_here(kill_trace);
    PyEval_SetProfile(NULL, NULL);
    for (int tool = 0; s->register_callback != NULL && tool < PYEXEC_MONITORING_TOOLS; tool++) {
        for (int event = 0; event < PYEXEC_MONITORING_EVENTS; event++) {
            PyObject *r = PyObject_CallFunction(s->register_callback, "iiO", tool, 1 << event, Py_None); /* new */
            PyErr_Clear(); /* not every number is an event's */
            Py_XDECREF(r);
        }
    }
}

/* A frame can have its trace events turned off, and its lines taken away. */
static void
trace_all_frames(void)
{
    PyFrameObject *frame = PyEval_GetFrame(); /* borrowed */
    Py_XINCREF(frame);
    while (frame != NULL) {
        if (PyObject_SetAttrString((PyObject *)frame, "f_trace_lines", Py_True) < 0 ||
            PyObject_SetAttrString((PyObject *)frame, "f_trace_opcodes", Py_True) < 0) {
            PyErr_Clear();
        }
        PyFrameObject *back = PyFrame_GetBack(frame); /* new */
        Py_DECREF(frame);
        frame = back;
    }
}

static PyObject *
on_python_signal(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    pyexec_stopping *s = the_kernel == NULL ? NULL : &the_kernel->stop;
    if (s == NULL || !is_wanted(s)) {
        return Py_NewRef(Py_None);
    }
    s->heard++;
    if (s->stage < PYEXEC_STOP_TRACE && (s->raised || s->printing || the_kernel->modules.depth > 0)) {
        /* It was raised once, and `finally` blocks have their time. A module must not be left half imported. And what cannot
         * be printed up to 3.12 is dumped on the process's standard errors. Whoever wants to stop it asks again. */
        return Py_NewRef(Py_None);
    }
    if (s->stage >= PYEXEC_STOP_TRACE) {
        if (!s->traced) {
            s->traced = true;
            trace_alone(s);
        }
        if (!pyexec_trace_here(kill_trace)) {
            PyErr_SetInterruptEx(STOP_SIGNAL); /* the next jump back, or call, comes here again */
        }
        trace_all_frames();
    }
    raise_stop(s);
    return NULL;
}

/* For Py_FinalizeEx, which takes signal handlers away before it runs the last finalizers. */
static int
finalize_trace(PyObject *arg, PyFrameObject *frame, int what, PyObject *value)
{
    (void)arg;
    (void)frame;
    (void)what;
    (void)value;
    if (the_kernel == NULL || !is_wanted(&the_kernel->stop)) {
        return 0;
    }
    PyErr_SetString(PyExc_SystemExit, "pyexec stops the finalizer");
    return -1;
}

void
pyexec_stop_trace_finalizers(void)
{
    pyexec_trace_here(finalize_trace);
}

void
pyexec_stop_begin(pyexec_kernel *k, uint64_t id, int64_t since, const char *name, size_t name_len)
{
    pyexec_stopping *s = &k->stop;
    size_t n = name_len < sizeof s->name ? name_len : sizeof s->name - 1;
    memcpy(s->name, name, n);
    s->name[n] = '\0';
    s->since = since;
    s->thread = pthread_self();
    s->raised = s->clean = false;
    s->deaf.since = 0;
    atomic_store_explicit(&s->call, id, memory_order_release);
}

/* importlib holds the global import lock for moments. If it was stopped in one of them, every import of another thread, which
 * the next call may be on, would wait for ever. */
static void
release_import_lock(pyexec_stopping *s)
{
    PyObject *r = NULL;
    do {
        Py_XDECREF(r);
        r = s->release_import_lock == NULL ? NULL : PyObject_CallNoArgs(s->release_import_lock); /* new */
    } while (r != NULL); /* as often as it was taken */
    PyErr_Clear();
}

/* Nothing more is to be stopped. Whoever is about to send this thread a signal is waited for: the thread may end. */
void
pyexec_stop_end(pyexec_kernel *k)
{
    pyexec_stopping *s = &k->stop;
    s->call = 0; /* sequentially consistent, as interrupters is */
    while (__builtin_expect(s->interrupters != 0, 0)) {
        sched_yield();
    }
    if (__builtin_expect(s->heard == 0 && !s->failing, 1)) {
        return;
    }
    if (s->raised && (s->traced || s->failing || !s->clean)) {
        pyexec_taint(k, "the call was stopped in the middle of code that others use, too");
    }
    s->heard = 0;
    if (s->traced && k->interp != NULL) {
        pyexec_trace_here(NULL);
    }
    s->traced = false;
    if (k->interp != NULL) {
        release_import_lock(s);
    }
    if (s->failing) {
        s->failing = false;
        pyexec_memory_stop_failing();
    }
}

/* A library that is left in the middle of its work may hold a lock, or half of what it was about to write. The snippet's own
 * code has no such state that outlives it. */
void
pyexec_stop_saw(pyexec_kernel *k, PyObject *exc)
{
    if (Py_TYPE(exc) != (PyTypeObject *)k->stop.type) {
        return;
    }
    PyObject *tb = PyException_GetTraceback(exc); /* new */
    bool clean = tb != NULL;
    for (PyTracebackObject *t = (PyTracebackObject *)tb; t != NULL && clean; t = t->tb_next) {
        PyCodeObject *code = PyFrame_GetCode(t->tb_frame); /* new */
        clean = k->running != NULL && code->co_filename == k->running->filename;
        Py_DECREF(code);
    }
    Py_XDECREF(tb);
    k->stop.clean = clean;
}

/* ---- on the thread of whoever wants to stop it; GIL not held ---- */

static void
on_signal(int signum)
{
    int saved = errno;
    if (the_kernel != NULL && the_kernel->stop.signals) {
        PyErr_SetInterruptEx(signum);
        pyexec_left_on_signal(&the_kernel->stop, signum);
    }
    errno = saved;
}

/* The handler is there from the first stop on. If the host then takes the signal for itself, it is the host's: calls are
 * still stopped in the evaluation loop (from 3.13 on), but not in system calls. */
static bool
signal_is_ours(void) /* interrupting held */
{
    static bool installed = false;
    struct sigaction now, mine = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    if (!installed) {
        installed = sigaction(STOP_SIGNAL, &mine, NULL) == 0;
        return installed;
    }
    return sigaction(STOP_SIGNAL, NULL, &now) == 0 && now.sa_handler == on_signal;
}

static void
send_signal(pyexec_stopping *s) /* interrupting held */
{
    bool sent = signal_is_ours() && pthread_kill(s->thread, STOP_SIGNAL) == 0; /* an emulator may not have it */
    if (!sent && s->signals) {
        PyErr_SetInterruptEx(STOP_SIGNAL);
    }
}

void
pyexec_stop_signal(pyexec_stopping *s)
{
    pthread_mutex_lock(&interrupting);
    send_signal(s);
    pthread_mutex_unlock(&interrupting);
}

bool
pyexec_interrupt(pyexec_kernel *k, uint64_t id, int stage)
{
    pthread_mutex_lock(&interrupting);
    if (k != the_kernel) {
        pthread_mutex_unlock(&interrupting);
        return false;
    }
    pyexec_stopping *s = &k->stop;
    s->interrupters++;
    uint64_t call = s->call;
    bool found = call != 0 && (id == call || (id == 0 && call >> 63 != 0));
    if (found) {
        if (s->wanted != call) {
            s->wanted = call;
            s->stage = PYEXEC_STOP_RAISE;
        }
        if (stage > s->stage) {
            s->stage = stage;
        }
        if (stage >= PYEXEC_STOP_MEMORY) {
            s->failing = true;
            pyexec_memory_fail_once(s->thread);
        }
        send_signal(s);
    }
    s->interrupters--;
    pthread_mutex_unlock(&interrupting);
    return found;
}

/* The call has used up its memory, and the reserve for handling that. Called in an allocator, the GIL held or not. */
void
pyexec_stop_for_memory(pyexec_kernel *k, int stage)
{
    pyexec_stopping *s = &k->stop;
    uint64_t call = s->call;
    if (call == 0 || !s->signals || !pthread_equal(pthread_self(), s->thread)) {
        return;
    }
    if (s->wanted != call) {
        s->wanted = call;
        s->stage = stage;
    }
    else if (stage > s->stage) {
        s->stage = stage;
    }
    PyErr_SetInterruptEx(STOP_SIGNAL);
}

bool
pyexec_current(pyexec_kernel *k, pyexec_running *r)
{
    bool found = false;
    pthread_mutex_lock(&interrupting);
    if (k == the_kernel) {
        pyexec_stopping *s = &k->stop;
        r->id = s->call;
        r->since = s->since;
        memcpy(r->name, s->name, sizeof r->name);
        atomic_thread_fence(memory_order_acquire);
        found = r->id != 0 && s->call == r->id; /* or else another call began meanwhile */
        r->name[sizeof r->name - 1] = '\0';
    }
    pthread_mutex_unlock(&interrupting);
    return found;
}

/* ---- life ---- */

/* A snippet has changed the mask of its thread; or the thread is ours, and begins with all signals blocked. */
void
pyexec_stop_unblock(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, STOP_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static PyMethodDef signal_def = {"stop", on_python_signal, METH_VARARGS, NULL};
static PyType_Slot stop_slots[] = {{Py_tp_doc, "Raised in a call that pyexec stops."}, {0, NULL}};
static PyType_Spec stop_spec = {
    .name = "pyexec.Stop",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stop_slots,
};

/* signal.signal(STOP_SIGNAL, handler), which also sets the process's own handler: that is put back at once. */
static int
set_python_handler(pyexec_kernel *k, PyObject *handler)
{
    struct sigaction before;
    if (k->stop.set_signal == NULL || sigaction(STOP_SIGNAL, NULL, &before) < 0) {
        return -1;
    }
    PyObject *r = PyObject_CallFunction(k->stop.set_signal, "iO", STOP_SIGNAL, handler); /* new */
    sigaction(STOP_SIGNAL, &before, NULL);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* Called on the lifecycle thread, after touch.c has laid hands on signal.signal. */
int
pyexec_stop_init(pyexec_kernel *k)
{
    pyexec_stopping *s = &k->stop;
    int result = -1;
    PyObject *module = NULL, *handler = NULL;
    if (!pyexec_main_thread_known()) {
        PyErr_SetString(PyExc_SystemError, "the headers pyexec was built with do not fit this interpreter");
        return -1;
    }
    pyexec_find_freed_ints();
    s->type = PyType_FromSpecWithBases(&stop_spec, PyExc_BaseException); /* new */
    module = PyImport_ImportModule("_signal");                           /* new */
    s->set_signal = module == NULL ? NULL : pyexec_original(module, "signal"); /* new */
    handler = PyCFunction_New(&signal_def, NULL);                        /* new */
    PyObject *imp = PyImport_ImportModule("_imp");                       /* new */
    s->release_import_lock = imp == NULL ? NULL : pyexec_original(imp, "release_lock"); /* new */
    Py_XDECREF(imp);
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed; NULL before 3.12 */
    s->register_callback = monitoring == NULL ? NULL : PyObject_GetAttrString(monitoring, "register_callback"); /* new */
    PyErr_Clear();
    if (s->type != NULL && s->set_signal != NULL && handler != NULL) {
        result = set_python_handler(k, handler);
    }
    if (result == 0 && k->config.host_getenv != NULL) { /* a worker process is ended by whom it makes wait */
        result = pyexec_left_init(STOP_SIGNAL);
    }
    s->signals = result == 0;
    the_kernel = k;
    Py_XDECREF(handler);
    Py_XDECREF(module);
    return result;
}

/* Before Py_FinalizeEx: it would set the process's handler to the default, and a signal on its way would end the host. */
void
pyexec_stop_fini(pyexec_kernel *k)
{
    PyObject *ignore = PyLong_FromLong((long)(intptr_t)SIG_IGN); /* new */
    pthread_mutex_lock(&interrupting);
    k->stop.signals = false;
    if (ignore == NULL || set_python_handler(k, ignore) < 0) {
        PyErr_Clear();
    }
    pyexec_left_fini(STOP_SIGNAL);
    pthread_mutex_unlock(&interrupting);
    Py_XDECREF(ignore);
    Py_CLEAR(k->stop.set_signal);
    Py_CLEAR(k->stop.type);
    Py_CLEAR(k->stop.register_callback);
    Py_CLEAR(k->stop.release_import_lock);
}

/* k is about to be freed. */
void
pyexec_stop_forget(pyexec_kernel *k)
{
    pthread_mutex_lock(&interrupting);
    if (the_kernel == k) {
        the_kernel = NULL;
    }
    pthread_mutex_unlock(&interrupting);
}
