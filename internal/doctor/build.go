package doctor

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-pyexec/pyexec/internal/install"
)

// Oldest is the first version of Python that pyexec is for; GoOldest that of Go.
const (
	Oldest   = "3.11"
	GoOldest = "1.25"
)

// older compares minor versions, as in "3.9" and "3.11".
func older(a, b string) bool {
	number := func(v string) int {
		major, minor, _ := strings.Cut(install.Minor(v), ".")
		x, err := strconv.Atoi(major)
		y, err2 := strconv.Atoi(minor)
		if err != nil || err2 != nil {
			return 0
		}
		return x*1000 + y
	}
	return number(a) < number(b)
}

// A module is a python3-embed.pc, or one of another name.
type module struct {
	file, name               string // name: as pkg-config calls it
	version, prefix, include string
	libdir                   string
	free                     bool // a free-threaded build
}

// lookBuild is about what cgo needs. It sets Python and Builds.
func (m *Machine) lookBuild(r *Report, system system) Section {
	s := Section{Title: "To build"}
	var want []string // what to install
	m.lookGo(&s, r)
	compiler, ok := m.lookCompiler(&s)
	if !ok {
		want = append(want, "compiler")
	}
	pkgConfig := m.Getenv("PKG_CONFIG")
	if pkgConfig == "" {
		pkgConfig = "pkg-config"
	}
	if out, found := m.has(pkgConfig, "--version"); found {
		s.add(OK, "pkg-config", "%s %s", pkgConfig, out)
	} else {
		s.add(Missing, "pkg-config", "%s, by which cgo finds Python, is not on PATH", pkgConfig)
		want = append(want, "pkg-config")
		pkgConfig = ""
	}
	all := m.modules()
	chosen, found := m.chosen(pkgConfig, all)
	switch {
	case !found:
		s.add(Missing, "python3-embed", "the headers and the library of Python, which pyexec embeds: no python3-embed.pc is where pkg-config looks")
		if other := usable(all); other != nil {
			r.Advice = append(r.Advice, use(*other)...)
		} else {
			want = append(want, "python")
		}
	case older(chosen.version, Oldest):
		s.add(Missing, "python3-embed", "it is Python %s, in %s; pyexec needs %s or newer", chosen.version, chosen.file, Oldest)
		if other := usable(all); other != nil {
			r.Advice = append(r.Advice, use(*other)...)
		} else {
			r.Advice = append(r.Advice, system.newer()...)
		}
	case chosen.free:
		s.add(Missing, "python3-embed", "it is a free-threaded build of Python %s, in %s; pyexec needs one with the GIL", chosen.version, chosen.file)
		if other := usable(all); other != nil {
			r.Advice = append(r.Advice, use(*other)...)
		}
	default:
		s.add(OK, "python3-embed", "Python %s, in %s", chosen.version, chosen.file)
		if m.lookHeaders(&s, chosen) {
			r.Python = install.Minor(chosen.version)
		} else {
			want = append(want, "python")
		}
	}
	if len(want) > 0 {
		r.Advice = append(system.install(want, m.Root), r.Advice...)
	}
	if r.Python != "" && len(want) == 0 {
		m.tryBuild(&s, r, compiler, pkgConfig, chosen, system)
	}
	m.lookOthers(&s, chosen, all)
	return s
}

func (m *Machine) lookGo(s *Section, r *Report) {
	version, found := m.has("go", "env", "GOVERSION")
	version = strings.TrimPrefix(version, "go")
	switch {
	case !found:
		s.add(Note, "Go", "it is not on PATH; pyexec needs Go %s or newer: https://go.dev/dl/", GoOldest)
	case older(version, GoOldest):
		s.add(Missing, "Go", "this is Go %s; pyexec needs %s or newer", version, GoOldest)
		r.Advice = append(r.Advice, "get a newer Go at https://go.dev/dl/, or let this one do it: go env -w GOTOOLCHAIN=auto")
	default:
		s.add(OK, "Go", "%s", version)
	}
	if m.Getenv("CGO_ENABLED") == "0" {
		s.add(Note, "cgo", "CGO_ENABLED is 0 here: right for building the doctor alone, but pyexec needs it unset")
	}
}

func (m *Machine) lookCompiler(s *Section) (string, bool) {
	names := []string{"gcc", "clang"}
	if m.OS == "darwin" {
		names = []string{"clang", "gcc"}
	}
	if cc := strings.Fields(m.Getenv("CC")); len(cc) > 0 {
		names = cc[:1]
	}
	for _, name := range names {
		if out, found := m.has(name, "--version"); found {
			first, _, _ := strings.Cut(out, "\n")
			s.add(OK, "C compiler", "%s: %s", name, first)
			return name, true
		}
	}
	s.add(Missing, "C compiler", "%s: not on PATH. Without one Go turns cgo off, and says \"undefined: pyexec_is_built_with_cgo_…\"", strings.Join(names, ", "))
	return "", false
}

// modules are all .pc files of Pythons to embed, in the order in which pkg-config would find them.
func (m *Machine) modules() []module {
	dirs := filepath.SplitList(m.Getenv("PKG_CONFIG_PATH"))
	home := m.Getenv("HOME")
	for _, pattern := range []string{
		"/usr/local/lib/*/pkgconfig", "/usr/local/lib/pkgconfig", "/usr/lib/*/pkgconfig", "/usr/lib/pkgconfig",
		"/usr/lib64/pkgconfig", "/usr/share/pkgconfig", "/opt/python*/lib/pkgconfig", "/opt/*/lib/pkgconfig",
		"/opt/homebrew/lib/pkgconfig", "/opt/homebrew/opt/python@3*/Frameworks/Python.framework/Versions/3*/lib/pkgconfig",
		"/usr/local/opt/python@3*/Frameworks/Python.framework/Versions/3*/lib/pkgconfig",
		"/Library/Frameworks/Python.framework/Versions/3*/lib/pkgconfig", home + "/.pyenv/versions/*/lib/pkgconfig",
		home + "/.local/share/uv/python/*/lib/pkgconfig",
	} {
		dirs = append(dirs, m.glob(pattern)...)
	}
	var all []module
	seen := map[string]bool{}
	for _, dir := range dirs {
		for _, file := range append([]string{dir + "/python3-embed.pc"}, m.glob(dir+"/python-3*-embed.pc")...) {
			if !seen[file] && m.exists(file) {
				seen[file] = true
				all = append(all, m.module(file))
			}
		}
	}
	return all
}

var assignment = regexp.MustCompile(`(?m)^(\w+)[ \t]*[=:][ \t]*(.*)$`)

// module reads a .pc file: https://people.freedesktop.org/~dbn/pkg-config-guide.html.
func (m *Machine) module(file string) module {
	vars := map[string]string{"pcfiledir": filepath.Dir(file)}
	expand := func(s string) string { return os.Expand(s, func(name string) string { return vars[name] }) }
	var libs string
	for _, parts := range assignment.FindAllStringSubmatch(m.read(file), -1) {
		vars[parts[1]] = expand(strings.TrimSpace(parts[2]))
		if parts[1] == "Libs" {
			libs = parts[2]
		}
	}
	p := module{
		file: file, name: strings.TrimSuffix(filepath.Base(file), ".pc"), version: vars["Version"], prefix: vars["prefix"],
		include: vars["includedir"], libdir: vars["libdir"],
	}
	p.free = freeThreaded.MatchString(libs)
	for _, flag := range strings.Fields(vars["Cflags"]) {
		if dir, ok := strings.CutPrefix(flag, "-I"); ok && m.exists(dir+"/Python.h") {
			p.include = dir
		}
	}
	return p
}

var freeThreaded = regexp.MustCompile(`-lpython3\.\d+t\b`)

// chosen is the module that cgo will be given.
func (m *Machine) chosen(pkgConfig string, all []module) (module, bool) {
	if pkgConfig != "" {
		dir, err := m.Run(nil, pkgConfig, "--variable=pcfiledir", "python3-embed")
		if err != nil {
			return module{}, false
		}
		return m.module(filepath.Join(dir, "python3-embed.pc")), true
	}
	i := slices.IndexFunc(all, func(p module) bool { return p.name == "python3-embed" })
	if i < 0 {
		return module{}, false
	}
	return all[i], true
}

// usable is a Python that could be built with instead.
func usable(all []module) *module {
	for i, p := range all {
		if !p.free && !older(p.version, Oldest) {
			return &all[i]
		}
	}
	return nil
}

// use is what makes cgo take that Python.
func use(p module) []string {
	dir := filepath.Dir(p.file)
	if p.name == "python3-embed" {
		return []string{"export PKG_CONFIG_PATH=" + dir + "    # to build with Python " + p.version}
	}
	return []string{
		"mkdir -p ~/.pyexec && ln -sf " + p.file + " ~/.pyexec/python3-embed.pc    # cgo asks for that name",
		"export PKG_CONFIG_PATH=~/.pyexec    # to build with Python " + p.version,
	}
}

var pyVersion = regexp.MustCompile(`(?m)^#define\s+PY_VERSION\s+"(.*)"`)

func (m *Machine) lookHeaders(s *Section, p module) bool {
	if p.include == "" || !m.exists(p.include+"/Python.h") {
		s.add(Missing, "headers", "there is no Python.h in %s", p.include)
		return false
	}
	parts := pyVersion.FindStringSubmatch(m.read(p.include + "/patchlevel.h"))
	if parts == nil || install.Minor(parts[1]) != install.Minor(p.version) {
		s.add(Missing, "headers", "%s is not of Python %s", p.include, p.version)
		return false
	}
	s.add(OK, "headers", "%s, of %s", p.include, parts[1])
	return true
}

const trial = `#include <Python.h>
#include <stdio.h>
int main(void)
{
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    PyConfig_SetBytesString(&config, &config.program_name, "/pyexec");
    printf("%s\n", Py_GetVersion());
    fflush(stdout);
    if (PyStatus_Exception(Py_InitializeFromConfig(&config))) {
        return 3;
    }
    return PyRun_SimpleString("import os; print(os.path.dirname(os.__file__), flush=True)") == 0 ? 0 : 3;
}
`

// tryBuild compiles, links and runs a small program as cgo would.
func (m *Machine) tryBuild(s *Section, r *Report, compiler, pkgConfig string, p module, system system) {
	dir, err := os.MkdirTemp("", "pyexec-doctor")
	if err != nil {
		s.add(Note, "trial", "no program could be tried: %v", err)
		return
	}
	defer os.RemoveAll(dir)
	source, program := filepath.Join(dir, "trial.c"), filepath.Join(dir, "trial")
	if err := os.WriteFile(source, []byte(trial), 0o600); err != nil {
		s.add(Note, "trial", "no program could be tried: %v", err)
		return
	}
	flags, err := m.Run(nil, pkgConfig, "--cflags", "--libs", "python3-embed")
	if err != nil {
		s.add(Missing, "trial", "%s --cflags --libs python3-embed: %s", pkgConfig, flags)
		return
	}
	if out, err := m.Run(nil, compiler, append([]string{"-o", program, source}, strings.Fields(flags)...)...); err != nil {
		s.add(Missing, "trial", "a program that embeds Python cannot be built:\n%s", lastLines(out, 4))
		r.Advice = append(r.Advice, m.linkAdvice(out, p, system)...)
		return
	}
	out, err := m.Run([]string{"PYTHONHOME="}, program)
	version, rest, _ := strings.Cut(out, "\n")
	number, _, _ := strings.Cut(version, " ")
	switch {
	case err == nil && install.Minor(number) == install.Minor(p.version):
		s.add(OK, "trial", "a program was built, and runs with Python %s; its standard library is %s", number, lastLines(rest, 1))
		r.Builds = true
	case err == nil:
		s.add(Missing, "trial", "a program was built for Python %s, and runs with libpython of %s", p.version, number)
		r.Advice = append(r.Advice, "export LD_LIBRARY_PATH="+p.libdir)
	case strings.Contains(out, "shared librar") || strings.Contains(out, "Library not loaded"):
		s.add(Missing, "trial", "a program was built, but does not start: %s", lastLines(out, 1))
		r.Advice = append(r.Advice, "export LD_LIBRARY_PATH="+p.libdir+"    # or build with: CGO_LDFLAGS=-Wl,-rpath,"+p.libdir)
	default:
		s.add(Missing, "trial", "a program was built, but Python does not start in it:\n%s", lastLines(out, 4))
		r.Advice = append(r.Advice, "reinstall Python "+p.version+": its standard library is not where libpython looks for it")
	}
}

func (m *Machine) linkAdvice(out string, p module, system system) []string {
	switch {
	case strings.Contains(out, "stdlib.h") || strings.Contains(out, "stdio.h") || strings.Contains(out, "crt1.o"):
		return system.install([]string{"compiler"}, m.Root) // a compiler without the headers of the C library
	case strings.Contains(out, "-lpython"):
		if p.prefix != "/usr" && len(m.glob(p.libdir+"/libpython3*.so*")) == 0 {
			return []string{"build the Python in " + p.prefix + " again, with ./configure --enable-shared (pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared)"}
		}
		return system.install([]string{"python"}, m.Root)
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// lookOthers tells of other Pythons, which a user may mean.
func (m *Machine) lookOthers(s *Section, chosen module, all []module) {
	const ask = `import sys, sysconfig; print("%d.%d.%d" % sys.version_info[:3], sys.base_prefix, sys.executable, sep="\n")`
	if out, err := m.Run(nil, "python3", "-I", "-c", ask); err == nil {
		if parts := strings.Split(out, "\n"); len(parts) == 3 && chosen.version != "" && !sameFolder(parts[1], chosen.prefix) {
			s.add(Note, "python3 on PATH", "%s is Python %s of %s, not the one that is built with: packages that it installs are not found by snippets", parts[2], parts[0], parts[1])
		} else if len(parts) == 3 && chosen.version != "" && install.Minor(parts[0]) != install.Minor(chosen.version) {
			s.add(Note, "python3 on PATH", "%s is Python %s, and %s is what is built with", parts[2], parts[0], install.Minor(chosen.version))
		}
	}
	seen := map[string]bool{chosen.prefix + " " + install.Minor(chosen.version): true}
	for _, p := range all {
		key := p.prefix + " " + install.Minor(p.version)
		if seen[key] && !p.free {
			continue
		}
		seen[key] = true
		switch {
		case p.free:
			s.add(Note, "another Python", "%s in %s: a free-threaded build, of no use here", p.version, p.prefix)
		case older(p.version, Oldest):
			s.add(Note, "another Python", "%s in %s: too old", p.version, p.prefix)
		default:
			s.add(Note, "another Python", "%s in %s. To build with it, and after go clean -cache:\n%s", p.version, p.prefix, strings.Join(use(p), "\n"))
		}
	}
}

func sameFolder(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}
