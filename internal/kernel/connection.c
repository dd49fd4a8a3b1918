/* connection.c: a worker's connection to its host: calls come in, replies and what calls ask go out, and answers come in,
 * over a socket; calls and replies also by mail (mail.c).
 *
 * Any thread can ask, also one that outlives its call, so of all that wait, for an answer or for the next call, one reads,
 * and gives the others theirs. */
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
static pyexec_shared *shared = NULL;
static pid_t owner = 0;
static bool littered = false;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and sending */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static waiter *waiters = NULL;
static uint64_t last_id = 0;
static bool reading = false;    /* somebody is */
static bool call_ready = false; /* a call is in input, and nobody has taken it */

static char *input = NULL; /* a call, and what the main thread has read beyond it */
static size_t cap = 0, have = 0;

void
pyexec_connection_begin(int fd, pyexec_shared *memory)
{
    connection = fd;
    shared = memory;
    owner = getpid();
}

bool
pyexec_connection_is_ours(void)
{
    return getpid() == owner;
}

void
pyexec_connection_littered(void)
{
    littered = true;
}

/* ---- sending ---- */

static void
send_all(struct iovec *parts, size_t n) /* lock held */
{
    while (n > 0) {
        struct msghdr msg = {.msg_iov = parts, .msg_iovlen = n};
        ssize_t sent = sendmsg(connection, &msg, MSG_NOSIGNAL);
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
send_message(struct iovec *parts, size_t n) /* lock held */
{
    if (!pyexec_mail_post(&shared->to_host, parts, n)) {
        send_all(parts, n);
    }
}

/* The next call often comes soon after a reply, and to be woken up takes longer than all the rest. So there is a moment of
 * looking before sleeping, of about what sleeping would cost, and less and less often where it was in vain. */
enum { LOOK_NS = 30000, MAX_MISSES = 7 };

static bool looking = false;
static unsigned misses = 0, skip = 0;

void
pyexec_reply_and_look(struct iovec *parts, size_t n)
{
    pthread_mutex_lock(&lock);
    looking = skip == 0;
    skip -= skip > 0;
    if (looking) {
        pyexec_mail_open(&shared->to_worker.word);
    }
    send_message(parts, n);
    pthread_mutex_unlock(&lock);
}

/* ---- receiving ---- */

static size_t
receive(void *p, size_t n, bool may_end)
{
    for (;;) {
        ssize_t got = recv(connection, p, n, 0);
        if (got > 0) {
            return (size_t)got;
        }
        if (got == 0) {
            _exit(may_end && !littered ? 0 : PYEXEC_LOST); /* the host is done with this worker */
        }
        if (errno != EINTR) {
            _exit(PYEXEC_LOST);
        }
    }
}

static void
receive_exactly(void *p, size_t n)
{
    for (char *at = p; n > 0;) {
        size_t got = receive(at, n, false);
        at += got;
        n -= got;
    }
}

static void
need(size_t n)
{
    size_t more = cap == 0 ? 1u << 16 : cap;
    while (more < n) {
        more *= 2;
    }
    if (more != cap) {
        char *p = realloc(input, more);
        if (p == NULL) {
            _exit(PYEXEC_LOST);
        }
        input = p;
        cap = more;
    }
}

/* All of the message that begins at `from` in input; returns where it ends. Reads on as far as there is something. */
static size_t
fill(size_t from)
{
    pyexec_head head = {0};
    size_t n = sizeof head;
    for (;;) {
        if (have - from >= sizeof head) {
            memcpy(&head, input + from, sizeof head);
            n = sizeof head + (size_t)head.length;
            if (head.length > SIZE_MAX / 4) {
                _exit(PYEXEC_LOST);
            }
        }
        if (have - from >= n) {
            return from + n;
        }
        need(from + n);
        have += receive(input + have, cap - have, have == 0);
    }
}

static void
deliver(const pyexec_answer_message *m, uint8_t *data /* stolen */, size_t n) /* lock held */
{
    waiter **at = &waiters;
    while (*at != NULL && (*at)->id != m->id) {
        at = &(*at)->next;
    }
    waiter *w = *at;
    if (w == NULL) {
        free(data);
        return;
    }
    *at = w->next;
    w->request->answer = m->answer;
    w->request->out = data;
    w->request->out_len = n;
    w->done = true;
}

static uint8_t *
data_of(size_t n)
{
    uint8_t *data = malloc(n + 1);
    if (data == NULL) {
        _exit(PYEXEC_LOST);
    }
    return data;
}

/* The message between from and to in input is a call: true. If it is an answer, it is delivered, and gone from input. */
static bool
sort_out(size_t from, size_t to) /* lock held */
{
    pyexec_head head;
    pyexec_answer_message m;
    memcpy(&head, input + from, sizeof head);
    if (head.type == PYEXEC_MESSAGE_CALL && head.length >= sizeof(pyexec_call_message) && from == 0) {
        return true;
    }
    if (head.type != PYEXEC_MESSAGE_ANSWER || head.length < sizeof m) {
        _exit(PYEXEC_LOST);
    }
    memcpy(&m, input + from + sizeof head, sizeof m);
    size_t n = (size_t)head.length - sizeof m;
    uint8_t *data = data_of(n);
    memcpy(data, input + from + sizeof head + sizeof m, n);
    deliver(&m, data, n);
    memmove(input + from, input + to, have - to);
    have -= to - from;
    return false;
}

static void
look(void)
{
    pyexec_head head;
    uint32_t n = pyexec_mail_look(&shared->to_worker.word, LOOK_NS);
    looking = false;
    if (n == 0) {
        misses += misses < MAX_MISSES;
        skip = (1u << misses) - 1;
        return;
    }
    misses = 0;
    if (n < sizeof head || n > sizeof shared->to_worker.bytes) {
        _exit(PYEXEC_LOST);
    }
    pthread_mutex_lock(&lock);
    need(n);
    memcpy(input, shared->to_worker.bytes, n);
    memcpy(&head, input, sizeof head);
    if (head.length != n - sizeof head) {
        _exit(PYEXEC_LOST); /* a child of the snippet's wrote that */
    }
    have = n;
    call_ready = sort_out(0, n);
    pthread_mutex_unlock(&lock);
}

/* The next call; it stays where it is until pyexec_call_done. For the main thread, between calls. */
const char *
pyexec_next_call(void)
{
    size_t end = 0;
    if (looking) {
        look();
    }
    pthread_mutex_lock(&lock);
    while (!call_ready) {
        if (reading) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        reading = true;
        pthread_mutex_unlock(&lock);
        end = fill(0);
        pthread_mutex_lock(&lock);
        reading = false;
        call_ready = sort_out(0, end);
        if (waiters != NULL) {
            pthread_cond_broadcast(&changed);
        }
    }
    call_ready = false;
    for (end = fill(0); have > end;) { /* answers to threads of earlier calls that came with it */
        sort_out(end, fill(end));
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    return input;
}

void
pyexec_call_done(void)
{
    pthread_mutex_lock(&lock);
    have = 0;
    if (cap > PYEXEC_BUF_KEEP) {
        free(input);
        input = NULL;
        cap = 0;
    }
    pthread_mutex_unlock(&lock);
}

/* ---- asking ---- */

/* One message, no byte more: a call may be in input. */
static void
read_one(void) /* lock held, given up meanwhile */
{
    pyexec_head head;
    pyexec_answer_message m;
    reading = true;
    pthread_mutex_unlock(&lock);
    receive_exactly(&head, sizeof head);
    if (head.type == PYEXEC_MESSAGE_CALL && head.length <= SIZE_MAX / 4) { /* the asker's own call is long over */
        need(sizeof head + (size_t)head.length);
        memcpy(input, &head, sizeof head);
        receive_exactly(input + sizeof head, (size_t)head.length);
        pthread_mutex_lock(&lock);
        have = sizeof head + (size_t)head.length;
        call_ready = true;
    }
    else {
        if (head.type != PYEXEC_MESSAGE_ANSWER || head.length < sizeof m) {
            _exit(PYEXEC_LOST);
        }
        receive_exactly(&m, sizeof m);
        size_t n = (size_t)head.length - sizeof m;
        uint8_t *data = data_of(n);
        receive_exactly(data, n);
        pthread_mutex_lock(&lock);
        deliver(&m, data, n);
    }
    reading = false;
    pthread_cond_broadcast(&changed);
}

void
pyexec_worker_ask(pyexec_request *r)
{
    waiter w = {.request = r};
    if (!pyexec_connection_is_ours()) {
        return; /* a snippet's fork. The answer is PYEXEC_ANSWER_OVER already */
    }
    pthread_mutex_lock(&lock);
    w.id = ++last_id;
    w.next = waiters;
    waiters = &w;
    pyexec_ask_message m = {.id = w.id, .ticket = r->ticket, .max = r->max, .what = (uint32_t)r->what,
                            .index = r->index, .own = r->own};
    pyexec_head head = {.type = PYEXEC_MESSAGE_ASK, .length = sizeof m + r->in.n, .nonce = r->host};
    struct iovec parts[3] = {{&head, sizeof head}, {&m, sizeof m}, {(void *)r->in.p, r->in.n}};
    send_message(parts, r->in.n == 0 ? 2 : 3);
    while (!w.done) {
        if (reading) {
            pthread_cond_wait(&changed, &lock);
        }
        else {
            read_one();
        }
    }
    pthread_mutex_unlock(&lock);
}

#endif /* __linux__ */
