/* kernel.h: the whole C kernel of pyexec, seen from outside (first part) and among its own files (second part).
 *
 * Life:   pyexec_start -> pyexec_run, any number, from any thread, one at a time -> pyexec_recycle ... -> pyexec_stop
 * A run:  run.c drives it: attach.c takes the GIL, code.c finds or compiles the code, decode.c builds the inputs,
 *         output.c catches stdout and stderr, encode.c and errors.c write what came of it, reset.c puts back what
 *         the snippet had changed.
 * values.h, which is a part of this, has what concerns values on their way.
 * Ownership words: "new" is a reference the receiver must release, "borrowed" one it must not, "stolen" one that the
 * callee takes over. Functions of the second part are called with the GIL held unless they say "GIL not held". */
#ifndef PYEXEC_KERNEL_H
#define PYEXEC_KERNEL_H

#ifndef __linux__
#error "pyexec runs on Linux only so far: build it in a Linux container, see README.md"
#endif

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

/* ---------------------------------------------------------------- seen from outside; GIL not held ---------------- */

typedef struct pyexec_kernel pyexec_kernel;

typedef struct {
    const uint8_t *p;
    size_t n;
} pyexec_bytes;

enum { /* pyexec_request.what */
    PYEXEC_ASK_CALL = 1, /* call function index with in, the CBOR [[positional], {keyword: value}]; answered by a CBOR value */
    PYEXEC_ASK_WRITE,    /* write in to stream index, in the order of ticket */
    PYEXEC_ASK_READ,     /* read at most max bytes of the input; answered by none at its end */
    PYEXEC_ASK_END       /* the call is over; not if nothing was asked before */
};

enum { /* pyexec_request.answer */
    PYEXEC_ANSWERED = 0,
    PYEXEC_ANSWER_ERROR,         /* out is the CBOR [id, Go type, message] of a Go error */
    PYEXEC_ANSWER_BAD_ARGUMENTS, /* out is text, to follow the function's name */
    PYEXEC_ANSWER_OVER           /* there is no such call any more */
};

/* What a call asks of the program around it while it runs. */
typedef struct {
    uint64_t host; /* as pyexec_run was told */
    int32_t what;
    uint32_t index;
    uint64_t ticket, max;
    int32_t thread; /* id of the OS thread that asks */
    bool own;       /* it is the one that runs the call */
    pyexec_bytes in;

    int32_t answer;
    uint8_t *out; /* malloc'ed; the asker frees it */
    uint64_t out_len;
} pyexec_request;

typedef struct {
    uint64_t cache_entries; /* compiled snippets kept at most */
    uint64_t cache_bytes;   /* bytes of their source kept at most */
    uint64_t max_output;    /* bytes of stdout, and of stderr, kept of one call */
    uint64_t max_result;    /* bytes of encoded variables of one call */
    uint32_t max_depth;     /* nesting of values, either way */
    uint64_t memory_limit;  /* bytes Python may allocate in one call; 0: any number */
    const char *preload;    /* modules to import at each start, a line each; copied */
    const char *keep;       /* names of what may persist, a line each; copied */
    const char *home;       /* prefix of the standard library; empty: where libpython was built to find it; copied */
    const char *venv;       /* folder of a virtual environment, or empty; copied */
    const char *paths;      /* to put first on sys.path, a line each; copied */
    /* The host's own view of an environment variable: malloc'ed, or NULL if unset. NULL where there is no host. */
    char *(*host_getenv)(const char *name);
    void (*host_ask)(pyexec_request *r); /* NULL where there is no host */
} pyexec_config;

enum { /* pyexec_reply.status */
    PYEXEC_OK = 0,
    PYEXEC_EXCEPTION,  /* error holds the exception record */
    PYEXEC_EXIT,       /* error holds the exit record */
    PYEXEC_BAD_INPUT,  /* error holds {name, reason} of the variable that could not be built */
    PYEXEC_NO_MEMORY,  /* the kernel itself ran out of memory */
    PYEXEC_NOT_RUNNING /* no interpreter: pyexec_start failed or pyexec_stop was called */
};

enum { /* pyexec_reply.flags */
    PYEXEC_COMPILED = 1,      /* the code was not in the cache */
    PYEXEC_TAINTED = 2,       /* the interpreter must be recycled before the next call; taint says why */
    PYEXEC_STDOUT_CUT = 4,    /* stdout went past max_output */
    PYEXEC_STDERR_CUT = 8,    /* stderr went past max_output */
    PYEXEC_MORE = 16,         /* there are more bytes than those of vars */
    PYEXEC_STOPPED = 32,      /* the call was stopped by pyexec_interrupt, or for its memory */
    PYEXEC_MEMORY = 64        /* an allocation failed for config.memory_limit */
};

enum { /* flags of pyexec_run */
    PYEXEC_RESET = 1,          /* put back what the snippet changes */
    PYEXEC_SPLIT = 2,          /* exec(code, {}, locals) instead of one namespace */
    PYEXEC_COMPILE_ONLY = 4,   /* compile and cache, do not run */
    PYEXEC_HOST_STDIN = 8,     /* sys.stdin is the host's */
    PYEXEC_HOST_STDOUT = 16,   /* sys.stdout goes to the host as it is written */
    PYEXEC_HOST_STDERR = 32    /* sys.stderr, too */
};

typedef enum { /* is it over in no time? compute.c says what that takes */
    PYEXEC_NOT_BRIEF = 0,
    PYEXEC_BRIEF_WITH_NUMBERS, /* if each of its inputs is None, a bool, an int of 64 bits, or a float */
    PYEXEC_BRIEF_WITH_TEXT     /* if some are short strings, too */
} pyexec_brief;

/* What came of a run. All of it points into the kernel and holds until the next call. */
typedef struct {
    int32_t status;
    uint32_t flags;
    pyexec_brief brief;   /* what the next call with this code, if all is put back after each call, can be expected to be */
    pyexec_bytes vars;    /* CBOR: name, value, name, value ... */
    pyexec_bytes value;   /* CBOR value of a last expression; empty if there was none, or it was None */
    pyexec_bytes skipped; /* CBOR sequence of [name, type, reason] */
    pyexec_bytes error;   /* CBOR map, by status */
    pyexec_bytes changes; /* CBOR sequence of [row, undone, before, after] */
    pyexec_bytes out, err;
    pyexec_bytes taint;
    uint64_t cached, evictions; /* of the code cache: snippets in it, and dropped from it so far */
} pyexec_reply;

enum { /* how hard pyexec_interrupt tries; each step includes those before */
    PYEXEC_STOP_RAISE = 1, /* an exception, once; system calls are interrupted */
    PYEXEC_STOP_TRACE,     /* an exception at every instruction */
    PYEXEC_STOP_MEMORY     /* an allocation fails */
};

/* The call or recycle that runs. */
typedef struct {
    uint64_t id;
    int64_t since; /* as the caller counts time; 0: not a call */
    char name[64]; /* of the snippet, cut */
} pyexec_running;

enum { /* how pyexec_recycle did it */
    PYEXEC_REINITIALIZED = 1, /* Py_FinalizeEx and Py_InitializeFromConfig */
    PYEXEC_PURGED = 2         /* everything put back, caches dropped, garbage collected; modules stay loaded */
};

/* What a call that goes on has come to so far. */
typedef struct {
    pyexec_bytes out, err; /* malloc'ed */
    pyexec_bytes report;   /* malloc'ed; its frames as faulthandler writes them; empty if it may be in the evaluation loop */
    bool out_cut, err_cut;
} pyexec_left;

typedef struct {
    char message[512];
} pyexec_failure;

/* One row of the reset table, for the documents and the tests. */
typedef struct {
    const char *name, *noticed, *undone, *cost, *level;
} pyexec_row_text;

pyexec_kernel *pyexec_start(const pyexec_config *config, pyexec_failure *failure);
int pyexec_recycle(pyexec_kernel *k, uint64_t id, pyexec_failure *failure); /* how, or 0 on failure */
void pyexec_stop(pyexec_kernel *k, uint64_t id);
/* Ids are unique in the life of a kernel, and not 0; those of recycles and stops have the highest bit set. `since` is only for
 * pyexec_current. */
const pyexec_reply *pyexec_run(pyexec_kernel *k, uint64_t id, int64_t since, uint32_t flags, uint64_t hash, const char *name, size_t name_len,
                               const char *code_text, size_t code_len, const char *vars, size_t vars_len, const char *want,
                               size_t want_len, uint64_t host, const char *functions, size_t functions_len);
/* A call whose code is the caller's own. begin returns the namespace, borrowed, to use with the GIL held, and end, on the same
 * thread, what came of it: the exception that is set then, or none. It must be called also if begin returned NULL. */
void *pyexec_native_begin(pyexec_kernel *k, uint64_t id, int64_t since, uint32_t flags, const char *name, size_t name_len,
                          uint64_t host, const char *functions, size_t functions_len);
const pyexec_reply *pyexec_native_end(pyexec_kernel *k);
int pyexec_owns_python(void); /* an interpreter of pyexec's is there, or comes back; for cpy3/compat/Python.h */
/* From any thread, and at any time; does not wait. Id 0 is a recycle or stop that runs. False: it does not run. It may have
 * to be asked again and again: what is raised can be caught. */
bool pyexec_interrupt(pyexec_kernel *k, uint64_t id, int stage);
bool pyexec_current(pyexec_kernel *k, pyexec_running *r); /* from any thread; false: none runs */
bool pyexec_left_behind(pyexec_kernel *k, uint64_t id, int64_t patience, pyexec_left *l); /* the same, but waits, for at most so many ns */
void pyexec_left_free(pyexec_left *l);
size_t pyexec_row_count(void);
void pyexec_row_describe(size_t i, pyexec_row_text *text);
const char *pyexec_version(void);       /* of the libpython that runs */
const char *pyexec_built_version(void); /* of the headers that the kernel was built with */
int pyexec_is_confined(pyexec_kernel *k, const char *code, size_t len); /* for tests; -1: it does not compile */
void pyexec_check_confined(pyexec_kernel *k, bool check);               /* look for changes all the same, and taint */
int64_t pyexec_bench_eval(pyexec_kernel *k, const char *code, int64_t n); /* ns of n bare PyEval_EvalCode, or -1 */

/* ---------------------------------------------------------------- among the kernel's files; GIL held -------------- */
#ifdef PYEXEC_COMPAT_H
#include <pthread.h>
#include <stdatomic.h>

/* buf.c: bytes that grow. Errors are sticky: check failed once, at the end. */
typedef struct {
    uint8_t *p;
    size_t len, cap;
    bool failed, lent; /* lent: p is somebody else's, and neither grows nor is freed */
} pyexec_buf;

enum { PYEXEC_BUF_KEEP = 1 << 20 }; /* a buffer grown past this is given back after the call */
bool pyexec_buf_grow(pyexec_buf *b, size_t n);
void pyexec_buf_free(pyexec_buf *b);

static inline void
pyexec_buf_put(pyexec_buf *b, const void *p, size_t n)
{
    if (n != 0 && (b->cap - b->len >= n || pyexec_buf_grow(b, n))) {
        memcpy(b->p + b->len, p, n);
        b->len += n;
    }
}

static inline void
pyexec_buf_byte(pyexec_buf *b, uint8_t c)
{
    if (b->cap != b->len || pyexec_buf_grow(b, 1)) {
        b->p[b->len++] = c;
    }
}

static inline void
pyexec_buf_clear(pyexec_buf *b)
{
    if (b->cap > PYEXEC_BUF_KEEP && !b->lent) {
        pyexec_buf_free(b);
    }
    b->len = 0;
    b->failed = false;
}

/* buf.c: CBOR heads and small items (RFC 8949 section 3). */
enum { CBOR_UINT = 0, CBOR_NEGATIVE = 1, CBOR_BYTES = 2, CBOR_TEXT = 3, CBOR_ARRAY = 4, CBOR_MAP = 5, CBOR_TAG = 6 };
enum { CBOR_FALSE = 0xf4, CBOR_TRUE = 0xf5, CBOR_NULL = 0xf6, CBOR_FLOAT16 = 0xf9, CBOR_FLOAT32 = 0xfa,
       CBOR_FLOAT64 = 0xfb, CBOR_OPEN_MAP = 0xbf, CBOR_OPEN_ARRAY = 0x9f, CBOR_BREAK = 0xff };
void pyexec_cbor_long_head(pyexec_buf *b, int major, uint64_t n);
static inline void
pyexec_cbor_head(pyexec_buf *b, int major, uint64_t n)
{
    if (n < 24) {
        pyexec_buf_byte(b, (uint8_t)(major << 5 | (int)n));
    }
    else {
        pyexec_cbor_long_head(b, major, n);
    }
}
void pyexec_cbor_text(pyexec_buf *b, const char *s);                 /* s may be NULL: null */
void pyexec_cbor_textn(pyexec_buf *b, const char *s, size_t n);
void pyexec_cbor_int(pyexec_buf *b, int64_t v);
void pyexec_cbor_str(pyexec_buf *b, PyObject *str);                  /* never fails: surrogates become '?' */

/* thread.c */
int pyexec_on_lifecycle_thread(void (*function)(void *), void *arg); /* GIL not held */
void pyexec_lifecycle_here(void); /* the process has one thread, and it is that; GIL not held */

/* python.c */
int pyexec_fail(pyexec_failure *f, const char *what, const char *why); /* -1; GIL not needed */
int pyexec_initialize(pyexec_kernel *k, pyexec_failure *f);            /* GIL not held before, held after */
int pyexec_set_executable(void);
int pyexec_search_path(pyexec_kernel *k, pyexec_failure *f);
bool pyexec_same_installation(const pyexec_config *a, const pyexec_config *b); /* GIL not needed */

/* fork.c */
PyObject *pyexec_import_threading(void); /* new */

/* lifecycle.c */
int pyexec_fail_exception(pyexec_failure *f, const char *what); /* -1; takes the exception that is set */

/* modules.c */
bool pyexec_is_unsound_builtin(PyObject *name);
void pyexec_saw_import(pyexec_kernel *k, PyObject *args); /* an audit event "import" */

/* attach.c: the only file that takes or gives up the GIL. */
bool pyexec_attach(pyexec_kernel *k);
bool pyexec_attach_adopt(pyexec_kernel *k);
bool pyexec_attach_again(void); /* on a thread that is attached; true: it still was */
void pyexec_detach(pyexec_kernel *k);
void pyexec_attach_init(void);
bool pyexec_on_call_thread(void); /* and not on one that a snippet started */
bool pyexec_has_foreign_threads(pyexec_kernel *k); /* threads that snippets started and that still run */
bool pyexec_has_new_threads(pyexec_kernel *k);     /* the same, but for those given up */
void pyexec_give_up_threads(pyexec_kernel *k);
void pyexec_stop_foreign_threads(pyexec_kernel *k); /* raise SystemExit in them */
void pyexec_trace_foreign_threads(pyexec_kernel *k); /* the same, at every instruction */
void pyexec_untrace_foreign_threads(pyexec_kernel *k); /* but those that 3.11 can go on tracing */
void pyexec_bound_threads(void); /* how deep they may recurse */
size_t pyexec_default_stack(void); /* of threads */
int pyexec_recursion_here(void); /* how deep any thread may that this one starts, and itself */
void pyexec_without_gil(void (*function)(void *), void *arg);
void pyexec_let_others_run(pyexec_kernel *k);      /* gives up the GIL for a millisecond */
bool pyexec_let_new_threads_run(pyexec_kernel *k); /* the same; true: one of a snippet's did not sleep at its end */
void pyexec_clear_thread_states(pyexec_kernel *k); /* all but the current one: their threads make new ones */
void pyexec_drop_thread_states(pyexec_kernel *k);  /* all but the current one, before Py_FinalizeEx */

/* procstat.c: proc_pid_stat(5), of a process or thread; GIL or not */
bool pyexec_read_stat(const char *path, char *state, pid_t *parent);

/* runtime.c */
void pyexec_be_main_thread(PyThreadState *state);
bool pyexec_main_thread_known(void);
void pyexec_find_freed_ints(void); /* on the thread that has just initialised the interpreter */
void pyexec_keep_no_ints(void);    /* GIL not held: another thread counts */
void pyexec_keep_ints(void);
void pyexec_survive_exit(pyexec_kernel *k, bool survive); /* PyErr_Print ends the process for no SystemExit */

/* limit.c: stopping a call. */
typedef struct {
    _Atomic uint64_t call;   /* that runs, 0: none */
    _Atomic uint64_t wanted; /* that is to stop */
    _Atomic int stage;
    _Atomic unsigned interrupters, heard; /* heard: times the call was told */
    _Atomic bool failing;    /* allocations were made to fail */
    _Atomic bool signals;    /* Python's handler is there */
    bool raised, traced;     /* in this call; of its own thread */
    bool clean;              /* what was raised came out of the snippet's own code, and of no library's */
    bool printing;           /* a traceback */
    pthread_t thread;
    int64_t since;
    char name[64];
    struct {
        int64_t since; /* by the processor time of the thread; 0: this call had no signal yet */
        unsigned heard;
    } deaf;            /* left.c; of the call's own thread */
    PyObject *type, *set_signal; /* owned: what is raised; the real signal.signal */
    PyObject *release_import_lock; /* owned */
    PyObject *register_callback; /* owned: of sys.monitoring; NULL if there is none */
} pyexec_stopping;

void pyexec_stop_signal(pyexec_stopping *s); /* from another thread, while s->call runs */

/* left.c: a call that goes on after its caller has left. */
void pyexec_left_lock(void); /* around what changes the capture buffers of the call that runs */
void pyexec_left_unlock(void);
void pyexec_left_on_signal(pyexec_stopping *s, int signum);
int pyexec_left_init(int signum); /* -1: an exception is set */
void pyexec_left_fini(int signum);

int pyexec_stop_init(pyexec_kernel *k);
void pyexec_stop_fini(pyexec_kernel *k);
void pyexec_stop_forget(pyexec_kernel *k);
void pyexec_stop_begin(pyexec_kernel *k, uint64_t id, int64_t since, const char *name, size_t name_len);
void pyexec_stop_end(pyexec_kernel *k);
bool pyexec_stop_wanted(pyexec_kernel *k); /* the call that runs is to stop, whatever it does */
void pyexec_stop_saw(pyexec_kernel *k, PyObject *exc); /* the exception that ends the snippet; borrowed */
void pyexec_stop_for_memory(pyexec_kernel *k, int stage);
void pyexec_stop_trace_finalizers(void);
void pyexec_stop_unblock(void);

/* memory.c: the limit of one call's memory. */
void pyexec_memory_init(pyexec_kernel *k);
void pyexec_memory_begin(pyexec_kernel *k);
bool pyexec_memory_end(void); /* true: an allocation failed for it */
void pyexec_memory_fail_once(pthread_t thread); /* GIL not held */
void pyexec_memory_stop_failing(void);

#include "values.h"

/* code.c: compiled snippets, found by their source. */
typedef struct pyexec_code {
    struct pyexec_code *next;         /* in its chain */
    struct pyexec_code *newer, *older; /* by use */
    uint64_t hash;
    char *name, *code; /* both NUL-terminated, in one allocation behind this */
    size_t name_len, code_len;
    PyObject *filename; /* str */
    PyObject *body;     /* code of all statements but a last expression; NULL if there are none */
    PyObject *tail;     /* code of the last expression; NULL if the last statement is none */
    bool computes;      /* it can do nothing but compute: nothing of the interpreter is changed, or left behind */
    pyexec_brief brief;
    int8_t confined;    /* 1: it can reach nothing that outlives it; -1: it may; 0: not known yet */
    uint8_t tries;      /* to find out */
} pyexec_code;

typedef struct {
    pyexec_code **chains;
    size_t mask, count, bytes;
    pyexec_code *newest, *oldest;
    uint64_t evictions;
} pyexec_codes;

int pyexec_codes_init(pyexec_kernel *k);
void pyexec_codes_clear(pyexec_kernel *k, bool release); /* release: the code objects' interpreter still lives */
pyexec_code *pyexec_code_get(pyexec_kernel *k, uint64_t hash, const char *name, size_t name_len, const char *code,
                             size_t code_len); /* borrowed, or NULL with an exception set */

/* run.c: the parts of a call, of which native.c makes calls of another kind. */
typedef struct {
    PyObject *globals, *locals, *value; /* owned; value is that of the code, NULL if it raised */
    PyObject *main_dict;                /* owned: that of the module __main__ meanwhile */
} pyexec_namespace;

/* Where the sections of k->buf begin and end; pointers are made of them when it no longer moves. */
typedef struct {
    size_t vars_end, value_end, error_end;
} pyexec_sections;

void pyexec_call_clear(pyexec_kernel *k);
bool pyexec_call_begin(pyexec_kernel *k, uint64_t id, int64_t since, uint32_t flags, const char *name, size_t name_len,
                       uint64_t host);
int pyexec_namespace_open(pyexec_kernel *k, pyexec_namespace *ns, uint32_t flags, const char *functions,
                          size_t functions_len);
int32_t pyexec_put_outcome(pyexec_kernel *k, const pyexec_namespace *ns, const pyexec_code *code, const char *want,
                           size_t want_len, pyexec_sections *at);
void pyexec_namespace_close(pyexec_kernel *k, pyexec_namespace *ns);
const pyexec_reply *pyexec_call_end(pyexec_kernel *k, bool look, bool reset, const pyexec_sections *at);

/* native.c: one that is under way */
typedef struct {
    pyexec_namespace ns;
    bool attached, opened, reset;
} pyexec_native;

/* compute.c */
bool pyexec_computes(const pyexec_code *c);
pyexec_brief pyexec_is_brief(const pyexec_code *c);

/* confine.c: code that needs no reset. */
typedef struct {
    PyObject *names;    /* owned: dict whose keys are the attributes of types made in C */
    size_t codecs;      /* the index of encodings._cache in watch.dicts */
    bool off;           /* Config.Keep names something that the proof relies on */
    bool skip;          /* the call that runs needs no reset, as far as is known */
    bool imported;      /* it loaded a module */
    bool check;         /* for tests: look all the same */
} pyexec_confine;

void pyexec_confine_begin(pyexec_kernel *k, pyexec_code *c);
bool pyexec_confine_end(pyexec_kernel *k); /* true: no reset is needed */

/* confine_names.c: what confined code may name. */
typedef struct {
    const char *name;
    bool core;          /* its functions return objects of built-in types alone, so that type() is harmless */
    const char *listed; /* attributes, each between spaces; NULL: any of those that qualify */
    const char *called; /* functions made in Python that may be called */
    const char *caught; /* classes that may be named in an except clause */
} pyexec_open_module;

typedef enum {
    PYEXEC_NOT_OPEN,
    PYEXEC_NOT_LOADED,
    PYEXEC_TO_HAVE,
    PYEXEC_TO_CALL, /* and nothing else */
    PYEXEC_TO_CATCH
} pyexec_taken;

extern const pyexec_open_module pyexec_open_modules[];
int pyexec_confine_init(pyexec_kernel *k);
void pyexec_confine_clear(pyexec_kernel *k);
void pyexec_confine_configure(pyexec_kernel *k);
const char *pyexec_confine_text(PyObject *name);
bool pyexec_confine_is_dunder(const char *name);
bool pyexec_confine_genuine(PyObject *builtins, const char *name); /* as CPython made it */
bool pyexec_confine_builtin(PyObject *builtins, const char *name);
bool pyexec_confine_binds(const char *name);
bool pyexec_confine_attribute(pyexec_kernel *k, const char *name);
const pyexec_open_module *pyexec_confine_module(const char *name);
pyexec_taken pyexec_confine_take(pyexec_kernel *k, const pyexec_open_module *m, const char *name);

/* errors.c: exceptions as records. */
void pyexec_write_exception(pyexec_kernel *k, const char *name, const char *code, PyObject *exc); /* borrowed */
void pyexec_write_exit(pyexec_kernel *k, PyObject *exc);                                            /* borrowed */
void pyexec_put_type(pyexec_buf *b, PyTypeObject *type); /* module.qualname, as tracebacks show it */

/* attrs.c: args and attributes of an exception, as two more entries of its record. */
void pyexec_put_attrs(pyexec_kernel *k, PyObject *exc); /* borrowed */

/* traceback.c: the text that the interpreter itself would print. */
PyObject *pyexec_traceback(pyexec_kernel *k, const char *name, const char *code, PyObject *exc); /* new str, or NULL */

/* output.c: sys.stdin, sys.stdout and sys.stderr of snippets. */
typedef struct {
    pyexec_buf buf;
    size_t max;
    bool open; /* a call is under way: what threads write that a snippet left running is dropped between calls */
    bool cut;
    pyexec_kernel *stream; /* it goes to this kernel's host, and buf is only what is not yet sent; NULL: it is kept */
    uint32_t index;        /* of the stream: 1 or 2 */
    const uint64_t *given_up; /* NULL, or the kernel's: what such threads write is no part of anybody's call */
    uint64_t *length; /* NULL, or where else buf.len is noted, for those who may have to read it without us */
} pyexec_capture;

int pyexec_output_install(pyexec_kernel *k);

/* stream.c: output as it happens, and input as it is read. */
int pyexec_stream_write(pyexec_capture *c, const char *p, size_t n); /* -1: an exception is set */
int pyexec_stream_flush(pyexec_capture *c);                          /* the same */
int pyexec_stream_install(pyexec_kernel *k);
int pyexec_stream_input(pyexec_kernel *k, bool open); /* sys.stdin is the host's, or empty again */

/* host.c: the host program, as a call sees it. */
typedef struct {
    uint64_t serial; /* of the call that runs; 0: it has no host */
    uint64_t ticket; /* of its next write */
    int32_t thread;  /* id of the OS thread that runs it */
    bool asked;      /* it has asked for something */
    PyTypeObject *function_type, *input_type; /* owned */
    PyObject *go_error;                       /* owned: the class pyexec.GoError */
} pyexec_host;

int pyexec_host_install(pyexec_kernel *k);
void pyexec_host_release(pyexec_kernel *k);
int pyexec_host_functions(pyexec_kernel *k, PyObject *globals, const char *names, size_t n);
void pyexec_host_ask(pyexec_kernel *k, uint64_t serial, pyexec_request *r); /* gives up the GIL meanwhile */
void pyexec_host_raise(pyexec_kernel *k, PyObject *function, pyexec_request *r);
void pyexec_host_raise_os(pyexec_kernel *k, PyObject *type, int number, const char *stream, pyexec_request *r);
void pyexec_host_begin(pyexec_kernel *k, uint64_t serial);
void pyexec_host_end(pyexec_kernel *k);
uint64_t pyexec_go_error_id(pyexec_kernel *k, PyObject *exc); /* of a GoError; 0: it is none */

/* gc.c: nothing of one call is left for the next, not even as garbage. */
int pyexec_gc_init(pyexec_kernel *k);
int pyexec_gc_touch(pyexec_kernel *k);
void pyexec_gc_mark(pyexec_kernel *k);
void pyexec_gc_keep(pyexec_kernel *k);
void pyexec_gc_sweep(pyexec_kernel *k);   /* collect if anything made since the mark is still there */
void pyexec_gc_settle(pyexec_kernel *k);  /* what the sweep left, and the reset, stays */
PyObject *pyexec_gc_made(pyexec_kernel *k); /* new: list of what was made in this call; NULL if that cannot be told */
void pyexec_gc_collect(pyexec_kernel *k); /* collect what is not frozen */
void pyexec_gc_full(pyexec_kernel *k);    /* collect everything */
void pyexec_gc_thaw(pyexec_kernel *k);    /* let Py_FinalizeEx free everything */

/* guard.c: what would end or double the host process raises instead. */
int pyexec_guard_init(pyexec_kernel *k);
void pyexec_guard_threads(bool refuse); /* while true no thread can be started */
int pyexec_guard_template(int report_fd); /* for a process that is there for snippets alone; before the first fork */
PyObject *pyexec_guard_faulthandler(const char *name, PyObject *args /* stolen */); /* new, or NULL: calls what snippets may not */
bool pyexec_guard_is_fork(void); /* this process is one that a snippet of a worker forked: it may do as it likes */
void pyexec_guard_worker(uint32_t *forks); /* in each fork of it; counts there, and in its own forks, what it forks */

/* touch.c: state behind functions of C. The method tables of modules and types are changed in place, so that a function
 * which changes something first runs a hook of the row that puts it back. */
typedef struct pyexec_touch pyexec_touch;
typedef struct pyexec_row_state pyexec_row_state;
typedef struct pyexec_row pyexec_row;

typedef struct { /* a call of such a function, whatever its calling convention; all borrowed */
    pyexec_kernel *k;
    pyexec_touch *touch;
    PyObject *self, *const *args;
    Py_ssize_t n;
    PyObject *names, *kwargs; /* of what is passed by name: a tuple, its values behind args[n - 1]; or a dict */
    PyObject *object;         /* the one argument, or the tuple of all */
    PyTypeObject *defining;
} pyexec_call;

typedef PyObject *(*pyexec_hook)(const pyexec_call *c); /* new: the call's result, or NULL with an exception */

struct pyexec_touch {
    const char *row;                 /* NULL: of no row, only refused */
    const char *module, *type, *name; /* type NULL: a function of the module */
    pyexec_hook hook;
    const void *data;
    pyexec_row_state *state; /* of the row */
    PyMethodDef *def;        /* once it is changed */
    PyMethodDef real;        /* as it was */
};

int pyexec_touch_init(pyexec_kernel *k);
int pyexec_touch_add(pyexec_kernel *k, const pyexec_touch *t);
int pyexec_touch_loaded(pyexec_kernel *k); /* all that are loaded, as they may be */
int pyexec_touch_module(pyexec_kernel *k, PyObject *name, PyObject *module); /* it has just been imported */
PyObject *pyexec_real(const pyexec_call *c);                                   /* new: what the function itself does */
PyObject *pyexec_original(PyObject *module, const char *name); /* new: a function of a C module that no hook sees */
PyObject *pyexec_ask(const pyexec_call *c, const char *name, PyObject *a, PyObject *b); /* new: another of its module */
PyObject *pyexec_call_method(const char *module, const char *type, const char *name, PyObject *self); /* new */
PyObject *pyexec_arg(const pyexec_call *c, Py_ssize_t at, const char *name); /* borrowed, NULL if absent */
PyObject *pyexec_refuse(const pyexec_call *c);                               /* a hook; data is the reason */
bool pyexec_by_snippet(pyexec_kernel *k); /* a snippet runs, and no import is under way, whose changes would stay */
void pyexec_touch_clear(void);

/* In a row's state: v is kept until the row is put back. New reference, stolen, may be NULL: -1. */
int pyexec_keep(pyexec_kernel *k, pyexec_row_state *s, PyObject *v);
/* The same with a call: at the end function(*args), last first, by pyexec_undo_restore. args is stolen, may be NULL. */
int pyexec_undo_later(const pyexec_call *c, PyObject *module, const char *function, PyObject *args);
int pyexec_undo_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* row_values.c */
PyObject *pyexec_set_value(const pyexec_call *c); /* the hook of its setters */
int pyexec_values_init(pyexec_kernel *k);
int pyexec_value_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
PyObject *pyexec_gc_quiet(pyexec_kernel *k);            /* new: what gc.set_debug is to be given back, or NULL */
void pyexec_gc_loud(pyexec_kernel *k, PyObject *flags); /* stolen, may be NULL */

/* row_interpreter.c */
int pyexec_interpreter_init(pyexec_kernel *k);
int pyexec_ask_audit_hooks(pyexec_kernel *k, const char *event, PyObject *args);
int pyexec_all_threads_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_kept_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_atexit_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* row_process.c */
typedef struct {
    uint32_t timers;            /* bits of those a snippet has set */
    struct itimerval timer[3];  /* as they were */
    struct timespec at[3];      /* by the clock each of them follows */
    uint64_t signals;           /* bits of those whose handlers it has set */
    struct sigaction action[65];
    pthread_t main_thread;
} pyexec_process;

int pyexec_process_init(pyexec_kernel *k);
bool pyexec_is_host(long pid); /* this process, or a thread of it */
int pyexec_umask_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_tz_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_timers_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_signals_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* row_children.c */
typedef struct {
    struct pyexec_child {
        int pid;
        bool stays; /* a module started it while it was imported */
    } *items;
    size_t n, cap;
} pyexec_children;

int pyexec_children_init(pyexec_kernel *k);
int pyexec_children_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* row_descriptors.c */
typedef struct {
    struct pyexec_descriptor {
        int fd;
        dev_t device;
        ino_t inode;
        bool marked;
        bool stays; /* a module opened it while it was imported */
    } *items;
    size_t n, cap;
} pyexec_descriptors;

int pyexec_descriptors_init(pyexec_kernel *k);
int pyexec_descriptors_saw(pyexec_kernel *k, PyObject *name, PyObject *module);
void pyexec_descriptors_clear(void);
void pyexec_descriptor_is_ours(int fd);
int pyexec_descriptors_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* row_registries.c */
typedef struct {
    PyObject *search_path, *errors, *cache; /* of codecs; owned, as all here */
    size_t path_watch;
    PyObject *zoneinfo;                     /* zoneinfo.ZoneInfo, once there is one */
    struct {
        PyObject *object;
        size_t n;
        unsigned char bytes[256];
    } templates[3]; /* of decimal contexts */
} pyexec_registries;

int pyexec_registries_init(pyexec_kernel *k);
int pyexec_registries_saw(pyexec_kernel *k, PyObject *name, PyObject *module); /* pristine */
int pyexec_ctypes_saw(PyObject *name, PyObject *module);
void pyexec_registries_clear(pyexec_kernel *k);
void pyexec_ctypes_used(void);
bool pyexec_templates_quiet(pyexec_kernel *k);
int pyexec_codecs_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_codecs_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_abc_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_random_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_templates_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_zoneinfo_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* row_numpy.c */
typedef struct {
    PyObject *generator, *bits, *set_bits; /* owned; bits NULL: numpy.random is not loaded, or is unknown to us */
    char tail[64], body[512];              /* of the two first, as they were */
} pyexec_numpy;

int pyexec_numpy_init(pyexec_kernel *k);
int pyexec_numpy_saw(pyexec_kernel *k, PyObject *name, PyObject *module);
bool pyexec_numpy_quiet(pyexec_kernel *k);

/* row_ast.c */
int pyexec_ast_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_ast_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
bool pyexec_ast_quiet(pyexec_kernel *k);
int pyexec_numpy_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
void pyexec_numpy_clear(pyexec_kernel *k);

/* watch.c: signals that cost nearly nothing while nothing changes. */
typedef struct {
    PyObject *dict; /* owned */
#ifdef PYEXEC_DICT_VERSIONS
    uint64_t version;
#endif
} pyexec_watched_dict;

typedef struct {
    PyListObject *list;   /* owned */
    PyTupleObject *items; /* owned: what it held */
} pyexec_watched_list;

typedef struct {
    PySetObject *set;  /* owned */
    setentry *entries; /* its table as it was */
    Py_ssize_t fill, used, mask;
} pyexec_watched_set;

typedef struct {
    PyObject **at;   /* in an object that whoever watches keeps alive */
    PyObject *value; /* owned, may be NULL: what was there */
} pyexec_watched_slot;

typedef struct {
    uintptr_t *at; /* in an object that whoever watches keeps alive */
    uintptr_t value, mask;
} pyexec_watched_word;

typedef struct {
    pyexec_watched_dict *dicts;
    pyexec_watched_list *lists;
    pyexec_watched_set *sets;
    pyexec_watched_slot *slots;
    pyexec_watched_word *words;
    size_t ndicts, nlists, nsets, nslots, nwords;
    size_t dicts_cap, lists_cap, sets_cap, slots_cap, words_cap;
#ifdef PYEXEC_DICT_WATCHERS
    int watcher; /* id */
#endif
    char **environ_base; /* the C environ as it was */
    char **environ_items;
    size_t environ_n;
} pyexec_watch;

/* Each begins to watch and returns an index, or -1. To accept is to take what is there now for unchanged. */
Py_ssize_t pyexec_watch_dict(pyexec_kernel *k, PyObject *dict);
bool pyexec_watch_dict_changed(pyexec_kernel *k, size_t index);
void pyexec_watch_dict_accept(pyexec_kernel *k, size_t index);
Py_ssize_t pyexec_watch_list(pyexec_kernel *k, PyObject *list, PyObject *items);
bool pyexec_watch_list_changed(pyexec_kernel *k, size_t index);
int pyexec_watch_list_accept(pyexec_kernel *k, size_t index, PyObject *items);
Py_ssize_t pyexec_watch_set(pyexec_kernel *k, PyObject *set);
bool pyexec_watch_set_changed(pyexec_kernel *k, size_t index);
int pyexec_watch_set_accept(pyexec_kernel *k, size_t index);
Py_ssize_t pyexec_watch_slot(pyexec_kernel *k, PyObject **at);
bool pyexec_watch_slot_changed(pyexec_kernel *k, size_t index);
void pyexec_watch_slot_accept(pyexec_kernel *k, size_t index);
Py_ssize_t pyexec_watch_word(pyexec_kernel *k, uintptr_t *at, uintptr_t mask);
bool pyexec_watch_word_changed(pyexec_kernel *k, size_t index);
void pyexec_watch_word_accept(pyexec_kernel *k, size_t index);
bool pyexec_watch_objects_quiet(pyexec_kernel *k); /* true: no dict, list, set, slot or word has changed */
bool pyexec_watch_quiet(pyexec_kernel *k);         /* true: nothing that is watched has changed */
bool pyexec_watch_glance(pyexec_kernel *k, size_t index); /* at that dict, or at all if a compare tells */
bool pyexec_watch_environ_quiet(pyexec_kernel *k); /* the C environ alone */
int pyexec_watch_environ(pyexec_kernel *k);        /* take the C environ as it is now for unchanged */
void pyexec_watch_accept(pyexec_kernel *k);        /* take everything as it is now for unchanged */
void pyexec_watch_clear(pyexec_kernel *k);

/* reset.c: the table, and the one loop over it. */
struct pyexec_row_state {
    PyObject *owner;    /* dict of the module the state hangs on */
    PyObject *key;      /* its name there */
    PyObject *object;   /* the original object */
    PyObject *contents; /* what was in it */
    size_t watch;       /* of a list: in k->watch */
    bool dirty;         /* the snippet had changed it before the import that is under way began */
};

struct pyexec_row {
    const char *name;   /* as reported: "sys.path" */
    const char *module; /* where it hangs: "sys" */
    const char *attr;   /* and as what: "path" */
    int (*snapshot)(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s); /* NULL: nothing to take */
    int (*restore)(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s); /* 1 changed, 0 not, -1 failed */
    const char *noticed, *undone, *cost, *level; /* for the documents */
};

extern const pyexec_row pyexec_rows[];

int pyexec_reset_init(pyexec_kernel *k);  /* take the state as it is now for the baseline */
void pyexec_reset_clear(pyexec_kernel *k);
void pyexec_reset_before(pyexec_kernel *k);
void pyexec_reset_after(pyexec_kernel *k);

/* change.c: what rows say of what they found. */
void pyexec_taint(pyexec_kernel *k, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool pyexec_keeps(pyexec_kernel *k, PyObject *name); /* Config.Keep names it, or what it is in */

/* To be called with what a row is about to drop. If the state has changed back each time so far, it is never released:
 * its finalizers, which must be what changes it, then do not run. */
void pyexec_bury(pyexec_kernel *k, PyObject *v); /* borrowed, may be NULL */

/* the reports of rows: a change is open, then a before and an after value, then closed */
void pyexec_change_begin(pyexec_kernel *k, const pyexec_row *row);
bool pyexec_is_private(PyObject *name, bool anywhere); /* not worth a report */
void pyexec_change_named(pyexec_kernel *k, PyObject *name); /* the same, of a row that stands for many states */
void pyexec_change_repr(pyexec_kernel *k, PyObject *v); /* borrowed, may be NULL: null */
void pyexec_report(pyexec_kernel *k, const pyexec_row *row, const char *before, const char *after); /* all of one */
void pyexec_report_values(pyexec_kernel *k, const pyexec_row *row, PyObject *before, PyObject *after); /* borrowed */

/* source.c */
PyObject *pyexec_loader(pyexec_kernel *k); /* new: the __loader__ of namespaces */
void pyexec_saw_linecache(pyexec_kernel *k, PyObject *module);
int pyexec_linecache_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* find.c */
int pyexec_find(pyexec_kernel *k, PyObject *name, PyObject *dict); /* what hangs on the module of that name and dict */
int pyexec_find_inside(pyexec_kernel *k, PyObject *name, uint8_t kind, PyObject *v); /* once more */
bool pyexec_is_baseline(pyexec_kernel *k, PyObject *v);               /* it hangs on a module that was loaded before */
int pyexec_find_skip(pyexec_kernel *k, PyObject *v);               /* leave v to a row of its own */

/* row_objects.c */
enum {
    PYEXEC_DICT,
    PYEXEC_ODICT,
    PYEXEC_INSTANCE,
    PYEXEC_LIST,
    PYEXEC_SET,
    PYEXEC_DEQUE,
    PYEXEC_BYTEARRAY,
    PYEXEC_SLOT, /* a pointer: in a closure's cell, or where an instance has what is in its __slots__ */
    PYEXEC_CACHE,
    PYEXEC_WORD
};

typedef struct { /* locks, recursive locks and counters */
    PyTypeObject *type; /* owned */
    size_t at;          /* which word of the struct */
    uintptr_t mask;     /* and which bits of it */
} pyexec_word_kind;

typedef struct {
    PyObject *name, *object, *contents; /* owned; contents is what was in it when its module was pristine */
    size_t watch, slot;                 /* in k->watch, in the array of its kind; slot: where an instance has its dict */
    uint8_t kind;
    bool dirty; /* the snippet had changed it before the import that is under way began */
} pyexec_object;

typedef struct {
    pyexec_object *items;
    size_t n, cap;
    size_t *odd; /* places in items of those that nothing in k->watch tells of */
    size_t nodd, odd_cap;
    PyObject *seen; /* owned dict: address -> object */
    pyexec_word_kind words[3];
} pyexec_objects;

/* row_words.c */
int pyexec_words_init(pyexec_kernel *k);
uintptr_t *pyexec_word_of(pyexec_kernel *k, PyObject *v, uintptr_t *mask);
int pyexec_word_restore(pyexec_kernel *k, PyObject *v, size_t watch);
void pyexec_release_made_locks(pyexec_kernel *k); /* those that a snippet made: whoever waits for one wakes up */
void pyexec_words_clear(pyexec_kernel *k);

int pyexec_object_track(pyexec_kernel *k, uint8_t kind, PyObject *name, PyObject *object, PyObject *dict);
int pyexec_slot_track(pyexec_kernel *k, PyObject *name, PyObject *object, PyObject **at);
bool pyexec_objects_odd_quiet(pyexec_kernel *k);
bool pyexec_objects_mark_dirty(pyexec_kernel *k); /* as an import begins; true: something was changed */
int pyexec_objects_adopt(pyexec_kernel *k);       /* as it ends: what it changed that was not dirty, stays */
int pyexec_objects_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
void pyexec_objects_clear(pyexec_kernel *k);

/* stray.c */
PyObject *pyexec_stray_modules(pyexec_kernel *k, PyObject *now, PyObject *before); /* new set, or NULL: failed */
int pyexec_is_stray(PyObject *stray, PyObject *name); /* stray may be NULL: none is; -1: failed */

/* undos.c: what attributes were, once for each object and name */
enum { PYEXEC_OF_TYPE, PYEXEC_OF_FUNCTION, PYEXEC_OF_OBJECT, PYEXEC_OF_ATTRIBUTE };

typedef struct {
    uint8_t kind;
    PyObject *object;   /* borrowed, valid while ref says so */
    PyObject *ref;      /* owned: a weak reference to it */
    PyObject *name;     /* owned: of the attribute */
    PyObject *old;      /* owned: what it was; NULL: it was not there */
    PyObject *contents; /* owned: what was in it, if it is a dict */
} pyexec_undo;

typedef struct {
    pyexec_undo *items;
    uint32_t *index; /* hash table of places in items, from 1 on; 0 is free */
    size_t n, cap, mask;
} pyexec_undos;

pyexec_undo *pyexec_undos_find(const pyexec_undos *u, PyObject *object, PyObject *name); /* NULL: there is none */
bool pyexec_undo_is_alive(const pyexec_undo *e); /* its object is */
/* Keep what an attribute was (old is borrowed, may be NULL), unless that is kept already. Of a dict that is only handed out
 * what is in it is kept, and not the dict itself until another is put in its place: it may well lead to the object that it
 * belongs to, which would then be found alive although it is the snippet's own, and garbage. */
int pyexec_undos_keep(pyexec_undos *u, uint8_t kind, PyObject *object, PyObject *name, PyObject *old, bool handed_out);
void pyexec_undos_free(pyexec_undos *u);

/* row_classes.c */
int pyexec_classes_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_classes_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
bool pyexec_is_watched(PyObject *v);                      /* it hangs on a module, and a snippet runs */
int pyexec_before_set(PyObject *v, PyObject *name); /* its descriptor is about to set an attribute */
int pyexec_slots_init(void);                        /* row_slots.c */
int pyexec_referents_init(pyexec_kernel *k);
int pyexec_referents_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
void pyexec_classes_clear(pyexec_kernel *k);

/* row_modules.c */
typedef struct {
    PyObject *name, *dict, *copy; /* owned; copy is what the dict held when the module was pristine */
    size_t watch;                 /* the dict's index in watch.dicts */
    bool dirty;                   /* the snippet had changed it before the import that is under way began */
} pyexec_module;

typedef struct {
    pyexec_module *items;
    size_t n, cap, table_watch, n_before; /* n_before: as the call began */
    PyObject *table, *copy;  /* owned: sys.modules, and what it held */
    PyObject *find_and_load; /* owned: importlib's own */
    PyObject *importlib;     /* owned: the dict of its module */
    PyObject *again;         /* owned list: names to import once more, when all is clean */
    PyObject *unfound;       /* owned set: those of them that are not found then */
    int depth;               /* of imports under way */
} pyexec_modules;

int pyexec_modules_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_modules_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_sys_modules_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
PyObject *pyexec_module_had(pyexec_kernel *k, const char *module, const char *name); /* borrowed, or NULL; as it was */
void pyexec_modules_import_again(pyexec_kernel *k);
int pyexec_modules_accept(pyexec_kernel *k); /* what changed between calls belongs to the baseline */
void pyexec_modules_clear(pyexec_kernel *k);

/* row_settings.c */
typedef struct {
    int recursion_limit;
    bool cwd_changed;
    char cwd[4096];
    uint64_t newest_thread; /* id of the newest thread state when all was well; an address would be used again */
} pyexec_settings;

bool pyexec_settings_quiet(pyexec_kernel *k);
void pyexec_settings_accept(pyexec_kernel *k);
void pyexec_cwd_changes(pyexec_kernel *k);
int pyexec_recursion_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_recursion_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_gc_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_trace_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_profile_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_asyncgen_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
void pyexec_locals_init(void); /* in a new thread state, which is attached */
int pyexec_locals_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_context_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_cwd_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_threads_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);

/* row_list.c, row_environ.c: the other kinds of rows. */
int pyexec_attr_lookup(const pyexec_row *row, pyexec_row_state *s);
int pyexec_attr_rebind(pyexec_row_state *s); /* 1 was rebound, 0 was not, -1 failed */
int pyexec_list_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
void pyexec_lists_mark_dirty(pyexec_kernel *k); /* as an import begins, and as it ends, like those of row_objects.c */
int pyexec_lists_adopt(pyexec_kernel *k);
int pyexec_list_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_environ_snapshot(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
int pyexec_environ_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s);
void pyexec_environ_adopt(pyexec_kernel *k); /* the host changed the C environment between calls: follow it */

enum { PYEXEC_MAX_ROWS = 256 };

struct pyexec_kernel {
    pyexec_config config;
    uint64_t given_up;   /* thread states up to this id are of threads that would not end, and are no longer waited for */
    uint64_t generation; /* of the interpreter, unique in the process; thread states know theirs */
    PyInterpreterState *interp;
    bool gc_enabled; /* what the snippet wants */
    bool gc_mixed;     /* gc.freeze or gc.unfreeze was called since the kernel froze what there was */
    bool gc_unsettled; /* what survived the call is not frozen yet */
    bool started;    /* the baseline is taken: what happens now is a snippet's doing */
    bool unloaded;   /* a module of config.preload could not be imported */
    uint64_t natives; /* C modules loaded so far that cannot be loaded again */
    char pinned[64]; /* the C module, if any, that forbids to finalise */

    /* captured before any snippet ran, so that none can put its own in their place; all owned */
    PyObject *namespace;    /* what a fresh namespace starts with */
    PyObject *namespace_end; /* the last name in it; borrowed from it */
    PyObject *main_module;  /* sys.modules['__main__'] */
    PyObject **main_slot;   /* where that keeps its dict */
    PyObject *builtin_compile, *ast_expression, *ast_expr, *str_body, *str_value;
    PyObject *atexit_clear, *gc_collect, *gc_freeze, *gc_unfreeze, *gc_get_objects;
    PyObject *gc_young; /* an object of our own in the collector's list of young ones */
    uintptr_t gc_young_end;
    PyObject *sys_stdout, *sys_stderr, *empty_input;
    PyObject *trace_output; /* a stream of the same kind, for tracebacks */

    pyexec_codes codes;
    pyexec_watch watch;
    pyexec_confine confine;
    pyexec_row_state rows[PYEXEC_MAX_ROWS];
    pyexec_modules modules;
    pyexec_objects objects;
    pyexec_undos undos;
    PyObject *str_module, *type_dict; /* owned: "__module__", and what is in type.__dict__ */
    pyexec_known known;
    pyexec_settings settings;
    PyObject *line_cache; /* linecache.cache, once there is one; owned */
    size_t line_cache_watch;
    PyObject *graveyard;    /* list: what must never be released, see pyexec_bury */
    bool burying;
    const pyexec_row_state *environ_row; /* in rows */
    PyObject *environ_vars; /* the C environment as it was: bytes -> bytes */

    pyexec_process process;
    pyexec_children children;
    pyexec_descriptors descriptors;
    pyexec_registries registries;
    pyexec_numpy numpy;
    PyObject *audit_hooks; /* list of a snippet's own, in the state of their row; borrowed */
    bool evaluating; /* the snippet's code runs, and not what encodes its values */
    bool touched; /* a hook of touch.c has noted something: the table is to look */
    bool compiled; /* a snippet may have come by nodes of row_ast.c */
    PyObject *ast_nodes; /* borrowed: tuple, in the state of their row */

    /* of the call that runs */
    pyexec_stopping stop;
    const pyexec_code *running;
    pyexec_native native;
    /* What it was given is of the types that decode.c makes of Go's plain data. To be set to false where an input is
     * made that confined code could do more with: an object of a class made in Python, or a function of the host's. */
    bool inputs_plain;
    size_t wasted;          /* bytes encoded of variables that turned out to be too large */
    char need[96];          /* which module an input needs */
    pyexec_buf buf, skipped, changes;
    pyexec_capture out, err, trace;
    pyexec_host host;
    char taint[256];
    pyexec_reply reply;
};

#endif /* PYEXEC_COMPAT_H */
#endif /* PYEXEC_KERNEL_H */
