/* thread.c: the one OS thread on which the interpreter is initialised, recycled and finalised.
 *
 * Finalising on another thread than the one that initialised hangs for ever on 3.11 and 3.12 once `threading` has been
 * imported, and Go's threads come and go. So this thread is made once, in C, and lives as long as the process. */
#include "compat.h"

#include "kernel.h"

#include <pthread.h>
#include <signal.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool running = false;
static bool here = false; /* there is one thread, and it stays so: it is the one */
static struct {
    void (*function)(void *);
    void *arg;
    bool done;
} *job = NULL, slot;

static void *
loop(void *unused)
{
    (void)unused;
    pyexec_stop_unblock();
    pthread_mutex_lock(&lock);
    for (;;) {
        while (job == NULL) {
            pthread_cond_wait(&changed, &lock);
        }
        void (*function)(void *) = job->function;
        void *arg = job->arg;
        pthread_mutex_unlock(&lock);
        function(arg);
        pthread_mutex_lock(&lock);
        job->done = true;
        job = NULL;
        pthread_cond_broadcast(&changed);
    }
    return NULL;
}

static int
start_thread(void) /* lock held */
{
    pthread_t id;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (running) {
        return 0;
    }
    /* Signals belong to the host: none may be delivered here, but the one that stops finalizers. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16u << 20);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&id, &attributes, loop, NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    running = rc == 0;
    return rc;
}

void
pyexec_lifecycle_here(void)
{
    here = true;
}

/* Run function(arg) there and wait for it; one at a time. GIL not held. Returns 0, or an errno if there is no thread. */
int
pyexec_on_lifecycle_thread(void (*function)(void *), void *arg)
{
    if (here) {
        function(arg);
        return 0;
    }
    pthread_mutex_lock(&lock);
    int rc = start_thread();
    if (rc == 0) {
        while (job != NULL) {
            pthread_cond_wait(&changed, &lock);
        }
        slot.function = function;
        slot.arg = arg;
        slot.done = false;
        job = &slot;
        pthread_cond_broadcast(&changed);
        while (!slot.done) {
            pthread_cond_wait(&changed, &lock);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}
