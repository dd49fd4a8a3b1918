package pyexec_test

import (
	"math"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

func TestValueOfTheLastExpression(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for code, want := range map[string]any{
		"40 + 2":                             int64(42),
		"x = 1\nx + 1 # comment":             int64(2),
		"x = 1":                              nil,
		"'text'":                             "text",
		"5; 6":                               int64(6),
		"if True:\n    7":                    nil,
		"def f():\n    return 8\nf()":        int64(8),
		"(\n 1,\n 2)\n\n":                    pyexec.Tuple{int64(1), int64(2)},
		"None":                               nil,
		"":                                   nil,
		"# only a comment":                   nil,
		"from __future__ import annotations": nil,
		"'doc'\n3":                           int64(3),
		"f = dict\nf(\nb = '(')":             map[string]any{"b": "("},
		"x = 1; x":                           int64(1),
		"x = 1\nx == 1":                      true,
		"\"\"\"a\nb = 1\"\"\"":               "a\nb = 1",
		"[x\nfor x in (1, 2)]":               []any{int64(1), int64(2)},
		"import math; math.floor(1.5)":       int64(1),
		"x = 1 # ; y\n":                      nil,
		"iffy = 3\niffy":                     int64(3),
		"notes = 1\nnot notes":               false,
		"1 \\\nif True else 2":               int64(1),
		"x = 1\rx":                           int64(1),
		"x = 1\r\nx\r\n":                     int64(1),
		"\"a\\\nx = # \"":                    "ax = # ",
		"lambda_ = 2\nlambda_ + 1":           int64(3),
	} {
		assert.Equal(t, want, run(t, ex, code).Value, code)
	}
	res := run(t, ex, "len")
	assert.Nil(t, res.Value)
	require.Len(t, res.Skipped(), 1)
	assert.Equal(t, "builtin_function_or_method", res.Skipped()[0].Type)
}

func TestWantAndSkipped(t *testing.T) {
	ex := open(t, pyexec.Config{})
	code := "import json\na = 1\nb = 2\n_c = 3\n__d__ = 4\ndef f(): pass\nclass C: pass\ng = (i for i in a_list)\nbad = '\\ud800'"
	in := pyexec.Vars{"a_list": []int{}}
	res, err := ex.Execute(ctx, code, in)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"a": int64(1), "b": int64(2), "_c": int64(3), "a_list": []any{}}, res.Vars())
	types := map[string]string{}
	for _, s := range res.Skipped() {
		types[s.Name] = s.Type
		assert.NotEmpty(t, s.Reason)
	}
	assert.Equal(t, map[string]string{"json": "module", "f": "function", "C": "type", "g": "generator", "bad": "str"}, types)

	res, err = ex.Run(ctx, pyexec.Snippet{Code: code, Vars: in, Want: []string{"b", "json", "nope"}})
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"b": int64(2)}, res.Vars())
	assert.Len(t, res.Skipped(), 2)
	var missing *pyexec.MissingError
	require.ErrorAs(t, res.Decode("json", new(any)), &missing)
	assert.Equal(t, "module", missing.Type)
	require.ErrorAs(t, res.Decode("nope", new(any)), &missing)
	assert.Empty(t, missing.Type)
	require.ErrorAs(t, res.Decode("a", new(any)), &missing, "not wanted, so not there")
}

func TestNaNAndMinusZero(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res, err := ex.Execute(ctx, "import math\nok = math.isnan(n) and math.copysign(1, z) == -1", pyexec.Vars{"n": math.NaN(), "z": math.Copysign(0, -1)})
	require.NoError(t, err)
	assert.Equal(t, true, res.Vars()["ok"])
	assert.True(t, math.IsNaN(res.Vars()["n"].(float64)))
	assert.True(t, math.Signbit(res.Vars()["z"].(float64)))
}

func TestDecode(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, `orders = [{"id": 1, "price": 2.5, "tags": ("a", "b"), "extra": 1}, {"ID": 2, "price": 3, "tags": []}]
big = 300
half = 1.5
whole = 2.0
none = None
by_id = {1: "one", 2: "two"}
raw = b"ab"
n = 2**70`)
	type base struct{ ID int64 }
	type order struct {
		base
		Price float64 `json:"price"`
		Tags  []string
	}
	var orders []order
	require.NoError(t, res.Decode("orders", &orders))
	assert.Equal(t, []order{{base{1}, 2.5, []string{"a", "b"}}, {base{2}, 3, []string{}}}, orders)

	var byID map[int]string
	require.NoError(t, res.Decode("by_id", &byID))
	assert.Equal(t, map[int]string{1: "one", 2: "two"}, byID)
	var whole int
	require.NoError(t, res.Decode("whole", &whole))
	assert.Equal(t, 2, whole)
	var pointer = new(int)
	require.NoError(t, res.Decode("none", &pointer))
	assert.Nil(t, pointer)
	var raw [2]byte
	require.NoError(t, res.Decode("raw", &raw))
	assert.Equal(t, [2]byte{'a', 'b'}, raw)
	var n big.Int
	require.NoError(t, res.Decode("n", &n))
	assert.Equal(t, "1180591620717411303424", n.String())
	var ordered pyexec.Dict
	require.NoError(t, res.Decode("by_id", &ordered))
	two, ok := ordered.Get(2)
	assert.True(t, ok)
	assert.Equal(t, "two", two)

	for _, c := range []struct {
		name   string
		target any
		text   string
	}{
		{"big", new(int8), "big: cannot decode int into int8: 300 is out of its range"},
		{"half", new(int), "half: cannot decode float into int: 1.5 is no whole number"},
		{"none", new(int), "none: cannot decode None into int"},
		{"n", new(int64), "n: cannot decode int into int64: 1180591620717411303424 is out of its range"},
		{"raw", new(string), "raw: cannot decode bytes into string"},
		{"orders", new([]struct{ Price int }), "orders[0].price: cannot decode float into int: 2.5 is no whole number"},
		{"orders", new(map[string]int), "orders: cannot decode list into map[string]int"},
		{"orders", new([1]any), "orders: cannot decode list into [1]interface {}: it has 2 items"},
	} {
		err := res.Decode(c.name, c.target)
		var decodeError *pyexec.DecodeError
		require.ErrorAs(t, err, &decodeError)
		assert.EqualError(t, err, c.text)
	}
	assert.Error(t, res.Decode("big", nil))
	assert.Error(t, res.Decode("big", 3))
}

type ownUUID [16]byte

type money struct{ text string }

func (m *money) UnmarshalText(b []byte) error { m.text = string(b); return nil }

func TestDecodeOfExactTypes(t *testing.T) {
	ex := open(t, pyexec.Config{})
	needs(t, ex, "pandas")
	res := run(t, ex, `from decimal import Decimal
from fractions import Fraction
from uuid import UUID
from pathlib import Path
from datetime import *
import collections, enum
d, d3, tenth, nan, far = Decimal("2.50"), Decimal("3.0"), Decimal("0.1"), Decimal("NaN"), Decimal("1E+999999")
f, third = Fraction(3, 2), Fraction(1, 3)
u, p, c = UUID(int=1), Path("/a/b"), 1 + 2j
day, at, utc, clock = date(2024, 2, 29), datetime(2024, 2, 29, 12), datetime(2024, 2, 29, 12, tzinfo=timezone.utc), time(12)
delta, long = timedelta(seconds=2), timedelta(days=200000)
P = collections.namedtuple("P", "x y")
pt = P(1, 2)
pts = {"a": [pt]}
import numpy as np, pandas as pd
a = np.arange(6.0).reshape(2, 3)
v = np.array([1, 300], "i2")
times = np.array(["2024-02-29T00:00:00.000000001", "NaT"], "M8[ns]")
deltas = np.array([1, 1000], "m8[ns]")
frame = pd.DataFrame({"name": ["ada", None], "n": pd.array([1, None], "Int64"), "x": [1.5, 2.0]})
series = frame["x"]
`)
	var (
		s     string
		n     int
		x     float64
		r     big.Rat
		own   ownUUID
		m     money
		c64   complex64
		when  time.Time
		pair  [2]int
		asMap map[string]int
		rows  [][]float32
		b     []int8
		times []*pyexec.DateTime
		spans []time.Duration
	)
	for _, c := range []struct {
		name   string
		target any
		want   any
	}{
		{"d", &s, "2.50"}, {"d", &x, 2.5}, {"d3", &n, 3}, {"tenth", &r, *big.NewRat(1, 10)}, {"d", &m, money{"2.50"}}, {"nan", &s, "NaN"},
		{"f", &x, 1.5}, {"third", &r, *big.NewRat(1, 3)}, {"u", &own, ownUUID{15: 1}}, {"u", &s, "00000000-0000-0000-0000-000000000001"},
		{"p", &s, "/a/b"}, {"c", &c64, complex64(1 + 2i)}, {"day", &s, "2024-02-29"}, {"at", &s, "2024-02-29T12:00:00"},
		{"utc", &when, time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)}, {"utc", &s, "2024-02-29T12:00:00Z"}, {"clock", &m, money{"12:00:00"}},
		{"pt", &pair, [2]int{1, 2}}, {"pt", &asMap, map[string]int{"x": 1, "y": 2}}, {"a", &rows, [][]float32{{0, 1, 2}, {3, 4, 5}}},
		{"series", &rows, nil},
		{"times", &times, []*pyexec.DateTime{{Year: 2024, Month: 2, Day: 29, Nanosecond: 1}, nil}},
		{"deltas", &spans, []time.Duration{1, 1000}},
	} {
		err := res.Decode(c.name, c.target)
		if c.want == nil {
			require.Error(t, err, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		assert.EqualValues(t, c.want, indirect(c.target), c.name)
	}
	for name, c := range map[string]struct {
		target any
		text   string
	}{
		"d":     {&n, "d: cannot decode Decimal into int: 5/2 is no whole number"},
		"tenth": {&x, "tenth: cannot decode Decimal into float64: 1/10 is no number of binary digits that it keeps: decode it into a string or a pyexec.Decimal"},
		"nan":   {&x, "nan: cannot decode Decimal into float64: NaN: not a decimal number"},
		"far":   {&r, "far: cannot decode Decimal into big.Rat: 1E+999999: the exponent is too large to be written out"},
		"third": {&x, "third: cannot decode Fraction into float64: 1/3 is no number of binary digits that it keeps: decode it into a string or a big.Rat"},
		"at":    {&when, "at: cannot decode datetime into time.Time: it is in no time zone, so it is no point in time: decode it into a pyexec type, and use In"},
		"delta": {&n, "delta: cannot decode timedelta into int"},
		"long":  {new(time.Duration), "long: cannot decode timedelta into time.Duration: it is longer than 292 years"},
		"pts":   {new(map[string][]struct{ X, Y int8 }), ""},
		"v":     {&b, "v[1]: cannot decode int into int8: 300 is out of its range"},
		"a":     {new([]float64), "a[0]: cannot decode list into float64"},
		"u":     {&n, "u: cannot decode UUID into int"},
	} {
		err := res.Decode(name, c.target)
		if c.text == "" {
			require.NoError(t, err)
			continue
		}
		assert.EqualError(t, err, c.text)
	}

	type row struct {
		Name *string
		N    *int
		X    float32
	}
	var byRow []row
	require.NoError(t, res.Decode("frame", &byRow))
	ada, one := "ada", 1
	assert.Equal(t, []row{{&ada, &one, 1.5}, {nil, nil, 2}}, byRow)
	var byColumn struct{ X []float64 }
	require.NoError(t, res.Decode("frame", &byColumn))
	assert.Equal(t, []float64{1.5, 2}, byColumn.X)
	var xs []float64
	require.NoError(t, res.Decode("series", &xs))
	assert.Equal(t, []float64{1.5, 2}, xs)
	var frame pyexec.DataFrame
	require.NoError(t, res.Decode("frame", &frame))
	column, ok := frame.Column("n")
	assert.True(t, ok)
	assert.Equal(t, []any{int64(1), nil}, column.Values)
	assert.EqualError(t, res.Decode("frame", new([]struct{ N int })), "frame[1].n: cannot decode None into int")
}

func indirect(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *int:
		return *p
	case *float64:
		return *p
	case *big.Rat:
		return *p
	case *ownUUID:
		return *p
	case *money:
		return *p
	case *complex64:
		return *p
	case *time.Time:
		return *p
	case *[2]int:
		return *p
	case *map[string]int:
		return *p
	case *[][]float32:
		return *p
	case *[]*pyexec.DateTime:
		return *p
	case *[]time.Duration:
		return *p
	}
	panic(p)
}

func TestInto(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, "total = 3\nitems = [{'price': 1.5}]\naddr = '::1'\nunused = 1")
	var all struct {
		Total int `json:"total"`
		Items []struct{ Price float64 }
		Addr  netip.Addr
		Kept  string
	}
	all.Kept = "kept"
	require.NoError(t, res.Into(&all))
	assert.Equal(t, 3, all.Total)
	assert.Equal(t, 1.5, all.Items[0].Price)
	assert.Equal(t, netip.MustParseAddr("::1"), all.Addr)
	assert.Equal(t, "kept", all.Kept)
	assert.EqualError(t, res.Into(&struct{ Items []struct{ Price int } }{}), "items[0].price: cannot decode float into int: 1.5 is no whole number")
	var m map[string]any
	require.NoError(t, res.Into(&m))
	assert.Equal(t, res.Vars(), m)
	assert.Error(t, res.Into(all))
	assert.Error(t, res.Into(&[]int{}))
	assert.Error(t, res.Into(nil))
}

// What Python would have to round, or cannot hold, does not go in, and the error says which part it is.
func TestInputErrors(t *testing.T) {
	ex := open(t, pyexec.Config{})
	type part struct {
		F  func()    `json:"f"`
		At time.Time `json:"at"`
	}
	fine := time.Unix(0, 1).UTC()
	for _, c := range []struct {
		in   any
		text string
	}{
		{[]any{1, map[string]any{"f": func() {}}}, `pyexec: variable "v[1].f": func() has no Python form`},
		{map[int]part{7: {}}, `pyexec: variable "v[7].f": func() has no Python form`},
		{[]time.Time{fine}, `pyexec: variable "v[0]": it has parts of a microsecond, which Python cannot keep: truncate it, as in t.Truncate(time.Microsecond)`},
		{time.Duration(1), `pyexec: variable "v": it has parts of a microsecond, which Python cannot keep: truncate it, as in t.Truncate(time.Microsecond)`},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), `pyexec: variable "v": it is not within Python's years, 1 to 9999`},
		{pyexec.Date{}, `pyexec: variable "v": it is not within Python's years, 1 to 9999`},
		{pyexec.Date{Year: 2023, Month: 2, Day: 29}, `pyexec: variable "v": a date or time is out of Python's range: years 1 to 9999`},
		{pyexec.Decimal("1_0"), `pyexec: variable "v": "1_0" is no decimal number`},
		{pyexec.Decimal("1e9999999999999999999"), `pyexec: variable "v": "1e9999999999999999999" is no decimal number`},
		{pyexec.Decimal("1e999999999999999999"), ""},
		{pyexec.Decimal("1e1000000000000000000"), `pyexec: variable "v": it is no decimal number, or its exponent is too large for Python's`},
		{pyexec.TimeOfDay{Zone: "+1"}, `pyexec: variable "v": zone "+1" is neither a name nor an offset like +01:00`},
		{pyexec.TimeOfDay{Zone: "Nowhere/There"}, `pyexec: variable "v": Python's zoneinfo does not know its time zone: the operating system's tzdata, or the Python package tzdata, must be installed`},
		{pyexec.Path("a\x00"), `pyexec: variable "v": it is no path: there is a NUL byte in it`},
		{pyexec.Array{Data: []string{"a"}}, `pyexec: variable "v": an Array cannot have Data of type []string`},
		{pyexec.Array{Data: []int{1}, Shape: []int{2}}, `pyexec: variable "v": shape [2] does not hold 1 items`},
		{pyexec.Array{Data: []int{}, Shape: []int{0, -1}}, `pyexec: variable "v": shape [0 -1] has a negative length`},
		{pyexec.MemoryView{Data: []complex64{1}}, `pyexec: variable "v": a memoryview cannot have items of that kind`},
		{pyexec.DataFrame{}, `pyexec: variable "v": pandas objects come out, but do not go in: pass the columns, as slices or pyexec.Arrays`},
	} {
		_, err := ex.Execute(ctx, "1", pyexec.Vars{"v": c.in})
		if c.text == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, c.text)
		var input *pyexec.InputError
		require.ErrorAs(t, err, &input)
		assert.Equal(t, "v", input.Name)
	}
	shared := []any{1}
	for range 64 { // two to the power of 64 items, written out
		shared = []any{shared, shared}
	}
	_, err := ex.Execute(ctx, "1", pyexec.Vars{"v": shared})
	require.ErrorIs(t, err, pyexec.ErrTooLarge)
}
