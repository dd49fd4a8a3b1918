/* row_settings.c: settings of the interpreter and of the thread state that C can read in a nanosecond: each row is a value
 * to compare, and a way to set it. A setting is undone by what sets it. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is local to a thread is in a dict of its thread state. So is the list with which repr finds that it comes round
 * again, which is made at once so that it is always the one entry. */
static bool
has_locals(PyThreadState *t)
{
    return (t->dict != NULL && PyDict_GET_SIZE(t->dict) > 1) || pyexec_has_sentinel(t);
}

void
pyexec_locals_init(void)
{
    if (Py_ReprEnter(Py_None) == 0) {
        Py_ReprLeave(Py_None);
    }
    PyErr_Clear();
}

/* threading.local, and what C modules keep per thread: the error state of numpy. The thread is as new to them then, as it
 * would be if the call had come to another one. */
int
pyexec_locals_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    PyThreadState *t = PyThreadState_GET();
    if (!has_locals(t)) {
        return 0;
    }
    pyexec_drop_sentinel(t);
    PyObject *keys = t->dict == NULL ? PyList_New(0) : PyDict_Keys(t->dict); /* new */
    for (Py_ssize_t i = 0; keys != NULL && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i); /* borrowed */
        if (PyUnicode_CheckExact(key) && PyUnicode_CompareWithASCIIString(key, "Py_Repr") == 0) {
            continue;
        }
        pyexec_bury(k, PyDict_GetItemWithError(t->dict, key));
        if (PyDict_DelItem(t->dict, key) < 0) {
            PyErr_Clear();
        }
    }
    int result = keys == NULL ? -1 : 0;
    Py_XDECREF(keys);
    return result;
}

bool
pyexec_settings_quiet(pyexec_kernel *k)
{
    PyThreadState *t = PyThreadState_GET();
    return Py_GetRecursionLimit() == k->settings.recursion_limit && k->gc_enabled && t->c_traceobj == NULL &&
           t->c_profileobj == NULL && t->context == NULL && !has_locals(t) && t->async_gen_firstiter == NULL &&
           t->async_gen_finalizer == NULL && !k->settings.cwd_changed && !k->touched &&
           pyexec_templates_quiet(k) && pyexec_numpy_quiet(k) && pyexec_ast_quiet(k) &&
           PyInterpreterState_ThreadHead(k->interp)->id == k->settings.newest_thread;
}

/* What is as it is now is as it should be: called when all rows have been looked at. */
void
pyexec_settings_accept(pyexec_kernel *k)
{
    k->settings.newest_thread = PyInterpreterState_ThreadHead(k->interp)->id;
    k->touched = false;
}

int
pyexec_recursion_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    k->settings.recursion_limit = Py_GetRecursionLimit();
    return 0;
}

int
pyexec_recursion_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    int now = Py_GetRecursionLimit();
    if (now == k->settings.recursion_limit) {
        return 0;
    }
    char before[16], after[16];
    PyOS_snprintf(before, sizeof before, "%d", k->settings.recursion_limit);
    PyOS_snprintf(after, sizeof after, "%d", now);
    pyexec_report(k, row, before, after);
    Py_SetRecursionLimit(k->settings.recursion_limit);
    return 1;
}

int
pyexec_gc_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    if (k->gc_enabled) { /* what the snippet left it as: while the kernel works it is disabled */
        return 0;
    }
    pyexec_report(k, row, "True", "False");
    k->gc_enabled = true;
    return 1;
}

int
pyexec_trace_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    PyThreadState *t = PyThreadState_GET();
    if (t->c_traceobj == NULL) {
        return 0;
    }
    pyexec_report(k, row, "None", "a function");
    pyexec_bury(k, t->c_traceobj);
    PyEval_SetTrace(NULL, NULL);
    return 1;
}

int
pyexec_profile_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    PyThreadState *t = PyThreadState_GET();
    if (t->c_profileobj == NULL) {
        return 0;
    }
    pyexec_report(k, row, "None", "a function");
    pyexec_bury(k, t->c_profileobj);
    PyEval_SetProfile(NULL, NULL);
    return 1;
}

int
pyexec_asyncgen_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    PyThreadState *t = PyThreadState_GET();
    if (t->async_gen_firstiter == NULL && t->async_gen_finalizer == NULL) {
        return 0;
    }
    pyexec_report(k, row, "None", "functions");
    pyexec_bury(k, t->async_gen_firstiter);
    pyexec_bury(k, t->async_gen_finalizer);
    Py_CLEAR(t->async_gen_firstiter);
    Py_CLEAR(t->async_gen_finalizer);
    return 1;
}

/* Context variables, and the context of the decimal module among them, which keeps a copy of its own beside. Having a
 * context at all is no change worth a report: reading a variable makes one. */
int
pyexec_context_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    PyThreadState *t = PyThreadState_GET();
    if (t->context == NULL) {
        return 0;
    }
    PyObject *name = PyUnicode_FromString("_decimal");                                                         /* new */
    PyObject *decimal = name == NULL ? NULL : PyDict_GetItemWithError(PyImport_GetModuleDict(), name); /* borrowed */
    if (decimal != NULL) {
        PyObject *initial = PyObject_GetAttrString(decimal, "DefaultContext"); /* new */
        PyObject *r = initial == NULL ? NULL : PyObject_CallMethod(decimal, "setcontext", "O", initial); /* new */
        Py_XDECREF(r);
        Py_XDECREF(initial);
    }
    PyErr_Clear();
    Py_XDECREF(name);
    pyexec_bury(k, t->context);
    Py_CLEAR(t->context);
    t->context_ver++;
    return 0;
}

/* ---- of the process: the host may change them between calls, so what is kept is what was before the snippet did ---- */

void
pyexec_cwd_changes(pyexec_kernel *k) /* an audit event "os.chdir" */
{
    if (!k->settings.cwd_changed && getcwd(k->settings.cwd, sizeof k->settings.cwd) != NULL) {
        k->settings.cwd_changed = true;
    }
}

int
pyexec_cwd_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    char now[sizeof k->settings.cwd];
    if (!k->settings.cwd_changed) {
        return 0;
    }
    k->settings.cwd_changed = false;
    if (getcwd(now, sizeof now) == NULL) {
        strcpy(now, "(deleted)");
    }
    if (strcmp(now, k->settings.cwd) == 0) {
        return 0;
    }
    pyexec_report(k, row, k->settings.cwd, now);
    return chdir(k->settings.cwd) != 0 ? -1 : 1;
}

/* ---- threads ---- */

/* Milliseconds: how long threads may take to end, those apart at whose end one was seen on a processor or waiting for one; and
 * how long in all. */
enum { RELEASES = 10, ASLEEP = 200, WAITS = 1000 };

/* A thread that ends before SystemExit reaches it leaves the interpreter's note that one is under way. On 3.11 and 3.12 that
 * note makes every loop of every snippet slower, and on 3.11 a traced function never ends. Only an exception that does
 * arrive takes it away. */
static void
clear_note(void)
{
    PyObject *code = Py_CompileString("None", "<pyexec>", Py_eval_input); /* new */
    PyObject *globals = PyDict_New();                                      /* new */
    PyObject *r = NULL;
    if (code != NULL && globals != NULL) {
        PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), PyExc_SystemExit);
        r = PyEval_EvalCode(code, globals, globals); /* NULL: raises it */
        if (r != NULL) {
            PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), NULL);
        }
    }
    PyErr_Clear();
    Py_XDECREF(r);
    Py_XDECREF(globals);
    Py_XDECREF(code);
}

int
pyexec_threads_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    if (PyInterpreterState_ThreadHead(k->interp)->id == k->settings.newest_thread || !pyexec_has_new_threads(k)) {
        return 0;
    }
    pyexec_report(k, row, "none", "still running");
    bool traced = false;
    for (int i = 0, asleep = 0; i < WAITS && asleep < ASLEEP && pyexec_has_new_threads(k); i++) {
        pyexec_stop_foreign_threads(k);
        if (!traced && (i >= WAITS / 2 || asleep >= ASLEEP / 2)) { /* it catches SystemExit, or is in C */
            traced = true;
            pyexec_trace_foreign_threads(k);
        }
        if (i % RELEASES == RELEASES - 1) { /* only now: what a thread does when it ends may need them */
            pyexec_release_made_locks(k);
        }
        if (!pyexec_let_new_threads_run(k)) {
            asleep++;
        }
    }
    if (pyexec_has_new_threads(k)) {
        pyexec_give_up_threads(k);
        pyexec_taint(k, "a thread that the snippet started does not end");
    }
    else if (traced) {
        pyexec_taint(k, "a thread that the snippet started had to be ended in the middle of what it did");
    }
    if (traced) {
        pyexec_untrace_foreign_threads(k);
    }
    clear_note();
    return 1;
}
