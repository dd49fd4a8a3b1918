package pyexec

import "context"

// A Program is a Snippet that is known to compile. It holds no Python object: it stays valid whatever is recycled, and
// its code is compiled again when it has dropped out of the cache. It is safe for concurrent use. Only
// Executor.Compile makes one: the zero Program is of no use.
type Program struct {
	executor *Executor
	snippet  Snippet
	hash     uint64
}

// Compile compiles a snippet without running it. A syntax error is a *PythonError.
func (e *Executor) Compile(ctx context.Context, s Snippet) (*Program, error) {
	p := &Program{executor: e, snippet: s, hash: e.hash(s.name(), s.Code)}
	if _, err := e.run(ctx, &Snippet{Code: s.Code, Name: s.Name, Timeout: s.Timeout}, p.hash, true); err != nil {
		return nil, err
	}
	return p, nil
}

// Run executes the program with the variables of in instead of its snippet's own; nil keeps those. See Executor.Run.
// A Stdin of the snippet is read by the first Run only.
func (p *Program) Run(ctx context.Context, in Vars) (*Result, error) {
	s := p.snippet
	if in != nil {
		s.Vars = in
	}
	return p.executor.run(ctx, &s, p.hash, false)
}
