package pyexec

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Config says how an Executor works. The zero Config is a good production default: everything is reset after each
// call, and the interpreter is recycled every 1000 calls.
type Config struct {
	// Isolation says what stands between snippets and this process. Zero: InProcess.
	Isolation Isolation

	// Workers is the number of interpreters, each of which runs one call at a time. Zero: 1 in process, where there can be
	// no more, and GOMAXPROCS otherwise; at most 1024.
	Workers int

	// Limits are bounds of the operating system's for each worker process. They need Isolation: Process. Zero: none.
	Limits Limits

	// MaxWaiting is how many callers may wait for an interpreter; one more gets ErrBusy. Zero: any number.
	MaxWaiting int

	// Reset says what is put back after each call. Zero: ResetAll.
	Reset ResetMode

	// Namespace says how a snippet sees its own top-level names. Zero: OneNamespace.
	Namespace NamespaceMode

	// RecycleEvery is the number of executions after which the interpreter is recycled. Zero: 1000. RecycleNever: no
	// number of executions is a reason to recycle.
	RecycleEvery int

	// RecycleAfter is the age at which the interpreter is recycled. Zero: age is no reason to recycle.
	RecycleAfter time.Duration

	// CacheEntries is how many compiled snippets are kept, the least recently used dropped first. Zero: 1024.
	CacheEntries int

	// CacheBytes bounds the bytes of source of the compiled snippets kept. Zero: 64 MiB.
	CacheBytes int

	// MaxSource is the longest source accepted, in bytes; longer gives ErrTooLarge. Zero: 1 MiB. Compiling takes some
	// hundred times as much memory as the source is long.
	MaxSource int

	// MaxInput bounds, in bytes, a call's encoded Vars, which else are ErrTooLarge, its Stdin, which else is an OSError in
	// the snippet, of an ErrTooLarge, and each result of a function, which else is a GoError. Zero: 64 MiB.
	MaxInput int

	// MaxOutput bounds, in bytes, what is kept of a call's standard output, and of its standard error. What is beyond is
	// dropped, and the Result says so. Zero: 1 MiB.
	MaxOutput int

	// MaxResult bounds, in bytes, a call's encoded variables, of which one that does not fit is in Result.Skipped; and the
	// arguments of a function, which else raise TypeError. Zero: 64 MiB.
	MaxResult int

	// MaxDepth bounds how deep values may be nested, in either direction. Zero: 1000; at most 10,000.
	MaxDepth int

	// Grace is how long a call may take to stop after its deadline, or its context's end. For the first quarter of it, the
	// snippet's own handlers and finally blocks may run. After it the caller gets its error, and the call is left behind;
	// with Isolation: Process its process is killed.
	// Zero: 250 ms.
	Grace time.Duration

	// MemoryLimit bounds, in bytes, what Python may allocate in one call beyond what there was: more gives a MemoryError in
	// the snippet, and ErrMemoryLimit if that escapes. To handle it, a call may have 16 MiB more in small blocks. What C
	// code allocates past Python's allocators is not counted (arrays of numpy, mmap, ctypes). Zero: no limit; else at
	// least 1 MiB.
	MemoryLimit int

	// RecycleOnGrowth is by how many bytes the resident memory of the process may have grown since the interpreter was
	// last recycled; more is a reason to recycle it. It is looked at every 64 calls, and it is the whole process's: in
	// process, Go's own memory counts, too. Zero: growth is no reason.
	RecycleOnGrowth int

	// Preload names modules that are imported whenever the interpreter starts, so that no snippet waits for them. What
	// their import changes in the interpreter belongs to what is reset to. One that cannot be imported makes New fail.
	Preload []string

	// Keep names what a snippet may leave behind although Reset is ResetAll, as Change.State names it: an attribute of a
	// module ("re._cache", "pricing.rates"), which stands for what is in it, too, or a module ("pricing"), which stands for
	// all of it and may then also be imported with changed interpreter state (sys.path, say) and stay. The rows of the
	// reset table that are no part of a module, such as os.environ, cannot be kept. A recycle by re-initialisation ends what
	// was kept, a purge does not.
	Keep []string

	// Home is the folder that Python was installed to, in which lib/python3.x is its standard library. Empty: where
	// libpython was built to find it. It is PYTHONHOME, which itself is not looked at; see
	// https://docs.python.org/3/using/cmdline.html#envvar-PYTHONHOME.
	Home string

	// Venv is the folder of a virtual environment, whose packages snippets can import; see
	// https://docs.python.org/3/library/venv.html. Its .pth files are run at each start. Empty: that of the environment
	// variable VIRTUAL_ENV, if it is set; NoVenv: none. One that is of another Python version makes New fail.
	Venv string

	// Paths are folders and zip files that come first on sys.path, as those of PYTHONPATH do, which itself is not looked
	// at. Relative ones are taken from the working directory as New is called.
	Paths []string

	// Functions are Go functions that every snippet can call. One that cannot be called makes New fail.
	Functions Functions

	// Logger gets the few messages that have no caller to go to: a recycle that failed, an interpreter that is stuck, a
	// template process that ended or cannot be started again.
	// Nil: slog.Default.
	Logger *slog.Logger
}

// NamespaceMode says how a snippet sees its own top-level names.
type NamespaceMode uint8

const (
	// OneNamespace runs a snippet as Python runs a file: one fresh dict is both its globals and its locals.
	OneNamespace NamespaceMode = iota
	// SplitNamespace runs exec(code, {}, locals), as if the snippet stood in the body of a class. Functions, and
	// comprehensions before Python 3.12, then cannot see top-level names, imported modules among them; it is there for
	// code that was written for that form. See https://docs.python.org/3/library/functions.html#exec.
	SplitNamespace
)

func (c *Config) fill() error {
	if err := c.fillIsolation(); err != nil {
		return err
	}
	if c.Reset > ResetNone {
		return &ConfigError{Field: "Reset", Value: c.Reset, Reason: "it is neither ResetAll nor ResetNone"}
	}
	if c.Namespace > SplitNamespace {
		return &ConfigError{Field: "Namespace", Value: c.Namespace, Reason: "it is neither OneNamespace nor SplitNamespace"}
	}
	if c.RecycleEvery == 0 {
		c.RecycleEvery = 1000
	}
	if c.RecycleEvery < RecycleNever {
		return &ConfigError{Field: "RecycleEvery", Value: c.RecycleEvery, Reason: "it is neither positive nor RecycleNever"}
	}
	if c.RecycleAfter < 0 {
		return &ConfigError{Field: "RecycleAfter", Value: c.RecycleAfter, Reason: "it is negative"}
	}
	if c.Grace == 0 {
		c.Grace = 250 * time.Millisecond
	}
	if c.Grace < 0 {
		return &ConfigError{Field: "Grace", Value: c.Grace, Reason: "it is negative"}
	}
	if c.MemoryLimit != 0 && (c.MemoryLimit < 1<<20 || c.MemoryLimit > 1<<46) {
		return &ConfigError{Field: "MemoryLimit", Value: c.MemoryLimit, Reason: "it is neither 0 nor between 1 MiB and 64 TiB"}
	}
	if c.RecycleOnGrowth < 0 {
		return &ConfigError{Field: "RecycleOnGrowth", Value: c.RecycleOnGrowth, Reason: "it is negative"}
	}
	for _, f := range []struct {
		name          string
		value         *int
		usual, at_max int
	}{
		{"CacheEntries", &c.CacheEntries, 1024, 1 << 30},
		{"CacheBytes", &c.CacheBytes, 64 << 20, 1 << 40},
		{"MaxSource", &c.MaxSource, 1 << 20, 1 << 30},
		{"MaxInput", &c.MaxInput, 64 << 20, 1 << 40},
		{"MaxOutput", &c.MaxOutput, 1 << 20, 1 << 40},
		{"MaxResult", &c.MaxResult, 64 << 20, 1 << 40},
		{"MaxDepth", &c.MaxDepth, 1000, 10_000},
	} {
		if *f.value == 0 {
			*f.value = f.usual
		}
		if *f.value < 0 || *f.value > f.at_max {
			return &ConfigError{Field: f.name, Value: *f.value, Reason: fmt.Sprintf("it is not between 1 and %d", f.at_max)}
		}
	}
	for _, name := range c.Preload {
		if name == "" || strings.ContainsAny(name, "\n\x00") {
			return &ConfigError{Field: "Preload", Value: fmt.Sprintf("%q", c.Preload), Reason: "a name in it is no module's"}
		}
	}
	for _, name := range c.Keep {
		if name == "" || strings.ContainsAny(name, "\n\x00") {
			return &ConfigError{Field: "Keep", Value: fmt.Sprintf("%q", c.Keep), Reason: "a name in it is no name of a state"}
		}
	}
	if err := c.fillPython(); err != nil {
		return err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}
