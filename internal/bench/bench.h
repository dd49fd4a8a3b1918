/* bench.h: what benchmarks compare pyexec with, in C. */
#ifndef PYEXEC_BENCH_H
#define PYEXEC_BENCH_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_FORK_LOOP_ENV "PYEXEC_PRIVATE_BENCH_FORK_LOOP"

int64_t bench_ping_pong(size_t request, size_t reply, int64_t n); /* the ns that took; -1: it failed */
int64_t bench_spin(int64_t n);                                    /* the ns that n rounds of counting took */

#endif /* PYEXEC_BENCH_H */
