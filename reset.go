package pyexec

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-pyexec/pyexec/internal/wire"
)

// ResetMode says what is put back after each call.
type ResetMode uint8

const (
	// ResetAll puts back everything in the reset table (RESET.md): the next snippet cannot tell that another ran.
	ResetAll ResetMode = iota
	// ResetNone puts back nothing: snippets have fresh namespaces and share all other interpreter state. For trusted
	// code that means to share it, and for measuring what a reset costs.
	ResetNone
)

// A Change is a piece of interpreter state that a snippet had changed, and that was put back if Undone says so.
type Change struct {
	// State is the row of the reset table, like "sys.path".
	State string
	// Before and After show the state as it was and as the snippet left it, as text.
	Before, After string
	// Diff has what was added ("+/fake"), taken away ("-/usr/lib") or given another value ("~HOME=/tmp"), as far as that
	// can be told item by item. Empty if items only changed places, or if the whole object was replaced by another.
	Diff []string
	// Undone says that the state was put back. If not, the interpreter was tainted and is recycled.
	Undone bool
}

// String is the change on one line, like "sys.path: +/fake1".
func (c Change) String() string {
	if len(c.Diff) > 0 {
		return c.State + ": " + strings.Join(c.Diff, " ")
	}
	if c.Before == c.After {
		return c.State + ": replaced by another object"
	}
	return c.State + ": " + c.Before + " -> " + c.After
}

func decodeChanges(b []byte) ([]Change, error) {
	var all []Change
	err := wire.Sequence(b, func(item []byte) error {
		v, err := wire.Value(item)
		if err != nil {
			return err
		}
		parts, ok := v.([]any)
		if !ok || len(parts) != 4 {
			return wire.ErrMalformed
		}
		c := Change{Before: show(parts[2]), After: show(parts[3]), Diff: diff(parts[2], parts[3])}
		c.State, _ = parts[0].(string)
		c.Undone, _ = parts[1].(bool)
		all = append(all, c)
		return nil
	})
	return all, err
}

// show is a state as text: the kernel sends lists and dicts of texts, or one text, or nothing.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "(deleted)"
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = fmt.Sprintf("%q", x)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for key, x := range v {
			if x != nil {
				parts = append(parts, fmt.Sprintf("%q: %q", key, x))
			}
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func diff(before, after any) []string {
	switch before := before.(type) {
	case []any:
		if after, ok := after.([]any); ok {
			return append(signed("-", minus(before, after)), signed("+", minus(after, before))...)
		}
	case map[string]any:
		if after, ok := after.(map[string]any); ok {
			return diffMaps(before, after)
		}
	}
	return nil
}

// minus is the items of a that are not in b, counting repeats.
func minus(a, b []any) []any {
	rest := slices.Clone(b)
	var out []any
	for _, x := range a {
		if i := slices.Index(rest, x); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			out = append(out, x)
		}
	}
	return out
}

func signed(sign string, items []any) []string {
	out := make([]string, len(items))
	for i, x := range items {
		out[i] = sign + quote(fmt.Sprint(x))
	}
	return out
}

// quote leaves a text as it is unless its ends could not be told.
func quote(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func diffMaps(before, after map[string]any) []string {
	var out []string
	for key, was := range before {
		is, there := after[key]
		switch {
		case was == nil && is != nil:
			out = append(out, "+"+quote(fmt.Sprint(key, "=", is)))
		case !there || is == nil:
			out = append(out, "-"+quote(key))
		case was != is:
			out = append(out, "~"+quote(fmt.Sprint(key, "=", is)))
		}
	}
	sort.Strings(out)
	return out
}
