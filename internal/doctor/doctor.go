// Package doctor looks at a machine: is there what pyexec is built with, and what it runs with, and if not, what installs it?
// It is plain Go and calls no Python by cgo, since it is needed most where that cannot be built.
package doctor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/go-pyexec/pyexec/internal/install"
)

// A Machine is what is looked at. Here is this one; tests have others.
type Machine struct {
	OS, Arch string
	Root     bool // who asks may install without sudo
	Getenv   func(string) string
	// Run runs a program and returns what it printed, errors included, without the space around it.
	Run func(env []string, name string, args ...string) (string, error)
	// Files is put in front of all paths that are looked at. Empty: none.
	Files string
}

// Here is the machine that the program runs on.
func Here() *Machine {
	return &Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Root: os.Getuid() == 0, Getenv: os.Getenv,
		Run: func(env []string, name string, args ...string) (string, error) {
			cmd := exec.Command(name, args...)
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			return strings.TrimSpace(string(out)), err
		},
	}
}

// A State says how good what was found is.
type State int

// The states of findings.
const (
	OK      State = iota
	Note          // worth knowing, and no obstacle
	Missing       // nothing works without it
)

func (s State) String() string { return [...]string{"ok", "note", "MISSING"}[s] }

// A Finding is one thing that was looked at.
type Finding struct {
	State  State
	What   string
	Detail string // may have several lines
}

// A Section is what was found about one matter.
type Section struct {
	Title    string
	Findings []Finding
}

func (s *Section) add(state State, what, format string, args ...any) {
	s.Findings = append(s.Findings, Finding{state, what, fmt.Sprintf(format, args...)})
}

// A Report is all that was found, and what to do about it.
type Report struct {
	Sections []Section
	Advice   []string // commands, or sentences; in order
	Python   string   // version that is built with, or that the program was, as in "3.11"; empty: none
	Builds   bool     // a C program that embeds that Python was compiled, linked and run
}

// Healthy says that nothing is missing.
func (r *Report) Healthy() bool {
	for _, s := range r.Sections {
		for _, f := range s.Findings {
			if f.State == Missing {
				return false
			}
		}
	}
	return true
}

// Options say what else to look at.
type Options struct {
	Venv    string // instead of VIRTUAL_ENV
	Program string // one that was built with pyexec, to be run here; what building needs is then not looked at
}

// Examine looks at everything.
func (m *Machine) Examine(o Options) *Report {
	r := &Report{}
	system := m.system()
	if o.Program == "" {
		r.Sections = append(r.Sections, m.lookBuild(r, system))
	}
	r.Sections = append(r.Sections, m.lookRun(r, system, o))
	r.Sections = append(r.Sections, m.lookLevels(r))
	return r
}

func (m *Machine) exists(path string) bool {
	_, err := os.Stat(m.Files + path)
	return err == nil
}

func (m *Machine) read(path string) string {
	b, err := os.ReadFile(m.Files + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (m *Machine) glob(pattern string) []string {
	all, err := filepath.Glob(m.Files + pattern)
	if err != nil {
		return nil
	}
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], m.Files)
	}
	return all
}

// has says whether a program can be run: one that cannot be found is another thing than one that fails.
func (m *Machine) has(name string, args ...string) (string, bool) {
	out, err := m.Run(nil, name, args...)
	var exit *exec.ExitError
	return out, err == nil || errors.As(err, &exit)
}

// lookRun is about what a program needs that has been built: libpython, the standard library, a virtual environment.
func (m *Machine) lookRun(r *Report, system system, o Options) Section {
	s := Section{Title: "To run"}
	needs := r.Python
	if o.Program != "" {
		version, err := programPython(m.Files + o.Program)
		switch {
		case err != nil:
			s.add(Missing, "the program", "%s: %v", o.Program, err)
		default:
			needs, r.Python = version, version
			s.add(OK, "the program", "%s needs libpython%s", o.Program, version)
		}
	}
	libraries := m.libpythons()
	switch {
	case o.Program == "" && needs != "":
		// lookBuild says what became of a program that was built
	case needs == "" && len(libraries) == 0:
		s.add(Note, "libpython", "none is here, so no program that was built elsewhere runs here, either")
	case needs == "":
		s.add(OK, "libpython", "for programs that were built elsewhere: %s", strings.Join(libraries, ", "))
	default:
		found := find(libraries, needs)
		if found == "" {
			s.add(Missing, "libpython"+needs, "no libpython%s is where the dynamic linker looks%s", needs, list("; there is ", libraries))
			r.Advice = append(r.Advice, system.runtime(needs, m.Root))
		} else {
			s.add(OK, "libpython"+needs, "%s", found)
		}
		if lib := m.stdlib(needs, found); lib == "" {
			s.add(Missing, "standard library", "no python%s with os.py in it", needs)
			r.Advice = append(r.Advice, system.runtime(needs, m.Root))
		} else {
			s.add(OK, "standard library", "%s", lib)
		}
	}
	m.lookVenv(&s, r, o.Venv, needs)
	return s
}

func (m *Machine) lookVenv(s *Section, r *Report, dir, version string) {
	from := "--venv"
	if dir == "" {
		dir, from = m.Getenv("VIRTUAL_ENV"), "VIRTUAL_ENV"
	}
	if dir == "" {
		s.add(Note, "virtual environment", "none: neither VIRTUAL_ENV nor --venv names one")
		return
	}
	if version == "" {
		s.add(Note, "virtual environment", "%s (from %s): for which Python is not known yet", dir, from)
		return
	}
	if err := install.CheckVenv(m.Files+dir, version); err != nil {
		s.add(Missing, "virtual environment", "%s (from %s): %v", dir, from, err)
		if from == "VIRTUAL_ENV" {
			r.Advice = append(r.Advice, "unset VIRTUAL_ENV    # or, in the program, Config.Venv: pyexec.NoVenv; or make one for this Python: python"+version+" -m venv DIR")
		} else {
			r.Advice = append(r.Advice, "python"+version+" -m venv DIR    # one for this Python")
		}
		return
	}
	v, err := install.ReadVenv(m.Files + dir)
	if err != nil {
		s.add(Missing, "virtual environment", "%s: %v", dir, err)
		return
	}
	packages := "without the packages of the system"
	if v.System {
		packages = "and the packages of the system"
	}
	s.add(OK, "virtual environment", "%s (from %s), made for Python %s, %s", dir, from, orUnknown(v.Version), packages)
}

func orUnknown(s string) string {
	if s == "" {
		return "of unknown version"
	}
	return s
}

func list(before string, all []string) string {
	if len(all) == 0 {
		return ""
	}
	return before + strings.Join(all, ", ")
}

// lookLevels is about what Config.Isolation can be here, and how interpreters are recycled.
func (m *Machine) lookLevels(r *Report) Section {
	s := Section{Title: "Levels, and how they recycle"}
	state, after := OK, ""
	if !r.Healthy() {
		state, after = Note, " once nothing is missing"
	}
	if m.OS != "linux" {
		s.add(Missing, "InProcess", "does not compile on %s so far: the kernel in C uses what only Linux has (memfd_create, gettid, real-time signals, /proc)", m.OS)
		s.add(Note, "Process", "does not work on %s: it needs Linux 5.3 or newer", m.OS)
		r.Advice = append(r.Advice, "build and run the program in a Linux container or virtual machine")
		return s
	}
	s.add(state, "InProcess", "works%s; %s", after, inPlace(r.Python))
	switch {
	case !atLeast(m.read("/proc/sys/kernel/osrelease"), 5, 3):
		if kernel := m.read("/proc/sys/kernel/osrelease"); kernel == "" {
			s.add(Missing, "Process", "/proc is not there, which it needs: mount -t proc proc /proc")
		} else {
			s.add(Note, "Process", "does not work: it needs Linux 5.3 or newer (pidfd_open), and this is %s", kernel)
		}
	default:
		s.add(state, "Process", "works%s: Linux %s; a recycle is another worker process, whatever was imported", after, m.read("/proc/sys/kernel/osrelease"))
	}
	return s
}

// inPlace is how an interpreter in process is recycled: compat.h and modules.c in internal/kernel decide it.
func inPlace(version string) string {
	switch {
	case version == "":
		return "how it is recycled depends on the version of Python"
	case version == "3.11":
		return "on 3.11 it is re-initialised, unless a C module was loaded that does not bear that (datetime, decimal, ctypes, ssl, numpy …), and then purged"
	case version == "3.12" || version == "3.13":
		return "on " + version + " it is always purged: re-initialising aborts or leaks there"
	}
	return "on " + version + " it is re-initialised, unless a C module was loaded that is not known to bear that (ctypes, numpy …), and then purged"
}

func atLeast(release string, major, minor int) bool {
	var a, b int
	n, err := fmt.Sscanf(release, "%d.%d", &a, &b)
	return n == 2 && err == nil && (a > major || a == major && b >= minor)
}
