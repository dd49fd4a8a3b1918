/* reset.c: the one loop that puts back what a snippet has changed. The table it goes through is in rows.c. */
#include "compat.h"

#include "kernel.h"

enum { ROUNDS = 4 };

int
pyexec_reset_init(pyexec_kernel *k)
{
    if (pyexec_words_init(k) < 0) {
        return -1;
    }
    for (size_t i = 0; i < pyexec_row_count(); i++) {
        if (pyexec_rows[i].snapshot != NULL && pyexec_rows[i].snapshot(k, &pyexec_rows[i], &k->rows[i]) < 0) {
            return -1;
        }
    }
    pyexec_watch_accept(k);
    return pyexec_watch_environ(k);
}

void
pyexec_reset_clear(pyexec_kernel *k)
{
    for (size_t i = 0; i < pyexec_row_count(); i++) {
        Py_CLEAR(k->rows[i].owner);
        Py_CLEAR(k->rows[i].key);
        Py_CLEAR(k->rows[i].object);
        Py_CLEAR(k->rows[i].contents);
    }
    Py_CLEAR(k->environ_vars);
    Py_CLEAR(k->line_cache);
    pyexec_registries_clear(k);
    pyexec_numpy_clear(k);
    pyexec_classes_clear(k);
    pyexec_modules_clear(k);
    pyexec_words_clear(k);
    pyexec_objects_clear(k);
    pyexec_watch_clear(k);
}

void
pyexec_reset_before(pyexec_kernel *k)
{
    if (__builtin_expect(!pyexec_watch_environ_quiet(k), 0)) {
        pyexec_environ_adopt(k);
    }
}

static void
settled(pyexec_kernel *k)
{
    pyexec_modules_import_again(k);
    if (k->known.stale) {
        pyexec_known_renew(k);
    }
}

/* Releasing what a snippet had put somewhere can run its finalizers, which can change things again: so rows are looked
 * at until a whole round finds nothing, and a snippet that always finds something taints the interpreter. */
void
pyexec_reset_after(pyexec_kernel *k)
{
    const pyexec_row *last = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        if (pyexec_watch_quiet(k)) {
            settled(k);
            return;
        }
        last = NULL;
        k->burying = round == ROUNDS - 1;
        PyGC_Disable(); /* a finalizer may have enabled it */
        for (size_t i = 0; i < pyexec_row_count(); i++) {
            int rc = pyexec_rows[i].restore == NULL ? 0 : pyexec_rows[i].restore(k, &pyexec_rows[i], &k->rows[i]);
            if (rc < 0) {
                PyErr_Clear();
                pyexec_taint(k, "%s could not be put back", pyexec_rows[i].name);
            }
            PyErr_Clear(); /* a look-up among a snippet's own objects can leave one */
            if (rc != 0) {
                last = &pyexec_rows[i];
            }
        }
        pyexec_watch_accept(k);
        if (last == NULL && !k->gc_unsettled) {
            k->burying = false;
            settled(k);
            return;
        }
        pyexec_gc_collect(k); /* what only the changed state had kept alive */
    }
    k->burying = false;
    if (last != NULL) {
        pyexec_taint(k, "%s changes again each time it is put back", last->name);
    }
}
