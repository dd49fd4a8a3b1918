/* watch.c: has anything changed that the reset table cares about? Asked after every call, so the answer "no" must cost
 * next to nothing: a flag (or a few version tags) for all dicts, pointer compares for the items of lists, and pointer
 * compares for the C environ, which also sees os.putenv. A "yes" only means that the table is to look closely. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

#ifdef PYEXEC_DICT_WATCHERS
/* For the process: a watcher's callback is given no room for a pointer of ours, and one interpreter with a kernel lives in
 * a process at a time. Written and read with the GIL held. The first few changed dicts are remembered by address. */
enum { REMEMBERED = 64 };
static size_t changed_count = 0;
static PyObject *changed[REMEMBERED];

static int
on_dict(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *value)
{
    (void)event;
    (void)key;
    (void)value;
    for (size_t i = 0; i < changed_count && i < REMEMBERED; i++) {
        if (changed[i] == dict) {
            return 0;
        }
    }
    if (changed_count < REMEMBERED) {
        changed[changed_count] = dict;
    }
    changed_count++;
    return 0;
}
#endif

Py_ssize_t
pyexec_watch_dict(pyexec_kernel *k, PyObject *dict)
{
    pyexec_watch *w = &k->watch;
    for (size_t i = 0; i < w->ndicts; i++) {
        if (w->dicts[i].dict == dict) {
            return (Py_ssize_t)i;
        }
    }
    if (w->ndicts == w->dicts_cap) {
        size_t cap = w->dicts_cap == 0 ? 128 : w->dicts_cap * 2;
        pyexec_watched *dicts = realloc(w->dicts, cap * sizeof *dicts);
        if (dicts == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        w->dicts = dicts;
        w->dicts_cap = cap;
    }
#ifdef PYEXEC_DICT_WATCHERS
    if (w->ndicts == 0) {
        w->watcher = PyDict_AddWatcher(on_dict);
        if (w->watcher < 0) {
            return -1;
        }
    }
    if (PyDict_Watch(w->watcher, dict) < 0) {
        return -1;
    }
#else
    w->dicts[w->ndicts].version = pyexec_dict_version(dict);
#endif
    w->dicts[w->ndicts].dict = Py_NewRef(dict);
    return (Py_ssize_t)w->ndicts++;
}

bool
pyexec_watch_dict_changed(pyexec_kernel *k, size_t index)
{
#ifdef PYEXEC_DICT_WATCHERS
    for (size_t i = 0; i < changed_count && i < REMEMBERED; i++) {
        if (changed[i] == k->watch.dicts[index].dict) {
            return true;
        }
    }
    return changed_count > REMEMBERED; /* more than were remembered: any */
#else
    return pyexec_dict_version(k->watch.dicts[index].dict) != k->watch.dicts[index].version;
#endif
}

void
pyexec_watch_dict_accept(pyexec_kernel *k, size_t index)
{
#ifdef PYEXEC_DICT_WATCHERS
    for (size_t i = 0; changed_count <= REMEMBERED && i < changed_count; i++) {
        if (changed[i] == k->watch.dicts[index].dict) {
            changed[i] = changed[--changed_count];
        }
    }
#else
    k->watch.dicts[index].version = pyexec_dict_version(k->watch.dicts[index].dict);
#endif
}

bool
pyexec_watch_dicts_quiet(pyexec_kernel *k)
{
#ifdef PYEXEC_DICT_WATCHERS
    (void)k;
    return changed_count == 0;
#else
    /* no branch for each: the loads then overlap */
    uint64_t differs = 0;
    const pyexec_watched *end = k->watch.dicts + k->watch.ndicts;
    for (const pyexec_watched *w = k->watch.dicts; w < end; w++) {
        differs |= pyexec_dict_version(w->dict) ^ w->version;
    }
    return differs == 0;
#endif
}

int
pyexec_watch_list(pyexec_kernel *k, PyObject *list, PyObject *items)
{
    pyexec_watch *w = &k->watch;
    if (w->nlists == PYEXEC_MAX_LISTS) {
        PyErr_SetString(PyExc_SystemError, "pyexec: PYEXEC_MAX_LISTS is too small");
        return -1;
    }
    w->lists[w->nlists].list = (PyListObject *)Py_NewRef(list);
    w->lists[w->nlists].items = (PyTupleObject *)Py_NewRef(items);
    w->nlists++;
    return 0;
}

int
pyexec_watch_slot(pyexec_kernel *k, PyObject **at)
{
    pyexec_watch *w = &k->watch;
    if (at == NULL || w->nslots == PYEXEC_MAX_SLOTS) {
        PyErr_SetString(PyExc_SystemError, "pyexec: nothing to watch, or PYEXEC_MAX_SLOTS is too small");
        return -1;
    }
    w->slots[w->nslots].at = at;
    w->slots[w->nslots++].value = Py_NewRef(*at);
    return 0;
}

bool
pyexec_watch_environ_quiet(pyexec_kernel *k)
{
    pyexec_watch *w = &k->watch;
    if (environ != w->environ_base) {
        return false;
    }
    if (environ == NULL) {
        return true;
    }
    /* The array at this address had room for as many once, and never gets less: the C library only moves it. */
    return memcmp(environ, w->environ_items, (w->environ_n + 1) * sizeof *environ) == 0;
}

bool
pyexec_watch_quiet(pyexec_kernel *k)
{
    pyexec_watch *w = &k->watch;
    if (!pyexec_watch_dicts_quiet(k)) {
        return false;
    }
    for (size_t i = 0; i < w->nlists; i++) {
        Py_ssize_t n = PyTuple_GET_SIZE(w->lists[i].items);
        if (PyList_GET_SIZE(w->lists[i].list) != n ||
            (n > 0 && memcmp(w->lists[i].list->ob_item, w->lists[i].items->ob_item, (size_t)n * sizeof(void *)) != 0)) {
            return false;
        }
    }
    for (size_t i = 0; i < w->nslots; i++) {
        if (*w->slots[i].at != w->slots[i].value) {
            return false;
        }
    }
    return pyexec_settings_quiet(k) && pyexec_watch_environ_quiet(k);
}

int
pyexec_watch_environ(pyexec_kernel *k)
{
    pyexec_watch *w = &k->watch;
    size_t n = 0;
    while (environ != NULL && environ[n] != NULL) {
        n++;
    }
    char **items = realloc(w->environ_items, (n + 1) * sizeof *items);
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (environ != NULL) {
        memcpy(items, environ, n * sizeof *items);
    }
    items[n] = NULL;
    w->environ_items = items;
    w->environ_base = environ;
    w->environ_n = n;
    return 0;
}

void
pyexec_watch_accept(pyexec_kernel *k)
{
#ifdef PYEXEC_DICT_WATCHERS
    changed_count = 0;
#else
    for (size_t i = 0; i < k->watch.ndicts; i++) {
        pyexec_watch_dict_accept(k, i);
    }
#endif
    pyexec_settings_accept(k);
    if (!pyexec_watch_environ_quiet(k) && pyexec_watch_environ(k) < 0) {
        PyErr_Clear();
        pyexec_taint(k, "out of memory while the environment was put back");
    }
}

void
pyexec_watch_clear(pyexec_kernel *k)
{
    pyexec_watch *w = &k->watch;
#ifdef PYEXEC_DICT_WATCHERS
    for (size_t i = 0; i < w->ndicts; i++) {
        if (PyDict_Unwatch(w->watcher, w->dicts[i].dict) < 0) {
            PyErr_Clear();
        }
    }
    if (w->ndicts > 0 && PyDict_ClearWatcher(w->watcher) < 0) {
        PyErr_Clear();
    }
#endif
    for (size_t i = 0; i < w->ndicts; i++) {
        Py_CLEAR(w->dicts[i].dict);
    }
    free(w->dicts);
    for (size_t i = 0; i < w->nlists; i++) {
        Py_CLEAR(w->lists[i].list);
        Py_CLEAR(w->lists[i].items);
    }
    for (size_t i = 0; i < w->nslots; i++) {
        Py_CLEAR(w->slots[i].value);
    }
    free(w->environ_items);
    *w = (pyexec_watch){0};
}
