package pyexec

import (
	"fmt"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
	"github.com/go-pyexec/pyexec/internal/wire"
)

// Go forms of Python types that Go has no own form for. README.md has the table of all types.
type (
	// Tuple is a Python tuple: a []any.
	Tuple = wire.Tuple
	// Set is a Python set, in no particular order: a []any.
	Set = wire.Set
	// FrozenSet is a Python frozenset, in no particular order: a []any.
	FrozenSet = wire.FrozenSet
	// Dict is a Python dict in insertion order: an []Item, whose method Get(key) (value, ok) looks for one. Dicts whose keys
	// are all str are a map[string]any, unless a Dict is asked for.
	Dict = wire.Dict
	// Item is one entry of a Dict: its Key and its Value.
	Item = wire.Item
	// Decimal is a Python decimal.Decimal, exactly, in the text that Python's str gives it, such as "1.10" or "NaN". Two are
	// == if sign, digits and exponent are the same. Its methods Rat() (*big.Rat, error) and Parts() (negative, coefficient,
	// exponent, err) give numbers.
	Decimal = wire.Decimal
	// UUID is a Python uuid.UUID: a [16]byte, whose String is the usual text.
	UUID = wire.UUID
	// Path is a Python pathlib.Path: a string.
	Path = wire.Path
	// Date is a Python datetime.date: Year, Month (a time.Month) and Day, in no time zone.
	Date = wire.Date
	// TimeOfDay is a Python datetime.time: Hour, Minute, Second, Nanosecond (Python keeps microseconds), Fold, and Zone, which
	// is empty for none, else a name such as "Europe/Berlin", or an offset such as "+01:00".
	TimeOfDay = wire.TimeOfDay
	// DateTime is a Python datetime.datetime that is in no time zone: Year, Month, Day, Hour, Minute, Second, Nanosecond and
	// Fold. In(*time.Location) makes a time.Time of it. One that is in a zone is a time.Time.
	DateTime = wire.DateTime
	// TimeDelta is a Python datetime.timedelta, the sum of its Days, Seconds and Microseconds. One that fits comes out as a
	// time.Duration, which holds 292 years; either may go in.
	TimeDelta = wire.TimeDelta
	// Array is a numpy array, both ways: its Shape, a []int (nil: one dimension), and its Data, a slice of the dtype's type, row
	// by row, or an []any for objects, texts and times. It goes in as it lies in memory, and imports numpy.
	Array = wire.Array
	// MemoryView is a variable that becomes a Python memoryview of its own memory, which can be written to: Shape as an
	// Array has it, and Data, a slice of bool, an integer type, float32 or float64. It comes out as an Array.
	MemoryView = wire.MemoryView
	// Series is a pandas Series, on its way out: its Name, its Index, and its Values. The last two are slices, alike in length,
	// as the Data of an Array; nil where nothing is.
	Series = wire.Series
	// DataFrame is a pandas DataFrame, on its way out: its Columns, a []Series, in order, and the Index that they share. Its
	// method Column(name) (Series, bool) looks for one. Result.Decode fills slices of structs or maps from its rows, structs
	// or maps of slices from its columns.
	DataFrame = wire.DataFrame
)

// A Result is what came of a call. It holds no Python object, may be kept as long as one likes, and may be used by several
// goroutines at once, since nothing changes it.
type Result struct {
	// Value is the value of the snippet's last statement if that is an expression, as a notebook shows it; else nil.
	Value any
	// Stdout and Stderr are what the snippet wrote to sys.stdout and sys.stderr, up to Config.MaxOutput bytes each; empty
	// where the Snippet has a Writer.
	Stdout, Stderr string
	// StdoutTruncated and StderrTruncated say that there was more; what is kept then ends in CutMark.
	StdoutTruncated, StderrTruncated bool
	// Changes is what the snippet had changed in the interpreter and was put back, or was not (Change.Undone). With
	// ResetNone it is always empty.
	Changes []Change
	// Tainted says why the interpreter is recycled before the next call: something could not be put back. Usually empty.
	Tainted string
	// Duration is how long the call took, without waiting for its turn.
	Duration time.Duration

	foreign       bool   // the bytes came from a process that a snippet may have taken over
	vars, skipped []byte // encoded: most callers look at one variable, or at none
	small         [48]byte
}

// CutMark is at the end of a Result's Stdout or Stderr that went past Config.MaxOutput.
const CutMark = "\n[cut here: more than Config.MaxOutput]\n"

func captured(text []byte, cut bool) string {
	if cut {
		return string(text) + CutMark
	}
	return string(text)
}

// Skipped is a variable that did not come back.
type Skipped struct {
	Name   string // empty for the value of the last expression
	Type   string // its Python type; empty if it is not defined
	Reason string
}

func newResult(r *engine.Reply, s *Snippet, h *host) (*Result, error) {
	switch r.Status {
	case engine.BadInput:
		return nil, inputError(r.Error)
	case engine.OK, engine.Exception, engine.Exit:
	}
	if r.Plain && r.Status == engine.OK {
		res := &Result{}
		res.keep(r)
		return res, nil
	}
	res := &Result{
		Stdout:          captured(r.Stdout, r.StdoutCut),
		Stderr:          captured(r.Stderr, r.StderrCut),
		StdoutTruncated: r.StdoutCut,
		StderrTruncated: r.StderrCut,
		Tainted:         string(r.Taint),
	}
	res.keep(r)
	var err error
	if len(r.Value) > 0 {
		if res.Value, err = wire.Value(r.Value); err != nil {
			return nil, fmt.Errorf("pyexec: the interpreter's reply: %w", err)
		}
	}
	if len(r.Changes) > 0 {
		if res.Changes, err = decodeChanges(r.Changes); err != nil {
			return nil, fmt.Errorf("pyexec: the interpreter's reply: %w", err)
		}
	}
	switch r.Status {
	case engine.Exception:
		return res, pythonError(r.Error, s, h)
	case engine.Exit:
		return res, exitError(r.Error)
	case engine.OK, engine.BadInput:
	}
	return res, nil
}

// keep copies the bytes that are decoded later: the reply's are the worker's own.
func (r *Result) keep(reply *engine.Reply) {
	both := r.small[:]
	if n := len(reply.Vars) + len(reply.Skipped); n > len(both) {
		both = make([]byte, n)
	}
	at := copy(both, reply.Vars)
	r.vars, r.skipped = both[:at], both[at:at+copy(both[at:], reply.Skipped)]
}

// Vars returns the variables the snippet ended with, decoded: those it was given, made and did not delete, but no names
// like __this__. Each call decodes anew, so the caller may change the map.
func (r *Result) Vars() map[string]any {
	m, err := wire.Vars(r.vars)
	if err != nil && !r.foreign {
		panic("pyexec: the interpreter's reply: " + err.Error()) // a bug of pyexec: it wrote these bytes itself
	}
	return m
}

// Decode stores the variable name in the value that target points to. Structs are filled by cbor or json tags. It never
// loses anything silently: a value that does not fit gives a *DecodeError that says where, and a variable that is not
// there gives a *MissingError that says why.
func (r *Result) Decode(name string, target any) error {
	b, ok, err := wire.Find(r.vars, name)
	if err != nil {
		return fmt.Errorf("pyexec: the interpreter's reply: %w", err)
	}
	if !ok {
		return r.missing(name)
	}
	return wire.Into(b, name, target)
}

// Into fills a struct, or a map, from variables: a field gets the variable of its name in the cbor or json tag, or else of
// its own. Fields that no variable is for keep what they hold; errors are those of Decode.
func (r *Result) Into(target any) error {
	return wire.VarsInto(r.vars, target)
}

func (r *Result) missing(name string) error {
	for _, s := range r.Skipped() {
		if s.Name == name {
			return &MissingError{Name: name, Type: s.Type, Reason: s.Reason}
		}
	}
	return &MissingError{Name: name, Reason: "the snippet did not define it"}
}

// Skipped lists the variables that have no Go form, such as modules, functions and classes, or that were wanted but not
// defined.
func (r *Result) Skipped() []Skipped {
	var all []Skipped
	err := wire.Sequence(r.skipped, func(item []byte) error {
		var parts [3]string
		if err := wire.Into(item, "skipped", &parts); err != nil {
			return err
		}
		all = append(all, Skipped{Name: parts[0], Type: parts[1], Reason: parts[2]})
		return nil
	})
	if err != nil && !r.foreign {
		panic("pyexec: the interpreter's reply: " + err.Error()) // a bug of pyexec: it wrote these bytes itself
	}
	return all
}
