/* row_modules.c: the attributes of every module, and sys.modules itself.
 *
 * Each module's dict is copied once, when the module is pristine: at the start, or when the import that first loaded it
 * is done, before the snippet that imported it can touch it. So modules stay imported, and become as they were. What an
 * import changes in modules loaded before (a package gets its submodule for an attribute) belongs to the import, and stays;
 * to know when imports begin and end, importlib's _find_and_load, through which every import goes that is not answered by
 * sys.modules, is wrapped. */
#include "compat.h"

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

static const char CAPSULE[] = "pyexec.kernel";
enum { MAX_UNFOUND = 4096 }; /* names that need not be tried again each time */

static int
track(pyexec_kernel *k, PyObject *name, PyObject *module)
{
    pyexec_modules *m = &k->modules;
    PyObject *dict = PyModule_GetDict(module); /* borrowed */
    if (dict == NULL || module == k->main_module) {
        PyErr_Clear();
        return 0;
    }
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].dict == dict) {
            return 0;
        }
    }
    if (m->n == m->cap) {
        size_t cap = m->cap == 0 ? 128 : m->cap * 2;
        pyexec_module *items = realloc(m->items, cap * sizeof *items);
        if (items == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        m->items = items;
        m->cap = cap;
    }
    PyObject *copy = PyDict_Copy(dict); /* new */
    Py_ssize_t watch = copy == NULL ? -1 : pyexec_watch_dict(k, dict);
    if (watch < 0) {
        Py_XDECREF(copy);
        return -1;
    }
    m->items[m->n++] = (pyexec_module){Py_NewRef(name), Py_NewRef(dict), copy, (size_t)watch, false};
    return pyexec_find(k, name, dict);
}

static bool
is_initializing(PyObject *module)
{
    PyObject *spec = PyDict_GetItemString(PyModule_GetDict(module), "__spec__");                 /* borrowed */
    PyObject *flag = spec == NULL ? NULL : PyObject_GetAttrString(spec, "_initializing"); /* new */
    bool result = flag == Py_True;
    PyErr_Clear();
    Py_XDECREF(flag);
    return result;
}

/* Take over what is in sys.modules and was not when the import began; not what is stray, if it began in a changed interpreter. */
static int
adopt_new(pyexec_kernel *k, PyObject *before /* may be NULL */, bool clean)
{
    PyObject *name = NULL, *module = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    int result = 0;
    PyObject *now = PyDict_Copy(k->modules.table); /* new: looking at specs can run code */
    PyObject *stray = now == NULL || clean ? NULL : pyexec_stray_modules(k, now, before); /* new */
    if (now == NULL || (!clean && stray == NULL)) {
        Py_XDECREF(now);
        return -1;
    }
    while (result == 0 && PyDict_Next(now, &pos, &name, &module)) {
        if (!PyUnicode_CheckExact(name) ||
            (before != NULL && PyDict_GetItemWithError(before, name) == module)) {
            continue;
        }
        if (PyDict_GetItemWithError(k->modules.copy, name) != NULL && !pyexec_keeps(k, name)) {
            continue; /* a second one of that name: the snippet had removed the first, which will come back */
        }
        int is_stray = pyexec_is_stray(stray, name);
        if (is_stray != 0) {
            result = is_stray < 0 ? -1 : 0;
            continue;
        }
        if (PyModule_Check(module)) {
            if (is_initializing(module)) {
                continue; /* by another thread */
            }
            result = track(k, name, module);
            result = result < 0 ? result : pyexec_touch_module(k, name, module);
            if (PyUnicode_CompareWithASCIIString(name, "linecache") == 0) {
                pyexec_saw_linecache(k, module);
            }
        }
        if (result == 0) {
            result = PyDict_SetItem(k->modules.copy, name, module);
        }
    }
    Py_XDECREF(stray);
    Py_DECREF(now);
    return result;
}

/* As an import begins: remember what the snippet has changed so far. True if it has changed anything that the import
 * could see: then what it loads may not be what a clean interpreter would load. */
static bool
mark_dirty(pyexec_kernel *k)
{
    PyThreadState *t = PyThreadState_GET();
    pyexec_lists_mark_dirty(k);
    bool other = k->undos.n > 0 || t->c_traceobj != NULL || t->c_profileobj != NULL || pyexec_has_new_threads(k);
    if (pyexec_watch_objects_quiet(k) && pyexec_objects_odd_quiet(k)) {
        return other;
    }
    for (size_t i = 0; i < k->modules.n; i++) {
        k->modules.items[i].dirty = pyexec_watch_dict_changed(k, k->modules.items[i].watch);
    }
    pyexec_objects_mark_dirty(k);
    return true;
}

/* Of a module that the snippet had changed before the import, only submodules are surely the import's doing. */
static void
adopt_submodules(pyexec_kernel *k, pyexec_module *m)
{
    PyObject *key = NULL, *value = NULL; /* borrowed */
    Py_ssize_t pos = 0;
    while (PyDict_Next(m->dict, &pos, &key, &value)) {
        if (!PyModule_Check(value) || !PyUnicode_CheckExact(key)) {
            continue;
        }
        PyObject *full = PyUnicode_FromFormat("%U.%U", m->name, key);                              /* new */
        PyObject *known = full == NULL ? NULL : PyDict_GetItemWithError(k->modules.copy, full); /* borrowed */
        if (known == value && PyDict_SetItem(m->copy, key, value) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(full);
    }
    PyErr_Clear();
}

/* The keys whose values differ, by identity. */
static PyObject * /* new: list */
differing(PyObject *a, PyObject *b)
{
    PyObject *keys = PyList_New(0); /* new */
    PyObject *pairs[2][2] = {{a, b}, {b, a}};
    for (int i = 0; keys != NULL && i < 2; i++) {
        PyObject *key = NULL, *value = NULL; /* borrowed */
        Py_ssize_t pos = 0;
        while (keys != NULL && PyDict_Next(pairs[i][0], &pos, &key, &value)) {
            PyObject *other = PyDict_GetItemWithError(pairs[i][1], key); /* borrowed */
            /* a key of both is found in the first round already */
            if (other != value && (i == 0 || other == NULL) && PyList_Append(keys, key) < 0) {
                Py_CLEAR(keys);
            }
            PyErr_Clear();
        }
    }
    return keys;
}

/* Bring the copy up to date. Only what is new is written to: in a process that was just forked, to write is to copy a page,
 * and taking a reference is writing. Returns a dict of what is new. */
static PyObject * /* new */
take_over(pyexec_module *m)
{
    PyObject *fresh = PyDict_New();                     /* new */
    PyObject *keys = differing(m->copy, m->dict); /* new */
    bool failed = fresh == NULL || keys == NULL;
    for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i);                     /* borrowed */
        PyObject *value = PyDict_GetItemWithError(m->dict, key); /* borrowed; NULL: it has gone */
        failed = value == NULL ? PyDict_DelItem(m->copy, key) < 0
                               : PyDict_SetItem(m->copy, key, value) < 0 || PyDict_SetItem(fresh, key, value) < 0;
    }
    Py_XDECREF(keys);
    if (failed) {
        Py_CLEAR(fresh);
    }
    return fresh;
}

/* Take over what an import did to modules that were loaded before it. */
static int
adopt_changed(pyexec_kernel *k)
{
    for (size_t i = 0; i < k->modules.n; i++) {
        pyexec_module *m = &k->modules.items[i];
        if (!pyexec_watch_dict_changed(k, m->watch)) {
            continue;
        }
        if (m->dirty) {
            adopt_submodules(k, m);
            continue;
        }
        PyObject *fresh = take_over(m); /* new */
        if (fresh == NULL) {
            return -1;
        }
        pyexec_watch_dict_accept(k, m->watch);
        int found = pyexec_find(k, m->name, fresh);
        Py_DECREF(fresh);
        if (found < 0) {
            return -1;
        }
    }
    return pyexec_lists_adopt(k) < 0 ? -1 : pyexec_objects_adopt(k);
}

int
pyexec_modules_accept(pyexec_kernel *k)
{
    return adopt_changed(k);
}

static void
import_again(pyexec_kernel *k, PyObject *name)
{
    if (k->modules.again == NULL) {
        k->modules.again = PyList_New(0); /* new */
    }
    if (k->modules.again == NULL || !PyUnicode_CheckExact(name) || PyList_Append(k->modules.again, name) < 0) {
        PyErr_Clear();
    }
}

/* An import that began clean leaves its modules, which are part of the baseline from then on. One that did not may have
 * loaded anything: its modules are dropped at the end, and then imported again. But a C module cannot be loaded twice,
 * and what Config.Keep names is to stay. */
static void
import_ended(pyexec_kernel *k, PyObject *name, bool clean, bool native, PyObject *before)
{
    bool kept = PyUnicode_CheckExact(name) && pyexec_keeps(k, name); /* and what it imports */
    if (!clean && !native && !kept) {
        import_again(k, name);
        if (pyexec_touch_loaded(k) < 0) { /* built-in ones, which come back as they are */
            PyErr_Clear();
            pyexec_taint(k, "out of memory while a module was imported");
        }
        return;
    }
    if (!clean && !kept) {
        import_again(k, name); /* it may be stray, and hide another */
    }
    if (adopt_new(k, before, clean || kept) < 0 || adopt_changed(k) < 0) {
        PyErr_Clear();
        pyexec_taint(k, "out of memory while a module was imported");
    }
    if (clean) { /* what has come into sys.modules is the import's */
        pyexec_watch_dict_accept(k, k->modules.table_watch);
    }
}

static PyObject *
find_and_load(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    pyexec_kernel *k = PyCapsule_GetPointer(self, CAPSULE);
    if (k == NULL) {
        return NULL;
    }
    pyexec_modules *m = &k->modules;
    if (m->depth > 0 || n < 1) {
        PyObject *inner = PyObject_Vectorcall(m->find_and_load, args, (size_t)n, NULL); /* new */
        if (inner != NULL && n > 0) {
            pyexec_known_imported(k, args[0]);
        }
        return inner;
    }
    PyObject *before = PyDict_Copy(m->table); /* new */
    if (before == NULL) {
        return NULL;
    }
    bool clean = !mark_dirty(k);
    uint64_t natives = k->natives;
    bool collects = PyGC_Disable(); /* nor does a finalizer of the snippet's run in between */
    m->depth++;
    PyObject *module = PyObject_Vectorcall(m->find_and_load, args, (size_t)n, NULL); /* new */
    m->depth--;
    if (module != NULL) {
        pyexec_known_imported(k, args[0]);
    }
    PyObject *exc = pyexec_take_exception(); /* new */
    import_ended(k, args[0], clean, k->natives != natives || pyexec_is_unsound_builtin(args[0]), before);
    if (collects) {
        PyGC_Enable();
    }
    pyexec_restore_exception(exc); /* stolen */
    Py_DECREF(before);
    return module;
}

static PyMethodDef find_and_load_def = {"_find_and_load", (PyCFunction)(void (*)(void))find_and_load, METH_FASTCALL,
                                        NULL};

static int
wrap_importlib(pyexec_kernel *k)
{
    int result = -1;
    PyObject *self = NULL, *wrapper = NULL;
    PyObject *importlib = PyImport_ImportModule("_frozen_importlib"); /* new */
    k->modules.find_and_load = importlib == NULL ? NULL : PyObject_GetAttrString(importlib, "_find_and_load");
    k->modules.importlib = importlib == NULL ? NULL : Py_XNewRef(PyModule_GetDict(importlib));
    self = PyCapsule_New(k, CAPSULE, NULL);
    wrapper = self == NULL ? NULL : PyCFunction_New(&find_and_load_def, self);
    if (k->modules.find_and_load != NULL && wrapper != NULL) {
        result = PyObject_SetAttrString(importlib, "_find_and_load", wrapper);
    }
    Py_XDECREF(wrapper);
    Py_XDECREF(self);
    Py_XDECREF(importlib);
    return result;
}

int
pyexec_modules_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    k->modules.table = Py_XNewRef(PyImport_GetModuleDict());
    k->modules.copy = PyDict_New(); /* new */
    if (k->modules.table == NULL || k->modules.copy == NULL || pyexec_find_skip(k, k->modules.table) < 0 ||
        wrap_importlib(k) < 0 || adopt_new(k, NULL, true) < 0) {
        return -1;
    }
    Py_ssize_t watch = pyexec_watch_dict(k, k->modules.table);
    k->modules.table_watch = (size_t)watch;
    return watch < 0 ? -1 : 0;
}

void
pyexec_modules_clear(pyexec_kernel *k)
{
    pyexec_modules *m = &k->modules;
    PyObject *importlib = m->find_and_load == NULL ? NULL : PyImport_ImportModule("_frozen_importlib"); /* new */
    if (importlib != NULL && PyObject_SetAttrString(importlib, "_find_and_load", m->find_and_load) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(importlib);
    for (size_t i = 0; i < m->n; i++) {
        Py_DECREF(m->items[i].name);
        Py_DECREF(m->items[i].dict);
        Py_DECREF(m->items[i].copy);
    }
    free(m->items);
    Py_CLEAR(m->find_and_load);
    Py_CLEAR(m->importlib);
    Py_CLEAR(m->again);
    Py_CLEAR(m->unfound);
    Py_CLEAR(m->table);
    Py_CLEAR(m->copy);
    *m = (pyexec_modules){0};
}

PyObject *
pyexec_module_had(pyexec_kernel *k, const char *module, const char *name)
{
    for (size_t i = 0; i < k->modules.n; i++) {
        if (PyUnicode_CompareWithASCIIString(k->modules.items[i].name, module) == 0) {
            return PyDict_GetItemString(k->modules.items[i].copy, name);
        }
    }
    return NULL;
}

static int
put_back(pyexec_kernel *k, PyObject *dict, PyObject *key, PyObject *was /* borrowed, NULL: nothing */)
{
    pyexec_bury(k, PyDict_GetItemWithError(dict, key));
    PyErr_Clear();
    if (was != NULL) {
        return PyDict_SetItem(dict, key, was);
    }
    return PyDict_DelItem(dict, key);
}

static bool
is_text(PyObject *v)
{
    bool text = PyUnicode_CheckExact(v) || PyTuple_CheckExact(v);
    for (Py_ssize_t i = 0; text && PyTuple_CheckExact(v) && i < PyTuple_GET_SIZE(v); i++) {
        text = PyUnicode_CheckExact(PyTuple_GET_ITEM(v, i));
    }
    return text;
}

/* Put back without a report, since ordinary work does it: what a module has for itself, an equal text (time.tzset makes
 * time.tzname anew), and a submodule that will be imported again. */
static bool
is_ordinary(const pyexec_modules *m, PyObject *name, PyObject *was, PyObject *is)
{
    if (pyexec_is_private(name, false)) {
        return true;
    }
    if (was == NULL && is != NULL && PyModule_Check(is) && m->again != NULL) {
        PyObject *own = PyModule_GetNameObject(is); /* new */
        bool same = own != NULL && PyUnicode_Compare(own, name) == 0;
        PyErr_Clear();
        Py_XDECREF(own);
        return same;
    }
    return was != NULL && is != NULL && is_text(was) && is_text(is) && PyObject_RichCompareBool(was, is, Py_EQ) == 1;
}

/* A package that imports from its submodules what is first asked for (PEP 562, concurrent.futures) keeps what it found. */
static bool
is_found_late(pyexec_kernel *k, const pyexec_module *m, PyObject *key, PyObject *was, PyObject *is)
{
    if (was != NULL || is == NULL || !PyType_Check(is) || !pyexec_is_baseline(k, is) ||
        PyDict_GetItemString(m->copy, "__getattr__") == NULL) {
        return false;
    }
    PyObject *dict = pyexec_type_dict((PyTypeObject *)is);                                      /* new */
    PyObject *from = dict == NULL ? NULL : PyDict_GetItemWithError(dict, k->str_module); /* borrowed */
    PyObject *name = PyType_GetName((PyTypeObject *)is);                                        /* new */
    bool result = from != NULL && PyUnicode_CheckExact(from) && name != NULL && PyUnicode_Compare(name, key) == 0 &&
                  PyUnicode_Tailmatch(from, m->name, 0, PY_SSIZE_T_MAX, -1) == 1;
    PyErr_Clear();
    Py_XDECREF(name);
    Py_XDECREF(dict);
    return result;
}

static int
restore_module(pyexec_kernel *k, pyexec_module *m)
{
    int changed = 0;
    PyObject *keys = differing(m->copy, m->dict); /* new */
    if (keys == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i); /* borrowed, as the next two */
        PyObject *was = PyDict_GetItemWithError(m->copy, key);
        PyObject *is = PyDict_GetItemWithError(m->dict, key);
        if (PyUnicode_CheckExact(key) && PyUnicode_CompareWithASCIIString(key, "__warningregistry__") != 0) {
            PyObject *name = PyUnicode_FromFormat("%U.%U", m->name, key); /* new */
            if (name != NULL && (pyexec_keeps(k, name) || is_found_late(k, m, key, was, is))) {
                Py_DECREF(name);
                if ((is != NULL ? PyDict_SetItem(m->copy, key, is) : PyDict_DelItem(m->copy, key)) < 0) {
                    Py_DECREF(keys);
                    return -1;
                }
                continue;
            }
            if (name != NULL && !is_ordinary(&k->modules, name, was, is)) {
                pyexec_change_named(k, name);
                pyexec_change_repr(k, was);
                pyexec_change_repr(k, is);
            }
            Py_XDECREF(name);
            changed = 1;
        }
        if (put_back(k, m->dict, key, was) < 0) {
            Py_DECREF(keys);
            return -1;
        }
    }
    Py_DECREF(keys);
    return changed;
}

int
pyexec_modules_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    int changed = 0;
    for (size_t i = 0; i < k->modules.n; i++) {
        if (pyexec_watch_dict_changed(k, k->modules.items[i].watch)) {
            int rc = restore_module(k, &k->modules.items[i]);
            if (rc < 0) {
                return -1;
            }
            changed |= rc;
        }
    }
    return changed;
}

/* Something that an import put there while `again` lists it. */
static bool
is_from_dirty_import(const pyexec_modules *m, PyObject *key, PyObject *v)
{
    return m->again != NULL && PyUnicode_CheckExact(key) && PyModule_Check(v) &&
           PyDict_GetItemString(PyModule_GetDict(v), "__spec__") != NULL;
}

int
pyexec_sys_modules_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)s;
    pyexec_modules *m = &k->modules;
    if (!pyexec_watch_dict_changed(k, m->table_watch)) {
        return 0;
    }
    int result = -1;
    PyObject *keys = differing(m->copy, m->table);                  /* new */
    PyObject *before = PyDict_New(), *after = PyDict_New();         /* new */
    if (keys == NULL || before == NULL || after == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i); /* borrowed, as the next two */
        PyObject *was = PyDict_GetItemWithError(m->copy, key);
        PyObject *is = PyDict_GetItemWithError(m->table, key);
        if (was == NULL && is != NULL && is_from_dirty_import(m, key, is)) {
            if (put_back(k, m->table, key, NULL) < 0) {
                goto done;
            }
            continue; /* not the snippet's doing */
        }
        if (PyDict_SetItem(before, key, was != NULL ? was : Py_None) < 0 ||
            PyDict_SetItem(after, key, is != NULL ? is : Py_None) < 0 || put_back(k, m->table, key, was) < 0) {
            goto done;
        }
    }
    result = PyDict_GET_SIZE(before) > 0;
    if (result > 0) {
        pyexec_change_begin(k, row);
        pyexec_change_repr(k, before);
        pyexec_change_repr(k, after);
    }

done:
    Py_XDECREF(keys);
    Py_XDECREF(before);
    Py_XDECREF(after);
    return result;
}

/* When all has been put back: what was imported in between is imported once more, so that it stays, as a clean
 * interpreter has it. What only the snippet's changes made it find, is not found now. */
void
pyexec_modules_import_again(pyexec_kernel *k)
{
    pyexec_modules *m = &k->modules;
    PyObject *again = m->again; /* owned here */
    if (again == NULL) {
        return;
    }
    m->again = NULL;
    if (m->unfound == NULL) {
        m->unfound = PySet_New(NULL); /* new */
    }
    bool out = k->out.open, err = k->err.open;
    k->out.open = k->err.open = false; /* what the module prints, it has printed already */
    for (Py_ssize_t i = 0; m->unfound != NULL && i < PyList_GET_SIZE(again); i++) {
        PyObject *name = PyList_GET_ITEM(again, i); /* borrowed */
        if (PySet_Contains(m->unfound, name) != 0 || PyDict_Contains(m->table, name) != 0) {
            continue;
        }
        PyObject *module = PyImport_Import(name); /* new */
        if (module == NULL) {
            PyErr_Clear();
            if (PySet_GET_SIZE(m->unfound) < MAX_UNFOUND && PySet_Add(m->unfound, name) < 0) {
                PyErr_Clear();
            }
        }
        Py_XDECREF(module);
    }
    PyErr_Clear();
    k->out.open = out;
    k->err.open = err;
    Py_DECREF(again);
}
