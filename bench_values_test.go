package pyexec_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/go-pyexec/pyexec"
)

// What it costs that values cross: there and back again, decoded into typed Go values, by pyexec and by JSON text, as one
// would do it without: json.Marshal, json.loads, json.dumps, json.Unmarshal.

type benchRow struct {
	ID    int      `json:"id"`
	Name  string   `json:"name"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags"`
	Sold  bool     `json:"sold"`
}

type benchScalars struct {
	A int     `json:"a"`
	B float64 `json:"b"`
	C string  `json:"c"`
	D bool    `json:"d"`
	E *int    `json:"e"`
}

func crossings(b *testing.B, ex *pyexec.Executor, add func(name string, n int, run func(n int) time.Duration)) {
	b.Helper()
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	timed := func(f func()) func(n int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			for range n {
				f()
			}
			return time.Since(start)
		}
	}
	// both adds a way to cross for data, into targets made by target.
	both := func(name string, n, nJSON int, data any, target func() any) {
		vars, want := pyexec.Vars{"v": data}, []string{"v"}
		add("values, "+name, n, timed(func() {
			res, err := ex.Run(ctx, pyexec.Snippet{Code: "pass", Vars: vars, Want: want})
			check(err)
			check(res.Decode("v", target()))
		}))
		if nJSON < 0 {
			return
		}
		add("JSON, "+name, nJSON, timed(func() {
			text, err := json.Marshal(data)
			check(err)
			res, err := ex.Run(ctx, pyexec.Snippet{Code: "import json\nv = json.dumps(json.loads(v))", Vars: pyexec.Vars{"v": string(text)}, Want: want})
			check(err)
			var back string
			check(res.Decode("v", &back))
			check(json.Unmarshal([]byte(back), target()))
		}))
	}

	add("values, none", 0, timed(func() {
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "pass"})
		check(err)
	}))
	both("5 scalars", 0, 0, benchScalars{A: 1, B: 2.5, C: "text", D: true}, func() any { return new(benchScalars) })
	rows := make([]benchRow, 100)
	for i := range rows {
		rows[i] = benchRow{i, fmt.Sprintf("item number %d", i), float64(i) * 1.25, []string{"a", "b"}, i%2 == 0}
	}
	both("100 rows", 0, 0, rows, func() any { return new([]benchRow) })
	floats := make([]float64, 1_000_000)
	for i := range floats {
		floats[i] = math.Sqrt(float64(i))
	}
	both("1,000,000 floats, list", 1, 1, floats, func() any { return new([]float64) })
	both("1,000,000 floats, array", 4, -1, pyexec.Array{Data: floats}, func() any { return new([]float64) })
}

func crossingLines() []line {
	atLeast := func(limit float64) func(ns, ratio float64) bool {
		return func(_, ratio float64) bool { return ratio >= limit }
	}
	return []line{
		{what: "values, none"},
		{what: "JSON, 5 scalars", against: "values, 5 scalars"},
		{what: "JSON, 100 rows", against: "values, 100 rows", target: ">= 3x", met: atLeast(3)},
		{what: "JSON, 1,000,000 floats, list", against: "values, 1,000,000 floats, list"},
		{what: "JSON, 1,000,000 floats, list", against: "values, 1,000,000 floats, array", target: ">= 50x", met: atLeast(50)},
	}
}
