package pyexec_test

import (
	"testing"

	"github.com/go-pyexec/pyexec"
)

func BenchmarkProcessOne(b *testing.B) {
	ex := openBench(b, pyexec.Config{Isolation: pyexec.Process, Workers: 1, RecycleEvery: pyexec.RecycleNever})
	for b.Loop() {
		if _, err := ex.Execute(ctx, "x = 100", nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProcessFresh(b *testing.B) {
	ex := openBench(b, pyexec.Config{Isolation: pyexec.Process, Workers: 1, RecycleEvery: 1})
	for b.Loop() {
		if _, err := ex.Execute(ctx, "x = 100", nil); err != nil {
			b.Fatal(err)
		}
	}
}
