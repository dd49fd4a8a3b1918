/* stray.c: modules that are no part of the baseline although a C module was loaded with them.
 *
 * What is imported while the snippet has something changed is dropped at the end of its call. C modules cannot be, nor
 * what belongs to them: a package that has some, and modules of the standard library, in which C modules leave references
 * as they are loaded. But modules in Python alone, from where a clean interpreter does not even look, are the snippet's. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

static PyObject * /* new, or NULL: there is none */
file_of(PyObject *module)
{
    PyObject *file = PyModule_Check(module) ? PyDict_GetItemString(PyModule_GetDict(module), "__file__") : NULL; /* borrowed */
    return file != NULL && PyUnicode_CheckExact(file) ? Py_NewRef(file) : NULL;
}

static PyObject * /* new */
folder_of(PyObject *path /* stolen, may be NULL */)
{
    Py_ssize_t slash = path == NULL ? -1 : PyUnicode_FindChar(path, '/', 0, PyUnicode_GET_LENGTH(path), -1);
    PyObject *folder = slash < 0 ? NULL : PyUnicode_Substring(path, 0, slash);
    Py_XDECREF(path);
    return folder;
}

static PyObject * /* new */
top_of(PyObject *name)
{
    Py_ssize_t dot = PyUnicode_FindChar(name, '.', 0, PyUnicode_GET_LENGTH(name), 1);
    return dot < 0 ? Py_NewRef(name) : PyUnicode_Substring(name, 0, dot);
}

static PyObject * /* borrowed: a tuple, or NULL */
clean_path(pyexec_kernel *k)
{
    for (size_t i = 0; i < pyexec_row_count(); i++) {
        if (strcmp(pyexec_rows[i].name, "sys.path") == 0) {
            return k->rows[i].contents;
        }
    }
    return NULL;
}

/* 1: a clean interpreter looks there, too; 0: it does not; -1: failed */
static int
is_found_clean(pyexec_kernel *k, PyObject *module)
{
    PyObject *folder = folder_of(file_of(module)); /* new */
    if (folder != NULL && PyDict_GetItemString(PyModule_GetDict(module), "__path__") != NULL) {
        folder = folder_of(folder);
    }
    PyObject *path = clean_path(k); /* borrowed */
    int found = folder == NULL || path == NULL ? 1 : PySequence_Contains(path, folder);
    Py_XDECREF(folder);
    return found;
}

static bool
is_native(PyObject *module)
{
    PyObject *file = file_of(module); /* new */
    const char *s = file == NULL ? NULL : PyUnicode_AsUTF8(file);
    size_t n = s == NULL ? 0 : strlen(s);
    bool native = n > 3 && strcmp(s + n - 3, ".so") == 0;
    PyErr_Clear();
    Py_XDECREF(file);
    return native;
}

PyObject *
pyexec_stray_modules(pyexec_kernel *k, PyObject *now, PyObject *before)
{
    PyObject *tops[2] = {PySet_New(NULL), PySet_New(NULL)}; /* new: stray ones, and those with C modules */
    PyObject *name = NULL, *module = NULL;                  /* borrowed */
    Py_ssize_t pos = 0;
    int rc = tops[0] == NULL || tops[1] == NULL ? -1 : 0;
    while (rc == 0 && PyDict_Next(now, &pos, &name, &module)) {
        if (!PyUnicode_CheckExact(name) || PyDict_GetItemWithError(before, name) == module) {
            continue;
        }
        PyObject *top = top_of(name);                                             /* new */
        PyObject *package = top == NULL ? NULL : PyDict_GetItemWithError(now, top); /* borrowed */
        if (top == NULL || is_native(module)) {
            rc = top == NULL ? -1 : PySet_Add(tops[1], top);
        }
        else if (package != NULL && PyModule_Check(package) && PyDict_GetItemWithError(before, top) != package &&
                 !pyexec_keeps(k, top)) {
            int found = is_found_clean(k, package);
            rc = found < 0 ? -1 : found == 0 ? PySet_Add(tops[0], top) : 0;
        }
        Py_XDECREF(top);
    }
    if (rc == 0) {
        PyObject *r = PyObject_CallMethod(tops[0], "difference_update", "O", tops[1]); /* new */
        rc = r == NULL ? -1 : 0;
        Py_XDECREF(r);
    }
    Py_XDECREF(tops[1]);
    if (rc < 0) {
        Py_CLEAR(tops[0]);
    }
    return tops[0];
}

int
pyexec_is_stray(PyObject *stray, PyObject *name)
{
    PyObject *top = stray == NULL ? NULL : top_of(name); /* new */
    int rc = stray == NULL ? 0 : top == NULL ? -1 : PySet_Contains(stray, top);
    Py_XDECREF(top);
    return rc;
}
