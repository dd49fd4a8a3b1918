package pyexec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-pyexec/pyexec/internal/install"
	"github.com/go-pyexec/pyexec/internal/kernel"
)

// NoVenv is a Config.Venv: no virtual environment, whatever VIRTUAL_ENV says.
const NoVenv = "-"

// A VersionError is returned by New if the libpython that the program has found at its start is not one that it can use:
// another version than that whose headers it was built with, or a free-threaded build.
type VersionError struct {
	Built string // as in "3.13.1"
	Found string // as sys.version begins, as in "3.12.4"
	Free  bool   // it is a free-threaded build
}

func (e *VersionError) Error() string {
	if e.Free {
		return fmt.Sprintf("pyexec: the program has found a free-threaded build of Python %s, and needs one with the GIL", e.Found)
	}
	return fmt.Sprintf("pyexec: the program was built for Python %s, and has found libpython of Python %s: if it has just been built, "+
		"clear the Go build cache (go clean -cache) and build it again; else give it the libpython%s it was built for (LD_LIBRARY_PATH)",
		install.Minor(e.Built), e.Found, install.Minor(e.Built))
}

// checkVersion compares the version of the headers with what Py_GetVersion says. Releases of one minor version are
// compatible: https://docs.python.org/3/c-api/stable.html.
func checkVersion(built, found string) error {
	version, rest, _ := strings.Cut(found, " ")
	free := strings.Contains(rest, "free-threading build")
	if free || install.Minor(version) != install.Minor(built) {
		return &VersionError{Built: built, Found: version, Free: free}
	}
	return nil
}

// fillPython settles where Python is, as absolute paths: the working directory may be another one at the next start.
func (c *Config) fillPython() error {
	version := install.Minor(kernel.Version())
	hint := ""
	switch {
	case c.Venv == NoVenv:
		c.Venv = ""
	case c.Venv == "":
		c.Venv = os.Getenv("VIRTUAL_ENV")
		hint = " (from VIRTUAL_ENV; NoVenv would have it ignored)"
	}
	for _, f := range []struct {
		name  string
		dir   *string
		check func(dir, version string) error
	}{
		{"Home", &c.Home, install.CheckHome},
		{"Venv", &c.Venv, install.CheckVenv},
	} {
		if *f.dir == "" {
			continue
		}
		if err := absolute(f.dir); err != nil {
			return &ConfigError{Field: f.name, Value: fmt.Sprintf("%q", *f.dir), Reason: err.Error()}
		}
		if err := f.check(*f.dir, version); err != nil {
			reason := err.Error()
			if f.name == "Venv" {
				reason += hint
			}
			return &ConfigError{Field: f.name, Value: fmt.Sprintf("%q", *f.dir), Reason: reason}
		}
	}
	paths := make([]string, len(c.Paths))
	for i, path := range c.Paths {
		paths[i] = path
		err := absolute(&paths[i])
		if err == nil {
			_, err = os.Stat(paths[i])
		}
		if err != nil {
			return &ConfigError{Field: fmt.Sprintf("Paths[%d]", i), Value: fmt.Sprintf("%q", path), Reason: err.Error()}
		}
	}
	c.Paths = paths
	return nil
}

func absolute(path *string) error {
	if *path == "" || strings.ContainsAny(*path, "\n\x00") {
		return fmt.Errorf("it is no path")
	}
	abs, err := filepath.Abs(*path)
	if err == nil {
		*path = abs
	}
	return err
}
