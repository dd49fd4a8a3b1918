/* row_process.c: state of the process, which is the host's: umask, time zone, timers, signal handlers, syslog, gettext. What was
 * before the snippet's first change is put back. What an unprivileged process could never put back is refused. */
#include "compat.h"

#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- umask ---- */

static PyObject *
on_umask(const pyexec_call *c)
{
    PyObject *old = pyexec_real(c); /* new */
    pyexec_row_state *s = c->touch->state;
    if (old != NULL && c->k->running != NULL && s->contents == NULL) {
        s->contents = Py_NewRef(old);
        c->k->touched = true;
    }
    return old;
}

int
pyexec_umask_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    char before[16], after[16];
    if (s->contents == NULL) {
        return 0;
    }
    mode_t old = (mode_t)PyLong_AsLong(s->contents);
    Py_CLEAR(s->contents);
    mode_t now = umask(old);
    if (now == old) {
        return 0;
    }
    snprintf(before, sizeof before, "0o%03o", (unsigned)old);
    snprintf(after, sizeof after, "0o%03o", (unsigned)now);
    pyexec_report(k, row, before, after);
    return 1;
}

/* ---- time.tzset; TZ itself is an environment variable, which its own row has put back by now ---- */

static const char *const tz_names[] = {"timezone", "altzone", "daylight", "tzname"};

static PyObject *
on_tzset(const pyexec_call *c)
{
    pyexec_row_state *s = c->touch->state;
    if (c->k->running != NULL && s->contents == NULL) {
        PyObject *dict = PyModule_GetDict(c->self); /* borrowed */
        s->contents = PyTuple_New(4);               /* new */
        if (s->contents == NULL) {
            return NULL;
        }
        for (Py_ssize_t i = 0; i < 4; i++) {
            PyObject *v = PyDict_GetItemString(dict, tz_names[i]); /* borrowed */
            PyTuple_SET_ITEM(s->contents, i, Py_NewRef(v != NULL ? v : Py_None));
        }
        PyObject_GC_UnTrack(s->contents);
        Py_XSETREF(s->owner, Py_NewRef(dict));
        c->k->touched = true;
    }
    return pyexec_real(c);
}

int
pyexec_tz_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    PyObject *was = s->contents; /* now ours */
    int result = 0;
    if (was == NULL) {
        return 0;
    }
    s->contents = NULL;
    PyObject *name = PyDict_GetItemString(s->owner, "tzname"); /* borrowed */
    if (name == NULL || !PyTuple_CheckExact(name) ||
        PyObject_RichCompareBool(name, PyTuple_GET_ITEM(was, 3), Py_EQ) != 1) {
        pyexec_report_values(k, row, PyTuple_GET_ITEM(was, 3), name);
        result = 1;
    }
    tzset();
    for (Py_ssize_t i = 0; i < 4; i++) {
        if (PyDict_SetItemString(s->owner, tz_names[i], PyTuple_GET_ITEM(was, i)) < 0) {
            result = -1;
        }
    }
    Py_DECREF(was);
    return result;
}

/* ---- interval timers ---- */

static const int timer_clock[3] = {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_PROCESS_CPUTIME_ID};

static PyObject *
on_timer(const pyexec_call *c)
{
    pyexec_process *p = &c->k->process;
    long which = ITIMER_REAL;
    if (strcmp(c->touch->name, "setitimer") == 0) {
        PyObject *v = pyexec_arg(c, 0, NULL); /* borrowed */
        which = v != NULL && PyLong_Check(v) ? PyLong_AsLong(v) : -1;
        PyErr_Clear();
    }
    if (c->k->running != NULL && which >= 0 && which < 3 && (p->timers & 1u << which) == 0 &&
        getitimer((__itimer_which_t)which, &p->timer[which]) == 0) {
        clock_gettime(timer_clock[which], &p->at[which]);
        p->timers |= 1u << which;
        c->k->touched = true;
    }
    return pyexec_real(c);
}

static double
seconds(const struct itimerval *t)
{
    return (double)t->it_value.tv_sec + (double)t->it_value.tv_usec / 1e6;
}

/* The host's timer goes on as if nobody had touched it: less what has passed since. */
static void
let_pass(struct itimerval *t, const struct timespec *since, int clock)
{
    struct timespec now;
    double left = seconds(t);
    if (left == 0) {
        return;
    }
    clock_gettime(clock, &now);
    left -= (double)(now.tv_sec - since->tv_sec) + (double)(now.tv_nsec - since->tv_nsec) / 1e9;
    left = left < 1e-6 ? 1e-6 : left; /* due: 0 would stop it */
    t->it_value.tv_sec = (time_t)left;
    t->it_value.tv_usec = (suseconds_t)((left - (double)t->it_value.tv_sec) * 1e6);
}

int
pyexec_timers_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    static const char *const names[3] = {"ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"};
    pyexec_process *p = &k->process;
    int result = 0;
    (void)s;
    for (int i = 0; i < 3; i++) {
        struct itimerval now;
        char before[64], after[64];
        if ((p->timers & 1u << i) == 0) {
            continue;
        }
        p->timers &= ~(1u << i);
        let_pass(&p->timer[i], &p->at[i], timer_clock[i]);
        if (setitimer((__itimer_which_t)i, &p->timer[i], &now) < 0) {
            return -1;
        }
        if (seconds(&now) == 0 && seconds(&p->timer[i]) == 0) {
            continue;
        }
        snprintf(before, sizeof before, "%s in %.3f s", names[i], seconds(&p->timer[i]));
        snprintf(after, sizeof after, "%s in %.3f s", names[i], seconds(&now));
        pyexec_report(k, row, before, after);
        result = 1;
    }
    return result;
}

/* ---- signal handlers: CPython itself refuses them off its main thread, on which only a process of our own runs snippets */

static PyObject *
on_signal(const pyexec_call *c)
{
    pyexec_process *p = &c->k->process;
    PyObject *number = pyexec_arg(c, 0, NULL); /* borrowed */
    if (c->k->running == NULL || !pthread_equal(pthread_self(), p->main_thread)) {
        if (c->k->running != NULL && strcmp(c->touch->name, "siginterrupt") == 0) {
            return pyexec_refuse(c);
        }
        if (c->k->running != NULL) { /* CPython takes this thread for its main one (limit.c), but signals are the host's */
            PyErr_SetString(PyExc_ValueError, "signal only works in main thread of the main interpreter");
            return NULL;
        }
        return pyexec_real(c);
    }
    if (strcmp(c->touch->name, "set_wakeup_fd") == 0) {
        PyObject *old = pyexec_real(c); /* new */
        if (old != NULL && pyexec_undo_later(c, c->self, "set_wakeup_fd", PyTuple_Pack(1, old)) < 0) {
            Py_CLEAR(old);
        }
        return old;
    }
    long n = number != NULL && PyLong_Check(number) ? PyLong_AsLong(number) : 0;
    PyErr_Clear();
    bool fresh = n > 0 && n < 64 && (p->signals & UINT64_C(1) << n) == 0 && sigaction((int)n, NULL, &p->action[n]) == 0;
    PyObject *r = pyexec_real(c); /* new */
    if (r == NULL || !fresh) {
        return r;
    }
    p->signals |= UINT64_C(1) << n;
    c->k->touched = true;
    if (strcmp(c->touch->name, "signal") == 0 && r != Py_None &&
        pyexec_undo_later(c, c->self, "signal", PyTuple_Pack(2, number, r)) < 0) {
        Py_CLEAR(r);
    }
    return r;
}

int
pyexec_signals_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    pyexec_process *p = &k->process;
    int result = pyexec_undo_restore(k, row, s); /* what Python knows of them */
    for (int n = 1; p->signals != 0 && n < 64; n++) {
        if ((p->signals & UINT64_C(1) << n) != 0 && sigaction(n, &p->action[n], NULL) < 0) {
            result = -1;
        }
    }
    p->signals = 0;
    return result;
}

/* ---- syslog and gettext of the C library ---- */

static PyObject *
on_syslog(const pyexec_call *c)
{
    const char *name = c->touch->name;
    bool masks = strcmp(name, "setlogmask") == 0;
    if (c->k->running == NULL) {
        return pyexec_real(c);
    }
    if (!masks && c->touch->state->contents == NULL && pyexec_undo_later(c, c->self, "closelog", PyTuple_New(0)) < 0) {
        return NULL;
    }
    PyObject *r = pyexec_real(c); /* new */
    if (r != NULL && masks && pyexec_undo_later(c, c->self, name, PyTuple_Pack(1, r)) < 0) {
        Py_CLEAR(r);
    }
    return r;
}

static PyObject *
on_bindtextdomain(const pyexec_call *c)
{
    PyObject *domain = pyexec_arg(c, 0, NULL); /* borrowed */
    if (c->k->running != NULL && domain != NULL && PyUnicode_CheckExact(domain)) {
        PyObject *f = pyexec_original(c->self, c->touch->name);                                                    /* new */
        PyObject *was = f == NULL ? NULL : PyObject_CallFunctionObjArgs(f, domain, Py_None, NULL); /* new */
        Py_XDECREF(f);
        int rc = was == NULL ? -1 : pyexec_undo_later(c, c->self, c->touch->name, PyTuple_Pack(2, domain, was));
        Py_XDECREF(was);
        if (rc < 0) {
            return NULL;
        }
    }
    return pyexec_real(c);
}

/* ---- what is refused of the host, and allowed of a snippet's children ---- */

bool
pyexec_is_host(long pid)
{
    char path[64];
    if (pid == 0 || pid == (long)getpid()) {
        return true;
    }
    snprintf(path, sizeof path, "/proc/self/task/%ld", pid);
    return access(path, F_OK) == 0;
}

static long
number(const pyexec_call *c, Py_ssize_t at, const char *name, long otherwise)
{
    PyObject *v = pyexec_arg(c, at, name); /* borrowed */
    long n = v != NULL && PyLong_Check(v) ? PyLong_AsLong(v) : otherwise;
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return otherwise;
    }
    return n;
}

static PyObject *
on_pid(const pyexec_call *c)
{
    return pyexec_is_host(number(c, 0, "pid", 0)) ? pyexec_refuse(c) : pyexec_real(c);
}

static PyObject *
on_setpriority(const pyexec_call *c)
{
    long which = number(c, 0, "which", PRIO_USER), who = number(c, 1, "who", 0);
    bool host = which == PRIO_PROCESS ? pyexec_is_host(who) : which != PRIO_PGRP || who == 0 || who == (long)getpgrp();
    return host ? pyexec_refuse(c) : pyexec_real(c);
}

static PyObject *
on_nice(const pyexec_call *c)
{
    return number(c, 0, NULL, 1) == 0 ? pyexec_real(c) : pyexec_refuse(c); /* nice(0) asks */
}

int
pyexec_process_init(pyexec_kernel *k)
{
#define TOUCH(row, module, name, hook) {row, module, NULL, name, hook, NULL, NULL, NULL, {0}}
#define REFUSE(module, name, hook) {NULL, module, NULL, name, hook, "it would bind the host process", NULL, NULL, {0}}
    static const pyexec_touch all[] = {
        TOUCH("os.umask", "posix", "umask", on_umask),
        TOUCH("time.tzset", "time", "tzset", on_tzset),
        TOUCH("signal.getitimer", "_signal", "setitimer", on_timer),
        TOUCH("signal.getitimer", "_signal", "alarm", on_timer),
        TOUCH("signal.getsignal", "_signal", "signal", on_signal),
        TOUCH("signal.getsignal", "_signal", "set_wakeup_fd", on_signal),
        {"signal.getsignal", "_signal", NULL, "siginterrupt", on_signal, "it would change a handler of the host's", NULL,
         NULL, {0}},
        TOUCH("syslog", "syslog", "openlog", on_syslog),
        TOUCH("syslog", "syslog", "syslog", on_syslog),
        TOUCH("syslog", "syslog", "setlogmask", on_syslog),
        TOUCH("locale.bindtextdomain", "_locale", "bindtextdomain", on_bindtextdomain),
        REFUSE("_locale", "bind_textdomain_codeset", pyexec_refuse),
        REFUSE("posix", "setuid", pyexec_refuse),
        REFUSE("posix", "setgid", pyexec_refuse),
        REFUSE("posix", "seteuid", pyexec_refuse),
        REFUSE("posix", "setegid", pyexec_refuse),
        REFUSE("posix", "setreuid", pyexec_refuse),
        REFUSE("posix", "setregid", pyexec_refuse),
        REFUSE("posix", "setresuid", pyexec_refuse),
        REFUSE("posix", "setresgid", pyexec_refuse),
        REFUSE("posix", "setgroups", pyexec_refuse),
        REFUSE("posix", "initgroups", pyexec_refuse),
        REFUSE("posix", "setsid", pyexec_refuse),
        REFUSE("posix", "setpgrp", pyexec_refuse),
        REFUSE("posix", "tcsetpgrp", pyexec_refuse),
        REFUSE("posix", "login_tty", pyexec_refuse),
        REFUSE("posix", "setpgid", on_pid),
        REFUSE("posix", "chroot", pyexec_refuse),
        REFUSE("posix", "unshare", pyexec_refuse),
        REFUSE("posix", "setns", pyexec_refuse),
        REFUSE("posix", "nice", on_nice),
        REFUSE("posix", "setpriority", on_setpriority),
        REFUSE("posix", "sched_setscheduler", on_pid),
        REFUSE("posix", "sched_setparam", on_pid),
        REFUSE("_socket", "sethostname", pyexec_refuse),
        REFUSE("time", "clock_settime", pyexec_refuse),
        REFUSE("time", "clock_settime_ns", pyexec_refuse),
        REFUSE("_curses", "initscr", pyexec_refuse),
    };
    k->process.main_thread = pthread_self();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (pyexec_touch_add(k, &all[i]) < 0) {
            return -1;
        }
    }
    return 0;
}
