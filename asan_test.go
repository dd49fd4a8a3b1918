//go:build asan

package pyexec_test

import (
	"time"

	"github.com/go-pyexec/pyexec"
)

// sanitized says that the kernel is built with the address sanitizer: go test -asan.
const sanitized = true

// With the heap that the sanitizer keeps, collecting all garbage can take seconds.
func init() { _ = pyexec.SetGuardPatience(20 * time.Second) }
