package pyexec_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// A typeRow is a line of the table of types in README.md, which is made of these, and what the line promises as cases.
type typeRow struct {
	in, python, out string
	import_         string     // what the expressions of the cases need
	same            string     // how v, the variable, and w, what it should be, are compared; empty: ==, and the types
	both            []typeCase // Go value, Python expression, Go value
	from            []typeCase // Python expression, Go value
}

type typeCase struct {
	in   any
	expr string
	out  any
}

type celsius float64

type point struct {
	X     int `cbor:"x"`
	Name  string
	Opt   *int    `json:"opt"`
	Empty string  `json:"empty,omitempty"`
	When  *string `json:"-"`
	hidden
}

type hidden struct {
	Deep  []int `json:"deep"`
	where int
}

type upper struct{ s string }

func (u *upper) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(u.s)), nil }

func berlin() *time.Location {
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err) // a system without tzdata
	}
	return loc
}

func bigInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		panic(s)
	}
	return n
}

var (
	huge   = new(big.Int).Lsh(big.NewInt(1), 4000)
	uuid   = pyexec.UUID{0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78}
	noon   = time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)
	cet    = time.FixedZone("CET", 3600)
	east   = time.FixedZone("", -(5*3600 + 30*60))
	null   *point
	sameNP = "type(v) is type(w) and v.dtype == w.dtype and v.shape == w.shape and (v == w).all()"
)

func naive(y int, m time.Month, d, h, mi, s, us int) pyexec.DateTime {
	return pyexec.DateTime{Year: y, Month: m, Day: d, Hour: h, Minute: mi, Second: s, Nanosecond: us * 1000}
}

func array(data any, shape ...int) pyexec.Array { return pyexec.Array{Shape: shape, Data: data} }

var typeRows = []typeRow{
	{
		in: "`nil`; nil pointer, map, slice", python: "`None`", out: "`nil`",
		both: []typeCase{{nil, "None", nil}, {null, "None", nil}, {[]int(nil), "None", nil}, {map[string]int(nil), "None", nil}},
	},
	{
		in: "`bool`", python: "`bool`", out: "`bool`",
		both: []typeCase{{true, "True", true}, {false, "False", false}},
	},
	{
		in: "any integer type, `big.Int`", python: "`int`", out: "`int64`; `*big.Int` if it does not fit",
		both: []typeCase{
			{0, "0", int64(0)}, {-1, "-1", int64(-1)}, {int8(-128), "-128", int64(-128)}, {uint16(65535), "65535", int64(65535)},
			{int64(math.MaxInt64), "2**63 - 1", int64(math.MaxInt64)}, {int64(math.MinInt64), "-2**63", int64(math.MinInt64)},
			{uint64(math.MaxUint64), "2**64 - 1", bigInt("0xffffffffffffffff")},
			{bigInt("-0x8000000000000001"), "-2**63 - 1", bigInt("-0x8000000000000001")},
			{bigInt("-0x10000000000000000"), "-2**64", bigInt("-0x10000000000000000")},
			{bigInt("-0x10000000000000001"), "-2**64 - 1", bigInt("-0x10000000000000001")},
			{huge, "1 << 4000", huge}, {new(big.Int).Neg(huge), "-(1 << 4000)", new(big.Int).Neg(huge)}, {*big.NewInt(7), "7", int64(7)},
			{time.March, "3", int64(3)},
		},
	},
	{
		in: "`float32`, `float64`", python: "`float`", out: "`float64`; NaN, infinities and -0.0 too",
		both: []typeCase{
			{1.5, "1.5", 1.5}, {math.Inf(-1), "float('-inf')", math.Inf(-1)}, {float32(0.25), "0.25", 0.25}, {celsius(36.6), "36.6", 36.6},
			{math.SmallestNonzeroFloat64, "5e-324", math.SmallestNonzeroFloat64}, {2.0, "2.0", 2.0},
		},
	},
	{
		in: "`complex64`, `complex128`", python: "`complex`", out: "`complex128`",
		both: []typeCase{{complex(1, -2.5), "1-2.5j", complex(1, -2.5)}, {complex64(complex(0, 1)), "1j", complex(0, 1)}},
		from: []typeCase{{nil, "type('C', (complex,), {})(2)", complex(2, 0)}},
	},
	{
		in: "`string`", python: "`str`", out: "`string`",
		both: []typeCase{{"", "''", ""}, {"h\x00éllo 😀", `'h\x00\xe9llo \U0001f600'`, "h\x00éllo 😀"}},
	},
	{
		in: "`encoding.TextMarshaler`", python: "`str`", out: "`string`",
		both: []typeCase{
			{netip.MustParseAddr("::1"), "'::1'", "::1"}, {&upper{"a"}, "'A'", "A"},
			{[]upper{{"a"}}, "['A']", []any{"A"}},
			{map[netip.Addr]int{netip.MustParseAddr("10.0.0.1"): 1}, "{'10.0.0.1': 1}", map[string]any{"10.0.0.1": int64(1)}},
		},
	},
	{
		in: "`[]byte`, arrays of bytes", python: "`bytes`", out: "`[]byte`",
		both: []typeCase{{[]byte{0, 255}, `b'\x00\xff'`, []byte{0, 255}}, {[2]byte{1, 2}, `b'\x01\x02'`, []byte{1, 2}}},
	},
	{
		python: "`bytearray`", out: "`[]byte`",
		from: []typeCase{{nil, "bytearray(b'ab')", []byte("ab")}},
	},
	{
		in: "slice, array", python: "`list`", out: "`[]any`",
		both: []typeCase{
			{[]any{1, "a", nil}, "[1, 'a', None]", []any{int64(1), "a", nil}}, {[]string{"a"}, "['a']", []any{"a"}},
			{[2]int{1, 2}, "[1, 2]", []any{int64(1), int64(2)}}, {[]float64{1}, "[1.0]", []any{1.0}}, {[]*int{nil}, "[None]", []any{nil}},
			{[][]int8{{1}, nil}, "[[1], None]", []any{[]any{int64(1)}, nil}}, {[]any{}, "[]", []any{}},
		},
	},
	{
		in: "`pyexec.Tuple`", python: "`tuple`", out: "`pyexec.Tuple`",
		both: []typeCase{{pyexec.Tuple{1, pyexec.Tuple{}}, "(1, ())", pyexec.Tuple{int64(1), pyexec.Tuple{}}}},
	},
	{
		in: "`pyexec.Set`, `pyexec.FrozenSet`", python: "`set`, `frozenset`", out: "`pyexec.Set`, `pyexec.FrozenSet`",
		both: []typeCase{
			{pyexec.Set{1}, "{1}", pyexec.Set{int64(1)}}, {pyexec.Set(nil), "set()", pyexec.Set{}},
			{pyexec.FrozenSet{"x"}, "frozenset({'x'})", pyexec.FrozenSet{"x"}},
			{[]any{pyexec.Set{1}, []pyexec.Tuple{{2}}}, "[{1}, [(2,)]]", []any{pyexec.Set{int64(1)}, []any{pyexec.Tuple{int64(2)}}}},
		},
	},
	{
		in: "map", python: "`dict`", out: "`map[string]any` if all keys are `str`, else `pyexec.Dict`",
		both: []typeCase{
			{map[string]any{"a": map[string]any{}}, "{'a': {}}", map[string]any{"a": map[string]any{}}},
			{map[string]int{"a": 1}, "{'a': 1}", map[string]any{"a": int64(1)}},
			{map[int]string{1: "a"}, "{1: 'a'}", pyexec.Dict{{Key: int64(1), Value: "a"}}},
			{map[celsius]bool{1.5: true}, "{1.5: True}", pyexec.Dict{{Key: 1.5, Value: true}}},
			{map[pyexec.Date]any{{Year: 2024, Month: 2, Day: 29}: pyexec.Decimal("1")}, "{date(2024, 2, 29): Decimal(1)}",
				pyexec.Dict{{Key: pyexec.Date{Year: 2024, Month: 2, Day: 29}, Value: pyexec.Decimal("1")}}},
		},
	},
	{
		in: "`pyexec.Dict`", python: "`dict`, in that order", out: "as a map; asked for, a `pyexec.Dict`",
		same: "list(v.items()) == list(w.items())",
		both: []typeCase{{pyexec.Dict{{Key: pyexec.Tuple{1}, Value: 2}, {Key: nil, Value: 3}}, "{(1,): 2, None: 3}",
			pyexec.Dict{{Key: pyexec.Tuple{int64(1)}, Value: int64(2)}, {Key: nil, Value: int64(3)}}}},
	},
	{
		in: "struct, by its `cbor` or `json` tags", python: "`dict`, in the order of the fields", out: "`map[string]any`",
		same: "list(v.items()) == list(w.items())",
		both: []typeCase{{point{X: 1, Name: "n", hidden: hidden{where: 1, Deep: []int{1}}}, "{'x': 1, 'Name': 'n', 'opt': None, 'deep': [1]}",
			map[string]any{"x": int64(1), "Name": "n", "opt": nil, "deep": []any{int64(1)}}}},
	},
	{
		in: "pointer, interface", python: "what it points to", out: "",
		both: []typeCase{{&[]any{new(int)}, "[0]", []any{int64(0)}}},
	},
	{
		python: "dataclass", out: "as a `dict` of its fields",
		import_: "from dataclasses import dataclass, field, InitVar\nfrom typing import ClassVar\n" +
			"@dataclass\nclass P:\n    x: int\n    y: list = field(default_factory=list)\n    k: ClassVar[int] = 3\n    i: InitVar[int] = 0\n    c: int = field(init=False, default=7)\n" +
			"@dataclass(slots=True)\nclass Q(P):\n    z: object = None",
		from: []typeCase{
			{nil, "P(1)", map[string]any{"x": int64(1), "y": []any{}, "c": int64(7)}},
			{nil, "Q(1, z=P(2))", map[string]any{"x": int64(1), "y": []any{}, "c": int64(7), "z": map[string]any{"x": int64(2), "y": []any{}, "c": int64(7)}}},
		},
	},
	{
		python: "namedtuple", out: "as a `dict` of its fields; asked for, a slice or array",
		import_: "import collections, typing\nP = collections.namedtuple('P', 'x y')\nclass Q(typing.NamedTuple):\n    a: int",
		from: []typeCase{
			{nil, "P(1, Q(2))", map[string]any{"x": int64(1), "y": map[string]any{"a": int64(2)}}},
			{nil, "__import__('time').struct_time(range(9))", pyexec.Tuple{int64(0), int64(1), int64(2), int64(3), int64(4), int64(5), int64(6), int64(7), int64(8)}},
		},
	},
	{
		python: "`enum.Enum`", out: "its value's form",
		import_: "import enum\nclass E(enum.Enum):\n    A = 'a'\n    B = (1, 2)\nclass F(enum.IntFlag):\n    R = 1\n    W = 2",
		from:    []typeCase{{nil, "E.A", "a"}, {nil, "E.B", pyexec.Tuple{int64(1), int64(2)}}, {nil, "F.R | F.W", int64(3)}},
	},
	{
		python: "instance of a subclass of a built-in type", out: "as that type",
		import_: "import collections\nclass I(int): pass\nclass S(str): pass",
		from:    []typeCase{{nil, "[I(3), S('s')]", []any{int64(3), "s"}}, {nil, "collections.Counter('a')", map[string]any{"a": int64(1)}}},
	},
	{
		in: "`time.Time`", python: "`datetime.datetime` in a time zone", out: "`time.Time`; of a zone of `zoneinfo`, in that location",
		same: "v == w and v.utcoffset() == w.utcoffset() and v.fold == w.fold and type(v.tzinfo) is type(w.tzinfo) and v.tzname() == w.tzname()",
		both: []typeCase{
			{noon, "datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)", noon},
			{noon.In(cet), "datetime(2024, 2, 29, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1), 'CET'))", noon.In(cet)},
			{noon.In(east), "datetime(2024, 2, 29, 6, 30, 0, 123456, tzinfo=timezone(timedelta(hours=-5.5)))", noon.In(east)},
			{noon.In(berlin()), "datetime(2024, 2, 29, 13, 0, 0, 123456, tzinfo=ZoneInfo('Europe/Berlin'))", noon.In(berlin())},
			{time.Date(2024, 10, 27, 0, 30, 0, 0, time.UTC).In(berlin()), "datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo('Europe/Berlin'))",
				time.Date(2024, 10, 27, 0, 30, 0, 0, time.UTC).In(berlin())},
			{time.Date(2024, 10, 27, 1, 30, 0, 0, time.UTC).In(berlin()), "datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo('Europe/Berlin'))",
				time.Date(2024, 10, 27, 1, 30, 0, 0, time.UTC).In(berlin())},
			{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), "datetime(1, 1, 1, tzinfo=timezone.utc)", time.Time{}},
		},
	},
	{
		in: "`pyexec.DateTime`", python: "`datetime.datetime` in none", out: "`pyexec.DateTime`",
		same: "v == w and v.fold == w.fold",
		both: []typeCase{
			{naive(2024, 2, 29, 12, 30, 1, 5), "datetime(2024, 2, 29, 12, 30, 1, 5)", naive(2024, 2, 29, 12, 30, 1, 5)},
			{pyexec.DateTime{Year: 9999, Month: 12, Day: 31, Fold: 1}, "datetime(9999, 12, 31, fold=1)", pyexec.DateTime{Year: 9999, Month: 12, Day: 31, Fold: 1}},
		},
	},
	{
		in: "`pyexec.Date`", python: "`datetime.date`", out: "`pyexec.Date`",
		both: []typeCase{{pyexec.Date{Year: 2024, Month: 2, Day: 29}, "date(2024, 2, 29)", pyexec.Date{Year: 2024, Month: 2, Day: 29}},
			{pyexec.Date{Year: 1, Month: 1, Day: 1}, "date.min", pyexec.Date{Year: 1, Month: 1, Day: 1}}},
	},
	{
		in: "`pyexec.TimeOfDay`", python: "`datetime.time`", out: "`pyexec.TimeOfDay`",
		same: "v == w and v.fold == w.fold and v.tzname() == w.tzname()",
		both: []typeCase{
			{pyexec.TimeOfDay{Hour: 23, Nanosecond: 1000, Fold: 1}, "time(23, 0, 0, 1, fold=1)", pyexec.TimeOfDay{Hour: 23, Nanosecond: 1000, Fold: 1}},
			{pyexec.TimeOfDay{Zone: "UTC"}, "time(0, tzinfo=timezone.utc)", pyexec.TimeOfDay{Zone: "UTC"}},
			{pyexec.TimeOfDay{Zone: "-05:30 X Y"}, "time(0, tzinfo=timezone(-timedelta(hours=5.5), 'X Y'))", pyexec.TimeOfDay{Zone: "-05:30 X Y"}},
			{pyexec.TimeOfDay{Zone: "+00:00:01"}, "time(0, tzinfo=timezone(timedelta(seconds=1)))", pyexec.TimeOfDay{Zone: "+00:00:01"}},
			{pyexec.TimeOfDay{Zone: "Europe/Berlin"}, "time(0, tzinfo=ZoneInfo('Europe/Berlin'))", pyexec.TimeOfDay{Zone: "Europe/Berlin"}},
		},
	},
	{
		in: "`time.Duration`, `pyexec.TimeDelta`", python: "`datetime.timedelta`", out: "`time.Duration`; `pyexec.TimeDelta` if it does not fit",
		both: []typeCase{
			{-1500 * time.Millisecond, "timedelta(seconds=-1.5)", -1500 * time.Millisecond}, {time.Duration(0), "timedelta()", time.Duration(0)},
			{48 * time.Hour, "timedelta(2)", 48 * time.Hour},
			{pyexec.TimeDelta{Days: 999999999, Seconds: 86399, Microseconds: 999999}, "timedelta.max", pyexec.TimeDelta{Days: 999999999, Seconds: 86399, Microseconds: 999999}},
			{pyexec.TimeDelta{Days: -999999999}, "timedelta.min", pyexec.TimeDelta{Days: -999999999}},
			{pyexec.TimeDelta{Days: 1, Seconds: -1}, "timedelta(1, -1)", 24*time.Hour - time.Second},
		},
	},
	{
		in: "`pyexec.Decimal`", python: "`decimal.Decimal`", out: "`pyexec.Decimal`, its exact text; asked for, a `big.Rat` or a number that is as exact",
		same: "repr(v) == repr(w) and type(v) is type(w)",
		both: []typeCase{
			{pyexec.Decimal("1.10"), "Decimal('1.10')", pyexec.Decimal("1.10")}, {pyexec.Decimal("-0E+3"), "Decimal('-0E+3')", pyexec.Decimal("-0E+3")},
			{pyexec.Decimal("1e-999999"), "Decimal('1E-999999')", pyexec.Decimal("1E-999999")}, {pyexec.Decimal("-sNaN123"), "Decimal('-sNaN123')", pyexec.Decimal("-sNaN123")},
			{pyexec.Decimal("inf"), "Decimal('Infinity')", pyexec.Decimal("Infinity")},
			{pyexec.Decimal(strings.Repeat("9", 1000)), "Decimal('9' * 1000)", pyexec.Decimal(strings.Repeat("9", 1000))},
		},
	},
	{
		in: "`big.Rat`", python: "`fractions.Fraction`", out: "`*big.Rat`",
		both: []typeCase{{big.NewRat(-6, 4), "Fraction(-3, 2)", big.NewRat(-3, 2)}, {*big.NewRat(5, 1), "Fraction(5)", big.NewRat(5, 1)},
			{new(big.Rat).SetFrac(huge, big.NewInt(3)), "Fraction(1 << 4000, 3)", new(big.Rat).SetFrac(huge, big.NewInt(3))}},
	},
	{
		in: "`pyexec.UUID`", python: "`uuid.UUID`", out: "`pyexec.UUID`",
		both: []typeCase{{uuid, "UUID('12345678123456781234567812345678')", uuid}, {pyexec.UUID{}, "UUID(int=0)", pyexec.UUID{}}},
		from: []typeCase{{nil, "UUID(int=2**128 - 1)", pyexec.UUID([]byte(strings.Repeat("\xff", 16)))}},
	},
	{
		in: "`pyexec.Path`", python: "`pathlib.Path`, `PurePosixPath`", out: "`pyexec.Path`",
		same: "v == w and hash(v) == hash(w) and type(v) is type(w) and str(v) == str(w) and v.parts == w.parts and v / 'x' == w / 'x'",
		both: []typeCase{
			{pyexec.Path("/a/./b//c/"), "Path('/a/b/c')", pyexec.Path("/a/b/c")}, {pyexec.Path(""), "Path()", pyexec.Path(".")},
			{pyexec.Path("//a"), "Path('//a')", pyexec.Path("//a")}, {pyexec.Path("///a/../é"), "Path('/a/../é')", pyexec.Path("/a/../é")},
			{pyexec.Path("/"), "Path('/')", pyexec.Path("/")}, {pyexec.Path("//"), "Path('//')", pyexec.Path("//")}, {pyexec.Path("a"), "Path('a')", pyexec.Path("a")},
		},
		from: []typeCase{{nil, "PurePosixPath('a', '/b', './c', 'd') / 'e'", pyexec.Path("/b/c/d/e")}, {nil, "[Path('x/y'), Path('x//y').parent]", []any{pyexec.Path("x/y"), pyexec.Path("x")}}},
	},
	{
		in: "`pyexec.Array`", python: "`numpy.ndarray`", out: "`pyexec.Array`: a slice of the dtype's type, and the shape; asked for, slices",
		import_: "import numpy as np", same: sameNP,
		both: []typeCase{
			{array([]float64{1, math.Inf(1)}), "np.array([1, np.inf])", array([]float64{1, math.Inf(1)}, 2)},
			{array([]float32{1.5}), "np.array([1.5], 'f4')", array([]float32{1.5}, 1)},
			{array([]int8{-1}), "np.array([-1], 'i1')", array([]int8{-1}, 1)}, {array([]uint8{255}), "np.array([255], 'u1')", array([]uint8{255}, 1)},
			{array([]int16{-1}), "np.array([-1], 'i2')", array([]int16{-1}, 1)}, {array([]uint16{1}), "np.array([1], 'u2')", array([]uint16{1}, 1)},
			{array([]int32{-1}), "np.array([-1], 'i4')", array([]int32{-1}, 1)}, {array([]uint32{1}), "np.array([1], 'u4')", array([]uint32{1}, 1)},
			{array([]int64{math.MinInt64}), "np.array([-2**63])", array([]int64{math.MinInt64}, 1)}, {array([]int{1}), "np.array([1])", array([]int64{1}, 1)},
			{array([]uint64{math.MaxUint64}), "np.array([2**64 - 1], 'u8')", array([]uint64{math.MaxUint64}, 1)},
			{array([]bool{true, false}), "np.array([True, False])", array([]bool{true, false}, 2)},
			{array([]complex128{1i}), "np.array([1j])", array([]complex128{1i}, 1)}, {array([]complex64{2}), "np.array([2], 'c8')", array([]complex64{2}, 1)},
			{array([]float64{}), "np.array([])", array([]float64{}, 0)}, {array([]int64{7}, 1, 1), "np.array([[7]])", array([]int64{7}, 1, 1)},
			{array([]int64{1, 2, 3, 4, 5, 6}, 3, 2), "np.array([[1, 2], [3, 4], [5, 6]])", array([]int64{1, 2, 3, 4, 5, 6}, 3, 2)},
			{array([]float64{}, 0, 3), "np.zeros((0, 3))", array([]float64{}, 0, 3)},
			{array([]any{1, "a", nil}), "np.array([1, 'a', None], object)", array([]any{int64(1), "a", nil}, 3)},
		},
		from: []typeCase{
			{nil, "np.arange(6).reshape(2, 3).T", array([]int64{0, 3, 1, 4, 2, 5}, 3, 2)},
			{nil, "np.asfortranarray(np.arange(6.).reshape(2, 3))", array([]float64{0, 1, 2, 3, 4, 5}, 2, 3)},
			{nil, "np.arange(10, dtype='i2')[::-3]", array([]int16{9, 6, 3, 0}, 4)},
			{nil, "np.array(3.5)", pyexec.Array{Shape: []int{}, Data: []float64{3.5}}},
			{nil, "np.broadcast_to(np.array([1, 2], 'u1'), (2, 2))", array([]uint8{1, 2, 1, 2}, 2, 2)},
			{nil, "np.array([1, 2], '>i4')", array([]int32{1, 2}, 2)}, {nil, "np.array([1.5], '>f8')", array([]float64{1.5}, 1)},
			{nil, "np.array([1+2j], '>c16')", array([]complex128{1 + 2i}, 1)},
			{nil, "np.array([1.5, -0.0, 65504, 2**-24], 'f2')", array([]float32{1.5, float32(math.Copysign(0, -1)), 65504, 1.0 / (1 << 24)}, 4)},
			{nil, "np.array(['a', 'é\\0b', ''])", array([]any{"a", "é\x00b", ""}, 3)}, {nil, "np.array([b'ab', b''])", array([]any{[]byte("ab"), []byte{}}, 2)},
			{nil, "np.array(['2024-02-29T12', 'NaT', '1969-12-31T23'], 'M8[ns]')", array([]any{naive(2024, 2, 29, 12, 0, 0, 0), nil, naive(1969, 12, 31, 23, 0, 0, 0)}, 3)},
			{nil, "np.array([['0001-01-01', '-0001-03-01']], 'M8[D]')", array([]any{naive(1, 1, 1, 0, 0, 0, 0), naive(-1, 3, 1, 0, 0, 0, 0)}, 1, 2)},
			{nil, "np.array([1, -1, 'NaT'], 'm8[ms]')[::2]", array([]any{time.Millisecond, nil}, 2)},
		},
	},
	{
		python: "numpy scalars", out: "as the Python type they stand for; `datetime64`: `pyexec.DateTime`, `timedelta64`: `time.Duration`",
		import_: "import numpy as np",
		from: []typeCase{
			{nil, "[np.float64(.5), np.float32(.5), np.float16(.5), np.int8(-1), np.uint64(2**64 - 1), np.bool_(True), np.str_('s'), np.bytes_(b'b')]",
				[]any{.5, .5, .5, int64(-1), bigInt("0xffffffffffffffff"), true, "s", []byte("b")}},
			{nil, "[np.complex64(1j), np.complex128(2), np.int64(-2**63), np.uint8(255), np.longlong(5)]", []any{1i, complex(2, 0), int64(math.MinInt64), int64(255), int64(5)}},
			{nil, "[np.datetime64('2024-02-29'), np.datetime64('NaT', 's'), np.timedelta64(-1, 'us'), np.timedelta64(10**6, 'D')]",
				[]any{naive(2024, 2, 29, 0, 0, 0, 0), nil, -time.Microsecond, pyexec.TimeDelta{Days: 1_000_000}}},
		},
	},
	{
		in: "`pyexec.MemoryView`", python: "`memoryview`, which can be written to", out: "`pyexec.Array`",
		same: "v.format == w.format and v.shape == w.shape and v.tolist() == w.tolist() and not v.readonly",
		both: []typeCase{
			{pyexec.MemoryView{Data: []float64{1, 2}}, "memoryview(array('d', [1, 2]))", array([]float64{1, 2}, 2)},
			{pyexec.MemoryView{Data: []int16{1, -2}, Shape: []int{2, 1}}, "memoryview(bytearray(b'\\1\\0\\xfe\\xff')).cast('h', (2, 1))", array([]int16{1, -2}, 2, 1)},
			{pyexec.MemoryView{Data: []byte{}}, "memoryview(bytearray())", array([]byte{}, 0)},
			{pyexec.MemoryView{Data: []bool{true}}, "memoryview(bytearray(b'\\1')).cast('?')", array([]bool{true}, 1)},
		},
		from: []typeCase{{nil, "memoryview(b'abcd')[::2]", array([]byte("ac"), 2)}},
	},
	{
		python: "`array.array`", out: "`pyexec.Array`",
		from: []typeCase{{nil, "array('i', [1, 2])", array([]int32{1, 2}, 2)}},
	},
	{
		python: "`pandas.Series`, `Index`", out: "`pyexec.Series`; asked for, a slice; an index is a `pyexec.Array`",
		import_: "import pandas as pd, numpy as np",
		from: []typeCase{
			{nil, "pd.Series([1.5, None], name='p')", pyexec.Series{Name: "p", Index: []int64{0, 1}, Values: []any{1.5, "NaN"}}},
			{nil, "pd.Series([1, None], index=['a', 'b'], dtype='Int64')", pyexec.Series{Index: []any{"a", "b"}, Values: []any{int64(1), nil}}},
			{nil, "pd.Series(['x', 'y', None, 'x'], dtype='category')[1:]", pyexec.Series{Index: []int64{1, 2, 3}, Values: []any{"y", nil, "x"}}},
			{nil, "pd.Series(['x', None], dtype='string')", pyexec.Series{Index: []int64{0, 1}, Values: []any{"x", nil}}},
			{nil, "pd.Series(pd.to_datetime(['2024-02-29', None]))", pyexec.Series{Index: []int64{0, 1}, Values: []any{naive(2024, 2, 29, 0, 0, 0, 0), nil}}},
			{nil, "pd.Series(pd.to_datetime(['2024-02-29'], utc=True))", pyexec.Series{Index: []int64{0}, Values: []any{time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)}}},
			{nil, "pd.Series(pd.to_timedelta(['1s']), index=[2.5])", pyexec.Series{Index: []float64{2.5}, Values: []any{time.Second}}},
			{nil, "pd.Series([1, 2, 3])[::-1]", pyexec.Series{Index: []int64{2, 1, 0}, Values: []int64{3, 2, 1}}},
			{nil, "pd.Index(['a'])", array([]any{"a"}, 1)},
			{nil, "[pd.NaT, pd.NA, pd.Timestamp('2024-02-29T00:00:00.123456789')]", []any{nil, nil, pyexec.DateTime{Year: 2024, Month: 2, Day: 29, Nanosecond: 123456789}}},
		},
	},
	{
		python: "`pandas.DataFrame`", out: "`pyexec.DataFrame`; asked for, rows (a slice of structs or maps) or columns (a struct or map of slices)",
		import_: "import pandas as pd, numpy as np",
		from: []typeCase{
			{nil, "pd.DataFrame({'a': [1, 2], 's': ['x', None], 'b': [3, 4], 't': pd.to_datetime(['2024-02-29', None])})", pyexec.DataFrame{
				Index: []int64{0, 1},
				Columns: []pyexec.Series{
					{Name: "a", Index: []int64{0, 1}, Values: []int64{1, 2}}, {Name: "s", Index: []int64{0, 1}, Values: []any{"x", nil}},
					{Name: "b", Index: []int64{0, 1}, Values: []int64{3, 4}}, {Name: "t", Index: []int64{0, 1}, Values: []any{naive(2024, 2, 29, 0, 0, 0, 0), nil}},
				},
			}},
			{nil, "pd.DataFrame(index=pd.Index([], dtype=object))", pyexec.DataFrame{Index: []any{}, Columns: []pyexec.Series{}}},
		},
	},
}

// modules are there for all expressions.
const typeModules = `from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from uuid import UUID
from zoneinfo import ZoneInfo
from array import array
`

// needs skips what is about a module that this Python does not have.
func needs(t *testing.T, ex *pyexec.Executor, module string) {
	t.Helper()
	if run(t, ex, "import importlib.util\nimportlib.util.find_spec('"+module+"') is None").Value == true {
		t.Skip("this Python has no " + module)
	}
}

// needsInstalled is the same before there is an Executor. make test installs numpy where a distribution has it; a Python of
// somebody's own need not have it.
func needsInstalled(t *testing.T, module string) {
	t.Helper()
	ex, err := pyexec.New(pyexec.Config{Isolation: pyexec.Process, Workers: 1}) // loads nothing into this process
	require.NoError(t, err)
	defer ex.Close()
	needs(t, ex, module)
}

// needsAllOf are the modules of others that code imports.
func needsAllOf(t *testing.T, ex *pyexec.Executor, code string) {
	t.Helper()
	for _, module := range []string{"numpy", "pandas"} {
		if strings.Contains(code, "import "+module) {
			needs(t, ex, module)
		}
	}
}

func TestTypes(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for _, row := range typeRows {
		same := row.same
		if same == "" {
			same = "v == w and type(v) is type(w)"
		}
		for _, c := range row.both {
			t.Run(fmt.Sprintf("%s %.40s", row.python, c.expr), func(t *testing.T) {
				needsAllOf(t, ex, row.import_)
				code := typeModules + row.import_ + "\nw = " + c.expr + "\nsame = bool(" + same + ")"
				res, err := ex.Run(ctx, pyexec.Snippet{Code: code, Vars: pyexec.Vars{"v": c.in}, Want: []string{"same", "v", "w"}})
				require.NoError(t, err)
				require.Empty(t, res.Skipped())
				assert.Equal(t, true, res.Vars()["same"])
				checkForm(t, res, "v", c.out)
				checkForm(t, res, "w", c.out)
			})
		}
		for _, c := range row.from {
			t.Run(fmt.Sprintf("%s %.40s", row.python, c.expr), func(t *testing.T) {
				needsAllOf(t, ex, row.import_)
				res, err := ex.Run(ctx, pyexec.Snippet{Code: typeModules + row.import_ + "\nw = " + c.expr, Want: []string{"w"}})
				require.NoError(t, err)
				require.Empty(t, res.Skipped())
				checkForm(t, res, "w", c.out)
			})
		}
	}
}

// checkForm looks at a variable decoded as any, and as the type that it then has.
func checkForm(t *testing.T, res *pyexec.Result, name string, want any) {
	t.Helper()
	if s, ok := want.(pyexec.Series); ok && fmt.Sprint(s.Values) == "[1.5 NaN]" { // which equals nothing
		got := res.Vars()[name].(pyexec.Series)
		require.Equal(t, "[1.5 NaN]", fmt.Sprint(got.Values))
		return
	}
	assert.Equal(t, want, res.Vars()[name])
	var decoded any
	require.NoError(t, res.Decode(name, &decoded))
	assert.Equal(t, want, decoded)
}

func TestDocumentHasTheTypes(t *testing.T) {
	var table strings.Builder
	table.WriteString("| Go, in `Vars` | Python | Go, out of `Result.Vars` and `Value` |\n|---|---|---|\n")
	for _, r := range typeRows {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", r.in, r.python, r.out)
	}
	generated(t, "README.md", "types", table.String())
}

type byPointer struct{ A int }

func (p *byPointer) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "text %d", p.A), nil }

// What has an address is encoded by its pointer's methods, as by encoding/json, wherever it is.
func TestMarshalTextOfPointers(t *testing.T) {
	type outer struct {
		In    byPointer
		Array [1]byPointer
		Slice []byPointer
		Map   map[string]byPointer
		Big   big.Float
	}
	v := outer{byPointer{1}, [1]byPointer{{2}}, []byPointer{{3}}, map[string]byPointer{"k": {4}}, *big.NewFloat(1.5)}
	for _, v := range []any{&v, []outer{v}, [1]outer{v}, v} {
		ex := open(t, pyexec.Config{})
		got, err := ex.Run(ctx, pyexec.Snippet{Code: "import json; json.dumps(v)", Vars: pyexec.Vars{"v": v}})
		require.NoError(t, err)
		want, err := json.Marshal(v)
		require.NoError(t, err)
		assert.JSONEq(t, string(want), got.Value.(string))
		require.NoError(t, ex.Close())
	}
}
