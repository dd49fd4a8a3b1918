package pyexec_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// What crossing to the host costs while a snippet runs: nanoseconds each of 1000 in a call, beside what they replace.
func BenchmarkHost(b *testing.B) {
	ex, err := pyexec.New(pyexec.Config{RecycleEvery: pyexec.RecycleNever, Functions: pyexec.Functions{"add": func(a, b int) int { return a + b }}})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, ex.Close()) })
	for _, c := range []struct {
		name    string
		snippet pyexec.Snippet
	}{
		{"python-function", pyexec.Snippet{Code: "def add(a, b): return a + b\nfor i in range(1000): add(i, i)"}},
		{"go-function", pyexec.Snippet{Code: "for i in range(1000): add(i, i)"}},
		{"print-kept", pyexec.Snippet{Code: "for i in range(1000): print('a line of text')"}},
		{"print-streamed", pyexec.Snippet{Code: "for i in range(1000): print('a line of text')", Stdout: io.Discard}},
	} {
		b.Run(c.name, func(b *testing.B) {
			start := time.Now()
			for b.Loop() {
				if _, err := ex.Run(ctx, c.snippet); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N)/1000, "ns/each")
			b.ReportMetric(0, "ns/op")
		})
	}
	b.Run("none-called", func(b *testing.B) { // what having a function costs a call that does not use it
		for b.Loop() {
			if _, err := ex.Execute(ctx, "x = 100", nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
