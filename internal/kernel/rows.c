/* rows.c: the table of what a snippet can leave behind. The documents and the tests are made from it, too.
 *
 * To add a row: an entry here and a case in the tests of the table (reset_rows_test.go says how). A state that hangs on a
 * module, be it an attribute, a container, an instance or a class, is put back already by the rows "modules", "objects"
 * and "classes"; its own row names it, so that it is documented and tested. Any other needs two functions in a row_*.c:
 * one to take what is there at the start, one to compare and put back. Whatever they look at must be watched (watch.c),
 * or the loop is never entered. */
#include "compat.h"

#include "kernel.h"

#define IN_PLACE "undone in place"
#define LIST                                                                              \
    "its items' pointers, and the version of the module's dict",                          \
        "the original list object gets its original items back and is bound again",       \
        "a pointer compare per item", IN_PLACE
/* what lies behind functions of C: rows of touch.c */
#define HOOK(function) "a hook in " function
#define TOUCHED(name, function, undone, restore) \
    {name, NULL, NULL, NULL, restore, HOOK(function), undone, "one flag for all", IN_PLACE}
#define VALUE(name, function) \
    TOUCHED(name, function, "the function gets what was set before the snippet's first call", pyexec_value_restore)
#define REFUSED(name, noticed) {name, NULL, NULL, NULL, NULL, noticed, "PermissionError", "none", "refused"}
#define STAYS(name, level) {name, NULL, NULL, NULL, NULL, "not at all", "it stays", "none", level}
#define MEMBER NULL, NULL, NULL, NULL
#define ATTRIBUTE                                                                                  \
    MEMBER, "the version (3.11) or watcher (3.12+) of the module's dict",                         \
        "bound to what it was bound to when the module was loaded", "none beside that of modules", IN_PLACE
#define INSIDE                                                                                     \
    MEMBER, "the version (3.11) or watcher (3.12+) of a dict, or pointer compares of items",      \
        "the same object gets back what was in it when the module was loaded", "none beside that of objects", IN_PLACE
#define DEFINITION                                                                                 \
    MEMBER, "whatever sets an attribute of a class or function keeps what was there",             \
        "set to what it was before the snippet's first assignment", "none beside that of classes", IN_PLACE
#define BENT                                                                                       \
    MEMBER, "an import begins while something is changed",                                        \
        "the modules are dropped at the end and imported again in the clean interpreter; native ones, which can be "  \
        "loaded only once, stay", "none", IN_PLACE
#define SETTING(undone) "its value", undone, "a compare", IN_PLACE

const pyexec_row pyexec_rows[] = {
    {"sys.path", "sys", "path", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.argv", "sys", "argv", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.meta_path", "sys", "meta_path", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.path_hooks", "sys", "path_hooks", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"sys.warnoptions", "sys", "warnoptions", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"gc.callbacks", "gc", "callbacks", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"warnings.filters", "warnings", "filters", pyexec_list_snapshot, pyexec_list_restore, LIST},
    {"ast", NULL, NULL, pyexec_ast_snapshot, pyexec_ast_restore,
     "attributes of the nodes that all syntax trees share (ast.Load(), ast.Add()), where something was compiled",
     "their attributes deleted", "nothing", IN_PLACE},
    {"os.environ", "os", "environ", pyexec_environ_snapshot, pyexec_environ_restore,
     "the versions of the mapping's dicts, and the pointers of the C environ (which os.putenv changes, too)",
     "setenv and unsetenv per variable, the mapping refilled in its original order and bound again; what the host "
     "itself set meanwhile stays", "a pointer compare per variable", IN_PLACE},
    {"sys.getrecursionlimit", NULL, NULL, pyexec_recursion_snapshot, pyexec_recursion_restore,
     SETTING("Py_SetRecursionLimit")},
    {"gc.isenabled", NULL, NULL, NULL, pyexec_gc_restore, SETTING("PyGC_Enable")},
    TOUCHED("threading.settrace_all_threads", "sys._settraceallthreads (3.12+)", "PyEval_SetTraceAllThreads with none",
            pyexec_all_threads_restore), /* before the next two */
    {"sys.gettrace", NULL, NULL, NULL, pyexec_trace_restore, SETTING("PyEval_SetTrace with none")},
    {"sys.getprofile", NULL, NULL, NULL, pyexec_profile_restore, SETTING("PyEval_SetProfile with none")},
    {"sys.get_asyncgen_hooks", NULL, NULL, NULL, pyexec_asyncgen_restore, SETTING("the thread state forgets them")},
    {"contextvars", NULL, NULL, NULL, pyexec_context_restore, "the thread state's context",
     "dropped, and decimal's own set to its default; not reported, since reading a variable makes a context", "a compare",
     IN_PLACE},
    {"os.getcwd", NULL, NULL, NULL, pyexec_cwd_restore, "the audit event os.chdir",
     "chdir to where the process was before the snippet's first chdir", "a flag", IN_PLACE},
    {"linecache.cache", NULL, NULL, NULL, pyexec_linecache_restore, "the version of the dict",
     "what is in no file is dropped: the snippet's own source; not reported", "a compare", IN_PLACE},
    {"threads", NULL, NULL, NULL, pyexec_threads_restore, "the interpreter's list of thread states",
     "SystemExit is raised in them, and the locks they may wait for are released; one that has slept on for 200 ms, or run for 1 s, taints", "a compare", IN_PLACE " or tainted"},
    VALUE("sys.getswitchinterval", "sys.setswitchinterval"),
    VALUE("sys.get_int_max_str_digits", "sys.set_int_max_str_digits"),
    VALUE("sys.get_coroutine_origin_tracking_depth", "sys.set_coroutine_origin_tracking_depth"),
    VALUE("sys.getdlopenflags", "sys.setdlopenflags"),
    VALUE("sys.get_lazy_imports", "sys.set_lazy_imports (3.15)"),
    VALUE("sys.get_lazy_imports_filter", "sys.set_lazy_imports_filter (3.15)"),
    VALUE("gc.get_threshold", "gc.set_threshold"),
    VALUE("gc.get_debug", "gc.set_debug"),
    VALUE("threading.stack_size", "threading.stack_size"),
    VALUE("socket.getdefaulttimeout", "socket.setdefaulttimeout"),
    VALUE("csv.field_size_limit", "csv.field_size_limit"),
    VALUE("asyncio.get_running_loop", "asyncio._set_running_loop"),
    VALUE("locale.setlocale", "locale.setlocale"),
    VALUE("locale.textdomain", "locale.textdomain"),
    VALUE("signal.pthread_sigmask", "signal.pthread_sigmask"),
    VALUE("os.sched_getaffinity", "os.sched_setaffinity, which is refused for other threads of the host"),
    TOUCHED("os.umask", "os.umask", "umask to what it was before the snippet's first", pyexec_umask_restore),
    TOUCHED("time.tzset", "time.tzset", "tzset of the C library once os.environ is put back, and the module's attributes",
            pyexec_tz_restore),
    TOUCHED("signal.getitimer", "signal.setitimer and signal.alarm",
            "the timer goes on as it was, less what has passed meanwhile", pyexec_timers_restore),
    TOUCHED("locale.bindtextdomain", "locale.bindtextdomain", "bindtextdomain to where it was", pyexec_undo_restore),
    TOUCHED("syslog", "syslog.openlog, syslog and setlogmask", "closelog, and setlogmask to what it was",
            pyexec_undo_restore),
    TOUCHED("sys.monitoring", "each function of sys.monitoring that changes something (3.12+)",
            "tools freed, callbacks and events set to what they were, last first", pyexec_undo_restore),
    TOUCHED("tracemalloc", "tracemalloc.start and stop", "stopped, or started with the limit it had",
            pyexec_undo_restore),
    TOUCHED("atexit", "each function of atexit", "what a snippet registers goes to a list of its own, which is dropped",
            pyexec_atexit_restore),
    TOUCHED("sys.addaudithook", "sys.addaudithook", "a snippet's hooks go to a list of its own, which is dropped",
            pyexec_kept_restore),
    TOUCHED("os.register_at_fork", "os.register_at_fork",
            "a snippet's hooks go to a list of its own, which is dropped; in process os.fork is refused anyway",
            pyexec_kept_restore),
    TOUCHED("child processes", "what starts one: subprocess, os.posix_spawn",
            "killed, with the process group it leads, and waited for by number; one that does not end in 2 s taints",
            pyexec_children_restore),
    TOUCHED("descriptors", "what returns one as a number: os.open, os.pipe, socket.detach ...",
            "closed, if still open and still the same file", pyexec_descriptors_restore),
    TOUCHED("gc.get_referents", "gc.get_referents, which gives out the dict of a class", "the dict gets back what was in it",
            pyexec_referents_restore),
    {"codecs.register", NULL, NULL, pyexec_codecs_snapshot, pyexec_codecs_restore, "a pointer compare per search function",
     "the interpreter's list of search functions gets its items back, and its cache of look-ups, too", "a compare",
     IN_PLACE},
    {"codecs.register_error", NULL, NULL, NULL, NULL, "the version (3.11) or watcher (3.12+) of the interpreter's dict",
     "the dict gets its items back", "3.11: a compare; 3.12+: none", IN_PLACE},
    TOUCHED("abc.ABCMeta.register", "the making of an abstract class and register",
            "the set of virtual subclasses as it was; abstract classes of modules that a snippet derived from forget "
            "what they remember of others", pyexec_abc_restore),
    TOUCHED("random.seed", "seed, setstate and getstate of random's own generator", "seeded by the operating system",
            pyexec_random_restore),
    {"numpy.random.seed", NULL, NULL, NULL, pyexec_numpy_restore,
     "the position of numpy's own generator and the end of its key", "seeded by the operating system; not reported, since "
     "whatever draws a number moves the position", "a compare of 300 bytes once numpy.random is loaded", IN_PLACE},
    TOUCHED("numpy settings", "numpy's set_string_function, set_numeric_ops and set_printoptions(legacy=...)",
            "set to what they were; the error state of seterr is local to the thread", pyexec_undo_restore),
    REFUSED("numpy docstrings", HOOK("numpy.add_docstring and the like")),
    {"decimal.DefaultContext", NULL, NULL, NULL, pyexec_templates_restore, "the bytes of the three templates of decimal",
     "copied back", "three compares once decimal is loaded", IN_PLACE},
    {"zoneinfo", NULL, NULL, NULL, pyexec_zoneinfo_restore, "changed attributes of its modules",
     "ZoneInfo.clear_cache; not reported", "none", IN_PLACE},
    TOUCHED("sqlite3.enable_callback_tracebacks", "sqlite3.enable_callback_tracebacks", "off again", pyexec_undo_restore),
    {"ctypes", NULL, NULL, NULL, NULL, "the audit events of ctypes, and its call of any foreign function",
     "the interpreter is recycled", "none", "tainted and recycled; what it did to the process only Process contains"},
    {"signal.getsignal", NULL, NULL, NULL, pyexec_signals_restore, HOOK("signal.signal, siginterrupt and set_wakeup_fd"),
     "signal.signal and sigaction with what was there", "one flag for all",
     "refused in process, by CPython: snippets do not run on its main thread"},
    REFUSED("user and group", HOOK("os.setuid, setgid, seteuid, setegid, setre*, setres*, setgroups and initgroups")),
    REFUSED("session and process group", HOOK("os.setsid, setpgrp, setpgid, tcsetpgrp and login_tty")),
    REFUSED("root and namespaces", HOOK("os.chroot, unshare and setns")),
    REFUSED("scheduling", HOOK("os.nice, setpriority, sched_setscheduler and sched_setparam")),
    REFUSED("host name and clock", HOOK("socket.sethostname, time.clock_settime and clock_settime_ns")),
    REFUSED("resource limits", "the audit events resource.setrlimit and resource.prlimit"),
    REFUSED("subinterpreters", HOOK("_interpreters.create") ", and the audit event cpython.PyInterpreterState_New"),
    REFUSED("import lock", HOOK("_imp.acquire_lock") ", but for importlib's own use"),
    REFUSED("CPython's test modules", "the audit event import"),
    REFUSED("children of the host", HOOK("os.wait, wait3, wait4, waitpid and waitid: for a snippet's own children only")),
    REFUSED("descriptors of the host",
            HOOK("os.close, os.dup2, os.set_blocking, fcntl.fcntl ..., and in open(n) and socket(fileno=n), which would close it")),
    {"threading.local", NULL, NULL, NULL, pyexec_locals_restore, "the thread state: the size of its dict (3.11, 3.12) or its sentinel",
     "emptied: the thread is as new to them as any other would be; numpy's error state is there, too; not reported",
     "a compare", IN_PLACE},
    {"sys.modules", NULL, NULL, NULL, pyexec_sys_modules_restore, "the version of the dict",
     "entries get their modules back; modules that imports loaded stay", "a compare", IN_PLACE},
    STAYS("files", "by nothing: a snippet's files stay, as they do when python3 ends; so do names in /dev/shm"),
    STAYS("numbers of asyncio tasks", "only by Process: Task-7 tells that there were six before"),
    STAYS("finders of importlib", "only by Process: what is set on the FileFinders of sys.path_importer_cache, which change as they work"),
    STAYS("codecs first looked up", "only by Process: what is set on a CodecInfo that was not there at the start"),
    STAYS("random, seeded through __init__", "only by Process: _random.Random.__init__ called by hand on random's hidden instance"),
    STAYS("locks of importlib", "only by Process: keys planted in _module_locks and _blocking_on, which change as it works"),
    STAYS("sys.lazy_modules", "only by Process: names planted in that set (3.15), which changes as imports are made good"),
    STAYS("readline and curses", "only by Process: history and bindings of the one, the terminal of the other"),
    /* attributes of modules */
    {"builtins", ATTRIBUTE},
    {"builtins.__import__", ATTRIBUTE},
    {"builtins.open", ATTRIBUTE},
    {"builtins._", ATTRIBUTE},
    {"sys.excepthook", ATTRIBUTE},
    {"sys.displayhook", ATTRIBUTE},
    {"sys.unraisablehook", ATTRIBUTE},
    {"sys.breakpointhook", ATTRIBUTE},
    {"sys.stdin", ATTRIBUTE},
    {"sys.stdout", ATTRIBUTE},
    {"sys.stderr", ATTRIBUTE},
    {"sys.__stdout__", ATTRIBUTE},
    {"sys.last_value", ATTRIBUTE},
    {"sys.tracebacklimit", ATTRIBUTE},
    {"sys.dont_write_bytecode", ATTRIBUTE},
    {"sys.pycache_prefix", ATTRIBUTE},
    {"sys.ps1", ATTRIBUTE},
    {"sys.executable", ATTRIBUTE},
    {"functions of a module", ATTRIBUTE},
    {"submodules", ATTRIBUTE},
    {"__name__ and __file__", ATTRIBUTE},
    {"unittest.mock.patch", ATTRIBUTE},
    {"threading.excepthook", ATTRIBUTE},
    {"threading.settrace", ATTRIBUTE},
    {"threading.setprofile", ATTRIBUTE},
    {"warnings.showwarning", ATTRIBUTE},
    {"logging.captureWarnings", ATTRIBUTE},
    {"logging.raiseExceptions", ATTRIBUTE},
    {"logging.setLoggerClass", ATTRIBUTE},
    {"logging.setLogRecordFactory", ATTRIBUTE},
    {"tempfile.tempdir", ATTRIBUTE},
    {"asyncio.set_event_loop_policy", ATTRIBUTE},
    {"urllib.request.install_opener", ATTRIBUTE},
    {"socket.socket", ATTRIBUTE},
    {"locale.getpreferredencoding", ATTRIBUTE},
    {"time.tzname", ATTRIBUTE},
    {"module.__class__", ATTRIBUTE},
    /* containers, instances and caches of modules */
    {"logging.root", INSIDE},
    {"logging.getLogger", INSIDE},
    {"logging.disable", INSIDE},
    {"logging.addLevelName", INSIDE},
    {"logging handlers", INSIDE},
    {"copyreg.dispatch_table", INSIDE},
    {"copyreg.add_extension", INSIDE},
    {"re cache", INSIDE},
    {"functools.lru_cache", INSIDE},
    {"functools.singledispatch", INSIDE},
    {"sys.path_importer_cache", INSIDE},
    {"sys._xoptions", INSIDE},
    {"sys.implementation", INSIDE},
    {"warnings.onceregistry", INSIDE},
    {"__warningregistry__", INSIDE},
    {"__all__", INSIDE},
    {"__path__", INSIDE},
    {"mimetypes", INSIDE},
    {"shutil.register_archive_format", INSIDE},
    {"encodings.aliases", INSIDE},
    {"xml.etree.ElementTree.register_namespace", INSIDE},
    {"email.charset", INSIDE},
    {"urllib.parse", INSIDE},
    {"pickle", INSIDE},
    {"weakref.finalize", INSIDE},
    {"typing caches", INSIDE},
    {"gettext", INSIDE},
    {"webbrowser.register", INSIDE},
    {"random hidden instance", INSIDE},
    {"numbers in sets", INSIDE},
    {"threading._active", INSIDE},
    {"closures", INSIDE},
    {"default arguments", INSIDE},
    {"nested containers", INSIDE},
    {"ordered dicts", INSIDE},
    {"deques", INSIDE},
    {"bytearrays", INSIDE},
    {"order of dicts", INSIDE},
    {"subclasses of dict", INSIDE},
    {"members of enums", INSIDE},
    {"attributes of containers", INSIDE},
    {"attributes of C objects", INSIDE},
    {"__slots__", INSIDE},
    {"__spec__ and __loader__", INSIDE},
    {"locks", MEMBER, "a compare of the word in which a lock has its state",
     "one that was left acquired is released, whoever holds it, and one that was released is acquired", "a compare per lock",
     IN_PLACE},
    {"counters", MEMBER, "a compare of an itertools.count's number", "set to what it was: the first thread is Thread-1 again",
     "a compare per counter", IN_PLACE},
    /* classes and functions */
    {"class attributes", DEFINITION},
    {"methods", DEFINITION},
    {"special methods", DEFINITION},
    {"__bases__", DEFINITION},
    {"__name__ of a class", DEFINITION},
    {"__abstractmethods__", DEFINITION},
    {"__doc__", DEFINITION},
    {"classes of enums", DEFINITION},
    {"abstract classes", DEFINITION},
    {"containers of classes", DEFINITION},
    {"function.__defaults__", DEFINITION},
    {"function.__code__", DEFINITION},
    {"function attributes", DEFINITION},
    {"function.__annotations__", DEFINITION},
    {"function.__name__", DEFINITION},
    {"descriptors called by hand", DEFINITION},
    {"__module__ of a builtin", DEFINITION},
    {"__doc__ of a property", DEFINITION},
    REFUSED("property.__init__", "the slots through which properties, static and class methods are initialised"),
    /* imports that a snippet has bent */
    {"bent imports", BENT},
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

enum { ROWS = sizeof pyexec_rows / sizeof *pyexec_rows };
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
