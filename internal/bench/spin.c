/* spin.c: how much of the processors the machine gives at the moment: counting needs nothing else. */
#include "bench.h"

#include <time.h>

int64_t
bench_spin(int64_t n)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (volatile int64_t i = 0; i < n; i++) {
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec);
}
