/* gc.c: what a snippet leaves as garbage is gone before the next one runs.
 *
 * A class, or a list that holds itself, survives its namespace until the collector comes by; until then the next
 * snippet can find it (object.__subclasses__(), gc.get_objects()), and its finalizers would run in somebody else's
 * call. A collection after each call would cost more than the call. So everything that exists before a call is moved
 * out of the collector's sight (gc.freeze), and a mark, an object of our own, is put last in the list of young objects.
 * If after the call nothing follows the mark, nothing survived: two loads and a compare. If something does, the few
 * survivors are collected, and what is still alive then (an imported module, a cache) is frozen too. */
#include "compat.h"

#include "kernel.h"

static int
call(PyObject *function)
{
    PyObject *r = function == NULL ? NULL : PyObject_CallNoArgs(function); /* new; NULL if the start failed */
    if (r == NULL) {
        PyErr_Clear();
        return -1;
    }
    Py_DECREF(r);
    return 0;
}

/* Freeze everything but the mark. */
static void
freeze(pyexec_kernel *k)
{
    PyObject_GC_UnTrack(k->gc_young);
    call(k->gc_freeze);
    PyObject_GC_Track(k->gc_young);
    k->gc_young_end = pyexec_gc_next(k->gc_young);
    k->gc_mixed = false;
}

int
pyexec_gc_init(pyexec_kernel *k)
{
    k->gc_young = PyList_New(0); /* new */
    if (k->gc_young == NULL || call(k->gc_collect) < 0) {
        return -1;
    }
    freeze(k);
    return 0;
}

/* What there is now, is there for good. */
void
pyexec_gc_keep(pyexec_kernel *k)
{
    freeze(k);
}

void
pyexec_gc_mark(pyexec_kernel *k)
{
    if (__builtin_expect(pyexec_gc_next(k->gc_young) == k->gc_young_end, 1)) {
        return; /* it is last already */
    }
    PyObject_GC_UnTrack(k->gc_young);
    PyObject_GC_Track(k->gc_young);
}

static void
collect(pyexec_kernel *k)
{
    PyObject *debug = pyexec_gc_quiet(k); /* new */
    if (k->gc_mixed) {
        call(k->gc_unfreeze); /* the snippet called gc.freeze or gc.unfreeze: look at everything */
    }
    call(k->gc_collect);
    pyexec_gc_loud(k, debug); /* stolen */
}

/* What survives is not frozen yet: the reset may be about to drop what keeps it alive, and a cycle that is frozen is never
 * found again. */
void
pyexec_gc_sweep(pyexec_kernel *k)
{
    if (__builtin_expect(pyexec_gc_next(k->gc_young) == k->gc_young_end && !k->gc_mixed, 1)) {
        return;
    }
    collect(k);
    k->gc_unsettled = true;
}

/* All that there was before is frozen, and not in gc.get_objects; unless the snippet called gc.unfreeze. */
PyObject *
pyexec_gc_made(pyexec_kernel *k)
{
    PyObject *made = k->gc_mixed ? NULL : PyObject_CallNoArgs(k->gc_get_objects); /* new */
    PyErr_Clear();
    return made;
}

void
pyexec_gc_collect(pyexec_kernel *k)
{
    collect(k);
    freeze(k);
    k->gc_unsettled = false;
}

void
pyexec_gc_settle(pyexec_kernel *k)
{
    if (__builtin_expect(k->gc_unsettled, 0)) {
        freeze(k);
        k->gc_unsettled = false;
    }
}

void
pyexec_gc_full(pyexec_kernel *k)
{
    call(k->gc_unfreeze);
    call(k->gc_collect);
    freeze(k);
}

/* The collections of Py_FinalizeEx do not look at frozen objects: whatever is in cycles there would never be freed. */
void
pyexec_gc_thaw(pyexec_kernel *k)
{
    call(k->gc_unfreeze);
}

/* gc.freeze and gc.unfreeze, whoever calls them: what is frozen is not only what was there before the call any more. */
static PyObject *
on_freeze(const pyexec_call *c)
{
    c->k->gc_mixed = true;
    return pyexec_real(c);
}

int
pyexec_gc_touch(pyexec_kernel *k)
{
    static const pyexec_touch freeze = {NULL, "gc", NULL, "freeze", on_freeze, NULL, NULL, NULL, {0}};
    static const pyexec_touch unfreeze = {NULL, "gc", NULL, "unfreeze", on_freeze, NULL, NULL, NULL, {0}};
    return pyexec_touch_add(k, &freeze) < 0 ? -1 : pyexec_touch_add(k, &unfreeze);
}
