// Package wire carries values between Go and Python as CBOR (RFC 8949): what the C kernel writes is read here, and what
// is written here the kernel reads. Types that CBOR lacks have a tag; the numbers are in internal/kernel/values.h, too.
package wire

import "math/big"

// Major types and simple values of RFC 8949 section 3.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

const (
	simpleFalse = 0xf4
	simpleTrue  = 0xf5
	simpleNull  = 0xf6
	float64Head = 0xfb
	breakByte   = 0xff

	indefinite = 31
)

// values.h of the kernel says what is behind each tag.
const (
	tagBig         = 2
	tagNegativeBig = 3
	tagRational    = 30
	tagUUID        = 37
	tagShaped      = 40
	tagTyped       = 64
	tagSet         = 258
	tagDate        = 1004
	tagComplex     = 43000
	tagTuple       = 60901
	tagFrozenSet   = 60902
	tagDecimal     = 60903
	tagPath        = 60904
	tagDateTime    = 60905
	tagTime        = 60906
	tagDelta       = 60907
	tagRecord      = 60908
	tagBools       = 60910
	tagComplexes   = 60911
	tagInstants    = 60912
	tagDeltas      = 60913
	tagMemory      = 60914
	tagSeries      = 60915
	tagFrame       = 60916
	tagCategories  = 60917
	tagMasked      = 60918
	tagUTC         = 60919
)

// Tuple is a Python tuple.
type Tuple []any

// Set is a Python set, in no particular order.
type Set []any

// FrozenSet is a Python frozenset, in no particular order.
type FrozenSet []any

// Dict is a Python dict in insertion order. It is the form of a dict whose keys are not all str; one whose keys are is
// a map[string]any, unless a Dict is asked for.
type Dict []Item

// Item is one entry of a Dict.
type Item struct{ Key, Value any }

// Get returns the value of key. Integer keys are found as int or int64.
func (d Dict) Get(key any) (value any, ok bool) {
	if n, isInt := key.(int); isInt {
		key = int64(n)
	}
	for _, it := range d {
		if equalKey(it.Key, key) {
			return it.Value, true
		}
	}
	return nil, false
}

func equalKey(a, b any) bool {
	switch a := a.(type) {
	case nil, bool, int64, float64, string, complex128, Decimal, UUID, Path, Date, TimeOfDay, DateTime:
		return a == b
	case []byte:
		b, ok := b.([]byte)
		return ok && string(a) == string(b)
	case *big.Int:
		b, ok := b.(*big.Int)
		return ok && a.Cmp(b) == 0
	case Tuple:
		b, ok := b.(Tuple)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equalKey(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return false
}
