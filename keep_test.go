package pyexec_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

func TestKeep(t *testing.T) {
	ex := open(t, pyexec.Config{Keep: []string{"copyreg.dispatch_table", "json.tag", "json.JSONEncoder.tag", "re._cache"}})
	run(t, ex, "import copyreg, json, re")
	res := run(t, ex, `
import copyreg, json, re
copyreg.dispatch_table[complex] = str
json.tag = json.tag2 = json.JSONEncoder.tag2 = "value"
re.compile("kept.*")`)
	assert.Equal(t, []string{"json.encoder.JSONEncoder.tag2: (deleted) -> value", "json.tag2: (deleted) -> value"}, texts(res.Changes))
	assert.Equal(t, []any{true, "value", false, false, true}, run(t, ex, `
import copyreg, json, re
[copyreg.dispatch_table.get(complex) is str, json.tag, hasattr(json, "tag2"), hasattr(json.JSONEncoder, "tag2"), any("kept.*" in str(key) for key in re._cache)]`).Value)
	run(t, ex, "import copyreg, json\ndel copyreg.dispatch_table[complex], json.tag")
	assert.Equal(t, []any{false, false}, run(t, ex, "import copyreg, json\n[complex in copyreg.dispatch_table and copyreg.dispatch_table[complex] is str, hasattr(json, 'tag')]").Value)
}

// A module that Keep names may be found on a sys.path that only its first snippet had, and stays with its state.
func TestKeepModule(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pricing.py"), []byte("rates = {}\nclass Rate: shared = 0\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tariffs.py"), nil, 0o600))
	vars := pyexec.Vars{"dir": dir}
	const load = "import sys\nsys.path.insert(0, dir)\nimport pricing"

	ex := open(t, pyexec.Config{Keep: []string{"pricing"}})
	_, err := ex.Execute(ctx, load+"\npricing.rates['a'] = 1\npricing.Rate.shared = 2\npricing.extra = 3", vars)
	require.NoError(t, err)
	assert.Equal(t, []any{map[string]any{"a": int64(1)}, int64(2), int64(3)}, run(t, ex, "import pricing\n[pricing.rates, pricing.Rate.shared, pricing.extra]").Value)
	require.NoError(t, ex.Close())

	ex = open(t, pyexec.Config{})
	_, err = ex.Execute(ctx, "import sys\nsys.path.insert(0, dir)\nimport tariffs", vars)
	require.NoError(t, err)
	assert.Equal(t, false, run(t, ex, "import sys\n'tariffs' in sys.modules").Value, "nobody named it")
}

func TestKeepIsChecked(t *testing.T) {
	_, err := pyexec.New(pyexec.Config{Keep: []string{""}})
	var bad *pyexec.ConfigError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, "Keep", bad.Field)
}
