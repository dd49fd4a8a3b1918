/* row_list.c: rows that are a list hanging on a module, like sys.path. Identity and contents are both restored: code
 * that kept an alias to the list sees it as it was. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

/* Fill owner, key and object of a row that is module.attr. */
int
pyexec_attr_lookup(const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *module = PyImport_ImportModule(row->module); /* new */
    if (module == NULL) {
        return -1;
    }
    s->owner = Py_XNewRef(PyModule_GetDict(module));
    s->key = PyUnicode_InternFromString(row->attr);
    s->object = PyObject_GetAttrString(module, row->attr);
    Py_DECREF(module);
    return s->owner == NULL || s->key == NULL || s->object == NULL ? -1 : 0;
}

/* Bind the original object again. */
int
pyexec_attr_rebind(pyexec_row_state *s)
{
    PyObject *now = PyDict_GetItemWithError(s->owner, s->key); /* borrowed */
    if (now == s->object) {
        return 0;
    }
    if (now == NULL && PyErr_Occurred()) {
        return -1;
    }
    return PyDict_SetItem(s->owner, s->key, s->object) < 0 ? -1 : 1;
}

int
pyexec_list_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    if (pyexec_attr_lookup(row, s) < 0) {
        return -1;
    }
    if (!PyList_CheckExact(s->object)) {
        PyErr_Format(PyExc_TypeError, "%s is not a list", row->name);
        return -1;
    }
    s->contents = PyList_AsTuple(s->object); /* new */
    if (s->contents == NULL) {
        return -1;
    }
    /* where it is bound, the row of all modules watches */
    Py_ssize_t watch = pyexec_find_skip(k, s->object) < 0 ? -1 : pyexec_watch_list(k, s->object, s->contents);
    s->watch = (size_t)watch;
    return watch < 0 ? -1 : 0;
}

static bool
same_items(PyObject *list, PyObject *tuple)
{
    Py_ssize_t n = PyTuple_GET_SIZE(tuple);
    return PyList_GET_SIZE(list) == n && (n == 0 || memcmp(((PyListObject *)list)->ob_item,
                                                           ((PyTupleObject *)tuple)->ob_item,
                                                           (size_t)n * sizeof(PyObject *)) == 0);
}

void
pyexec_lists_mark_dirty(pyexec_kernel *k)
{
    for (size_t i = 0; i < pyexec_row_count(); i++) {
        if (pyexec_rows[i].restore == pyexec_list_restore) {
            k->rows[i].dirty = !same_items(k->rows[i].object, k->rows[i].contents);
        }
    }
}

/* The finder that six puts in sys.meta_path when it is imported has to stay there, or later imports fail. */
int
pyexec_lists_adopt(pyexec_kernel *k)
{
    for (size_t i = 0; i < pyexec_row_count(); i++) {
        pyexec_row_state *s = &k->rows[i];
        if (pyexec_rows[i].restore != pyexec_list_restore || s->dirty || same_items(s->object, s->contents)) {
            s->dirty = false;
            continue;
        }
        PyObject *contents = PyList_AsTuple(s->object); /* new */
        if (contents == NULL) {
            return -1;
        }
        Py_SETREF(s->contents, contents);
        if (pyexec_watch_list_accept(k, s->watch, contents) < 0) {
            return -1;
        }
    }
    return 0;
}

int
pyexec_list_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *now = PyDict_GetItemWithError(s->owner, s->key); /* borrowed */
    if (now == NULL && PyErr_Occurred()) {
        return -1;
    }
    bool same = same_items(s->object, s->contents);
    if (now == s->object && same) {
        return 0;
    }
    pyexec_change_begin(k, row);
    pyexec_change_repr(k, s->contents);
    pyexec_change_repr(k, now);

    if (k->burying) {
        PyObject *items = PyList_AsTuple(s->object); /* new */
        PyErr_Clear();
        pyexec_bury(k, items);
        pyexec_bury(k, now);
        Py_XDECREF(items);
    }
    if (pyexec_attr_rebind(s) < 0) {
        return -1;
    }
    if (!same && PyList_SetSlice(s->object, 0, PyList_GET_SIZE(s->object), s->contents) < 0) {
        return -1;
    }
    return 1;
}
