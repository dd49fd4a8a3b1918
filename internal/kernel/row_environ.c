/* row_environ.c: os.environ in all its layers. The os module's name `environ` is bound to a mapping object, whose
 * attributes (encodekey, _data and so on) are in an instance dict; _data is a dict of bytes that code can change
 * directly; and assigning through the mapping, or os.putenv, also changes the C environment, which getenv and child
 * processes read. Each layer is put back.
 *
 * The host shares the C environment. What it changes between calls is found before the next call (adopt). What it
 * changes while a call runs is told from the snippet's doing by asking the host: os.Setenv in Go keeps its own copy,
 * which no snippet can reach; so a variable that is now as the host says, and was not before, is the host's. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

static PyObject * /* new: bytes -> bytes */
read_environ(void)
{
    PyObject *vars = PyDict_New(); /* new */
    if (vars == NULL) {
        return NULL;
    }
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        const char *eq = (*e)[0] == '\0' ? NULL : strchr(*e + 1, '=');
        if (eq == NULL) {
            continue;
        }
        PyObject *key = PyBytes_FromStringAndSize(*e, eq - *e); /* new */
        PyObject *value = PyBytes_FromString(eq + 1);           /* new */
        PyObject *r = key == NULL || value == NULL ? NULL : PyDict_SetDefault(vars, key, value); /* borrowed */
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (r == NULL) {
            Py_DECREF(vars);
            return NULL;
        }
    }
    return vars;
}

/* Equal as far as bytes go; anything that is not exact bytes is equal only to itself, so no __eq__ runs. */
static bool
same_value(PyObject *a, PyObject *b)
{
    if (a == b) {
        return true;
    }
    return a != NULL && b != NULL && PyBytes_CheckExact(a) && PyBytes_CheckExact(b) &&
           PyBytes_GET_SIZE(a) == PyBytes_GET_SIZE(b) &&
           memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), (size_t)PyBytes_GET_SIZE(a)) == 0;
}

/* The same items in the same order. */
static bool
same_dict(PyObject *a, PyObject *b)
{
    Py_ssize_t i = 0, j = 0;
    PyObject *ak = NULL, *av = NULL, *bk = NULL, *bv = NULL; /* borrowed */
    if (PyDict_GET_SIZE(a) != PyDict_GET_SIZE(b)) {
        return false;
    }
    while (PyDict_Next(a, &i, &ak, &av) && PyDict_Next(b, &j, &bk, &bv)) {
        if (!same_value(ak, bk) || !same_value(av, bv)) {
            return false;
        }
    }
    return true;
}

static PyObject * /* borrowed, or NULL; only exact bytes are looked up, whose hash and eq are built in */
get(PyObject *dict, PyObject *key)
{
    return PyBytes_CheckExact(key) ? PyDict_GetItemWithError(dict, key) : NULL;
}

/* s->object is the mapping, s->contents the tuple (instance dict, its items, _data, its items). */
enum { DICT, DICT_ITEMS, DATA, DATA_ITEMS };
#define PART(s, i) PyTuple_GET_ITEM((s)->contents, i)

int
pyexec_environ_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    int result = -1;
    PyObject *dict = NULL, *dict_items = NULL, *data = NULL, *data_items = NULL;
    if (pyexec_attr_lookup(row, s) < 0) {
        return -1;
    }
    k->environ_row = s;
    /* A dict of its own: one that only shows the object's inline values (3.13) is not told of assignments to them. */
    dict = PyObject_GenericGetDict(s->object, NULL); /* new */
    if (dict != NULL) {
        Py_SETREF(dict, PyDict_Copy(dict));
    }
    if (dict == NULL || PyObject_SetAttrString(s->object, "__dict__", dict) < 0) {
        goto done;
    }
    data = dict == NULL ? NULL : Py_XNewRef(PyDict_GetItemString(dict, "_data"));
    if (data == NULL || !PyDict_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "os.environ is not as the standard library made it");
        goto done;
    }
    dict_items = PyDict_Copy(dict);
    data_items = PyDict_Copy(data);
    if (dict_items == NULL || data_items == NULL) {
        goto done;
    }
    s->contents = PyTuple_Pack(4, dict, dict_items, data, data_items);
    Py_XSETREF(k->environ_vars, read_environ());
    /* the dict of the variables is posix.environ, too */
    if (s->contents == NULL || k->environ_vars == NULL || pyexec_find_skip(k, s->object) < 0 ||
        pyexec_find_skip(k, data) < 0 || pyexec_watch_slot(k, _PyObject_GetDictPtr(s->object)) < 0 ||
        pyexec_watch_dict(k, dict) < 0 ||
        pyexec_watch_dict(k, data) < 0) {
        goto done;
    }
    result = 0;

done:
    Py_XDECREF(dict);
    Py_XDECREF(dict_items);
    Py_XDECREF(data);
    Py_XDECREF(data_items);
    return result;
}

/* Take one variable as it is now for the baseline, in every layer. value NULL: unset. */
static int
adopt_one(pyexec_kernel *k, const pyexec_row_state *s, PyObject *key, PyObject *value)
{
    PyObject *layers[] = {k->environ_vars, PART(s, DATA), PART(s, DATA_ITEMS)};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (value != NULL) {
            if (PyDict_SetItem(layers[i], key, value) < 0) {
                return -1;
            }
        }
        else if (PyDict_GetItemWithError(layers[i], key) != NULL && PyDict_DelItem(layers[i], key) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Between calls only the host can have changed the C environment: follow it. */
void
pyexec_environ_adopt(pyexec_kernel *k)
{
    const pyexec_row_state *s = k->environ_row;
    PyObject *key = NULL, *value = NULL, *gone = NULL; /* key and value borrowed */
    PyObject *now = read_environ();                    /* new */
    Py_ssize_t pos = 0;
    if (s == NULL || now == NULL) {
        goto error;
    }
    while (PyDict_Next(now, &pos, &key, &value)) {
        if (!same_value(get(k->environ_vars, key), value) && adopt_one(k, s, key, value) < 0) {
            goto error;
        }
    }
    gone = PyDict_Keys(k->environ_vars); /* new */
    for (Py_ssize_t i = 0; gone != NULL && i < PyList_GET_SIZE(gone); i++) {
        key = PyList_GET_ITEM(gone, i);
        if (get(now, key) == NULL && adopt_one(k, s, key, NULL) < 0) {
            goto error;
        }
    }
    if (gone == NULL) {
        goto error;
    }
    pyexec_watch_accept(k);
    goto done;

error:
    pyexec_taint(k, "the host's change of the environment could not be followed");
done:
    PyErr_Clear();
    Py_XDECREF(now);
    Py_XDECREF(gone);
}

/* One variable differs from the baseline in the C environment: the host's doing, or to be put back?
 * 1 put back, 0 the host's, -1 failed. */
static int
settle(pyexec_kernel *k, const pyexec_row_state *s, PyObject *key, PyObject *was, PyObject *now)
{
    const char *name = PyBytes_AS_STRING(key);
    if (k->config.host_getenv != NULL) {
        char *host = k->config.host_getenv(name); /* malloc'ed */
        bool same = host == NULL ? now == NULL : now != NULL && strcmp(host, PyBytes_AS_STRING(now)) == 0;
        free(host);
        if (same) {
            return adopt_one(k, s, key, now);
        }
    }
    int rc = was != NULL ? setenv(name, PyBytes_AS_STRING(was), 1) : unsetenv(name);
    return rc != 0 ? -1 : 1;
}

static int
note(PyObject *before, PyObject *after, PyObject *key, PyObject *was, PyObject *now)
{
    return PyDict_SetItem(before, key, was != NULL ? was : Py_None) < 0 ||
                   PyDict_SetItem(after, key, now != NULL ? now : Py_None) < 0
               ? -1
               : 0;
}

/* Keys of both dicts that are exact bytes. */
static PyObject * /* new: list */
all_keys(PyObject *a, PyObject *b)
{
    PyObject *both = PyDict_New(); /* new */
    PyObject *dicts[] = {a, b};
    PyObject *key = NULL, *value = NULL; /* borrowed */
    for (size_t i = 0; i < 2; i++) {
        Py_ssize_t pos = 0;
        while (both != NULL && PyDict_Next(dicts[i], &pos, &key, &value)) {
            if (PyBytes_CheckExact(key) && PyDict_SetItem(both, key, Py_None) < 0) {
                Py_CLEAR(both);
            }
        }
    }
    PyObject *keys = both == NULL ? NULL : PyDict_Keys(both); /* new */
    Py_XDECREF(both);
    return keys;
}

static int
restore_c(pyexec_kernel *k, const pyexec_row_state *s, PyObject *before, PyObject *after)
{
    if (pyexec_watch_environ_quiet(k)) {
        return 0;
    }
    int result = -1, changed = 0;
    PyObject *now = read_environ();                                        /* new */
    PyObject *keys = now == NULL ? NULL : all_keys(k->environ_vars, now); /* new */
    for (Py_ssize_t i = 0; keys != NULL && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i); /* borrowed, as the next two */
        PyObject *is = get(now, key);
        PyObject *was = get(k->environ_vars, key);
        if (same_value(is, was)) {
            continue;
        }
        if (note(before, after, key, was, is) < 0) { /* first: settling may move the baseline */
            goto done;
        }
        int rc = settle(k, s, key, was, is);
        if (rc < 0) {
            goto done;
        }
        if (rc == 0 && (PyDict_DelItem(before, key) < 0 || PyDict_DelItem(after, key) < 0)) {
            goto done;
        }
        changed |= rc;
    }
    result = keys == NULL ? -1 : changed;

done:
    Py_XDECREF(now);
    Py_XDECREF(keys);
    return result;
}

static void
bury_items(pyexec_kernel *k, PyObject *dict)
{
    PyObject *copy = k->burying ? PyDict_Copy(dict) : NULL; /* new */
    PyErr_Clear();
    pyexec_bury(k, copy);
    Py_XDECREF(copy);
}

static int
restore_mapping(pyexec_kernel *k, const pyexec_row_state *s, PyObject *before, PyObject *after)
{
    PyObject *data = PART(s, DATA), *items = PART(s, DATA_ITEMS);
    if (same_dict(data, items)) {
        return 0;
    }
    PyObject *keys = all_keys(items, data); /* new */
    if (keys == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i); /* borrowed */
        PyObject *was = get(items, key), *is = get(data, key);
        if (!same_value(was, is) && note(before, after, key, was, is) < 0) {
            Py_DECREF(keys);
            return -1;
        }
    }
    Py_DECREF(keys);
    bury_items(k, data);
    PyDict_Clear(data);
    return PyDict_Update(data, items) < 0 ? -1 : 1;
}

int
pyexec_environ_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    int result = -1;
    int instance = 0, mapping = 0, c = 0;
    PyObject *before = PyDict_New(), *after = PyDict_New(); /* new */
    PyObject *now = PyDict_GetItemWithError(s->owner, s->key); /* borrowed */
    if (before == NULL || after == NULL || (now == NULL && PyErr_Occurred())) {
        goto done;
    }
    bool rebound = now != s->object;
    pyexec_bury(k, now);
    Py_XINCREF(now); /* rebinding may release it, and the report below names it */

    PyObject **slot = _PyObject_GetDictPtr(s->object);
    if (slot == NULL || *slot != PART(s, DICT)) {
        instance = 1;
        if (PyObject_SetAttrString(s->object, "__dict__", PART(s, DICT)) < 0) {
            instance = -1;
        }
    }
    if (!same_dict(PART(s, DICT), PART(s, DICT_ITEMS))) {
        instance = instance < 0 ? -1 : 1;
        bury_items(k, PART(s, DICT));
        PyDict_Clear(PART(s, DICT));
        if (PyDict_Update(PART(s, DICT), PART(s, DICT_ITEMS)) < 0) {
            instance = -1;
        }
    }
    if (instance >= 0) {
        c = restore_c(k, s, before, after); /* first: it may move the mapping's baseline */
    }
    if (instance >= 0 && c >= 0) {
        mapping = restore_mapping(k, s, before, after);
    }
    if (instance >= 0 && c >= 0 && mapping >= 0 && pyexec_attr_rebind(s) >= 0) {
        result = rebound || instance || c || mapping;
    }
    if (result != 0) {
        tzset(); /* mktime may have looked at the snippet's TZ, and localtime_r would go on with that */
        pyexec_change_begin(k, row);
        pyexec_change_repr(k, before);
        pyexec_change_repr(k, rebound ? now : after);
        if (rebound && now != NULL && PyDict_GET_SIZE(after) > 0) {
            pyexec_change_begin(k, row); /* both rebound and changed: two reports */
            pyexec_change_repr(k, before);
            pyexec_change_repr(k, after);
        }
    }
    Py_XDECREF(now);

done:
    Py_XDECREF(before);
    Py_XDECREF(after);
    return result;
}
