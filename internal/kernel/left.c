/* left.c: what there is to tell of a call that goes on in C code after its caller has left: what it has written so far, and
 * where it is. Another thread asks, without the GIL, while the call may go on any moment.
 *
 * Its frames are written down by faulthandler, in a signal handler on the call's own thread. That is sound only while the
 * evaluation loop stands still, and it does if none of the signals was heard that the thread has had for some of its own
 * processor time: the loop looks for them at each call and each jump back. */
#include "compat.h"

#include "kernel.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { DEAF = 1000000, ASKED = 1, WRITTEN = 2, PAUSE = 100000 }; /* ns */

static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER; /* guards the capture buffers of the call that runs */
static int report_fd = -1;
static void (*_Atomic dump)(int) = NULL; /* faulthandler's handler */
static _Atomic int state = 0;

void
pyexec_left_lock(void)
{
    pthread_mutex_lock(&output);
}

void
pyexec_left_unlock(void)
{
    pthread_mutex_unlock(&output);
}

/* In the handler of the signal that stops calls. */
void
pyexec_left_on_signal(pyexec_stopping *s, int signum)
{
    struct timespec t;
    void (*write_frames)(int) = dump;
    if (s->call == 0 || !pthread_equal(pthread_self(), s->thread) || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) {
        return;
    }
    int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    if (s->deaf.since == 0 || s->deaf.heard != s->heard) {
        s->deaf.heard = s->heard;
        s->deaf.since = now;
    }
    if (state == ASKED && write_frames != NULL && now - s->deaf.since >= DEAF) {
        write_frames(signum);
        state = WRITTEN;
    }
}

static pyexec_bytes
read_report(void)
{
    pyexec_buf b = {0};
    char part[4096];
    ssize_t n = 0;
    lseek(report_fd, 0, SEEK_SET);
    while ((n = read(report_fd, part, sizeof part)) > 0) {
        pyexec_buf_put(&b, part, (size_t)n);
    }
    lseek(report_fd, 0, SEEK_SET);
    if (b.failed || ftruncate(report_fd, 0) != 0) { /* or the next one would end in a piece of this one */
        pyexec_buf_free(&b);
    }
    return (pyexec_bytes){b.p, b.len};
}

static pyexec_bytes
copy_output(const pyexec_capture *c)
{
    pyexec_buf b = {0};
    if (c->stream == NULL) { /* or it is on its way already */
        pyexec_buf_put(&b, c->buf.p, c->buf.len);
    }
    return (pyexec_bytes){b.p, b.len};
}

bool
pyexec_left_behind(pyexec_kernel *k, uint64_t id, int64_t patience, pyexec_left *l)
{
    pyexec_stopping *s = &k->stop;
    s->interrupters++; /* the end of the call, and so of its thread, waits for us */
    bool found = s->call == id;
    if (found) {
        pthread_mutex_lock(&output);
        l->out = copy_output(&k->out);
        l->err = copy_output(&k->err);
        l->out_cut = k->out.cut;
        l->err_cut = k->err.cut;
        pthread_mutex_unlock(&output);
    }
    if (found && dump != NULL) {
        state = ASKED;
        for (int i = 0; i < patience / PAUSE && state != WRITTEN; i++) {
            if (i % 10 == 0) {
                pyexec_stop_signal(s);
            }
            usleep(PAUSE / 1000);
        }
        if (state == WRITTEN) {
            l->report = read_report();
        }
        state = 0;
    }
    s->interrupters--;
    return found;
}

void
pyexec_left_free(pyexec_left *l)
{
    free((void *)l->out.p);
    free((void *)l->err.p);
    free((void *)l->report.p);
}

/* faulthandler is told of the signal, and its handler for it is taken from where it has put it. */
int
pyexec_left_init(int signum)
{
    struct sigaction before, now;
    if (report_fd < 0) {
        report_fd = memfd_create("pyexec-report", MFD_CLOEXEC);
        if (report_fd < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
    if (sigaction(signum, NULL, &before) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    PyObject *r = pyexec_guard_faulthandler("register", Py_BuildValue("(iiOO)", signum, report_fd, Py_False, Py_False)); /* new */
    if (r != NULL && sigaction(signum, NULL, &now) == 0) {
        dump = now.sa_handler;
    }
    sigaction(signum, &before, NULL);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* Before Py_FinalizeEx, which would set the signal to what it was when faulthandler was told of it. */
void
pyexec_left_fini(int signum)
{
    struct sigaction before;
    dump = NULL;
    if (sigaction(signum, NULL, &before) < 0) {
        return;
    }
    PyObject *r = pyexec_guard_faulthandler("unregister", Py_BuildValue("(i)", signum)); /* new */
    PyErr_Clear();
    Py_XDECREF(r);
    sigaction(signum, &before, NULL);
}
