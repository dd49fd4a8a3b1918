/* undos.c: what attributes were before a snippet set them, kept until they are put back.
 *
 * An entry refers to its object weakly: what the snippet made itself is gone when the entries are looked at, and its
 * entries are void. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>

/* Where the entry is in the index, or where it would be. */
static size_t
place_of(const pyexec_undos *u, PyObject *object, PyObject *name)
{
    size_t at = (((uintptr_t)object >> 4) * 31 ^ (size_t)PyObject_Hash(name)) & u->mask;
    for (; u->index[at] != 0; at = (at + 1) & u->mask) {
        const pyexec_undo *e = &u->items[u->index[at] - 1];
        if (e->object == object && (e->name == name || PyUnicode_Compare(e->name, name) == 0)) {
            break;
        }
    }
    return at;
}

pyexec_undo *
pyexec_undos_find(const pyexec_undos *u, PyObject *object, PyObject *name)
{
    uint32_t i = u->index == NULL ? 0 : u->index[place_of(u, object, name)];
    return i == 0 ? NULL : &u->items[i - 1];
}

bool
pyexec_undo_is_alive(const pyexec_undo *e)
{
    PyObject *v = NULL;
    if (!PyWeakref_Check(e->ref)) {
        return true; /* it can have no weak references: held for itself */
    }
    bool alive = pyexec_weakref_get(e->ref, &v) == 1 && v == e->object;
    Py_XDECREF(v);
    PyErr_Clear();
    return alive;
}

static void
drop(const pyexec_undo *e)
{
    Py_DECREF(e->ref);
    Py_DECREF(e->name);
    Py_XDECREF(e->old);
    Py_XDECREF(e->contents);
}

/* Void entries go: with ResetNone, nobody else throws them out. */
static int
make_room(pyexec_undos *u)
{
    pyexec_undos old = *u;
    size_t alive = 0;
    for (size_t i = 0; i < old.n; i++) {
        alive += pyexec_undo_is_alive(&old.items[i]) ? 1 : 0;
    }
    size_t cap = old.cap == 0 ? 32 : alive < old.cap / 2 ? old.cap : old.cap * 2;
    pyexec_undo *items = malloc(cap * sizeof *items);
    uint32_t *index = calloc(cap * 2, sizeof *index);
    if (items == NULL || index == NULL) {
        free(items);
        free(index);
        return -1;
    }
    *u = (pyexec_undos){items, index, 0, cap, cap * 2 - 1};
    for (size_t i = 0; i < old.n; i++) {
        pyexec_undo *e = &old.items[i];
        if (pyexec_undo_is_alive(e)) {
            items[u->n++] = *e;
            index[place_of(u, e->object, e->name)] = (uint32_t)u->n;
            e->ref = NULL;
        }
    }
    for (size_t i = 0; i < old.n; i++) { /* last: this can run finalizers, which can come back here */
        if (old.items[i].ref != NULL) {
            drop(&old.items[i]);
        }
    }
    free(old.items);
    free(old.index);
    return 0;
}

static pyexec_undo
make_entry(uint8_t kind, PyObject *object, PyObject *name, PyObject *old /* borrowed, may be NULL */, bool handed_out)
{
    PyObject *ref = PyWeakref_NewRef(object, NULL); /* new */
    if (ref == NULL) {
        PyErr_Clear();
        ref = Py_NewRef(object);
    }
    pyexec_undo e = {kind, object, ref, Py_NewRef(name), handed_out ? NULL : Py_XNewRef(old), NULL};
    if (old != NULL && PyDict_CheckExact(old)) {
        e.contents = PyDict_Copy(old); /* new */
    }
    return e;
}

/* True if what was there is kept already. */
static bool
is_kept(pyexec_undo *e /* may be NULL */, PyObject *old, bool handed_out)
{
    if (e == NULL || !pyexec_undo_is_alive(e)) {
        return false;
    }
    if (e->old == NULL && e->contents != NULL && !handed_out) {
        e->old = Py_XNewRef(old);
    }
    return true;
}

int
pyexec_undos_keep(pyexec_undos *u, uint8_t kind, PyObject *object, PyObject *name, PyObject *old, bool handed_out)
{
    if (is_kept(pyexec_undos_find(u, object, name), old, handed_out)) {
        return 0;
    }
    pyexec_undo entry = make_entry(kind, object, name, old, handed_out);
    if (PyErr_Occurred()) { /* what is in a dict could not be kept */
        drop(&entry);
        return -1;
    }
    while (u->n == u->cap) {
        if (make_room(u) < 0) {
            drop(&entry);
            PyErr_NoMemory();
            return -1;
        }
    }
    /* Only now, for both have allocated, and where that ran the collector, finalizers may have come here meanwhile. */
    pyexec_undo *e = pyexec_undos_find(u, object, name);
    pyexec_undo unused = entry;
    if (e == NULL) {
        u->items[u->n++] = entry;
        u->index[place_of(u, object, name)] = (uint32_t)u->n;
        return 0;
    }
    if (!is_kept(e, old, handed_out)) { /* of an object that had this address before */
        unused = *e;
        *e = entry;
    }
    drop(&unused);
    return 0;
}

void
pyexec_undos_free(pyexec_undos *u)
{
    pyexec_undos all = *u;
    *u = (pyexec_undos){0};
    for (size_t i = 0; i < all.n; i++) {
        drop(&all.items[i]);
    }
    free(all.items);
    free(all.index);
}
