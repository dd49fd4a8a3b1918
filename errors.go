package pyexec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-pyexec/pyexec/internal/wire"
)

// ErrClosed is returned by calls on an Executor after its Close.
var ErrClosed = errors.New("pyexec: the executor is closed")

// ErrBusy is returned by calls that would have to wait, when Config.MaxWaiting others wait already.
var ErrBusy = errors.New("pyexec: too many callers wait for an interpreter")

// ErrTooLarge is returned, with the numbers, for a source or an input that is over its limit in Config.
var ErrTooLarge = errors.New("pyexec: too large")

// A ConfigError names the field of a Config that New refused.
type ConfigError struct {
	Field  string
	Value  any
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("pyexec: Config.%s is %v: %s", e.Field, e.Value, e.Reason)
}

// An InputError names a variable of Vars that could not be made a Python value, or one of Functions that cannot be called.
// The snippet did not run.
type InputError struct {
	Name     string
	Path     string // the part of it, as in [3].price; empty: the whole, or not known
	Function bool   // Name is that of a function
	Err      error
}

func (e *InputError) Error() string {
	if e.Function {
		return fmt.Sprintf("pyexec: function %q: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("pyexec: variable %q: %v", e.Name+e.Path, e.Err)
}

// Unwrap returns the reason.
func (e *InputError) Unwrap() error { return e.Err }

// A MissingError is returned by Result.Decode for a variable that is not in the result, and says why.
type MissingError struct {
	Name   string
	Type   string // its Python type, if it has one that has no Go form
	Reason string
}

func (e *MissingError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("pyexec: no variable %q in the result: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("pyexec: no variable %q (a Python %s) in the result: %s", e.Name, e.Type, e.Reason)
}

// A DecodeError says where a Python value does not fit the Go value it was to be decoded into: Path, as in orders[3].price;
// Got, the Python type; Into, the reflect.Type; and Why, empty if the types just do not match.
type DecodeError = wire.DecodeError

// An ExitError is a snippet's SystemExit, raised by sys.exit or exit, or by os._exit, which raises it in process. It ends the
// snippet, never the host.
type ExitError struct {
	Code    int    // as given; a process passes on only its low eight bits
	Message string // sys.exit("message"): what would have been printed
}

func (e *ExitError) Error() string {
	if e.Message != "" {
		return fmt.Sprintf("pyexec: the snippet exited with status %d: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("pyexec: the snippet exited with status %d", e.Code)
}

// A PythonError is an exception that a snippet did not catch, or a SyntaxError in it.
type PythonError struct {
	// Type is the exception's class, qualified by its module unless that is builtins or __main__.
	Type string
	// Bases are the classes it derives from, itself first and object last.
	Bases []string
	// Message is str(exception).
	Message string
	// Frames lead from the snippet's top level to where the exception was raised. Of an endless recursion only the
	// first and last hundred are kept.
	Frames []Frame
	// Notes are what add_note added.
	Notes []string
	// Args is the exception's args, in the Go forms of Result.Vars; nil stands for one that has none.
	Args []any
	// Attrs are the attributes of the exception that have a Go form: those that were set on it, those in __slots__, and
	// the fields of built-in classes that are not None (errno and filename of an OSError, name of an ImportError; see
	// https://docs.python.org/3/library/exceptions.html). Properties are not among them: no code is run to read them.
	Attrs map[string]any
	// Exceptions are the members of an ExceptionGroup; nil for other exceptions. Of an exception with all its causes,
	// contexts and members, 256 are kept.
	Exceptions []*PythonError
	// Cause is the exception after "raise ... from", Context the one being handled when this one was raised;
	// SuppressContext says that Python would not print the latter.
	Cause, Context  *PythonError
	SuppressContext bool
	// Err is the Go error that the exception stands for, if it is a pyexec.GoError; see Functions. Of the Go errors of a
	// call, the last 1024 are kept.
	Err error
	// Syntax is where a SyntaxError is; nil for other exceptions.
	Syntax *SyntaxDetail

	traceback string
}

// A Frame is one line of a traceback. Lines and columns count from 1, columns in bytes of UTF-8; 0 is unknown.
type Frame struct {
	File, Function     string
	Line, Column       int
	EndLine, EndColumn int
	Source             string // the line, without its indentation; empty if it cannot be read
}

// SyntaxDetail is where a SyntaxError is. Lines and columns count from 1; 0 is unknown.
type SyntaxDetail struct {
	Message            string
	File               string
	Line, Column       int
	EndLine, EndColumn int
	Text               string // the line
}

// Error is the exception as the last line of its traceback, and where it was raised.
func (e *PythonError) Error() string {
	var b strings.Builder
	b.WriteString(e.Type)
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if n := len(e.Frames); n > 0 {
		f := e.Frames[n-1]
		fmt.Fprintf(&b, " (%s:%d, in %s)", f.File, f.Line, f.Function)
	}
	return b.String()
}

// Traceback is the text that Python itself would print for the exception: of each traceback the innermost 1000 frames, also
// on Python 3.13 and later, which print all, or as many as sys.tracebacklimit says.
func (e *PythonError) Traceback() string { return e.traceback }

// ErrType matches, by errors.Is, a PythonError whose class is of that name or derives from one that is. Classes of modules
// other than builtins are named with their module, as in "json.decoder.JSONDecodeError".
//
//	errors.Is(err, pyexec.ErrType("LookupError")) // a KeyError, an IndexError
type ErrType string

func (t ErrType) Error() string { return "pyexec: a Python " + string(t) }

// Is reports whether target is an ErrType that names the exception's class or one of its bases.
func (e *PythonError) Is(target error) bool {
	t, ok := target.(ErrType) //nolint:errorlint // errors.Is unwraps for us
	return ok && slices.Contains(e.Bases, string(t))
}

// Unwrap returns what led to the exception, so that errors.Is and errors.As find it: Err, the members of a group, and the
// cause, or else the context that Python would print.
func (e *PythonError) Unwrap() []error {
	var all []error
	if e.Err != nil {
		all = append(all, e.Err)
	}
	for _, x := range e.Exceptions {
		all = append(all, x)
	}
	switch {
	case e.Cause != nil:
		all = append(all, e.Cause)
	case e.Context != nil && !e.SuppressContext:
		all = append(all, e.Context)
	}
	return all
}

// record is an exception as the kernel writes it (internal/kernel/errors.c).
type record struct {
	Type            string         `cbor:"type"`
	Bases           []string       `cbor:"bases"`
	Message         string         `cbor:"message"`
	Frames          [][]any        `cbor:"frames"`
	Notes           []string       `cbor:"notes"`
	Args            []any          `cbor:"args"`
	Attrs           map[string]any `cbor:"attrs"`
	Exceptions      []*record      `cbor:"exceptions"`
	Cause           *record        `cbor:"cause"`
	Context         *record        `cbor:"context"`
	SuppressContext bool           `cbor:"suppressContext"`
	Syntax          *SyntaxDetail  `cbor:"syntax"`
	Traceback       string         `cbor:"traceback"`
	Go              uint64         `cbor:"go"`
}

func pythonError(b []byte, s *Snippet, h *host) error {
	var r record
	if err := wire.Into(b, "exception", &r); err != nil {
		return fmt.Errorf("pyexec: the interpreter's reply: %w", err)
	}
	e := r.error(&sources{name: s.name(), code: s.Code, files: map[string][]string{}, host: h})
	if e.traceback == "" {
		e.traceback = e.Type + ": " + e.Message + "\n"
	}
	return e
}

func (r *record) error(src *sources) *PythonError {
	if r == nil {
		return nil
	}
	e := &PythonError{
		Type: r.Type, Bases: r.Bases, Message: r.Message, Notes: r.Notes,
		Cause: r.Cause.error(src), Context: r.Context.error(src), SuppressContext: r.SuppressContext,
		Syntax: r.Syntax, traceback: r.Traceback, Args: r.Args, Attrs: r.Attrs,
		Err: src.host.recall(r.Go),
	}
	for _, x := range r.Exceptions {
		e.Exceptions = append(e.Exceptions, x.error(src))
	}
	for _, f := range r.Frames {
		if len(f) == 6 {
			e.Frames = append(e.Frames, frame(f, src))
		}
	}
	return e
}

func frame(parts []any, src *sources) Frame {
	str := func(i int) string { s, _ := parts[i].(string); return s }
	num := func(i int) int { n, _ := parts[i].(int64); return int(n) }
	f := Frame{
		File: str(0), Function: str(1), Line: num(2), Column: num(3), EndLine: num(4), EndColumn: num(5),
	}
	f.Source = strings.TrimSpace(src.line(f.File, f.Line))
	return f
}

// sources gives what records only point to: the lines of a snippet, and of the library files in its traceback, and the Go
// errors.
type sources struct {
	host       *host
	name, code string
	files      map[string][]string
}

// maxFile is the largest library file that is read for the lines of a traceback.
const maxFile = 1 << 20

func (s *sources) line(file string, n int) string {
	lines, ok := s.files[file]
	if !ok {
		lines = s.read(file)
		s.files[file] = lines
	}
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

func (s *sources) read(file string) []string {
	if file == s.name {
		return strings.Split(s.code, "\n")
	}
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\n")
}

func exitError(b []byte) error {
	var r struct {
		Code    int    `cbor:"code"`
		Message string `cbor:"message"`
	}
	if err := wire.Into(b, "exit", &r); err != nil {
		return fmt.Errorf("pyexec: the interpreter's reply: %w", err)
	}
	return &ExitError{Code: r.Code, Message: r.Message}
}

func inputError(b []byte) error {
	var r struct {
		Name   string `cbor:"name"`
		Reason string `cbor:"reason"`
	}
	if err := wire.Into(b, "input", &r); err != nil {
		return fmt.Errorf("pyexec: the interpreter's reply: %w", err)
	}
	return &InputError{Name: r.Name, Err: errors.New(r.Reason)}
}
