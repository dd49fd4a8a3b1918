/* confine.c: snippets that need no reset, because their byte code shows that they cannot reach what outlives them.
 *
 * The argument. Take the set of objects that a snippet can get hold of. It begins with its constants, its inputs (plain
 * data), what it makes itself (functions, classes, containers, exceptions) and the builtins that it names. If every
 * builtin among these is one that cannot be changed and whose results are in the set again, and if no instruction leads
 * out of the set, then all that the snippet can change is in it: its own, and gone when its namespace is. Those of the
 * outside that it can reach are immutable: types made in C, functions made in C, constants. So:
 *
 * - Instructions: those that opcodes.h gives a meaning. Operators and calls stay in the set: special methods of built-in
 *   types do, and those of the snippet's own classes are made of the same byte code. Left out are, of those one might
 *   expect, class patterns (`case object(gi_frame=f)` reads attributes whose names are constants, not names), except* (it
 *   makes an ExceptionGroup, a class that can be changed), and whatever is async.
 * - Names of globals: the snippet's own, and the builtins listed here, if they still are what CPython made. Nothing that
 *   takes the name of an attribute as a string, compiles, or gives out a namespace. Not the names that every namespace
 *   starts with, like __builtins__ and __loader__, to read or to bind.
 * - Names of attributes: any that no type made in C has, so that only the snippet's own classes can, and those listed here.
 *   So gi_frame, tb_frame, f_globals and what a later CPython adds are out without being named. Of __names__ only some.
 *   str.format reads attributes by strings, so it is allowed for constants without dots and brackets alone.
 * - Imports: of the modules listed here once they are loaded, and only in forms in which the module object itself is not to
 *   be had: `import math` if each use is `math.something`. What is had of them cannot be changed, like the builtins.
 *   There are three exceptions made in Python: json.loads, json.dumps and json.JSONDecodeError, of which attributes can be
 *   set. So code that gets hold of one, other than to call or to catch it, may set no attributes at all; nor may code that
 *   can get hold of the class: by type(), by __class__, or by a `with`, whose __exit__ is given it.
 *
 * What C code does behind a snippet's back is not in its byte code, so it is looked at afterwards (pyexec_confine_end): a
 * warning, or a finalizer that raises, has printed to stderr; a codec that is looked up is new in encodings._cache; an
 * import is audited; an exception that got out is printed with the help of linecache. Then the reset is made after all.
 *
 * The collector's mark and sweep are needed still: classes and cycles survive their namespace. In doubt the answer is no. */
#include "compat.h"

#include "kernel.h"
#include "opcodes.h"

#include <string.h>

/* ---- the proof ---- */

typedef enum { OWN, FOREIGN, NOT_LOADED } verdict; /* the snippet stays among its own; it may not; perhaps next time */

typedef struct {
    pyexec_kernel *k;
    PyObject *builtins; /* borrowed */
    PyObject *bound;    /* owned: name -> index in pyexec_open_modules, of names that imports bind to a module */
    bool types;         /* it gets at the class of any object it has */
    bool with;
    bool sets;          /* attributes, of whatever object */
    bool delicate;      /* it has hold of something made in Python, whose attributes can be set */
    bool core, called;  /* of the modules it imports */
} proof;

typedef struct {
    PyCodeObject *code;
    const uint8_t *p; /* its instructions */
    Py_ssize_t n;     /* bytes of them */
    bool class_body;
    Py_ssize_t at, begin; /* this instruction, and where its EXTENDED_ARGs begin */
    pyexec_step last;     /* the one before */
    const pyexec_open_module *module; /* what is on top of the stack, if it is a module, */
    enum { NOTHING, IMPORTED, ATTRIBUTE, ITEMS, CLASS, CALLED, CAUGHT } top; /* or to be taken in a certain way alone */
} scan;

static const char *
name_at(const scan *s, int i)
{
    PyObject *names = s->code->co_names; /* borrowed */
    return i < PyTuple_GET_SIZE(names) ? pyexec_confine_text(PyTuple_GET_ITEM(names, i)) : "__none__";
}

/* Fields of str.format name no attributes and no items: neither a dot nor a bracket stands between { and : or ! or }. */
static bool
is_harmless_format(PyObject *format)
{
    bool in_name = false;
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(format); i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(format, i);
        if (c == '{') {
            in_name = true;
        }
        else if (c == ':' || c == '!' || c == '}') {
            in_name = false;
        }
        else if (in_name && (c == '.' || c == '[')) {
            return false;
        }
    }
    return true;
}

/* Can something else jump to where s is? Either way, and over as many caches as there may be: rather too often. */
static bool
is_jumped_to(const scan *s)
{
    int arg = 0;
    for (Py_ssize_t i = 0; i + 1 < s->n; i += 2) {
        arg = arg << 8 | s->p[i + 1];
        if (s->p[i] == EXTENDED_ARG) {
            continue;
        }
        for (int caches = 0; pyexec_opcode_step(s->p[i], arg).meaning == PYEXEC_JUMP && caches < 8; caches++) {
            Py_ssize_t from = i + 2 + 2 * caches, jump = 2 * (Py_ssize_t)arg;
            if ((from + jump >= s->begin && from + jump <= s->at) || (from - jump >= s->begin && from - jump <= s->at)) {
                return true;
            }
        }
        arg = 0;
    }
    return false;
}

static bool
may_format(const scan *s)
{
    PyObject *consts = s->code->co_consts; /* borrowed */
    if (s->last.meaning != PYEXEC_CONST || s->last.index >= PyTuple_GET_SIZE(consts)) {
        return false;
    }
    PyObject *format = PyTuple_GET_ITEM(consts, s->last.index); /* borrowed */
    return PyUnicode_CheckExact(format) && is_harmless_format(format) && !is_jumped_to(s);
}

static bool
may_name_attribute(proof *p, scan *s, const char *name, bool load)
{
    if (*name == '\0') {
        return true; /* no type made in C has an attribute that is not ASCII */
    }
    if (pyexec_confine_is_dunder(name) && !load) {
        return false;
    }
    if (strcmp(name, "__class__") == 0) {
        s->top = CLASS;
        return true;
    }
    if (strcmp(name, "format") == 0) {
        return load && may_format(s);
    }
    return pyexec_confine_attribute(p->k, name);
}

static verdict
load_name(proof *p, scan *s, PyObject *object)
{
    const char *name = pyexec_confine_text(object);
    PyObject *index = PyDict_GetItemWithError(p->bound, object); /* borrowed */
    if (index != NULL) {
        s->module = &pyexec_open_modules[PyLong_AsLong(index)];
        s->top = ATTRIBUTE;
        return OWN;
    }
    if (pyexec_confine_is_dunder(name) && strcmp(name, "__name__") != 0 && PyDict_GetItemWithError(p->k->namespace, object) != NULL) {
        return FOREIGN;
    }
    if (PyDict_GetItemWithError(p->builtins, object) == NULL || strcmp(name, "__name__") == 0) {
        return OWN;
    }
    p->types = p->types || strcmp(name, "type") == 0;
    return pyexec_confine_builtin(p->builtins, name) ? OWN : FOREIGN;
}

static verdict
import(proof *p, scan *s, const char *name)
{
    s->module = s->class_body ? NULL : pyexec_confine_module(name);
    if (s->module == NULL) {
        return FOREIGN;
    }
    s->top = IMPORTED;
    p->core = p->core && s->module->core;
    p->called = p->called || s->module->called != NULL;
    return pyexec_confine_genuine(p->builtins, "__import__") ? OWN : FOREIGN;
}

/* What the snippet takes from a module. how: PYEXEC_IMPORT_FROM, PYEXEC_LOAD_ATTR or PYEXEC_LOAD_METHOD */
static verdict
take(proof *p, scan *s, const char *name, pyexec_meaning how)
{
    switch (pyexec_confine_take(p->k, s->module, name)) {
    case PYEXEC_NOT_OPEN:
        return FOREIGN;
    case PYEXEC_NOT_LOADED:
        return NOT_LOADED;
    case PYEXEC_TO_HAVE:
        return OWN;
    case PYEXEC_TO_CALL:
        p->delicate = p->delicate || how == PYEXEC_IMPORT_FROM;
        s->top = how == PYEXEC_LOAD_ATTR ? CALLED : s->top;
        return OWN;
    case PYEXEC_TO_CATCH:
        p->delicate = p->delicate || how != PYEXEC_LOAD_ATTR;
        s->top = how == PYEXEC_LOAD_ATTR ? CAUGHT : s->top;
        return OWN;
    }
    return FOREIGN;
}

static verdict
store(proof *p, scan *s, PyObject *object, bool local, bool global)
{
    const char *name = pyexec_confine_text(object);
    if (s->top == IMPORTED) {
        PyObject *index = PyDict_GetItemWithError(p->bound, object); /* borrowed */
        if (index == NULL || PyLong_AsLong(index) != s->module - pyexec_open_modules) {
            return FOREIGN; /* bound to another module, too */
        }
        s->top = NOTHING;
    }
    return local || (s->class_body && !global) || pyexec_confine_binds(name) ? OWN : FOREIGN;
}

static verdict
step(proof *p, scan *s, uint8_t op, pyexec_meaning meaning, int index)
{
    PyObject *locals = s->code->co_localsplusnames; /* borrowed */
    bool named = meaning == PYEXEC_LOAD_NAME || meaning == PYEXEC_STORE_NAME || meaning == PYEXEC_STORE_GLOBAL;
    bool local = meaning == PYEXEC_LOAD_LOCAL || meaning == PYEXEC_STORE_LOCAL;
    PyObject *from = local ? locals : s->code->co_names;
    if ((named || local) && index >= PyTuple_GET_SIZE(from)) {
        return FOREIGN;
    }
    PyObject *object = named || local ? PyTuple_GET_ITEM(from, index) : NULL; /* borrowed */
    const char *name = named || local ? "" : name_at(s, index);
    bool stores = meaning == PYEXEC_STORE_NAME || meaning == PYEXEC_STORE_GLOBAL || meaning == PYEXEC_STORE_LOCAL;
    verdict v = OWN;

    switch (s->top) { /* only these may come next */
    case NOTHING:
        break;
    case IMPORTED:
        if (!stores && meaning != PYEXEC_IMPORT_FROM) {
            return FOREIGN;
        }
        break;
    case ITEMS: /* after one that was bound: another, or the end */
        if (op == POP_TOP) {
            s->top = NOTHING;
            return OWN;
        }
        if (!stores && meaning != PYEXEC_IMPORT_FROM) {
            return FOREIGN;
        }
        break;
    case ATTRIBUTE:
        if (meaning != PYEXEC_LOAD_ATTR && meaning != PYEXEC_LOAD_METHOD) {
            return FOREIGN;
        }
        s->top = NOTHING;
        v = take(p, s, name, meaning);
        if (v != OWN) {
            return v;
        }
        break; /* another object can be there if something jumps here, so what follows holds, too */
    case CLASS:
        s->top = NOTHING;
        p->types = p->types || meaning != PYEXEC_LOAD_ATTR || strcmp(name, "__name__") != 0;
        break;
    case CALLED:
        s->top = NOTHING;
        p->delicate = p->delicate || !PYEXEC_NULL_FOLLOWS_CALLEE || op != PUSH_NULL;
        break;
    case CAUGHT:
        s->top = NOTHING;
        p->delicate = p->delicate || meaning != PYEXEC_CHECK_CAUGHT;
        break;
    }

    switch (meaning) {
    case PYEXEC_UNKNOWN:
        return FOREIGN;
    case PYEXEC_PLAIN:
    case PYEXEC_JUMP:
    case PYEXEC_CONST:
    case PYEXEC_CHECK_CAUGHT:
        return op != LOAD_BUILD_CLASS || pyexec_confine_genuine(p->builtins, "__build_class__") ? OWN : FOREIGN;
    case PYEXEC_WITH:
        p->with = true;
        return OWN;
    case PYEXEC_LOAD_NAME:
        return load_name(p, s, object);
    case PYEXEC_LOAD_LOCAL:
        if (PyDict_GetItemWithError(p->bound, object) != NULL) {
            return load_name(p, s, object);
        }
        return OWN;
    case PYEXEC_STORE_NAME:
    case PYEXEC_STORE_GLOBAL:
    case PYEXEC_STORE_LOCAL:
        return store(p, s, object, local, meaning == PYEXEC_STORE_GLOBAL);
    case PYEXEC_LOAD_ATTR:
    case PYEXEC_LOAD_METHOD:
    case PYEXEC_LOAD_SUPER_ATTR:
        p->sets = p->sets || strcmp(name, "__init__") == 0; /* one made in Python sets those of what it is called with */
        return may_name_attribute(p, s, name, true) ? OWN : FOREIGN;
    case PYEXEC_STORE_ATTR:
        p->sets = true;
        return may_name_attribute(p, s, name, false) ? OWN : FOREIGN;
    case PYEXEC_LOAD_NAMESPACE:
        return s->class_body ? OWN : FOREIGN;
    case PYEXEC_IMPORT:
        return import(p, s, name);
    case PYEXEC_IMPORT_FROM:
        s->top = ITEMS;
        return take(p, s, name, meaning);
    }
    return FOREIGN;
}

/* Calls f for each instruction of a code object, with its EXTENDED_ARGs taken in, until it has an objection. */
static verdict
each_step(proof *p, PyObject *object, bool top_level, verdict (*f)(proof *, scan *, uint8_t, pyexec_meaning, int))
{
    scan s = {.code = (PyCodeObject *)object};
    s.class_body = !top_level && (s.code->co_flags & CO_OPTIMIZED) == 0;
    if ((s.code->co_flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR)) != 0) {
        return FOREIGN;
    }
    PyObject *bytes = PyCode_GetCode(s.code); /* new */
    if (bytes == NULL) {
        return FOREIGN;
    }
    s.p = (const uint8_t *)PyBytes_AS_STRING(bytes);
    s.n = PyBytes_GET_SIZE(bytes);
    verdict v = OWN;
    int arg = 0;
    for (s.at = 0; v == OWN && s.at + 1 < s.n; s.at += 2) {
        uint8_t op = s.p[s.at];
        arg = (arg & 0xffffff) << 8 | s.p[s.at + 1];
        if (op == EXTENDED_ARG) {
            continue;
        }
        if (op != CACHE && op != NOP) {
            pyexec_step now = pyexec_opcode_step(op, arg);
            v = f(p, &s, op, now.meaning, now.index);
            if (v == OWN && now.second != PYEXEC_UNKNOWN) {
                v = f(p, &s, op, now.second, now.second_index);
            }
            s.last = now;
        }
        s.begin = s.at + 2;
        arg = 0;
    }
    Py_DECREF(bytes);
    PyObject *consts = s.code->co_consts; /* borrowed */
    for (Py_ssize_t i = 0; v == OWN && i < PyTuple_GET_SIZE(consts); i++) {
        if (PyCode_Check(PyTuple_GET_ITEM(consts, i))) {
            v = each_step(p, PyTuple_GET_ITEM(consts, i), false, f);
        }
    }
    return v;
}

/* The first round: which names are bound to which modules? */
static verdict
note_import(proof *p, scan *s, uint8_t op, pyexec_meaning meaning, int index)
{
    (void)op;
    bool stores = meaning == PYEXEC_STORE_NAME || meaning == PYEXEC_STORE_GLOBAL || meaning == PYEXEC_STORE_LOCAL;
    if (meaning == PYEXEC_IMPORT) {
        return import(p, s, name_at(s, index));
    }
    if (s->top == IMPORTED && stores) {
        PyObject *from = meaning == PYEXEC_STORE_LOCAL ? s->code->co_localsplusnames : s->code->co_names; /* borrowed */
        PyObject *number = PyLong_FromSsize_t(s->module - pyexec_open_modules);                                       /* new */
        int rc = number == NULL || index >= PyTuple_GET_SIZE(from)
                     ? -1
                     : PyDict_SetItem(p->bound, PyTuple_GET_ITEM(from, index), number);
        Py_XDECREF(number);
        s->top = NOTHING;
        return rc < 0 ? FOREIGN : OWN;
    }
    s->top = NOTHING;
    return OWN;
}

static verdict
prove(pyexec_kernel *k, const pyexec_code *c)
{
    proof p = {.k = k, .builtins = PyEval_GetBuiltins(), .bound = PyDict_New(), .core = true};
    PyObject *parts[] = {c->body, c->tail}; /* borrowed, may be NULL */
    verdict v = p.bound == NULL ? FOREIGN : OWN;
    for (size_t i = 0; v == OWN && i < 2; i++) {
        v = parts[i] == NULL ? OWN : each_step(&p, parts[i], true, note_import);
    }
    for (size_t i = 0; v == OWN && i < 2; i++) {
        v = parts[i] == NULL ? OWN : each_step(&p, parts[i], true, step);
    }
    p.delicate = p.delicate || (p.types && !p.core) || (p.with && p.called);
    v = v == OWN && p.delicate && p.sets ? FOREIGN : v;
    if (PyErr_Occurred()) {
        PyErr_Clear();
        v = FOREIGN;
    }
    Py_XDECREF(p.bound);
    return v;
}

/* ---- the use of it ---- */

enum { TRIES = 8 }; /* a module may be loaded by a later call; or never, if the import is in a branch not taken */

static bool
is_proven(pyexec_kernel *k, pyexec_code *c)
{
    if (c->confined == 0 && !k->confine.off && pyexec_watch_objects_quiet(k)) {
        verdict v = prove(k, c);
        c->tries++;
        c->confined = v == OWN ? 1 : v == FOREIGN || c->tries >= TRIES ? -1 : 0;
    }
    return c->confined > 0;
}

void
pyexec_confine_begin(pyexec_kernel *k, pyexec_code *c)
{
    k->confine.imported = false;
    k->confine.skip = c->confined >= 0 && is_proven(k, c);
}

/* Did C code change something on the snippet's behalf? */
static bool
went_astray(pyexec_kernel *k)
{
    if (k->reply.status != PYEXEC_OK || k->err.buf.len != 0 || k->err.cut || k->confine.imported ||
        PyThreadState_GET()->context != NULL || !pyexec_watch_glance(k, k->confine.codecs) ||
        k->touched || k->undos.n != 0) { /* which has what is set of the snippet's own classes, too */
        return true;
    }
    if (k->confine.check && !(pyexec_watch_objects_quiet(k) && pyexec_objects_odd_quiet(k) &&
                              pyexec_watch_environ_quiet(k))) {
        pyexec_taint(k, "a snippet that was taken for confined changed something");
    }
    return k->confine.check;
}

bool
pyexec_confine_end(pyexec_kernel *k)
{
    if (!k->confine.skip) {
        return false;
    }
    k->confine.skip = false;
    if (!went_astray(k)) {
        return true;
    }
    pyexec_reset_before(k); /* late, but all that can have changed there is the host's doing */
    return false;
}

int
pyexec_is_confined(pyexec_kernel *k, const char *source, size_t len)
{
    int result = -1;
    if (k->interp == NULL || !pyexec_attach(k)) {
        return -1;
    }
    pyexec_call_clear(k);
    k->gc_enabled = PyGC_Disable();
    pyexec_code *code = pyexec_code_get(k, 0, "", 0, source, len); /* borrowed */
    if (code != NULL) {
        pyexec_confine_begin(k, code);
        result = k->confine.skip;
        k->confine.skip = false;
    }
    PyErr_Clear();
    pyexec_reset_after(k); /* compiling can import */
    if (k->gc_enabled) {
        PyGC_Enable();
    }
    pyexec_detach(k);
    return result;
}

void
pyexec_check_confined(pyexec_kernel *k, bool check)
{
    k->confine.check = check;
}
