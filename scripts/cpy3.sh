#!/bin/sh
# cpy3.sh: go, for what is behind the build tag cpy3. Where the Python that pkg-config names is none that cpy3 can be built
# with, it says so and does nothing.
#
#   scripts/cpy3.sh test ./cpy3
set -eu
cd "$(dirname "$0")/.."

version=$(pkg-config --modversion python3-embed)
case $version in
3.11 | 3.12 | 3.13 | 3.14) ;;
*)
    echo "cpy3: skipped: python3-embed is Python $version, and cpy3/compat/Python.h lets cpy3 be built with 3.11 to 3.14"
    exit 0
    ;;
esac
PKG_CONFIG_PATH="$PWD/cpy3/compat${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}" GOFLAGS="${GOFLAGS:-} -tags=cpy3" exec go "$@"
