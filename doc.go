// Package pyexec runs Python snippets inside a Go program: business rules, user formulas, plugins, code written by
// language models. CPython is embedded by cgo; a call costs about a microsecond, and every snippet finds an interpreter
// as clean as the first one found it.
//
//	ex, err := pyexec.New(pyexec.Config{})
//	defer ex.Close()
//	res, err := ex.Execute(ctx, "total = sum(prices)", pyexec.Vars{"prices": []float64{1, 2.5}})
//	var total float64
//	err = res.Decode("total", &total)
//
// # Model
//
// An [Executor] has one interpreter, or several in processes of their own, and any number of goroutines may call it; they
// wait for their turn in Go, in order, and stop waiting when their context ends. A call runs on the caller's own OS thread,
// with one crossing into C; if it can end early, on another, so that the caller can leave it behind. It gets a fresh
// namespace, which is also the module __main__ while it runs. Compiled code is cached by its source.
//
// Values cross as CBOR (RFC 8949) in both directions and are plain Go values afterwards: a [Result] holds nothing of
// Python alive. Errors are Go errors: [PythonError] for an exception, with frames and the traceback that Python would
// print; [ExitError] for SystemExit, which never ends the host; [InputError], [DecodeError] and [MissingError] for values
// that do not fit; [ErrTooLarge], [ErrClosed], [ErrInUse], [ConfigError].
//
// While a snippet runs it can call Go [Functions], whose errors come out as what they were, write to a [Snippet]'s Stdout
// and Stderr, and read from its Stdin; [StreamError], [PanicError], [ErrGoexit] and [ErrReentrant] are what can go wrong.
//
// # What is reset
//
// After each call the state in the reset table (RESET.md) is put back: identity and contents, however it was changed.
// [Result.Changes] says what had changed. Noticing that nothing has is nearly free. What cannot be put back taints the
// interpreter, and it is recycled before the next call. Beyond the table, nothing of a call's own is left: its namespace,
// functions and classes are gone before the next call begins, and so is the garbage they leave, whose finalizers run
// within the call that made them.
//
// The table has the attributes of all modules, classes and functions, and what hangs on modules: containers, instances,
// closures, caches. Modules that a snippet is the first to import stay imported, as they were when the import was done.
//
// # Recycling
//
// Every 1000 executions ([Config.RecycleEvery]), at an age, when tainted or when asked, the interpreter is replaced, behind
// the caller's back. Where finalising and initialising CPython again is known to be unsafe (after numpy, on 3.12 and 3.13,
// with threads left running) everything is put back and collected instead, and modules stay loaded; [Stats] tells which.
//
// # Which Python
//
// The one that the program was built with; New refuses another with a [VersionError]. Snippets import from its standard
// library and packages, or those of a virtual environment ([Config.Venv], or VIRTUAL_ENV), and from [Config.Paths].
//
// # Worker processes
//
// With [Config.Isolation] set to [Process] snippets run in worker processes instead, [Config.Workers] of them: this program's
// executable, started once more as a template that is forked for each worker. A crash is a [CrashError] of one call,
// recycling is a fresh fork, a context ends a call that runs, and [Limits] bind each worker.
//
// # What in-process execution cannot do
//
// A segmentation fault in native code, or a snippet that uses ctypes to write where it likes, ends the host. Calls that
// would end the host deliberately (os._exit, os.abort, a signal to itself) or double it (os.fork, os.exec) raise instead.
// C code that neither looks for signals nor allocates cannot be stopped.
//
// # Limits
//
// A call whose context can end, or that has a [Snippet.Timeout], returns with a [StoppedError] at the latest [Config.Grace]
// after that. It is stopped with growing force, within its finalizers and while things are put back, too; if nothing helps it
// is left behind, and [Stats] and [StuckError] say which call blocks the interpreter. [Config.MemoryLimit] bounds what Python
// allocates in a call.
package pyexec
