//go:build !race

package pyexec_test

const raced = false
