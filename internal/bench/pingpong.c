/* pingpong.c: the limit of what a worker process can be: a few bytes to another process over a socket, and a few back. */
#include "bench.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096 };

static void
echo(int fd, size_t request, size_t reply)
{
    static char buf[MOST];
    while (recv(fd, buf, request, MSG_WAITALL) == (ssize_t)request && send(fd, buf, reply, MSG_NOSIGNAL) > 0) {
    }
    _exit(0);
}

int64_t
bench_ping_pong(size_t request, size_t reply, int64_t n)
{
    char buf[MOST] = {0};
    int pair[2] = {-1, -1};
    struct timespec from, to;
    int64_t ns = -1;
    if (request > MOST || reply > MOST || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        echo(pair[1], request, reply);
    }
    close(pair[1]);
    if (pid < 0) {
        goto done;
    }
    for (int64_t i = -1; i < n; i++) { /* the first is for warming up */
        if (i == 0) {
            clock_gettime(CLOCK_MONOTONIC, &from);
        }
        if (send(pair[0], buf, request, MSG_NOSIGNAL) != (ssize_t)request ||
            recv(pair[0], buf, reply, MSG_WAITALL) != (ssize_t)reply) {
            goto done;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    ns = (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec);

done:
    close(pair[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return ns;
}
