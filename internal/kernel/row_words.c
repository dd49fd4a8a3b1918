/* row_words.c: locks and counters of modules, whose state is a word in the struct of an object made in C.
 *
 * A lock that a snippet leaves acquired would stop the next one for good; a counter gives out names like Thread-7, which
 * tell how many there were before. Which word has the state, and in which bits, is found by trying, for what is in these
 * structs is CPython's own affair. */
#include "compat.h"

#include "kernel.h"

#include <string.h>

enum { WORDS = 16 };

static uintptr_t *
words(PyObject *v, size_t *n)
{
    *n = ((size_t)Py_TYPE(v)->tp_basicsize - sizeof(PyObject)) / sizeof(uintptr_t);
    *n = *n < WORDS ? *n : WORDS;
    return (uintptr_t *)(v + 1);
}

/* The last of the words that a method changes: of a recursive lock, how often it is held, and not by whom; from 3.14 on,
 * which counts from its second time, by whom. */
static int
learn(pyexec_word_kind *kind, PyObject *v /* stolen, may be NULL */, const char *method, const char *undo)
{
    uintptr_t before[WORDS];
    size_t n = 0;
    if (v == NULL) {
        return -1;
    }
    uintptr_t *now = words(v, &n);
    memcpy(before, now, n * sizeof *now);
    PyObject *r = PyObject_CallMethod(v, method, NULL); /* new */
    for (size_t i = 0; r != NULL && i < n; i++) {
        if (now[i] != before[i]) {
            Py_XSETREF(kind->type, (PyTypeObject *)Py_NewRef(Py_TYPE(v)));
            kind->at = i;
            kind->mask = now[i] ^ before[i];
        }
    }
    if (r != NULL && undo != NULL) {
        Py_SETREF(r, PyObject_CallMethod(v, undo, NULL));
    }
    int rc = r == NULL ? -1 : 0;
    Py_XDECREF(r);
    Py_DECREF(v);
    return rc;
}

int
pyexec_words_init(pyexec_kernel *k)
{
    pyexec_word_kind *kinds = k->objects.words;
    PyObject *thread = PyImport_ImportModule("_thread");      /* new */
    PyObject *itertools = PyImport_ImportModule("itertools"); /* new */
    int rc = -1;
    if (thread != NULL && itertools != NULL &&
        learn(&kinds[0], PyObject_CallMethod(thread, "allocate_lock", NULL), "acquire", "release") == 0 &&
        learn(&kinds[1], PyObject_CallMethod(thread, "RLock", NULL), "acquire", "release") == 0 &&
        learn(&kinds[2], PyObject_CallMethod(itertools, "count", "n", (Py_ssize_t)5), "__next__", NULL) == 0) {
        kinds[1].mask = kinds[2].mask = UINTPTR_MAX;
        rc = 0;
    }
    Py_XDECREF(thread);
    Py_XDECREF(itertools);
    return rc;
}

/* NULL: it has none. */
uintptr_t *
pyexec_word_of(pyexec_kernel *k, PyObject *v, uintptr_t *mask)
{
    for (size_t i = 0; i < sizeof k->objects.words / sizeof *k->objects.words; i++) {
        const pyexec_word_kind *kind = &k->objects.words[i];
        if (Py_TYPE(v) == kind->type) {
            size_t n = 0;
            uintptr_t *word = words(v, &n) + kind->at;
            *mask = kind->mask;
            return i == 2 && *word == PY_SSIZE_T_MAX ? NULL : word; /* one that counts otherwise than by ones, see there */
        }
    }
    return NULL;
}

/* Whoever holds it is gone: the threads of the snippet have been stopped before. */
static int
put_lock_back(PyObject *lock, uintptr_t *word, bool recursive, uintptr_t held)
{
    PyObject *r = NULL;
    if (held == 0) {
        if (recursive && PYEXEC_RLOCK_HAS_OWNER) {
            *word = (uintptr_t)PyThread_get_thread_ident();
        }
        r = PyObject_CallMethod(lock, recursive ? "_release_save" : "release", NULL); /* new */
    }
    else if (!recursive) {
        r = PyObject_CallMethod(lock, "acquire", "O", Py_False); /* new */
    }
    if (r == NULL) {
        PyErr_Clear();
        return -1;
    }
    Py_DECREF(r);
    return 0;
}

int
pyexec_word_restore(pyexec_kernel *k, PyObject *v, size_t watch)
{
    const pyexec_watched_word *w = &k->watch.words[watch];
    if (Py_TYPE(v) == k->objects.words[2].type) {
        *w->at = w->value;
        return 0;
    }
    return put_lock_back(v, w->at, Py_TYPE(v) == k->objects.words[1].type, w->value & w->mask);
}

void
pyexec_release_made_locks(pyexec_kernel *k)
{
    const pyexec_word_kind *kinds = k->objects.words;
    PyObject *made = pyexec_gc_made(k); /* new */
    for (Py_ssize_t i = 0; made != NULL && i < PyList_GET_SIZE(made); i++) {
        PyObject *v = PyList_GET_ITEM(made, i); /* borrowed */
        uintptr_t mask = 0, *word = pyexec_word_of(k, v, &mask);
        if (Py_TYPE(v) != kinds[2].type && word != NULL && (*word & mask) != 0) {
            (void)put_lock_back(v, word, Py_TYPE(v) == kinds[1].type, 0); /* it may have been released meanwhile */
        }
        else if (strcmp(Py_TYPE(v)->tp_name, "_queue.SimpleQueue") == 0) { /* which has its lock for itself */
            PyObject *r = PyObject_CallMethod(v, "put", "O", Py_None); /* new */
            PyErr_Clear();
            Py_XDECREF(r);
        }
    }
    Py_XDECREF(made);
}

void
pyexec_words_clear(pyexec_kernel *k)
{
    for (size_t i = 0; i < sizeof k->objects.words / sizeof *k->objects.words; i++) {
        Py_CLEAR(k->objects.words[i].type);
    }
}
