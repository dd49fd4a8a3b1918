package pyexec_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// ---- Go to Python and back ----

// generator makes values, in the forms in which they come out of Python, of bytes that the fuzzer thinks up.
type generator struct {
	b []byte
	n int // values made so far
}

func (g *generator) byte() byte {
	if len(g.b) == 0 {
		return 0
	}
	c := g.b[0]
	g.b = g.b[1:]
	return c
}

func (g *generator) int(n int) int { return int(g.byte()) % n }

func (g *generator) uint64() uint64 {
	var b [8]byte
	copy(b[:], g.take(8))
	return binary.LittleEndian.Uint64(b[:])
}

func (g *generator) take(n int) []byte {
	n = min(n, len(g.b))
	s := g.b[:n]
	g.b = g.b[n:]
	return append([]byte{}, s...)
}

func (g *generator) text() string { return strings.ToValidUTF8(string(g.take(g.int(20))), "é") }

func (g *generator) big() *big.Int {
	n := new(big.Int).SetBytes(g.take(g.int(40)))
	if g.byte()&1 == 1 {
		n.Neg(n)
	}
	return n
}

// scalar is hashable in Python.
func (g *generator) scalar() any {
	switch g.int(17) {
	case 0:
		return nil
	case 1:
		return g.byte()&1 == 1
	case 2:
		return int64(g.uint64())
	case 3:
		if n := g.big(); !n.IsInt64() {
			return n
		}
		return int64(g.byte())
	case 4:
		return math.Float64frombits(g.uint64())
	case 5, 6:
		return g.text()
	case 7:
		return g.take(g.int(20))
	case 8:
		return complex(math.Float64frombits(g.uint64()), math.Float64frombits(g.uint64()))
	case 9:
		return g.decimal()
	case 10:
		d := g.big()
		return new(big.Rat).SetFrac(g.big(), d.Add(d.Abs(d), big.NewInt(1)))
	case 11:
		return pyexec.UUID(append(g.take(16), make([]byte, 16)...)[:16])
	case 12:
		return pyexec.Path("/" + strings.Trim(strings.ReplaceAll(strings.ReplaceAll(g.text(), "\x00", ""), "/", "x"), ".") + "x")
	case 13:
		return pyexec.Date{Year: 1 + int(g.uint64()%9999), Month: time.Month(1 + g.int(12)), Day: 1 + g.int(28)}
	case 14:
		return pyexec.TimeOfDay{Hour: g.int(24), Minute: g.int(60), Second: g.int(60), Nanosecond: int(g.uint64()%1e6) * 1000, Fold: g.int(2),
			Zone: []string{"", "UTC", "+01:00", "-00:00:01 X"}[g.int(4)]}
	case 15:
		us := int64(g.uint64()) / 1000
		if g.int(4) > 0 {
			return time.Duration(us) * time.Microsecond
		}
		return pyexec.TimeDelta{Days: 110000 + int(g.uint64()%999_000_000), Seconds: int(g.uint64() % 86400), Microseconds: int(g.uint64() % 1e6)}
	}
	return g.moment()
}

func (g *generator) decimal() pyexec.Decimal {
	sign := []string{"", "-"}[g.int(2)]
	switch g.int(4) {
	case 0:
		return pyexec.Decimal(sign + []string{"Infinity", "NaN", "sNaN", "NaN7"}[g.int(4)])
	case 1: // the text that Python gives a number with a positive exponent
		return pyexec.Decimal(fmt.Sprintf("%s%dE+%d", sign, g.int(10), 1+g.uint64()%1e17))
	}
	return pyexec.Decimal(fmt.Sprintf("%s%d.%d", sign, g.uint64(), g.uint64()%1000))
}

func (g *generator) moment() any {
	// not where Go and Python may know a zone by different data: the future, and before the zone's first rule
	t := time.Unix(int64(g.uint64()%1_700_000_000), int64(g.uint64()%1e6)*1000)
	switch g.int(4) {
	case 0:
		return t.UTC()
	case 1:
		return t.In(time.FixedZone([]string{"", "X"}[g.int(2)], g.int(86400)+1))
	case 2:
		return t.In(berlin())
	}
	t = t.UTC()
	return pyexec.DateTime{Year: t.Year(), Month: t.Month(), Day: t.Day(), Hour: t.Hour(), Second: t.Second(), Nanosecond: t.Nanosecond(), Fold: g.int(2)}
}

func (g *generator) value(depth int) any {
	g.n++
	if depth == 0 || g.n > 200 {
		return g.scalar()
	}
	switch g.int(12) {
	case 0, 1:
		return g.items(depth)
	case 2:
		return pyexec.Tuple(g.items(depth))
	case 3:
		m := map[string]any{}
		for range g.int(4) {
			m[g.text()] = g.value(depth - 1)
		}
		return m
	case 4: // keys that are all different, and not all str
		d := pyexec.Dict{{Key: nil, Value: g.value(depth - 1)}}
		for i := range g.int(4) {
			d = append(d, pyexec.Item{Key: []any{int64(i), fmt.Sprint(i), []byte{byte(i)}, pyexec.Tuple{int64(i)}}[g.int(4)], Value: g.value(depth - 1)})
		}
		return d
	case 5:
		return pyexec.Set{g.text()}
	case 6:
		return pyexec.FrozenSet{int64(g.uint64())}
	}
	return g.scalar()
}

func (g *generator) items(depth int) []any {
	all := []any{}
	for range g.int(5) {
		all = append(all, g.value(depth-1))
	}
	return all
}

// same compares what == and reflect.DeepEqual do not: NaNs, zeroes and numbers by what they are, times by what clocks show.
func same(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && (math.Float64bits(a) == math.Float64bits(b) || (a != a && b != b))
	case complex128:
		b, ok := b.(complex128)
		return ok && same(real(a), real(b)) && same(imag(a), imag(b))
	case *big.Rat:
		b, ok := b.(*big.Rat)
		return ok && a.Cmp(b) == 0
	case time.Time:
		b, ok := b.(time.Time)
		nameA, offsetA := a.Zone()
		nameB, offsetB := b.Zone()
		return ok && a.Equal(b) && nameA == nameB && offsetA == offsetB && a.Location().String() == b.Location().String()
	case map[string]any:
		b, ok := b.(map[string]any)
		for k, v := range a {
			if w, there := b[k]; !there || !same(v, w) {
				return false
			}
		}
		return ok && len(a) == len(b)
	case pyexec.Dict:
		b, ok := b.(pyexec.Dict)
		for i := range a {
			if i >= len(b) || !same(a[i].Key, b[i].Key) || !same(a[i].Value, b[i].Value) {
				return false
			}
		}
		return ok && len(a) == len(b)
	case []any:
		b, ok := b.([]any)
		return ok && sameItems(a, b)
	case pyexec.Tuple:
		b, ok := b.(pyexec.Tuple)
		return ok && sameItems(a, b)
	}
	return reflect.DeepEqual(a, b)
}

func sameItems(a, b []any) bool {
	for i := range a {
		if i >= len(b) || !same(a[i], b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// openFuzz keeps one Executor for all the inputs of a fuzz test.
func openFuzz(f *testing.F) *pyexec.Executor {
	ex, err := pyexec.New(pyexec.Config{MaxOutput: 1 << 10})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, ex.Close()) })
	return ex
}

func FuzzGoValues(f *testing.F) {
	ex := openFuzz(f)
	for kind := range byte(17) {
		f.Add([]byte{11, kind, 3, 7, 200, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	}
	f.Add([]byte{0, 4, 2, 3, 11, 5, 9, 'a', 'b', 0xff, 4, 3, 1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		g := generator{b: b}
		v := g.value(4)
		res, err := ex.Execute(ctx, "w = [v]", pyexec.Vars{"v": v})
		require.NoError(t, err, "%#v", v)
		require.Empty(t, res.Skipped())
		vars := res.Vars()
		require.True(t, same(v, vars["v"]), "in  %#v\nout %#v", v, vars["v"])
		require.True(t, same([]any{v}, vars["w"]))
		var decoded any
		require.NoError(t, res.Decode("v", &decoded))
		require.True(t, same(v, decoded), "in  %#v\nout %#v", v, decoded)
	})
}

// ---- Python to Go and back ----

const pythonValues = `
import random, math
from datetime import *
from decimal import Decimal
from fractions import Fraction
from uuid import UUID
from pathlib import Path
from zoneinfo import ZoneInfo
def make(r, depth=4):
    scalars = [
        lambda: None, lambda: r.random() < .5, lambda: r.randrange(-2**70, 2**70), lambda: r.getrandbits(r.randrange(1, 300)),
        lambda: r.choice([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, r.uniform(-1e300, 1e300), float(r.randrange(100))]),
        lambda: "".join(chr(r.choice([0, 65, 233, 0x20ac, 0x1f600])) for _ in range(r.randrange(9))),
        lambda: r.randbytes(r.randrange(9)), lambda: complex(r.random(), -0.0),
        lambda: Decimal((r.randrange(2), tuple(r.randrange(10) for _ in range(r.randrange(1, 40))), r.randrange(-10**9, 10**9))),
        lambda: Decimal(r.choice(["NaN", "-sNaN12", "Infinity", "-0E-7", "0.0"])),
        lambda: Fraction(r.randrange(-2**80, 2**80), r.randrange(1, 2**80)), lambda: UUID(int=r.getrandbits(128)),
        lambda: Path(r.choice(["", "/", "//x", "a/b", "./a/../b", "/é"])), lambda: date.fromordinal(r.randrange(1, date.max.toordinal())),
        lambda: time(r.randrange(24), r.randrange(60), r.randrange(60), r.randrange(10**6), zone(r, False), fold=r.randrange(2)),
        lambda: datetime.fromordinal(r.randrange(1, date.max.toordinal())).replace(hour=r.randrange(24), microsecond=r.randrange(10**6), fold=r.randrange(2)),
        lambda: datetime(r.randrange(2, 9998), r.randrange(1, 13), r.randrange(1, 28), r.randrange(24), r.randrange(60), tzinfo=zone(r, False)),
        lambda: datetime(r.randrange(1971, 2024), r.randrange(1, 13), r.randrange(1, 28), r.randrange(4, 24), r.randrange(60), tzinfo=ZoneInfo(r.choice(["Europe/Berlin", "Asia/Kathmandu", "America/New_York"]))),
        lambda: timedelta(r.randrange(-999999999, 999999999), r.randrange(86400), r.randrange(10**6)), lambda: timedelta(microseconds=r.randrange(-10**15, 10**15)),
    ]
    if depth and r.random() < .5:
        kids = lambda: [make(r, depth - 1) for _ in range(r.randrange(5))]
        return r.choice([kids, lambda: tuple(kids()), lambda: {str(i): k for i, k in enumerate(kids())},
            lambda: {r.choice([i, str(i), (i, None), float(i) + .5, Decimal(i) / 8 + 1000]): k for i, k in enumerate(kids())},
            lambda: {r.randrange(99)}, lambda: frozenset([r.random()])])()
    return r.choice(scalars)()
def zone(r, named):
    return r.choice([None, timezone.utc, timezone(timedelta(seconds=r.randrange(1, 86400))), timezone(-timedelta(seconds=r.randrange(1, 86400)), r.choice(["X", "CET", "A/B c"]))])
def eq(a, b):
    if type(a) is not type(b): return False
    if isinstance(a, (list, tuple)): return len(a) == len(b) and all(map(eq, a, b))
    if isinstance(a, dict): return len(a) == len(b) and all(eq(x, y) for x, y in zip(sorted(a.items(), key=repr), sorted(b.items(), key=repr)))
    if isinstance(a, (datetime, time)) and a.tzinfo is not None: return a == b and a.utcoffset() == b.utcoffset() and str(a.tzinfo) == str(b.tzinfo)
    return repr(a) == repr(b)
v = make(random.Random(seed))
`

func FuzzPythonValues(f *testing.F) {
	ex := openFuzz(f)
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		res, err := ex.Run(ctx, pyexec.Snippet{Code: pythonValues, Vars: pyexec.Vars{"seed": seed}, Want: []string{"v"}})
		require.NoError(t, err)
		require.Empty(t, res.Skipped())
		back := pyexec.Vars{"seed": seed, "w": res.Vars()["v"]}
		res, err = ex.Run(ctx, pyexec.Snippet{Code: pythonValues + "same = eq(v, w)\ntext = repr(v) + chr(10) + repr(w)", Vars: back, Want: []string{"same", "text"}})
		require.NoError(t, err)
		vars := res.Vars()
		require.Equal(t, true, vars["same"], vars["text"])
	})
}

// ---- bytes that nobody has written ----

// Whatever is handed to the kernel as variables, the call ends, its result can be read, and the next call is well.
func FuzzKernelDecoder(f *testing.F) {
	ex := openFuzz(f)
	for _, item := range []string{
		"\xf6", "\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00", "\xf9\x7e\x00", "\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x9f\x01\x61a\xff", "\xbf\x61a\x41b\xff", "\xd9\xed\xe5\x81\x01", "\xd9\x01\x02\x81\x01", "\xd8\x1e\x82\x01\x02", "\xd8\x25\x50" + strings.Repeat("\x01", 16),
		"\xd9\xed\xe7\x631.5", "\xd9\xed\xe8\x62/a", "\xd9\x03\xec\x6a2024-02-29", "\xd9\xa7\xf8\x82\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00",
		"\xd9\xed\xe9\x89\x19\x07\xe8\x02\x03\x04\x05\x06\x00\x00\xf6", "\xd9\xed\xe9\x89\x19\x07\xe8\x02\x03\x04\x05\x06\x00\x00\x83\x19\x0e\x10\x61X\xf4",
		"\xd9\xed\xe9\x89\x19\x07\xe8\x02\x03\x04\x05\x06\x00\x00\x83\x19\x0e\x10\x6dEurope/Berlin\xf5", "\xd9\xed\xea\x86\x01\x02\x03\x00\x01\xf6", "\xd9\xed\xeb\x83\x20\x01\x02",
		"\xd8\x56\x48\x00\x00\x00\x00\x00\x00\xf8\x3f", "\xd8\x28\x82\x82\x01\x02\xd8\x40\x42\x01\x02", "\xd8\x28\x82\x81\x02\x82\x01\xf6", "\xd9\xed\xef\x48" + strings.Repeat("\x01", 8),
		"\xd9\xed\xf0\xd8\x56\x50" + strings.Repeat("\x00", 16), "\xd9\xed\xf2\xd8\x28\x82\x82\x01\x02\xd8\x40\x42\x01\x02", "\xd9\xed\xee\x42\x00\x01",
	} {
		f.Add([]byte("\xa1\x61v" + item))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		res, err := ex.RunRaw("w = [1]", b)
		if err == nil {
			for name := range res.Vars() {
				require.True(t, utf8.ValidString(name))
			}
			_ = res.Into(new(map[string]any))
		}
		res, err = ex.Execute(ctx, "n + 1", pyexec.Vars{"n": 1})
		require.NoError(t, err)
		require.Equal(t, int64(2), res.Value)
	})
}
