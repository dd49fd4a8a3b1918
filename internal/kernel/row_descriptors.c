/* row_descriptors.c: descriptors that are plain numbers. Objects close theirs; what os.open, os.pipe and their like return, a
 * snippet can leave open, and worse, it can close or bend one of the host's by its number.
 *
 * What Python opens is marked: its open file description is given an owner (F_SETOWN), ours, which means nothing else as
 * long as O_ASYNC is off. So a number that was closed and that the host has been given since is never taken for a
 * snippet's. Numbers that nobody else will close are in a list besides. */
#include "compat.h"

#include "kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool
is_marked(int fd)
{
    return fcntl(fd, F_GETOWN) == (int)getpid();
}

static struct pyexec_descriptor * /* NULL: not in the list, or the number is another file's by now */
find(pyexec_kernel *k, int fd)
{
    struct stat st;
    for (size_t i = 0; i < k->descriptors.n; i++) {
        struct pyexec_descriptor *d = &k->descriptors.items[i];
        if (d->fd == fd) {
            bool same = fstat(fd, &st) == 0 && st.st_dev == d->device && st.st_ino == d->inode;
            return same && (!d->marked || is_marked(fd)) ? d : NULL;
        }
    }
    return NULL;
}

static bool
is_ours(pyexec_kernel *k, int fd)
{
    return is_marked(fd) || find(k, fd) != NULL || pyexec_guard_is_fork();
}

static void
forget(pyexec_kernel *k, int fd)
{
    for (size_t i = 0; i < k->descriptors.n; i++) {
        if (k->descriptors.items[i].fd == fd) {
            k->descriptors.items[i] = k->descriptors.items[--k->descriptors.n];
            return;
        }
    }
}

static int
note(pyexec_kernel *k, int fd, bool copy)
{
    pyexec_descriptors *all = &k->descriptors;
    struct stat st;
    if (!copy) { /* a copy shares the mark, or the lack of one, with what may be the host's */
        (void)fcntl(fd, F_SETOWN, (int)getpid());
    }
    forget(k, fd);
    if (fstat(fd, &st) != 0) {
        return 0;
    }
    if (all->n == all->cap) {
        size_t cap = all->cap == 0 ? 16 : all->cap * 2;
        struct pyexec_descriptor *items = realloc(all->items, cap * sizeof *items);
        if (items == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        all->items = items;
        all->cap = cap;
    }
    all->items[all->n++] = (struct pyexec_descriptor){fd, st.st_dev, st.st_ino, is_marked(fd), !pyexec_by_snippet(k)};
    k->touched = k->touched || k->running != NULL;
    return 0;
}

/* One that the kernel itself opened for the interpreter to use and close. */
void
pyexec_descriptor_is_ours(int fd)
{
    (void)fcntl(fd, F_SETOWN, (int)getpid());
}

static PyObject *
refuse(const char *what)
{
    PyErr_Format(PyExc_PermissionError, "%s is refused in process: the descriptor is the host's", what);
    return NULL;
}

/* ---- what returns descriptors: an int, or a tuple with some first ---- */

static bool
is_copy(const pyexec_call *c)
{
    return strncmp(c->touch->name, "dup", 3) == 0;
}

static PyObject *
on_open(const pyexec_call *c)
{
    PyObject *r = pyexec_real(c); /* new */
    int rc = 0;
    if (r != NULL && PyLong_CheckExact(r)) {
        rc = note(c->k, (int)PyLong_AsLong(r), is_copy(c));
    }
    for (Py_ssize_t i = 0; rc == 0 && r != NULL && PyTuple_CheckExact(r) && i < PyTuple_GET_SIZE(r); i++) {
        PyObject *v = PyTuple_GET_ITEM(r, i); /* borrowed */
        rc = PyLong_CheckExact(v) ? note(c->k, (int)PyLong_AsLong(v), false) : 0;
    }
    if (rc < 0) {
        Py_CLEAR(r);
    }
    return r;
}

static PyObject *
on_accept(const pyexec_call *c) /* (descriptor, address), which may be a tuple of ints */
{
    PyObject *r = pyexec_real(c); /* new */
    if (r != NULL && PyTuple_CheckExact(r) && PyLong_CheckExact(PyTuple_GET_ITEM(r, 0)) &&
        note(c->k, (int)PyLong_AsLong(PyTuple_GET_ITEM(r, 0)), false) < 0) {
        Py_CLEAR(r);
    }
    return r;
}

static PyObject *
on_recvmsg(const pyexec_call *c) /* (data, [(level, type, bytes)], ...) */
{
    PyObject *r = pyexec_real(c); /* new */
    PyObject *all = r != NULL && PyTuple_CheckExact(r) && PyTuple_GET_SIZE(r) > 1 ? PyTuple_GET_ITEM(r, 1) : NULL;
    for (Py_ssize_t i = 0; all != NULL && PyList_CheckExact(all) && i < PyList_GET_SIZE(all); i++) {
        long level = 0, type = 0;
        const char *p = NULL;
        Py_ssize_t n = 0;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(all, i), "lly#", &level, &type, &p, &n)) {
            PyErr_Clear();
            continue;
        }
        for (; level == SOL_SOCKET && type == SCM_RIGHTS && n >= (Py_ssize_t)sizeof(int); n -= (Py_ssize_t)sizeof(int)) {
            int fd = -1;
            memcpy(&fd, p, sizeof fd);
            p += sizeof fd;
            if (note(c->k, fd, true) < 0) {
                Py_DECREF(r);
                return NULL;
            }
        }
    }
    return r;
}

/* ---- what is done to a descriptor by its number, or to that of an object ---- */

/* The call with another first argument: what fileno() of an object said must not be asked again. */
static PyObject *
real_with(const pyexec_call *c, PyObject *first /* stolen, may be NULL */)
{
    enum { MAX = 16 };
    pyexec_call own = *c;
    PyObject *args[MAX], *tuple = NULL, *r = NULL;
    Py_ssize_t names = c->names == NULL ? 0 : PyTuple_GET_SIZE(c->names);
    if (first == NULL || c->n + names > MAX) {
        Py_XDECREF(first);
        return first == NULL ? NULL : pyexec_real(c);
    }
    memcpy(args, c->args, (size_t)(c->n + names) * sizeof *args);
    args[0] = first;
    own.args = args;
    if ((c->touch->real.ml_flags & METH_VARARGS) != 0) {
        tuple = PyTuple_New(c->n); /* new */
        for (Py_ssize_t i = 0; tuple != NULL && i < c->n; i++) {
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
        }
        own.object = tuple;
        r = tuple == NULL ? NULL : pyexec_real(&own);
        Py_XDECREF(tuple);
    }
    else {
        own.object = c->object == NULL ? NULL : first;
        r = pyexec_real(&own);
    }
    Py_DECREF(first);
    return r;
}

static int
number(PyObject *v /* borrowed, may be NULL */, bool asks_objects) /* -1: the function itself will say what is wrong */
{
    int fd = -1;
    if (v == NULL) {
        return -1;
    }
    if (asks_objects && !PyLong_Check(v)) {
        return PyObject_AsFileDescriptor(v);
    }
    Py_ssize_t n = PyIndex_Check(v) ? PyNumber_AsSsize_t(v, PyExc_OverflowError) : -1;
    fd = n >= 0 && n <= INT32_MAX ? (int)n : -1;
    PyErr_Clear();
    return fd;
}

/* An object would close the number once more when it is done, and the host may have been given it by then: it stays
 * taken, by a file that is at its end. */
static PyObject *
park(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup3(null, fd, O_CLOEXEC) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    if (null >= 0) {
        close(null);
    }
    (void)fcntl(fd, F_SETOWN, (int)getpid());
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *
on_close(const pyexec_call *c)
{
    PyObject *v = pyexec_arg(c, 0, "fd"); /* borrowed */
    int fd = number(v, false);
    if (c->k->running == NULL || fd < 0 || !is_open(fd)) {
        return pyexec_real(c);
    }
    if (!is_ours(c->k, fd) || (c->n == 0 && !PyLong_CheckExact(v))) {
        return refuse(c->touch->name);
    }
    if (find(c->k, fd) == NULL) {
        return park(fd);
    }
    forget(c->k, fd);
    return c->n == 0 ? pyexec_real(c) : real_with(c, PyLong_FromLong(fd));
}

static PyObject *
on_closerange(const pyexec_call *c) /* those of the host are passed over, as the caller cannot know them */
{
    int low = number(pyexec_arg(c, 0, "fd_low"), false), high = number(pyexec_arg(c, 1, "fd_high"), false);
    DIR *d = NULL;
    if (c->k->running == NULL || low < 0 || high < 0) {
        return pyexec_real(c);
    }
    d = opendir("/proc/self/fd");
    for (struct dirent *e = NULL; d != NULL && (e = readdir(d)) != NULL;) {
        int fd = atoi(e->d_name);
        if (e->d_name[0] != '.' && fd >= low && fd < high && fd != dirfd(d) && is_ours(c->k, fd)) {
            if (find(c->k, fd) == NULL) {
                Py_XDECREF(park(fd));
                PyErr_Clear();
                continue;
            }
            forget(c->k, fd);
            close(fd);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    Py_RETURN_NONE;
}

static PyObject *
on_dup2(const pyexec_call *c)
{
    int to = number(pyexec_arg(c, 1, "fd2"), false);
    if (c->k->running != NULL && to >= 0 && is_open(to) && !is_ours(c->k, to)) {
        return refuse("os.dup2 onto it");
    }
    return on_open(c);
}

/* fcntl and ioctl that only ask, or that work on what is a snippet's own in any case */
static bool
only_asks(const pyexec_call *c)
{
    PyObject *v = pyexec_arg(c, 1, NULL); /* borrowed */
    long cmd = v != NULL && PyLong_Check(v) ? PyLong_AsLong(v) : -1;
    PyErr_Clear();
    if (strcmp(c->touch->name, "fcntl") == 0) {
        return cmd == F_GETFD || cmd == F_GETFL || cmd == F_GETOWN || cmd == F_GETLK || cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC;
    }
    return strcmp(c->touch->name, "ioctl") == 0 && (cmd == TIOCGWINSZ || cmd == FIONREAD || cmd == TCGETS || cmd == TIOCGPGRP);
}

static PyObject *
on_setting(const pyexec_call *c)
{
    if (c->k->running == NULL || c->n == 0 || only_asks(c)) {
        PyObject *r = pyexec_real(c); /* new */
        PyObject *v = r != NULL && strcmp(c->touch->name, "fcntl") == 0 ? pyexec_arg(c, 1, NULL) : NULL; /* borrowed */
        long cmd = v != NULL && PyLong_Check(v) ? PyLong_AsLong(v) : -1;
        if ((cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) && PyLong_CheckExact(r) &&
            note(c->k, (int)PyLong_AsLong(r), true) < 0) {
            Py_CLEAR(r);
        }
        return r;
    }
    bool objects = strcmp(c->touch->module, "posix") != 0;
    int fd = number(c->args[0], objects);
    if (fd < 0 && PyErr_Occurred()) {
        return NULL;
    }
    if (fd >= 0 && is_open(fd) && !is_ours(c->k, fd)) {
        return refuse(c->touch->name);
    }
    return fd < 0 ? pyexec_real(c) : real_with(c, PyLong_FromLong(fd));
}

static PyObject *
on_fromfd(const pyexec_call *c) /* select.epoll.fromfd: the object closes it from now on */
{
    int fd = number(pyexec_arg(c, 0, NULL), false);
    if (c->k->running != NULL && fd >= 0 && is_open(fd) && !is_ours(c->k, fd)) {
        return refuse("select.epoll.fromfd");
    }
    PyObject *r = pyexec_real(c); /* new */
    if (r != NULL && fd >= 0) {
        forget(c->k, fd);
    }
    return r;
}

/* ---- objects that take a number over, and close it one day: their __init__ is a slot of the type ---- */

static pyexec_kernel *kernel = NULL;
static initproc file_init = NULL, socket_init = NULL;
static PyObject *file_fileno = NULL, *socket_fileno = NULL; /* methods; owned */

static PyObject * /* borrowed, NULL if absent */
argument(PyObject *args, PyObject *kwargs, Py_ssize_t at, const char *name)
{
    if (PyTuple_GET_SIZE(args) > at) {
        return PyTuple_GET_ITEM(args, at);
    }
    return kwargs == NULL ? NULL : PyDict_GetItemString(kwargs, name);
}

/* With `at` an exact int in its place, so that nobody is asked twice for it. */
static int
init_with(initproc init, PyObject *self, PyObject *args, PyObject *kwargs, Py_ssize_t at, const char *name, int fd)
{
    int rc = -1;
    PyObject *n = PyLong_FromLong(fd);                                                     /* new */
    PyObject *own_args = PyTuple_GetSlice(args, 0, PyTuple_GET_SIZE(args));         /* new: the same object if it can be */
    PyObject *own_kwargs = kwargs == NULL ? NULL : PyDict_Copy(kwargs);             /* new */
    if (n == NULL || own_args == NULL || (kwargs != NULL && own_kwargs == NULL)) {
        goto done;
    }
    if (PyTuple_GET_SIZE(args) > at) {
        PyObject *list = PySequence_List(args); /* new */
        if (list == NULL || PyList_SetItem(list, at, Py_NewRef(n)) < 0) {
            Py_XDECREF(list);
            goto done;
        }
        Py_SETREF(own_args, PyList_AsTuple(list));
        Py_DECREF(list);
        if (own_args == NULL) {
            goto done;
        }
    }
    else if (PyDict_SetItemString(own_kwargs, name, n) < 0) {
        goto done;
    }
    rc = init(self, own_args, own_kwargs);

done:
    Py_XDECREF(n);
    Py_XDECREF(own_args);
    Py_XDECREF(own_kwargs);
    return rc;
}

static void
took_over(pyexec_kernel *k, PyObject *fileno, PyObject *self)
{
    PyObject *exc = pyexec_take_exception();                                                              /* new */
    PyObject *n = fileno == NULL ? NULL : PyObject_CallFunctionObjArgs(fileno, self, NULL); /* new */
    int fd = n != NULL && PyLong_Check(n) ? (int)PyLong_AsLong(n) : -1;
    PyErr_Clear();
    if (fd >= 0) {
        forget(k, fd);
        (void)fcntl(fd, F_SETOWN, (int)getpid());
    }
    Py_XDECREF(n);
    pyexec_restore_exception(exc); /* stolen */
}

static bool
is_here(pyexec_kernel *k)
{
    return k != NULL && k->interp == PyInterpreterState_Get();
}

static int
on_file_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *file = argument(args, kwargs, 0, "file"), *closes = argument(args, kwargs, 2, "closefd"); /* borrowed */
    pyexec_kernel *k = kernel;
    if (!is_here(k) || closes == Py_False || (closes != NULL && closes != Py_True)) {
        if (is_here(k) && k->running != NULL && closes != NULL && closes != Py_False) {
            PyErr_SetString(PyExc_TypeError, "closefd must be True or False");
            return -1;
        }
        return file_init(self, args, kwargs);
    }
    bool by_number = file != NULL && !PyUnicode_Check(file) && !PyBytes_Check(file) && PyIndex_Check(file);
    int fd = by_number ? number(file, false) : -1;
    if (k->running != NULL && fd >= 0 && is_open(fd) && !is_ours(k, fd)) {
        refuse("to open it without closefd=False");
        return -1;
    }
    int rc = fd >= 0 ? init_with(file_init, self, args, kwargs, 0, "file", fd) : file_init(self, args, kwargs);
    if (rc == 0) {
        took_over(k, file_fileno, self);
    }
    return rc;
}

static int
on_socket_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *fileno = argument(args, kwargs, 3, "fileno"); /* borrowed */
    pyexec_kernel *k = kernel;
    if (!is_here(k)) {
        return socket_init(self, args, kwargs);
    }
    int fd = fileno != NULL && fileno != Py_None ? number(fileno, false) : -1;
    if (k->running != NULL && fd >= 0 && is_open(fd) && !is_ours(k, fd)) {
        refuse("socket.socket with it");
        return -1;
    }
    int rc = fd >= 0 ? init_with(socket_init, self, args, kwargs, 3, "fileno", fd) : socket_init(self, args, kwargs);
    if (rc == 0) {
        took_over(k, socket_fileno, self);
    }
    return rc;
}

/* The slot itself, which calls of the type use, and the descriptor __init__, which calls of the base class use. */
static int
replace_init(PyObject *module, const char *name, initproc instead, initproc *real, PyObject **fileno)
{
    PyObject *type = PyObject_GetAttrString(module, name);                                       /* new */
    PyObject *init = type == NULL ? NULL : PyObject_GetAttrString(type, "__init__");       /* new */
    int rc = -1;
    if (init != NULL && PyType_Check(type) && Py_IS_TYPE(init, &PyWrapperDescr_Type)) {
        PyTypeObject *t = (PyTypeObject *)type;
        if (t->tp_init != instead) {
            *real = t->tp_init;
            t->tp_init = instead;
        }
        ((PyWrapperDescrObject *)init)->d_wrapped = (void *)instead;
        Py_XSETREF(*fileno, PyObject_GetAttrString(type, "fileno"));
        rc = *fileno == NULL ? -1 : 0;
    }
    else if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_SystemError, "%s.__init__ is not what pyexec expects", name);
    }
    Py_XDECREF(init);
    Py_XDECREF(type);
    return rc;
}

int
pyexec_descriptors_saw(pyexec_kernel *k, PyObject *name, PyObject *module)
{
    (void)k;
    if (PyUnicode_CompareWithASCIIString(name, "_io") == 0) {
        return replace_init(module, "FileIO", on_file_init, &file_init, &file_fileno);
    }
    if (PyUnicode_CompareWithASCIIString(name, "_socket") == 0) {
        return replace_init(module, "socket", on_socket_init, &socket_init, &socket_fileno);
    }
    return 0;
}

void
pyexec_descriptors_clear(void)
{
    kernel = NULL;
    Py_CLEAR(file_fileno);
    Py_CLEAR(socket_fileno);
}

/* ---- the end ---- */

int
pyexec_descriptors_restore(pyexec_kernel *k, const pyexec_row *row, pyexec_row_state *s)
{
    int closed = 0;
    (void)s;
    PyObject *names = PyList_New(0); /* new */
    for (size_t i = k->descriptors.n; i-- > 0;) {
        int fd = k->descriptors.items[i].fd;
        char path[64], target[256];
        bool left = find(k, fd) != NULL;
        if (k->descriptors.items[i].stays) {
            continue;
        }
        forget(k, fd);
        if (!left) {
            continue; /* whoever took it over has closed it */
        }
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        PyObject *text = PyUnicode_DecodeUTF8(n < 0 ? path : target, n < 0 ? (Py_ssize_t)strlen(path) : n, "replace"); /* new */
        if (text != NULL && names != NULL && PyList_Append(names, text) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(text);
        close(fd);
        closed++;
    }
    if (closed > 0) {
        pyexec_change_begin(k, row);
        pyexec_cbor_head(&k->changes, CBOR_ARRAY, 0);
        pyexec_change_repr(k, names);
    }
    Py_XDECREF(names);
    return closed > 0;
}

int
pyexec_descriptors_init(pyexec_kernel *k)
{
#define FD(module, type, name, hook) {"descriptors", module, type, name, hook, NULL, NULL, NULL, {0}}
    static const pyexec_touch all[] = {
        FD("posix", NULL, "open", on_open),
        FD("posix", NULL, "dup", on_open),
        FD("posix", NULL, "dup2", on_dup2),
        FD("posix", NULL, "pipe", on_open),
        FD("posix", NULL, "pipe2", on_open),
        FD("posix", NULL, "openpty", on_open),
        FD("posix", NULL, "posix_openpt", on_open),
        FD("posix", NULL, "eventfd", on_open),
        FD("posix", NULL, "timerfd_create", on_open),
        FD("posix", NULL, "memfd_create", on_open),
        FD("posix", NULL, "pidfd_open", on_open),
        FD("_posixshmem", NULL, "shm_open", on_open),
        FD("_socket", NULL, "dup", on_open),
        FD("_socket", "socket", "detach", on_open),
        FD("_socket", "socket", "_accept", on_accept),
        FD("_socket", "socket", "recvmsg", on_recvmsg),
        FD("_socket", "socket", "recvmsg_into", on_recvmsg),
        FD("_socket", NULL, "close", on_close),
        FD("posix", NULL, "close", on_close),
        FD("posix", NULL, "closerange", on_closerange),
        FD("posix", NULL, "set_blocking", on_setting),
        FD("posix", NULL, "set_inheritable", on_setting),
        FD("posix", NULL, "lseek", on_setting),
        FD("posix", NULL, "ftruncate", on_setting),
        FD("posix", NULL, "lockf", on_setting),
        FD("fcntl", NULL, "fcntl", on_setting),
        FD("fcntl", NULL, "ioctl", on_setting),
        FD("fcntl", NULL, "flock", on_setting),
        FD("fcntl", NULL, "lockf", on_setting),
        FD("termios", NULL, "tcsetattr", on_setting),
        FD("termios", NULL, "tcsetwinsize", on_setting),
        FD("termios", NULL, "tcflush", on_setting),
        FD("termios", NULL, "tcflow", on_setting),
        FD("termios", NULL, "tcsendbreak", on_setting),
        FD("select", "epoll", "fromfd", on_fromfd),
    };
    kernel = k;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (pyexec_touch_add(k, &all[i]) < 0) {
            return -1;
        }
    }
    return 0;
}
