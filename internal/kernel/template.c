/* template.c: the process that workers are forked from.
 *
 * It has one thread, the interpreter of its host's Config, and nothing to do but to fork, and to bury: it is the parent
 * of all workers, and of what their snippets leave behind (PR_SET_CHILD_SUBREAPER). When the host is gone, its socket
 * says so, and everything ends. No Go code runs here: the constructor below does not return. */
#include "compat.h"

#include "process.h"

#ifdef __linux__

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct worker {
    struct worker *next;
    pid_t pid;
    uint64_t id;
    int stopped;
} worker;

static struct {
    pyexec_kernel *k;
    pyexec_template_config config;
    size_t shared_size;
    pid_t pid;
    int signals; /* signalfd of SIGCHLD */
    worker *workers;
    bool sweep; /* a worker died badly: there may be orphans */
} t;

/* ---- talking to the host ---- */

static bool
tell(const pyexec_template_message *m, const int *fds, size_t nfds)
{
    union {
        char buf[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {(void *)m, sizeof *m};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    if (nfds != 0) {
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
    }
    ssize_t n = -1;
    do {
        n = sendmsg(PYEXEC_CONTROL_FD, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *m;
}

static void __attribute__((noreturn))
fail(const char *why)
{
    pyexec_template_message m = {.type = PYEXEC_TEMPLATE_FAILED};
    snprintf(m.text, sizeof m.text, "%s", why);
    tell(&m, NULL, 0);
    _exit(1);
}

/* ---- burying ---- */

static void
bury(pid_t pid, int status, const struct rusage *used)
{
    worker **at = &t.workers;
    while (*at != NULL && (*at)->pid != pid) {
        at = &(*at)->next;
    }
    worker *w = *at;
    if (w == NULL) {
        return; /* an orphan */
    }
    *at = w->next;
    pyexec_template_message m = {
        .type = PYEXEC_TEMPLATE_DIED, .pid = pid, .id = w->id, .status = status, .stopped = w->stopped,
        .max_rss = used->ru_maxrss,
        .cpu = (int64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000 + used->ru_utime.tv_usec +
               used->ru_stime.tv_usec};
    tell(&m, NULL, 0);
    free(w);
}

/* Look for the dead, without taking them away yet: as long as a leader is not reaped, its number and that of its group
 * are nobody else's. */
static void
reap(void)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) {
            return;
        }
        if (info.si_code == CLD_STOPPED) {
            /* It would hold up its call for ever, and its children can still be run. */
            for (worker *w = t.workers; w != NULL; w = w->next) {
                if (w->pid == info.si_pid) {
                    w->stopped = info.si_status;
                }
            }
            kill(info.si_pid, SIGKILL);
            waitid(P_PID, (id_t)info.si_pid, &info, WSTOPPED | WNOHANG);
            continue;
        }
        int status = 0;
        struct rusage used = {0};
        if (info.si_code != CLD_EXITED || info.si_status != 0) {
            kill(-info.si_pid, SIGKILL); /* of a group, none escapes by forking */
            t.sweep = true;
        }
        if (wait4(info.si_pid, &status, WNOHANG, &used) == info.si_pid) {
            bury(info.si_pid, status, &used);
        }
    }
}

static pid_t
parent_of(pid_t pid)
{
    char path[64], state = 0;
    pid_t parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    return pyexec_read_stat(path, &state, &parent) ? parent : 0;
}

static bool
is_worker(pid_t pid)
{
    for (worker *w = t.workers; w != NULL; w = w->next) {
        if (w->pid == pid) {
            return true;
        }
    }
    return false;
}

/* Kill what fell to this process when its parent died; true if there was any. */
static bool
kill_orphans(void)
{
    bool found = false;
    DIR *proc = opendir("/proc");
    struct dirent *entry = NULL;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid > 1 && !is_worker(pid) && parent_of(pid) == t.pid) {
            kill(pid, SIGKILL);
            found = true;
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return found;
}

static void __attribute__((noreturn))
end_everything(void)
{
    for (worker *w = t.workers; w != NULL; w = w->next) {
        kill(w->pid, SIGKILL);
    }
    for (int round = 0; round < 1000; round++) {
        reap();
        if (waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT) < 0) {
            break; /* ECHILD */
        }
        kill_orphans();
        poll(NULL, 0, 1);
    }
    _exit(0);
}

/* ---- forking ---- */

static int
make_shared(void)
{
    int fd = memfd_create("pyexec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (ftruncate(fd, (off_t)t.shared_size) < 0 ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static uint64_t /* seconds of CPU for each call */
set_limits(void)
{
    static const int numbers[] = {[PYEXEC_LIMIT_ADDRESS_SPACE] = RLIMIT_AS, [PYEXEC_LIMIT_FILE_SIZE] = RLIMIT_FSIZE,
                                  [PYEXEC_LIMIT_OPEN_FILES] = RLIMIT_NOFILE, [PYEXEC_LIMIT_PROCESSES] = RLIMIT_NPROC};
    uint64_t cpu = 0;
    for (uint32_t i = 0; i < t.config.nlimits; i++) {
        uint64_t resource = t.config.limits[i].resource, value = t.config.limits[i].value;
        struct rlimit limit = {value, value}, now;
        if (resource == PYEXEC_LIMIT_CPU) {
            cpu = value;
            continue;
        }
        if (resource > PYEXEC_LIMIT_PROCESSES || getrlimit((__rlimit_resource_t)numbers[resource], &now) < 0) {
            _exit(1);
        }
        if (now.rlim_max != RLIM_INFINITY && limit.rlim_max > now.rlim_max) { /* the host itself is bound closer */
            limit.rlim_cur = limit.rlim_max = now.rlim_max;
        }
        if (setrlimit((__rlimit_resource_t)numbers[resource], &limit) < 0) {
            _exit(1);
        }
    }
    return cpu;
}

static void __attribute__((noreturn))
child(int socket, int other_end, int memory)
{
    sigset_t none;
    pyexec_after_fork_child();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != t.pid || setsid() < 0 ||
        dup3(memory, PYEXEC_REPORT_FD, O_CLOEXEC) < 0) {
        _exit(1);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "pyexec-worker");
    pyexec_shared *shared = mmap(NULL, t.shared_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (shared == MAP_FAILED) {
        _exit(1);
    }
    close(PYEXEC_CONTROL_FD);
    close(t.signals);
    close(other_end);
    close(memory);
    uint64_t cpu = set_limits();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    pyexec_become_worker(t.k, shared);
    pyexec_detach(t.k);
    pyexec_serve(t.k, socket, cpu);
}

static void
fork_worker(uint64_t id)
{
    pyexec_template_message m = {.type = PYEXEC_TEMPLATE_WORKER, .id = id};
    int pair[2] = {-1, -1}, memory = -1, pidfd = -1;
    worker *w = malloc(sizeof *w);
    pid_t pid = -1;
    if (w == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || (memory = make_shared()) < 0 ||
        !pyexec_attach(t.k)) {
        goto done;
    }
    pyexec_before_fork(t.k);
    pid = fork();
    if (pid == 0) {
        child(pair[1], pair[0], memory);
    }
    int saved = errno;
    pyexec_after_fork_parent();
    pyexec_detach(t.k);
    errno = saved;
    if (pid < 0) {
        goto done;
    }
    *w = (worker){.next = t.workers, .pid = pid, .id = id};
    t.workers = w;
    w = NULL;
    m.pid = pid;
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        saved = errno;
        kill(pid, SIGKILL);
        errno = saved;
    }

done:
    if (pidfd < 0) {
        m.type = PYEXEC_TEMPLATE_NO_WORKER;
        m.status = errno;
        tell(&m, NULL, 0);
    }
    else {
        tell(&m, (int[]){pair[0], memory, pidfd}, 3);
        close(pidfd);
    }
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            close(pair[i]);
        }
    }
    if (memory >= 0) {
        close(memory);
    }
    free(w);
}

static void __attribute__((noreturn))
loop(void)
{
    for (;;) {
        struct pollfd on[2] = {{.fd = PYEXEC_CONTROL_FD, .events = POLLIN}, {.fd = t.signals, .events = POLLIN}};
        if (poll(on, 2, t.sweep ? 1 : -1) < 0 && errno != EINTR) {
            end_everything();
        }
        if (on[1].revents != 0) {
            struct signalfd_siginfo ignored;
            (void)!read(t.signals, &ignored, sizeof ignored);
            reap();
        }
        if (t.sweep) {
            t.sweep = kill_orphans();
        }
        if (on[0].revents != 0) {
            pyexec_fork_request r = {0};
            ssize_t n = recv(PYEXEC_CONTROL_FD, &r, sizeof r, 0);
            if (n == 0 || (n < 0 && errno != EINTR)) {
                end_everything();
            }
            if (n == (ssize_t)sizeof r) {
                fork_worker(r.id);
            }
        }
    }
}

/* ---- beginning ---- */

/* A stand-in at the number that faulthandler knows, until a worker puts its own in its place. */
static bool
reserve_report_fd(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fd == PYEXEC_REPORT_FD) {
        return fd >= 0;
    }
    bool done = dup3(fd, PYEXEC_REPORT_FD, O_CLOEXEC) >= 0;
    close(fd);
    return done;
}

static void
configure(pyexec_config *config)
{
    static char text[1 << 20], *texts[PYEXEC_TEMPLATE_TEXTS];
    struct iovec parts[2] = {{&t.config, sizeof t.config}, {text, sizeof text - 1}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = recvmsg(PYEXEC_CONTROL_FD, &msg, 0);
    if (n < (ssize_t)sizeof t.config || t.config.nlimits > PYEXEC_MAX_RLIMITS) {
        _exit(1);
    }
    size_t left = (size_t)n - sizeof t.config;
    char *at = text;
    for (int i = 0; i < PYEXEC_TEMPLATE_TEXTS; i++) {
        size_t len = t.config.text_lens[i];
        if (len > left || (texts[i] = strndup(at, len)) == NULL) {
            _exit(1);
        }
        at += len;
        left -= len;
    }
    *config = (pyexec_config){
        .cache_entries = t.config.cache_entries, .cache_bytes = t.config.cache_bytes,
        .max_output = t.config.max_output, .max_result = t.config.max_result, .max_depth = t.config.max_depth,
        .memory_limit = t.config.memory_limit, .preload = texts[0], .keep = texts[1], .home = texts[2],
        .venv = texts[3], .paths = texts[4], .host_ask = pyexec_worker_ask};
    t.shared_size = sizeof(pyexec_shared) + 2 * pyexec_output_area(t.config.max_output);
}

/* When memory runs out, a worker is what can be spared; and what is left of one that crashed is no file of the host's. */
static void
volunteer(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "500", 3);
        close(fd);
    }
}

static void
reset_signals(void)
{
    sigset_t mask;
    for (int i = 1; i < NSIG; i++) {
        signal(i, SIG_DFL); /* the host may ignore some */
    }
    signal(SIGPIPE, SIG_IGN); /* as Python does: EPIPE and EFBIG are exceptions */
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    t.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void __attribute__((noreturn))
be_template(void)
{
    pyexec_config config;
    pyexec_failure failure = {{0}};
    t.pid = getpid();
    if (syscall(SYS_close_range, PYEXEC_CONTROL_FD + 1, ~0u, 0) < 0) { /* what C code of the host left inheritable */
        for (int fd = PYEXEC_CONTROL_FD + 1; fd < 1024; fd++) {
            close(fd);
        }
    }
    fcntl(PYEXEC_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    prctl(PR_SET_NAME, "pyexec-template");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    volunteer();
    bool reserved = reserve_report_fd();
    reset_signals();
    if (t.signals < 0 || !reserved) {
        fail("opening /dev/null and a signalfd");
    }
    configure(&config);
    pyexec_worker_signals();
    pyexec_lifecycle_here();
    pyexec_fork_template();
    t.k = pyexec_start(&config, &failure);
    if (t.k == NULL) {
        fail(failure.message);
    }
    if (!pyexec_attach(t.k) || pyexec_guard_template(PYEXEC_REPORT_FD) < 0) {
        fail("faulthandler could not be enabled");
    }
    pyexec_detach(t.k);
    /* Until now the death of the host's thread that started this process was its own, too. From here on it is only told
     * to go on, should something have stopped it, and to look at its socket. */
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    tell(&(pyexec_template_message){.type = PYEXEC_TEMPLATE_READY, .pid = t.pid}, NULL, 0);
    loop();
}

static void __attribute__((constructor))
catch_template(void)
{
    int type = 0;
    socklen_t len = sizeof type;
    if (secure_getenv(PYEXEC_TEMPLATE_ENV) == NULL) {
        return;
    }
    unsetenv(PYEXEC_TEMPLATE_ENV); /* its children are ordinary programs */
    if (getsockopt(PYEXEC_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
        return; /* somebody else's idea */
    }
    be_template();
}

#endif /* __linux__ */
