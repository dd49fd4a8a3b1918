package pyexec

import (
	"reflect"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// A formula such as `price * (1 + rate)` is over before anybody could leave it behind: its byte code shows that. So a call
// of it that has a deadline, or can be cancelled, stays on its caller's goroutine as one that has none does. Handing it to
// another would cost as much again as running it, and more where the Go scheduler wakes an idle thread for it.

const (
	briefVars = 16  // at most so many variables
	briefText = 256 // and bytes of each of their strings
)

// briefs remembers which code is brief, by its hash. Two of which the lower bits are the same drive each other out.
type briefs [256]struct {
	hash uint64
	kind engine.Brief
}

func (b *briefs) note(hash uint64, kind engine.Brief) {
	if kind != engine.NotBrief {
		e := &b[hash%uint64(len(b))]
		e.hash, e.kind = hash, kind
	}
}

func (b *briefs) kind(hash uint64) engine.Brief {
	if e := &b[hash%uint64(len(b))]; e.hash == hash {
		return e.kind
	}
	return engine.NotBrief
}

// isBrief says whether the slot's call will be over in no time. A reset that keeps something may have kept a trace function.
func (e *Executor) isBrief(w *slot, s *Snippet) bool {
	if e.config.Reset != ResetAll || len(e.config.Keep) > 0 || w.call.Host != nil || len(s.Vars) > briefVars {
		return false
	}
	kind := w.briefs.kind(w.call.Hash)
	if kind == engine.NotBrief {
		return false
	}
	for _, v := range s.Vars {
		if !isShort(v, kind == engine.BriefWithText) {
			return false
		}
	}
	return true
}

// isShort says whether v is a number, or a short string where that will do.
func isShort(v any, text bool) bool {
	switch v := v.(type) {
	case nil, bool, int, int64, float64:
		return true
	case string:
		return text && len(v) <= briefText
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Uint, reflect.Float32:
		return reflect.TypeOf(v).PkgPath() == "" // or it may say itself what it is in Python
	}
	return false
}
