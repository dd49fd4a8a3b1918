package pyexec_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// An outcome is what a user sees of a run of a file: what python prints and exits with.
type outcome struct {
	Stdout, Stderr string
	Status         int
}

// TestCorpus runs every file of testdata with pyexec and with the python executable of the same build, which must agree
// to the byte. A new case is a new file.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*.py")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	ex := open(t, pyexec.Config{})
	python := executable(t, ex)
	dir := t.TempDir()
	for _, file := range files {
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		t.Run(filepath.Base(file), func(t *testing.T) {
			// Python runs a copy that is gone when pyexec runs: as usual, the snippet is in no file, and the lines in its
			// tracebacks can come from memory alone. The name is absolute because Python would make it so.
			name := filepath.Join(dir, filepath.Base(file))
			require.NoError(t, os.WriteFile(name, code, 0o600))
			want := python.run(t, name)
			require.NoError(t, os.Remove(name))
			for _, call := range []string{"first call", "call with cached code"} {
				got := embedded(t, ex, pyexec.Snippet{Name: name, Code: string(code)})
				assert.Equal(t, want.Stdout, got.Stdout, "stdout, %s", call)
				assert.Equal(t, want.Stderr, got.Stderr, "stderr, %s", call)
				assert.Equal(t, want.Status, got.Status, "exit status, %s", call)
			}
		})
	}
}

// embedded is a snippet's outcome, put together as a command line that embeds pyexec would.
func embedded(t *testing.T, ex *pyexec.Executor, s pyexec.Snippet) outcome {
	t.Helper()
	res, err := ex.Run(ctx, s)
	require.NotNil(t, res, "no result: %v", err)
	got := outcome{Stdout: res.Stdout, Stderr: res.Stderr}
	var raised *pyexec.PythonError
	var exit *pyexec.ExitError
	switch {
	case errors.As(err, &exit):
		got.Status = exit.Code & 0xff // all that an operating system passes on
		if exit.Message != "" {
			got.Stderr += exit.Message + "\n"
		}
	case errors.As(err, &raised):
		got.Status = 1
		got.Stderr += raised.Traceback()
	default:
		require.NoError(t, err)
	}
	return got
}

// A python is the path of an executable.
type python string

// executable finds the python that belongs to the library that ex embeds.
func executable(t *testing.T, ex *pyexec.Executor) python {
	t.Helper()
	const probe = "import sys\nexe, version = sys.executable, sys.version"
	const advice = "install the python that libpython came with, as in: apt install python3"
	res, err := ex.Execute(ctx, probe, nil)
	require.NoError(t, err)
	var exe, embedded string
	require.NoError(t, res.Decode("exe", &exe))
	require.NoError(t, res.Decode("version", &embedded))

	out, err := exec.Command(exe, "-I", "-c", "import sys; print(sys.version, end='')").Output()
	require.NoError(t, err, "sys.executable is %q: %s", exe, advice)
	require.Equal(t, embedded, string(out), "%s is of another build than the libpython in use: %s", exe, advice)
	return python(exe)
}

func (p python) run(t *testing.T, file string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, string(p), "-I", "-X", "utf8", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return outcome{Stdout: stdout.String(), Stderr: stderr.String(), Status: cmd.ProcessState.ExitCode()}
}
