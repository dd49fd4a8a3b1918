package pyexec_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/go-pyexec/pyexec"
)

// The design that the project started from, rebuilt.

// notesWorker is its worker process: one line of JSON in, exec with a fresh dict of locals, sys.path cut to its length, one
// line of JSON out. Only what JSON can hold comes back.
const notesWorker = `
import json, sys
path_len = len(sys.path)
read, write, flush = sys.stdin.buffer.readline, sys.stdout.buffer.write, sys.stdout.buffer.flush
while True:
    line = read()
    if not line:
        break
    request = json.loads(line)
    local_vars = {}
    local_vars.update(request["vars"])
    exec(request["code"], {}, local_vars)
    while len(sys.path) > path_len:
        sys.path.pop()
    out = {k: v for k, v in local_vars.items() if isinstance(v, (int, float, str, list, dict))}
    write(json.dumps(out).encode() + b"\n")
    flush()
`

// notesEvery is after how many calls it restarts its worker.
const notesEvery = 1000

type notes struct {
	python string
	count  int
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
}

type notesRequest struct {
	Code string      `json:"code"`
	Vars pyexec.Vars `json:"vars"`
}

func startNotes(b *testing.B, python string) *notes {
	b.Helper()
	n := &notes{python: python}
	n.start(b)
	b.Cleanup(n.stop)
	return n
}

func (n *notes) start(b *testing.B) {
	n.cmd = exec.Command(n.python, "-I", "-c", notesWorker)
	n.cmd.Stderr = os.Stderr
	in, err := n.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		b.Fatal("the notes' design needs the python3 that libpython came with, as in: apt install python3: ", err)
	}
	n.in, n.out, n.count = in, bufio.NewReader(out), 0
}

func (n *notes) stop() {
	n.in.Close()
	_ = n.cmd.Wait() // a worker that has nothing to read ends
}

func (n *notes) execute(b *testing.B, code string) map[string]any {
	if n.count >= notesEvery {
		n.stop()
		n.start(b)
	}
	n.count++
	request, err := json.Marshal(notesRequest{code, pyexec.Vars{}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := n.in.Write(append(request, '\n')); err != nil {
		b.Fatal(err)
	}
	line, err := n.out.ReadBytes('\n')
	if err != nil {
		b.Fatal(err)
	}
	var reply map[string]any
	if err := json.Unmarshal(line, &reply); err != nil {
		b.Fatal(err)
	}
	return reply
}

func BenchmarkNotesDesign(b *testing.B) {
	for _, c := range []struct{ name, code string }{{"one-line", oneLine}, {"15-line", fifteen}} {
		b.Run(c.name, func(b *testing.B) {
			n := startNotes(b, pythonOf(b, openBench(b, pyexec.Config{})))
			for b.Loop() {
				n.execute(b, c.code)
			}
		})
	}
}

// pythonOf is the executable that belongs to the embedded interpreter.
func pythonOf(b *testing.B, ex *pyexec.Executor) string {
	b.Helper()
	res, err := ex.Execute(ctx, "import sys\npath = sys.executable", nil)
	if err != nil {
		b.Fatal(err)
	}
	var path string
	if err := res.Decode("path", &path); err != nil {
		b.Fatal(err)
	}
	return path
}

// ---- side by side ----
