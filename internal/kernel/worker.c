/* worker.c: a forked worker's whole life: take a call, run it, send the reply. */
#include "compat.h"

#include "process.h"

#ifdef __linux__

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pyexec_kernel *kernel = NULL;
static pyexec_shared *shared = NULL;

/* ---- one call ---- */

/* What a snippet prints is kept where it outlives the process. */
static void
share(pyexec_capture *c, uint8_t *p, uint64_t *length)
{
    *length = 0;
    if (!c->buf.lent) { /* the first time, or after one was streamed */
        pyexec_buf_free(&c->buf);
        c->buf = (pyexec_buf){.p = p, .cap = (size_t)pyexec_output_area(c->max), .lent = true};
        c->length = length;
    }
}

/* Also what a child of the snippet's left when it died falls to this process. The template will kill it all. */
static bool
has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void
reply(uint64_t nonce, const pyexec_reply *r)
{
    static const char children[] = "it left child processes behind";
    bool more = (r->flags & PYEXEC_MORE) != 0;
    pyexec_bytes sections[8] = {r->vars};
    if (more) {
        memcpy(sections + 1, (pyexec_bytes[]){r->value, r->skipped, r->error, r->changes, r->taint, r->out, r->err},
               7 * sizeof *sections);
    }
    pyexec_reply_message body = {.status = r->status, .flags = r->flags, .cached = r->cached, .evictions = r->evictions};
    if (has_children()) {
        pyexec_connection_littered();
        if (sections[5].n == 0) {
            sections[5] = (pyexec_bytes){(const uint8_t *)children, sizeof children - 1};
            body.flags |= PYEXEC_TAINTED | PYEXEC_MORE;
        }
    }
    pyexec_head head = {.type = PYEXEC_MESSAGE_REPLY, .length = sizeof body, .nonce = nonce};
    struct iovec parts[10] = {{&head, sizeof head}, {&body, sizeof body}};
    size_t n = 2;
    for (size_t i = 0; i < 8; i++) {
        body.lengths[i] = sections[i].n;
        head.length += sections[i].n;
        if (sections[i].n != 0) {
            parts[n++] = (struct iovec){(void *)sections[i].p, sections[i].n};
        }
    }
    pyexec_reply_and_look(parts, n);
}

static void
call(const char *message)
{
    pyexec_head head;
    pyexec_call_message m;
    memcpy(&head, message, sizeof head);
    memcpy(&m, message + sizeof head, sizeof m);
    const char *p = message + sizeof head + sizeof m;
    const uint64_t lengths[5] = {m.name_len, m.code_len, m.vars_len, m.want_len, m.functions_len};
    const char *texts[5] = {NULL};
    for (size_t i = 0; i < 5; i++) {
        texts[i] = p;
        p += lengths[i];
    }
    if ((size_t)(p - message) != sizeof head + head.length) {
        _exit(PYEXEC_LOST);
    }
    shared->forks = 0;
    share(&kernel->out, shared->output, &shared->out_len);
    share(&kernel->err, shared->output + pyexec_output_area(kernel->config.max_output), &shared->err_len);
    const pyexec_reply *r = pyexec_run(kernel, m.id, 0, m.flags, m.hash, texts[0], m.name_len, texts[1], m.code_len,
                                       texts[2], m.vars_len, texts[3], m.want_len, m.has_host ? head.nonce : 0, texts[4],
                                       m.functions_len);
    if (!pyexec_connection_is_ours()) {
        _exit(r->status == PYEXEC_OK ? 0 : 1); /* a child that the snippet forked ends where the snippet does */
    }
    reply(head.nonce, r);
}

/* A snippet's fork has its parent's memory, and connection: what it prints goes nowhere. */
static void
in_fork(void)
{
    kernel->out.open = kernel->err.open = false;
}

/* pyexec_interrupt as a handler: nobody else calls it in this process, and it takes nothing that the call could hold. */
static void
on_interrupt(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    uint64_t v = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
    int saved = errno;
    if (info->si_code == SI_QUEUE && pyexec_connection_is_ours()) {
        pyexec_interrupt(kernel, v >> 2, (int)(v & 3));
    }
    errno = saved;
}

/* In the template, so that no worker is ever without it. */
void
pyexec_worker_signals(void)
{
    struct sigaction interrupt = {.sa_sigaction = on_interrupt, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(PYEXEC_INTERRUPT_SIGNAL, &interrupt, NULL);
}

/* The system counts from the process's beginning, and in whole seconds. */
static void
limit_cpu(uint64_t seconds)
{
    struct timespec used;
    struct rlimit limit;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    getrlimit(RLIMIT_CPU, &limit);
    limit.rlim_cur = (rlim_t)used.tv_sec + (used.tv_nsec > 0) + seconds;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_cur > limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
    }
    setrlimit(RLIMIT_CPU, &limit);
}

void
pyexec_serve(pyexec_kernel *k, int fd, uint64_t cpu)
{
    kernel = k;
    pthread_atfork(NULL, NULL, in_fork);
    pyexec_connection_begin(fd, shared);
    for (;;) {
        const char *message = pyexec_next_call();
        if (cpu != 0) {
            limit_cpu(cpu);
        }
        call(message);
        pyexec_call_done();
    }
}

/* ---- beginning ---- */

/* Generators that were seeded in the template would give all workers the same numbers; random itself sees to that. */
static void
seed_numpy(void)
{
    PyObject *modules = PyImport_GetModuleDict();                                       /* borrowed */
    PyObject *random = PyDict_GetItemString(modules, "numpy.random");                   /* borrowed */
    PyObject *r = random == NULL ? NULL : PyObject_CallMethod(random, "seed", NULL); /* new */
    PyErr_Clear();
    Py_XDECREF(r);
}

void
pyexec_become_worker(pyexec_kernel *k, pyexec_shared *memory)
{
    shared = memory;
    pyexec_guard_worker(&shared->forks);
    seed_numpy();
    /* What Python and modules do after a fork is no snippet's doing. */
    if (pyexec_modules_accept(k) < 0) {
        _exit(PYEXEC_LOST);
    }
    pyexec_watch_accept(k);
    pyexec_gc_keep(k);
}

#endif /* __linux__ */
