package wire

import (
	"encoding/binary"
	"math"
	"reflect"
)

// plainSlice decodes lists of the usual types without reflection, up to the first item that is not just of that type. done
// is false if there is one, or if v is another slice: nothing has been read then.
func (d *decoder) plainSlice(v reflect.Value, info byte, n uint64) (done bool, err error) {
	if info == indefinite || n > uint64(len(d.b)) {
		return false, nil
	}
	switch s := v.Addr().Interface().(type) {
	case *[]float64:
		return plain(d, s, n, (*reader).plainFloat), nil
	case *[]int:
		return plain(d, s, n, (*reader).plainInt), nil
	case *[]int64:
		return plain(d, s, n, (*reader).plainInt64), nil
	case *[]string:
		return plain(d, s, n, (*reader).plainText), nil
	}
	return false, nil
}

func plain[T any](d *decoder, to *[]T, n uint64, item func(*reader) (T, bool)) bool {
	start := d.b
	s := make([]T, n)
	for i := range s {
		var ok bool
		if s[i], ok = item(&d.reader); !ok {
			d.b = start
			return false
		}
	}
	*to = s
	return true
}

func (r *reader) plainFloat() (float64, bool) {
	if len(r.b) < 9 || r.b[0] != float64Head {
		return 0, false
	}
	f := math.Float64frombits(binary.BigEndian.Uint64(r.b[1:]))
	r.b = r.b[9:]
	return f, true
}

func (r *reader) plainInt64() (int64, bool) {
	major, _, n, err := r.head()
	if err != nil || major > majorNegative || n > math.MaxInt64 {
		return 0, false
	}
	if major == majorNegative {
		return -1 - int64(n), true
	}
	return int64(n), true
}

func (r *reader) plainInt() (int, bool) {
	n, ok := r.plainInt64()
	return int(n), ok && int64(int(n)) == n
}

func (r *reader) plainText() (string, bool) {
	s, err := r.textBytes()
	return string(s), err == nil
}
