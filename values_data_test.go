package pyexec_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

type penguin struct {
	Species string
	Island  string
	Length  *float64 `json:"Beak Length (mm)"`
	Depth   *float64 `json:"Beak Depth (mm)"`
	Flipper *int     `json:"Flipper Length (mm)"`
	Mass    *int     `json:"Body Mass (g)"`
	Sex     *string
}

// pythonRepr is what Python's repr says of the types that the file has.
func pythonRepr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case string:
		return "'" + v + "'" // of letters and dots
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	return fmt.Sprint(v)
}

// Every row of a real file with missing and odd values is in Go what Python says it is: as any, as structs, out of a DataFrame,
// and when it has come back.
func TestRealFile(t *testing.T) {
	text, err := os.ReadFile("testdata/penguins/penguins.json")
	require.NoError(t, err)
	ex := open(t, pyexec.Config{})
	needs(t, ex, "pandas")
	res, err := ex.Execute(ctx, `import json
import pandas as pd
rows = json.loads(text)
keys = list(rows[0])
says = [[repr(row[k]) for k in keys] for row in rows]
frame = pd.DataFrame(rows).convert_dtypes()
tuples = list(map(tuple, (row.values() for row in rows)))
missing = sum(v is None for row in rows for v in row.values())
`, pyexec.Vars{"text": string(text)})
	require.NoError(t, err)

	var all struct {
		Rows    []pyexec.Dict
		Keys    []string
		Says    [][]string
		Tuples  []pyexec.Tuple
		Missing int
	}
	require.NoError(t, res.Into(&all))
	var typed, fromFrame []penguin
	require.NoError(t, res.Decode("rows", &typed))
	require.NoError(t, res.Decode("frame", &fromFrame))
	require.Len(t, all.Rows, 344)
	missing := 0
	for i, row := range all.Rows {
		for j, item := range row {
			require.Equal(t, all.Keys[j], item.Key, "row %d", i)
			require.Equal(t, all.Says[i][j], pythonRepr(item.Value), "row %d, %s", i, item.Key)
			require.Equal(t, item.Value, all.Tuples[i][j])
			if item.Value == nil {
				missing++
			}
		}
		p := typed[i]
		for j, v := range []any{p.Species, p.Island, pointed(p.Length), pointed(p.Depth), pointed(p.Flipper), pointed(p.Mass), pointed(p.Sex)} {
			// a whole length is an int in the file and a float64 in the struct
			require.Equal(t, strings.TrimSuffix(all.Says[i][j], ".0"), strings.TrimSuffix(pythonRepr(v), ".0"), "row %d, column %d", i, j)
		}
		require.Equal(t, p, fromFrame[i], "row %d", i)
	}
	assert.Equal(t, all.Missing, missing)
	assert.Positive(t, missing)

	res, err = ex.Execute(ctx, "import json\nrows = json.loads(text)\nsame = rows == dicts == structs and list(map(list, rows)) == list(map(list, dicts)) and [repr(r) for r in rows] == [repr(r) for r in dicts]",
		pyexec.Vars{"text": string(text), "dicts": all.Rows, "structs": typed})
	require.NoError(t, err)
	assert.Equal(t, true, res.Vars()["same"])
}

func pointed[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
