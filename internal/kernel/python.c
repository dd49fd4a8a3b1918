/* python.c: the installation of Python that is embedded: how it is initialised, and where it looks for modules, which is
 * Config.Home, Config.Venv and Config.Paths. */
#include "compat.h"

#include "kernel.h"

#include <stdio.h>

int
pyexec_fail(pyexec_failure *f, const char *what, const char *why)
{
    snprintf(f->message, sizeof f->message, "%s: %s", what, why == NULL ? "unknown reason" : why);
    return -1;
}

static bool
is_set(const char *text)
{
    return text != NULL && *text != '\0';
}

static bool
same(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

bool
pyexec_same_installation(const pyexec_config *a, const pyexec_config *b)
{
    return same(a->home, b->home) && same(a->venv, b->venv) && same(a->paths, b->paths);
}

int
pyexec_initialize(pyexec_kernel *k, pyexec_failure *f)
{
    PyPreConfig pre;
    PyConfig config;
    PyStatus status;
    PyPreConfig_InitIsolatedConfig(&pre);
    pre.utf8_mode = 1;
    status = Py_PreInitialize(&pre);
    if (PyStatus_Exception(status)) {
        return pyexec_fail(f, "Py_PreInitialize", status.err_msg);
    }
    PyConfig_InitIsolatedConfig(&config);
    config.parse_argv = 0;
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    /* That of a virtual environment is run later (pyexec_search_path), when what it imports is seen. */
    config.site_import = !is_set(k->config.venv);
    /* An absolute name that is no file: the standard library is looked for where libpython was built to find it, and
     * not beside whatever python3 comes first on the host's PATH. */
    status = PyConfig_SetBytesString(&config, &config.program_name, "/pyexec");
    if (!PyStatus_Exception(status) && is_set(k->config.home)) {
        status = PyConfig_SetBytesString(&config, &config.home, k->config.home);
    }
    if (!PyStatus_Exception(status)) {
        char *argv[] = {""};
        status = PyConfig_SetBytesArgv(&config, 1, argv);
    }
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    return PyStatus_Exception(status) ? pyexec_fail(f, "Py_InitializeFromConfig", status.err_msg) : 0;
}

/* sys.executable as a script would see it: subprocesses of snippets use it. */
int
pyexec_set_executable(void)
{
    PyObject *path = NULL, *prefix = PySys_GetObject("exec_prefix"); /* owned, borrowed */
    int rc = -1;
    path = prefix == NULL ? NULL
                          : PyUnicode_FromFormat("%U/bin/python%d.%d", prefix, PY_MAJOR_VERSION, PY_MINOR_VERSION);
    if (path != NULL) {
        rc = PySys_SetObject("executable", path);
        rc = rc < 0 ? rc : PySys_SetObject("_base_executable", path);
    }
    Py_XDECREF(path);
    return rc;
}

/* The virtual environment as its own python would have it: the same standard library, and packages as its pyvenv.cfg and
 * its .pth files say. site.main does that for a sys.executable that lies beside a pyvenv.cfg. */
static int
enter_venv(const char *venv)
{
    PyObject *prefix = PyUnicode_DecodeFSDefault(venv);                                           /* new */
    PyObject *path = prefix == NULL ? NULL : PyUnicode_FromFormat("%U/bin/python", prefix);       /* new */
    PyObject *site = NULL, *r = NULL;                                                             /* new, new */
    if (path != NULL && PySys_SetObject("prefix", prefix) == 0 && PySys_SetObject("exec_prefix", prefix) == 0 &&
        PySys_SetObject("executable", path) == 0 && (site = PyImport_ImportModule("site")) != NULL &&
        pyexec_site_prefixes(site) == 0) {
        r = PyObject_CallMethod(site, "main", NULL);
    }
    int rc = r == NULL ? -1 : 0;
    Py_XDECREF(prefix);
    Py_XDECREF(path);
    Py_XDECREF(site);
    Py_XDECREF(r);
    return rc;
}

/* Config.Paths come first, as PYTHONPATH does. */
static int
insert_paths(const char *paths)
{
    PyObject *path = PySys_GetObject("path"); /* borrowed */
    Py_ssize_t at = 0;
    if (path == NULL || !PyList_Check(path)) {
        PyErr_SetString(PyExc_RuntimeError, "sys.path is no list");
        return -1;
    }
    for (const char *p = paths; *p != '\0';) {
        size_t n = strcspn(p, "\n");
        PyObject *item = PyUnicode_DecodeFSDefaultAndSize(p, (Py_ssize_t)n); /* new */
        int rc = item == NULL ? -1 : PyList_Insert(path, at++, item);
        Py_XDECREF(item);
        if (rc < 0) {
            return -1;
        }
        p += n + (p[n] == '\n');
    }
    return 0;
}

/* What is imported here may pin the interpreter as any import: .pth files can import native modules. */
int
pyexec_search_path(pyexec_kernel *k, pyexec_failure *f)
{
    k->started = true;
    bool venv = is_set(k->config.venv);
    if (venv && enter_venv(k->config.venv) < 0) {
        return pyexec_fail_exception(f, "Config.Venv");
    }
    if (is_set(k->config.paths) && insert_paths(k->config.paths) < 0) {
        return pyexec_fail_exception(f, "Config.Paths");
    }
    k->started = false;
    return 0;
}

const char *
pyexec_version(void)
{
    return Py_GetVersion();
}

const char *
pyexec_built_version(void)
{
    return PY_VERSION;
}
