package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The command as it is, and as it is built without cgo: what is tested are the programs.
var built, plain string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "pyexec-command")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		built, plain = filepath.Join(dir, "pyexec"), filepath.Join(dir, "plain")
		for file, env := range map[string]string{built: "PYEXEC=", plain: "CGO_ENABLED=0"} {
			cmd := exec.Command("go", "build", "-o", file, ".")
			cmd.Env = append(os.Environ(), env)
			if out, err := cmd.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

type outcome struct {
	stdout, stderr string
	status         int
}

// call runs the command with a standard input.
func call(t *testing.T, program, stdin string, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func TestHelp(t *testing.T) {
	out := call(t, built, "")
	assert.Zero(t, out.status)
	for _, name := range []string{"run", "bench", "leaks", "doctor"} {
		assert.Contains(t, out.stdout, "\n   "+name+" ")
		help := call(t, built, "", name, "--help")
		assert.Zero(t, help.status)
		assert.Contains(t, help.stdout, "pyexec "+name+" ", "an example")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{
		"nope", "--nope", "run", "run --nope x", "run a b", "run /nonexistent.py", "run - --isolation vm", "run - --memory much",
		"run - --var x", "run - --vars -", "run - --timeout soon", "run - --venv /nonexistent", "run - --path /nonexistent",
		"bench", "bench - --rounds 0", "leaks", "doctor now", "doctor --system beos",
	} {
		out := call(t, built, "", strings.Fields(args)...)
		assert.Equal(t, 2, out.status, args)
		assert.NotEmpty(t, out.stderr, args)
		assert.Empty(t, out.stdout, args)
	}
}

func TestPlainHasTheDoctorOnly(t *testing.T) {
	for _, name := range []string{"run", "bench", "leaks"} {
		out := call(t, plain, "x = 1", name, "-", "--json")
		assert.Equal(t, 125, out.status, name)
		assert.Contains(t, out.stderr, "pyexec doctor")
	}
	out := call(t, plain, "", "doctor")
	assert.Zero(t, out.status, out.stdout)
	assert.Contains(t, out.stdout, "a program was built, and runs with Python 3.")
	assert.Contains(t, out.stdout, "Nothing is missing.")
}

func TestDoctor(t *testing.T) {
	out := call(t, built, "", "doctor")
	assert.Zero(t, out.status, out.stdout)
	for _, text := range []string{"a program was built, and runs with Python 3.", "works; on 3.", "works: Linux", "recycled (another process)", "Nothing is missing."} {
		assert.Contains(t, out.stdout, text)
	}
	out = call(t, built, "", "doctor", "--venv", t.TempDir())
	assert.Equal(t, 1, out.status)
	assert.Contains(t, out.stdout, "no virtual environment")
	assert.Contains(t, out.stdout, "What to do")

	out = call(t, plain, "", "doctor", "--program", built)
	assert.Zero(t, out.status, out.stdout)
	assert.Contains(t, out.stdout, "needs libpython3.")
	assert.NotContains(t, out.stdout, "To build")
	out = call(t, plain, "", "doctor", "--program", "/bin/true")
	assert.Equal(t, 1, out.status)
	assert.Contains(t, out.stdout, "it loads no libpython")

	out = call(t, plain, "", "doctor", "--system", "fedora")
	assert.Equal(t, "sudo dnf install -y gcc glibc-devel pkgconf-pkg-config python3-devel\n", out.stdout)
}
