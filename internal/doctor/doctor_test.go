package doctor_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec/internal/doctor"
)

// A machine that is made up: files, variables, and programs with what they print.
type fake struct {
	system   string // /etc/os-release
	os       string
	files    map[string]string
	env      map[string]string
	programs map[string]string // by their command line, as far as it is looked at; "!": it fails
}

func (f fake) examine(t *testing.T, o doctor.Options) (*doctor.Report, string) {
	t.Helper()
	dir := t.TempDir()
	f.files = with(f.files, map[string]string{"/etc/os-release": f.system, "/proc/sys/kernel/osrelease": "6.1.0-30-amd64\n"})
	for name, text := range f.files {
		if text == "" {
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(dir+name), 0o755))
		require.NoError(t, os.WriteFile(dir+name, []byte(text), 0o600))
	}
	if f.os == "" {
		f.os = "linux"
	}
	r := (&doctor.Machine{
		OS: f.os, Arch: "arm64", Files: dir, Getenv: func(name string) string { return f.env[name] },
		Run: func(_ []string, name string, args ...string) (string, error) {
			line := strings.Join(append([]string{filepath.Base(name)}, args...), " ")
			for start, out := range f.programs {
				if strings.HasPrefix(line, start) {
					if text, failed := strings.CutPrefix(out, "!"); failed {
						return text, &exec.ExitError{}
					}
					return out, nil
				}
			}
			return "", errors.New("not found: " + line)
		},
	}).Examine(o)
	var b strings.Builder
	for _, s := range r.Sections {
		for _, found := range s.Findings {
			b.WriteString(found.State.String() + " " + found.What + ": " + found.Detail + "\n")
		}
	}
	return r, b.String()
}

func with(maps ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range maps {
		for key, value := range m {
			if _, there := out[key]; !there {
				out[key] = value
			}
		}
	}
	return out
}

const (
	debian = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"
	ubuntu = "PRETTY_NAME=\"Ubuntu 22.04\"\nID=ubuntu\nID_LIKE=debian\n"
	mint   = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"
	fedora = "ID=fedora\n"
	rocky  = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"
	alpine = "ID=alpine\n"
	arch   = "ID=arch\n"

	pkgconfig = "/usr/lib/x86_64-linux-gnu/pkgconfig/"
)

// pc is a python3-embed.pc as CPython installs it, with an empty Requires, which pkg-config allows.
func pc(prefix, version string) string {
	return "prefix=" + prefix + "\nexec_prefix=${prefix}\nlibdir=${exec_prefix}/lib\nincludedir=${prefix}/include\n\n" +
		"Name: Python\nDescription: Embed Python\nRequires:\nVersion: " + version + "\nLibs.private: -ldl\n" +
		"Libs: -L${libdir} -lpython" + version + "\nCflags: -I${includedir}/python" + strings.TrimSuffix(version, "t") + "\n"
}

func headers(version string) map[string]string {
	return map[string]string{
		"/usr/include/python" + version + "/Python.h":     "/* */",
		"/usr/include/python" + version + "/patchlevel.h": "#define PY_VERSION \"" + version + ".4\"\n",
	}
}

var (
	tools = map[string]string{"go env": "go1.25.1", "gcc --version": "gcc 12\nCopyright", "pkg-config --version": "1.8.1"}
	found = with(tools, map[string]string{
		"pkg-config --variable=pcfiledir": pkgconfig, "pkg-config --cflags": "-I/usr/include/python3.11 -lpython3.11", "gcc -o": "",
		"trial": "3.11.4 (main) [GCC]\n/usr/lib/python3.11",
	})
	files = with(headers("3.11"), map[string]string{pkgconfig + "python3-embed.pc": pc("/usr", "3.11")})
)

func TestAllIsThere(t *testing.T) {
	r, text := fake{system: debian, files: files, programs: found}.examine(t, doctor.Options{})
	assert.True(t, r.Healthy(), text)
	assert.Empty(t, r.Advice)
	assert.Equal(t, "3.11", r.Python)
	assert.Contains(t, text, "ok trial: a program was built, and runs with Python 3.11.4; its standard library is /usr/lib/python3.11\n")
	assert.Contains(t, text, "ok InProcess: works; on 3.11 it is re-initialised")
	assert.Contains(t, text, "ok Process: works: Linux 6.1.0")
}

func TestOldestAreThoseOfTheProject(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	assert.Contains(t, string(mod), "\ngo "+doctor.GoOldest+".")
	compat, err := os.ReadFile("../kernel/compat.h")
	require.NoError(t, err)
	assert.Contains(t, string(compat), "pyexec needs Python "+doctor.Oldest+" or newer")
}

const onlyLinux = "\nbuild and run the program in a Linux container or virtual machine"

// What installs what is missing, on each system.
func TestInstall(t *testing.T) {
	failing := map[string]string{"pkg-config --variable=pcfiledir": "!No package 'python3-embed' found"}
	for _, c := range []struct {
		system, os string
		programs   map[string]string
		advice     string
	}{
		{system: debian, advice: "sudo apt-get update && sudo apt-get install -y gcc libc6-dev pkg-config python3-dev"},
		{system: mint, advice: "sudo apt-get update && sudo apt-get install -y gcc libc6-dev pkg-config python3-dev"},
		{system: ubuntu, programs: with(failing, tools), advice: "sudo apt-get update && sudo apt-get install -y python3-dev"},
		{system: fedora, advice: "sudo dnf install -y gcc glibc-devel pkgconf-pkg-config python3-devel"},
		{system: rocky, programs: with(failing, tools), advice: "sudo dnf install -y python3-devel"},
		{system: alpine, advice: "sudo apk add gcc musl-dev pkgconf python3-dev"},
		{os: "darwin", advice: "xcode-select --install\nbrew install pkgconf python" + onlyLinux},
		{os: "darwin", programs: map[string]string{"clang --version": "Apple clang"}, advice: "brew install pkgconf python" + onlyLinux},
		{system: arch, advice: "install, with this system's own packages: compiler, pkg-config, python (python: the headers and library of Python 3.11 or newer, and its python3-embed.pc)"},
	} {
		r, text := fake{system: c.system, os: c.os, programs: c.programs}.examine(t, doctor.Options{})
		assert.False(t, r.Healthy(), text)
		assert.Equal(t, c.advice, strings.Join(r.Advice, "\n"), text)
		assert.Contains(t, text, "MISSING python3-embed")
	}
	for _, system := range doctor.Systems {
		assert.NotEmpty(t, doctor.Commands(system))
	}
	assert.Empty(t, doctor.Commands("beos"))
}

func TestWrongPython(t *testing.T) {
	other := map[string]string{pkgconfig + "python-3.12-embed.pc": pc("/usr", "3.12")}
	for name, c := range map[string]struct {
		fake
		says, advice string
	}{
		"too old": {
			fake: fake{system: ubuntu, programs: found, files: map[string]string{pkgconfig + "python3-embed.pc": pc("/usr", "3.10")}},
			says: "it is Python 3.10, in /usr/lib/x86_64-linux-gnu/pkgconfig/python3-embed.pc; pyexec needs 3.11 or newer", advice: "python3.11-dev",
		},
		"too old, with another": {
			fake: fake{system: ubuntu, programs: found, files: with(other, map[string]string{pkgconfig + "python3-embed.pc": pc("/usr", "3.9")})},
			says: "another Python: 3.12 in /usr", advice: "ln -sf /usr/lib/x86_64-linux-gnu/pkgconfig/python-3.12-embed.pc ~/.pyexec/python3-embed.pc",
		},
		"free-threaded": {
			fake: fake{system: debian, programs: found, files: with(other, map[string]string{pkgconfig + "python3-embed.pc": pc("/usr", "3.13t")})},
			says: "free-threaded build of Python 3.13", advice: "to build with Python 3.12",
		},
		"no headers": {
			fake: fake{system: debian, programs: found, files: map[string]string{pkgconfig + "python3-embed.pc": pc("/usr", "3.11")}},
			says: "MISSING headers: there is no Python.h", advice: "install -y python3-dev",
		},
		"headers of another": {
			fake: fake{system: debian, programs: found, files: with(map[string]string{"/usr/include/python3.11/patchlevel.h": "#define PY_VERSION \"3.12.0\"\n"}, files)},
			says: "is not of Python 3.11", advice: "install -y python3-dev",
		},
		"no library": {
			fake: fake{system: debian, files: files, programs: with(map[string]string{"gcc -o": "!/usr/bin/ld: cannot find -lpython3.11"}, found)},
			says: "cannot find -lpython3.11", advice: "install -y python3-dev",
		},
		"a static one": {
			fake: fake{
				system: debian, env: map[string]string{"PKG_CONFIG_PATH": "/opt/py/lib/pkgconfig"},
				files:    with(headers("3.11"), map[string]string{"/opt/py/lib/pkgconfig/python3-embed.pc": strings.ReplaceAll(pc("/opt/py", "3.11"), "includedir=${prefix}", "includedir=/usr")}),
				programs: with(map[string]string{"pkg-config --variable=pcfiledir": "/opt/py/lib/pkgconfig", "gcc -o": "!ld: cannot find -lpython3.11"}, found),
			},
			says: "cannot be built", advice: "--enable-shared",
		},
		"no C headers": {
			fake: fake{system: alpine, files: files, programs: with(map[string]string{"gcc -o": "!fatal error: stdlib.h: No such file or directory"}, found)},
			says: "stdlib.h", advice: "sudo apk add gcc musl-dev",
		},
		"not found by the linker": {
			fake: fake{system: debian, files: files, programs: with(map[string]string{"trial": "!error while loading shared libraries: libpython3.11.so.1.0"}, found)},
			says: "does not start", advice: "export LD_LIBRARY_PATH=/usr/lib ",
		},
		"another is run": {
			fake: fake{system: debian, files: files, programs: with(map[string]string{"trial": "3.12.1 (main)\n/usr/lib/python3.12"}, found)},
			says: "was built for Python 3.11, and runs with libpython of 3.12.1", advice: "export LD_LIBRARY_PATH=/usr/lib",
		},
		"no standard library": {
			fake: fake{system: debian, files: files, programs: with(map[string]string{"trial": "!3.11.4 (main)\nModuleNotFoundError: No module named 'encodings'"}, found)},
			says: "No module named 'encodings'", advice: "reinstall Python 3.11",
		},
		"old Go": {
			fake: fake{system: debian, files: files, programs: with(map[string]string{"go env": "go1.19.8"}, found)},
			says: "this is Go 1.19.8; pyexec needs 1.25 or newer", advice: "https://go.dev/dl/",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, text := c.fake.examine(t, doctor.Options{})
			assert.False(t, r.Healthy())
			assert.Contains(t, text, c.says)
			assert.Contains(t, strings.Join(r.Advice, "\n"), c.advice, text)
		})
	}
}

func TestOtherPythons(t *testing.T) {
	r, text := fake{
		system: debian, env: map[string]string{"HOME": "/home/ada"},
		files: with(files, map[string]string{
			"/home/ada/.pyenv/versions/3.13.1/lib/pkgconfig/python3-embed.pc": pc("/home/ada/.pyenv/versions/3.13.1", "3.13"),
			"/usr/local/lib/pkgconfig/python3-embed.pc":                       pc("/usr/local", "3.9"),
			pkgconfig + "python-3.14t-embed.pc":                               pc("/usr", "3.14t"),
		}),
		programs: with(map[string]string{"python3 -I": "3.13.1\n/home/ada/.pyenv/versions/3.13.1\n/home/ada/bin/python3"}, found),
	}.examine(t, doctor.Options{})
	assert.True(t, r.Healthy(), text)
	assert.Contains(t, text, "note python3 on PATH: /home/ada/bin/python3 is Python 3.13.1 of /home/ada/.pyenv/versions/3.13.1, not the one that is built with")
	assert.Contains(t, text, "export PKG_CONFIG_PATH=/home/ada/.pyenv/versions/3.13.1/lib/pkgconfig")
	assert.Contains(t, text, "3.9 in /usr/local: too old")
	assert.Contains(t, text, "3.14t in /usr: a free-threaded build")
}

func TestVenv(t *testing.T) {
	files := with(files, map[string]string{
		"/srv/good/pyvenv.cfg": "version = 3.11.2\ninclude-system-site-packages = false\n", "/srv/good/lib/python3.11/site-packages/x.py": "#",
		"/srv/bad/pyvenv.cfg": "version = 3.12.1\n", "/srv/bad/lib/python3.12/site-packages/x.py": "#",
	})
	for _, c := range []struct{ variable, option, says, advice string }{
		{variable: "/srv/good", says: "ok virtual environment: /srv/good (from VIRTUAL_ENV), made for Python 3.11.2, without the packages of the system"},
		{variable: "/srv/bad", option: "/srv/good", says: "ok virtual environment: /srv/good (from --venv)"},
		{variable: "/srv/bad", says: "it was made for Python 3.12.1, and this program has Python 3.11", advice: "unset VIRTUAL_ENV"},
		{option: "/srv/bad", says: "MISSING virtual environment", advice: "python3.11 -m venv DIR"},
		{option: "/srv", says: "no pyvenv.cfg", advice: "python3.11 -m venv DIR"},
		{says: "note virtual environment: none"},
	} {
		r, text := fake{system: debian, files: files, programs: found, env: map[string]string{"VIRTUAL_ENV": c.variable}}.examine(t, doctor.Options{Venv: c.option})
		assert.Contains(t, text, c.says)
		assert.Equal(t, c.advice == "", r.Healthy(), text)
		assert.Contains(t, strings.Join(r.Advice, "\n"), c.advice)
	}
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		os, kernel, says string
		healthy          bool
	}{
		{kernel: "4.19.0", says: "note Process: does not work: it needs Linux 5.3 or newer (pidfd_open), and this is 4.19.0", healthy: true},
		{kernel: "5.3.0", says: "ok Process: works: Linux 5.3.0", healthy: true},
		{kernel: " ", says: "MISSING Process: /proc is not there"},
		{os: "darwin", says: "MISSING InProcess: does not compile on darwin so far"},
		{os: "darwin", says: "note Process: does not work on darwin"},
	} {
		r, text := fake{
			system: debian, os: c.os, files: with(map[string]string{"/proc/sys/kernel/osrelease": c.kernel}, files), programs: found,
		}.examine(t, doctor.Options{})
		assert.Contains(t, text, c.says)
		assert.Equal(t, c.healthy, r.Healthy(), text)
	}
}
