/* code.c: compiled snippets, kept by their source and name, the least recently used dropped first.
 *
 * A snippet whose last statement is an expression becomes two code objects, the statements and that expression, so that
 * its value can be returned; positions in tracebacks stay those of the one source. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

int
pyexec_codes_init(pyexec_kernel *k)
{
    size_t n = 64;
    while (n < k->config.cache_entries && n < (1u << 20)) {
        n *= 2;
    }
    k->codes = (pyexec_codes){.mask = n - 1, .chains = calloc(n, sizeof(pyexec_code *))};
    return k->codes.chains == NULL ? -1 : 0;
}

static void
free_code(pyexec_code *c, bool release)
{
    if (release) {
        Py_XDECREF(c->filename);
        Py_XDECREF(c->body);
        Py_XDECREF(c->tail);
    }
    free(c);
}

static void
unlink_use(pyexec_codes *t, pyexec_code *c)
{
    *(c->newer != NULL ? &c->newer->older : &t->newest) = c->older;
    *(c->older != NULL ? &c->older->newer : &t->oldest) = c->newer;
}

static void
link_newest(pyexec_codes *t, pyexec_code *c)
{
    c->newer = NULL;
    c->older = t->newest;
    *(t->newest != NULL ? &t->newest->newer : &t->oldest) = c;
    t->newest = c;
}

static void
drop_oldest(pyexec_codes *t)
{
    pyexec_code *c = t->oldest;
    pyexec_code **link = &t->chains[c->hash & t->mask];
    while (*link != c) {
        link = &(*link)->next;
    }
    *link = c->next;
    unlink_use(t, c);
    t->count--;
    t->bytes -= c->code_len;
    t->evictions++;
    free_code(c, true);
}

void
pyexec_codes_clear(pyexec_kernel *k, bool release)
{
    pyexec_codes *t = &k->codes;
    pyexec_code *next = NULL;
    for (pyexec_code *c = t->newest; c != NULL; c = next) {
        next = c->older;
        free_code(c, release);
    }
    if (t->chains != NULL) {
        memset(t->chains, 0, (t->mask + 1) * sizeof *t->chains);
    }
    t->newest = t->oldest = NULL;
    t->count = t->bytes = 0;
}

/* compile(source, filename, mode, flags, dont_inherit=True); source is a str or a syntax tree */
static PyObject * /* new */
compile(pyexec_kernel *k, PyObject *source, PyObject *filename, const char *mode, int flags)
{
    return PyObject_CallFunction(k->builtin_compile, "OOsiO", source, filename, mode, flags, Py_True);
}

/* ---- does the source end in an expression? ----
 * Only then is the syntax tree needed, which costs as much again as compiling and has limits of its own. The text of the
 * last statement nearly always tells: it begins with a keyword that begins no expression, or is `name = ...`. In
 * doubt the answer is yes. */

static const char *const statements[] = {
    "def", "class", "if", "elif", "else", "for", "while", "try", "except", "finally", "with", "async", "import", "from",
    "return", "raise", "del", "pass", "assert", "global", "nonlocal", "break", "continue",
};

static bool
is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The last line that begins at column 0 with something that can begin a statement. */
static const char *
last_statement(const char *code, const char *end)
{
    for (const char *p = end; p > code;) {
        const char *line = p - 1;
        while (line > code && line[-1] != '\n') {
            line--;
        }
        if (is_word(*line)) {
            return line;
        }
        if (*line != ' ' && *line != '\t' && *line != '\n' && *line != '\r' && *line != '#') {
            return NULL;
        }
        p = line;
    }
    return NULL;
}

/* One simple or compound statement by itself: brackets balance, and nothing that could hide another statement. */
static bool
stands_alone(const char *p, const char *end)
{
    int depth = 0;
    for (; p < end; p++) {
        switch (*p) {
        case '(':
        case '[':
        case '{':
            depth++;
            break;
        case ')':
        case ']':
        case '}':
            if (--depth < 0) {
                return false;
            }
            break;
        case ';':
        case '\\':
            return false;
        case '#':
            while (p + 1 < end && p[1] != '\n') {
                p++;
            }
            break;
        case '"':
        case '\'': {
            const char quote = *p++;
            while (p < end && *p != quote && *p != '\n' && *p != '\\') {
                p++;
            }
            if (p >= end || *p != quote || (p + 1 < end && p[1] == quote)) {
                return false; /* an escape, or a string in triple quotes */
            }
            break;
        }
        default:
            break;
        }
    }
    return depth == 0;
}

static bool
may_end_in_expression(const char *code, const char *end)
{
    const char *p = last_statement(code, end);
    if (p == NULL || !stands_alone(p, end)) {
        return true;
    }
    if (memchr(code, '\r', (size_t)(end - code)) != NULL) {
        return true; /* by itself it ends a line, too */
    }
    if (p - code >= 2 && p[-2] == '\\') {
        return true; /* this line goes on with the one before */
    }
    const char *word = p;
    while (p < end && is_word(*p)) {
        p++;
    }
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (strlen(statements[i]) == (size_t)(p - word) && memcmp(statements[i], word, (size_t)(p - word)) == 0) {
            return false;
        }
    }
    while (p < end && *p == ' ') {
        p++;
    }
    return !(p + 1 < end && p[0] == '=' && p[1] != '=');
}

/* A SyntaxError found after parsing has its line only if a file of that name exists; the line is here. */
static void
add_source_line(pyexec_code *c)
{
    if (!PyErr_ExceptionMatches(PyExc_SyntaxError)) {
        return;
    }
    PyObject *exc = pyexec_take_exception(); /* new */
    PyObject *lineno = NULL, *text = NULL, *line = NULL;
    lineno = PyObject_GetAttrString(exc, "lineno");
    text = PyObject_GetAttrString(exc, "text");
    if (lineno == NULL || text == NULL || text != Py_None || !PyLong_Check(lineno)) {
        goto done;
    }
    long n = PyLong_AsLong(lineno);
    const char *p = c->code, *end = c->code + c->code_len;
    while (n > 1 && p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        p = nl == NULL ? end : nl + 1;
        n--;
    }
    if (n != 1 || p >= end) {
        goto done;
    }
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    line = PyUnicode_DecodeUTF8(p, (nl == NULL ? end : nl + 1) - p, "replace"); /* new */
    if (line != NULL) {
        PyObject_SetAttrString(exc, "text", line);
    }

done:
    PyErr_Clear();
    Py_XDECREF(lineno);
    Py_XDECREF(text);
    Py_XDECREF(line);
    pyexec_restore_exception(exc); /* stolen */
}

static int
compile_both(pyexec_kernel *k, pyexec_code *c)
{
    int result = -1;
    PyObject *source = NULL, *tree = NULL, *body = NULL, *last = NULL, *value = NULL, *expression = NULL;

    c->filename = PyUnicode_DecodeUTF8(c->name, (Py_ssize_t)c->name_len, "replace"); /* new */
    /* Strict: Go strings can hold anything. CPython itself would report the offset as an opaque "(unicode error)". */
    size_t mark = c->code_len >= 3 && memcmp(c->code, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a file may begin with one */
    source = PyUnicode_DecodeUTF8(c->code + mark, (Py_ssize_t)(c->code_len - mark), NULL);
    if (c->filename == NULL || source == NULL) {
        goto done;
    }
    if (!may_end_in_expression(c->code, c->code + c->code_len)) {
        c->body = compile(k, source, c->filename, "exec", 0);
        result = c->body == NULL ? -1 : 0;
        goto done;
    }
    tree = compile(k, source, c->filename, "exec", PyCF_ONLY_AST);
    if (tree == NULL) {
        goto done;
    }
    body = PyObject_GetAttr(tree, k->str_body); /* new: a list */
    if (body == NULL || !PyList_CheckExact(body)) {
        goto done;
    }
    Py_ssize_t n = PyList_GET_SIZE(body);
    last = n == 0 ? NULL : Py_NewRef(PyList_GET_ITEM(body, n - 1));
    int flags = 0;
    if (last == NULL || (PyObject *)Py_TYPE(last) != k->ast_expr) {
        c->body = compile(k, tree, c->filename, "exec", 0);
        result = c->body == NULL ? -1 : 0;
        goto done;
    }
    value = PyObject_GetAttr(last, k->str_value);
    if (value == NULL || PyList_SetSlice(body, n - 1, n, NULL) < 0) {
        goto done;
    }
    expression = PyObject_CallOneArg(k->ast_expression, value);
    if (expression == NULL) {
        goto done;
    }
    if (n > 1) {
        c->body = compile(k, tree, c->filename, "exec", 0);
        if (c->body == NULL) {
            goto done;
        }
        flags = ((PyCodeObject *)c->body)->co_flags & PyCF_MASK; /* from __future__ import ... */
    }
    c->tail = compile(k, expression, c->filename, "eval", flags);
    result = c->tail == NULL ? -1 : 0;

done:
    if (result < 0 && tree != NULL && PyErr_ExceptionMatches(PyExc_RecursionError)) {
        /* Trees as objects may nest less deep than source may: do without the value. */
        PyErr_Clear();
        Py_CLEAR(c->tail);
        Py_XSETREF(c->body, compile(k, source, c->filename, "exec", 0));
        result = c->body == NULL ? -1 : 0;
    }
    Py_XDECREF(source);
    Py_XDECREF(tree);
    Py_XDECREF(body);
    Py_XDECREF(last);
    Py_XDECREF(value);
    Py_XDECREF(expression);
    if (result < 0) {
        add_source_line(c);
    }
    return result;
}

static pyexec_code *
new_code(uint64_t hash, const char *name, size_t name_len, const char *code, size_t code_len)
{
    pyexec_code *c = malloc(sizeof *c + name_len + code_len + 2);
    if (c == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *c = (pyexec_code){.hash = hash, .name_len = name_len, .code_len = code_len};
    c->name = (char *)(c + 1);
    c->code = c->name + name_len + 1;
    if (name_len > 0) {
        memcpy(c->name, name, name_len);
    }
    if (code_len > 0) {
        memcpy(c->code, code, code_len);
    }
    c->name[name_len] = c->code[code_len] = '\0';
    return c;
}

pyexec_code *
pyexec_code_get(pyexec_kernel *k, uint64_t hash, const char *name, size_t name_len, const char *code, size_t code_len)
{
    pyexec_codes *t = &k->codes;
    for (pyexec_code *c = t->chains[hash & t->mask]; c != NULL; c = c->next) {
        if (c->hash == hash && c->code_len == code_len && c->name_len == name_len &&
            memcmp(c->code, code, code_len) == 0 && memcmp(c->name, name, name_len) == 0) {
            if (c != t->newest) {
                unlink_use(t, c);
                link_newest(t, c);
            }
            return c;
        }
    }

    k->reply.flags |= PYEXEC_COMPILED;
    pyexec_code *c = new_code(hash, name, name_len, code, code_len);
    if (c == NULL) {
        return NULL;
    }
    if (compile_both(k, c) < 0) {
        PyObject *exc = pyexec_take_exception(); /* new: the release below must not disturb it */
        free_code(c, true);
        pyexec_restore_exception(exc); /* stolen */
        return NULL;
    }
    c->computes = pyexec_computes(c);
    c->brief = pyexec_is_brief(c);
    while (t->count > 0 && (t->count >= k->config.cache_entries || t->bytes + code_len > k->config.cache_bytes)) {
        drop_oldest(t);
    }
    c->next = t->chains[hash & t->mask];
    t->chains[hash & t->mask] = c;
    link_newest(t, c);
    t->count++;
    t->bytes += code_len;
    return c;
}
