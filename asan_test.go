//go:build asan

package pyexec_test

// sanitized says that the kernel is built with the address sanitizer: go test -asan.
const sanitized = true
