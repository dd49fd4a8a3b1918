package doctor

import (
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A system is a family of operating systems that name and install packages alike.
type system struct {
	id       string // debian, ubuntu, fedora, alpine, macos; empty: unknown
	name     string // as it calls itself
	update   string // to be done before installing; may be empty
	command  string
	packages map[string]string // of what lookBuild finds missing
	python   string            // package of libpython of a version, which is %s; see runtime
}

// Systems are the families whose commands are known.
var Systems = []string{"debian", "ubuntu", "fedora", "alpine", "macos"}

func systemOf(id string) (system, bool) {
	debian := map[string]string{"compiler": "gcc libc6-dev", "pkg-config": "pkg-config", "python": "python3-dev"}
	switch id {
	case "debian", "ubuntu":
		return system{id, id, "apt-get update", "apt-get install -y", debian, "apt-get install -y libpython%s    # if this release has it"}, true
	case "fedora":
		return system{id, id, "", "dnf install -y", map[string]string{
			"compiler": "gcc glibc-devel", "pkg-config": "pkgconf-pkg-config", "python": "python3-devel",
		}, "dnf install -y python3-libs    # which must be %s"}, true
	case "alpine":
		return system{id, id, "", "apk add", map[string]string{
			"compiler": "gcc musl-dev", "pkg-config": "pkgconf", "python": "python3-dev",
		}, "apk add python3    # which must be %s"}, true
	case "macos":
		return system{id, id, "", "brew install", map[string]string{"pkg-config": "pkgconf", "python": "python"}, "brew install python@%s"}, true
	}
	return system{}, false
}

var osRelease = regexp.MustCompile(`(?m)^(\w+)="?([^"\n]*)"?$`)

// system reads /etc/os-release: https://www.freedesktop.org/software/systemd/man/latest/os-release.html.
func (m *Machine) system() system {
	if m.OS == "darwin" {
		s, _ := systemOf("macos")
		return s
	}
	vars := map[string]string{}
	for _, parts := range osRelease.FindAllStringSubmatch(m.read("/etc/os-release"), -1) {
		vars[parts[1]] = parts[2]
	}
	for _, id := range append([]string{vars["ID"]}, strings.Fields(vars["ID_LIKE"])...) {
		if id == "rhel" || id == "centos" {
			id = "fedora"
		}
		if s, ok := systemOf(id); ok {
			s.name = vars["PRETTY_NAME"]
			return s
		}
	}
	return system{name: vars["PRETTY_NAME"]}
}

// Name is what the machine's system calls itself.
func (m *Machine) Name() string {
	if s := m.system(); s.name != "" {
		return s.name
	}
	return "an unknown system"
}

// Commands are what installs everything that pyexec is built with, on a system of that family.
func Commands(id string) []string {
	s, ok := systemOf(id)
	if !ok {
		return nil
	}
	return s.install([]string{"compiler", "pkg-config", "python"}, false)
}

func (s system) install(what []string, root bool) []string {
	sudo := sudo(root || s.id == "macos")
	if s.id == "" {
		return []string{"install, with this system's own packages: " + strings.Join(what, ", ") +
			" (python: the headers and library of Python " + Oldest + " or newer, and its python3-embed.pc)"}
	}
	var out, packages []string
	if s.id == "macos" && slices.Contains(what, "compiler") {
		out = append(out, "xcode-select --install")
	}
	for _, w := range what {
		if p := s.packages[w]; p != "" {
			packages = append(packages, p)
		}
	}
	if len(packages) == 0 {
		return out
	}
	command := sudo + s.command + " " + strings.Join(packages, " ")
	if s.update != "" {
		command = sudo + s.update + " && " + command
	}
	return append(out, command)
}

// newer is what to do where the system's Python is too old.
func (s system) newer() []string {
	switch s.id {
	case "ubuntu":
		return []string{"sudo apt-get install -y python3.11-dev    # if this release has it; then ask the doctor again, or move to Ubuntu 24.04"}
	case "debian":
		return []string{"move to Debian 12 or newer, or build a newer Python with ./configure --enable-shared and set PKG_CONFIG_PATH to its lib/pkgconfig"}
	case "fedora":
		return []string{"sudo dnf install -y python3.12-devel    # if this release has it; then ask the doctor again"}
	case "macos":
		return []string{"brew install python    # then ask the doctor again"}
	}
	return []string{"install Python " + Oldest + " or newer with its headers and library, and set PKG_CONFIG_PATH to the folder of its python3-embed.pc"}
}

// runtime is what installs the libpython of a version.
func (s system) runtime(version string, root bool) string {
	if s.id == "" {
		return "install the shared library and the standard library of Python " + version
	}
	command := sudo(root || s.id == "macos") + fmt.Sprintf(s.python, version)
	if s.update != "" {
		command = sudo(root) + s.update + " && " + command
	}
	return command
}

func sudo(root bool) string {
	if root {
		return ""
	}
	return "sudo "
}

var soname = regexp.MustCompile(`libpython(3\.\d+t?)\.(so|dylib)|Python\.framework/Versions/(3\.\d+)/Python`)

// programPython is the version of the libpython that a program loads.
func programPython(file string) (string, error) {
	var libraries []string
	if f, err := elf.Open(file); err == nil {
		defer f.Close()
		if libraries, err = f.ImportedLibraries(); err != nil {
			return "", err
		}
	} else if f, err := macho.Open(file); err == nil {
		defer f.Close()
		if libraries, err = f.ImportedLibraries(); err != nil {
			return "", err
		}
	} else {
		return "", fmt.Errorf("it is no program that can be looked into: %w", err)
	}
	for _, l := range libraries {
		if parts := soname.FindStringSubmatch(l); parts != nil {
			return parts[1] + parts[3], nil
		}
	}
	return "", errors.New("it loads no libpython")
}

// libpythons are the shared libraries that are where the dynamic linker looks.
func (m *Machine) libpythons() []string {
	dirs := filepath.SplitList(m.Getenv("LD_LIBRARY_PATH"))
	dirs = append(dirs, "/usr/local/lib", "/usr/local/lib/*", "/usr/lib/*", "/usr/lib", "/usr/lib64", "/lib/*", "/lib64", "/opt/homebrew/lib")
	seen := map[string]bool{}
	var all []string
	for _, dir := range dirs {
		for _, pattern := range []string{"/libpython3.*.so.*", "/libpython3.*.dylib"} {
			for _, file := range m.glob(dir + pattern) {
				parts := soname.FindStringSubmatch(file)
				if parts != nil && !seen[parts[1]] { // one of libpython3.11.so.1 and libpython3.11.so.1.0
					seen[parts[1]] = true
					all = append(all, file)
				}
			}
		}
	}
	return all
}

func find(libraries []string, version string) string {
	for _, l := range libraries {
		if parts := soname.FindStringSubmatch(l); parts != nil && parts[1] == version {
			return l
		}
	}
	return ""
}

// stdlib is where the standard library of a version is: beside its libpython, or where distributions have it.
func (m *Machine) stdlib(version, library string) string {
	lib := filepath.Dir(library)
	for _, prefix := range []string{lib, filepath.Dir(lib), "/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib"} {
		if dir := filepath.Join(prefix, "python"+version); m.exists(dir + "/os.py") {
			return dir
		}
	}
	return ""
}
