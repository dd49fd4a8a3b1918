/* fork.c: what a worker need not do after its fork.
 *
 * In the child of a fork, threading makes its locks anew and forgets the threads that are not there. The template has one
 * thread, which holds none: nothing is to be done, but doing it writes to a hundred pages that a worker would else share
 * with its template, a quarter of what a recycle costs. So threading registers its function behind one of ours. It still runs
 * in what snippets fork, and in workers if a preloaded module has left a thread in the template, or the trace of one; and
 * where site has imported threading before. */
#include "compat.h"

#include "process.h"

#ifdef __linux__

static bool is_template = false;
static bool nothing_to_do = false; /* while a worker is forked that is as its template was */

static PyObject * /* new */
after_in_child(PyObject *function, PyObject *ignored)
{
    (void)ignored;
    return nothing_to_do ? Py_NewRef(Py_None) : PyObject_CallNoArgs(function);
}

/* What else is imported meanwhile, by a hook of sitecustomize say, registers functions of its own. */
static bool
is_of_threading(PyObject *v /* may be NULL */)
{
    PyFunctionObject *f = (PyFunctionObject *)v;
    return v != NULL && PyFunction_Check(v) && PyUnicode_CompareWithASCIIString(f->func_name, "_after_fork") == 0 &&
           f->func_module != NULL && PyUnicode_Check(f->func_module) &&
           PyUnicode_CompareWithASCIIString(f->func_module, "threading") == 0;
}

static PyObject * /* new */
register_behind(PyObject *real, PyObject *args, PyObject *kwargs /* may be NULL */)
{
    static PyMethodDef behind = {"_after_fork", after_in_child, METH_NOARGS, NULL};
    static const char key[] = "after_in_child";
    PyObject *function = kwargs == NULL ? NULL : PyDict_GetItemString(kwargs, key); /* borrowed */
    bool wanted = is_of_threading(function);
    PyObject *ours = wanted ? PyCFunction_New(&behind, function) : NULL; /* new */
    PyObject *result = NULL;
    if (!wanted || (ours != NULL && PyDict_SetItemString(kwargs, key, ours) == 0)) {
        result = PyObject_Call(real, args, kwargs); /* new */
    }
    Py_XDECREF(ours);
    return result;
}

void
pyexec_fork_template(void)
{
    is_template = true;
}

PyObject *
pyexec_import_threading(void)
{
    static PyMethodDef stand_in = {"register_at_fork", (PyCFunction)(void (*)(void))register_behind,
                                   METH_VARARGS | METH_KEYWORDS, NULL};
    static const char name[] = "register_at_fork";
    PyObject *os = NULL, *real = NULL, *ours = NULL, *result = NULL;
    if (!is_template) {
        return PyImport_ImportModule("threading");
    }
    if ((os = PyImport_ImportModule("os")) == NULL ||              /* new */
        (real = PyObject_GetAttrString(os, name)) == NULL ||       /* new */
        (ours = PyCFunction_New(&stand_in, real)) == NULL ||       /* new */
        PyObject_SetAttrString(os, name, ours) < 0) {
        goto done;
    }
    result = PyImport_ImportModule("threading"); /* new */
    if (PyObject_SetAttrString(os, name, real) < 0) {
        Py_CLEAR(result);
    }

done:
    Py_XDECREF(ours);
    Py_XDECREF(real);
    Py_XDECREF(os);
    return result;
}

static PyObject * /* new, or NULL */
of_threading(const char *name)
{
    PyObject *threading = PyDict_GetItemString(PyImport_GetModuleDict(), "threading"); /* borrowed */
    PyObject *v = threading == NULL ? NULL : PyObject_GetAttrString(threading, name);
    PyErr_Clear();
    return v;
}

/* A thread can be gone and threading know of it still: up to 3.12, one that it did not start itself. */
void
pyexec_before_fork(pyexec_kernel *k)
{
    bool alone = !pyexec_has_foreign_threads(k);
    PyObject *active = of_threading("_active"), *limbo = of_threading("_limbo"); /* new */
    PyOS_BeforeFork();                                                           /* runs what was registered */
    nothing_to_do = alone && active != NULL && PyDict_CheckExact(active) && PyDict_GET_SIZE(active) == 1 && limbo != NULL &&
                    PyDict_CheckExact(limbo) && PyDict_GET_SIZE(limbo) == 0;
    Py_XDECREF(active);
    Py_XDECREF(limbo);
}

void
pyexec_after_fork_parent(void)
{
    PyOS_AfterFork_Parent();
    nothing_to_do = false;
}

/* The thread has another number now. Thread._set_native_id would do as much, and touch more; up to 3.13 nobody calls it. */
static void
renumber(void)
{
    PyObject *thread = of_threading("_main_thread");                              /* new */
    PyObject *id = PyLong_FromUnsignedLong(PyThread_get_thread_native_id()); /* new */
    if (thread != NULL && id != NULL) {
        PyObject_SetAttrString(thread, "_native_id", id);
    }
    PyErr_Clear();
    Py_XDECREF(id);
    Py_XDECREF(thread);
}

void
pyexec_after_fork_child(void)
{
    PyOS_AfterFork_Child();
    nothing_to_do = false;
    renumber();
}

#else

PyObject *
pyexec_import_threading(void)
{
    return PyImport_ImportModule("threading");
}

#endif /* __linux__ */
