/* mail.c: messages between host and worker through shared memory, for when the other side looks there just now: nobody has
 * to be woken up. See process.h. The host's side of it is in
 * internal/process/mail_linux.go, but for the waiting. */
#include "compat.h"

#include "process.h"

#include <string.h>
#include <time.h>

static int64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void
pause_a_moment(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* For who receives: begin to look. It is to be done before the other side can have anything to say: what it sends by mail
 * then comes before all that it sends over the socket. */
void
pyexec_mail_open(uint32_t *word)
{
    __atomic_store_n(word, PYEXEC_MAIL_LOOKING, __ATOMIC_SEQ_CST);
}

/* At most for so long. */
void
pyexec_mail_wait(const uint32_t *word, int64_t ns)
{
    for (int64_t end = now_ns() + ns;;) {
        for (int i = 0; i < 16; i++) {
            if (__atomic_load_n(word, __ATOMIC_RELAXED) != PYEXEC_MAIL_LOOKING) {
                return;
            }
            pause_a_moment();
        }
        if (now_ns() >= end) {
            return;
        }
    }
}

/* Look, at most for so long, and stop looking. Returns the length of what is there; 0: what comes, comes over the socket. */
uint32_t
pyexec_mail_look(uint32_t *word, int64_t ns)
{
    pyexec_mail_wait(word, ns);
    return __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) / 2;
}

/* For who sends: true if the other side has it. If it cannot, the other side is told to look at the socket. */
bool
pyexec_mail_post(pyexec_mail *m, const struct iovec *parts, size_t n)
{
    uint32_t looking = PYEXEC_MAIL_LOOKING;
    size_t length = 0;
    if (__atomic_load_n(&m->word, __ATOMIC_RELAXED) != looking) {
        return false;
    }
    for (size_t i = 0; i < n && length <= sizeof m->bytes; i++) {
        if (parts[i].iov_len <= sizeof m->bytes - length) {
            memcpy(m->bytes + length, parts[i].iov_base, parts[i].iov_len);
        }
        length += parts[i].iov_len;
    }
    if (length > sizeof m->bytes) {
        length = 0;
    }
    return __atomic_compare_exchange_n(&m->word, &looking, (uint32_t)length * 2, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) &&
           length != 0;
}
