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

// Many dicts with the same keys share them; keys that look alike stay what they are.
func TestKeysOfManyDicts(t *testing.T) {
	ex := openAt(t, pyexec.Config{})
	keys := []string{"", "a", "ab", "ba", "aab", "abb", "bab", "é", "éé", "\x00", "id", "dI", "Id",
		strings.Repeat("k", 23), strings.Repeat("k", 22) + "l", strings.Repeat("k", 24), strings.Repeat("é", 11) + "k"}
	var rows []any
	for i := range 50 {
		row := pyexec.Dict{}
		for j := range keys {
			key := keys[(i+j)%len(keys)]
			row = append(row, pyexec.Item{Key: key, Value: key + fmt.Sprint(i)})
		}
		rows = append(rows, append(row, pyexec.Item{Key: int64(i), Value: map[string]any{keys[i%len(keys)]: nil}}))
	}
	res, err := ex.Run(ctx, pyexec.Snippet{Vars: pyexec.Vars{"rows": rows}, Code: `
for i, row in enumerate(rows):
    for key, value in row.items():
        if key == i:
            assert len(value) == 1
        else:
            assert value == key + str(i), (key, value)
            assert hash(key) == hash(value[:len(key)])
    assert len(row) == 18
`})
	require.NoError(t, err)
	var back []pyexec.Dict
	require.NoError(t, res.Decode("rows", &back))
	require.Equal(t, rows[0], back[0])
	require.Equal(t, rows[49], back[49])
}

// Fields come in any order, some not at all, some in another case.
func TestFieldsInAnyOrder(t *testing.T) {
	type row struct {
		A, B int
		Sub  *row
		C    string `json:"see"`
	}
	ex := openAt(t, pyexec.Config{})
	res := run(t, ex, `v = [dict(A=1, B=2, see='c'), dict(see='c', B=2, A=1), dict(x=0, b=2, SEE='c'), {}, dict(a=3, Sub=dict(B=4), B=5)]`)
	var back []row
	require.NoError(t, res.Decode("v", &back))
	require.Equal(t, []row{{A: 1, B: 2, C: "c"}, {A: 1, B: 2, C: "c"}, {B: 2, C: "c"}, {}, {A: 3, B: 5, Sub: &row{B: 4}}}, back)
	res = run(t, ex, `v = [dict(A=1), dict(B=2, Sub=dict(Sub=dict(a='x')))]`)
	var wrong *pyexec.DecodeError
	require.ErrorAs(t, res.Decode("v", &back), &wrong)
	require.Equal(t, "v[1].Sub.Sub.a", wrong.Path)
}
