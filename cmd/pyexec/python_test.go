//go:build cgo

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestRunLikePython(t *testing.T) {
	const rest = "import sys; sys.stderr.write('err\\n')\n"
	for name, c := range map[string]struct {
		code, stdout, stderr string
		status               int
	}{
		"output":            {code: "print('out')\n" + rest, stdout: "out\n", stderr: "err\n"},
		"empty":             {},
		"exception":         {code: "print('out')\n1/0", stdout: "out\n", stderr: "ZeroDivisionError: division by zero\n", status: 1},
		"syntax":            {code: "def (", stderr: "SyntaxError: invalid syntax\n", status: 1},
		"exit":              {code: "import sys; sys.exit(7)", status: 7},
		"exit with nothing": {code: "raise SystemExit"},
		"exit with a text":  {code: "raise SystemExit('bye')", stderr: "bye\n", status: 1},
		"exit beyond 255":   {code: "raise SystemExit(258)", status: 2},
		"exit below 0":      {code: "raise SystemExit(-1)", status: 255},
		"interrupt":         {code: "raise KeyboardInterrupt", stderr: "KeyboardInterrupt\n", status: 130},
		"input":             {code: "print(input() + '!')", stdout: "typed!\n"},
	} {
		for _, isolation := range []string{"in-process", "process"} {
			t.Run(name+" "+isolation, func(t *testing.T) {
				out := call(t, built, "typed\n", "run", file(t, "script.py", c.code), "--isolation", isolation)
				assert.Equal(t, c.status, out.status, out.stderr)
				assert.Equal(t, c.stdout, out.stdout)
				assert.True(t, strings.HasSuffix(out.stderr, c.stderr), out.stderr)
			})
		}
	}
}

func TestRunImportsFromItsFolder(t *testing.T) {
	path := file(t, "script.py", "import beside, further\nprint(beside.x + further.x)")
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "beside.py"), []byte("x = 1"), 0o600))
	further := filepath.Dir(file(t, "further.py", "x = 2"))
	out := call(t, built, "", "run", path, "--path", further)
	assert.Equal(t, outcome{stdout: "3\n"}, out)
}

// decoded runs and decodes what --json prints.
func decoded(t *testing.T, stdin string, args ...string) (map[string]any, outcome) {
	t.Helper()
	out := call(t, built, stdin, append([]string{"run", "--json"}, args...)...)
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(out.stdout))
	d.UseNumber()
	require.NoError(t, d.Decode(&v), "%s%s", out.stdout, out.stderr)
	return v, out
}

func TestRunVariables(t *testing.T) {
	v, _ := decoded(t, "total = sum(prices) * n; kind = type(text).__name__", "-",
		"--var", "prices=[1, 2.5]", "--var", "n=100000000000000000000", "--var", "text=not JSON, 'text'", "--var", "empty=")
	assert.Equal(t, map[string]any{
		"prices": []any{json.Number("1"), json.Number("2.5")}, "n": json.Number("100000000000000000000"),
		"text": "not JSON, 'text'", "empty": "", "total": json.Number("350000000000000000000"), "kind": "str",
	}, v["vars"])
	code := file(t, "rule.py", "total = order['price'] * 2\nimport os")
	v, _ = decoded(t, `{"order": {"price": 21}, "more": null}`, code, "--vars", "-", "--want", "total", "--want", "os")
	assert.Equal(t, map[string]any{"total": json.Number("42")}, v["vars"])
	assert.Equal(t, []any{map[string]any{"name": "os", "type": "module", "reason": "its type has no Go form"}}, v["skipped"])
	out := call(t, built, `[1]`, "run", code, "--vars", "-")
	assert.Equal(t, 2, out.status)
	assert.Contains(t, out.stderr, "no JSON object")
}

func TestRunJSON(t *testing.T) {
	v, out := decoded(t, `import datetime, decimal, math, sys
print("out"); sys.stderr.write("err"); sys.path.append("/fake")
values = [math.nan, -math.inf, 1j, b"\x00\xff", {1: (2, 3)}, frozenset([4]), decimal.Decimal("1.10"),
    datetime.date(2024, 2, 29), datetime.timedelta(seconds=1.5), 2**70, None, True, "<é>"]
values[:2]`, "-")
	assert.Zero(t, out.status)
	vars, _ := v["vars"].(map[string]any)
	text, err := json.Marshal(vars["values"])
	require.NoError(t, err)
	assert.JSONEq(t, `["NaN", "-Inf", "(0+1i)", "AP8=", [[1, [2, 3]]], [4], "1.10", "2024-02-29", 1.5, 1180591620717411303424, null, true, "<é>"]`, string(text))
	assert.Equal(t, []any{"NaN", "-Inf"}, v["value"])
	assert.Equal(t, []any{"sys.path: +/fake"}, v["changes"])
	assert.Equal(t, "out\n", v["stdout"])
	assert.Equal(t, "err", v["stderr"])

	v, out = decoded(t, "x = 1\nraise LookupError('gone')", "-")
	assert.Equal(t, 1, out.status)
	assert.Equal(t, json.Number("1"), v["exit"])
	e, _ := v["error"].(map[string]any)
	assert.Equal(t, "LookupError", e["type"])
	assert.Equal(t, "gone", e["message"])
	assert.Equal(t, e["traceback"], out.stderr)
	assert.Contains(t, out.stderr, `File "stdin", line 2`)
}

func TestRunLimits(t *testing.T) {
	for _, isolation := range []string{"in-process", "process"} {
		out := call(t, built, "print('before')\nwhile True:\n    try: 1/0\n    except BaseException: pass", "run", "-", "--timeout", "100ms", "--isolation", isolation)
		assert.Equal(t, 124, out.status, out.stderr)
		assert.Equal(t, "before\n", out.stdout)
		out = call(t, built, "x = bytearray(1 << 30)", "run", "-", "--memory", "64MiB", "--isolation", isolation)
		assert.Equal(t, 1, out.status)
		assert.Contains(t, out.stderr, "MemoryError")
	}
	out := call(t, built, "import os; print('before', flush=True); os.kill(os.getpid(), 11)", "run", "-", "--isolation", "process")
	assert.Equal(t, 128+11, out.status, out.stderr)
	assert.Equal(t, "before\n", out.stdout)
}

func TestRunIsInterrupted(t *testing.T) {
	for s, status := range map[os.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		cmd := exec.Command(built, "run", file(t, "script.py", "print('begun', flush=True)\nwhile True: pass"))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = out.Read(make([]byte, 6))
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(s))
		require.Error(t, cmd.Wait())
		assert.Equal(t, status, cmd.ProcessState.ExitCode())
	}
}

func TestRunChanges(t *testing.T) {
	out := call(t, built, "import os, sys; sys.path.append('/fake'); os.environ['A'] = 'b'", "run", "-", "--changes")
	assert.Equal(t, outcome{stderr: "put back: sys.path: +/fake\nput back: os.environ: +A=b\n"}, out)
}

func TestLeaks(t *testing.T) {
	out := call(t, built, "import json\nx = json.dumps([1])\nprint(x)", "leaks", "-")
	assert.Zero(t, out.status)
	assert.Contains(t, out.stdout, "stdin leaves nothing behind.\nModules that stay imported")
	assert.Contains(t, out.stdout, "json.decoder")
	assert.Equal(t, "[1]\n", out.stderr, "what it prints is not in the report")

	const leaky = "import os, sys\nsys.path.insert(0, '/fake')\nos.environ['HOME'] = '/x'\nos.open('/dev/null', 0)\nprint('quiet')\n"
	for _, isolation := range []string{"in-process", "process"} {
		out = call(t, built, leaky+"1/0", "leaks", "-", "--isolation", isolation, "--quiet")
		assert.Equal(t, 1, out.status)
		assert.Contains(t, out.stdout, "stdin ended with status 1; what it had done by then:\nstdin would leave behind:\n")
		for _, text := range []string{"  sys.path     +/fake\n", "  os.environ   ~HOME=/x\n", "  descriptors  +/dev/null\n"} {
			assert.Contains(t, out.stdout, text)
		}
		assert.NotContains(t, out.stderr, "quiet")
	}
	out = call(t, built, "import ctypes; ctypes.CDLL(None)", "leaks", "-")
	assert.Equal(t, 1, out.status)
	assert.Contains(t, out.stdout, "has to be replaced")
}

func TestBench(t *testing.T) {
	out := call(t, built, "", "bench", file(t, "rule.py", "x = 100\nimport sys; sys.path.append('/fake')"), "--rounds", "1", "--each", "1ms")
	require.Zero(t, out.status, out.stderr)
	for _, text := range []string{
		"rule.py, lines: 2, Python 3.", "pyexec, in process", "pyexec, worker process", "a bare C loop", "a Python worker", "a new python3", "1.00",
		"changes interpreter state",
	} {
		assert.Contains(t, out.stdout, text)
	}
	assert.NotContains(t, out.stdout, "not measured")
	out = call(t, built, "y = x['a'] + 1", "bench", "-", "--var", `x={"a": 1}`, "--rounds", "1", "--each", "1ms")
	assert.Zero(t, out.status, out.stderr)
	assert.NotContains(t, out.stdout, "not measured")
	out = call(t, built, "1/0", "bench", "-")
	assert.Equal(t, 1, out.status)
	assert.Contains(t, out.stderr, "ZeroDivisionError")
}
