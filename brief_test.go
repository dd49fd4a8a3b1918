package pyexec_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/internal/engine"
)

func TestBriefCode(t *testing.T) {
	if level == pyexec.Process {
		t.Skip("no call is handed to another goroutine there")
	}
	ex := open(t, pyexec.Config{})
	for code, want := range map[string]engine.Brief{
		"x = 100":                             engine.BriefWithText,
		"a + b - 1":                           engine.BriefWithText,
		"a if kind == 'x' else b":             engine.BriefWithText,
		"kind in ('x', 'y') and not a >= 0.5": engine.BriefWithText,
		"price * (1 + rate)":                  engine.BriefWithNumbers,
		"n % 10 // 3":                         engine.BriefWithNumbers,
		"y = a * b\nz = y * 2 if y > 7 else -y\nz / 4": engine.BriefWithNumbers,
		"'a' * n":                           engine.NotBrief,
		"kind == 'x' and a * b":             engine.NotBrief, // a or b may be a string
		"'%1000000000d' % n":                engine.NotBrief,
		"('a',) * n":                        engine.NotBrief,
		"a ** b":                            engine.NotBrief,
		"a << b":                            engine.NotBrief,
		"a *= b":                            engine.NotBrief,
		"[a] == [b]":                        engine.NotBrief,
		"(a, b)":                            engine.NotBrief,
		"{a: b}":                            engine.NotBrief,
		"abs(a)":                            engine.NotBrief,
		"a.b":                               engine.NotBrief,
		"f'{a:1000000000}'":                 engine.NotBrief,
		"__name__ * n":                      engine.NotBrief,
		"copyright == a":                    engine.NotBrief,
		"while a: pass":                     engine.NotBrief,
		"import json":                       engine.NotBrief,
		"a * 100000000000000000000":         engine.NotBrief,
		strings.Repeat("a = a * a\n", 9):    engine.NotBrief,
		strings.Repeat("a = a + a\n", 9):    engine.BriefWithNumbers,
		"# " + strings.Repeat("long", 1000): engine.NotBrief,
	} {
		_, _ = ex.Execute(ctx, code, nil)
		assert.Equal(t, want, ex.BriefOf(code), code)
	}
}

// What is brief, with short variables, is not handed to another goroutine; all else that has a deadline is.
func TestBriefCallsStay(t *testing.T) {
	if level == pyexec.Process {
		t.Skip("no call is handed to another goroutine there")
	}
	timed, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	type named string
	cases := []struct {
		name   string
		config pyexec.Config
		code   string
		vars   pyexec.Vars
		stays  bool
	}{
		{"numbers", pyexec.Config{}, "a * b", pyexec.Vars{"a": 2, "b": 1.5}, true},
		{"all kinds", pyexec.Config{}, "a + b", pyexec.Vars{"a": int8(2), "b": uint64(3), "c": nil, "d": true, "e": float32(1)}, true},
		{"text", pyexec.Config{}, "a == b", pyexec.Vars{"a": "x", "b": "y"}, true},
		{"text times a number", pyexec.Config{}, "a * b", pyexec.Vars{"a": "x", "b": 2}, false},
		{"long text", pyexec.Config{}, "a == b", pyexec.Vars{"a": strings.Repeat("x", 1000), "b": "y"}, false},
		{"a list", pyexec.Config{}, "a == b", pyexec.Vars{"a": []int{1}, "b": 2}, false},
		{"a type of one's own", pyexec.Config{}, "a == b", pyexec.Vars{"a": named("x"), "b": 2}, false},
		{"a loop", pyexec.Config{}, "for i in (1, 2): pass", nil, false},
		{"no reset", pyexec.Config{Reset: pyexec.ResetNone}, "x = 1", nil, false},
		{"something is kept", pyexec.Config{Keep: []string{"sys.gettrace"}}, "x = 1", nil, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ex := open(t, c.config)
			_, err := ex.Execute(ctx, c.code, c.vars)
			require.NoError(t, err)
			_, err = ex.Execute(timed, c.code, c.vars)
			require.NoError(t, err)
			assert.Equal(t, c.stays, !ex.HandsOver())
		})
	}
}
