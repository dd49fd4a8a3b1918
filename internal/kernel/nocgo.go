//go:build !cgo

package kernel

// The compiler prints the name, which is not defined, where it would else say "build constraints exclude all Go files":
// CGO_ENABLED is 0, or there is no C compiler.
var _ = pyexec_is_built_with_cgo_and_needs_a_C_compiler__see_If_it_does_not_build_in_README_md_and_pyexec_doctor
