/* guard.c: calls that would end the host process, or run a second copy of it, raise instead. In a worker process, which
 * has a host elsewhere, most of them are the snippet's own business.
 *
 * Those that CPython audits (https://docs.python.org/3/library/audit_events.html) are refused by an audit hook in C,
 * which no Python code can take away; for the others the functions themselves are replaced before the first snippet.
 * Native code and ctypes can still do all of it: that is what process isolation is for. */
#include "compat.h"

#include "kernel.h"

#include <string.h>
#include <unistd.h>

static pid_t worker = 0;       /* this process or, in a fork of a snippet's, its parent; 0: not a worker */
static uint32_t *forks = NULL; /* of a worker and its forks, in the call that runs */

static int
refuse(const char *what, const char *why)
{
    PyErr_Format(PyExc_PermissionError, "%s is refused%s: %s", what, worker != 0 ? "" : " in process", why);
    return -1;
}

static int
on_kill(PyObject *args, const char *what)
{
    PyObject *pid = PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : NULL; /* borrowed */
    PyObject *sig = pid != NULL && PyTuple_GET_SIZE(args) > 1 ? PyTuple_GET_ITEM(args, 1) : NULL;         /* borrowed */
    if (pid == NULL || sig == NULL || !PyLong_Check(pid) || !PyLong_Check(sig)) {
        return 0;
    }
    long p = PyLong_AsLong(pid), s = PyLong_AsLong(sig);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    bool group = strcmp(what, "os.killpg") == 0;
    if (worker != 0) {
        /* Its group is its own. Beyond that are the template, which is its parent, and everybody. */
        bool outside = p == (group ? 1 : -1) || (!group && (p == 1 || (getpid() == worker && p == getppid())));
        return outside && s != 0 ? refuse(what, "it would signal processes that are not the snippet's") : 0;
    }
    bool host = p == 0 || (group ? p == (long)getpgrp() : p == -1 || p == -(long)getpgrp() || pyexec_is_host(p));
    return host && s != 0 ? refuse(what, "it would signal the host process") : 0;
}

static bool
is_for_tests(PyObject *args) /* _testcapi, _testinternalcapi ... */
{
    PyObject *name = PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : NULL; /* borrowed */
    const char *s = name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    PyErr_Clear();
    static const char *const all[] = {"_testcapi", "_testinternalcapi", "_testlimitedcapi", "_testsinglephase",
                                      "_testmultiphase"};
    for (size_t i = 0; s != NULL && i < sizeof all / sizeof *all; i++) {
        if (strcmp(s, all[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum { MAX_FORKS = 64 };

static int
on_fork(const char *event)
{
    if (worker == 0) {
        return refuse(event, "the child would be a second copy of the host");
    }
    return __atomic_add_fetch(forks, 1, __ATOMIC_RELAXED) > MAX_FORKS ? refuse(event, "the call has forked 64 times") : 0;
}

static int
on_exec(const char *event)
{
    if (worker == 0) {
        return refuse(event, "it would replace the host process");
    }
    return worker == getpid() ? refuse(event, "it would replace the process that answers for the snippet") : 0;
}

static int
on_audit(const char *event, PyObject *args, void *data)
{
    if (event[0] == 'i' && strcmp(event, "import") == 0) {
        pyexec_saw_import(data, args);
        return is_for_tests(args) && ((pyexec_kernel *)data)->running != NULL
                   ? refuse("importing CPython's own test modules", "they change what no reset can put back")
                   : 0;
    }
    if (strcmp(event, "compile") == 0) {
        ((pyexec_kernel *)data)->compiled = true;
        return 0;
    }
    if (strncmp(event, "ctypes.", 7) == 0) {
        /* others only look, or work on ctypes' own objects */
        static const char *const acts[] = {"dlopen", "dlsym", "dlsym/handle", "call_function", "cdata", "PyObj_FromPtr"};
        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
            if (strcmp(event + 7, acts[i]) == 0) {
                pyexec_ctypes_used();
            }
        }
        return 0;
    }
    if (strcmp(event, "cpython.PyInterpreterState_New") == 0 && ((pyexec_kernel *)data)->running != NULL) {
        return refuse(event, "another interpreter would outlive the snippet");
    }
    if (strcmp(event, "signal.pthread_kill") == 0) {
        return worker != 0 ? 0 : refuse(event, "it would signal the host process");
    }
    if (strcmp(event, "resource.setrlimit") == 0 || strcmp(event, "resource.prlimit") == 0) {
        return refuse(event, worker != 0 ? "it would bind the snippets after it" : "it would bind the host process");
    }
    if (event[0] == 'o' && event[1] == 's' && event[2] == '.') {
        if (strcmp(event, "os.fork") == 0 || strcmp(event, "os.forkpty") == 0) {
            return on_fork(event);
        }
        if (strcmp(event, "os.chdir") == 0) {
            pyexec_cwd_changes(data);
        }
        if (strcmp(event, "os.exec") == 0) {
            return on_exec(event);
        }
        if (strcmp(event, "os.kill") == 0 || strcmp(event, "os.killpg") == 0) {
            return on_kill(args, event);
        }
    }
    return 0;
}

static int
on_audit_all(const char *event, PyObject *args, void *data)
{
    pyexec_kernel *k = data;
    int rc = on_audit(event, args, data);
    return rc < 0 || k->audit_hooks == NULL ? rc : pyexec_ask_audit_hooks(k, event, args);
}

static PyObject *
refuse_any(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    refuse("this function", worker != 0 ? "it is pyexec's, which reports crashes by it"
                                        : "it would end or signal the host process");
    return NULL;
}

static PyObject *
exit_snippet(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    (void)self;
    (void)names;
    if (pyexec_guard_is_fork()) {
        _exit(n > 0 && PyLong_Check(args[0]) ? (int)PyLong_AsLong(args[0]) : 1);
    }
    PyErr_SetObject(PyExc_SystemExit, n > 0 ? args[0] : Py_None);
    return NULL;
}

static bool threads_refused = false;
static PyCFunction start_new_thread = NULL, start_joinable_thread = NULL;

static bool
refuses_thread(const char *what)
{
    return threads_refused && refuse(what, "the interpreter is being finalised, and the thread would outlive it") < 0;
}

static PyObject *
start_thread(PyObject *self, PyObject *args)
{
    PyObject *r = refuses_thread("_thread.start_new_thread") ? NULL : start_new_thread(self, args); /* new */
    if (r != NULL) {
        pyexec_bound_threads();
    }
    return r;
}

/* What threading.Thread uses from 3.13 on; before there is no such function, and nothing to replace. */
static PyObject *
start_joinable(PyObject *self, PyObject *args, PyObject *names)
{
    if (refuses_thread("_thread.start_joinable_thread")) {
        return NULL;
    }
    PyObject *r = ((PyCFunctionWithKeywords)(void (*)(void))start_joinable_thread)(self, args, names); /* new */
    if (r != NULL) {
        pyexec_bound_threads();
    }
    return r;
}

void
pyexec_guard_threads(bool refused)
{
    threads_refused = refused;
}

enum { MAX_RECURSION = PYEXEC_RECURSION_IS_OF_STACK ? 3000 : 5000 }; /* on 3.11, what a stack of 8 MB holds */
static PyCFunction set_recursion_limit = NULL;

static PyObject *
limit_recursion(PyObject *self, PyObject *arg)
{
    long n = PyLong_Check(arg) ? PyLong_AsLong(arg) : 0;
    int here = PYEXEC_RECURSION_IS_OF_STACK ? pyexec_recursion_here() : MAX_RECURSION;
    int most = here < MAX_RECURSION ? here : MAX_RECURSION;
    if (n > most || PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "recursion limit must not exceed %d: the host's stack would overflow", most);
        return NULL;
    }
    return set_recursion_limit(self, arg);
}

/* The method tables of these modules are changed in place, once in a process: so function objects that exist already, and
 * those of a second copy of the module (del sys.modules["posix"]; import posix), are changed, too. */
#define AS_CFUNCTION(f) ((PyCFunction)(void (*)(void))(f))
enum { ANY = -1 };
enum { HOST, ALL }; /* whom it would harm */
static const struct {
    const char *module, *name;
    int whom;
    int flags; /* the calling convention that `instead` has; ANY if it looks at no argument */
    PyCFunction instead, *real;
} in_place[] = {
    {"posix", "_exit", ALL, METH_FASTCALL | METH_KEYWORDS, AS_CFUNCTION(exit_snippet), NULL},
    {"posix", "abort", HOST, ANY, refuse_any, NULL},
    {"_signal", "raise_signal", HOST, ANY, refuse_any, NULL},
    {"_signal", "pidfd_send_signal", HOST, ANY, refuse_any, NULL},
    {"faulthandler", "dump_traceback_later", ALL, ANY, refuse_any, NULL},
    {"faulthandler", "enable", ALL, ANY, refuse_any, NULL},
    {"faulthandler", "disable", ALL, ANY, refuse_any, NULL},
    {"faulthandler", "register", ALL, ANY, refuse_any, NULL},
    {"faulthandler", "unregister", ALL, ANY, refuse_any, NULL},
    {"faulthandler", "_read_null", HOST, ANY, refuse_any, NULL},
    {"faulthandler", "_sigsegv", HOST, ANY, refuse_any, NULL},
    {"faulthandler", "_sigabrt", HOST, ANY, refuse_any, NULL},
    {"faulthandler", "_sigfpe", HOST, ANY, refuse_any, NULL},
    {"faulthandler", "_fatal_error_c_thread", HOST, ANY, refuse_any, NULL},
    {"faulthandler", "_stack_overflow", HOST, ANY, refuse_any, NULL},
    {"sys", "setrecursionlimit", ALL, METH_O, limit_recursion, &set_recursion_limit},
    {"_thread", "start_new_thread", ALL, METH_VARARGS, start_thread, &start_new_thread},
    {"_thread", "start_new", ALL, METH_VARARGS, start_thread, &start_new_thread},
    {"_thread", "start_joinable_thread", ALL, METH_VARARGS | METH_KEYWORDS, AS_CFUNCTION(start_joinable),
     &start_joinable_thread},
};

enum { IN_PLACE = sizeof in_place / sizeof *in_place };
static PyCFunction originals[IN_PLACE];

static int
replace(PyMethodDef *m, size_t i)
{
    for (; m != NULL && m->ml_name != NULL; m++) {
        if (strcmp(m->ml_name, in_place[i].name) != 0 || m->ml_meth == in_place[i].instead) {
            continue;
        }
        if (in_place[i].flags != ANY && m->ml_flags != in_place[i].flags) {
            PyErr_Format(PyExc_SystemError, "%s.%s is not called as pyexec expects", in_place[i].module, m->ml_name);
            return -1;
        }
        if (in_place[i].real != NULL) {
            *in_place[i].real = m->ml_meth;
        }
        originals[i] = m->ml_meth;
        m->ml_meth = in_place[i].instead;
    }
    return 0;
}

static int
put_back(PyMethodDef *m, size_t i)
{
    for (; m != NULL && m->ml_name != NULL; m++) {
        if (strcmp(m->ml_name, in_place[i].name) == 0 && originals[i] != NULL) {
            m->ml_meth = originals[i];
        }
    }
    return 0;
}

static int
for_module(size_t i, int (*change)(PyMethodDef *m, size_t i))
{
    PyObject *module = PyImport_ImportModule(in_place[i].module); /* new */
    PyModuleDef *def = module == NULL ? NULL : PyModule_GetDef(module);
    int rc = def == NULL ? -1 : change(def->m_methods, i);
    Py_XDECREF(module);
    return rc;
}

PyObject * /* new, or NULL */
pyexec_guard_faulthandler(const char *name, PyObject *args /* stolen, may be NULL */)
{
    size_t at = 0;
    while (at < IN_PLACE && (strcmp(in_place[at].module, "faulthandler") != 0 || strcmp(in_place[at].name, name) != 0)) {
        at++;
    }
    PyObject *module = PyImport_ImportModule("faulthandler"); /* new */
    PyObject *f = NULL, *r = NULL;
    if (at < IN_PLACE && module != NULL && args != NULL && for_module(at, put_back) == 0) {
        f = PyObject_GetAttrString(module, name); /* new */
        r = f == NULL ? NULL : PyObject_CallObject(f, args);
        if (for_module(at, replace) < 0) {
            Py_CLEAR(r);
        }
    }
    Py_XDECREF(f);
    Py_XDECREF(module);
    Py_XDECREF(args);
    return r;
}

/* Python's own report of a crash goes to a descriptor that only a worker fills with life. */
int
pyexec_guard_template(int report_fd)
{
    for (size_t i = 0; i < IN_PLACE; i++) {
        if (in_place[i].whom == HOST && for_module(i, put_back) < 0) {
            return -1;
        }
    }
    PyObject *r = pyexec_guard_faulthandler("enable", Py_BuildValue("(iO)", report_fd, Py_False)); /* new */
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

bool
pyexec_guard_is_fork(void)
{
    return worker != 0 && worker != getpid();
}

void
pyexec_guard_worker(uint32_t *count)
{
    worker = getpid();
    forks = count;
}

int
pyexec_guard_init(pyexec_kernel *k)
{
    for (size_t i = 0; i < IN_PLACE; i++) {
        if (for_module(i, replace) < 0) {
            return -1;
        }
    }
    return PySys_AddAuditHook(on_audit_all, k);
}
