/* lifecycle.c: initialise, recycle, finalise.
 *
 * A recycle is Py_FinalizeEx and Py_InitializeFromConfig where that was measured to be sound: no thread of a snippet
 * lives, and every C module that was loaded is on the list in modules.c. Anything else it survives by not trying: all state is
 * put back, garbage of every age is collected, and the interpreter goes on. RATIONALE.md has the measurements. */
#include "compat.h"

#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t generations = 0;
static _Atomic bool owned = false;
static pyexec_kernel *dormant = NULL; /* stopped, but not safe to finalise: the next start takes it over */

/* ---- initialise ---- */

int
pyexec_fail_exception(pyexec_failure *f, const char *what)
{
    PyObject *exc = pyexec_take_exception();                  /* new */
    PyObject *s = exc == NULL ? NULL : PyObject_Str(exc); /* new */
    const char *text = s == NULL ? NULL : PyUnicode_AsUTF8(s);
    pyexec_fail(f, what, text);
    PyErr_Clear();
    Py_XDECREF(s);
    Py_XDECREF(exc);
    return -1;
}

static PyObject * /* new */
attr_of(const char *module_name, const char *attr)
{
    PyObject *module = PyImport_ImportModule(module_name);                           /* new */
    PyObject *v = module == NULL ? NULL : PyObject_GetAttrString(module, attr); /* new */
    Py_XDECREF(module);
    return v;
}

static int
make_namespace(pyexec_kernel *k)
{
    PyObject *builtins = PyImport_ImportModule("builtins"); /* new */
    PyObject *loader = pyexec_loader(k);                    /* new */
    if (loader == NULL) {
        Py_XDECREF(builtins);
        return -1;
    }
    k->main_module = PyImport_AddModule("__main__");        /* borrowed */
    Py_XINCREF(k->main_module);
    k->main_slot = k->main_module == NULL ? NULL : _PyObject_GetDictPtr(k->main_module);
    /* What a script has. Six names also make room for four more before the dict must grow. */
    k->namespace = Py_BuildValue("{sssOsOsOsOsO}", "__name__", "__main__", "__doc__", Py_None, "__package__", Py_None,
                                 "__loader__", loader, "__spec__", Py_None, "__builtins__", builtins);
    Py_XDECREF(builtins);
    if (k->main_slot == NULL || k->namespace == NULL) {
        return -1;
    }
    Py_ssize_t pos = 0;
    while (PyDict_Next(k->namespace, &pos, &k->namespace_end, NULL)) {
    }
    return 0;
}

/* Config.Preload: what is imported now belongs to the baseline, and may pin the interpreter as any import. */
static int
preload(pyexec_kernel *k, pyexec_failure *f)
{
    char what[128];
    k->started = true;
    for (const char *p = k->config.preload == NULL ? "" : k->config.preload; *p != '\0';) {
        size_t n = strcspn(p, "\n");
        PyObject *name = PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, NULL);          /* new */
        PyObject *module = name == NULL ? NULL : PyImport_Import(name); /* new */
        Py_XDECREF(name);
        if (module == NULL) {
            snprintf(what, sizeof what, "Config.Preload: importing %.*s", (int)(n < 80 ? n : 80), p);
            return pyexec_fail_exception(f, what);
        }
        Py_DECREF(module);
        p += n + (p[n] == '\n');
    }
    return 0;
}

static int
prepare(pyexec_kernel *k, pyexec_failure *f)
{
    PyObject *threading = pyexec_import_threading();        /* new: its main thread is to be this one */
    PyObject *warnings = PyImport_ImportModule("warnings"); /* new: rows of the reset table are in it */
    Py_XDECREF(threading);
    Py_XDECREF(warnings);
    if (threading == NULL || warnings == NULL || pyexec_set_executable() < 0 || make_namespace(k) < 0) {
        return -1;
    }
    k->str_body = PyUnicode_InternFromString("body");
    k->str_value = PyUnicode_InternFromString("value");
    k->builtin_compile = attr_of("builtins", "compile");
    k->ast_expression = attr_of("_ast", "Expression");
    k->ast_expr = attr_of("_ast", "Expr");
    k->atexit_clear = attr_of("atexit", "_clear");
    k->gc_collect = attr_of("gc", "collect");
    k->gc_freeze = attr_of("gc", "freeze");
    k->gc_unfreeze = attr_of("gc", "unfreeze");
    k->gc_get_objects = attr_of("gc", "get_objects");
    if (k->str_body == NULL || k->str_value == NULL || k->builtin_compile == NULL || k->ast_expression == NULL ||
        k->ast_expr == NULL || k->gc_collect == NULL || k->gc_freeze == NULL || k->gc_unfreeze == NULL ||
        k->atexit_clear == NULL || k->gc_get_objects == NULL) {
        return -1;
    }
    pyexec_memory_init(k);
    if (PYEXEC_RECURSION_IS_OF_STACK && pyexec_recursion_here() < Py_GetRecursionLimit()) {
        Py_SetRecursionLimit(pyexec_recursion_here()); /* threads have small stacks here: ulimit -s */
    }
    if (pyexec_touch_init(k) < 0 || pyexec_guard_init(k) < 0 || pyexec_search_path(k, f) < 0 ||
        pyexec_stop_init(k) < 0 || pyexec_output_install(k) < 0 || pyexec_stream_install(k) < 0 ||
        pyexec_host_install(k) < 0 || pyexec_confine_init(k) < 0) {
        return -1;
    }
    k->unloaded = preload(k, f) < 0;
    pyexec_known_renew(k);
    if (pyexec_gc_init(k) < 0 || pyexec_reset_init(k) < 0) {
        return -1;
    }
    pyexec_gc_keep(k); /* the baseline, too */
    return 0;
}

/* ---- finalise ---- */

/* Drop every reference to a Python object that the kernel holds. */
static void
release(pyexec_kernel *k)
{
    PyObject **held[] = {&k->namespace,  &k->main_module, &k->builtin_compile, &k->ast_expression,
                         &k->ast_expr,   &k->str_body,    &k->str_value,       &k->gc_collect,
                         &k->gc_freeze,  &k->gc_unfreeze, &k->gc_get_objects, &k->atexit_clear, &k->gc_young,
                         &k->sys_stdout, &k->sys_stderr,  &k->empty_input,     &k->trace_output};
    pyexec_touch_clear();
    pyexec_codes_clear(k, true);
    pyexec_reset_clear(k);
    pyexec_confine_clear(k);
    pyexec_host_release(k);
    pyexec_known_clear(k);
    k->graveyard = NULL; /* leaked on purpose */
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
        Py_CLEAR(*held[i]);
    }
}

static void
forget_atexit(pyexec_kernel *k)
{
    PyObject *r = k->atexit_clear == NULL ? NULL : PyObject_CallNoArgs(k->atexit_clear); /* new */
    PyErr_Clear();
    Py_XDECREF(r);
    /* Py_FinalizeEx would call threading._shutdown, which a snippet can replace; no thread is left to be joined. */
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    if (PyDict_DelItemString(modules, "threading") < 0) {
        PyErr_Clear();
    }
}

static bool
may_finalize(pyexec_kernel *k)
{
    return PYEXEC_REINIT_BARE && k->pinned[0] == '\0' && !pyexec_has_foreign_threads(k);
}

/* GIL held before; not held after */
static void
finalize(pyexec_kernel *k)
{
    pyexec_guard_threads(true);
    forget_atexit(k); /* handlers of snippets must not run: outside any call, nothing limits them */
    pyexec_gc_thaw(k);
    PyErr_Clear();
    release(k);
    pyexec_drop_thread_states(k);
    k->interp = NULL;
    k->started = false;
    pyexec_stop_fini(k);
    pyexec_stop_trace_finalizers();
    (void)Py_FinalizeEx(); /* its result only says whether flushing sys.stdout failed, which is ours */
    pyexec_stop_end(k); /* a new interpreter is not to be stopped */
}

/* Put everything back while what that drops, and its finalizers, can still be stopped. */
static void
tidy(pyexec_kernel *k)
{
    k->gc_enabled = PyGC_Disable();
    pyexec_reset_after(k);
    pyexec_gc_collect(k);
}

/* -1 if it failed. If k->interp is set then, it is only that a module could not be preloaded, after others that forbid to
 * finalise: the interpreter is good for another try. GIL not held before; not held after. */
static int
start_interpreter(pyexec_kernel *k, pyexec_failure *f)
{
    k->generation = ++generations;
    k->given_up = 0;
    k->pinned[0] = '\0';
    k->started = false;
    pyexec_guard_threads(false);
    owned = true;
    if (pyexec_initialize(k, f) < 0) {
        return -1;
    }
    k->interp = PyInterpreterState_Get();
    if (!pyexec_attach_adopt(k) || prepare(k, f) < 0 || (k->unloaded && may_finalize(k))) {
        if (PyErr_Occurred()) {
            pyexec_fail_exception(f, "preparing the interpreter");
        }
        finalize(k);
        return -1;
    }
    k->started = true;
    pyexec_detach(k);
    return k->unloaded ? -1 : 0;
}

static void
purge(pyexec_kernel *k)
{
    k->gc_enabled = PyGC_Disable();
    pyexec_reset_after(k);
    PyGC_Enable();
    pyexec_clear_thread_states(k); /* and with them what is kept by thread */
    pyexec_gc_full(k);
    PyType_ClearCache();
}

/* ---- the three operations, on the lifecycle thread ---- */

typedef struct {
    pyexec_kernel *k;
    const pyexec_config *config;
    pyexec_failure *failure;
    uint64_t id;
    int result;
} operation;

/* A recycle can be stopped as a call can: it runs what finalizers snippets have left. */
static void
begin(operation *op, const char *name)
{
    pyexec_stop_begin(op->k, op->id, 0, name, strlen(name));
}

enum { TEXTS = 5 };

static void
texts_of(pyexec_config *config, const char **texts[TEXTS])
{
    const char **all[TEXTS] = {&config->preload, &config->keep, &config->home, &config->venv, &config->paths};
    memcpy(texts, all, sizeof all);
}

static void
free_texts(pyexec_kernel *k)
{
    const char **texts[TEXTS];
    texts_of(&k->config, texts);
    for (int i = 0; i < TEXTS; i++) {
        free((char *)*texts[i]);
        *texts[i] = NULL;
    }
}

static void
configure(pyexec_kernel *k, const pyexec_config *config)
{
    const char **texts[TEXTS];
    free_texts(k);
    k->config = *config;
    texts_of(&k->config, texts);
    for (int i = 0; i < TEXTS; i++) {
        *texts[i] = strdup(*texts[i] == NULL ? "" : *texts[i]);
    }
    pyexec_confine_configure(k);
    k->out.max = k->err.max = (size_t)config->max_output;
}

static void
free_kernel(pyexec_kernel *k)
{
    pyexec_stop_forget(k);
    pyexec_buf_free(&k->buf);
    pyexec_buf_free(&k->skipped);
    pyexec_buf_free(&k->changes);
    pyexec_buf_free(&k->out.buf);
    pyexec_buf_free(&k->err.buf);
    pyexec_buf_free(&k->trace.buf);
    free(k->codes.chains);
    free(k->children.items);
    free(k->descriptors.items);
    free_texts(k);
    free(k);
}

static void
do_start(void *arg)
{
    operation *op = arg;
    pyexec_kernel *k = dormant;
    op->result = -1;
    if (k != NULL) {
        if (!pyexec_same_installation(&k->config, op->config)) {
            snprintf(op->failure->message, sizeof op->failure->message,
                     "the interpreter of an earlier Executor cannot be finalised (%s), and has another Config.Home, "
                     "Config.Venv or Config.Paths: use Isolation: Process, or another program",
                     k->pinned[0] != '\0' ? k->pinned : "this Python does not bear it, or a thread still runs");
            return;
        }
        dormant = NULL;
        if (!pyexec_attach(k)) {
            dormant = k;
            pyexec_fail(op->failure, "start", "out of memory");
            return;
        }
        pyexec_codes_clear(k, true);
        free(k->codes.chains);
        configure(k, op->config);
        k->stop.wanted = 0; /* ids begin anew */
        pyexec_memory_init(k);
        op->result = pyexec_codes_init(k);
        pyexec_reset_before(k); /* what the host changed while nobody ran is its own */
        if (op->result == 0) {
            op->result = preload(k, op->failure);
        }
        purge(k);
        pyexec_detach(k);
        op->k = k;
        if (op->result < 0) {
            dormant = k;
        }
        return;
    }
    if (Py_IsInitialized()) {
        pyexec_fail(op->failure, "start", "other code in this process already runs a Python interpreter");
        return;
    }
    k = calloc(1, sizeof *k);
    if (k == NULL) {
        pyexec_fail(op->failure, "start", "out of memory");
        return;
    }
    configure(k, op->config);
    pyexec_attach_init();
    if (pyexec_codes_init(k) < 0) {
        pyexec_fail(op->failure, "start", "out of memory");
        free(k);
        return;
    }
    op->k = k;
    op->result = start_interpreter(k, op->failure);
    if (op->result < 0 && k->interp != NULL) {
        dormant = k;
    }
    else if (op->result < 0) {
        owned = false;
        free_kernel(k);
    }
}

static void
do_recycle(void *arg)
{
    operation *op = arg;
    pyexec_kernel *k = op->k;
    op->result = 0;
    if (k->interp == NULL) { /* an earlier recycle failed halfway: try to start again */
        op->result = start_interpreter(k, op->failure) < 0 ? 0 : PYEXEC_REINITIALIZED;
        return;
    }
    begin(op, "(recycle)");
    if (!pyexec_attach(k)) {
        pyexec_stop_end(k);
        pyexec_fail(op->failure, "recycle", "out of memory");
        return;
    }
    k->taint[0] = '\0';
    k->unloaded = k->unloaded && preload(k, op->failure) < 0;
    if (k->unloaded || !may_finalize(k)) {
        purge(k);
        pyexec_stop_end(k);
        pyexec_detach(k);
        op->result = k->unloaded ? 0 : PYEXEC_PURGED;
        return;
    }
    tidy(k);
    finalize(k);
    op->result = start_interpreter(k, op->failure) < 0 ? 0 : PYEXEC_REINITIALIZED;
}

static void
do_stop(void *arg)
{
    operation *op = arg;
    pyexec_kernel *k = op->k;
    if (k->interp != NULL) {
        begin(op, "(close)");
    }
    if (k->interp != NULL && pyexec_attach(k)) {
        if (!may_finalize(k)) {
            purge(k);
            pyexec_stop_end(k);
            pyexec_detach(k);
            dormant = k;
            return;
        }
        tidy(k);
        finalize(k);
    }
    owned = false;
    free_kernel(k);
}

pyexec_kernel *
pyexec_start(const pyexec_config *config, pyexec_failure *failure)
{
    operation op = {.config = config, .failure = failure, .result = -1};
    if (pyexec_on_lifecycle_thread(do_start, &op) != 0) {
        pyexec_fail(failure, "start", "no thread could be made");
        return NULL;
    }
    return op.result < 0 ? NULL : op.k;
}

int
pyexec_recycle(pyexec_kernel *k, uint64_t id, pyexec_failure *failure)
{
    operation op = {.k = k, .failure = failure, .id = id};
    if (pyexec_on_lifecycle_thread(do_recycle, &op) != 0) {
        pyexec_fail(failure, "recycle", "no thread could be made");
    }
    return op.result;
}

void
pyexec_stop(pyexec_kernel *k, uint64_t id)
{
    operation op = {.k = k, .id = id};
    pyexec_on_lifecycle_thread(do_stop, &op);
}

int
pyexec_owns_python(void)
{
    return owned;
}

