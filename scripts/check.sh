#!/bin/sh
# check.sh: the one gate, `make check`. All steps run, also after one that failed; each says its name, and what it has
# to object to. TIMEOUT is that of a go test run.
set -u
cd "$(dirname "$0")/.."
timeout=${TIMEOUT:-20m}
failed=''

step() { # name, command
    echo "== $1"
    name=$1
    shift
    "$@" 2>&1 || failed="$failed
   $name"
}

silent() { # a command whose output is an objection
    out=$("$@" 2>&1) && [ -z "$out" ] && return
    echo "$out"
    return 1
}

gofmt_diff() { silent "$(go env GOROOT)/bin/gofmt" -d .; }

staticcheck() { go tool -modfile=internal/tools/go.mod staticcheck ./...; }

# What needs no cgo must not come to need it, and compile where else it may be asked for.
plain='./cmd/... ./internal/doctor ./internal/engine ./internal/install ./internal/wire'
without_cgo() {
    rc=0
    for platform in linux/amd64 linux/arm64 darwin/arm64; do
        more='' # on Linux it looks at shared memory in C
        [ "${platform%/*}" = linux ] || more=./internal/process
        # shellcheck disable=SC2086 # lists of packages
        CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} go vet $plain $more || rc=1
    done
    # shellcheck disable=SC2086
    CGO_ENABLED=0 go tool -modfile=internal/tools/go.mod staticcheck $plain || rc=1
    return $rc
}

# As cgo compiles them, with warnings that the compiler only has when it optimises, and as errors.
c_files() {
    rc=0
    for f in internal/kernel/*.c internal/bench/*.c; do
        # shellcheck disable=SC2046 # flags are a list of words
        $(go env CC) -std=c11 -D_GNU_SOURCE -O2 -fno-strict-aliasing -Wall -Wextra -Werror -c -o /dev/null \
            $(pkg-config --cflags python3-embed) "$f" || rc=1
    done
    return $rc
}

# The root package only: it drives every crossing into C that there is, and the experiment costs a build of its own.
cgocheck2() { GOEXPERIMENT=cgocheck2 go test -timeout "$timeout" .; }

# What the program does for worker processes is on goroutines of its own.
race_processes() { PYEXEC_TEST_ISOLATION=process go test -race -timeout "$timeout" -run 'Function|Stream|Host|Forged|Cancel' .; }

# Every test once more, with snippets in worker processes; never a result that go test has kept of the other level.
processes() { PYEXEC_TEST_ISOLATION=process go test -count=1 -timeout "$timeout" .; }

tree() { [ ! -e .git ] || git status --porcelain; }
same_tree() {
    case $before in fatal:*) echo "not looked at: $before" && return ;; esac
    [ "$(tree 2>&1)" = "$before" ] && return
    echo "before: ${before:-clean}"
    echo "after:  $(tree 2>&1)"
    return 1
}

before=$(tree 2>&1)
step gofmt gofmt_diff
step 'go mod tidy' go mod tidy -diff
step 'go vet' go vet ./...
step staticcheck staticcheck
step 'without cgo, arm64, macOS' without_cgo
step 'go vet, cpy3' scripts/cpy3.sh vet ./cpy3
step 'staticcheck, cpy3' scripts/cpy3.sh tool -modfile=internal/tools/go.mod staticcheck ./cpy3
step 'C warnings' c_files
step 'go test -race' go test -race -timeout "$timeout" ./...
step 'go test -race, cpy3' scripts/cpy3.sh test -race -timeout "$timeout" ./cpy3
step 'go test, cgocheck2' cgocheck2
step 'go test, worker processes' processes
step 'go test -race, worker processes' race_processes
step 'git tree unchanged' same_tree

if [ -n "$failed" ]; then
    echo "FAILED:$failed" >&2
    exit 1
fi
echo "all passed"
