/* ask.c: what a worker's call asks of the host program, as messages over the worker's connection.
 *
 * Any thread can ask, so of those that wait for an answer one reads, and gives the others theirs. */
#include "compat.h"

#include "process.h"

#ifdef __linux__

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct waiter {
    struct waiter *next;
    uint64_t id;
    pyexec_request *request;
    bool done;
} waiter;

static int connection = -1;
static pid_t owner = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and sending */
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static waiter *waiters = NULL;
static uint64_t last_id = 0;
static bool reading = false; /* one of the waiters is */

void
pyexec_ask_begin(int fd, pid_t self)
{
    connection = fd;
    owner = self;
}

void
pyexec_ask_lock(bool take)
{
    if (take) {
        pthread_mutex_lock(&lock);
    }
    else {
        pthread_mutex_unlock(&lock);
    }
}

void
pyexec_send_all(int fd, struct iovec *parts, size_t n)
{
    while (n > 0) {
        struct msghdr msg = {.msg_iov = parts, .msg_iovlen = n};
        ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            _exit(PYEXEC_LOST);
        }
        for (; n > 0 && sent >= 0 && (size_t)sent >= parts->iov_len; parts++, n--) {
            sent -= (ssize_t)parts->iov_len;
        }
        if (n > 0 && sent > 0) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
}

static void
receive_exactly(void *p, size_t n)
{
    for (char *at = p; n > 0;) {
        ssize_t got = recv(connection, at, n, 0);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            _exit(PYEXEC_LOST);
        }
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

/* One answer, to whomever it is. Lock held, given up meanwhile. */
static void
read_answer(void)
{
    pyexec_head head;
    pyexec_answer_message m;
    reading = true;
    pthread_mutex_unlock(&lock);
    receive_exactly(&head, sizeof head);
    if (head.type != PYEXEC_MESSAGE_ANSWER || head.length < sizeof m) {
        _exit(PYEXEC_LOST);
    }
    receive_exactly(&m, sizeof m);
    size_t n = (size_t)head.length - sizeof m;
    uint8_t *data = malloc(n + 1);
    if (data == NULL) {
        _exit(PYEXEC_LOST);
    }
    receive_exactly(data, n);
    pthread_mutex_lock(&lock);
    reading = false;
    waiter **at = &waiters;
    while (*at != NULL && (*at)->id != m.id) {
        at = &(*at)->next;
    }
    waiter *w = *at;
    if (w == NULL) {
        free(data);
        return;
    }
    *at = w->next;
    w->request->answer = m.answer;
    w->request->out = data;
    w->request->out_len = n;
    w->done = true;
}

void
pyexec_worker_ask(pyexec_request *r)
{
    waiter w = {.request = r};
    if (getpid() != owner) {
        return; /* a snippet's fork: the connection is its parent's. The answer is PYEXEC_ANSWER_OVER already */
    }
    pthread_mutex_lock(&lock);
    w.id = ++last_id;
    w.next = waiters;
    waiters = &w;
    pyexec_ask_message m = {.id = w.id, .ticket = r->ticket, .max = r->max, .what = (uint32_t)r->what,
                            .index = r->index, .own = r->own};
    pyexec_head head = {.type = PYEXEC_MESSAGE_ASK, .length = sizeof m + r->in.n, .nonce = r->host};
    struct iovec parts[3] = {{&head, sizeof head}, {&m, sizeof m}, {(void *)r->in.p, r->in.n}};
    pyexec_send_all(connection, parts, r->in.n == 0 ? 2 : 3);
    while (!w.done) {
        if (reading) {
            pthread_cond_wait(&answered, &lock);
        }
        else {
            read_answer();
            pthread_cond_broadcast(&answered);
        }
    }
    pthread_mutex_unlock(&lock);
}

#endif /* __linux__ */
