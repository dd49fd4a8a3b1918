package pyexec_test

import (
	"slices"
	"testing"
	"time"

	"github.com/go-pyexec/pyexec"
)

// BenchmarkResetSlope prints what a clean call pays for the reset, by how many modules are loaded: of code that is proven
// to reach nothing that outlives it, and of code that is looked after because it imports sys. Reset on and off take turns;
// the figures are medians of the differences.
func BenchmarkResetSlope(b *testing.B) {
	snippets := []struct{ name, code string }{
		{"confined", "x = 'text'.upper()"},
		{"looked after", "import sys\nx = sys.getrefcount"},
	}
	loads := []struct{ name, code string }{
		{"nothing more", "pass"},
		{"the usual", "import json, re, datetime, logging, random, decimal, collections, functools"},
		{"much", "import asyncio, unittest.mock, http.client, urllib.request, sqlite3, xml.dom.minidom, email.message, multiprocessing"},
		{"numpy", "try: import numpy\nexcept ImportError: pass"},
		{"pandas", "try: import pandas\nexcept ImportError: pass"},
	}
	for range b.N {
		ex := openBench(b, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
		for _, load := range loads {
			if _, err := ex.Execute(ctx, load.code, nil); err != nil {
				b.Fatal(err)
			}
			res, err := ex.Execute(ctx, "import sys\nlen(sys.modules)", nil)
			if err != nil {
				b.Fatal(err)
			}
			for _, s := range snippets {
				const rounds, n = 31, 1000
				var off, on []time.Duration
				for range rounds {
					for _, mode := range []pyexec.ResetMode{pyexec.ResetNone, pyexec.ResetAll} {
						ex.SetReset(mode)
						begin := time.Now()
						for range n {
							if _, err := ex.Execute(ctx, s.code, nil); err != nil {
								b.Fatal(err)
							}
						}
						took := time.Since(begin) / n
						if mode == pyexec.ResetNone {
							off = append(off, took)
						} else {
							on = append(on, took)
						}
					}
				}
				slices.Sort(off)
				slices.Sort(on)
				b.Logf("%4v modules (%s), %s: %v without reset, %v with, ratio %.3f", res.Value, load.name, s.name,
					off[rounds/2], on[rounds/2], float64(on[rounds/2])/float64(off[rounds/2]))
			}
		}
		_ = ex.Close()
	}
}
