/* reset.c: the table of what a snippet can leave behind, and the one loop that puts it back.
 *
 * To add a row: an entry in pyexec_rows, of a kind in row_*.c (or a new kind beside them), and a case in the table of
 * reset_test.go. Whatever a row looks at must be watched (watch.c), or the loop is never entered. */
#include "compat.h"

#include "kernel.h"

#define IN_PLACE "undone in place"
#define LIST                                                                              \
    "its items' pointers, and the version of the module's dict",                          \
        "the original list object gets its original items back and is bound again",       \
        "a pointer compare per item", IN_PLACE
#define SETTING(undone) "its value", undone, "a compare", IN_PLACE

const pyexec_row pyexec_rows[] = {
    {"sys.path", "sys", "path", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.argv", "sys", "argv", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.meta_path", "sys", "meta_path", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.path_hooks", "sys", "path_hooks", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.warnoptions", "sys", "warnoptions", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"gc.callbacks", "gc", "callbacks", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"warnings.filters", "warnings", "filters", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"os.environ", "os", "environ", pyexec_environ_snapshot, pyexec_environ_restore,
     "the versions of the mapping's dicts, and the pointers of the C environ (which os.putenv changes, too)",
     "setenv and unsetenv per variable, the mapping refilled in its original order and bound again; what the host "
     "itself set meanwhile stays", "a pointer compare per variable", IN_PLACE},
    {"sys.getrecursionlimit", NULL, NULL, pyexec_recursion_snapshot, pyexec_recursion_restore,
     SETTING("Py_SetRecursionLimit")},
    {"gc.isenabled", NULL, NULL, NULL, pyexec_gc_restore, SETTING("PyGC_Enable")},
    {"sys.gettrace", NULL, NULL, NULL, pyexec_trace_restore, SETTING("PyEval_SetTrace with none")},
    {"sys.getprofile", NULL, NULL, NULL, pyexec_profile_restore, SETTING("PyEval_SetProfile with none")},
    {"sys.get_asyncgen_hooks", NULL, NULL, NULL, pyexec_asyncgen_restore, SETTING("the thread state forgets them")},
    {"contextvars", NULL, NULL, NULL, pyexec_context_restore, "the thread state's context",
     "dropped, and decimal's own set to its default; not reported, since reading a variable makes a context", "a compare",
     IN_PLACE},
    {"os.getcwd", NULL, NULL, NULL, pyexec_cwd_restore, "the audit event os.chdir",
     "chdir to where the process was before the snippet's first chdir", "a flag", IN_PLACE},
    {"os.umask", NULL, NULL, pyexec_umask_snapshot, pyexec_umask_restore, "os.umask is a function of pyexec's",
     "umask to what it was before the snippet's first", "a flag", IN_PLACE},
    {"linecache.cache", NULL, NULL, NULL, pyexec_linecache_restore, "the version of the dict",
     "what is in no file is dropped: the snippet's own source; not reported", "a compare", IN_PLACE},
    {"threads", NULL, NULL, NULL, pyexec_threads_restore, "the interpreter's list of thread states",
     "SystemExit is raised in them; one that has not ended after 200 ms taints", "a compare", IN_PLACE " or tainted"},
    {"sys.modules", NULL, NULL, NULL, pyexec_sys_modules_restore, "the version of the dict",
     "entries get their modules back; modules that imports loaded stay", "a compare", IN_PLACE},
    {"classes", NULL, NULL, pyexec_classes_snapshot, pyexec_classes_restore,
     "the slots through which attributes of classes and functions are set are pyexec's",
     "each attribute is set to what it was before the snippet's first assignment", "a compare", IN_PLACE},
    /* last: rows above bind their own attributes again, and report them better */
    {"modules", NULL, NULL, pyexec_modules_snapshot, pyexec_modules_restore,
     "the versions (3.11) or watchers of the dicts of all modules, also those the snippet imported",
     "each attribute is bound to what it was bound to when the module was loaded", "3.11: a compare per module; 3.12+: a flag",
     IN_PLACE},
    {"objects", NULL, NULL, NULL, pyexec_objects_restore,
     "3.11: the versions of dicts; 3.12+: watchers; pointer compares of the items of lists and sets",
     "containers, instances, closure cells and caches that hang on modules get back what was in them",
     "3.11: a compare per dict; all: a compare per item of lists and sets", IN_PLACE},
};

enum { ROWS = sizeof pyexec_rows / sizeof *pyexec_rows, ROUNDS = 4 };
_Static_assert((int)ROWS <= (int)PYEXEC_MAX_ROWS, "PYEXEC_MAX_ROWS is too small");

size_t
pyexec_row_count(void)
{
    return ROWS;
}

void
pyexec_row_describe(size_t i, pyexec_row_text *text)
{
    const pyexec_row *r = &pyexec_rows[i];
    *text = (pyexec_row_text){r->name, r->noticed, r->undone, r->cost, r->level};
}

int
pyexec_reset_init(pyexec_kernel *k)
{
    for (size_t i = 0; i < ROWS; i++) {
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
    for (size_t i = 0; i < ROWS; i++) {
        Py_CLEAR(k->rows[i].owner);
        Py_CLEAR(k->rows[i].key);
        Py_CLEAR(k->rows[i].object);
        Py_CLEAR(k->rows[i].contents);
    }
    Py_CLEAR(k->environ_vars);
    Py_CLEAR(k->line_cache);
    pyexec_classes_clear(k);
    pyexec_modules_clear(k);
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

/* Releasing what a snippet had put somewhere can run its finalizers, which can change things again: so rows are looked
 * at until a whole round finds nothing, and a snippet that always finds something taints the interpreter. */
void
pyexec_reset_after(pyexec_kernel *k)
{
    const pyexec_row *last = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        if (pyexec_watch_quiet(k)) {
            pyexec_modules_import_again(k);
            return;
        }
        last = NULL;
        k->burying = round == ROUNDS - 1;
        PyGC_Disable(); /* a finalizer may have enabled it */
        for (size_t i = 0; i < ROWS; i++) {
            int rc = pyexec_rows[i].restore(k, &pyexec_rows[i], &k->rows[i]);
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
        if (last == NULL) {
            k->burying = false;
            pyexec_modules_import_again(k);
            return;
        }
        pyexec_gc_collect(k); /* what only the changed state had kept alive */
    }
    k->burying = false;
    pyexec_taint(k, "%s changes again each time it is put back", last->name);
}
