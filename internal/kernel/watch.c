/* watch.c: has anything changed that the reset table cares about? Asked after every call, so the answer "no" must cost
 * next to nothing: a flag (or a few version tags) for all dicts, pointer compares for the items of lists, and pointer
 * compares for the C environ, which also sees os.putenv. A "yes" only means that the table is to look closely. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

enum { AHEAD = 8 }; /* how far before its turn what is to be compared is asked for from memory */

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

/* Room for one more of what is watched, and its index; NULL with an exception set if there is no memory. */
static void *
grow(void **array, size_t n, size_t *cap, size_t size)
{
    if (n == *cap) {
        size_t more = *cap == 0 ? 64 : *cap * 2;
        void *bigger = realloc(*array, more * size);
        if (bigger == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        *array = bigger;
        *cap = more;
    }
    return (char *)*array + n * size;
}

#define GROW(w, what) grow((void **)&(w)->what, (w)->n##what, &(w)->what##_cap, sizeof *(w)->what)

Py_ssize_t
pyexec_watch_dict(pyexec_kernel *k, PyObject *dict)
{
    pyexec_watch *w = &k->watch;
    pyexec_watched_dict *d = GROW(w, dicts);
    if (d == NULL) {
        return -1;
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
    d->version = pyexec_dict_version(dict);
#endif
    d->dict = Py_NewRef(dict);
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

static bool
dicts_quiet(const pyexec_watch *w)
{
#ifdef PYEXEC_DICT_WATCHERS
    (void)w;
    return changed_count == 0;
#else
    /* no branch for each: the loads then overlap */
    uint64_t differs = 0;
    for (const pyexec_watched_dict *d = w->dicts, *end = d + w->ndicts; d < end; d++) {
        if (end - d > AHEAD) {
            __builtin_prefetch(d[AHEAD].dict);
        }
        differs |= pyexec_dict_version(d->dict) ^ d->version;
    }
    return differs == 0;
#endif
}

Py_ssize_t
pyexec_watch_list(pyexec_kernel *k, PyObject *list, PyObject *items)
{
    pyexec_watched_list *l = GROW(&k->watch, lists);
    if (l == NULL) {
        return -1;
    }
    l->list = (PyListObject *)Py_NewRef(list);
    l->items = (PyTupleObject *)Py_NewRef(items);
    return (Py_ssize_t)k->watch.nlists++;
}

static inline bool
list_changed(const pyexec_watched_list *l)
{
    Py_ssize_t n = PyTuple_GET_SIZE(l->items);
    return PyList_GET_SIZE(l->list) != n ||
           (n > 0 && memcmp(l->list->ob_item, l->items->ob_item, (size_t)n * sizeof(PyObject *)) != 0);
}

bool
pyexec_watch_list_changed(pyexec_kernel *k, size_t index)
{
    return list_changed(&k->watch.lists[index]);
}

int
pyexec_watch_list_accept(pyexec_kernel *k, size_t index, PyObject *items)
{
    Py_SETREF(k->watch.lists[index].items, (PyTupleObject *)Py_NewRef(items));
    return 0;
}

Py_ssize_t
pyexec_watch_set(pyexec_kernel *k, PyObject *set)
{
    pyexec_watched_set *s = GROW(&k->watch, sets);
    if (s == NULL) {
        return -1;
    }
    *s = (pyexec_watched_set){.set = (PySetObject *)set};
    if (pyexec_watch_set_accept(k, k->watch.nsets) < 0) {
        return -1;
    }
    Py_INCREF(set);
    return (Py_ssize_t)k->watch.nsets++;
}

static inline bool
set_changed(const pyexec_watched_set *s)
{
    return s->set->used != s->used || s->set->fill != s->fill || s->set->mask != s->mask ||
           memcmp(s->set->table, s->entries, (size_t)(s->mask + 1) * sizeof(setentry)) != 0;
}

bool
pyexec_watch_set_changed(pyexec_kernel *k, size_t index)
{
    return set_changed(&k->watch.sets[index]);
}

int
pyexec_watch_set_accept(pyexec_kernel *k, size_t index)
{
    pyexec_watched_set *s = &k->watch.sets[index];
    size_t size = (size_t)(s->set->mask + 1) * sizeof(setentry);
    setentry *entries = realloc(s->entries, size);
    if (entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(entries, s->set->table, size);
    s->entries = entries;
    s->fill = s->set->fill;
    s->used = s->set->used;
    s->mask = s->set->mask;
    return 0;
}

Py_ssize_t
pyexec_watch_slot(pyexec_kernel *k, PyObject **at)
{
    pyexec_watched_slot *s = at == NULL ? NULL : GROW(&k->watch, slots);
    if (s == NULL) {
        return -1;
    }
    *s = (pyexec_watched_slot){at, Py_XNewRef(*at)};
    return (Py_ssize_t)k->watch.nslots++;
}

bool
pyexec_watch_slot_changed(pyexec_kernel *k, size_t index)
{
    return *k->watch.slots[index].at != k->watch.slots[index].value;
}

void
pyexec_watch_slot_accept(pyexec_kernel *k, size_t index)
{
    pyexec_watched_slot *s = &k->watch.slots[index];
    Py_XSETREF(s->value, Py_XNewRef(*s->at));
}

Py_ssize_t
pyexec_watch_word(pyexec_kernel *k, uintptr_t *at, uintptr_t mask)
{
    pyexec_watched_word *w = GROW(&k->watch, words);
    if (w == NULL) {
        return -1;
    }
    *w = (pyexec_watched_word){at, *at, mask};
    return (Py_ssize_t)k->watch.nwords++;
}

bool
pyexec_watch_word_changed(pyexec_kernel *k, size_t index)
{
    const pyexec_watched_word *w = &k->watch.words[index];
    return ((*w->at ^ w->value) & w->mask) != 0;
}

void
pyexec_watch_word_accept(pyexec_kernel *k, size_t index)
{
    k->watch.words[index].value = *k->watch.words[index].at;
}

bool
pyexec_watch_objects_quiet(pyexec_kernel *k)
{
    const pyexec_watch *w = &k->watch;
    if (!dicts_quiet(w)) {
        return false;
    }
    for (const pyexec_watched_list *l = w->lists, *end = l + w->nlists; l < end; l++) {
        if (end - l > AHEAD) {
            __builtin_prefetch(l[AHEAD].list);
            __builtin_prefetch(l[AHEAD].items);
            __builtin_prefetch(l[AHEAD / 2].list->ob_item);
        }
        if (list_changed(l)) {
            return false;
        }
    }
    for (const pyexec_watched_set *s = w->sets, *end = s + w->nsets; s < end; s++) {
        if (set_changed(s)) {
            return false;
        }
    }
    for (const pyexec_watched_slot *s = w->slots, *end = s + w->nslots; s < end; s++) {
        if (end - s > AHEAD) {
            __builtin_prefetch(s[AHEAD].at);
        }
        if (*s->at != s->value) {
            return false;
        }
    }
    uintptr_t differs = 0;
    for (const pyexec_watched_word *x = w->words, *end = x + w->nwords; x < end; x++) {
        differs |= (*x->at ^ x->value) & x->mask;
    }
    return differs == 0;
}

bool
pyexec_watch_glance(pyexec_kernel *k, size_t index)
{
#ifdef PYEXEC_DICT_WATCHERS
    (void)index;
    return dicts_quiet(&k->watch);
#else
    return !pyexec_watch_dict_changed(k, index);
#endif
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
    return pyexec_settings_quiet(k) && pyexec_watch_environ_quiet(k) && k->undos.n == 0 &&
           pyexec_watch_objects_quiet(k) && pyexec_objects_odd_quiet(k);
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
        if (pyexec_watch_dict_changed(k, i)) {
            pyexec_watch_dict_accept(k, i);
        }
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
    for (size_t i = 0; i < w->nlists; i++) {
        Py_CLEAR(w->lists[i].list);
        Py_CLEAR(w->lists[i].items);
    }
    for (size_t i = 0; i < w->nsets; i++) {
        Py_CLEAR(w->sets[i].set);
        free(w->sets[i].entries);
    }
    for (size_t i = 0; i < w->nslots; i++) {
        Py_CLEAR(w->slots[i].value);
    }
    free(w->dicts);
    free(w->lists);
    free(w->sets);
    free(w->slots);
    free(w->words);
    free(w->environ_items);
    *w = (pyexec_watch){0};
}
