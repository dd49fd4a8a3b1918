// Package pyexec runs Python snippets inside a Go program, each in an interpreter as clean as the first one found it.
package pyexec
