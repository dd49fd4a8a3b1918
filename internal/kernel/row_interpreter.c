/* row_interpreter.c: what snippets hand to functions of the interpreter that keep it: tools of sys.monitoring, trace functions
 * of all threads, tracemalloc, and the hooks of atexit, of audits and of fork. */
#include "compat.h"

#include "kernel.h"

/* ---- sys.monitoring (PEP 669) ---- */

static PyObject *
on_monitoring(const pyexec_call *c)
{
    const char *name = c->touch->name;
    PyObject *r = NULL, *was = NULL;
    PyObject *tool = pyexec_arg(c, 0, NULL), *second = pyexec_arg(c, 1, NULL); /* borrowed */
    if (!pyexec_by_snippet(c->k) || tool == NULL) {
        return pyexec_real(c);
    }
    if (strcmp(name, "set_events") == 0) {
        was = pyexec_ask(c, "get_events", tool, NULL); /* new */
    }
    else if (strcmp(name, "set_local_events") == 0 && second != NULL) {
        was = pyexec_ask(c, "get_local_events", tool, second); /* new */
    }
    else if (strcmp(name, "free_tool_id") == 0) {
        was = pyexec_ask(c, "get_tool", tool, NULL); /* new: its name */
    }
    PyErr_Clear(); /* the function itself says it better */
    r = pyexec_real(c);
    if (r == NULL) {
        Py_XDECREF(was);
        return NULL;
    }
    int rc = 0;
    if (strcmp(name, "use_tool_id") == 0) {
        rc = pyexec_undo_later(c, c->self, "free_tool_id", Py_BuildValue("(O)", tool));
    }
    else if (strcmp(name, "register_callback") == 0) {
        rc = pyexec_undo_later(c, c->self, name, Py_BuildValue("(OOO)", tool, second, r));
    }
    else if (strcmp(name, "set_events") == 0 && was != NULL) {
        rc = pyexec_undo_later(c, c->self, name, Py_BuildValue("(OO)", tool, was));
    }
    else if (strcmp(name, "set_local_events") == 0 && was != NULL) {
        rc = pyexec_undo_later(c, c->self, name, Py_BuildValue("(OOO)", tool, second, was));
    }
    else if (strcmp(name, "free_tool_id") == 0 && was != NULL && was != Py_None) {
        rc = pyexec_undo_later(c, c->self, "use_tool_id", Py_BuildValue("(OO)", tool, was));
    }
    if (rc < 0) {
        Py_CLEAR(r);
    }
    Py_XDECREF(was);
    return r;
}

/* ---- sys._settraceallthreads ---- */

static PyObject *
on_all_threads(const pyexec_call *c)
{
    if (c->k->running != NULL) {
        c->k->touched = true;
        Py_XSETREF(c->touch->state->contents, Py_NewRef(Py_True));
    }
    return pyexec_real(c);
}

int
pyexec_all_threads_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    if (s->contents == NULL) {
        return 0;
    }
    Py_CLEAR(s->contents);
    if (!pyexec_forget_all_tracers(k->interp)) {
        return 0;
    }
    pyexec_report(k, row, "None", "a function");
    return 1;
}

/* ---- tracemalloc ---- */

static PyObject *
on_tracemalloc(const pyexec_call *c)
{
    PyObject *tracing = NULL, *limit = NULL, *r = NULL;
    if (!pyexec_by_snippet(c->k)) {
        return pyexec_real(c);
    }
    tracing = pyexec_ask(c, "is_tracing", NULL, NULL);         /* new */
    limit = pyexec_ask(c, "get_traceback_limit", NULL, NULL);  /* new */
    r = tracing == NULL || limit == NULL ? NULL : pyexec_real(c);
    int rc = 0;
    if (r != NULL && strcmp(c->touch->name, "start") == 0 && tracing == Py_False) {
        rc = pyexec_undo_later(c, c->self, "stop", PyTuple_New(0));
    }
    else if (r != NULL && strcmp(c->touch->name, "stop") == 0 && tracing == Py_True) {
        rc = pyexec_undo_later(c, c->self, "start", Py_BuildValue("(O)", limit));
    }
    if (rc < 0) {
        Py_CLEAR(r);
    }
    Py_XDECREF(tracing);
    Py_XDECREF(limit);
    return r;
}

/* ---- hooks that the interpreter keeps for ever: a snippet's are kept here instead, until its end ---- */

static PyObject *
on_register_at_fork(const pyexec_call *c)
{
    Py_ssize_t n = c->names == NULL ? 0 : PyTuple_GET_SIZE(c->names);
    bool sound = c->n == 0 && n > 0;
    for (Py_ssize_t i = 0; sound && i < n; i++) {
        sound = PyCallable_Check(c->args[i]);
    }
    if (!pyexec_by_snippet(c->k) || !sound) {
        return pyexec_real(c); /* which says what is wrong */
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (pyexec_keep(c->k, c->touch->state, PyTuple_Pack(1, c->args[i])) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
on_addaudithook(const pyexec_call *c)
{
    PyObject *hook = pyexec_arg(c, 0, "hook"); /* borrowed */
    if (!pyexec_by_snippet(c->k) || hook == NULL || c->n + (c->names == NULL ? 0 : PyTuple_GET_SIZE(c->names)) != 1) {
        return pyexec_real(c);
    }
    if (PySys_Audit("sys.addaudithook", NULL) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear(); /* a hook that is there refuses: CPython does not tell */
            Py_RETURN_NONE;
        }
        return NULL;
    }
    if (pyexec_keep(c->k, c->touch->state, PyTuple_Pack(1, hook)) < 0) {
        return NULL;
    }
    c->k->audit_hooks = c->touch->state->contents;
    Py_RETURN_NONE;
}

int
pyexec_ask_audit_hooks(pyexec_kernel *k, const char *event, PyObject *args)
{
    PyObject *name = NULL, *hooks = NULL;
    PyThreadState *t = PyThreadState_Get();
    int rc = -1;
    if (!k->evaluating) {
        return 0;
    }
    hooks = Py_NewRef(k->audit_hooks);
    name = PyUnicode_FromString(event); /* new */
    if (name == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hooks); i++) {
        PyObject *hook = PyTuple_GET_ITEM(PyList_GET_ITEM(hooks, i), 0); /* borrowed from what never shrinks */
        PyThreadState_EnterTracing(t);
        PyObject *r = PyObject_CallFunctionObjArgs(hook, name, args, NULL); /* new */
        PyThreadState_LeaveTracing(t);
        if (r == NULL) {
            goto done;
        }
        Py_DECREF(r);
    }
    rc = 0;

done:
    Py_XDECREF(name);
    Py_DECREF(hooks);
    return rc;
}

int
pyexec_kept_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *list = s->contents; /* now ours */
    char after[32];
    if (list == NULL) {
        return 0;
    }
    s->contents = NULL;
    if (k->audit_hooks == list) {
        k->audit_hooks = NULL;
    }
    PyOS_snprintf(after, sizeof after, "%ld more", (long)PyList_GET_SIZE(list));
    pyexec_report(k, row, "none", after);
    pyexec_bury(k, list);
    Py_DECREF(list);
    return 1;
}

/* atexit's own list has no function that puts it back; what a snippet registers goes to a list of its own. */
static PyObject *
on_atexit(const pyexec_call *c)
{
    const char *name = c->touch->name;
    pyexec_row_state *s = c->touch->state;
    if (!pyexec_by_snippet(c->k)) {
        return pyexec_real(c);
    }
    if (strcmp(name, "register") == 0) {
        if (c->n == 0 || !PyCallable_Check(c->args[0])) {
            return pyexec_real(c);
        }
        PyObject *args = PyTuple_GetSlice(c->object, 1, c->n);                                   /* new */
        PyObject *kwargs = c->kwargs == NULL ? PyDict_New() : PyDict_Copy(c->kwargs);     /* new */
        PyObject *entry = args == NULL || kwargs == NULL ? NULL : PyTuple_Pack(3, c->args[0], args, kwargs);
        Py_XDECREF(args);
        Py_XDECREF(kwargs);
        return pyexec_keep(c->k, s, entry) < 0 ? NULL : Py_NewRef(c->args[0]);
    }
    if (strcmp(name, "unregister") == 0) {
        for (Py_ssize_t i = s->contents == NULL ? 0 : PyList_GET_SIZE(s->contents); i-- > 0;) {
            if (i >= PyList_GET_SIZE(s->contents)) {
                continue; /* a comparison has changed the list */
            }
            PyObject *f = Py_NewRef(PyTuple_GET_ITEM(PyList_GET_ITEM(s->contents, i), 0)); /* new */
            int eq = PyObject_RichCompareBool(c->object, f, Py_EQ);
            if (eq > 0 && i < PyList_GET_SIZE(s->contents) && PyTuple_GET_ITEM(PyList_GET_ITEM(s->contents, i), 0) == f) {
                eq = PyList_SetSlice(s->contents, i, i + 1, NULL);
            }
            Py_DECREF(f);
            if (eq < 0) {
                return NULL;
            }
        }
        Py_RETURN_NONE;
    }
    if (strcmp(name, "_ncallbacks") == 0) {
        PyObject *r = pyexec_real(c); /* new */
        Py_ssize_t n = r == NULL ? 0 : PyLong_AsSsize_t(r) + (s->contents == NULL ? 0 : PyList_GET_SIZE(s->contents));
        Py_XDECREF(r);
        return r == NULL ? NULL : PyLong_FromSsize_t(n);
    }
    while (s->contents != NULL && PyList_GET_SIZE(s->contents) > 0) {
        Py_ssize_t last = PyList_GET_SIZE(s->contents) - 1;
        PyObject *entry = Py_NewRef(PyList_GET_ITEM(s->contents, last)); /* new */
        int rc = PyList_SetSlice(s->contents, last, last + 1, NULL);
        if (rc == 0 && strcmp(name, "_run_exitfuncs") == 0) {
            PyObject *r = PyObject_Call(PyTuple_GET_ITEM(entry, 0), PyTuple_GET_ITEM(entry, 1), PyTuple_GET_ITEM(entry, 2));
            if (r == NULL) {
                PyErr_WriteUnraisable(PyTuple_GET_ITEM(entry, 0));
            }
            Py_XDECREF(r);
        }
        Py_DECREF(entry);
        if (rc < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

int
pyexec_atexit_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    if (s->contents != NULL && PyList_GET_SIZE(s->contents) == 0) {
        Py_CLEAR(s->contents); /* all unregistered again */
    }
    bool own = false;
    for (Py_ssize_t i = 0; s->contents != NULL && i < PyList_GET_SIZE(s->contents) && !own; i++) {
        PyObject *f = PyTuple_GET_ITEM(PyList_GET_ITEM(s->contents, i), 0); /* borrowed */
        own = !PyMethod_Check(f) || !pyexec_is_baseline(k, PyMethod_GET_FUNCTION(f));
    }
    if (s->contents != NULL && !own) { /* weakref.finalize registers a method of its own: not the snippet's doing */
        PyObject *list = s->contents;
        s->contents = NULL;
        pyexec_bury(k, list);
        Py_DECREF(list);
        return 0;
    }
    return pyexec_kept_restore(k, row, s);
}

/* importlib takes this lock for a moment. Left acquired, it would stop every import, the host's recycling among them. */
static PyObject *
on_import_lock(const pyexec_call *c)
{
    return PyEval_GetGlobals() == c->k->modules.importlib ? pyexec_real(c) : pyexec_refuse(c);
}

int
pyexec_interpreter_init(pyexec_kernel *k)
{
#define TOUCH(row, module, name, hook) {row, module, NULL, name, hook, NULL, NULL, NULL, {0}}
#define REFUSE(module, name, why) {NULL, module, NULL, name, pyexec_refuse, why, NULL, NULL, {0}}
    static const pyexec_touch all[] = {
        TOUCH("sys.monitoring", "sys.monitoring", "use_tool_id", on_monitoring),
        TOUCH("sys.monitoring", "sys.monitoring", "free_tool_id", on_monitoring),
        TOUCH("sys.monitoring", "sys.monitoring", "register_callback", on_monitoring),
        TOUCH("sys.monitoring", "sys.monitoring", "set_events", on_monitoring),
        TOUCH("sys.monitoring", "sys.monitoring", "set_local_events", on_monitoring),
        TOUCH("threading.settrace_all_threads", "sys", "_settraceallthreads", on_all_threads),
        TOUCH("threading.settrace_all_threads", "sys", "_setprofileallthreads", on_all_threads),
        TOUCH("tracemalloc", "_tracemalloc", "start", on_tracemalloc),
        TOUCH("tracemalloc", "_tracemalloc", "stop", on_tracemalloc),
        TOUCH("atexit", "atexit", "register", on_atexit),
        TOUCH("atexit", "atexit", "unregister", on_atexit),
        TOUCH("atexit", "atexit", "_clear", on_atexit),
        TOUCH("atexit", "atexit", "_run_exitfuncs", on_atexit),
        TOUCH("atexit", "atexit", "_ncallbacks", on_atexit),
        TOUCH("os.register_at_fork", "posix", "register_at_fork", on_register_at_fork),
        TOUCH("sys.addaudithook", "sys", "addaudithook", on_addaudithook),
        REFUSE("sys", "activate_stack_trampoline", "it would keep a file of the host's open until the process ends"),
        {NULL, "_imp", NULL, "acquire_lock", on_import_lock, "left acquired, it would stop every import", NULL, NULL, {0}},
        REFUSE("_interpreters", "create", "another interpreter would outlive the snippet"),
        REFUSE("_xxsubinterpreters", "create", "another interpreter would outlive the snippet"),
        REFUSE("sys", "remote_exec", "it would run code in another process"),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (pyexec_touch_add(k, &all[i]) < 0) {
            return -1;
        }
    }
    return 0;
}
