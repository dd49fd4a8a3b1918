package wire

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	in := map[string]any{
		"nil": nil, "bool": true, "int": int64(-7), "big": new(big.Int).Lsh(big.NewInt(-3), 90), "float": 2.5,
		"inf": math.Inf(1), "text": "h\x00é", "bytes": []byte{0, 255}, "list": []any{int64(1), []any{}},
		"tuple": Tuple{"a"}, "set": Set{int64(1)}, "frozen": FrozenSet{}, "map": map[string]any{"k": nil},
		"dict": Dict{{Key: int64(1), Value: "a"}, {Key: Tuple{int64(2)}, Value: nil}},
	}
	b, err := AppendVars(nil, in, 100, 1<<30)
	require.NoError(t, err)
	out, err := Value(b)
	require.NoError(t, err)
	assert.Equal(t, in, out)
}

func TestMalformedIsAnError(t *testing.T) {
	for _, b := range [][]byte{
		nil, {0x18}, {0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x9b, 0x7f, 0, 0, 0, 0, 0, 0, 0}, {0x62, 'a'},
		{0x61, 0xff}, {0xa1, 0x61, 'a'}, {0x9f, 1}, {0xc2, 1}, {0xd9, 1, 2, 1}, {0xf8, 1}, {0xff}, {0x1c}, {0xbf, 0x61, 'a', 0xff},
	} {
		_, err := Value(b)
		assert.Error(t, err, "% x", b)
		assert.Error(t, Into(b, "x", new(any)), "% x", b)
		assert.Error(t, Into(b, "x", new(map[string][]int)), "% x", b)
	}
	deep := make([]byte, 1_000_000)
	for i := range deep {
		deep[i] = 0x81
	}
	_, err := Value(deep)
	assert.ErrorIs(t, err, ErrTooDeep)
}

// Found by FuzzDecode: dicts whose last key shows that they are no map[string]any, in each other, took twice as long for
// each level.
func TestNestedDictsTakeLinearTime(t *testing.T) {
	var v any = int64(0)
	for range 900 {
		v = Dict{{Key: "k", Value: v}, {Key: int64(1), Value: nil}}
	}
	b, err := AppendVars(nil, map[string]any{"v": v}, 1000, 1<<30)
	require.NoError(t, err)
	out, err := Value(b)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"v": v}, out)
}

// Whatever the bytes, decoding ends, without a panic, and in both forms alike.
func FuzzDecode(f *testing.F) {
	seed, err := AppendVars(nil, map[string]any{"a": []any{Tuple{1}, Set{2.5}, "x"}, "b": Dict{{Key: 1, Value: nil}}}, 10, 1<<30)
	require.NoError(f, err)
	f.Add(seed)
	f.Add([]byte{0xbf, 0x61, 'a', 0x9f, 1, 2, 0xff, 0xff})
	f.Add([]byte{0xd9, 0xed, 0xe5, 0x81, 0xf6})
	for _, v := range []any{
		Decimal("1.5"), big.NewRat(1, 3), 1i, UUID{}, Path("a"), Date{2024, 2, 29}, TimeOfDay{Zone: "+01:00 X"}, time.Time{}, DateTime{Year: 1},
		time.Second, TimeDelta{Days: 1 << 20}, Array{Data: []float64{1}}, Array{Data: []complex64{1}}, Array{Data: []bool{true}, Shape: []int{1, 1}},
		Array{Data: []any{nil}},
	} {
		b, err := AppendVars(nil, map[string]any{"a": v}, 10, 1<<20)
		require.NoError(f, err)
		f.Add(b)
	}
	ints := "\xd8\x4f\x48\x01\x00\x00\x00\x00\x00\x00\x00"
	for _, s := range []string{
		"\xd9\xed\xf0\x82\x62ns" + ints, "\xd9\xed\xf1\x82\x61D\x01", "\xd9\xed\xf7\xd9\xed\xf0\x82\x61D" + ints, // times of numpy
		"\xd9\xed\xf3\x83\xf6" + ints + ints, "\xd9\xed\xf4\x83" + ints + ints + "\x81" + ints, // Series, DataFrame
		"\xd9\xed\xf5\x82" + ints + ints, "\xd9\xed\xf6\x82" + ints + "\xd9\xed\xee\x41\x01", "\xd9\xed\xec\xa1\x61x\x01",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Value(b)
		var into any
		assert.Equal(t, err == nil, Into(b, "x", &into) == nil)
		if err == nil && into != nil {
			assert.IsType(t, v, into)
		}
		_ = Into(b, "x", new(struct {
			A []int             `cbor:"a"`
			B map[string]string `json:"b"`
			C *big.Int
		}))
		_ = Into(b, "x", new(map[any]any))
		_ = Into(b, "x", new([][2]float32))
		_ = Into(b, "x", new([]struct{ A any }))
		_ = Into(b, "x", new([]*time.Time))
		_ = Into(b, "x", new(string))
		_ = Into(b, "x", new(float64))
		_ = VarsInto(b, new(map[string]any))
		_, _ = Vars(b)
		_, _, _ = Find(b, "a")
		_ = Sequence(b, func([]byte) error { return nil })
	})
}
