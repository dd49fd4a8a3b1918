// Quickstart applies formulas that users wrote, in Python, to each row of a table, as a service would apply them to each
// request. Some of them are badly behaved: they change the interpreter, raise, print, or exit. None harms the next.
//
//	go run ./examples/quickstart
//
// Change a file in formulas, or add one, and run it again. A formula sees a row's columns as variables, and leaves its
// answer in the variable result.
package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-pyexec/pyexec"
)

func main() {
	dir := flag.String("dir", "examples/quickstart", "directory that holds formulas/*.py and data/seattle-weather.csv")
	flag.Parse()
	if err := run(context.Background(), *dir); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string) error {
	rows, err := readRows(filepath.Join(dir, "data", "seattle-weather.csv"))
	if err != nil {
		return err
	}

	// One Executor serves the whole program, and any number of goroutines.
	ex, err := pyexec.New(pyexec.Config{})
	if err != nil {
		return err
	}
	defer ex.Close()

	formulas, err := compile(ctx, ex, filepath.Join(dir, "formulas", "*.py"))
	if err != nil {
		return err
	}
	before, err := probe(ctx, ex)
	if err != nil {
		return err
	}
	memory, start := residentMiB(), time.Now()

	// Row by row: what a badly behaved formula leaves behind, all formulas of the next row would find.
	for _, row := range rows {
		for _, f := range formulas {
			if err := f.apply(ctx, row); err != nil {
				return err
			}
		}
	}

	took := time.Since(start)
	after, err := probe(ctx, ex)
	if err != nil {
		return err
	}
	report(formulas)
	summarize(ex.Stats(), took, memory)
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("the interpreter changed\nfrom %v\nto   %v", before, after)
	}
	fmt.Println("sys.path, os.environ, sys.argv:  as at the start")
	return nil
}

// A formula is a compiled snippet and a tally of what came of its calls.
type formula struct {
	name    string
	program *pyexec.Program
	calls   int
	sum     float64        // of the results that are numbers
	words   map[string]int // the other results, counted
	errors  map[string]int // by kind
	caught  map[string]int // what was kept from doing harm
}

func compile(ctx context.Context, ex *pyexec.Executor, pattern string) ([]*formula, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no formulas in %s: run this from the root of the module, or say where they are with -dir", pattern)
	}
	var all []*formula
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		program, err := ex.Compile(ctx, pyexec.Snippet{Name: file, Code: string(code), Want: []string{"result"}})
		var wrong *pyexec.PythonError
		if errors.As(err, &wrong) {
			return nil, errors.New(wrong.Traceback()) // the line, and where in it the syntax error is
		}
		if err != nil {
			return nil, err
		}
		all = append(all, &formula{
			name: strings.TrimSuffix(filepath.Base(file), ".py"), program: program,
			words: map[string]int{}, errors: map[string]int{}, caught: map[string]int{},
		})
	}
	return all, nil
}

// apply runs the formula for a row. What goes wrong in the formula is counted; an error returned is the host's.
func (f *formula) apply(ctx context.Context, row pyexec.Vars) error {
	f.calls++
	res, err := f.program.Run(ctx, row)
	if res == nil {
		return err // the formula did not run at all
	}
	for _, change := range res.Changes {
		f.caught[change.String()]++
	}
	if res.Stdout != "" {
		f.caught["something printed"]++ // it is in res.Stdout
	}

	var raised *pyexec.PythonError
	var exit *pyexec.ExitError
	switch {
	case errors.As(err, &raised):
		f.errors[raised.Type]++
		return nil
	case errors.As(err, &exit):
		f.errors[fmt.Sprint("exit ", exit.Code)]++
		return nil
	case err != nil:
		return err
	}

	var result any
	if err := res.Decode("result", &result); err != nil {
		f.errors["no result"]++
		return nil
	}
	switch v := result.(type) {
	case float64:
		f.sum += v
	case int64:
		f.sum += float64(v)
	default:
		f.words[fmt.Sprint(v)]++
	}
	return nil
}

// probe looks at the interpreter as a snippet sees it.
func probe(ctx context.Context, ex *pyexec.Executor) (any, error) {
	res, err := ex.Execute(ctx, "import os, sys\n(list(sys.path), dict(os.environ), list(sys.argv))", nil)
	if err != nil {
		return nil, err
	}
	return res.Value, nil
}

func report(formulas []*formula) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "formula\tcalls\tok\terrors\tresult\tcaught and put back")
	for _, f := range formulas {
		ok := f.calls
		for _, n := range f.errors {
			ok -= n
		}
		result := list(f.words)
		if len(f.words) == 0 && ok > 0 {
			result = fmt.Sprintf("mean %.2f", f.sum/float64(ok))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", f.name, f.calls, ok, list(f.errors), result, list(f.caught))
	}
}

// list is the most frequent entries of a tally, shortened, on one line.
func list(tally map[string]int) string {
	const entries, width = 3, 32
	keys := slices.SortedFunc(maps.Keys(tally), func(a, b string) int {
		return cmp.Or(tally[b]-tally[a], strings.Compare(a, b))
	})
	var parts []string
	for i, key := range keys {
		if i == entries {
			parts = append(parts, fmt.Sprintf("and %d more", len(keys)-i))
			break
		}
		short := []rune(key)
		if len(short) > width {
			short = append(short[:width-1], '…')
		}
		parts = append(parts, fmt.Sprint(string(short), " ×", tally[key]))
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}

func summarize(s pyexec.Stats, took time.Duration, memory int) {
	fmt.Printf("\n%d executions in %v, %.0f per second; %d of them found their code compiled; %d left something to put back\n",
		s.Executions, took.Round(time.Millisecond), float64(s.Executions)/took.Seconds(), s.CacheHits, s.Resets)
	fmt.Printf("%d recycles %v: %d by a new initialisation, %d by a purge; the longest took %v\n",
		s.Recycles, s.RecyclesBy, s.Reinitialized, s.Purged, s.LongestRecycle.Round(time.Microsecond))
	fmt.Printf("memory (RSS): %d MiB at the start, %d MiB at the end\n", memory, residentMiB())
}

func readRows(file string) ([]pyexec.Vars, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows []pyexec.Vars
	for _, line := range lines[min(1, len(lines)):] {
		row := pyexec.Vars{}
		for i, column := range lines[0] {
			row[column] = line[i]
			if n, err := strconv.ParseFloat(line[i], 64); err == nil {
				row[column] = n
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// residentMiB is how much of this process is in memory; 0 where there is no /proc.
func residentMiB() int {
	var size, resident int
	b, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(string(b), &size, &resident)
	return resident * os.Getpagesize() >> 20
}
