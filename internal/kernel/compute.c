/* compute.c: code that does nothing but compute, which is not looked after at all.
 *
 * A formula like `price * (1 + rate)` calls nothing, imports nothing, and assigns to nothing but its own names: it works
 * on what it was given, which is plain data, and on constants. So it cannot change the interpreter, nor leave garbage, and
 * need not be looked after. It may also call, as in `round(sum(prices), 2)`, if no name in it is a builtin but for those
 * below: whatever it gets hold of is then data of built-in types, or one of these. (str and bytes are not among them: they
 * take the name of a codec, and looking it up can import one.) In doubt the answer is no.
 *
 * confine.c proves less, of far more code. */
#include "compat.h"

#include "kernel.h"
#include "opcodes.h"

static const char *const computing[] = {
    "abs", "all", "any", "bin", "bool", "chr", "complex", "dict", "divmod", "enumerate", "float", "frozenset",
    "hex", "int", "len", "list", "max", "min", "oct", "ord", "pow", "range", "repr", "reversed", "round", "set", "slice",
    "sorted", "sum", "tuple", "zip",
};

static bool
names_compute(PyObject *object /* may be NULL */)
{
    PyCodeObject *code = (PyCodeObject *)object;
    if (code == NULL) {
        return true;
    }
    PyObject *builtins = PyEval_GetBuiltins(); /* borrowed */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_names); i++) {
        PyObject *name = PyTuple_GET_ITEM(code->co_names, i); /* borrowed */
        bool known = false;
        for (size_t j = 0; j < sizeof computing / sizeof *computing && !known; j++) {
            known = PyUnicode_CompareWithASCIIString(name, computing[j]) == 0;
        }
        if (known) {
            continue;
        }
        if (PyUnicode_READ_CHAR(name, 0) == '_' || PyDict_Contains(builtins, name) != 0) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

static bool
computes(PyObject *code /* may be NULL */, bool calls)
{
    if (code == NULL) {
        return true;
    }
    bool result = true;
    PyObject *bytes = PyCode_GetCode((PyCodeObject *)code); /* new */
    if (bytes == NULL) {
        PyErr_Clear();
        return false;
    }
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(bytes);
    for (Py_ssize_t i = 0; result && i + 1 < PyBytes_GET_SIZE(bytes); i += 2) {
        result = pyexec_opcode_computes(p[i], p[i + 1]) || (calls && pyexec_opcode_calls(p[i]));
    }
    Py_DECREF(bytes);
    return result;
}

bool
pyexec_computes(const pyexec_code *c)
{
    bool calls = names_compute(c->body) && names_compute(c->tail); /* of both: one can name what the other calls */
    return computes(c->body, calls) && computes(c->tail, calls);
}
