package install_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec/internal/install"
)

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

func TestMinor(t *testing.T) {
	for version, want := range map[string]string{"3.11.2": "3.11", "3.15.0a7+": "3.15", "3.9": "3.9", "3": "", "": "", "python3.11": ""} {
		assert.Equal(t, want, install.Minor(version), version)
	}
}

func TestCheckHome(t *testing.T) {
	for _, file := range []string{"lib/python3.12/os.py", "lib64/python3.12/os.py", "lib/python3.12/os.pyc", "lib/python312.zip"} {
		dir := t.TempDir()
		write(t, "", dir, file)
		assert.NoError(t, install.CheckHome(dir, "3.12"), file)
		assert.ErrorContains(t, install.CheckHome(dir, "3.1"), "no lib/python3.1 in it", file)
	}
	dir := t.TempDir()
	write(t, "", dir, "lib/python3.13/os.py")
	assert.ErrorContains(t, install.CheckHome(dir, "3.12"), "it is of 3.13")
}

func TestVenv(t *testing.T) {
	dir := t.TempDir()
	assert.ErrorIs(t, install.CheckVenv(dir, "3.12"), install.ErrNoVenv)
	write(t, "home = /usr/bin\nVersion = 3.12.3\ninclude-system-site-packages = FALSE\nexecutable = /usr/bin/python3.12\n", dir, "pyvenv.cfg")
	assert.ErrorContains(t, install.CheckVenv(dir, "3.12"), "no lib/python3.12/site-packages in it")
	site := filepath.Join(dir, "lib64", "python3.12", "site-packages")
	require.NoError(t, os.MkdirAll(site, 0o755))
	assert.NoError(t, install.CheckVenv(dir, "3.12"))
	assert.ErrorContains(t, install.CheckVenv(dir, "3.11"), "made for Python 3.12.3")
	v, err := install.ReadVenv(dir)
	require.NoError(t, err)
	assert.Equal(t, install.Venv{Dir: dir, Home: "/usr/bin", Version: "3.12.3", Packages: site}, v)

	write(t, "", dir, "pyvenv.cfg")
	v, err = install.ReadVenv(dir)
	require.NoError(t, err)
	assert.True(t, v.System, "as Python takes it")
	assert.NoError(t, install.CheckVenv(dir, "3.12"))
	assert.ErrorContains(t, install.CheckVenv(dir, "3.11"), "it is of 3.12")
}
