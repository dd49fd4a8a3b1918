package pyexec_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"

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

func TestValuesBothWays(t *testing.T) {
	ex := open(t, pyexec.Config{})
	huge := new(big.Int).Lsh(big.NewInt(1), 4000)
	type point struct {
		X    int `cbor:"x"`
		Name string
		Opt  *int `json:"opt"`
	}
	for _, c := range []struct {
		in     any
		python string // its repr
		out    any
	}{
		{nil, "None", nil},
		{true, "True", true},
		{false, "False", false},
		{0, "0", int64(0)},
		{-1, "-1", int64(-1)},
		{int8(-128), "-128", int64(-128)},
		{uint16(65535), "65535", int64(65535)},
		{int64(math.MaxInt64), "9223372036854775807", int64(math.MaxInt64)},
		{int64(math.MinInt64), "-9223372036854775808", int64(math.MinInt64)},
		{uint64(math.MaxUint64), "18446744073709551615", new(big.Int).SetUint64(math.MaxUint64)},
		{new(big.Int).Lsh(big.NewInt(-1), 64), "-18446744073709551616", new(big.Int).Lsh(big.NewInt(-1), 64)},
		{new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(-1), 63), big.NewInt(1)), "-9223372036854775809",
			new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(-1), 63), big.NewInt(1))},
		{huge, "1 << 4000", huge},
		{new(big.Int).Neg(huge), "-(1 << 4000)", new(big.Int).Neg(huge)},
		{1.5, "1.5", 1.5},
		{math.Inf(-1), "float('-inf')", math.Inf(-1)},
		{float32(0.25), "0.25", 0.25},
		{"", "''", ""},
		{"h\x00éllo 😀", `'h\x00\xe9llo \U0001f600'`, "h\x00éllo 😀"},
		{[]byte{0, 255}, `b'\x00\xff'`, []byte{0, 255}},
		{[]any{1, "a", nil}, "[1, 'a', None]", []any{int64(1), "a", nil}},
		{[]string{"a"}, "['a']", []any{"a"}},
		{[2]int{1, 2}, "[1, 2]", []any{int64(1), int64(2)}},
		{pyexec.Tuple{1, pyexec.Tuple{}}, "(1, ())", pyexec.Tuple{int64(1), pyexec.Tuple{}}},
		{pyexec.Set{1}, "{1}", pyexec.Set{int64(1)}},
		{pyexec.Set(nil), "set()", pyexec.Set{}},
		{pyexec.FrozenSet{"x"}, "frozenset({'x'})", pyexec.FrozenSet{"x"}},
		{map[string]any{"a": map[string]any{}}, "{'a': {}}", map[string]any{"a": map[string]any{}}},
		{map[string]int{"a": 1}, "{'a': 1}", map[string]any{"a": int64(1)}},
		{map[int]string{1: "a"}, "{1: 'a'}", pyexec.Dict{{Key: int64(1), Value: "a"}}},
		{pyexec.Dict{{Key: pyexec.Tuple{1}, Value: 2}, {Key: nil, Value: 3}}, "{(1,): 2, None: 3}",
			pyexec.Dict{{Key: pyexec.Tuple{int64(1)}, Value: int64(2)}, {Key: nil, Value: int64(3)}}},
		{point{X: 1, Name: "n"}, "{'x': 1, 'Name': 'n', 'opt': None}", map[string]any{"x": int64(1), "Name": "n", "opt": nil}},
		{[]any{pyexec.Set{1}, []pyexec.Tuple{{2}}}, "[{1}, [(2,)]]", []any{pyexec.Set{int64(1)}, []any{pyexec.Tuple{int64(2)}}}},
	} {
		t.Run(fmt.Sprintf("%T %.30s", c.in, c.python), func(t *testing.T) {
			res, err := ex.Execute(ctx, "same = v == "+c.python+" and type(v) is type("+c.python+")", pyexec.Vars{"v": c.in})
			require.NoError(t, err)
			assert.Equal(t, true, res.Vars()["same"])
			assert.Equal(t, c.out, res.Vars()["v"])
			var decoded any
			require.NoError(t, res.Decode("v", &decoded))
			assert.Equal(t, c.out, decoded)
		})
	}
	t.Run("NaN and -0.0", func(t *testing.T) {
		res, err := ex.Execute(ctx, "import math\nok = math.isnan(n) and math.copysign(1, z) == -1", pyexec.Vars{"n": math.NaN(), "z": math.Copysign(0, -1)})
		require.NoError(t, err)
		assert.Equal(t, true, res.Vars()["ok"])
		assert.True(t, math.IsNaN(res.Vars()["n"].(float64)))
		assert.True(t, math.Signbit(res.Vars()["z"].(float64)))
	})
	t.Run("subclasses come back as what they derive from", func(t *testing.T) {
		res := run(t, ex, "import collections\nclass I(int): pass\nclass S(str): pass\na = I(3)\nb = S('s')\nc = collections.Counter('aab')\nd = collections.namedtuple('P', 'x')(1)\ne = bytearray(b'b')")
		v := res.Vars()
		assert.Equal(t, []any{int64(3), "s", map[string]any{"a": int64(2), "b": int64(1)}, pyexec.Tuple{int64(1)}, []byte("b")},
			[]any{v["a"], v["b"], v["c"], v["d"], v["e"]})
	})
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
