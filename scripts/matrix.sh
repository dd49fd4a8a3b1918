#!/bin/bash
# matrix.sh: test pyexec with several versions of Python, each in the Debian that has it, and print a table.
#
#   scripts/matrix.sh                        3.11, 3.13, 3.14 and 3.15
#   scripts/matrix.sh 3.13 3.14              those; `make matrix PYTHONS='3.13 3.14'` is the same
#   scripts/matrix.sh /opt/python3.12        a Python built with --enable-shared and installed there, run on this system
#   scripts/matrix.sh prepare 3.13           make the chroot, and test nothing
#
# A chroot takes a minute or two to make and 600 MB; it is kept, and so are the build caches, of which each Python has its
# own, since Go does not see that a header has changed. The environment may set
#   MATRIX_CACHE   where to keep them: by default pyexec in $XDG_CACHE_HOME, or in ~/.cache
#   MATRIX_MIRROR  the mirror of Debian to take them from: by default the one that debootstrap knows
#   TIMEOUT        of one run of the tests, as go test understands it: by default 20m
#   TESTFLAGS      what else to pass to go test
#   QUICK          if it is not empty: the tests with snippets in this process only, no benchmarks and no soak
# Chroots and mounts need root. All mounts are made in a mount namespace of this script's own and are gone with it, however
# it ends. Nothing is mounted that a test could harm: source, Go and its modules are there to be read only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${MATRIX_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/pyexec}
mirror=${MATRIX_MIRROR-}
timeout=${TIMEOUT:-20m}
read -r -a flags <<<"${TESTFLAGS-}"

say() { echo "matrix: $*"; }
die() { say "$@" >&2; exit 1; }

suite_of() { # version
    case $1 in
        3.11) echo bookworm ;;
        3.13) echo trixie ;;
        3.14 | 3.15) echo sid ;;
        *) return 1 ;;
    esac
}

only_prepare=''
if [[ ${1-} == prepare ]]; then
    only_prepare=1
    shift
fi
[[ $# -gt 0 ]] || set -- 3.11 3.13 3.14 3.15
needs_root=''
for python; do
    if suite_of "$python" >/dev/null; then
        needs_root=1
    elif ! [[ -d $python/lib/pkgconfig ]]; then
        die "'$python' is no version that a suite of Debian has (3.11, 3.13, 3.14, 3.15), nor a folder with lib/pkgconfig"
    fi
done
command -v go >/dev/null || die "there is no 'go' on PATH"

# ---- in a namespace of our own, where nothing outlives us ----

if [[ -n $needs_root && -z ${PYEXEC_MATRIX_INSIDE-} ]]; then
    [[ $(id -u) == 0 ]] || die "chroots need root: sudo -E env \"PATH=\$PATH\" scripts/matrix.sh $*"
    if ! command -v debootstrap >/dev/null; then
        command -v apt-get >/dev/null || die "there is no debootstrap: install it, and try again"
        say "running: apt-get install debootstrap"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends debootstrap >/dev/null
    fi
    unshare --mount --pid --fork true 2>/dev/null || die "no namespace for mounts can be made here: in a container it needs CAP_SYS_ADMIN"
    export PYEXEC_MATRIX_INSIDE=1
    exec unshare --mount --pid --fork --kill-child --mount-proc "$PWD/scripts/matrix.sh" ${only_prepare:+prepare} "$@"
fi
# The first process of a namespace heeds only the signals that it asks for; all others in it end with it.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

wait_for() { # a command, such that a trap need not wait for its end
    "$@" &
    wait $!
}

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
exec 9>"$cache/lock"
flock -n 9 || { say "another run uses $cache, and is waited for"; flock 9; }

# ---- chroots ----

apt() { # chroot, what apt-get is to do. The lists of a suite that moves on, or of a mirror that lags, may be out of date.
    local root=$1
    shift
    chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 "$@"
}

packages() { # version
    echo gcc libc6-dev pkg-config python3-dev python3-numpy python3-pandas
    [[ $1 != 3.15 ]] || echo python3.15-dev
}

mounts() { # chroot
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
}

make_chroot() { # suite, chroot
    rm -rf "$2.part"
    debootstrap --variant=minbase "$1" "$2.part" ${mirror:+"$mirror"}
    mv "$2.part" "$2"
}

prepare() { # version; sets root
    local version=$1 suite log
    suite=$(suite_of "$version")
    root=$cache/$suite
    log=$cache/log/$suite.log
    if ! [[ -d $root ]]; then
        say "making a chroot of $suite in $root"
        wait_for make_chroot "$suite" "$root" >"$log" 2>&1 || { tail "$log" >&2; return 1; }
    fi
    mountpoint -q "$root/proc" || mounts "$root"
    cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    local lacking=''
    for p in $(packages "$version"); do
        chroot "$root" dpkg -s "$p" >/dev/null 2>&1 || lacking+=" $p"
    done
    if [[ -n $lacking ]]; then
        say "installing in $suite:$lacking"
        # shellcheck disable=SC2086 # a list of words
        { wait_for apt "$root" update && wait_for apt "$root" install --no-install-recommends $lacking; } >>"$log" 2>&1 ||
            { tail "$log" >&2; return 1; }
    fi
}

read_only() { # from, to
    mkdir -p "$2"
    mount --bind "$1" "$2"
    mount -o remount,bind,ro "$2"
}

# Where things are in a chroot. Everything a run of Go needs from outside is in there once.
open_chroot() { # version, chroot
    local version=$1 root=$2 pc
    if ! mountpoint -q "$root/src"; then
        read_only "$PWD" "$root/src"
        read_only "$(go env GOROOT)" "$root/usr/local/go"
        read_only "$(go env GOMODCACHE)" "$root/gomod"
    fi
    mkdir -p "$root/cache/$version" "$root/pc/$version"
    # python3-embed is the distribution's default version; here it is the one that is tested
    pc=$(echo "$root"/usr/lib/*/pkgconfig/python-"$version"-embed.pc)
    cp "$pc" "$root/pc/$version/python3-embed.pc"
    find "$root/tmp" -xdev -mindepth 1 -delete
}

# ---- one Python ----

# in_python runs a command of Go's in the source, with the Python at hand: $python is a version or a prefix
in_python() {
    if [[ -d $python ]]; then
        env GOCACHE="$cache/go-build$python" PKG_CONFIG_PATH="$python/lib/pkgconfig" LD_LIBRARY_PATH="$python/lib" "$@"
    else
        # shellcheck disable=SC2016 # to be expanded inside
        chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            GOFLAGS=-buildvcs=false GOTOOLCHAIN=local GOPROXY=off GOMODCACHE=/gomod GOCACHE="/cache/$python" \
            PKG_CONFIG_PATH="/pc/$python" ${PYEXEC_TEST_ISOLATION:+PYEXEC_TEST_ISOLATION="$PYEXEC_TEST_ISOLATION"} \
            sh -c 'cd /src && exec "$@"' sh "$@"
    fi
}

results() { # the lines of go test -v in this file: passed, failed, skipped
    local passed failed skipped
    passed=$(grep -c '^ *--- PASS' "$1" || true)
    failed=$(grep -c '^ *--- FAIL' "$1" || true)
    skipped=$(grep -c '^ *--- SKIP' "$1" || true)
    echo "$passed passed$([[ $failed == 0 ]] || echo ", $failed FAILED")$([[ $skipped == 0 ]] || echo ", $skipped skipped")"
}

tests() { # log, command: its output goes to the log, and what failed to the terminal
    local log=$1 rc=0
    shift
    wait_for in_python "$@" >"$log" 2>&1 || rc=$?
    if [[ $rc != 0 ]]; then
        say "$python: FAILED, see $log"
        grep -E '^ *--- FAIL|^(FAIL|panic:|fatal error:|#)|\.(go|c|h):[0-9]+:.*(error|undefined)' "$log" | head -n 40 || tail -n 20 "$log"
        failed+=" $python"
    fi
}

ratio() { # log, what, against: the ratio in that line of the bench
    awk -F '  +' -v what="Execute, cached, $2, reset on" -v against="$3" '$1 == what && $4 == against { print $3 }' "$1"
}

metric() { # log, benchmark, unit
    awk -v name="$2" -v unit="$3" 'index($1, name) == 1 { for (i = 3; i < NF; i += 2) if ($(i + 1) == unit) print $i }' "$1"
}

recycles() { # log, benchmark: how, how long, how much is lost
    local re
    re=$(metric "$1" "$2" reinitialised)
    echo "$(metric "$1" "$2" ms/recycle) ms, $(metric "$1" "$2" KB/recycle) KB ($([[ $re == 1* ]] && echo again || echo purged))"
}

table=$'Python\tfrom\ttests\tin worker processes\tx = 100\t15 lines\treset on/off\trecycled, bare\trecycled, imports\tgrown by 50,000 calls\n'
failed=''

measure() { # logs begin with this; sets of the row what a QUICK run does not have
    local log=$1
    PYEXEC_TEST_ISOLATION=process tests "$log-process.log" go test -count=1 -timeout "$timeout" -v "${flags[@]}" .
    processes=$(results "$log-process.log")
    tests "$log-bench.log" go test -run '^$' -bench 'Ratios$' -benchtime 1x -rounds 11 -only '^Execute, cached, (one line|15 lines), reset on : ' .
    one=$(ratio "$log-bench.log" 'one line' 'C loop, one line') fifteen=$(ratio "$log-bench.log" '15 lines' 'C loop, 15 lines')
    onoff=$(ratio "$log-bench.log" 'one line' 'Execute, cached, one line, reset off')
    tests "$log-recycle.log" go test -run '^$' -bench 'Recycle$' -benchtime 200x .
    bare=$(recycles "$log-recycle.log" BenchmarkRecycle/bare) imports=$(recycles "$log-recycle.log" BenchmarkRecycle/imports)
    tests "$log-soak.log" go run ./internal/soak -n 60000 -snippets mixed
    grown=$(sed -n 's/^growth since the first line \([-0-9.]*\) % (\([-0-9]*\) KB.*/\2 KB (\1 %)/p' "$log-soak.log")
}

mkdir -p "$cache/log"
go mod download
for python; do
    root='' processes=- one=- fifteen=- onoff=- bare=- imports=- grown=-
    if [[ -d $python ]]; then
        version=$(PKG_CONFIG_PATH=$python/lib/pkgconfig pkg-config --modversion python3-embed) || die "$python has no python3-embed.pc"
        exact=$("$python/bin/python$version" -c 'import platform; print(platform.python_version())') from=prefix
        log=$cache/log/$exact
    else
        prepare "$python" || { say "$python: no chroot of $(suite_of "$python"); see above"; failed+=" $python"; continue; }
        [[ -z $only_prepare ]] || continue
        open_chroot "$python" "$root"
        exact=$(chroot "$root" "python$python" -c 'import platform; print(platform.python_version())') from=$(suite_of "$python")
        log=$cache/log/$python
    fi
    say "$exact ($from): testing"
    before=$failed
    tests "$log.log" go test -count=1 -timeout "$timeout" -v "${flags[@]}" ./...
    in_process=$(results "$log.log")
    [[ -n ${QUICK-} ]] || measure "$log"
    table+="$exact	$from	$in_process	$processes	$one	$fifteen	$onoff	$bare	$imports	$grown"$'\n'
    say "$exact ($from): $([[ $failed == "$before" ]] && echo "all passed" || echo FAILED)"
done

if [[ -z $only_prepare ]]; then
    echo
    printf %s "$table" | column -t -s $'\t'
fi
if [[ -n $failed ]]; then
    # shellcheck disable=SC2086 # words, each once
    say "FAILED: $(printf '%s\n' $failed | sort -u | tr '\n' ' ')" >&2
    exit 1
fi
