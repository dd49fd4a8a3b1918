/* worker.c: a forked worker's whole life: read a call, run it, write the reply. */
#include "compat.h"

#include "process.h"

#ifdef __linux__

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t self = 0;
static pyexec_shared *shared = NULL;
static bool littered = false; /* a snippet left processes behind: the template is to look for them */
static char *input = NULL; /* of the call; big enough for most */
static size_t input_cap = 0;

static void
need(size_t n)
{
    if (input_cap < n) {
        size_t cap = input_cap == 0 ? 1u << 16 : input_cap;
        while (cap < n) {
            cap *= 2;
        }
        char *p = realloc(input, cap);
        if (p == NULL) {
            _exit(PYEXEC_LOST);
        }
        input = p;
        input_cap = cap;
    }
}

/* At least n bytes of a message into input, which holds `have` of it; returns how many it holds then. */
static size_t
receive(int fd, size_t have, size_t n)
{
    need(n);
    while (have < n) {
        ssize_t got = recv(fd, input + have, input_cap - have, 0);
        if (got == 0) {
            _exit(have == 0 && !littered ? 0 : PYEXEC_LOST); /* the host is done with this worker */
        }
        if (got < 0 && errno != EINTR) {
            _exit(PYEXEC_LOST);
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return have;
}

static void
reply(int fd, uint64_t nonce, const pyexec_reply *r)
{
    static const char children[] = "it left child processes behind";
    const pyexec_bytes none = {NULL, 0};
    bool more = (r->flags & PYEXEC_MORE) != 0;
    pyexec_bytes sections[8] = {r->vars};
    if (more) {
        memcpy(sections + 1, (pyexec_bytes[]){r->value, r->skipped, r->error, r->changes, r->taint, r->out, r->err},
               7 * sizeof *sections);
    }
    pyexec_reply_message body = {.status = r->status, .flags = r->flags, .cached = r->cached, .evictions = r->evictions};
    /* Also what a child of the snippet's left when it died, which falls to this process. */
    siginfo_t info;
    littered = littered || waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    if (littered && sections[5].n == 0) {
        sections[5] = (pyexec_bytes){(const uint8_t *)children, sizeof children - 1};
        body.flags |= PYEXEC_TAINTED | PYEXEC_MORE;
    }
    pyexec_head head = {.type = PYEXEC_MESSAGE_REPLY, .length = sizeof body, .nonce = nonce};
    struct iovec parts[10] = {{&head, sizeof head}, {&body, sizeof body}};
    size_t n = 2;
    for (size_t i = 0; i < 8; i++) {
        pyexec_bytes b = sections[i].n == 0 ? none : sections[i];
        body.lengths[i] = b.n;
        head.length += b.n;
        if (b.n != 0) {
            parts[n++] = (struct iovec){(void *)b.p, b.n};
        }
    }
    pyexec_ask_lock(true);
    pyexec_send_all(fd, parts, n);
    pyexec_ask_lock(false);
}

/* What a snippet prints is kept where it outlives the process. */
static void
share(pyexec_capture *c, uint8_t *p, uint64_t *length)
{
    if (!c->buf.lent) { /* the first time, or after one was streamed */
        pyexec_buf_free(&c->buf);
        c->buf = (pyexec_buf){.p = p, .cap = (size_t)pyexec_output_area(c->max), .lent = true};
        c->length = length;
    }
}

/* A child that a snippet has forked ends where the snippet does. */
static void
leave_child(const pyexec_reply *r)
{
    if (getpid() != self) {
        _exit(r->status == PYEXEC_OK ? 0 : 1);
    }
}

static void
call(pyexec_kernel *k, int fd, const pyexec_head *head)
{
    pyexec_call_message m;
    memcpy(&m, input + sizeof *head, sizeof m);
    const char *p = input + sizeof *head + sizeof m;
    const uint64_t lengths[5] = {m.name_len, m.code_len, m.vars_len, m.want_len, m.functions_len};
    const char *texts[5] = {NULL};
    for (size_t i = 0; i < 5; i++) {
        texts[i] = p;
        p += lengths[i];
    }
    if ((size_t)(p - input) != sizeof *head + head->length) {
        _exit(PYEXEC_LOST);
    }
    shared->forks = 0;
    shared->out_len = shared->err_len = 0;
    share(&k->out, shared->output, &shared->out_len);
    share(&k->err, shared->output + pyexec_output_area(k->config.max_output), &shared->err_len);
    const pyexec_reply *r = pyexec_run(k, m.flags, m.hash, texts[0], m.name_len, texts[1], m.code_len, texts[2],
                                       m.vars_len, texts[3], m.want_len, m.has_host ? head->nonce : 0, texts[4],
                                       m.functions_len);
    leave_child(r);
    reply(fd, head->nonce, r);
}

static pyexec_kernel *kernel = NULL;

/* A snippet's fork has its parent's memory, and connection: what it prints goes nowhere. */
static void
in_fork(void)
{
    kernel->out.open = kernel->err.open = false;
}

void
pyexec_serve(pyexec_kernel *k, int fd)
{
    self = getpid();
    kernel = k;
    pthread_atfork(NULL, NULL, in_fork);
    pyexec_ask_begin(fd, self);
    for (size_t have = 0;;) {
        pyexec_head head;
        have = receive(fd, have, sizeof head);
        memcpy(&head, input, sizeof head);
        if (head.length > SIZE_MAX / 2) {
            _exit(PYEXEC_LOST);
        }
        size_t all = sizeof head + head.length;
        have = receive(fd, have, all);
        if (head.type == PYEXEC_MESSAGE_CALL && head.length >= sizeof(pyexec_call_message)) {
            call(k, fd, &head);
        }
        else if (head.type != PYEXEC_MESSAGE_ANSWER) { /* to a thread of an earlier call, which is no more */
            _exit(PYEXEC_LOST);
        }
        have -= all;
        memmove(input, input + all, have);
        if (input_cap > PYEXEC_BUF_KEEP && have == 0) {
            free(input);
            input = NULL;
            input_cap = 0;
        }
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
    self = getpid();
    shared = memory;
    pyexec_guard_worker(&shared->forks);
    seed_numpy();
    /* What Python and modules do after a fork is no snippet's doing. */
    if (pyexec_modules_accept(k) < 0) {
        _exit(PYEXEC_LOST);
    }
    pyexec_watch_accept(k);
    pyexec_gc_mark(k);
}

#endif /* __linux__ */
