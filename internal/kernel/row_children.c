/* row_children.c: processes that snippets start. Those that still run at the end are killed, and all are waited for, by
 * their numbers: a number that nobody has waited for cannot be given to another process. Children of the host's own are
 * nobody else's to wait for. */
#include "compat.h"

#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pyexec_child *
find(pyexec_kernel *k, long pid)
{
    for (size_t i = 0; i < k->children.n; i++) {
        if (k->children.items[i].pid == pid) {
            return &k->children.items[i];
        }
    }
    return NULL;
}

static void
forget(pyexec_kernel *k, struct pyexec_child *child)
{
    *child = k->children.items[--k->children.n];
}

/* Room is made before the process: what has been started must not be lost. */
static PyObject *
on_start(const pyexec_call *c)
{
    pyexec_children *all = &c->k->children;
    if (all->n == all->cap) {
        size_t cap = all->cap == 0 ? 8 : all->cap * 2;
        struct pyexec_child *items = realloc(all->items, cap * sizeof *items);
        if (items == NULL) {
            return PyErr_NoMemory();
        }
        all->items = items;
        all->cap = cap;
    }
    PyObject *r = pyexec_real(c); /* new: gives up the GIL on the way, but snippets of other calls do not run */
    PyObject *first = r;          /* borrowed */
    if (r != NULL && PyTuple_Check(r) && PyTuple_GET_SIZE(r) == 2) { /* forkpty: and the terminal */
        first = PyTuple_GET_ITEM(r, 0);
        pyexec_descriptor_is_ours((int)PyLong_AsLong(PyTuple_GET_ITEM(r, 1)));
    }
    long pid = r != NULL && PyLong_Check(first) ? PyLong_AsLong(first) : 0;
    if (pid > 0 && all->n < all->cap) {
        all->items[all->n++] = (struct pyexec_child){(int)pid, !pyexec_by_snippet(c->k)};
        c->k->touched = true;
    }
    return r;
}

/* ---- waiting ---- */

static PyObject *
no_child(const pyexec_call *c, bool one)
{
    if (!one && c->k->children.n > 0) {
        PyErr_Format(PyExc_PermissionError,
                     "os.%s is refused in process for any child: it could be the host's; name one of your own", c->touch->name);
        return NULL;
    }
    errno = ECHILD;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static bool
is_free(const pyexec_call *c)
{
    return c->k->running == NULL || pyexec_guard_is_fork();
}

static PyObject *
on_wait(const pyexec_call *c) /* wait, wait3: for any child */
{
    return is_free(c) ? pyexec_real(c) : no_child(c, false);
}

static PyObject *
on_waitpid(const pyexec_call *c) /* waitpid(pid, options), wait4(pid, options) */
{
    PyObject *v = pyexec_arg(c, 0, "pid"); /* borrowed */
    long pid = v != NULL && PyLong_Check(v) ? PyLong_AsLong(v) : 0;
    PyErr_Clear();
    if (is_free(c)) {
        return pyexec_real(c);
    }
    if (find(c->k, pid) == NULL) {
        return no_child(c, pid > 0);
    }
    PyObject *r = pyexec_real(c); /* new */
    struct pyexec_child *child = find(c->k, pid);
    if (r != NULL && child != NULL && PyTuple_Check(r) && PyTuple_GET_SIZE(r) > 0 &&
        PyLong_AsLong(PyTuple_GET_ITEM(r, 0)) == pid) {
        forget(c->k, child);
    }
    return r;
}

static PyObject *
on_waitid(const pyexec_call *c) /* waitid(idtype, id, options) */
{
    long a[3] = {-1, -1, 0};
    for (Py_ssize_t i = 0; i < 3; i++) {
        PyObject *v = pyexec_arg(c, i, NULL); /* borrowed */
        a[i] = v != NULL && PyLong_Check(v) ? PyLong_AsLong(v) : a[i];
        PyErr_Clear();
    }
    if (is_free(c)) {
        return pyexec_real(c);
    }
    if (a[0] != P_PID || find(c->k, a[1]) == NULL) {
        return no_child(c, a[0] == P_PID);
    }
    PyObject *r = pyexec_real(c); /* new */
    struct pyexec_child *child = find(c->k, a[1]);
    if (r != NULL && r != Py_None && child != NULL && (a[2] & WEXITED) != 0 && (a[2] & WNOWAIT) == 0) {
        int status = 0;
        pid_t got = waitpid(child->pid, &status, WNOHANG | WNOWAIT); /* gone, or only stopped? */
        if (got < 0) {
            forget(c->k, child);
        }
    }
    return r;
}

/* ---- the end ---- */

enum { WAITS = 2000 }; /* of a millisecond: how long a killed process may take, on a machine that has much else to do */

static bool
is_gone(pid_t pid)
{
    int status = 0;
    pid_t got = 0;
    do {
        got = waitpid(pid, &status, WNOHANG);
    } while (got < 0 && errno == EINTR);
    return got != 0; /* waited for; or it is none of ours, or another has waited for it */
}

int
pyexec_children_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    int killed = 0;
    (void)s;
    for (size_t i = k->children.n; i-- > 0;) {
        struct pyexec_child *child = &k->children.items[i];
        if (child->stays) {
            continue;
        }
        pid_t pid = child->pid;
        if (!is_gone(pid)) {
            killed++;
            if (getpgid(pid) == pid) {
                kill(-pid, SIGKILL); /* it leads a group: with what it has started */
            }
            kill(pid, SIGKILL);
            for (int n = 0; !is_gone(pid); n++) {
                if (n == WAITS) {
                    pyexec_taint(k, "process %d, which the snippet started, does not end", (int)pid);
                    break;
                }
                pyexec_let_others_run(k);
            }
        }
        child = find(k, pid); /* the list may have moved while others ran */
        if (child != NULL) {
            forget(k, child);
        }
    }
    if (killed > 0) {
        char after[32];
        snprintf(after, sizeof after, "%d still running", killed);
        pyexec_report(k, row, "none", after);
    }
    return killed > 0;
}

int
pyexec_children_init(pyexec_kernel *k)
{
#define CHILD(module, name, hook) {"child processes", module, NULL, name, hook, NULL, NULL, NULL, {0}}
    static const pyexec_touch all[] = {
        CHILD("_posixsubprocess", "fork_exec", on_start), CHILD("posix", "posix_spawn", on_start),
        CHILD("posix", "posix_spawnp", on_start),         CHILD("posix", "wait", on_wait),
        CHILD("posix", "fork", on_start),                 CHILD("posix", "forkpty", on_start),
        CHILD("posix", "wait3", on_wait),                 CHILD("posix", "waitpid", on_waitpid),
        CHILD("posix", "wait4", on_waitpid),              CHILD("posix", "waitid", on_waitid),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (pyexec_touch_add(k, &all[i]) < 0) {
            return -1;
        }
    }
    return 0;
}
