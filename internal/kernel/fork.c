/* fork.c: what a worker need not do after its fork.
 *
 * In the child of a fork, threading makes its locks anew and forgets the threads that are not there. The template has one
 * thread, which holds none: nothing is to be done, but doing it writes to a hundred pages that a worker would else share
 * with its template, a quarter of what a recycle costs. So threading registers its function behind one of ours. It still runs
 * in what snippets fork, and in workers if a preloaded module has left a thread in the template. */
#include "compat.h"

#include "process.h"

#ifdef __linux__

static bool is_template = false;
static PyObject *main_thread = NULL; /* NULL but while a worker is forked that is as its template was */

/* All that is not as before is the number of the thread. Thread._set_native_id would do as much, and touch more. */
static PyObject * /* new */
renumber(void)
{
    PyObject *id = PyLong_FromUnsignedLong(PyThread_get_thread_native_id()); /* new */
    int failed = id == NULL || PyObject_SetAttrString(main_thread, "_native_id", id) < 0;
    Py_XDECREF(id);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject * /* new */
after_in_child(PyObject *function, PyObject *ignored)
{
    (void)ignored;
    return main_thread != NULL ? renumber() : PyObject_CallNoArgs(function);
}

static PyObject * /* new */
register_behind(PyObject *real, PyObject *args, PyObject *kwargs /* may be NULL */)
{
    static PyMethodDef behind = {"_after_fork", after_in_child, METH_NOARGS, NULL};
    static const char key[] = "after_in_child";
    PyObject *function = kwargs == NULL ? NULL : PyDict_GetItemString(kwargs, key); /* borrowed */
    PyObject *ours = function == NULL ? NULL : PyCFunction_New(&behind, function);  /* new */
    PyObject *result = NULL;
    if (function == NULL || (ours != NULL && PyDict_SetItemString(kwargs, key, ours) == 0)) {
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

void
pyexec_before_fork(pyexec_kernel *k)
{
    PyObject *threading = PyDict_GetItemString(PyImport_GetModuleDict(), "threading"); /* borrowed */
    if (threading != NULL && !pyexec_has_foreign_threads(k)) {
        main_thread = PyObject_GetAttrString(threading, "_main_thread"); /* new */
        PyErr_Clear();
    }
    PyOS_BeforeFork();
}

void
pyexec_after_fork_parent(void)
{
    PyOS_AfterFork_Parent();
    Py_CLEAR(main_thread);
}

void
pyexec_after_fork_child(void)
{
    PyOS_AfterFork_Child();
    Py_CLEAR(main_thread);
}

#else

PyObject *
pyexec_import_threading(void)
{
    return PyImport_ImportModule("threading");
}

#endif /* __linux__ */
