package pyexec_test

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// alone runs the test that calls it in a process of its own, and returns true there: in process, an interpreter that an
// earlier test left running cannot be given another installation.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "PYEXEC_TEST_ALONE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	cmd := exec.Command(exe, "-test.run="+pattern, "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return false
}

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

// pythonHas is what a plain interpreter says of itself.
type pythonHas struct {
	Version, Prefix, Stdlib string
}

func askPython(t *testing.T) (p pythonHas) {
	t.Helper()
	ex, err := pyexec.New(pyexec.Config{Isolation: pyexec.Process, Workers: 1, Venv: pyexec.NoVenv})
	require.NoError(t, err)
	defer ex.Close()
	res := run(t, ex, "import os, sys\nVersion = '%d.%d' % sys.version_info[:2]\nPrefix = sys.prefix\nStdlib = os.path.dirname(os.__file__)")
	require.NoError(t, res.Into(&p))
	return p
}

// makeVenv lays out what python3 -m venv does, with one package, and one more by a .pth file.
func makeVenv(t *testing.T, python pythonHas, config string) string {
	t.Helper()
	dir := t.TempDir()
	site := filepath.Join(dir, "lib", "python"+python.Version, "site-packages")
	write(t, "home = "+python.Prefix+"/bin\ninclude-system-site-packages = false\nversion = "+python.Version+".0\n"+config, dir, "pyvenv.cfg")
	write(t, "where = 'venv'\n", site, "onlyhere.py")
	write(t, "elsewhere\nimport sys; sys.pth_was_run = True\n", site, "elsewhere.pth")
	write(t, "where = 'elsewhere'\n", site, "elsewhere", "byline.py")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.Symlink(python.Prefix+"/bin/python"+python.Version, filepath.Join(dir, "bin", "python")))
	return dir
}

const lookAround = `import sys, onlyhere, byline
found = [onlyhere.where, byline.where, sys.pth_was_run, sys.prefix, sys.exec_prefix, sys.executable]
base = sys.base_prefix
system = [p for p in sys.path if p.endswith("-packages") and not p.startswith(sys.prefix)]
built_in = "exit" in dir(sys.modules["builtins"])
sys.path.clear()
sys.prefix = "/changed"
`

func TestVenv(t *testing.T) {
	python := askPython(t)
	for name, c := range map[string]struct {
		config         string
		variable, both bool
	}{
		"by Config":                        {},
		"by VIRTUAL_ENV":                   {variable: true},
		"Config is stronger":               {variable: true, both: true},
		"with the packages of the system":  {config: "include-system-site-packages = true\n"},
		"as virtualenv and uv write it":    {config: "implementation = CPython\nuv = 0.9\nversion_info = " + python.Version + ".1\n"},
		"without a version in its pyvenv":  {config: "version =\n"},
		"with a prompt and a version_info": {config: "prompt = x = y\nversion_info = " + python.Version + ".2.final.0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if !alone(t) {
				return
			}
			dir := makeVenv(t, python, c.config)
			config := at(pyexec.Config{Venv: dir})
			if c.variable {
				t.Setenv("VIRTUAL_ENV", dir)
				config.Venv = ""
			}
			if c.both {
				t.Setenv("VIRTUAL_ENV", "/nonexistent")
				config.Venv = dir
			}
			ex := openAt(t, config)
			for range 2 {
				v := run(t, ex, lookAround).Vars()
				assert.Equal(t, []any{"venv", "elsewhere", true, dir, dir, dir + "/bin/python"}, v["found"])
				assert.Equal(t, python.Prefix, v["base"], "the standard library is the one that libpython came with")
				assert.Equal(t, strings.Contains(c.config, "true"), len(v["system"].([]any)) > 0, v["system"])
				assert.Equal(t, true, v["built_in"])
				res := run(t, ex, "import sys\nx = sys.prefix, onlyhere in sys.modules if 'onlyhere' in globals() else len(sys.path) > 2")
				assert.Equal(t, pyexec.Tuple{dir, true}, res.Vars()["x"])
				require.NoError(t, ex.Recycle(ctx))
			}
			assert.Empty(t, run(t, ex, "import onlyhere").Changes)
		})
	}
	t.Run("NoVenv", func(t *testing.T) {
		if !alone(t) {
			return
		}
		t.Setenv("VIRTUAL_ENV", makeVenv(t, python, ""))
		ex := openAt(t, at(pyexec.Config{Venv: pyexec.NoVenv}))
		assert.Equal(t, python.Prefix, run(t, ex, "import sys; p = sys.prefix").Vars()["p"])
		_, err := ex.Execute(ctx, "import onlyhere", nil)
		assert.ErrorIs(t, err, pyexec.ErrType("ModuleNotFoundError"))
	})
	t.Run("another version", func(t *testing.T) {
		dir := makeVenv(t, python, "")
		write(t, "version = 3.2.1\n", dir, "pyvenv.cfg")
		refused(t, pyexec.Config{Venv: dir}, "Venv", "it was made for Python 3.2.1, and this program has Python "+python.Version)
		t.Setenv("VIRTUAL_ENV", dir)
		refused(t, pyexec.Config{}, "Venv", "from VIRTUAL_ENV")
		write(t, "home = /usr/bin\n", dir, "pyvenv.cfg")
		require.NoError(t, os.Rename(filepath.Join(dir, "lib", "python"+python.Version), filepath.Join(dir, "lib", "python3.2")))
		refused(t, pyexec.Config{Venv: dir}, "Venv", "it is of 3.2")
		refused(t, pyexec.Config{Venv: t.TempDir()}, "Venv", "no pyvenv.cfg")
		refused(t, pyexec.Config{Venv: "/nonexistent"}, "Venv", "no pyvenv.cfg")
	})
	t.Run("with a .pth file that fails", func(t *testing.T) {
		if !alone(t) {
			return
		}
		dir := makeVenv(t, python, "")
		write(t, "import no_such_module\n", dir, "lib", "python"+python.Version, "site-packages", "a.pth")
		ex := openAt(t, at(pyexec.Config{Venv: dir}))
		assert.Equal(t, true, run(t, ex, lookAround).Vars()["built_in"], "site goes on with the next")
	})
}

// refused has New fail for a field.
func refused(t *testing.T, config pyexec.Config, field, reason string) {
	t.Helper()
	_, err := pyexec.New(at(config))
	var bad *pyexec.ConfigError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, field, bad.Field)
	assert.ErrorContains(t, err, reason)
}

func TestPaths(t *testing.T) {
	if !alone(t) {
		return
	}
	dir, second := t.TempDir(), t.TempDir()
	write(t, "rate = 19\n", dir, "taxes.py")
	write(t, "rate = 7\n", second, "taxes.py")
	f, err := os.Create(filepath.Join(dir, "more.zip"))
	require.NoError(t, err)
	z := zip.NewWriter(f)
	w, err := z.Create("zipped.py")
	require.NoError(t, err)
	_, err = w.Write([]byte("from taxes import rate"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())

	t.Chdir(dir)
	ex := openAt(t, at(pyexec.Config{Paths: []string{".", second, "more.zip"}, Preload: []string{"zipped"}}))
	t.Chdir("/")
	for range 2 {
		res := run(t, ex, "import sys, zipped, taxes\nrates = zipped.rate, taxes.rate\nfirst = sys.path[:3]\nsys.path.pop(0)")
		assert.Equal(t, pyexec.Tuple{int64(19), int64(19)}, res.Vars()["rates"])
		assert.Equal(t, []any{dir, second, filepath.Join(dir, "more.zip")}, res.Vars()["first"])
		require.NoError(t, ex.Recycle(ctx))
	}
	refused(t, pyexec.Config{Paths: []string{dir, "/nonexistent"}}, "Paths[1]", "no such file")
	refused(t, pyexec.Config{Paths: []string{""}}, "Paths[0]", "no path")
	refused(t, pyexec.Config{Paths: []string{dir + "\n" + dir}}, "Paths[0]", "no path")
}

func TestHome(t *testing.T) {
	python := askPython(t)
	home := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(home, "lib"), 0o755))
	refused(t, pyexec.Config{Home: home}, "Home", "no lib/python"+python.Version)
	require.NoError(t, os.Symlink(python.Stdlib, filepath.Join(home, "lib", "python"+python.Version)))
	refused(t, pyexec.Config{Home: home + ":" + home}, "Home", "cannot be told")
	for name, config := range map[string]pyexec.Config{
		"alone":       {Home: home},
		"with a venv": {Home: home, Venv: makeVenv(t, python, "")},
	} {
		t.Run(name, func(t *testing.T) {
			if !alone(t) {
				return
			}
			ex := openAt(t, at(config))
			for range 2 {
				res := run(t, ex, "import keyword, os, sys\nfiles = os.path.dirname(os.__file__), os.path.dirname(keyword.__file__)\nbase = sys.base_prefix")
				lib := filepath.Join(home, "lib", "python"+python.Version)
				assert.Equal(t, pyexec.Tuple{lib, lib}, res.Vars()["files"])
				assert.Equal(t, home, res.Vars()["base"])
				require.NoError(t, ex.Recycle(ctx))
			}
		})
	}
}

// An interpreter in process that could not be finalised serves the next Executor, but cannot be moved to other folders.
func TestOtherInstallationAfterNative(t *testing.T) {
	if level != pyexec.InProcess {
		t.Skip("worker processes always begin anew")
	}
	if !alone(t) {
		return
	}
	dir := t.TempDir()
	ex, err := pyexec.New(pyexec.Config{Paths: []string{dir}})
	require.NoError(t, err)
	run(t, ex, "import ctypes") // which no version bears being finalised with
	require.NoError(t, ex.Close())

	_, err = pyexec.New(pyexec.Config{})
	var start *pyexec.StartError
	require.ErrorAs(t, err, &start)
	assert.Contains(t, start.Reason, "_ctypes")
	assert.Contains(t, start.Reason, "use Isolation: Process")

	ex = openAt(t, pyexec.Config{Paths: []string{dir}})
	assert.Equal(t, dir, run(t, ex, "import sys; p = sys.path[0]").Vars()["p"])
}

// A module that cannot be preloaded, after one that an interpreter cannot be finalised with, costs nobody the process.
func TestPreloadFailsAfterNative(t *testing.T) {
	needsInstalled(t, "numpy")
	if !alone(t) {
		return
	}
	for range 3 {
		_, err := pyexec.New(at(pyexec.Config{Preload: []string{"numpy", "no_such_module"}}))
		var start *pyexec.StartError
		require.ErrorAs(t, err, &start)
		assert.Contains(t, start.Reason, "No module named 'no_such_module'")
	}
	ex := openAt(t, at(pyexec.Config{Preload: []string{"numpy"}}))
	for range 3 {
		res := run(t, ex, "import numpy\nx = int(numpy.arange(4).sum())\nnumpy.planted = 1")
		assert.EqualValues(t, 6, res.Vars()["x"])
		assert.Len(t, res.Changes, 1)
		require.NoError(t, ex.Recycle(ctx))
	}
}

func TestVersion(t *testing.T) {
	for _, c := range []struct{ built, found, version, message string }{
		{built: "3.11.2", found: "3.11.2 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]"},
		{built: "3.11.2", found: "3.11.9 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]"},
		{built: "3.15.0a7+", found: "3.15.0b1 (main) [GCC]"},
		{built: "3.11.2", found: "3.1.5 (main) [GCC]", version: "3.1.5", message: "built for Python 3.11, and has found libpython of Python 3.1.5"},
		{built: "3.12.1", found: "3.13.0 (main) [GCC]", version: "3.13.0", message: "go clean -cache"},
		{built: "3.13.0", found: "3.13.0 experimental free-threading build (main) [GCC]", version: "3.13.0", message: "free-threaded build of Python 3.13.0"},
		{built: "3.14.0", found: "3.14.0 free-threading build (main) [GCC]", version: "3.14.0", message: "one with the GIL"},
		{built: "3.14.0", found: "", message: "has found"},
	} {
		t.Run(c.built+" "+c.found, func(t *testing.T) {
			err := pyexec.CheckVersion(c.built, c.found)
			if c.message == "" {
				require.NoError(t, err)
				return
			}
			var bad *pyexec.VersionError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, pyexec.VersionError{Built: c.built, Found: c.version, Free: strings.Contains(c.found, "free")}, *bad)
			assert.ErrorContains(t, err, c.message)
		})
	}
}
