/* row_numpy.c: what numpy keeps in C: the state of the generator behind numpy.random.seed, and a few settings. They outlive
 * even the interpreter, for numpy cannot be loaded twice in a process. */
#include "compat.h"

#include "kernel.h"

#include <limits.h>
#include <string.h>

/* Its name up to numpy 1, and since. */
static const char *const cores[] = {"numpy.core._multiarray_umath", "numpy._core._multiarray_umath"};

/* The end of a Mersenne twister has its position and some of its key. Whatever draws changes the one, whatever seeds the
 * other. In the generator itself is what is left of a pair of normal numbers. */
static bool
takes_shape(const pyexec_numpy *n)
{
    return (size_t)Py_TYPE(n->bits)->tp_basicsize > sizeof n->tail + sizeof(PyObject) &&
           (size_t)Py_TYPE(n->generator)->tp_basicsize - sizeof(PyObject) <= sizeof n->body;
}

static const char *
tail_of(const pyexec_numpy *n)
{
    return (const char *)n->bits + Py_TYPE(n->bits)->tp_basicsize - sizeof n->tail;
}

static size_t
size_of(const pyexec_numpy *n)
{
    return (size_t)Py_TYPE(n->generator)->tp_basicsize - sizeof(PyObject);
}

static void
take(pyexec_numpy *n)
{
    memcpy(n->tail, tail_of(n), sizeof n->tail);
    memcpy(n->body, n->generator + 1, size_of(n));
}

bool
pyexec_numpy_quiet(pyexec_kernel *k)
{
    const pyexec_numpy *n = &k->numpy;
    return n->bits == NULL ||
           (memcmp(n->tail, tail_of(n), sizeof n->tail) == 0 && memcmp(n->body, n->generator + 1, size_of(n)) == 0);
}

/* Nobody is to know what it gives next, but for who seeds it himself. */
int
pyexec_numpy_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    pyexec_numpy *n = &k->numpy;
    PyObject *r = NULL;
    (void)row;
    (void)s;
    if (pyexec_numpy_quiet(k)) {
        return 0;
    }
    if (n->set_bits != NULL) { /* numpy.random.set_bit_generator, of 1.24 and later */
        r = PyObject_CallOneArg(n->set_bits, n->bits); /* new */
        Py_XDECREF(r);
        if (r == NULL) {
            return -1;
        }
    }
    r = PyObject_CallMethod(n->generator, "seed", NULL); /* new */
    Py_XDECREF(r);
    take(n);
    return r == NULL ? -1 : 0;
}

int
pyexec_numpy_saw(pyexec_kernel *k, PyObject *name, PyObject *module)
{
    pyexec_numpy *n = &k->numpy;
    if (PyUnicode_CompareWithASCIIString(name, "numpy.random.mtrand") != 0 || n->generator != NULL) {
        return 0;
    }
    n->generator = PyObject_GetAttrString(module, "_rand");                                         /* new */
    n->set_bits = PyObject_GetAttrString(module, "set_bit_generator");                              /* new, or NULL */
    n->bits = n->generator == NULL ? NULL : PyObject_GetAttrString(n->generator, "_bit_generator"); /* new */
    PyErr_Clear();
    if (n->bits != NULL && takes_shape(n)) {
        take(n);
    }
    else {
        Py_CLEAR(n->bits);
    }
    return 0;
}

/* ---- settings ---- */

static PyObject *
undo_with(const pyexec_call *c, const char *function, PyObject *args /* stolen, may be NULL */)
{
    return pyexec_by_snippet(c->k) && pyexec_undo_later(c, c->self, function, args) < 0 ? NULL : pyexec_real(c);
}

static PyObject *
on_state(const pyexec_call *c) /* _set_promotion_state and _set_madvise_hugepage, with a _get_ each */
{
    char get[64];
    PyOS_snprintf(get, sizeof get, "_get%s", c->touch->name + strlen("_set"));
    PyObject *was = pyexec_ask(c, get, NULL, NULL); /* new */
    PyObject *args = was == NULL ? NULL : PyTuple_Pack(1, was);
    Py_XDECREF(was);
    return args == NULL ? NULL : undo_with(c, c->touch->name, args);
}

static PyObject *
on_legacy(const pyexec_call *c) /* cannot be asked; nobody but snippets sets it */
{
    return undo_with(c, c->touch->name, Py_BuildValue("(i)", INT_MAX));
}

/* What numpy itself sets when it is imported. */
static PyObject *
on_string_function(const pyexec_call *c)
{
    PyObject *repr = pyexec_arg(c, 1, "repr"); /* borrowed */
    bool is_repr = repr == NULL || PyObject_IsTrue(repr) == 1;
    PyObject *f = pyexec_module_had(c->k, "numpy.core.arrayprint", is_repr ? "_default_array_repr" : "_default_array_str");
    return f == NULL ? pyexec_refuse(c) : undo_with(c, c->touch->name, Py_BuildValue("(Oi)", f, is_repr));
}

static PyObject *
on_numeric_ops(const pyexec_call *c) /* set_numeric_ops(**operators) gives out what they were */
{
    PyObject *f = pyexec_original(c->self, c->touch->name);          /* new */
    PyObject *was = f == NULL ? NULL : PyObject_CallNoArgs(f); /* new */
    PyObject *partial = pyexec_module_had(c->k, "functools", "partial"); /* borrowed */
    PyObject *args = f == NULL ? NULL : PyTuple_Pack(1, f);     /* new */
    PyObject *call = was == NULL || partial == NULL || args == NULL ? NULL : PyObject_Call(partial, args, was); /* new */
    PyObject *entry = call == NULL ? NULL : Py_BuildValue("(sO())", c->touch->name, call);
    int rc = !pyexec_by_snippet(c->k) ? 0 : pyexec_keep(c->k, c->touch->state, Py_XNewRef(entry));
    Py_XDECREF(entry);
    Py_XDECREF(call);
    Py_XDECREF(args);
    Py_XDECREF(was);
    Py_XDECREF(f);
    return rc < 0 ? NULL : pyexec_real(c);
}

static PyObject *
on_permanent(const pyexec_call *c)
{
    return pyexec_by_snippet(c->k) ? pyexec_refuse(c) : pyexec_real(c);
}

int
pyexec_numpy_init(pyexec_kernel *k)
{
#define TOUCH(name, hook) {"numpy settings", NULL, NULL, name, hook, NULL, NULL, NULL, {0}}
#define REFUSE(name) {NULL, NULL, NULL, name, on_permanent, "it cannot be undone", NULL, NULL, {0}}
    static const pyexec_touch all[] = {
        TOUCH("_set_promotion_state", on_state),
        TOUCH("_set_madvise_hugepage", on_state),
        TOUCH("set_legacy_print_mode", on_legacy),
        TOUCH("set_string_function", on_string_function),
        TOUCH("set_numeric_ops", on_numeric_ops),
        REFUSE("add_docstring"),
        REFUSE("set_typeDict"),
        REFUSE("set_datetimeparse_function"),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (size_t j = 0; j < sizeof cores / sizeof *cores; j++) {
            pyexec_touch t = all[i];
            t.module = cores[j];
            if (pyexec_touch_add(k, &t) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

void
pyexec_numpy_clear(pyexec_kernel *k)
{
    Py_CLEAR(k->numpy.generator);
    Py_CLEAR(k->numpy.bits);
    Py_CLEAR(k->numpy.set_bits);
}
