/* row_values.c: settings that one function of a C module reads and another sets. The setter's hook keeps what the getter says
 * before a snippet's first change, and the setter gets that when the snippet is done. */
#include "compat.h"

#include "kernel.h"

#include <signal.h>
#include <sys/time.h>

#include <locale.h>

typedef struct {
    const char *row, *module;
    const char *get, *get_args; /* and its arguments, for Py_BuildValue; `first` for an i */
    const char *set, *set_args; /* "O" alone: the value is the tuple of all arguments */
    int first;
    int set_first;
    enum { PROCESS = 1, THREAD = 2 } of; /* of the process: the host's, so an import's change is undone, too */
    bool of_pid;                          /* the first argument is a process: only 0, the caller itself, counts */
} value;

static const value values[] = {
    {"sys.getswitchinterval", "sys", "getswitchinterval", "()", "setswitchinterval", "(O)", 0, 0, 0, false},
    {"sys.get_int_max_str_digits", "sys", "get_int_max_str_digits", "()", "set_int_max_str_digits", "(O)", 0, 0, 0, false},
    {"sys.get_coroutine_origin_tracking_depth", "sys", "get_coroutine_origin_tracking_depth", "()",
     "set_coroutine_origin_tracking_depth", "(O)", 0, 0, THREAD, false},
    {"sys.getdlopenflags", "sys", "getdlopenflags", "()", "setdlopenflags", "(O)", 0, 0, 0, false},
    {"sys.get_lazy_imports", "sys", "get_lazy_imports", "()", "set_lazy_imports", "(O)", 0, 0, 0, false},
    {"sys.get_lazy_imports_filter", "sys", "get_lazy_imports_filter", "()", "set_lazy_imports_filter", "(O)", 0, 0, 0, false},
    {"gc.get_threshold", "gc", "get_threshold", "()", "set_threshold", "O", 0, 0, 0, false},
    {"gc.get_debug", "gc", "get_debug", "()", "set_debug", "(O)", 0, 0, 0, false},
    {"threading.stack_size", "_thread", "stack_size", "()", "stack_size", "(O)", 0, 0, 0, false},
    {"socket.getdefaulttimeout", "_socket", "getdefaulttimeout", "()", "setdefaulttimeout", "(O)", 0, 0, 0, false},
    {"csv.field_size_limit", "_csv", "field_size_limit", "()", "field_size_limit", "(O)", 0, 0, 0, false},
    {"asyncio.get_running_loop", "_asyncio", "_get_running_loop", "()", "_set_running_loop", "(O)", 0, 0, THREAD, false},
    {"locale.setlocale", "_locale", "setlocale", "(i)", "setlocale", "(iO)", LC_ALL, LC_ALL, PROCESS, false},
    {"locale.textdomain", "_locale", "textdomain", "(O)", "textdomain", "(O)", 0, 0, PROCESS, false},
    {"signal.pthread_sigmask", "_signal", "pthread_sigmask", "(i())", "pthread_sigmask", "(iO)", SIG_BLOCK, SIG_SETMASK,
     PROCESS | THREAD, false},
    {"os.sched_getaffinity", "posix", "sched_getaffinity", "(i)", "sched_setaffinity", "(iO)", 0, 0, PROCESS | THREAD, true},
};

enum { VALUES = sizeof values / sizeof *values };

/* In a row's state `owner` is the getter and `key` the setter; `contents` is the value before the first change, or NULL. */
static PyObject * /* new */
read_value(const value *v, const pyexec_row_state *s)
{
    PyObject *args = strcmp(v->get_args, "(O)") == 0 ? PyTuple_Pack(1, Py_None) : Py_BuildValue(v->get_args, v->first);
    PyObject *r = args == NULL ? NULL : PyObject_Call(s->owner, args, NULL); /* new */
    Py_XDECREF(args);
    return r;
}

/* Recursion is bounded for what a stack holds: on 3.11 with one limit for all, later for each, but Python needs some itself. */
static bool
is_small_stack(PyObject *size /* borrowed, may be NULL */)
{
    enum { USUAL = 8 << 20, LITTLE = 1 << 20 };
    long usual = (long)pyexec_default_stack();
    long least = PYEXEC_RECURSION_IS_OF_STACK ? (usual < USUAL ? usual : USUAL) : LITTLE;
    long n = size != NULL && PyLong_Check(size) ? PyLong_AsLong(size) : 0;
    PyErr_Clear();
    if (n > 0 && n < least) {
        PyErr_Format(PyExc_ValueError, "size not valid: %ld bytes (threads of pyexec's have at least %ld)", n, least);
        return true;
    }
    return false;
}

PyObject *
pyexec_set_value(const pyexec_call *c)
{
    const value *v = c->touch->data;
    pyexec_row_state *s = c->touch->state;
    bool counts = (v->of & PROCESS) != 0 ? c->k->running != NULL : pyexec_by_snippet(c->k);
    if ((v->of & THREAD) != 0 && !pyexec_on_call_thread()) {
        counts = false; /* of a thread that will end */
    }
    if (v->of_pid && counts) {
        PyObject *pid = pyexec_arg(c, 0, NULL); /* borrowed */
        long n = pid != NULL && PyLong_Check(pid) ? PyLong_AsLong(pid) : 0;
        PyErr_Clear();
        if (n != 0 && pyexec_is_host(n)) {
            PyErr_Format(PyExc_PermissionError, "%s is refused in process for other threads of the host", v->set);
            return NULL;
        }
        counts = n == 0;
    }
    if (counts && s->contents == NULL) {
        Py_XSETREF(s->owner, pyexec_original(c->self, v->get)); /* of this copy of the module, if there are more */
        Py_XSETREF(s->key, pyexec_original(c->self, v->set));
        s->contents = s->owner == NULL || s->key == NULL ? NULL : read_value(v, s);
        if (s->contents == NULL) {
            return NULL;
        }
        if ((v->of & THREAD) != 0) {
            Py_XSETREF(s->object, PyLong_FromUnsignedLong(PyThread_get_thread_ident()));
        }
        if (PyObject_GC_IsTracked(s->contents) && (PyTuple_CheckExact(s->contents) || PyAnySet_CheckExact(s->contents))) {
            PyObject_GC_UnTrack(s->contents);
        }
        c->k->touched = true;
    }
    if (strcmp(v->set, "stack_size") == 0 && is_small_stack(pyexec_arg(c, 0, NULL))) {
        return NULL;
    }
    PyObject *r = pyexec_real(c); /* new */
    if (strcmp(v->set, "pthread_sigmask") == 0) {
        pyexec_stop_unblock();
    }
    return r;
}

int
pyexec_values_init(pyexec_kernel *k)
{
    for (size_t i = 0; i < VALUES; i++) {
        const value *v = &values[i];
        pyexec_touch t = {.row = v->row, .module = v->module, .name = v->set, .hook = pyexec_set_value, .data = v};
        if (pyexec_touch_add(k, &t) < 0) {
            return -1;
        }
    }
    return 0;
}

static pyexec_row_state *
state_of(pyexec_kernel *k, const value *v)
{
    for (size_t i = 0; i < pyexec_row_count(); i++) {
        if (strcmp(pyexec_rows[i].name, v->row) == 0) {
            return &k->rows[i];
        }
    }
    return NULL;
}

static int
write_value(const value *v, const pyexec_row_state *s, PyObject *x)
{
    PyObject *args = NULL; /* new */
    if (strcmp(v->set_args, "O") == 0) {
        args = Py_NewRef(x);
    }
    else if (strcmp(v->set_args, "(iO)") == 0) {
        args = Py_BuildValue(v->set_args, v->set_first, x);
    }
    else {
        args = PyTuple_Pack(1, x);
    }
    PyObject *r = args == NULL ? NULL : PyObject_Call(s->key, args, NULL); /* new */
    Py_XDECREF(args);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static bool
equal(PyObject *a, PyObject *b)
{
    /* what getters return is of C's making, or it is an object of the snippet's, whose __eq__ must not run */
    bool plain = PyLong_CheckExact(a) || PyFloat_CheckExact(a) || PyUnicode_CheckExact(a) || PyTuple_CheckExact(a) ||
                 PyAnySet_CheckExact(a);
    return a == b || (plain && Py_IS_TYPE(b, Py_TYPE(a)) && PyObject_RichCompareBool(a, b, Py_EQ) == 1);
}

int
pyexec_value_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    const value *v = NULL;
    int result = -1;
    if (s->contents == NULL) {
        return 0;
    }
    for (size_t i = 0; i < VALUES && v == NULL; i++) {
        v = strcmp(values[i].row, row->name) == 0 ? &values[i] : NULL;
    }
    if ((v->of & THREAD) != 0 && (s->object == NULL || PyLong_AsUnsignedLong(s->object) != PyThread_get_thread_ident())) {
        PyErr_Clear(); /* ResetNone left it, and the recycle is done by another thread */
        Py_CLEAR(s->contents);
        return 0;
    }
    PyObject *before = s->contents, *now = read_value(v, s); /* now ours; new */
    s->contents = NULL;
    if (now != NULL && equal(before, now)) {
        result = 0;
    }
    else if (now != NULL) {
        pyexec_report_values(k, row, before, now);
        pyexec_bury(k, now);
        result = write_value(v, s, before) < 0 ? -1 : 1;
    }
    Py_XDECREF(now);
    Py_DECREF(before);
    return result;
}

/* The kernel's own collections must not print, nor keep what they find. */
PyObject *
pyexec_gc_quiet(pyexec_kernel *k)
{
    for (size_t i = 0; k->touched && i < VALUES; i++) {
        const value *v = &values[i];
        pyexec_row_state *s = strcmp(v->row, "gc.get_debug") == 0 ? state_of(k, v) : NULL;
        if (s != NULL && s->contents != NULL) {
            PyObject *flags = read_value(v, s), *none = PyLong_FromLong(0); /* new */
            if (none != NULL && write_value(v, s, none) < 0) {
                PyErr_Clear();
            }
            Py_XDECREF(none);
            return flags;
        }
    }
    return NULL;
}

void
pyexec_gc_loud(pyexec_kernel *k, PyObject *flags)
{
    for (size_t i = 0; flags != NULL && i < VALUES; i++) {
        if (strcmp(values[i].row, "gc.get_debug") == 0 && write_value(&values[i], state_of(k, &values[i]), flags) < 0) {
            PyErr_Clear();
        }
    }
    Py_XDECREF(flags);
}
