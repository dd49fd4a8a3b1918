#!/bin/sh
# deps.sh: see to it that what pyexec is built with is there. Says nothing and takes a fraction of a second if it is.
#
#   scripts/deps.sh         what building needs: Go, a C compiler, pkg-config, the Python that pkg-config names
#   scripts/deps.sh test    and what `make test` needs: numpy and pandas for that Python
#   scripts/deps.sh check   and what `make check` needs: the Go version of its tools
#
# What is missing is told by trying: a program is compiled and linked with the flags that cgo will use. On Debian and
# Ubuntu it is then installed with apt-get; on other systems this says what to install and fails.
set -eu
cd "$(dirname "$0")/.."
want=${1:-build}

say() { echo "deps: $*"; }
die() {
    say "$1" >&2
    shift
    for line in "$@"; do echo "      $line" >&2; done
    exit 1
}

# ---- Go: never installed from here, since distributions have old ones ----

go_min() { sed -n 's/^go \([0-9.]*\).*/\1/p' "$1"; }

need_go() { # version, what for
    command -v go >/dev/null ||
        die "there is no 'go' on PATH; $2 needs Go $1 or newer." \
            "Get it at https://go.dev/dl/, unpack it to /usr/local, and put /usr/local/go/bin on PATH."
    # outside the module: in it, go might go and fetch the version it asks for before it says which one it is itself
    have=$(cd / && go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
    toolchain=$(cd / && go env GOTOOLCHAIN)
    if [ -n "$have" ] && [ "${toolchain:-local}" = local ] && [ "$(printf '%s\n' "$1" "$have" | sort -V | head -n 1)" != "$1" ]; then
        die "this is Go $have; $2 needs Go $1 or newer." \
            "Get it at https://go.dev/dl/, or, from Go 1.21 on, set GOTOOLCHAIN=auto to let this one fetch it."
    fi
}

need_go "$(go_min go.mod)" pyexec
if [ "$want" = check ]; then
    need_go "$(go_min internal/tools/go.mod)" "the staticcheck of 'make check'"
fi
cc=${CC:-$(go env CC)}

# ---- what is missing, and why it is needed ----

flags() { pkg-config --cflags --libs python3-embed; }

# shellcheck disable=SC2086,SC2046 # a compiler and its flags are lists of words
compiles() { # flags of the compiler; the program is on standard input
    $cc -x c -o "$tmp/a.out" - "$@" >"$tmp/cc.log" 2>&1
}

python() { # the interpreter that pkg-config's python3-embed belongs to
    echo "$(pkg-config --variable=exec_prefix python3-embed)/bin/python$(pkg-config --modversion python3-embed)"
}

own_python() { # pkg-config names a Python that does not come from the distribution
    pkg-config --exists python3-embed 2>/dev/null && [ "$(pkg-config --variable=prefix python3-embed)" != /usr ]
}

has_ca() { # Go's own list of places, in short
    [ -n "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ] || [ "$(uname)" != Linux ] && return 0
    for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        [ -s "$f" ] && return 0
    done
    return 1
}

missing='' # Debian package names
reasons=''
lack() {
    missing="$missing $1"
    reasons="$reasons  $1: $2
"
}

look() {
    missing='' reasons=''
    if ! command -v "${cc%% *}" >/dev/null; then
        case $cc in gcc*|cc) ;; *) die "there is no C compiler $cc, which CC names." ;; esac
        lack gcc "the C compiler that cgo calls ($cc)"
        lack libc6-dev "the headers of the C library"
    elif ! echo '#include <stdlib.h>
        int main(void) { return EXIT_SUCCESS; }' | compiles; then
        lack libc6-dev "the headers of the C library"
    fi
    command -v pkg-config >/dev/null || lack pkg-config "tells cgo where Python is"
    # shellcheck disable=SC2046 # flags are a list of words
    if ! pkg-config --exists python3-embed 2>/dev/null; then
        lack python3-dev "the headers and the library of Python, which pyexec embeds"
    elif ! pkg-config --atleast-version=3.11 python3-embed; then
        die "pkg-config's python3-embed is Python $(pkg-config --modversion python3-embed); pyexec needs 3.11 or newer." \
            "It was found in $(pkg-config --variable=pcfiledir python3-embed)." \
            "For another Python, set PKG_CONFIG_PATH to the folder of its python3-embed.pc (usually <prefix>/lib/pkgconfig)."
    elif [ -z "$missing" ] && ! echo '#include <Python.h>
        int main(void) { return Py_IsInitialized(); }' | compiles $(flags); then
        lack python3-dev "the headers and the library of Python, which pyexec embeds"
    fi
    if [ "$want" = test ] || [ "$want" = check ]; then
        if own_python; then
            has numpy || say "note: $(python) has no numpy, which a test uses: $(python) -m pip install numpy"
            has pandas || say "note: $(python) has no pandas: tests of it are skipped: $(python) -m pip install pandas"
        elif ! pkg-config --exists python3-embed 2>/dev/null || ! has numpy || ! has pandas; then
            lack python3-numpy "a test runs snippets that use numpy"
            lack python3-pandas "tests run snippets that use pandas"
        fi
    fi
    if ! has_ca && ! has_modules; then
        lack ca-certificates "go has modules to download by https"
    fi
}

has_modules() {
    GOPROXY=off go mod download >/dev/null 2>&1 || return 1
    [ "$want" != check ] || GOPROXY=off go mod download -modfile=internal/tools/go.mod >/dev/null 2>&1
}

has() { # module
    "$(python)" -I -c 'import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)' "$1" 2>/dev/null
}

finish() { # all is there
    [ "$(go env CGO_ENABLED)" = 1 ] || die "CGO_ENABLED is 0, and pyexec is built with cgo: set it to 1, or unset it."
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
look
if [ -z "$missing" ]; then
    finish
    exit 0
fi

# ---- get it ----

# A Python that is not the distribution's own gets nothing from the distribution's packages.
if own_python; then
    case $missing in *python3-dev*)
        die "a program cannot be linked with the Python in $(pkg-config --variable=prefix python3-embed):" \
            "$(tail -n 3 "$tmp/cc.log")" "It must have been built with --enable-shared, and its headers must be there." ;;
    esac
fi

say "missing:"
printf '%s' "$reasons"
if ! [ -e /etc/debian_version ] || ! command -v apt-get >/dev/null; then
    die "this is no Debian or Ubuntu. Install it yourself, and try again:" \
        "Fedora:  sudo dnf install gcc glibc-devel pkgconf-pkg-config python3-devel python3-numpy python3-pandas" \
        "Alpine:  sudo apk add gcc musl-dev pkgconf python3-dev py3-numpy py3-pandas" \
        "macOS:   none helps so far; use a Linux container or virtual machine." \
        "Then 'pkg-config --exists python3-embed' must succeed; CGO_ENABLED=0 go run ./cmd/pyexec doctor says more."
fi
sudo=''
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "neither root nor sudo here. As root:" "apt-get update && apt-get install$missing"
    sudo=sudo
    [ -t 0 ] || sudo='sudo -n' # nobody there to type a password: fail at once
fi
run() {
    say "running: $*"
    "$@" </dev/null >"$tmp/apt.log" 2>&1 || { cat "$tmp/apt.log" >&2; die "that failed; see above."; }
}
# shellcheck disable=SC2086 # lists of words
{
    run $sudo apt-get update -q
    run $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}

look
if [ -n "$missing" ]; then
    [ ! -s "$tmp/cc.log" ] || tail -n 5 "$tmp/cc.log" >&2
    die "installed, and still missing:$missing."
fi
finish
