/* row_registries.c: what C modules of the standard library keep where no attribute leads to: codecs, what abstract classes
 * know of others, the generator behind the functions of random, the templates of decimal contexts, zoneinfo's cache. */
#include "compat.h"

#include "kernel.h"

/* ---- codecs: the containers themselves are found once, before any snippet, and put back like those of modules ---- */

static PyObject *
never(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    Py_RETURN_NONE;
}

static PyMethodDef never_def = {"pyexec_probe", never, METH_VARARGS, NULL};

static bool
holds(PyObject *o, PyObject *v, const char *key)
{
    return key == NULL ? PyList_CheckExact(o) : PyDict_CheckExact(o) && PyDict_GetItemString(o, key) == v;
}

static PyObject * /* new, or NULL with an exception: the list that holds v, or the dict that does so under key */
holder_of(PyObject *v, const char *key, PyObject *other)
{
    PyObject *gc = PyImport_ImportModule("gc");                                                              /* new */
    PyObject *all = gc == NULL ? NULL : PyObject_CallMethod(gc, "get_referrers", "(O)", v);            /* new */
    PyObject *found = NULL;
    for (Py_ssize_t i = 0; all != NULL && found == NULL && i < PyList_GET_SIZE(all); i++) {
        PyObject *o = PyList_GET_ITEM(all, i); /* borrowed */
        if (o != other && o != all && holds(o, v, key)) {
            found = Py_NewRef(o);
        }
    }
    if (found == NULL && all != NULL) {
        PyErr_SetString(PyExc_SystemError, "pyexec: the codec registry was not found");
    }
    Py_XDECREF(all);
    Py_XDECREF(gc);
    return found;
}

static int
find_codecs(pyexec_kernel *k)
{
    pyexec_registries *r = &k->registries;
    int rc = -1;
    PyObject *probe = PyCFunction_New(&never_def, NULL);                                 /* new */
    PyObject *utf8 = NULL, *encodings = NULL, *own = NULL;
    PyObject *codecs = PyImport_ImportModule("_codecs"); /* new */
    if (probe == NULL || codecs == NULL || PyCodec_Register(probe) < 0) {
        goto done;
    }
    r->search_path = holder_of(probe, NULL, NULL);
    if (PyCodec_Unregister(probe) < 0 || r->search_path == NULL ||
        PyCodec_RegisterError("pyexec.probe", probe) < 0) {
        goto done;
    }
    r->errors = holder_of(probe, "pyexec.probe", NULL);
    if (r->errors == NULL || PyDict_DelItemString(r->errors, "pyexec.probe") < 0) {
        goto done;
    }
    encodings = PyImport_ImportModule("encodings");                                           /* new */
    own = encodings == NULL ? NULL : PyObject_GetAttrString(encodings, "_cache");       /* new */
    utf8 = own == NULL ? NULL : PyObject_CallMethod(codecs, "lookup", "s", "utf_8"); /* new */
    r->cache = utf8 == NULL ? NULL : holder_of(utf8, "utf_8", own);
    rc = r->cache == NULL ? -1 : 0;

done:
    Py_XDECREF(codecs);
    Py_XDECREF(own);
    Py_XDECREF(encodings);
    Py_XDECREF(utf8);
    Py_XDECREF(probe);
    return rc;
}

static int
track(pyexec_kernel *k, uint8_t kind, const char *name, PyObject *v)
{
    PyObject *s = PyUnicode_FromString(name); /* new */
    int rc = s == NULL ? -1 : pyexec_object_track(k, kind, s, v, v);
    Py_XDECREF(s);
    return rc;
}

int
pyexec_codecs_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    s->contents = PyDict_Copy(k->registries.cache);
    if (s->contents == NULL || track(k, PYEXEC_LIST, "codecs.register", k->registries.search_path) < 0) {
        return -1;
    }
    k->registries.path_watch = k->objects.items[k->objects.n - 1].watch;
    return track(k, PYEXEC_DICT, "codecs.register_error", k->registries.errors);
}

static bool
is_bent(pyexec_kernel *k, const char *package) /* its modules, or what could stand in for them */
{
    bool bent = k->undos.n > 0 || pyexec_watch_dict_changed(k, k->modules.table_watch);
    for (size_t i = 0; i < k->modules.n && !bent; i++) {
        const char *name = PyUnicode_AsUTF8(k->modules.items[i].name);
        bent = name != NULL && strncmp(name, package, strlen(package)) == 0 &&
               pyexec_watch_dict_changed(k, k->modules.items[i].watch);
    }
    PyErr_Clear();
    return bent;
}

/* The interpreter's own cache of look-ups: what a bent search has put there is not to be found by the next snippet. Anything
 * else may stay: the standard library's answers are always the same. */
int
pyexec_codecs_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    PyObject *cache = k->registries.cache;
    if (PyDict_GET_SIZE(cache) == PyDict_GET_SIZE(s->contents) ||
        !(pyexec_watch_list_changed(k, k->registries.path_watch) || is_bent(k, "encodings"))) {
        return 0;
    }
    PyObject *old = PyDict_Copy(cache); /* new: released when the cache is whole again */
    PyDict_Clear(cache);
    int rc = PyDict_Update(cache, s->contents);
    pyexec_bury(k, old);
    Py_XDECREF(old);
    return rc;
}

/* ---- abc: virtual subclasses, and answers that abstract classes remember ---- */

enum { COLLECTION = Py_TPFLAGS_SEQUENCE | Py_TPFLAGS_MAPPING };

static PyObject * /* borrowed, NULL if it is no abstract class */
abc_impl(PyObject *class)
{
    PyObject *dict = pyexec_type_dict((PyTypeObject *)class);                                    /* new */
    PyObject *impl = dict == NULL ? NULL : PyDict_GetItemString(dict, "_abc_impl"); /* borrowed from the class */
    Py_XDECREF(dict);
    return impl;
}

/* The classes that snippets made or registered are asked for by the abstract classes of modules that they derive from,
 * and these remember the answers. */
static int
note_bases(pyexec_kernel *k, pyexec_row_state *s, PyObject *class)
{
    PyObject *mro = PyType_Check(class) ? ((PyTypeObject *)class)->tp_mro : NULL; /* borrowed */
    for (Py_ssize_t i = 0; mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyObject *base = PyTuple_GET_ITEM(mro, i); /* borrowed */
        if (PyType_Check(base) && abc_impl(base) != NULL && pyexec_is_baseline(k, base) &&
            pyexec_keep(k, s, PyTuple_Pack(1, base)) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
note_flags(pyexec_kernel *k, pyexec_row_state *s, PyObject *class)
{
    PyTypeObject *t = (PyTypeObject *)class;
    if ((t->tp_flags & Py_TPFLAGS_IMMUTABLETYPE) != 0) {
        return 0;
    }
    if (pyexec_keep(k, s, Py_BuildValue("(Ok)", class, t->tp_flags & COLLECTION)) < 0) {
        return -1;
    }
    PyObject *below = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", class); /* new */
    int rc = below == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(below); i++) {
        rc = note_flags(k, s, PyList_GET_ITEM(below, i));
    }
    Py_XDECREF(below);
    return rc;
}

static PyObject *
on_abc(const pyexec_call *c) /* _abc_init(class), _abc_register(class, subclass) */
{
    PyObject *class = pyexec_arg(c, 0, NULL), *sub = pyexec_arg(c, 1, NULL); /* borrowed */
    pyexec_row_state *s = c->touch->state;
    if (!pyexec_by_snippet(c->k) || class == NULL || !PyType_Check(class)) {
        return pyexec_real(c);
    }
    Py_XSETREF(s->owner, Py_NewRef(c->self));
    if (note_bases(c->k, s, class) < 0) {
        return NULL;
    }
    if (sub != NULL && PyType_Check(sub)) {
        PyObject *was = NULL;
        if (pyexec_is_baseline(c->k, class)) {
            PyObject *dump = pyexec_ask(c, "_get_dump", class, NULL);                          /* new */
            was = dump == NULL ? NULL : PySequence_Tuple(PyTuple_GET_ITEM(dump, 0)); /* new: weak references */
            Py_XDECREF(dump);
            int rc = was == NULL ? -1 : pyexec_keep(c->k, s, PyTuple_Pack(3, class, was, sub));
            Py_XDECREF(was);
            if (rc < 0) {
                return NULL;
            }
        }
        if ((((PyTypeObject *)class)->tp_flags & COLLECTION) != 0 && note_flags(c->k, s, sub) < 0) {
            return NULL;
        }
    }
    return pyexec_real(c);
}

static int
first_set(PyObject *v, void *arg)
{
    PyObject **found = arg;
    if (*found == NULL && PySet_CheckExact(v)) {
        *found = v;
    }
    return 0;
}

static int
put_registry_back(PyObject *class, PyObject *was)
{
    PyObject *impl = abc_impl(class), *registry = NULL; /* borrowed */
    if (impl == NULL || Py_TYPE(impl)->tp_traverse == NULL) {
        return -1;
    }
    Py_TYPE(impl)->tp_traverse(impl, first_set, &registry); /* it is the first of three */
    if (registry == NULL) {
        return PyTuple_GET_SIZE(was) == 0 ? 0 : -1;
    }
    int rc = PySet_Clear(registry);
    for (Py_ssize_t i = 0; rc == 0 && i < PyTuple_GET_SIZE(was); i++) {
        rc = PySet_Add(registry, PyTuple_GET_ITEM(was, i));
    }
    return rc;
}

int
pyexec_abc_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *list = s->contents; /* now ours */
    int result = 0;
    if (list == NULL) {
        return 0;
    }
    s->contents = NULL;
    PyObject *forget = pyexec_original(s->owner, "_reset_caches"); /* new */
    for (Py_ssize_t i = PyList_GET_SIZE(list); i-- > 0;) {
        PyObject *entry = PyList_GET_ITEM(list, i), *class = PyTuple_GET_ITEM(entry, 0); /* borrowed */
        PyTypeObject *t = (PyTypeObject *)class;
        if (PyTuple_GET_SIZE(entry) == 2) { /* flags */
            unsigned long flags = PyLong_AsUnsignedLong(PyTuple_GET_ITEM(entry, 1));
            if ((t->tp_flags & COLLECTION) != flags) {
                t->tp_flags = (t->tp_flags & ~(unsigned long)COLLECTION) | flags;
                PyType_Modified(t);
            }
        }
        else if (PyTuple_GET_SIZE(entry) == 3) {
            PyObject *was = PyTuple_GET_ITEM(entry, 1), *sub = PyTuple_GET_ITEM(entry, 2); /* borrowed */
            if (put_registry_back(class, was) < 0) {
                result = -1;
            }
            else {
                char after[256];
                PyOS_snprintf(after, sizeof after, "%.100s, with %.100s", t->tp_name, ((PyTypeObject *)sub)->tp_name);
                pyexec_report(k, row, t->tp_name, after);
                result = result < 0 ? -1 : 1;
            }
        }
        else {
            PyObject *r = forget == NULL ? NULL : PyObject_CallFunctionObjArgs(forget, class, NULL); /* new */
            Py_XDECREF(r);
            result = r == NULL ? -1 : result;
        }
        PyErr_Clear();
    }
    pyexec_bury(k, list);
    Py_XDECREF(forget);
    Py_DECREF(list);
    return result;
}

/* ---- random's own generator: whoever has seeded it, or knows its state, knows what it gives next ---- */

static PyObject *
on_random(const pyexec_call *c)
{
    if (pyexec_by_snippet(c->k) && pyexec_is_baseline(c->k, c->self) &&
        pyexec_keep(c->k, c->touch->state, PyTuple_Pack(1, c->self)) < 0) {
        return NULL;
    }
    return pyexec_real(c);
}

int
pyexec_random_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *list = s->contents; /* now ours */
    if (list == NULL) {
        return 0;
    }
    s->contents = NULL;
    int result = 1;
    PyObject *last = NULL; /* borrowed */
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *v = PyTuple_GET_ITEM(PyList_GET_ITEM(list, i), 0); /* borrowed */
        PyObject *r = v == last ? Py_NewRef(v) : pyexec_call_method("_random", "Random", "seed", v); /* new */
        result = r == NULL ? -1 : result;
        last = v;
        Py_XDECREF(r);
    }
    Py_DECREF(list);
    pyexec_report(k, row, "seeded by the operating system", "known to the snippet");
    return result;
}

/* ---- the three templates of decimal, whose attributes are in their C structs ---- */

static const char *const templates[] = {"DefaultContext", "BasicContext", "ExtendedContext"};
enum { TEMPLATES = sizeof templates / sizeof *templates };

static int
take_templates(pyexec_kernel *k, PyObject *module)
{
    for (size_t i = 0; i < TEMPLATES; i++) {
        PyObject *v = PyObject_GetAttrString(module, templates[i]); /* new */
        size_t n = v == NULL ? 0 : (size_t)Py_TYPE(v)->tp_basicsize - sizeof(PyObject);
        if (v == NULL || n > sizeof k->registries.templates[i].bytes) {
            Py_XDECREF(v);
            return v == NULL ? -1 : 0;
        }
        Py_XSETREF(k->registries.templates[i].object, v);
        k->registries.templates[i].n = n;
        memcpy(k->registries.templates[i].bytes, v + 1, n);
    }
    return 0;
}

bool
pyexec_templates_quiet(pyexec_kernel *k)
{
    bool quiet = true;
    for (size_t i = 0; i < TEMPLATES && k->registries.templates[i].object != NULL; i++) {
        quiet = quiet && memcmp(k->registries.templates[i].object + 1, k->registries.templates[i].bytes,
                                k->registries.templates[i].n) == 0;
    }
    return quiet;
}

int
pyexec_templates_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    int changed = 0;
    (void)s;
    for (size_t i = 0; i < TEMPLATES && k->registries.templates[i].object != NULL; i++) {
        PyObject *v = k->registries.templates[i].object;
        if (memcmp(v + 1, k->registries.templates[i].bytes, k->registries.templates[i].n) == 0) {
            continue;
        }
        PyObject *after = PyObject_Repr(v); /* new */
        memcpy(v + 1, k->registries.templates[i].bytes, k->registries.templates[i].n);
        PyObject *before = PyObject_Repr(v); /* new */
        pyexec_report_values(k, row, before, after);
        Py_XDECREF(before);
        Py_XDECREF(after);
        changed = 1;
    }
    return changed;
}

/* ---- zoneinfo caches what it found on a path that a snippet may have bent ---- */

int
pyexec_zoneinfo_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    (void)row;
    (void)s;
    if (k->registries.zoneinfo == NULL || !is_bent(k, "zoneinfo")) {
        return 0;
    }
    PyObject *r = PyObject_CallMethod(k->registries.zoneinfo, "clear_cache", NULL); /* new */
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* ---- sqlite3.enable_callback_tracebacks, whose state cannot be asked for ---- */

static PyObject *
on_tracebacks(const pyexec_call *c)
{
    PyObject *v = pyexec_arg(c, 0, NULL); /* borrowed */
    int on = v == NULL ? 0 : PyObject_IsTrue(v);
    if (on < 0 || (on == 1 && pyexec_by_snippet(c->k) &&
                   pyexec_undo_later(c, c->self, c->touch->name, PyTuple_Pack(1, Py_False)) < 0)) {
        return NULL;
    }
    return pyexec_real(c);
}

/* ---- ctypes: every call of a foreign function can have changed anything ---- */

static ternaryfunc foreign_call = NULL;

static PyObject *
on_foreign_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    pyexec_ctypes_used();
    return foreign_call(self, args, kwargs);
}

static int
replace_call(PyObject *type) /* and in the types that have inherited it */
{
    PyTypeObject *t = (PyTypeObject *)type;
    if (t->tp_call != on_foreign_call) {
        if (foreign_call == NULL) {
            foreign_call = t->tp_call;
        }
        if (t->tp_call != foreign_call) {
            return 0;
        }
        t->tp_call = on_foreign_call;
    }
    PyObject *descriptor = PyObject_GetAttrString(type, "__call__"); /* new: what types made later take theirs from */
    if (descriptor != NULL && Py_IS_TYPE(descriptor, &PyWrapperDescr_Type)) {
        ((PyWrapperDescrObject *)descriptor)->d_wrapped = (void *)on_foreign_call;
    }
    PyErr_Clear();
    Py_XDECREF(descriptor);
    PyObject *below = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", type); /* new */
    int rc = below == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(below); i++) {
        rc = replace_call(PyList_GET_ITEM(below, i));
    }
    Py_XDECREF(below);
    return rc;
}

int
pyexec_ctypes_saw(PyObject *name, PyObject *module)
{
    if (PyUnicode_CompareWithASCIIString(name, "_ctypes") != 0) {
        return 0;
    }
    PyObject *type = PyObject_GetAttrString(module, "CFuncPtr"); /* new */
    int rc = type == NULL ? -1 : replace_call(type);
    Py_XDECREF(type);
    return rc;
}

int
pyexec_registries_saw(pyexec_kernel *k, PyObject *name, PyObject *module)
{
    pyexec_registries *r = &k->registries;
    int rc = 0;
    if (PyUnicode_CompareWithASCIIString(name, "_decimal") == 0) {
        rc = take_templates(k, module);
    }
    else if (PyUnicode_CompareWithASCIIString(name, "zoneinfo") == 0) {
        Py_XSETREF(r->zoneinfo, PyObject_GetAttrString(module, "ZoneInfo"));
        rc = r->zoneinfo == NULL ? -1 : 0;
    }
    return rc;
}

void
pyexec_registries_clear(pyexec_kernel *k)
{
    pyexec_registries *r = &k->registries;
    PyObject **held[] = {&r->search_path, &r->errors, &r->cache, &r->zoneinfo,
                         &r->templates[0].object, &r->templates[1].object, &r->templates[2].object};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
        Py_CLEAR(*held[i]);
    }
}

int
pyexec_registries_init(pyexec_kernel *k)
{
#define TOUCH(row, module, type, name, hook) {row, module, type, name, hook, NULL, NULL, NULL, {0}}
    static const pyexec_touch all[] = {
        TOUCH("abc.ABCMeta.register", "_abc", NULL, "_abc_init", on_abc),
        TOUCH("abc.ABCMeta.register", "_abc", NULL, "_abc_register", on_abc),
        TOUCH("random.seed", "_random", "Random", "seed", on_random),
        TOUCH("random.seed", "_random", "Random", "setstate", on_random),
        TOUCH("random.seed", "_random", "Random", "getstate", on_random),
        TOUCH("sqlite3.enable_callback_tracebacks", "_sqlite3", NULL, "enable_callback_tracebacks", on_tracebacks),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (pyexec_touch_add(k, &all[i]) < 0) {
            return -1;
        }
    }
    return find_codecs(k);
}
