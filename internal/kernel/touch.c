/* touch.c: state that lies behind functions of C, where there is no object to watch.
 *
 * A function that changes such state is found in the method table of its module or type, and its entry is changed in place,
 * once in a process: so function objects that exist already, and those of a second copy of the module, are changed, too,
 * and no snippet can take it back. What stands there then is a trampoline, one for each entry and calling convention,
 * which hands the call to a hook. The hook of a row notes what was before the snippet's first change, and sets
 * k->touched, the one word that is looked at after each call. */
#include "compat.h"

#include "kernel.h"

enum { SLOTS = 200, CONVENTION = METH_VARARGS | METH_KEYWORDS | METH_NOARGS | METH_O | METH_FASTCALL | METH_METHOD };

static pyexec_touch touches[SLOTS];
static size_t ntouches = 0;
static pyexec_kernel *kernel = NULL; /* of the interpreter whose functions these are */

typedef PyObject *(*two)(PyObject *, PyObject *);
typedef PyObject *(*keywords)(PyObject *, PyObject *, PyObject *);
typedef PyObject *(*fast)(PyObject *, PyObject *const *, Py_ssize_t);
typedef PyObject *(*fast_keywords)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
typedef PyObject *(*method)(PyObject *, PyTypeObject *, PyObject *const *, Py_ssize_t, PyObject *);
#define AS(type, f) ((type)(void (*)(void))(f))

PyObject *
pyexec_real(const pyexec_call *c)
{
    PyCFunction f = c->touch->real.ml_meth;
    switch (c->touch->real.ml_flags & CONVENTION) {
    case METH_VARARGS | METH_KEYWORDS:
        return AS(keywords, f)(c->self, c->object, c->kwargs);
    case METH_FASTCALL:
        return AS(fast, f)(c->self, c->args, c->n);
    case METH_FASTCALL | METH_KEYWORDS:
        return AS(fast_keywords, f)(c->self, c->args, c->n, c->names);
    case METH_METHOD | METH_FASTCALL | METH_KEYWORDS:
        return AS(method, f)(c->self, c->defining, c->args, c->n, c->names);
    default:
        return f(c->self, c->object);
    }
}

static PyObject *
hand_over(pyexec_call *c)
{
    c->k = kernel;
    if (c->k == NULL || c->k->interp != PyInterpreterState_Get()) {
        return pyexec_real(c);
    }
    return c->touch->hook(c);
}

static PyObject *
enter_two(size_t i, PyObject *self, PyObject *object, PyObject *kwargs)
{
    pyexec_call c = {.touch = &touches[i], .self = self, .object = object, .kwargs = kwargs};
    if ((touches[i].real.ml_flags & METH_VARARGS) != 0) {
        c.args = ((PyTupleObject *)object)->ob_item;
        c.n = PyTuple_GET_SIZE(object);
    }
    else if ((touches[i].real.ml_flags & METH_O) != 0) {
        c.args = &c.object;
        c.n = 1;
    }
    return hand_over(&c);
}

static PyObject *
enter_fast(size_t i, PyObject *self, PyTypeObject *defining, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    pyexec_call c = {.touch = &touches[i], .self = self, .args = args, .n = n, .names = names, .defining = defining};
    return hand_over(&c);
}

/* ---- one set of functions for each slot: m(100) to m(299) ---- */

#define TEN(m, d) m(d##0) m(d##1) m(d##2) m(d##3) m(d##4) m(d##5) m(d##6) m(d##7) m(d##8) m(d##9)
#define HUNDRED(m, d)                                                                                          \
    TEN(m, d##0) TEN(m, d##1) TEN(m, d##2) TEN(m, d##3) TEN(m, d##4) TEN(m, d##5) TEN(m, d##6) TEN(m, d##7) \
    TEN(m, d##8) TEN(m, d##9)
#define TRAMPOLINES(i)                                                                                                  \
    static PyObject *two_##i(PyObject *self, PyObject *v)                                                               \
    {                                                                                                                   \
        return enter_two(i - 100, self, v, NULL);                                                                       \
    }                                                                                                                   \
    static PyObject *keywords_##i(PyObject *self, PyObject *v, PyObject *kwargs)                                        \
    {                                                                                                                   \
        return enter_two(i - 100, self, v, kwargs);                                                                     \
    }                                                                                                                   \
    static PyObject *fast_##i(PyObject *self, PyObject *const *args, Py_ssize_t n)                                      \
    {                                                                                                                   \
        return enter_fast(i - 100, self, NULL, args, n, NULL);                                                          \
    }                                                                                                                   \
    static PyObject *fast_keywords_##i(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)            \
    {                                                                                                                   \
        return enter_fast(i - 100, self, NULL, args, n, names);                                                         \
    }                                                                                                                   \
    static PyObject *method_##i(PyObject *self, PyTypeObject *t, PyObject *const *args, Py_ssize_t n, PyObject *names)  \
    {                                                                                                                   \
        return enter_fast(i - 100, self, t, args, n, names);                                                            \
    }
#define ENTRY(i) {two_##i, keywords_##i, fast_##i, fast_keywords_##i, method_##i},

HUNDRED(TRAMPOLINES, 1)
HUNDRED(TRAMPOLINES, 2)

static const struct {
    two two;
    keywords keywords;
    fast fast;
    fast_keywords fast_keywords;
    method method;
} trampolines[] = {HUNDRED(ENTRY, 1) HUNDRED(ENTRY, 2)};
_Static_assert(sizeof trampolines / sizeof *trampolines == SLOTS, "a trampoline for each slot");

static PyCFunction /* NULL: a convention of the future */
trampoline(size_t i, int flags)
{
    switch (flags & CONVENTION) {
    case METH_NOARGS:
    case METH_O:
    case METH_VARARGS:
        return trampolines[i].two;
    case METH_VARARGS | METH_KEYWORDS:
        return AS(PyCFunction, trampolines[i].keywords);
    case METH_FASTCALL:
        return AS(PyCFunction, trampolines[i].fast);
    case METH_FASTCALL | METH_KEYWORDS:
        return AS(PyCFunction, trampolines[i].fast_keywords);
    case METH_METHOD | METH_FASTCALL | METH_KEYWORDS:
        return AS(PyCFunction, trampolines[i].method);
    default:
        return NULL;
    }
}

/* ---- the entries ---- */

static PyMethodDef * /* in the table, NULL if there is none of that name */
find_def(PyMethodDef *m, const char *name)
{
    for (; m != NULL && m->ml_name != NULL; m++) {
        if (strcmp(m->ml_name, name) == 0) {
            return m;
        }
    }
    return NULL;
}

static PyMethodDef *
find_in(PyObject *module, const char *type, const char *name)
{
    if (type == NULL) {
        PyModuleDef *def = PyModule_GetDef(module);
        PyErr_Clear();
        return def == NULL ? NULL : find_def(def->m_methods, name);
    }
    PyObject *t = PyObject_GetAttrString(module, type); /* new */
    PyErr_Clear();
    PyMethodDef *m = t != NULL && PyType_Check(t) ? find_def(((PyTypeObject *)t)->tp_methods, name) : NULL;
    Py_XDECREF(t);
    return m;
}

static bool
same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static pyexec_row_state *
state_of(pyexec_kernel *k, const char *row)
{
    for (size_t i = 0; row != NULL && i < pyexec_row_count(); i++) {
        if (strcmp(pyexec_rows[i].name, row) == 0) {
            return &k->rows[i];
        }
    }
    return NULL;
}

/* A function that this Python does not have is no error: it cannot be called either. */
int
pyexec_touch_add(pyexec_kernel *k, const pyexec_touch *t)
{
    pyexec_touch *own = NULL;
    for (size_t i = 0; i < ntouches && own == NULL; i++) {
        if (same(touches[i].module, t->module) && same(touches[i].type, t->type) && same(touches[i].name, t->name)) {
            own = &touches[i]; /* of an earlier interpreter */
        }
    }
    if (own == NULL) {
        if (ntouches == SLOTS) {
            PyErr_SetString(PyExc_SystemError, "pyexec: SLOTS is too small");
            return -1;
        }
        own = &touches[ntouches++];
        *own = *t;
    }
    own->state = state_of(k, t->row);
    if (t->row != NULL && own->state == NULL) {
        PyErr_Format(PyExc_SystemError, "pyexec: there is no row %s", t->row);
        return -1;
    }
    return 0;
}

static int
touch(pyexec_kernel *k, PyObject *name, PyObject *module)
{
    for (size_t i = 0; i < ntouches; i++) {
        pyexec_touch *t = &touches[i];
        if (PyUnicode_CompareWithASCIIString(name, t->module) != 0) {
            continue;
        }
        PyMethodDef *def = find_in(module, t->type, t->name);
        if (def == NULL || def == t->def) {
            continue;
        }
        PyCFunction f = trampoline(i, def->ml_flags);
        if (f == NULL || t->def != NULL) {
            PyErr_Format(PyExc_SystemError, "%s.%s is not called as pyexec expects", t->module, t->name);
            return -1;
        }
        t->real = *def;
        t->def = def;
        def->ml_meth = f;
    }
    return pyexec_descriptors_saw(k, name, module) < 0 || pyexec_ctypes_saw(name, module) < 0 ? -1 : 0;
}

int
pyexec_touch_module(pyexec_kernel *k, PyObject *name, PyObject *module)
{
    return touch(k, name, module) < 0 || pyexec_registries_saw(k, name, module) < 0 || pyexec_numpy_saw(k, name, module) < 0 ? -1 : 0;
}

PyObject *
pyexec_original(PyObject *module, const char *name)
{
    PyMethodDef *def = find_in(module, NULL, name);
    for (size_t i = 0; i < ntouches && def != NULL; i++) {
        if (touches[i].def == def) {
            def = &touches[i].real;
        }
    }
    if (def == NULL) {
        PyErr_Format(PyExc_SystemError, "pyexec: there is no function %s", name);
        return NULL;
    }
    return PyCFunction_NewEx(def, module, NULL);
}

/* Attributes of modules and types are not asked: a snippet can have put its own there. */
PyObject *
pyexec_ask(const pyexec_call *c, const char *name, PyObject *a, PyObject *b)
{
    PyObject *f = pyexec_original(c->self, name);                                                  /* new */
    PyObject *r = f == NULL ? NULL : PyObject_CallFunctionObjArgs(f, a, a == NULL ? NULL : b, NULL); /* new */
    Py_XDECREF(f);
    return r;
}

PyObject *
pyexec_call_method(const char *module, const char *type, const char *name, PyObject *self)
{
    for (size_t i = 0; i < ntouches; i++) {
        pyexec_touch *t = &touches[i];
        if (t->def != NULL && same(t->module, module) && same(t->type, type) && same(t->name, name)) {
            PyObject *f = PyCFunction_NewEx(&t->real, self, NULL);            /* new */
            PyObject *r = f == NULL ? NULL : PyObject_CallNoArgs(f); /* new */
            Py_XDECREF(f);
            return r;
        }
    }
    PyErr_Format(PyExc_SystemError, "pyexec: there is no method %s", name);
    return NULL;
}

PyObject *
pyexec_arg(const pyexec_call *c, Py_ssize_t at, const char *name)
{
    if (at >= 0 && at < c->n) {
        return c->args[at];
    }
    for (Py_ssize_t i = 0; name != NULL && c->names != NULL && i < PyTuple_GET_SIZE(c->names); i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(c->names, i), name) == 0) {
            return c->args[c->n + i];
        }
    }
    return name != NULL && c->kwargs != NULL ? PyDict_GetItemString(c->kwargs, name) : NULL;
}

bool
pyexec_by_snippet(pyexec_kernel *k)
{
    return k->running != NULL && k->modules.depth == 0;
}

void
pyexec_ctypes_used(void)
{
    if (kernel != NULL && pyexec_by_snippet(kernel)) {
        pyexec_taint(kernel, "the snippet used ctypes, which can change anything");
    }
}

PyObject *
pyexec_refuse(const pyexec_call *c)
{
    if (c->k->running == NULL || pyexec_guard_is_fork()) {
        return pyexec_real(c);
    }
    PyErr_Format(PyExc_PermissionError, "%s.%s is refused in process: %s",
                 strcmp(c->touch->module, "posix") == 0 ? "os" : c->touch->module, c->touch->name,
                 (const char *)c->touch->data);
    return NULL;
}

/* ---- what is to be called to undo it: a list of triples, in the row's state, and out of the collector's sight ---- */

static void
hide(PyObject *v)
{
    if (PyObject_GC_IsTracked(v)) {
        PyObject_GC_UnTrack(v);
    }
}

int
pyexec_keep(pyexec_kernel *k, pyexec_row_state *s, PyObject *v)
{
    if (s->contents == NULL) {
        s->contents = PyList_New(0); /* new */
        if (s->contents != NULL) {
            hide(s->contents);
        }
    }
    int rc = v == NULL || s->contents == NULL ? -1 : PyList_Append(s->contents, v);
    if (rc == 0) {
        hide(v);
        k->touched = true;
    }
    Py_XDECREF(v);
    return rc;
}

int
pyexec_undo_later(const pyexec_call *c, PyObject *module, const char *function, PyObject *args)
{
    PyObject *label = PyUnicode_FromString(c->touch->name);                                             /* new */
    PyObject *f = pyexec_original(module, function);                                                     /* new */
    PyObject *triple = label != NULL && f != NULL && args != NULL ? PyTuple_Pack(3, label, f, args) : NULL; /* new */
    if (triple != NULL) {
        hide(f);
        hide(args);
    }
    Py_XDECREF(label);
    Py_XDECREF(f);
    Py_XDECREF(args);
    return pyexec_keep(c->k, c->touch->state, triple); /* stolen */
}

int
pyexec_undo_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *list = s->contents; /* now ours */
    int result = 1;
    if (list == NULL) {
        return 0;
    }
    s->contents = NULL;
    PyObject *labels = PyList_New(0); /* new */
    for (Py_ssize_t i = 0; labels != NULL && i < PyList_GET_SIZE(list); i++) {
        if (PyList_Append(labels, PyTuple_GET_ITEM(PyList_GET_ITEM(list, i), 0)) < 0) {
            PyErr_Clear();
        }
    }
    pyexec_change_begin(k, row);
    pyexec_cbor_head(&k->changes, CBOR_ARRAY, 0);
    pyexec_change_repr(k, labels);
    for (Py_ssize_t i = PyList_GET_SIZE(list); i-- > 0;) {
        PyObject *triple = PyList_GET_ITEM(list, i);                                                  /* borrowed */
        PyObject *r = PyObject_Call(PyTuple_GET_ITEM(triple, 1), PyTuple_GET_ITEM(triple, 2), NULL); /* new */
        pyexec_bury(k, triple);
        if (r == NULL) {
            PyErr_Clear();
            result = -1;
        }
        Py_XDECREF(r);
    }
    Py_XDECREF(labels);
    Py_DECREF(list);
    return result;
}

/* ---- life ---- */

/* What is in sys.modules already; the others come by pyexec_touch_module when they are imported. */
int
pyexec_touch_loaded(pyexec_kernel *k)
{
    PyObject *name = NULL, *module = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    PyObject *now = PyDict_Copy(PyImport_GetModuleDict()); /* new */
    int rc = now == NULL ? -1 : 0;
    while (rc == 0 && PyDict_Next(now, &pos, &name, &module)) {
        if (PyUnicode_CheckExact(name) && PyModule_Check(module)) {
            rc = touch(k, name, module);
        }
    }
    Py_XDECREF(now);
    return rc;
}

static int
touch_monitoring(pyexec_kernel *k) /* a module that is an attribute of sys alone */
{
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed */
    PyObject *name = PyUnicode_FromString("sys.monitoring"); /* new */
    int rc = name == NULL ? -1 : 0;
    if (rc == 0 && monitoring != NULL) {
        rc = touch(k, name, monitoring);
    }
    Py_XDECREF(name);
    return rc;
}

int
pyexec_touch_init(pyexec_kernel *k)
{
    kernel = k;
    if (pyexec_gc_touch(k) < 0 || pyexec_referents_init(k) < 0 || pyexec_values_init(k) < 0 || pyexec_interpreter_init(k) < 0 ||
        pyexec_process_init(k) < 0 || pyexec_children_init(k) < 0 || pyexec_descriptors_init(k) < 0 ||
        pyexec_registries_init(k) < 0 || pyexec_numpy_init(k) < 0) {
        return -1;
    }
    return pyexec_touch_loaded(k) < 0 ? -1 : touch_monitoring(k);
}

void
pyexec_touch_clear(void)
{
    pyexec_descriptors_clear();
    kernel = NULL; /* from now on the functions are their old selves */
}
