/* guard.c: calls that would end the host process, or run a second copy of it, raise instead.
 *
 * Those that CPython audits (https://docs.python.org/3/library/audit_events.html) are refused by an audit hook in C,
 * which no Python code can take away; for the others the functions themselves are replaced before the first snippet.
 * Native code and ctypes can still do all of it: that is what process isolation is for. */
#include "compat.h"

#include "kernel.h"

#include <string.h>
#include <unistd.h>

static int
refuse(const char *what, const char *why)
{
    PyErr_Format(PyExc_PermissionError, "%s is refused in process: %s", what, why);
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
    bool host = p == 0 || (group ? p == (long)getpgrp() : p == -1 || p == (long)getpid() || p == -(long)getpgrp());
    return host && s != 0 ? refuse(what, "it would signal the host process") : 0;
}

static int
on_audit(const char *event, PyObject *args, void *data)
{
    if (event[0] == 'i' && strcmp(event, "import") == 0) {
        pyexec_saw_import(data, args);
        return 0;
    }
    if (event[0] == 'o' && event[1] == 's' && event[2] == '.') {
        if (strcmp(event, "os.fork") == 0 || strcmp(event, "os.forkpty") == 0) {
            return refuse(event, "the child would be a second copy of the host");
        }
        if (strcmp(event, "os.chdir") == 0) {
            pyexec_cwd_changes(data);
        }
        if (strcmp(event, "os.exec") == 0) {
            return refuse(event, "it would replace the host process");
        }
        if (strcmp(event, "os.kill") == 0 || strcmp(event, "os.killpg") == 0) {
            return on_kill(args, event);
        }
    }
    return 0;
}

static PyObject *
exit_now(PyObject *self, PyObject *arg)
{
    (void)self;
    PyErr_SetObject(PyExc_SystemExit, arg);
    return NULL;
}

static PyObject *
abort_now(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    refuse("os.abort", "it would end the host process");
    return NULL;
}

static PyObject *
raise_now(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    refuse("signal.raise_signal", "it would signal the host process");
    return NULL;
}

static struct {
    const char *modules[2];
    PyMethodDef def;
} replacements[] = {
    {{"posix", "os"},
     {"_exit", exit_now, METH_O, "_exit(status): raises SystemExit(status), since the process is not the snippet's."}},
    {{"posix", "os"}, {"abort", abort_now, METH_NOARGS, "abort(): raises PermissionError."}},
    {{"_signal", NULL}, {"raise_signal", raise_now, METH_O, "raise_signal(signalnum): raises PermissionError."}},
};

int
pyexec_guard_init(pyexec_kernel *k)
{
    if (PySys_AddAuditHook(on_audit, k) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++) {
        PyObject *f = PyCFunction_New(&replacements[i].def, NULL); /* new */
        if (f == NULL) {
            return -1;
        }
        for (size_t m = 0; m < 2 && replacements[i].modules[m] != NULL; m++) {
            PyObject *module = PyImport_ImportModule(replacements[i].modules[m]); /* new */
            if (module == NULL || PyObject_SetAttrString(module, replacements[i].def.ml_name, f) < 0) {
                Py_XDECREF(module);
                Py_DECREF(f);
                return -1;
            }
            Py_DECREF(module);
        }
        Py_DECREF(f);
    }
    return 0;
}
