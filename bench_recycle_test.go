package pyexec_test

import (
	"testing"
	"time"

	"github.com/go-pyexec/pyexec"
)

// BenchmarkRecycle is what a recycle costs once a snippet has run, and by how much each makes the process grow: with
// nothing imported, and after modules that not every Python can be initialised again after. Worth running a fixed number
// of times (-benchtime 200x), since growth is a step and not a slope when there are few.
func BenchmarkRecycle(b *testing.B) {
	const modules = "import json, re, datetime, decimal, asyncio, threading"
	for _, c := range []struct{ name, code string }{{"bare", oneLine}, {"imports", modules}} {
		b.Run(c.name, func(b *testing.B) {
			ex := openBench(b, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
			var took time.Duration
			cycle := func() {
				if _, err := ex.Execute(ctx, c.code, nil); err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				if err := ex.Recycle(ctx); err != nil {
					b.Fatal(err)
				}
				took += time.Since(start)
			}
			for range 10 { // everything is loaded and warm
				cycle()
			}
			took = 0
			before := rss(b)
			for b.Loop() {
				cycle()
			}
			b.ReportMetric(float64(took.Microseconds())/float64(b.N)/1000, "ms/recycle")
			b.ReportMetric(float64(rss(b)-before)/float64(b.N), "KB/recycle")
			b.ReportMetric(float64(ex.Stats().Reinitialized)/float64(ex.Stats().Recycles), "reinitialised")
		})
	}
}
