/* memory.c: how much memory one call may take, and allocations that fail because the call is to stop.
 *
 * Small objects come out of arenas, all else out of malloc: counting these two costs the small ones nothing. Blocks are
 * counted by malloc_usable_size, which needs no header, so hooks may come and go while blocks live. What a call may take is
 * counted from what there was when it began. When it has taken all, an allocation fails once; handling MemoryError takes
 * memory itself (3.11 ends the process if it finds none), so a reserve is open from then on, for small blocks. A call
 * that uses up half of that, too, is stopped as if its time were up. */
#include "compat.h"

#include "kernel.h"

#include <malloc.h>
#include <pthread.h>

enum { RESERVE = 16 << 20, SMALL = 64 << 10, PATIENCE = 1000 };
#define UNLIMITED (INT64_MAX / 2)

static PyMemAllocatorEx raw;         /* the real ones */
static PyObjectArenaAllocator arena;
static pyexec_kernel *the_kernel = NULL;
static _Atomic int64_t used = 0;          /* since the hooks are there; what was freed of older memory counts, too */
static _Atomic int64_t budget = UNLIMITED; /* how much of it the call may have */
static _Atomic bool failed = false;        /* an allocation of this call failed */
static _Atomic bool reserve_open = false;
static _Atomic unsigned times_refused = 0;

/* Memory is short, as n more bytes would be too many: may the call have them from the reserve? */
static __attribute__((noinline)) bool
beyond_budget(size_t n)
{
    bool refused = n > SMALL || !reserve_open;
    int64_t over = refused ? 0 : used + (int64_t)n - budget;
    failed = reserve_open = true;
    refused = refused || over > RESERVE;
    if (refused && ++times_refused > PATIENCE) {
        pyexec_stop_for_memory(the_kernel, PYEXEC_STOP_TRACE);
    }
    else if (over > RESERVE / 2) {
        pyexec_stop_for_memory(the_kernel, PYEXEC_STOP_RAISE);
    }
    return !refused;
}

static inline bool
within_budget(size_t n)
{
    int64_t room = budget - used;
    if (__builtin_expect(room >= 0 && n <= (size_t)room, 1)) {
        if (__builtin_expect(reserve_open, 0)) {
            reserve_open = false;
        }
        return true;
    }
    return beyond_budget(n);
}

static inline void
count(void *p)
{
    if (p != NULL) {
        atomic_fetch_add_explicit(&used, (int64_t)malloc_usable_size(p), memory_order_relaxed);
    }
}

static inline void
uncount(void *p)
{
    if (p != NULL) {
        atomic_fetch_sub_explicit(&used, (int64_t)malloc_usable_size(p), memory_order_relaxed);
    }
}

static void *
raw_malloc(void *ctx, size_t n)
{
    if (!within_budget(n)) {
        return NULL;
    }
    void *p = raw.malloc(ctx, n);
    count(p);
    return p;
}

static void *
raw_calloc(void *ctx, size_t count_of, size_t size)
{
    if (size != 0 && count_of > (size_t)PTRDIFF_MAX / size) {
        return NULL;
    }
    if (!within_budget(count_of * size)) {
        return NULL;
    }
    void *p = raw.calloc(ctx, count_of, size);
    count(p);
    return p;
}

static void *
raw_realloc(void *ctx, void *old, size_t n)
{
    size_t before = old == NULL ? 0 : malloc_usable_size(old);
    if (n > before && !within_budget(n - before)) {
        return NULL;
    }
    void *p = raw.realloc(ctx, old, n);
    if (p != NULL) {
        int64_t more = (int64_t)malloc_usable_size(p) - (int64_t)before;
        atomic_fetch_add_explicit(&used, more, memory_order_relaxed);
    }
    return p;
}

static void
raw_free(void *ctx, void *p)
{
    uncount(p);
    raw.free(ctx, p);
}

static void *
arena_alloc(void *ctx, size_t n)
{
    /* It is small objects that want it: to them the reserve is open. */
    int64_t over = used + (int64_t)n - budget;
    if (over > 0 && (!reserve_open || over > RESERVE / 2)) {
        return NULL; /* a small object is then allocated alone */
    }
    void *p = arena.alloc(ctx, n);
    if (p != NULL) {
        used += (int64_t)n;
    }
    return p;
}

static void
arena_free(void *ctx, void *p, size_t n)
{
    used -= (int64_t)n;
    arena.free(ctx, p, n);
}

/* ---- allocations that fail because the call is to stop ----
 * The hooks are set by another thread, without the GIL, while this one allocates. They keep the real context and differ
 * only in functions that pass everything on: whichever mixture of old and new it sees, it is a right one. */

enum { DOMAINS = 2 };
static const PyMemAllocatorDomain domains[DOMAINS] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static PyMemAllocatorEx real[DOMAINS]; /* as at the first start */
static _Atomic bool fail_next = false;
static pthread_t failing_thread;

static bool
is_to_fail(void)
{
    if (!fail_next || !pthread_equal(pthread_self(), failing_thread) || !atomic_exchange(&fail_next, false)) {
        return false;
    }
    the_kernel->stop.raised = true;
    return true;
}

#define HOOKS(i)                                                           \
    static void *malloc_##i(void *ctx, size_t n)                           \
    {                                                                      \
        return is_to_fail() ? NULL : real[i].malloc(ctx, n);               \
    }                                                                      \
    static void *calloc_##i(void *ctx, size_t n, size_t size)              \
    {                                                                      \
        return is_to_fail() ? NULL : real[i].calloc(ctx, n, size);         \
    }                                                                      \
    static void *realloc_##i(void *ctx, void *p, size_t n)                 \
    {                                                                      \
        return is_to_fail() ? NULL : real[i].realloc(ctx, p, n);           \
    }

HOOKS(0)
HOOKS(1)

void
pyexec_memory_fail_once(pthread_t thread) /* GIL not held; one thread at a time */
{
    failing_thread = thread;
    for (int i = 0; i < DOMAINS; i++) {
        PyMemAllocatorEx now;
        PyMem_GetAllocator(domains[i], &now);
        if (now.malloc != real[i].malloc) {
            continue; /* they are there, or others are (tracemalloc), perhaps over them */
        }
        now.malloc = i == 0 ? malloc_0 : malloc_1;
        now.calloc = i == 0 ? calloc_0 : calloc_1;
        now.realloc = i == 0 ? realloc_0 : realloc_1;
        PyMem_SetAllocator(domains[i], &now);
    }
    fail_next = true;
    pyexec_keep_no_ints();
}

/* If a snippet has put hooks of its own over these (tracemalloc), they stay, and pass everything on. */
void
pyexec_memory_stop_failing(void)
{
    fail_next = false;
    pyexec_keep_ints();
    for (int i = 0; i < DOMAINS; i++) {
        PyMemAllocatorEx now;
        PyMem_GetAllocator(domains[i], &now);
        if (now.malloc == malloc_0 || now.malloc == malloc_1) {
            PyMem_SetAllocator(domains[i], &real[i]);
        }
    }
}

/* Called on the lifecycle thread, with the GIL, before any snippet runs. */
void
pyexec_memory_init(pyexec_kernel *k)
{
    PyMemAllocatorEx now;
    PyObjectArenaAllocator arena_now;
    the_kernel = k;
    for (int i = 0; i < DOMAINS; i++) {
        if (real[i].malloc == NULL) {
            PyMem_GetAllocator(domains[i], &real[i]);
        }
    }
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &now);
    PyObject_GetArenaAllocator(&arena_now);
    bool hooked = now.malloc == raw_malloc;
    if (k->config.memory_limit != 0 && !hooked) {
        raw = now;
        arena = arena_now;
        now = (PyMemAllocatorEx){raw.ctx, raw_malloc, raw_calloc, raw_realloc, raw_free};
        arena_now = (PyObjectArenaAllocator){arena.ctx, arena_alloc, arena_free};
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &now);
        PyObject_SetArenaAllocator(&arena_now);
    }
    else if (k->config.memory_limit == 0 && hooked) {
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &raw);
        PyObject_SetArenaAllocator(&arena);
    }
}

void
pyexec_memory_begin(pyexec_kernel *k)
{
    failed = reserve_open = false;
    times_refused = 0;
    budget = used + (int64_t)k->config.memory_limit;
}

bool
pyexec_memory_end(void)
{
    budget = UNLIMITED;
    return failed;
}
