// Package compat has no Go in it. Its folder, on PKG_CONFIG_PATH, has the python3.pc and the Python.h by which
// github.com/go-python/cpy3 v0.2.0 compiles; it is a package for go list to find it, and for go mod vendor to take it along.
// See package cpy3.
package compat
