/* attach.c: the GIL and the thread states; no other file takes or gives up either.
 *
 * Go runs a call on whatever OS thread it likes. Each such thread keeps a thread state of its own (making one costs
 * 7 us, taking a kept one 50 ns), valid for one generation of the interpreter. A thread that ends cannot take the GIL
 * to release its state, so it only marks it, and whoever attaches next releases it. While the thread and the interpreter
 * live, nobody else may delete it: the thread would keep a pointer to it, which PyGILState_Ensure and tracemalloc follow. */
#include "compat.h"

#include "kernel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct node {
    struct node *next, *prev;
    PyThreadState *state;
    uint64_t generation;
    uint64_t usable; /* the same, until the state is cleared */
    bool ended;      /* its OS thread is gone */
    int recursion;   /* how deep its stack bears it */
    void *buried;    /* owned: the state it had in an interpreter that has ended; see pyexec_bury_thread_state */
} node;

static _Thread_local node *mine = NULL;
static pthread_key_t ended_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* guards the list and, in its nodes, everything but `state` and `generation` of a live thread, which only that thread
 * and the lifecycle thread touch, the latter while no call runs */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static node *nodes = NULL;
static _Atomic unsigned ended_count = 0;

static void
on_thread_end(void *p)
{
    node *n = p;
    pthread_mutex_lock(&lock);
    n->ended = true;
    ended_count++;
    pthread_mutex_unlock(&lock);
}

static void
make_key(void)
{
    pthread_key_create(&ended_key, on_thread_end);
}

void
pyexec_attach_init(void) /* GIL not held */
{
    pthread_once(&once, make_key);
}

static void
unlink_node(node *n) /* lock held */
{
    if (n->prev != NULL) {
        n->prev->next = n->next;
    }
    else {
        nodes = n->next;
    }
    if (n->next != NULL) {
        n->next->prev = n->prev;
    }
}

/* Release the states of threads that ended. */
static void
reap(pyexec_kernel *k)
{
    node *done = NULL;
    pthread_mutex_lock(&lock);
    for (node *n = nodes, *next = NULL; n != NULL; n = next) {
        next = n->next;
        if (n->ended) {
            unlink_node(n);
            n->next = done;
            done = n;
        }
    }
    ended_count = 0;
    pthread_mutex_unlock(&lock);
    while (done != NULL) { /* outside the lock: clearing a state can run finalizers */
        node *n = done;
        done = n->next;
        if (n->state != NULL && n->generation == k->generation) {
            if (n->usable != 0) {
                PyThreadState_Clear(n->state);
            }
            pyexec_delete_thread_state(n->state);
        }
        PyMem_RawFree(n->buried);
        free(n);
    }
}

static bool
make_node(void) /* the GIL does not matter */
{
    if (mine != NULL) {
        return true;
    }
    node *n = calloc(1, sizeof *n);
    if (n == NULL) {
        return false;
    }
    if (pthread_setspecific(ended_key, n) != 0) {
        free(n);
        return false;
    }
    pthread_mutex_lock(&lock);
    n->next = nodes;
    if (nodes != NULL) {
        nodes->prev = n;
    }
    nodes = n;
    pthread_mutex_unlock(&lock);
    mine = n;
    return true;
}

static size_t
stack_of_this_thread(void)
{
    pthread_attr_t attr;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) != 0) {
        return 0;
    }
    if (pthread_attr_getstacksize(&attr, &size) != 0) {
        size = 0;
    }
    pthread_attr_destroy(&attr);
    return size;
}

static bool
make_state(pyexec_kernel *k) /* GIL not held */
{
    if (!make_node()) {
        return false;
    }
    if (mine->state != NULL && mine->generation == k->generation) {
        /* Cleared by a purge. Only its own thread can delete it so that PyGILState_Ensure does not find it any more. */
        PyEval_RestoreThread(mine->state);
        pthread_mutex_lock(&lock);
        mine->state = NULL;
        pthread_mutex_unlock(&lock);
        PyThreadState_DeleteCurrent();
    }
    PyThreadState *state = PyThreadState_New(k->interp);
    if (state == NULL) {
        return false;
    }
    mine->recursion = pyexec_recursion_on(stack_of_this_thread());
    pyexec_bound_recursion(state, mine->recursion);
    mine->state = state;
    mine->generation = mine->usable = k->generation;
    return true;
}

/* Make the state that Py_InitializeFromConfig left current this thread's own. */
bool
pyexec_attach_adopt(pyexec_kernel *k)
{
    if (!make_node()) {
        return false;
    }
    mine->state = PyThreadState_Get();
    mine->generation = mine->usable = k->generation;
    mine->recursion = pyexec_recursion_on(stack_of_this_thread());
    pyexec_bound_recursion(mine->state, mine->recursion);
    pyexec_locals_init();
    return true;
}

bool
pyexec_attach(pyexec_kernel *k) /* GIL not held; held after */
{
    bool new = mine == NULL || mine->usable != k->generation;
    if (__builtin_expect(new, 0) && !make_state(k)) {
        return false;
    }
    PyEval_RestoreThread(mine->state);
    pyexec_be_main_thread(mine->state); /* before states are released: the main one's must not be */
    if (__builtin_expect(new, 0)) {
        pyexec_locals_init();
        PyMem_RawFree(mine->buried);
        mine->buried = NULL;
    }
    if (__builtin_expect(ended_count != 0, 0)) {
        reap(k);
    }
    return true;
}

/* Code of the host's has used the C API, and may have given up the GIL without taking it back. */
bool
pyexec_attach_again(void)
{
    bool held = pyexec_current_thread_state() == mine->state;
    if (!held) {
        PyEval_RestoreThread(mine->state);
    }
    return held;
}

void
pyexec_detach(pyexec_kernel *k)
{
    (void)k;
    (void)PyEval_SaveThread();
}

size_t
pyexec_default_stack(void)
{
    size_t size = 0;
    pthread_attr_t attr;
    if (pthread_getattr_default_np(&attr) != 0) {
        return 0;
    }
    if (pthread_attr_getstacksize(&attr, &size) != 0) {
        size = 0;
    }
    pthread_attr_destroy(&attr);
    return size;
}

/* One has just been started. */
void
pyexec_bound_threads(void)
{
    size_t size = PyThread_get_stacksize(); /* as _thread.stack_size has set it */
    int most = pyexec_recursion_on(size != 0 ? size : pyexec_default_stack());
    pthread_mutex_lock(&lock);
    for (PyThreadState *s = PyInterpreterState_ThreadHead(PyInterpreterState_Get()); s != NULL; s = PyThreadState_Next(s)) {
        node *n = nodes;
        while (n != NULL && n->state != s) {
            n = n->next;
        }
        pyexec_bound_recursion(s, n == NULL ? most : n->recursion);
    }
    pthread_mutex_unlock(&lock);
}

int
pyexec_recursion_here(void)
{
    int threads = pyexec_recursion_on(pyexec_default_stack());
    return mine != NULL && mine->recursion < threads ? mine->recursion : threads;
}

static bool
is_ours(PyThreadState *state, uint64_t generation) /* lock held */
{
    for (node *n = nodes; n != NULL; n = n->next) {
        if (n->state == state && n->generation == generation) {
            return true;
        }
    }
    return false;
}

bool
pyexec_on_call_thread(void)
{
    return mine != NULL && mine->state == PyThreadState_Get();
}

/* A thread that is not of the host's calls: a snippet has begun it, or native code. */
typedef struct {
    unsigned long ident, native_id;
} foreign;

enum { AT_ONCE = 64 }; /* the others get their turn when these have ended */

/* The first of those with states numbered above `after`; how many were found, at most max. */
static size_t
foreign_threads(pyexec_kernel *k, uint64_t after, foreign *found, size_t max)
{
    size_t n = 0;
    PyThreadState *self = PyThreadState_Get();
    pthread_mutex_lock(&lock);
    for (PyThreadState *s = PyInterpreterState_ThreadHead(k->interp); s != NULL && n < max; s = PyThreadState_Next(s)) {
        if (s != self && s->id > after && !is_ours(s, k->generation)) {
            found[n++] = (foreign){s->thread_id, s->native_thread_id};
        }
    }
    pthread_mutex_unlock(&lock);
    return n;
}

bool
pyexec_has_foreign_threads(pyexec_kernel *k)
{
    return foreign_threads(k, 0, &(foreign){0}, 1) > 0;
}

bool
pyexec_has_new_threads(pyexec_kernel *k)
{
    return foreign_threads(k, k->given_up, &(foreign){0}, 1) > 0;
}

/* They have been told to end, and will when they wake up. Until then they are nobody's fault any more. */
void
pyexec_give_up_threads(pyexec_kernel *k)
{
    for (PyThreadState *s = PyInterpreterState_ThreadHead(k->interp); s != NULL; s = PyThreadState_Next(s)) {
        k->given_up = s->id > k->given_up ? s->id : k->given_up;
    }
}

void
pyexec_stop_foreign_threads(pyexec_kernel *k)
{
    foreign threads[AT_ONCE];
    size_t n = foreign_threads(k, 0, threads, AT_ONCE);
    for (size_t i = 0; i < n; i++) {
        PyThreadState_SetAsyncExc(threads[i].ident, PyExc_SystemExit);
    }
}

/* No except clause holds against that. */
static int
end_thread(PyObject *arg, PyFrameObject *frame, int what, PyObject *value)
{
    (void)arg;
    (void)frame;
    if (pyexec_on_call_thread() || what == PyTrace_EXCEPTION || (what == PyTrace_RETURN && value == NULL)) {
        return 0;
    }
    PyErr_SetNone(PyExc_SystemExit);
    return -1;
}

void
pyexec_trace_foreign_threads(pyexec_kernel *k)
{
#if PYEXEC_TRACES_EACH_THREAD
    PyThreadState *self = PyThreadState_Get();
    for (PyThreadState *s = PyInterpreterState_ThreadHead(k->interp); s != NULL; s = PyThreadState_Next(s)) {
        pthread_mutex_lock(&lock);
        bool theirs = s != self && !is_ours(s, k->generation);
        pthread_mutex_unlock(&lock);
        if (theirs && s->c_tracefunc != end_thread) {
            _PyEval_SetTrace(s, end_thread, NULL);
        }
    }
#else
    (void)k;
    PyEval_SetTraceAllThreads(end_thread, NULL);
#endif
}

void
pyexec_untrace_foreign_threads(pyexec_kernel *k)
{
#if !PYEXEC_TRACES_EACH_THREAD
    PyEval_SetTraceAllThreads(NULL, NULL);
    k->stop.traced = false; /* its trace function is set again when it is told again */
#else
    (void)k;
#endif
}

void
pyexec_without_gil(void (*function)(void *), void *arg)
{
    PyThreadState *self = PyEval_SaveThread();
    function(arg);
    PyEval_RestoreThread(self);
}

void
pyexec_let_others_run(pyexec_kernel *k)
{
    (void)k;
    PyThreadState *self = PyEval_SaveThread();
    usleep(1000);
    PyEval_RestoreThread(self);
}

static bool
wants_processor(unsigned long tid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%lu/stat", tid);
    return pyexec_read_stat(path, &state, &(pid_t){0}) && state == 'R';
}

bool
pyexec_let_new_threads_run(pyexec_kernel *k)
{
    foreign threads[AT_ONCE];
    size_t n = foreign_threads(k, k->given_up, threads, AT_ONCE);
    bool busy = false;
    PyThreadState *self = PyEval_SaveThread();
    usleep(1000);
    for (size_t i = 0; i < n && !busy; i++) {
        busy = wants_processor(threads[i].native_id);
    }
    PyEval_RestoreThread(self);
    return busy;
}

void
pyexec_clear_thread_states(pyexec_kernel *k)
{
    PyThreadState *self = PyThreadState_Get();
    for (;;) {
        PyThreadState *state = NULL;
        pthread_mutex_lock(&lock);
        for (node *n = nodes; n != NULL && state == NULL; n = n->next) {
            if (n->state != NULL && n->state != self && n->generation == k->generation && n->usable != 0) {
                state = n->state;
                n->usable = 0;
            }
        }
        pthread_mutex_unlock(&lock);
        if (state == NULL) {
            return;
        }
        PyThreadState_Clear(state);
    }
}

void
pyexec_drop_thread_states(pyexec_kernel *k)
{
    PyThreadState *self = PyThreadState_Get();
    pyexec_clear_thread_states(k);
    for (;;) {
        node *n = NULL;
        pthread_mutex_lock(&lock);
        for (n = nodes; n != NULL; n = n->next) {
            if (n->state != NULL && n->state != self && n->generation == k->generation) {
                break;
            }
        }
        pthread_mutex_unlock(&lock);
        if (n == NULL) {
            return;
        }
        n->buried = pyexec_bury_thread_state(n->state);
        n->state = NULL;
        n->generation = 0;
    }
}
