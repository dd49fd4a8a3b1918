//go:build !asan

package pyexec_test

const sanitized = false
