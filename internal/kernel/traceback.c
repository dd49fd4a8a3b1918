/* traceback.c: the text that the interpreter itself would print for an exception, carets, suggestions, chains and groups
 * included. It is the interpreter's own printer that writes it; what is done here is to serve it the snippet's source,
 * which is in no file, and to take what it prints. */
#include "compat.h"

#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef PYEXEC_TRACEBACK_IN_PYTHON

/* The module linecache's cache gets the snippet's lines for as long as the module traceback needs them. */
static PyObject * /* new: the entry there was before, or None */
lend_lines(PyObject *cache, PyObject *name, const char *code)
{
    PyObject *text = NULL, *lines = NULL, *entry = NULL, *before = NULL;
    text = PyUnicode_DecodeUTF8(code, (Py_ssize_t)strlen(code), "replace"); /* new */
    lines = text == NULL ? NULL : PyUnicode_Splitlines(text, 1);          /* new */
    entry = lines == NULL ? NULL : Py_BuildValue("nOOO", strlen(code), Py_None, lines, name);
    if (entry != NULL) {
        before = Py_XNewRef(PyDict_GetItemWithError(cache, name));
        if (before == NULL && !PyErr_Occurred()) {
            before = Py_NewRef(Py_None);
        }
        if (before != NULL && PyDict_SetItem(cache, name, entry) < 0) {
            Py_CLEAR(before);
        }
    }
    Py_XDECREF(text);
    Py_XDECREF(lines);
    Py_XDECREF(entry);
    return before;
}

static void
take_back_lines(PyObject *cache, PyObject *name, PyObject *before)
{
    int rc = before == Py_None ? PyDict_DelItem(cache, name) : PyDict_SetItem(cache, name, before);
    if (rc < 0) {
        PyErr_Clear();
    }
}

/* Up to 3.12 the interpreter prints the innermost thousand frames, and from then on all: a hundred thousand, after copying
 * what is nested that deep, take it half a minute. A limit that the snippet has set holds. */
static PyObject * /* new */
frame_limit(PyObject *traceback)
{
    PyObject *own = PySys_GetObject("tracebacklimit"); /* borrowed */
    if (own != NULL && PyLong_Check(own)) {
        return PyObject_GetAttrString(traceback, "BUILTIN_EXCEPTION_LIMIT");
    }
    return PyLong_FromLong(-1000);
}

static void
print(pyexec_kernel *k, const char *name, const char *code, PyObject *exc)
{
    PyObject *traceback = NULL, *linecache = NULL, *cache = NULL, *key = NULL, *before = NULL;
    PyObject *function = NULL, *limit = NULL, *args = NULL, *kwargs = NULL, *r = NULL;
    traceback = PyImport_ImportModule("traceback");
    linecache = PyImport_ImportModule("linecache");
    if (traceback == NULL || linecache == NULL) {
        goto done;
    }
    cache = PyObject_GetAttrString(linecache, "cache");
    key = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
    if (cache == NULL || key == NULL || !PyDict_CheckExact(cache)) {
        goto done;
    }
    function = PyObject_GetAttrString(traceback, "print_exception");
    limit = frame_limit(traceback);
    if (function == NULL || limit == NULL) {
        goto done;
    }
    args = PyTuple_Pack(1, exc);
    kwargs = Py_BuildValue("{sOsO}", "limit", limit, "file", k->trace_output);
    before = lend_lines(cache, key, code);
    if (args != NULL && kwargs != NULL && before != NULL) {
        r = PyObject_Call(function, args, kwargs);
    }
    PyErr_Clear();
    if (before != NULL) {
        take_back_lines(cache, key, before);
    }

done:
    PyErr_Clear();
    Py_XDECREF(traceback);
    Py_XDECREF(linecache);
    Py_XDECREF(cache);
    Py_XDECREF(key);
    Py_XDECREF(before);
    Py_XDECREF(function);
    Py_XDECREF(limit);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(r);
}

#else

/* PyErr_Display reads a source line with io.open(filename, "rb") and wants a real descriptor: while it prints, io.open
 * answers for the snippet's name with a memory file of its source. */
typedef struct {
    PyObject *open; /* the real one, owned */
    const char *name, *code;
} lent;

static const char CAPSULE[] = "pyexec.lent";

static PyObject *
open_source(PyObject *self, PyObject *args, PyObject *kwargs)
{
    lent *l = PyCapsule_GetPointer(self, CAPSULE);
    if (l == NULL) {
        return NULL;
    }
    PyObject *name = PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : NULL; /* borrowed */
    if (name == NULL || !PyUnicode_CheckExact(name) || PyUnicode_CompareWithASCIIString(name, l->name) != 0) {
        return PyObject_Call(l->open, args, kwargs);
    }
    size_t n = strlen(l->code), done = 0;
    int fd = memfd_create("pyexec-source", MFD_CLOEXEC);
    if (fd < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    while (done < n) {
        ssize_t w = write(fd, l->code + done, n - done);
        if (w <= 0) {
            break;
        }
        done += (size_t)w;
    }
    lseek(fd, 0, SEEK_SET);
    pyexec_descriptor_is_ours(fd);
    PyObject *file = PyObject_CallFunction(l->open, "is", fd, "rb"); /* new: closes fd */
    if (file == NULL) {
        close(fd);
    }
    return file;
}

static PyMethodDef open_def = {"open", (PyCFunction)(void (*)(void))open_source, METH_VARARGS | METH_KEYWORDS, NULL};

static void
print(pyexec_kernel *k, const char *name, const char *code, PyObject *exc)
{
    lent l = {.name = name, .code = code};
    PyObject *io = NULL, *self = NULL, *hook = NULL, *err = NULL;
    io = PyImport_ImportModule("io");
    l.open = io == NULL ? NULL : PyObject_GetAttrString(io, "open");
    self = PyCapsule_New(&l, CAPSULE, NULL);
    hook = self == NULL ? NULL : PyCFunction_New(&open_def, self);
    if (l.open == NULL || hook == NULL) {
        goto done;
    }
    err = Py_XNewRef(PySys_GetObject("stderr"));
    if (PySys_SetObject("stderr", k->trace_output) < 0 || PyObject_SetAttrString(io, "open", hook) < 0) {
        goto done;
    }
    PyErr_Display((PyObject *)Py_TYPE(exc), exc, NULL);
    PyErr_Clear();
    PyObject_SetAttrString(io, "open", l.open);

done:
    PyErr_Clear();
    if (self != NULL) {
        PyCapsule_SetName(self, NULL); /* whoever kept the hook must not reach l, which ends here */
    }
    PyErr_Clear();
    PySys_SetObject("stderr", err); /* NULL deletes it again */
    PyErr_Clear();
    Py_XDECREF(hook);
    Py_XDECREF(self);
    Py_XDECREF(l.open);
    Py_XDECREF(io);
    Py_XDECREF(err);
}

#endif

PyObject *
pyexec_traceback(pyexec_kernel *k, const char *name, const char *code, PyObject *exc)
{
    pyexec_buf_clear(&k->trace.buf);
    k->trace.cut = false;
    k->stop.printing = true;
    print(k, name, code, exc);
    k->stop.printing = false;
    PyObject *text = PyUnicode_DecodeUTF8((const char *)k->trace.buf.p, (Py_ssize_t)k->trace.buf.len, "replace"); /* new */
    PyErr_Clear();
    return text;
}
