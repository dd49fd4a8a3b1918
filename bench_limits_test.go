package pyexec_test

import (
	"testing"
	"time"

	"github.com/go-pyexec/pyexec"
)

// BenchmarkMemoryLimit prints what Config.MemoryLimit costs a call that stays far from it. The allocators are hooked when an
// interpreter starts, so executors with and without take turns; a ratio is the median of those of the rounds.
func BenchmarkMemoryLimit(b *testing.B) {
	snippets := []struct {
		name, code string
		n          int
	}{
		{"one line", oneLine, 5000},
		{"15 lines", fifteen, 2000},
		{"small objects", "x = [str(i) for i in range(10000)]; x = None", 5},
		{"large blocks", "for i in range(2000): x = bytearray(5000 + i)\nx = None", 10},
	}
	const rounds = 31
	for range b.N {
		ratios := make([][]float64, len(snippets))
		for round := range rounds {
			var took [2][]float64
			for turn := range 2 {
				limited := (round + turn) % 2 // each goes first half of the time
				config := pyexec.Config{RecycleEvery: pyexec.RecycleNever}
				if limited == 1 {
					config.MemoryLimit = 1 << 30
				}
				ex := openBench(b, config)
				for _, s := range snippets {
					for range 3 {
						if _, err := ex.Execute(ctx, s.code, nil); err != nil {
							b.Fatal(err)
						}
					}
					begin := time.Now()
					for range s.n {
						if _, err := ex.Execute(ctx, s.code, nil); err != nil {
							b.Fatal(err)
						}
					}
					took[limited] = append(took[limited], float64(time.Since(begin)))
				}
				_ = ex.Close()
			}
			for i := range snippets {
				ratios[i] = append(ratios[i], took[1][i]/took[0][i])
			}
		}
		for i, s := range snippets {
			b.Logf("%-14s with a limit %.3f times as long as without", s.name, median(ratios[i]))
		}
	}
}
