package pyexec

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-pyexec/pyexec/internal/wire"
)

// Functions are Go functions that snippets can call, by the names they have there. Each may have
//
//   - a context.Context first, which ends with the call, or at its deadline, and may not be used to wait for the same
//     Executor (ErrReentrant);
//   - any number of parameters of types that Python values can be decoded into, as by Result.Decode, the last one
//     variadic or not;
//   - a struct, or a pointer to one, as the last parameter: Python's keyword arguments fill its fields, by cbor or json tag.
//     It may also be given as a dict in its place. Without either it is zero;
//   - any number of results that have a Python form, as in Vars: none is None, several are a tuple;
//   - an error last. If it is not nil, the call raises pyexec.GoError, a RuntimeError.
//
// The Go error is found again by errors.Is and errors.As in what Run returns, if the snippet lets it pass. Arguments that
// do not fit raise TypeError. A function that panics raises a GoError, too, of a *PanicError.
//
// A function runs on the goroutine that called Run, or, if that can leave it behind, on one of the Executor's: with
// Isolation: Process, and if the call can be cancelled or has a deadline. Either is locked to its thread meanwhile. Other
// threads of the snippet go on. If a snippet starts threads, or if there are several Workers, several functions may run at
// once. If a function calls runtime.LockOSThread, it must call UnlockOSThread as often before it returns, or Go's runtime
// ends the program. Outside its call a function is dead: if it is called by a thread that a snippet left behind, it raises
// RuntimeError.
type Functions map[string]any

// ErrReentrant is returned to a function that a snippet called, if it has to wait for the Executor that runs the snippet:
// it would wait for itself. It is recognised by the goroutine, and, in other goroutines, by the context that the function
// was given.
var ErrReentrant = errors.New("pyexec: a function called by a snippet cannot wait for the Executor that runs the snippet; use another")

// ErrGoexit is the error of a function, Writer or Reader of a snippet that called runtime.Goexit, as testing.T.FailNow does.
// The goroutine that ends by that is not the one that called Run; it is left behind, suspended.
var ErrGoexit = errors.New("runtime.Goexit was called")

// A PanicError is the error of a function, Writer or Reader of a snippet that panicked.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // as debug.Stack shows it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns Value if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// functionSet is functions ready to be called.
type functionSet struct {
	list  []function // in the order of names
	names []byte     // as they cross to a worker
}

type function struct {
	name string
	fn   reflect.Value
	*signature
}

func newFunctionSet(all Functions) (functionSet, string, error) {
	if len(all) == 0 {
		return functionSet{}, "", nil
	}
	names := slices.Sorted(maps.Keys(all))
	set := functionSet{list: make([]function, 0, len(all)), names: wire.AppendNames(nil, names)}
	for _, name := range names {
		f, err := newFunction(name, all[name])
		if err != nil {
			return functionSet{}, name, err
		}
		set.list = append(set.list, f)
	}
	return set, "", nil
}

func newFunction(name string, fn any) (function, error) {
	if err := checkName(name); err != nil {
		return function{}, err
	}
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Func {
		return function{}, fmt.Errorf("%T is no function", fn)
	}
	if v.IsNil() {
		return function{}, errors.New("it is nil")
	}
	sig, err := signatureOf(v.Type())
	return function{name: name, fn: v, signature: sig}, err
}

// keywords are Python's: no name that a snippet could use. See https://docs.python.org/3/reference/lexical_analysis.html#keywords.
var keywords = strings.Fields(`False None True and as assert async await break class continue def del elif else except finally
	for from global if import in is lambda nonlocal not or pass raise return try while with yield`)

func checkName(name string) error {
	for i, c := range name {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c)) {
			return errors.New("its name is no Python identifier")
		}
	}
	switch {
	case name == "":
		return errors.New("its name is empty")
	case slices.Contains(keywords, name):
		return errors.New("its name is a keyword of Python")
	case strings.HasPrefix(name, "__"):
		return errors.New("names that begin with two underscores are Python's own")
	}
	return nil
}

// signature is what is known of a function's type.
type signature struct {
	ctx, fails, variadic bool
	params               []reflect.Type // without the context and the keywords
	keywords             reflect.Type   // a struct or a pointer to one, or nil
	results              int            // without the error
}

var (
	typeContext     = reflect.TypeFor[context.Context]()
	typeError       = reflect.TypeFor[error]()
	typeUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

	signatures sync.Map // reflect.Type -> *signature
)

func signatureOf(t reflect.Type) (*signature, error) {
	if s, ok := signatures.Load(t); ok {
		return s.(*signature), nil
	}
	s := &signature{variadic: t.IsVariadic()}
	for i := range t.NumIn() {
		p := t.In(i)
		last := i == t.NumIn()-1
		switch {
		case i == 0 && p == typeContext:
			s.ctx = true
			continue
		case last && !s.variadic && takesKeywords(p):
			s.keywords = p
		default:
			s.params = append(s.params, p)
		}
		if why := unfit(p, true, nil); why != "" {
			return nil, fmt.Errorf("parameter %d of %v: no Python value can be decoded into %s", i+1, t, why)
		}
	}
	s.results = t.NumOut()
	if s.results > 0 && t.Out(s.results-1) == typeError {
		s.results--
		s.fails = true
	}
	for i := range s.results {
		if why := unfit(t.Out(i), false, nil); why != "" {
			return nil, fmt.Errorf("result %d of %v: there is no Python form of %s", i+1, t, why)
		}
	}
	signatures.Store(t, s)
	return s, nil
}

// scalars are the structs that stand for one Python value, not for a dict.
var scalars = []reflect.Type{
	reflect.TypeFor[big.Int](), reflect.TypeFor[big.Rat](), reflect.TypeFor[big.Float](), reflect.TypeFor[time.Time](),
	reflect.TypeFor[Decimal](), reflect.TypeFor[Date](), reflect.TypeFor[DateTime](), reflect.TypeFor[TimeOfDay](),
	reflect.TypeFor[TimeDelta](), reflect.TypeFor[Array](), reflect.TypeFor[MemoryView](), reflect.TypeFor[Series](),
	reflect.TypeFor[DataFrame](),
}

func takesKeywords(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && !slices.Contains(scalars, t) && !reflect.PointerTo(t).Implements(typeUnmarshaler)
}

// unfit is what of a type cannot cross, or empty.
func unfit(t reflect.Type, in bool, above []reflect.Type) string {
	if slices.Contains(above, t) || reflect.PointerTo(t).Implements(typeUnmarshaler) {
		return ""
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Uintptr, reflect.Invalid:
		return t.String()
	case reflect.Interface:
		if in && t.NumMethod() > 0 {
			return t.String()
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return unfit(t.Elem(), in, above)
	case reflect.Map:
		if why := unfit(t.Key(), in, above); why != "" {
			return why
		}
		return unfit(t.Elem(), in, above)
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			if !f.IsExported() || f.Tag.Get("cbor") == "-" || f.Tag.Get("json") == "-" {
				continue
			}
			if why := unfit(f.Type, in, above); why != "" {
				return why
			}
		}
	}
	return ""
}

// argumentError says what is wrong with the arguments of a call, as Python would: it follows the function's name.
type argumentError string

func (e argumentError) Error() string { return string(e) }

func badArguments(format string, args ...any) error {
	return argumentError("() " + fmt.Sprintf(format, args...))
}

// call runs the function with encoded arguments, and returns its encoded result.
func (f *function) call(h *host, data []byte, maxDepth, maxLen int) ([]byte, error) {
	args, err := f.arguments(h, data)
	if err != nil {
		return nil, err
	}
	out := f.fn.Call(args)
	if f.fails {
		if err, _ := out[f.results].Interface().(error); err != nil {
			return nil, err
		}
	}
	var result any
	switch f.results {
	case 0:
	case 1:
		result = out[0].Interface()
	default:
		all := make(Tuple, f.results)
		for i := range all {
			all[i] = out[i].Interface()
		}
		result = all
	}
	b, err := wire.AppendValue(nil, result, maxDepth, maxLen)
	if errors.Is(err, wire.ErrTooLong) {
		return nil, fmt.Errorf("%w: the result has more bytes than Config.MaxInput, %d", ErrTooLarge, maxLen)
	}
	if err != nil {
		return nil, fmt.Errorf("the result has no Python form: %w", err)
	}
	return b, nil
}

func (f *function) arguments(h *host, data []byte) ([]reflect.Value, error) {
	call, err := wire.ReadCall(data)
	if err != nil {
		return nil, err
	}
	given, fixed := len(call.Positional), len(f.params)
	args := make([]reflect.Value, 0, given+2)
	if f.ctx {
		args = append(args, reflect.ValueOf(h.context()))
	}
	if f.variadic {
		fixed--
	}
	most := fixed
	if f.keywords != nil {
		most++
	}
	switch {
	case given < fixed:
		return nil, badArguments("missing %d required positional %s", fixed-given, plural(fixed-given, "argument"))
	case given > most && !f.variadic:
		return nil, badArguments("takes %d positional %s but %d %s given", most, plural(most, "argument"), given, wasWere(given))
	}
	for i, item := range call.Positional {
		t := f.keywords
		if i < fixed {
			t = f.params[i]
		} else if f.variadic {
			t = f.params[fixed].Elem()
		}
		v := reflect.New(t)
		if err := wire.Into(item, argumentName(i), v.Interface()); err != nil {
			return nil, badArguments("%v", err)
		}
		args = append(args, v.Elem())
	}
	if f.keywords == nil || given == most {
		if len(call.Names) == 0 {
			return args, nil
		}
		if f.keywords != nil {
			return nil, badArguments("got keyword arguments beside a dict of them")
		}
		return nil, badArguments("takes no keyword arguments")
	}
	v, err := f.keywordArguments(&call)
	return append(args, v), err
}

// argumentNames are what errors call the first arguments.
var argumentNames = [...]string{"argument 1", "argument 2", "argument 3", "argument 4", "argument 5", "argument 6"}

func argumentName(i int) string {
	if i < len(argumentNames) {
		return argumentNames[i]
	}
	return fmt.Sprintf("argument %d", i+1)
}

func (f *function) keywordArguments(call *wire.Call) (reflect.Value, error) {
	v := reflect.New(f.keywords)
	if len(call.Names) == 0 {
		return v.Elem(), nil
	}
	t := f.keywords
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, name := range call.Names {
		if !wire.HasField(t, name) {
			return v, badArguments("got an unexpected keyword argument '%s'", name)
		}
	}
	if err := wire.Into(call.Keywords, "keyword", v.Interface()); err != nil {
		return v, badArguments("%v", err)
	}
	return v.Elem(), nil
}

func plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
