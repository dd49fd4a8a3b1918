/* row_classes.c: the attributes of classes and of functions, and the classes of modules.
 *
 * There are thousands, so none is copied or compared. What changes them is made to tell instead: the slot through which
 * every assignment to an attribute of a class or function goes is ours, and keeps what was there before, once per call
 * and attribute (undos.c). Nothing was kept: nothing changed. What an import changes belongs to the import, and is not
 * kept. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

/* One interpreter with a kernel lives in a process at a time, and slots have no room for a pointer of ours. */
static pyexec_kernel *current = NULL;
static setattrofunc set_type_attribute = NULL; /* the interpreter's own */
static setter set_object_class = NULL;
static getter get_function_dict = NULL, get_function_kwdefaults = NULL, get_function_annotations = NULL;

/* True while the entries themselves are looked at: that is no doing of the snippet's. */
static bool looking = false;
static PyObject *put_back = NULL; /* borrowed: the object whose attribute is put back just now */

static pyexec_kernel *
watching(void)
{
    if (looking) {
        return NULL;
    }
    return current != NULL && current->running != NULL && current->modules.depth == 0 ? current : NULL;
}

/* ---- classes ---- */

/* The snippet's own, most likely; one that was made to look so has an entry that says so. */
static bool
is_own_class(pyexec_kernel *k, PyTypeObject *type, PyObject *dict)
{
    PyObject *module = PyDict_GetItemWithError(dict, k->str_module); /* borrowed */
    PyErr_Clear();
    return module != NULL && PyUnicode_CheckExact(module) && PyUnicode_CompareWithASCIIString(module, "__main__") == 0 &&
           (k->undos.n == 0 || pyexec_undos_find(&k->undos, (PyObject *)type, k->str_module) == NULL);
}

static int
keep_type_attribute(pyexec_kernel *k, PyTypeObject *type, PyObject *name)
{
    if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 || (type->tp_flags & Py_TPFLAGS_IMMUTABLETYPE) != 0 ||
        !PyUnicode_CheckExact(name)) {
        return 0;
    }
    int result = 0;
    PyObject *dict = pyexec_type_dict(type); /* new */
    if (dict == NULL) {
        return -1;
    }
    if (!is_own_class(k, type, dict)) {
        PyObject *old = Py_XNewRef(PyDict_GetItemWithError(dict, name)); /* new */
        if (old == NULL && !PyErr_Occurred()) {
            PyObject *slot = PyDict_GetItemWithError(k->type_dict, name); /* borrowed */
            if (slot != NULL) { /* __name__, __bases__ ...: kept in the class itself */
                old = PyType_Type.tp_getattro((PyObject *)type, name);
                PyErr_Clear();
            }
        }
        result = PyErr_Occurred() ? -1 : pyexec_undos_keep(&k->undos, PYEXEC_OF_TYPE, (PyObject *)type, name, old, false);
        Py_XDECREF(old);
    }
    Py_DECREF(dict);
    return result;
}

static int
on_type_attribute(PyObject *type, PyObject *name, PyObject *v)
{
    pyexec_kernel *k = watching();
    if (k != NULL && keep_type_attribute(k, (PyTypeObject *)type, name) < 0) {
        return -1;
    }
    return set_type_attribute(type, name, v);
}

/* ---- functions ---- */

static PyObject * /* new, or NULL: there is none */
function_attribute(PyObject *f, PyObject *name)
{
    if (PyDict_GetItemWithError(pyexec_static_type_dict(&PyFunction_Type), name) != NULL) {
        return PyObject_GenericGetAttr(f, name);
    }
    PyObject *dict = ((PyFunctionObject *)f)->func_dict;
    return dict == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(dict, name));
}

static bool
is_own_function(pyexec_kernel *k, PyObject *f)
{
    return PyFunction_GET_GLOBALS(f) == *k->main_slot;
}

static int
keep_function_attribute(pyexec_kernel *k, PyObject *f, PyObject *name)
{
    if (!PyUnicode_CheckExact(name) || is_own_function(k, f)) {
        return 0;
    }
    PyObject *old = function_attribute(f, name); /* new */
    PyErr_Clear();
    int rc = pyexec_undos_keep(&k->undos, PYEXEC_OF_FUNCTION, f, name, old, false);
    Py_XDECREF(old);
    return rc;
}

static int
on_function_attribute(PyObject *f, PyObject *name, PyObject *v)
{
    pyexec_kernel *k = watching();
    if (k != NULL && keep_function_attribute(k, f, name) < 0) {
        return -1;
    }
    return PyObject_GenericSetAttr(f, name, v);
}

/* These hand out dicts that can be changed behind the function's back. */
static PyObject *
hand_out(PyObject *f, const char *name, PyObject *v /* stolen, may be NULL */)
{
    pyexec_kernel *k = watching();
    if (v != NULL && k != NULL && PyDict_CheckExact(v) && !is_own_function(k, f)) {
        PyObject *key = PyUnicode_InternFromString(name); /* new */
        if (key == NULL || pyexec_undos_keep(&k->undos, PYEXEC_OF_FUNCTION, f, key, v, true) < 0) {
            Py_CLEAR(v);
        }
        Py_XDECREF(key);
    }
    return v;
}

static PyObject *
on_function_dict(PyObject *f, void *closure)
{
    return hand_out(f, "__dict__", get_function_dict(f, closure));
}

static PyObject *
on_function_kwdefaults(PyObject *f, void *closure)
{
    return hand_out(f, "__kwdefaults__", get_function_kwdefaults(f, closure));
}

static PyObject *
on_function_annotations(PyObject *f, void *closure)
{
    return hand_out(f, "__annotations__", get_function_annotations(f, closure));
}

/* ---- object.__class__ = ..., also of modules ---- */

static int
on_object_class(PyObject *v, PyObject *class, void *closure)
{
    pyexec_kernel *k = watching();
    if (k != NULL) {
        PyObject *name = PyUnicode_InternFromString("__class__"); /* new */
        int rc = name == NULL ? -1 : pyexec_undos_keep(&k->undos, PYEXEC_OF_OBJECT, v, name, (PyObject *)Py_TYPE(v), false);
        Py_XDECREF(name);
        if (rc < 0) {
            return -1;
        }
    }
    return set_object_class(v, class, closure);
}

/* ---- by a descriptor ---- */

bool
pyexec_is_watched(PyObject *v)
{
    pyexec_kernel *k = watching();
    return k != NULL && pyexec_is_baseline(k, v);
}

/* __dict__ and __class__ have ways of their own. */
static bool
has_own_way(PyObject *name)
{
    return PyUnicode_CompareWithASCIIString(name, "__dict__") == 0 || PyUnicode_CompareWithASCIIString(name, "__class__") == 0;
}

int
pyexec_before_set(PyObject *v, PyObject *name)
{
    pyexec_kernel *k = watching();
    if (k == NULL || v == put_back) {
        return 0;
    }
    if (PyFunction_Check(v)) {
        return keep_function_attribute(k, v, name);
    }
    if (PyType_Check(v)) {
        return keep_type_attribute(k, (PyTypeObject *)v, name);
    }
    if (PyExceptionInstance_Check(v) || !pyexec_is_baseline(k, v) || has_own_way(name)) {
        return 0;
    }
    PyObject *old = PyObject_GenericGetAttr(v, name); /* new; NULL: it is not set */
    PyErr_Clear();
    int rc = pyexec_undos_keep(&k->undos, PYEXEC_OF_ATTRIBUTE, v, name, old, false);
    Py_XDECREF(old);
    return rc;
}

/* ---- put in place, once in a process ---- */

static void
replace_getset(PyTypeObject *type, const char *name, getter get, getter *real_get, setter set, setter *real_set)
{
    for (PyGetSetDef *g = type->tp_getset; g != NULL && g->name != NULL; g++) {
        if (strcmp(g->name, name) != 0) {
            continue;
        }
        if (get != NULL && g->get != get) {
            *real_get = g->get;
            g->get = get;
        }
        if (set != NULL && g->set != set) {
            *real_set = g->set;
            g->set = set;
        }
    }
}

/* type.__setattr__(class, name, value) takes the function from the wrapper, and so does a class made of type later. */
static int
replace_wrapped(PyTypeObject *type, setattrofunc real, setattrofunc instead)
{
    static const char *const names[] = {"__setattr__", "__delattr__"};
    PyObject *dict = pyexec_static_type_dict(type), *object = pyexec_static_type_dict(&PyBaseObject_Type); /* borrowed */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PyObject *w = PyDict_GetItemString(dict, names[i]), *base = PyDict_GetItemString(object, names[i]); /* borrowed */
        if (w == NULL && base != NULL && Py_IS_TYPE(base, &PyWrapperDescr_Type)) { /* inherited so far */
            PyObject *own = PyDescr_NewWrapper(type, ((PyWrapperDescrObject *)base)->d_base, (void *)(uintptr_t)instead); /* new */
            int rc = own == NULL ? -1 : PyDict_SetItemString(dict, names[i], own);
            Py_XDECREF(own);
            if (rc < 0) {
                return -1;
            }
            continue;
        }
        if (w == NULL || !Py_IS_TYPE(w, &PyWrapperDescr_Type)) {
            PyErr_Format(PyExc_SystemError, "%s.%s is not as pyexec expects", type->tp_name, names[i]);
            return -1;
        }
        PyWrapperDescrObject *d = (PyWrapperDescrObject *)w;
        if (d->d_wrapped == (void *)(uintptr_t)real) {
            d->d_wrapped = (void *)(uintptr_t)instead;
        }
    }
    PyType_Modified(type);
    return 0;
}

/* Classes of classes have the slot from type. */
static int
replace_in_metaclasses(PyTypeObject *type)
{
    PyObject *subclasses = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", type); /* new */
    int result = subclasses == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(subclasses); i++) {
        PyTypeObject *t = (PyTypeObject *)PyList_GET_ITEM(subclasses, i); /* borrowed */
        if (t->tp_setattro == set_type_attribute) {
            t->tp_setattro = on_type_attribute;
        }
        result = replace_in_metaclasses(t);
    }
    Py_XDECREF(subclasses);
    return result;
}

int
pyexec_classes_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    current = k;
    k->type_dict = Py_XNewRef(pyexec_static_type_dict(&PyType_Type));
    k->str_module = PyUnicode_InternFromString("__module__");
    if (k->str_module == NULL || k->type_dict == NULL) {
        return -1;
    }
    if (set_type_attribute == NULL) {
        set_type_attribute = PyType_Type.tp_setattro;
    }
    PyType_Type.tp_setattro = on_type_attribute;
    PyFunction_Type.tp_setattro = on_function_attribute;
    replace_getset(&PyFunction_Type, "__dict__", on_function_dict, &get_function_dict, NULL, NULL);
    replace_getset(&PyFunction_Type, "__kwdefaults__", on_function_kwdefaults, &get_function_kwdefaults, NULL, NULL);
    replace_getset(&PyFunction_Type, "__annotations__", on_function_annotations, &get_function_annotations, NULL, NULL);
    replace_getset(&PyBaseObject_Type, "__class__", NULL, NULL, on_object_class, &set_object_class);
    if (replace_wrapped(&PyType_Type, set_type_attribute, on_type_attribute) < 0 ||
        replace_wrapped(&PyFunction_Type, PyObject_GenericSetAttr, on_function_attribute) < 0) {
        return -1;
    }
    return pyexec_slots_init() < 0 ? -1 : replace_in_metaclasses(&PyType_Type);
}

/* ---- put back ---- */

static PyObject * /* new, or NULL */
full_name(const pyexec_undo *e)
{
    PyObject *module = NULL, *name = NULL, *full = NULL;
    PyObject *class = e->object;
    if (PyModule_Check(e->object)) {
        name = PyModule_GetNameObject(e->object); /* new */
        full = name == NULL ? NULL : PyUnicode_FromFormat("%U.%U", name, e->name);
        goto done;
    }
    if (PyCFunction_Check(e->object)) {
        full = PyUnicode_FromFormat("%s.%U", ((PyCFunctionObject *)e->object)->m_ml->ml_name, e->name);
        goto done;
    }
    if (e->kind == PYEXEC_OF_OBJECT) {
        class = e->old;
    }
    if (e->kind == PYEXEC_OF_ATTRIBUTE) {
        class = (PyObject *)Py_TYPE(e->object);
    }
    if (e->kind == PYEXEC_OF_FUNCTION) {
        PyFunctionObject *f = (PyFunctionObject *)e->object;
        module = f->func_module != NULL && PyUnicode_Check(f->func_module) ? Py_NewRef(f->func_module)
                                                                          : PyUnicode_FromString("?");
        full = module == NULL ? NULL : PyUnicode_FromFormat("%U.%U.%U", module, f->func_qualname, e->name);
    }
    else {
        PyObject *dict = pyexec_type_dict((PyTypeObject *)class);                           /* new */
        PyObject *m = dict == NULL ? NULL : PyDict_GetItemString(dict, "__module__"); /* borrowed */
        name = PyType_GetQualName((PyTypeObject *)class);                                   /* new */
        module = m != NULL && PyUnicode_Check(m) ? Py_NewRef(m) : PyUnicode_FromString("?");
        full = module == NULL || name == NULL ? NULL : PyUnicode_FromFormat("%U.%U.%U", module, name, e->name);
        Py_XDECREF(dict);
    }

done:
    PyErr_Clear();
    Py_XDECREF(module);
    Py_XDECREF(name);
    return full;
}

static PyObject * /* new, or NULL: there is none */
attribute_now(const pyexec_undo *e)
{
    PyObject *v = NULL;
    if (e->kind == PYEXEC_OF_OBJECT) {
        return Py_NewRef((PyObject *)Py_TYPE(e->object));
    }
    if (e->kind == PYEXEC_OF_FUNCTION) {
        v = function_attribute(e->object, e->name);
    }
    else if (e->kind == PYEXEC_OF_ATTRIBUTE) {
        v = PyObject_GenericGetAttr(e->object, e->name);
    }
    else {
        PyObject *dict = pyexec_type_dict((PyTypeObject *)e->object); /* new */
        v = dict == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(dict, e->name));
        if (v == NULL && e->old != NULL && !PyErr_Occurred()) {
            v = PyType_Type.tp_getattro((PyObject *)e->object, e->name);
        }
        Py_XDECREF(dict);
    }
    PyErr_Clear();
    return v;
}

static bool
same_contents(PyObject *a, PyObject *b)
{
    PyObject *key = NULL, *v = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    if (PyDict_GET_SIZE(a) != PyDict_GET_SIZE(b)) {
        return false;
    }
    while (PyDict_Next(a, &pos, &key, &v)) {
        if (!PyUnicode_CheckExact(key) || PyDict_GetItemWithError(b, key) != v) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

static int
set_back(const pyexec_undo *e, PyObject *old)
{
    if (e->contents != NULL) {
        PyDict_Clear(old);
        if (PyDict_Update(old, e->contents) < 0) {
            return -1;
        }
        if (e->old == NULL) {
            return 0; /* it was never replaced */
        }
    }
    switch (e->kind) {
    case PYEXEC_OF_OBJECT:
        return set_object_class(e->object, e->old, NULL);
    case PYEXEC_OF_FUNCTION:
    case PYEXEC_OF_ATTRIBUTE:
        return PyObject_GenericSetAttr(e->object, e->name, e->old);
    default:
        return set_type_attribute(e->object, e->name, e->old);
    }
}

/* Classes and functions that library code made for the snippet, in a decorator say, and that are there still: what an entry
 * keeps of them leads back to them. They are nobody else's. One that came with a module imported meanwhile looks the same. */
static bool
is_made_in_call(pyexec_kernel *k, PyObject *made /* list, may be NULL */, const pyexec_undo *e)
{
    if (made == NULL || pyexec_is_baseline(k, e->object)) {
        return false;
    }
    for (Py_ssize_t i = PyList_GET_SIZE(made); i-- > 0;) {
        if (PyList_GET_ITEM(made, i) == e->object) {
            return true;
        }
    }
    return false;
}

/* 1: was changed and is as it was, 0: was not changed, -1: failed */
static int
undo(pyexec_kernel *k, PyObject **made, const pyexec_undo *e)
{
    if (!pyexec_undo_is_alive(e)) {
        return 0;
    }
    looking = true;
    PyObject *name = full_name(e);     /* new */
    PyObject *now = attribute_now(e); /* new */
    looking = false;
    PyObject *old = e->old == NULL && e->contents != NULL ? now : e->old; /* borrowed */
    bool same = now == old && (e->contents == NULL || old == NULL || same_contents(now, e->contents));
    int result = 0;
    if (!same && *made == NULL) {
        *made = pyexec_gc_made(k);
    }
    bool own = !same && is_made_in_call(k, *made, e);
    if (!same && !(own && k->modules.n == k->modules.n_before) && (name == NULL || !pyexec_keeps(k, name))) {
        result = 1;
        if (name != NULL && !own && !pyexec_is_private(name, false)) {
            pyexec_change_named(k, name);
            pyexec_change_repr(k, e->contents != NULL ? e->contents : e->old);
            pyexec_change_repr(k, now);
        }
        pyexec_bury(k, now);
        put_back = e->object; /* `now` keeps alive what it loses: no finalizer runs meanwhile */
        int rc = set_back(e, old);
        put_back = NULL;
        if (rc < 0) {
            pyexec_taint(k, "%.200s could not be put back", name == NULL ? "?" : PyUnicode_AsUTF8(name));
            PyErr_Clear();
        }
    }
    Py_XDECREF(now);
    Py_XDECREF(name);
    return result;
}

int
pyexec_classes_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    int result = 0;
    PyObject *made = NULL;     /* new, once it is needed */
    pyexec_undos u = k->undos; /* what is put back can run finalizers, which make entries of their own */
    k->undos = (pyexec_undos){0};
    for (size_t i = u.n; i > 0; i--) {
        result |= undo(k, &made, &u.items[i - 1]);
    }
    Py_XDECREF(made);
    pyexec_undos_free(&u);
    return result;
}

void
pyexec_classes_clear(pyexec_kernel *k)
{
    pyexec_undos_free(&k->undos);
    Py_CLEAR(k->str_module);
    Py_CLEAR(k->type_dict);
    if (current == k) {
        current = NULL;
    }
}
