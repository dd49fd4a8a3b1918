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

/* ---- code that is over in no time ----
 * It computes, calls nothing, never jumps back, and works on a few scalars: no instruction of it takes long as long as its
 * values stay small. They do if none is repeated, raised to a power or shifted, and no more than a few times doubled. The
 * caller of such a call need not be able to leave it behind. */

enum { BRIEF_SOURCE = 1000, BRIEF_DOUBLINGS = 8 };

typedef struct {
    bool text;      /* a constant that can be repeated: a str, bytes or a tuple */
    bool repeats;   /* `*` or `%`: what it does with text has no bound */
    int multiplies; /* each makes an int at most as long as both together */
    int adds;       /* each does that to text */
} brevity;

static bool
note_constants(brevity *b, PyObject *consts)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(consts); i++) {
        PyObject *v = PyTuple_GET_ITEM(consts, i); /* borrowed */
        int overflow = 0;
        if (v == Py_None || PyBool_Check(v) || PyFloat_CheckExact(v)) {
            continue;
        }
        if (PyLong_CheckExact(v)) {
            (void)PyLong_AsLongLongAndOverflow(v, &overflow);
            if (overflow != 0) {
                return false;
            }
            continue;
        }
        if (PyTuple_CheckExact(v) ? !note_constants(b, v) : !PyUnicode_CheckExact(v)) {
            return false;
        }
        b->text = true;
    }
    return true;
}

static bool
note_operators(brevity *b, PyCodeObject *code)
{
    bool result = true;
    PyObject *bytes = PyCode_GetCode(code); /* new */
    if (bytes == NULL) {
        PyErr_Clear();
        return false;
    }
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(bytes);
    for (Py_ssize_t i = 0; result && i + 1 < PyBytes_GET_SIZE(bytes); i += 2) {
        result = !pyexec_opcode_builds(p[i]);
        if (p[i] == BINARY_OP) {
            uint8_t op = p[i + 1];
            result = op != NB_POWER && op != NB_LSHIFT;
            b->repeats = b->repeats || op == NB_MULTIPLY || op == NB_REMAINDER;
            b->multiplies += op == NB_MULTIPLY;
            b->adds += op == NB_ADD;
        }
    }
    Py_DECREF(bytes);
    return result;
}

static bool
names_are_own(PyCodeObject *code)
{
    PyObject *builtins = PyEval_GetBuiltins(); /* borrowed */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_names); i++) {
        PyObject *name = PyTuple_GET_ITEM(code->co_names, i); /* borrowed */
        if (PyUnicode_READ_CHAR(name, 0) == '_' || PyDict_Contains(builtins, name) != 0) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

pyexec_brief
pyexec_is_brief(const pyexec_code *c)
{
    PyObject *parts[] = {c->body, c->tail}; /* borrowed, may be NULL */
    brevity b = {false, false, 0, 0};
    if (!c->computes || c->code_len > BRIEF_SOURCE) {
        return PYEXEC_NOT_BRIEF;
    }
    for (size_t i = 0; i < 2; i++) {
        PyCodeObject *code = (PyCodeObject *)parts[i];
        if (code != NULL && !(computes(parts[i], false) && names_are_own(code) && note_constants(&b, code->co_consts) &&
                              note_operators(&b, code))) {
            return PYEXEC_NOT_BRIEF;
        }
    }
    if (!b.repeats && b.adds <= BRIEF_DOUBLINGS) {
        return PYEXEC_BRIEF_WITH_TEXT;
    }
    return !b.text && b.multiplies <= BRIEF_DOUBLINGS ? PYEXEC_BRIEF_WITH_NUMBERS : PYEXEC_NOT_BRIEF;
}

bool
pyexec_computes(const pyexec_code *c)
{
    bool calls = names_compute(c->body) && names_compute(c->tail); /* of both: one can name what the other calls */
    return computes(c->body, calls) && computes(c->tail, calls);
}
