/* row_ast.c: the nodes of syntax trees that are there once for all trees: contexts and operators (ast.Load(), ast.Add()). The
 * usual way to give each node its parent writes to them, too, and leaves the snippet's tree hanging on them.
 *
 * They are looked at only if something was compiled: nobody comes by one otherwise. */
#include "compat.h"

#include "kernel.h"

static const char all[] = "a = a + b - c * d @ e / f % g ** h << i >> j | k ^ l & m // n\n"
                          "not +-~x\nx and y or z\n"
                          "a == b != c < d <= e > f >= g is h is not i in j not in k\n"
                          "del a\n";

static PyObject * /* borrowed; NULL: there is none */
dict_of(PyObject *node)
{
    PyObject **at = _PyObject_GetDictPtr(node);
    return at == NULL || *at == NULL || PyDict_GET_SIZE(*at) == 0 ? NULL : *at;
}

static int collect(PyObject *into, PyObject *v);

static int
collect_fields(PyObject *into, PyObject *node)
{
    PyObject *fields = PyObject_GetAttrString(node, "_fields"); /* new */
    int rc = fields == NULL || !PyTuple_Check(fields) ? -1 : 0;
    if (rc == 0 && PyTuple_GET_SIZE(fields) == 0) {
        rc = PySet_Add(into, node);
    }
    for (Py_ssize_t i = 0; rc == 0 && i < PyTuple_GET_SIZE(fields); i++) {
        PyObject *v = PyObject_GetAttr(node, PyTuple_GET_ITEM(fields, i)); /* new; NULL: it is left out */
        PyErr_Clear();
        rc = v == NULL ? 0 : collect(into, v);
        Py_XDECREF(v);
    }
    Py_XDECREF(fields);
    return rc;
}

static int
collect(PyObject *into, PyObject *v)
{
    int rc = 0;
    if (PyList_CheckExact(v)) {
        for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(v); i++) {
            rc = collect(into, PyList_GET_ITEM(v, i));
        }
        return rc;
    }
    return PyObject_HasAttrString(v, "_fields") ? collect_fields(into, v) : 0;
}

int
pyexec_ast_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    PyCompilerFlags flags = {.cf_flags = PyCF_ONLY_AST, .cf_feature_version = PY_MINOR_VERSION};
    PyObject *nodes = PySet_New(NULL);                                                      /* new */
    PyObject *tree = Py_CompileStringExFlags(all, "<pyexec>", Py_file_input, &flags, -1); /* new */
    int rc = nodes == NULL || tree == NULL ? -1 : collect(nodes, tree);
    s->contents = rc < 0 ? NULL : PySequence_Tuple(nodes); /* new */
    k->ast_nodes = s->contents;
    Py_XDECREF(tree);
    Py_XDECREF(nodes);
    return s->contents == NULL ? -1 : 0;
}

bool
pyexec_ast_quiet(pyexec_kernel *k)
{
    if (!k->compiled) {
        return true;
    }
    for (Py_ssize_t i = 0; k->ast_nodes != NULL && i < PyTuple_GET_SIZE(k->ast_nodes); i++) {
        if (dict_of(PyTuple_GET_ITEM(k->ast_nodes, i)) != NULL) {
            return false;
        }
    }
    k->compiled = false;
    return true;
}

int
pyexec_ast_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    int result = 0;
    for (Py_ssize_t i = 0; k->compiled && i < PyTuple_GET_SIZE(s->contents); i++) {
        PyObject *node = PyTuple_GET_ITEM(s->contents, i), *dict = dict_of(node); /* borrowed */
        if (dict == NULL) {
            continue;
        }
        if (result == 0) {
            pyexec_report(k, row, "no attributes", Py_TYPE(node)->tp_name);
        }
        result = 1;
        PyDict_Clear(dict);
    }
    k->compiled = false;
    return result;
}
