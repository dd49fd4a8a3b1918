// Package install knows how installations of Python and virtual environments look on a disk. It needs no Python, and no
// cgo: cmd/pyexec looks at machines with it where nothing else of pyexec can be built.
package install

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Minor is the part of a version that binds: "3.11" of "3.11.2+" or of "3.11.2 (main, ...)". Empty: it is no version.
func Minor(version string) string { return minor.FindString(version) }

var minor = regexp.MustCompile(`^\d+\.\d+`)

// CheckHome says whether dir is the prefix of a Python of that version (as in "3.11").
func CheckHome(dir, version string) error {
	if strings.ContainsRune(dir, os.PathListSeparator) {
		return fmt.Errorf("a folder with %q in its name cannot be told from two", os.PathListSeparator)
	}
	for _, file := range []string{"os.py", "os.pyc"} {
		for _, lib := range libs {
			if exists(filepath.Join(dir, lib, "python"+version, file)) {
				return nil
			}
		}
	}
	if exists(filepath.Join(dir, "lib", "python"+strings.ReplaceAll(version, ".", "")+".zip")) {
		return nil
	}
	return fmt.Errorf("there is no lib/python%s in it with a standard library, and this program has Python %s%s",
		version, version, others(dir))
}

// libs are where a prefix has its libraries; some distributions have 64-bit ones apart.
var libs = []string{"lib", "lib64"}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// others names the versions whose libraries are in a prefix.
func others(dir string) string {
	var found []string
	for _, lib := range libs {
		all, err := filepath.Glob(filepath.Join(dir, lib, "python3.*"))
		if err != nil {
			continue // the name is a bad pattern
		}
		for _, path := range all {
			found = append(found, strings.TrimPrefix(filepath.Base(path), "python"))
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "; it is of " + strings.Join(found, ", ")
}

// A Venv is a virtual environment.
type Venv struct {
	Dir      string
	Home     string // the folder of the python that it was made with
	Version  string // of that, as in "3.11.2"; empty: not told
	System   bool   // the packages of that Python can be imported, too
	Packages string // where its own are
}

// ErrNoVenv says that a folder is no virtual environment.
var ErrNoVenv = errors.New("it is no virtual environment: there is no pyvenv.cfg in it")

// ReadVenv looks at the virtual environment in dir, without saying whether it is of any use.
func ReadVenv(dir string) (Venv, error) {
	v := Venv{Dir: dir, System: true} // as Python takes it if nothing is said
	f, err := os.Open(filepath.Join(dir, "pyvenv.cfg"))
	if errors.Is(err, fs.ErrNotExist) {
		return v, ErrNoVenv
	}
	if err != nil {
		return v, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "home":
			v.Home = value
		case "version", "version_info":
			v.Version = value
		case "include-system-site-packages":
			v.System = strings.EqualFold(value, "true")
		}
	}
	for _, lib := range libs {
		all, err := filepath.Glob(filepath.Join(dir, lib, "python3.*", "site-packages"))
		if err == nil && len(all) > 0 {
			v.Packages = all[0]
			break
		}
	}
	return v, nil
}

// CheckVenv says whether the virtual environment in dir is one for a Python of that version (as in "3.11").
func CheckVenv(dir, version string) error {
	v, err := ReadVenv(dir)
	if err != nil {
		return err
	}
	if v.Version != "" && Minor(v.Version) != version {
		return fmt.Errorf("it was made for Python %s, and this program has Python %s: make one with python%s -m venv",
			v.Version, version, version)
	}
	for _, lib := range libs {
		if exists(filepath.Join(dir, lib, "python"+version, "site-packages")) {
			return nil
		}
	}
	return fmt.Errorf("there is no lib/python%s/site-packages in it, and this program has Python %s%s", version, version, others(dir))
}
