/* process.h: what host, template and workers say to each other, and the two loops that say it. internal/process is the
 * other side, in Go. All three are the same binary, so structs go over the wire as they are.
 *
 * The host starts its own executable again with PYEXEC_TEMPLATE_ENV set. A constructor catches that before Go's runtime
 * starts, initialises Python in what is still one thread, and forks workers as the host asks for them (template.c). Each
 * worker has a socket of its own to the host, over which calls and replies go (worker.c). */
#ifndef PYEXEC_PROCESS_H
#define PYEXEC_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "kernel.h"

#define PYEXEC_TEMPLATE_ENV "PYEXEC_PRIVATE_TEMPLATE"

enum {
    PYEXEC_CONTROL_FD = 3, /* of the template: its socket to the host, SOCK_SEQPACKET */
    PYEXEC_LOST = 111,     /* exit status of a worker that cannot talk to its host any more, or has left a mess */
    PYEXEC_REPORT_FD = 4   /* of workers: their part of shared memory, where faulthandler writes */
};

/* ---- host to template ---- */

enum { PYEXEC_MAX_RLIMITS = 8 };

enum { /* pyexec_template_config.limits[].resource */
    PYEXEC_LIMIT_ADDRESS_SPACE = 1,
    PYEXEC_LIMIT_CPU, /* of each call, in seconds */
    PYEXEC_LIMIT_FILE_SIZE,
    PYEXEC_LIMIT_OPEN_FILES,
    PYEXEC_LIMIT_PROCESSES
};

enum { PYEXEC_TEMPLATE_TEXTS = 5 };

typedef struct { /* the first message; preload, keep, home, venv and paths follow it */
    uint64_t cache_entries, cache_bytes, max_output, max_result, memory_limit;
    uint32_t max_depth, nlimits, text_lens[PYEXEC_TEMPLATE_TEXTS], unused;
    struct {
        uint64_t resource, value;
    } limits[PYEXEC_MAX_RLIMITS];
} pyexec_template_config;

typedef struct { /* each later message: fork a worker of this number */
    uint64_t id;
} pyexec_fork_request;

/* ---- template to host ---- */

enum { /* pyexec_template_message.type */
    PYEXEC_TEMPLATE_READY = 1,
    PYEXEC_TEMPLATE_FAILED, /* text says why; the template ends */
    PYEXEC_TEMPLATE_WORKER, /* a worker was forked; with three descriptors: its socket, its shared memory, its pidfd */
    PYEXEC_TEMPLATE_NO_WORKER, /* it could not be: status is an errno */
    PYEXEC_TEMPLATE_DIED    /* a worker is no more, and neither is what it had started: status is that of waitpid */
};

typedef struct {
    uint32_t type;
    int32_t pid;
    uint64_t id;
    int32_t status;
    int32_t stopped; /* the signal that had stopped it, which it was killed for */
    int64_t max_rss, cpu; /* KiB; us */
    char text[512];
} pyexec_template_message;

/* ---- host and worker ---- */

enum { /* pyexec_head.type */
    PYEXEC_MESSAGE_CALL = 0x70790001, /* pyexec_call_message, then its five texts */
    PYEXEC_MESSAGE_REPLY,             /* pyexec_reply_message, then its eight sections */
    PYEXEC_MESSAGE_ASK,               /* pyexec_ask_message, then what is asked: of the worker, while it runs a call */
    PYEXEC_MESSAGE_ANSWER             /* pyexec_answer_message, then the answer */
};

typedef struct {
    uint32_t type, flags;
    uint64_t length; /* of what follows */
    uint64_t nonce;  /* of the call, unpredictable: what a snippet wrote to the socket before cannot pass for a reply */
} pyexec_head;

typedef struct {
    uint64_t id, hash;
    uint64_t name_len, code_len, vars_len, want_len, functions_len;
    uint32_t flags, has_host;
} pyexec_call_message;

typedef struct {
    int32_t status;
    uint32_t flags;
    uint64_t cached, evictions;
    uint64_t lengths[8]; /* vars, value, skipped, error, changes, taint, out, err */
} pyexec_reply_message;

typedef struct { /* see pyexec_request */
    uint64_t id; /* for its answer */
    uint64_t ticket, max;
    uint32_t what, index, own, unused;
} pyexec_ask_message;

typedef struct {
    uint64_t id;
    int32_t answer;
    uint32_t unused;
} pyexec_answer_message;

/* A call is stopped by a signal to its process that carries its id, shifted by two bits, and how hard to try. */
#define PYEXEC_INTERRUPT_SIGNAL 62 /* SIGRTMAX - 2; limit.c has the one above */

/* ---- shared memory of a worker and the host: what must outlive the worker ---- */

enum { PYEXEC_REPORT_SIZE = 1 << 16 };

/* A message goes by mail if it fits, and if the other side looks there just then, so that nobody has to be woken up; else
 * over the socket. Only the first message in a direction can: a call, and the first question of it, or its reply. */
enum { PYEXEC_MAIL_LOOKING = 1, PYEXEC_MAIL_SIZE = 1 << 14 };

typedef struct {
    uint32_t word; /* atomic: PYEXEC_MAIL_LOOKING; twice the length of the message that is there; or 0 */
    char pad[60];
    uint8_t bytes[PYEXEC_MAIL_SIZE - 64];
} pyexec_mail;

typedef struct {
    char report[PYEXEC_REPORT_SIZE]; /* text of faulthandler */
    uint64_t out_len, err_len;       /* of the call that runs */
    uint32_t forks;                  /* that it asked for */
    char pad[4096 - 20];
    pyexec_mail to_worker, to_host; /* the host has mapped only these */
    uint8_t output[];               /* pyexec_output_area() bytes of each */
} pyexec_shared;

/* mail.c. No GIL. */
void pyexec_mail_open(uint32_t *word);
void pyexec_mail_wait(const uint32_t *word, int64_t ns);
uint32_t pyexec_mail_look(uint32_t *word, int64_t ns);
bool pyexec_mail_post(pyexec_mail *m, const struct iovec *parts, size_t n);

/* What is about to be streamed needs some room, too. */
static inline uint64_t
pyexec_output_area(uint64_t max_output)
{
    return max_output < 1 << 14 ? 1 << 14 : max_output;
}

/* connection.c. GIL not held. The process ends if its host cannot be talked to. */
void pyexec_connection_begin(int fd, pyexec_shared *shared);
bool pyexec_connection_is_ours(void);  /* this is no fork of a snippet's */
void pyexec_connection_littered(void); /* something was left behind that the template has to look for */
const char *pyexec_next_call(void);    /* a pyexec_head, and what follows it */
void pyexec_call_done(void);
void pyexec_reply_and_look(struct iovec *parts, size_t n);
void pyexec_worker_ask(pyexec_request *r); /* the host_ask of workers */

/* worker.c: serves calls on fd until the host closes it; does not return. cpu is in seconds for each call; 0: any time. GIL
 * not held. */
void pyexec_serve(pyexec_kernel *k, int fd, uint64_t cpu) __attribute__((noreturn));

void pyexec_worker_signals(void);

/* fork.c: PyOS_BeforeFork and so on for workers, with less to do. GIL held, but for the first. */
void pyexec_fork_template(void); /* this process is there to fork workers; before Python is initialised */
void pyexec_before_fork(pyexec_kernel *k);
void pyexec_after_fork_parent(void);
void pyexec_after_fork_child(void);

/* After the fork and before serving, in the child. GIL held. */
void pyexec_become_worker(pyexec_kernel *k, pyexec_shared *shared);

#endif /* PYEXEC_PROCESS_H */
