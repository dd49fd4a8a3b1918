/* forkloop.c: the limit of what a fresh process for each snippet can be: fork, run, reply, wait, in C, and nothing else.
 *
 * It is a process of its own, since its interpreter must have one thread: this executable, started once more, and caught by
 * a constructor before Go's runtime starts, as template.c does it. It reads a number, forks as many, one after the other,
 * and writes how many nanoseconds that took. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bench.h"

#ifdef __linux__

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPLY = 117 };

static PyObject *
start(void) /* new: the code of the snippet */
{
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status) || PyRun_SimpleString("import threading, warnings, gc\ngc.collect()\ngc.freeze()") < 0) {
        _exit(1);
    }
    PyObject *code = Py_CompileString("x = 100", "snippet.py", Py_file_input); /* new */
    if (code == NULL) {
        _exit(1);
    }
    return code;
}

static void __attribute__((noreturn))
child(PyObject *code, int fd)
{
    char reply[REPLY] = {0};
    PyOS_AfterFork_Child();
    PyObject *globals = PyDict_New();                                                               /* new */
    PyObject *result = globals == NULL ? NULL : PyEval_EvalCode(code, globals, globals); /* new */
    _exit(result != NULL && send(fd, reply, sizeof reply, MSG_NOSIGNAL) == (ssize_t)sizeof reply ? 0 : 1);
}

static void
one(PyObject *code)
{
    char reply[REPLY];
    int pair[2], status = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        _exit(1);
    }
    PyOS_BeforeFork();
    pid_t pid = fork();
    if (pid == 0) {
        child(code, pair[1]);
    }
    PyOS_AfterFork_Parent();
    if (pid < 0 || recv(pair[0], reply, sizeof reply, MSG_WAITALL) != (ssize_t)sizeof reply ||
        waitpid(pid, &status, 0) != pid || status != 0) {
        _exit(1);
    }
    close(pair[0]);
    close(pair[1]);
}

static void __attribute__((constructor))
catch_fork_loop(void)
{
    struct timespec from, to;
    int n = 0;
    if (secure_getenv(BENCH_FORK_LOOP_ENV) == NULL) {
        return;
    }
    PyObject *code = start();
    while (scanf("%d", &n) == 1) {
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int i = 0; i < n; i++) {
            one(code);
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        printf("%lld\n", (long long)(to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec));
        fflush(stdout);
    }
    _exit(0);
}

#endif /* __linux__ */
