/* row_objects.c: containers, instances, closure cells and caches of modules, as find.c found them.
 *
 * Each is copied when its module is pristine, and put back in place: the object stays the same, so that nobody who holds it
 * can tell. What an import changes in those of modules loaded before belongs to the import, as in row_modules.c. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

static PyObject * /* new */
items_of_set(PyObject *set)
{
    PySetObject *s = (PySetObject *)set;
    PyObject *items = PyTuple_New(s->used); /* new */
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; items != NULL && i <= s->mask; i++) {
        /* a deleted entry has a hash of -1, which no key has */
        if (s->table[i].key != NULL && s->table[i].hash != -1) {
            PyTuple_SET_ITEM(items, n++, Py_NewRef(s->table[i].key));
        }
    }
    return items;
}

/* PyDict_Copy asks a subclass for its keys. */
static PyObject * /* new */
copy_dict(PyObject *dict)
{
    PyObject *key = NULL, *v = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    if (PyDict_CheckExact(dict)) {
        return PyDict_Copy(dict);
    }
    PyObject *copy = PyDict_New(); /* new */
    while (copy != NULL && PyDict_Next(dict, &pos, &key, &v)) {
        if (PyDict_SetItem(copy, key, v) < 0) {
            Py_CLEAR(copy);
        }
    }
    return copy;
}

static PyObject * /* new: what is in the object now */
contents_of(uint8_t kind, PyObject *v)
{
    PyObject *dict = NULL, *items = NULL;
    switch (kind) {
    case PYEXEC_DICT:
        return copy_dict(v);
    case PYEXEC_ODICT:
        dict = PyObject_CallMethod((PyObject *)&PyODict_Type, "items", "O", v); /* new */
        items = dict == NULL ? NULL : PySequence_Tuple(dict);                        /* new */
        Py_XDECREF(dict);
        return items;
    case PYEXEC_INSTANCE:
        dict = PyObject_GenericGetDict(v, NULL); /* new */
        items = dict == NULL ? NULL : PyDict_Copy(dict);
        Py_XDECREF(dict);
        return items;
    case PYEXEC_LIST:
        return PyList_AsTuple(v);
    case PYEXEC_SET:
        return items_of_set(v);
    case PYEXEC_DEQUE:
        return PySequence_Tuple(v);
    case PYEXEC_BYTEARRAY:
        return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(v), PyByteArray_GET_SIZE(v));
    default: /* PYEXEC_SLOT, PYEXEC_WORD: what is watched has it; PYEXEC_CACHE: nothing is the best content */
        return Py_NewRef(Py_None);
    }
}

static int
note_odd(pyexec_objects *o)
{
    if (o->nodd == o->odd_cap) {
        size_t cap = o->odd_cap == 0 ? 16 : o->odd_cap * 2;
        size_t *odd = realloc(o->odd, cap * sizeof *odd);
        if (odd == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        o->odd = odd;
        o->odd_cap = cap;
    }
    o->odd[o->nodd++] = o->n;
    return 0;
}

static int
append(pyexec_kernel *k, pyexec_object v /* its contents are stolen */)
{
    pyexec_objects *o = &k->objects;
    if (o->n == o->cap) {
        size_t cap = o->cap == 0 ? 256 : o->cap * 2;
        pyexec_object *items = realloc(o->items, cap * sizeof *items);
        if (items == NULL) {
            Py_DECREF(v.contents);
            PyErr_NoMemory();
            return -1;
        }
        o->items = items;
        o->cap = cap;
    }
    Py_INCREF(v.name);
    Py_INCREF(v.object);
    o->items[o->n++] = v;
    return 0;
}

int
pyexec_object_track(pyexec_kernel *k, uint8_t kind, PyObject *name, PyObject *object, PyObject *dict)
{
    Py_ssize_t watch = 0, slot = 0;
    uintptr_t *word = NULL, mask = 0;
    PyObject *contents = contents_of(kind, object); /* new */
    if (contents == NULL) {
        return -1;
    }
    switch (kind) {
    case PYEXEC_INSTANCE:
        slot = pyexec_watch_slot(k, _PyObject_GetDictPtr(object));
        /* fall through */
    case PYEXEC_DICT:
    case PYEXEC_ODICT:
    case PYEXEC_CACHE:
        watch = pyexec_watch_dict(k, dict);
        break;
    case PYEXEC_LIST:
        watch = pyexec_watch_list(k, object, contents);
        break;
    case PYEXEC_SET:
        watch = pyexec_watch_set(k, object);
        break;
    case PYEXEC_WORD:
        word = pyexec_word_of(k, object, &mask);
        watch = word == NULL ? -1 : pyexec_watch_word(k, word, mask);
        break;
    default:
        break;
    }
    if ((kind == PYEXEC_DEQUE || kind == PYEXEC_BYTEARRAY || kind == PYEXEC_ODICT) && note_odd(&k->objects) < 0) {
        watch = -1;
    }
    if (watch < 0 || slot < 0) {
        Py_DECREF(contents);
        return -1;
    }
    return append(k, (pyexec_object){name, object, contents, (size_t)watch, (size_t)slot, kind, false});
}

int
pyexec_slot_track(pyexec_kernel *k, PyObject *name, PyObject *object, PyObject **at)
{
    Py_ssize_t watch = pyexec_watch_slot(k, at);
    return watch < 0 ? -1 : append(k, (pyexec_object){name, object, Py_NewRef(Py_None), (size_t)watch, 0, PYEXEC_SLOT, false});
}

static bool
same_deque(PyObject *deque, PyObject *items)
{
    Py_ssize_t n = PyTuple_GET_SIZE(items);
    bool same = PyObject_Size(deque) == n;
    for (Py_ssize_t i = 0; same && i < n; i++) {
        PyObject *v = PySequence_GetItem(deque, i); /* new */
        same = v == PyTuple_GET_ITEM(items, i);
        Py_XDECREF(v);
    }
    PyErr_Clear();
    return same;
}

/* move_to_end changes the order alone, which the dict in it does not know. */
static bool
same_order(PyObject *odict, PyObject *items)
{
    PyObject *it = PyODict_Type.tp_iter(odict); /* new */
    Py_ssize_t i = 0, n = PyTuple_GET_SIZE(items);
    for (; it != NULL && i < n; i++) {
        PyObject *key = PyIter_Next(it); /* new */
        bool same = key == PyTuple_GET_ITEM(PyTuple_GET_ITEM(items, i), 0);
        Py_XDECREF(key);
        if (!same) {
            break;
        }
    }
    PyErr_Clear();
    Py_XDECREF(it);
    return i == n;
}

static bool
changed(pyexec_kernel *k, const pyexec_object *o)
{
    switch (o->kind) {
    case PYEXEC_ODICT:
        return pyexec_watch_dict_changed(k, o->watch) || !same_order(o->object, o->contents);
    case PYEXEC_INSTANCE:
        return pyexec_watch_slot_changed(k, o->slot) || pyexec_watch_dict_changed(k, o->watch);
    case PYEXEC_DICT:
    case PYEXEC_CACHE:
        return pyexec_watch_dict_changed(k, o->watch);
    case PYEXEC_LIST:
        return pyexec_watch_list_changed(k, o->watch);
    case PYEXEC_SET:
        return pyexec_watch_set_changed(k, o->watch);
    case PYEXEC_SLOT:
        return pyexec_watch_slot_changed(k, o->watch);
    case PYEXEC_WORD:
        return pyexec_watch_word_changed(k, o->watch);
    case PYEXEC_DEQUE:
        return !same_deque(o->object, o->contents);
    default: /* PYEXEC_BYTEARRAY */
        return PyByteArray_GET_SIZE(o->object) != PyBytes_GET_SIZE(o->contents) ||
               memcmp(PyByteArray_AS_STRING(o->object), PyBytes_AS_STRING(o->contents),
                      (size_t)PyBytes_GET_SIZE(o->contents)) != 0;
    }
}

/* Of the few kinds that nothing cheaper notices. */
bool
pyexec_objects_odd_quiet(pyexec_kernel *k)
{
    for (size_t i = 0; i < k->objects.nodd; i++) {
        if (changed(k, &k->objects.items[k->objects.odd[i]])) {
            return false;
        }
    }
    return true;
}

/* Take what is there now for what should be. */
static int
accept(pyexec_kernel *k, pyexec_object *o)
{
    PyObject *contents = contents_of(o->kind, o->object); /* new */
    if (contents == NULL) {
        return -1;
    }
    Py_SETREF(o->contents, contents);
    switch (o->kind) {
    case PYEXEC_INSTANCE:
    case PYEXEC_DICT:
    case PYEXEC_ODICT:
    case PYEXEC_CACHE:
        pyexec_watch_dict_accept(k, o->watch);
        return 0;
    case PYEXEC_LIST:
        return pyexec_watch_list_accept(k, o->watch, contents);
    case PYEXEC_SET:
        return pyexec_watch_set_accept(k, o->watch);
    case PYEXEC_SLOT:
        pyexec_watch_slot_accept(k, o->watch);
        return 0;
    case PYEXEC_WORD:
        pyexec_watch_word_accept(k, o->watch);
        return 0;
    default:
        return 0;
    }
}

bool
pyexec_objects_mark_dirty(pyexec_kernel *k)
{
    bool any = false;
    for (size_t i = 0; i < k->objects.n; i++) {
        k->objects.items[i].dirty = changed(k, &k->objects.items[i]);
        any = any || k->objects.items[i].dirty;
    }
    return any;
}

int
pyexec_objects_adopt(pyexec_kernel *k)
{
    for (size_t i = 0; i < k->objects.n; i++) { /* what is found here comes behind, and may move all: no pointer is kept */
        if (k->objects.items[i].dirty) {
            k->objects.items[i].dirty = false; /* and written only then: after a fork, each page that is written is copied */
            continue;
        }
        if (!changed(k, &k->objects.items[i])) {
            continue;
        }
        pyexec_object o = k->objects.items[i];
        if (accept(k, &k->objects.items[i]) < 0 || pyexec_find_inside(k, o.name, o.kind, o.object) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- put back ---- */

/* The same keys with the same values, in the same order? Compared by identity: no code of keys runs. */
static bool
same_dict(PyObject *a, PyObject *b)
{
    PyObject *ak = NULL, *av = NULL, *bk = NULL, *bv = NULL; /* borrowed */
    Py_ssize_t i = 0, j = 0;
    if (PyDict_GET_SIZE(a) != PyDict_GET_SIZE(b)) {
        return false;
    }
    while (PyDict_Next(a, &i, &ak, &av) && PyDict_Next(b, &j, &bk, &bv)) {
        if (ak != bk || av != bv) {
            return false;
        }
    }
    return true;
}

static void
bury_values(pyexec_kernel *k, PyObject *dict)
{
    PyObject *key = NULL, *v = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    while (k->burying && PyDict_Next(dict, &pos, &key, &v)) {
        pyexec_bury(k, v);
    }
}

static int
fill_dict(pyexec_kernel *k, PyObject *dict, PyObject *contents)
{
    bury_values(k, dict);
    PyDict_Clear(dict);
    return PyDict_Update(dict, contents);
}

static int
fill_odict(PyObject *dict, PyObject *contents)
{
    PyObject *r = PyObject_CallMethod((PyObject *)&PyODict_Type, "clear", "O", dict); /* new */
    Py_XDECREF(r);
    int result = r == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(contents); i++) {
        PyObject *pair = PyTuple_GET_ITEM(contents, i); /* borrowed */
        result = PyODict_SetItem(dict, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    return result;
}

static int
fill_set(PyObject *set, PyObject *contents)
{
    int result = PySet_Clear(set);
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(contents); i++) {
        result = PySet_Add(set, PyTuple_GET_ITEM(contents, i));
    }
    return result;
}

static int
fill_deque(PyObject *deque, PyObject *contents)
{
    PyObject *r = PyObject_CallMethod(deque, "clear", NULL); /* new */
    Py_XDECREF(r);
    r = r == NULL ? NULL : PyObject_CallMethod(deque, "extend", "(O)", contents); /* new */
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
empty_cache(PyObject *wrapper)
{
    PyObject *clear = PyObject_GetAttrString((PyObject *)Py_TYPE(wrapper), "cache_clear"); /* new */
    PyObject *r = clear == NULL ? NULL : PyObject_CallOneArg(clear, wrapper);                    /* new */
    Py_XDECREF(clear);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
fill_instance(pyexec_kernel *k, pyexec_object *o, PyObject *dict)
{
    int result = 0;
    if (pyexec_watch_slot_changed(k, o->slot)) {
        PyObject *name = PyUnicode_InternFromString("__dict__"); /* new */
        pyexec_bury(k, *k->watch.slots[o->slot].at);
        result = name == NULL ? -1 : PyObject_GenericSetAttr(o->object, name, dict);
        Py_XDECREF(name);
    }
    if (result == 0 && !same_dict(dict, o->contents)) {
        result = fill_dict(k, dict, o->contents);
    }
    return result;
}

static int
fill(pyexec_kernel *k, pyexec_object *o, PyObject *dict)
{
    switch (o->kind) {
    case PYEXEC_DICT:
        return fill_dict(k, o->object, o->contents);
    case PYEXEC_ODICT:
        bury_values(k, o->object);
        return fill_odict(o->object, o->contents);
    case PYEXEC_INSTANCE:
        return fill_instance(k, o, dict);
    case PYEXEC_LIST:
        return PyList_SetSlice(o->object, 0, PyList_GET_SIZE(o->object), o->contents);
    case PYEXEC_SET:
        return fill_set(o->object, o->contents);
    case PYEXEC_DEQUE:
        return fill_deque(o->object, o->contents);
    case PYEXEC_BYTEARRAY:
        if (PyByteArray_Resize(o->object, PyBytes_GET_SIZE(o->contents)) < 0) {
            return -1;
        }
        memcpy(PyByteArray_AS_STRING(o->object), PyBytes_AS_STRING(o->contents), (size_t)PyBytes_GET_SIZE(o->contents));
        return 0;
    case PYEXEC_CACHE:
        return empty_cache(o->object);
    case PYEXEC_WORD:
        return pyexec_word_restore(k, o->object, o->watch);
    default: /* PYEXEC_SLOT */
        pyexec_bury(k, *k->watch.slots[o->watch].at);
        Py_XSETREF(*k->watch.slots[o->watch].at, Py_XNewRef(k->watch.slots[o->watch].value));
        return 0;
    }
}

/* Of two dicts, what differs. */
static int
report_dict(pyexec_kernel *k, const pyexec_object *o, PyObject *now)
{
    PyObject *dicts[] = {o->contents, now};
    PyObject *before = PyDict_New(), *after = PyDict_New(); /* new */
    PyObject *key = NULL, *v = NULL;                        /* borrowed */
    int result = -1;
    if (before == NULL || after == NULL) {
        goto done;
    }
    for (int i = 0; i < 2; i++) {
        Py_ssize_t pos = 0;
        while (PyDict_Next(dicts[i], &pos, &key, &v)) {
            if (!PyUnicode_CheckExact(key) && !PyLong_CheckExact(key) && !PyType_Check(key)) {
                continue; /* looking it up could run code of the snippet's */
            }
            PyObject *other = PyDict_GetItemWithError(dicts[1 - i], key); /* borrowed */
            if (other != v && PyDict_SetItem(i == 0 ? before : after, key, v) < 0) {
                goto done;
            }
        }
    }
    result = 1;
    if (o->kind != PYEXEC_INSTANCE) {
        pyexec_change_named(k, o->name);
        pyexec_change_repr(k, before);
        pyexec_change_repr(k, after);
        goto done;
    }
    if (PyDict_Update(before, after) < 0) { /* an attribute each */
        result = -1;
        goto done;
    }
    for (Py_ssize_t pos = 0; PyDict_Next(before, &pos, &key, &v);) {
        PyObject *name = PyUnicode_CheckExact(key) ? PyUnicode_FromFormat("%U.%U", o->name, key) : NULL; /* new */
        if (name != NULL && !pyexec_is_private(name, true)) {
            pyexec_change_named(k, name);
            pyexec_change_repr(k, PyDict_GetItemWithError(o->contents, key));
            pyexec_change_repr(k, PyDict_GetItemWithError(now, key));
        }
        Py_XDECREF(name);
    }

done:
    PyErr_Clear();
    Py_XDECREF(before);
    Py_XDECREF(after);
    return result;
}

static int
report(pyexec_kernel *k, const pyexec_object *o, PyObject *now)
{
    if (k->modules.again != NULL && PyUnicode_CompareWithASCIIString(o->name, "sys.path_importer_cache") == 0) {
        return 0; /* the imports that are done again have filled it */
    }
    if (o->kind == PYEXEC_CACHE || o->kind == PYEXEC_WORD || pyexec_is_private(o->name, true)) {
        return 0;
    }
    if (o->kind == PYEXEC_DICT || o->kind == PYEXEC_INSTANCE) {
        return report_dict(k, o, now);
    }
    pyexec_change_named(k, o->name);
    if (o->kind == PYEXEC_SLOT) {
        pyexec_change_repr(k, k->watch.slots[o->watch].value);
        pyexec_change_repr(k, *k->watch.slots[o->watch].at);
    }
    else {
        pyexec_change_repr(k, o->contents);
        pyexec_change_repr(k, now);
    }
    return 1;
}

static int
restore(pyexec_kernel *k, pyexec_object *o)
{
    int result = 0;
    /* what an instance has for its dict now may be another one than that which is watched */
    PyObject *dict = o->kind == PYEXEC_INSTANCE ? Py_NewRef(k->watch.dicts[o->watch].dict) : NULL; /* new */
    PyObject *now = contents_of(o->kind, o->object);                                                    /* new */
    if (now == NULL) {
        result = -1;
        goto done;
    }
    bool is_dict = o->kind == PYEXEC_DICT || o->kind == PYEXEC_INSTANCE;
    if (is_dict && same_dict(now, o->contents) &&
        (o->kind == PYEXEC_DICT || (!pyexec_watch_slot_changed(k, o->slot) && same_dict(dict, o->contents)))) {
        goto done; /* what was changed has been changed back */
    }
    if (!is_dict && k->burying) {
        pyexec_bury(k, now);
    }
    result = report(k, o, now);
    if (fill(k, o, dict) < 0) {
        result = -1;
        goto done;
    }
    if (o->kind == PYEXEC_SET && pyexec_watch_set_accept(k, o->watch) < 0) { /* the same, but laid out otherwise */
        result = -1;
    }

done:
    Py_XDECREF(dict);
    Py_XDECREF(now);
    return result;
}

int
pyexec_objects_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    int result = 0;
    for (size_t i = 0; i < k->objects.n; i++) {
        pyexec_object *o = &k->objects.items[i];
        if (!changed(k, o)) {
            continue;
        }
        if (pyexec_keeps(k, o->name)) {
            if (accept(k, o) < 0) {
                return -1;
            }
            continue;
        }
        int rc = restore(k, o);
        if (rc < 0) {
            pyexec_taint(k, "%.200s could not be put back", PyUnicode_AsUTF8(o->name));
            PyErr_Clear();
        }
        result |= rc != 0;
    }
    return result;
}

void
pyexec_objects_clear(pyexec_kernel *k)
{
    pyexec_objects *o = &k->objects;
    for (size_t i = 0; i < o->n; i++) {
        Py_DECREF(o->items[i].name);
        Py_DECREF(o->items[i].object);
        Py_DECREF(o->items[i].contents);
    }
    free(o->items);
    free(o->odd);
    Py_CLEAR(o->seen);
    *o = (pyexec_objects){0};
}
