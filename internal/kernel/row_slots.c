/* row_slots.c: attributes that are set behind the back of __setattr__, by their descriptor: those of functions and classes
 * (`type.__dict__['__name__'].__set__(C, 'x')`), and those of objects made in C or with __slots__ that hang on modules (the
 * __module__ of a builtin, the __doc__ of a property, the number in a UUID). What is set is kept by row_classes.c. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

static descrsetfunc set_getset = NULL, set_member = NULL; /* the interpreter's own */
static initproc init_property = NULL, init_static = NULL, init_class = NULL;

static int
on_getset(PyObject *descriptor, PyObject *v, PyObject *value)
{
    return pyexec_before_set(v, PyDescr_NAME(descriptor)) < 0 ? -1 : set_getset(descriptor, v, value);
}

static int
on_member(PyObject *descriptor, PyObject *v, PyObject *value)
{
    return pyexec_before_set(v, PyDescr_NAME(descriptor)) < 0 ? -1 : set_member(descriptor, v, value);
}

/* To initialise again what a class of a module has would change it for everybody, and nobody does. */
static int
init(initproc real, PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (pyexec_is_watched(self)) {
        PyErr_Format(PyExc_PermissionError, "a %s of a module is not initialised again", Py_TYPE(self)->tp_name);
        return -1;
    }
    return real(self, args, kwargs);
}

static int
on_property(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return init(init_property, self, args, kwargs);
}

static int
on_static(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return init(init_static, self, args, kwargs);
}

static int
on_class(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return init(init_class, self, args, kwargs);
}

/* A wrapper in the dict of the type has the function, too, and gives it to subclasses and to those who call it by name. */
static int
replace_wrapper(PyTypeObject *type, const char *name, void *real, void *instead)
{
    PyObject *w = PyDict_GetItemString(pyexec_static_type_dict(type), name); /* borrowed */
    if (w == NULL || !Py_IS_TYPE(w, &PyWrapperDescr_Type)) {
        PyErr_Format(PyExc_SystemError, "%s.%s is not as pyexec expects", type->tp_name, name);
        return -1;
    }
    PyWrapperDescrObject *d = (PyWrapperDescrObject *)w;
    if (d->d_wrapped == real) {
        d->d_wrapped = instead;
    }
    return 0;
}

static int
replace_set(PyTypeObject *type, descrsetfunc *real, descrsetfunc instead)
{
    if (type->tp_descr_set != instead) {
        *real = type->tp_descr_set;
        type->tp_descr_set = instead;
    }
    void *from = (void *)(uintptr_t)*real, *to = (void *)(uintptr_t)instead;
    return replace_wrapper(type, "__set__", from, to) < 0 ? -1 : replace_wrapper(type, "__delete__", from, to);
}

static int
replace_init(PyTypeObject *type, initproc *real, initproc instead)
{
    if (type->tp_init != instead) {
        *real = type->tp_init;
        type->tp_init = instead;
    }
    return replace_wrapper(type, "__init__", (void *)(uintptr_t)*real, (void *)(uintptr_t)instead);
}

/* ---- gc.get_referents(C.__dict__) gives out the dict of a class itself ---- */

static PyObject *
on_get_referents(const pyexec_call *c)
{
    PyObject *found = pyexec_real(c); /* new */
    bool class = false;
    for (Py_ssize_t i = 0; i < c->n && !class; i++) {
        class = PyType_Check(c->args[i]) || Py_IS_TYPE(c->args[i], &PyDictProxy_Type);
    }
    for (Py_ssize_t i = 0; found != NULL && class && pyexec_by_snippet(c->k) && i < PyList_GET_SIZE(found); i++) {
        PyObject *dict = PyList_GET_ITEM(found, i); /* borrowed */
        PyObject *copy = PyDict_CheckExact(dict) ? PyDict_Copy(dict) : NULL; /* new */
        if (copy != NULL && pyexec_keep(c->k, c->touch->state, PyTuple_Pack(2, dict, copy)) < 0) {
            Py_CLEAR(found);
        }
        Py_XDECREF(copy);
    }
    return found;
}

/* Item by item: what is a class to somebody is never seen empty. 1: something was changed. */
static int
put_items_back(PyObject *dict, PyObject *was, PyObject *now)
{
    PyObject *key = NULL, *v = NULL; /* borrowed */
    int result = 0;
    for (Py_ssize_t pos = 0; result >= 0 && PyDict_Next(now, &pos, &key, &v);) {
        if (PyUnicode_CheckExact(key) && PyDict_GetItemWithError(was, key) == NULL) {
            result = PyDict_DelItem(dict, key) < 0 ? -1 : 1;
        }
    }
    for (Py_ssize_t pos = 0; result >= 0 && PyDict_Next(was, &pos, &key, &v);) {
        if (PyUnicode_CheckExact(key) && PyDict_GetItemWithError(now, key) != v) {
            result = PyDict_SetItem(dict, key, v) < 0 ? -1 : 1;
        }
    }
    return result;
}

int
pyexec_referents_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *list = s->contents; /* now ours */
    int result = 0;
    s->contents = NULL;
    for (Py_ssize_t i = list == NULL ? 0 : PyList_GET_SIZE(list); i-- > 0;) {
        PyObject *pair = PyList_GET_ITEM(list, i); /* borrowed, as the next two */
        PyObject *dict = PyTuple_GET_ITEM(pair, 0), *was = PyTuple_GET_ITEM(pair, 1);
        PyObject *now = PyDict_Copy(dict); /* new */
        int rc = now == NULL ? -1 : put_items_back(dict, was, now);
        if (rc != 0) {
            PyType_Modified(&PyBaseObject_Type); /* and so all its subclasses: look attributes up anew */
            pyexec_report_values(k, row, was, now);
            pyexec_bury(k, now);
        }
        result = rc < 0 || result < 0 ? -1 : result | rc;
        Py_XDECREF(now);
    }
    pyexec_bury(k, list);
    Py_XDECREF(list);
    return result;
}

int
pyexec_referents_init(pyexec_kernel *k)
{
    static const pyexec_touch t = {"gc.get_referents", "gc", NULL, "get_referents", on_get_referents, NULL, NULL, NULL, {0}};
    return pyexec_touch_add(k, &t);
}

int
pyexec_slots_init(void)
{
    return replace_set(&PyGetSetDescr_Type, &set_getset, on_getset) < 0 ||
                   replace_set(&PyMemberDescr_Type, &set_member, on_member) < 0 ||
                   replace_init(&PyProperty_Type, &init_property, on_property) < 0 ||
                   replace_init(&PyStaticMethod_Type, &init_static, on_static) < 0 ||
                   replace_init(&PyClassMethod_Type, &init_class, on_class) < 0
               ? -1
               : 0;
}
