package wire

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadCall(t *testing.T) {
	c, err := ReadCall([]byte("\x82\x82\x01\x61a\xa1\x61k\x81\x02"))
	require.NoError(t, err)
	assert.Equal(t, Call{Positional: [][]byte{{1}, []byte("\x61a")}, Keywords: []byte("\xa1\x61k\x81\x02"), Names: []string{"k"}}, c)
	for _, bad := range []string{"", "\x81\x80", "\x82", "\x82\x80", "\x82\xa0\xa0", "\x82\x80\x80", "\x82\x81", "\x82\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x82\x80\xa1\x01\x01", "\x82\x80\xa1\x61k"} {
		_, err := ReadCall([]byte(bad))
		assert.ErrorIs(t, err, ErrMalformed, "%x", bad)
	}
}

func FuzzReadCall(f *testing.F) {
	f.Add([]byte("\x82\x82\x01\x61a\xa1\x61k\x81\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ReadCall(b)
		if err != nil {
			return
		}
		for _, item := range c.Positional {
			var v any
			_ = Into(item, "argument", &v)
		}
		var m map[string]any
		if err := Into(c.Keywords, "keyword", &m); err == nil {
			assert.LessOrEqual(t, len(m), len(c.Names))
		}
	})
}

func TestHasField(t *testing.T) {
	type inner struct{ Deep int }
	type s struct {
		inner
		A int `json:"a"`
		B int `cbor:"-"`
	}
	for name, want := range map[string]bool{"a": true, "A": true, "Deep": true, "deep": true, "B": false, "b": false, "inner": false, "": false} {
		assert.Equal(t, want, HasField(reflect.TypeFor[s](), name), name)
	}
}
