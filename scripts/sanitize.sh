#!/bin/sh
# sanitize.sh: `make sanitize`, the tests with the C kernel built with the address and undefined-behaviour sanitizers. What
# they object to ends the run. CPython itself is not instrumented, so leaks are not looked for: it frees at the end of the
# process only part of what it has. nonnull-attribute would object to memcpy of nothing from nowhere.
set -eu
cd "$(dirname "$0")/.."
flags='-fsanitize=address,undefined'
export CGO_CFLAGS="$flags -g -O1 -fno-sanitize-recover=undefined -fno-sanitize=nonnull-attribute"
export CGO_LDFLAGS="$flags"
# A snippet may ask malloc for more than there is, which is to say no and not to end the run.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:allocator_may_return_null=1
exec go test -asan "$@" .
