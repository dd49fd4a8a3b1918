//go:build cgo

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/go-pyexec/pyexec"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a file, with variables in and its result as JSON",
		ArgsUsage: "FILE|-",
		Description: `Runs the file as python3 would, but for what README.md says. Its output, its traceback and
its exit status are those of python3. What the file prints goes to standard output as it is
printed; with --json, one JSON object goes there instead, when all is over:

   vars      the variables it ended with (dates and decimals as text, bytes as base64)
   value     of a last expression, as a notebook shows it
   stdout, stderr, skipped (what has no form in Go), changes (what was put back)
   error     type, message, traceback; exit, the status; ms, how long it took

Examples:
   pyexec run report.py
   echo 'total = sum(prices)' | pyexec run - --var 'prices=[1, 2.5]' --json
   pyexec run rule.py --vars - --json < order.json
   pyexec run upload.py --isolation process --timeout 2s --memory 256MiB --changes`,
		Flags: append(commonFlags(),
			&cli.BoolFlag{Name: "json", Usage: "the result as one JSON object"},
			&cli.StringSliceFlag{Name: "want", Usage: "of the variables, only `NAME`; may be repeated"},
			&cli.BoolFlag{Name: "changes", Usage: "say on standard error what it had changed in the interpreter, and was put back"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := snippet(c)
			if err != nil {
				return err
			}
			config, err := config(c, c.Args().First())
			if err != nil {
				return err
			}
			ex, err := open(config)
			if err != nil {
				return err
			}
			defer ex.Close()
			if c.Bool("json") {
				s.Want = c.StringSlice("want")
				return runJSON(ctx, c, ex, s)
			}
			s.Stdout, s.Stderr = c.Root().Writer, c.Root().ErrWriter
			res, err := ex.Run(ctx, s)
			if res != nil && c.Bool("changes") {
				showChanges(c, res)
			}
			return exitWith(ended(ctx, c.Root().ErrWriter, err))
		},
	}
}

func exitWith(code int) error {
	if code == 0 {
		return nil
	}
	return status(code)
}

func showChanges(c *cli.Command, res *pyexec.Result) {
	for _, change := range res.Changes {
		how := "put back"
		if !change.Undone {
			how = "not undone"
		}
		fmt.Fprintf(c.Root().ErrWriter, "%s: %s\n", how, change)
	}
	if res.Tainted != "" {
		fmt.Fprintf(c.Root().ErrWriter, "recycled: %s\n", res.Tainted)
	}
}

// A result is what --json prints.
type result struct {
	Vars    map[string]any `json:"vars"`
	Value   any            `json:"value,omitempty"`
	Stdout  string         `json:"stdout"`
	Stderr  string         `json:"stderr"`
	Skipped []skipped      `json:"skipped,omitempty"`
	Changes []string       `json:"changes,omitempty"`
	Tainted string         `json:"tainted,omitempty"`
	Error   *resultError   `json:"error,omitempty"`
	Exit    int            `json:"exit"`
	MS      float64        `json:"ms"`
}

type skipped struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

type resultError struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"`
}

func runJSON(ctx context.Context, c *cli.Command, ex *pyexec.Executor, s pyexec.Snippet) error {
	res, err := ex.Run(ctx, s)
	out := result{Vars: map[string]any{}, Exit: ended(ctx, c.Root().ErrWriter, err)}
	if res != nil {
		for name, v := range res.Vars() {
			out.Vars[name] = jsonable(v)
		}
		out.Value, out.Stdout, out.Stderr, out.Tainted = jsonable(res.Value), res.Stdout, res.Stderr, res.Tainted
		for _, s := range res.Skipped() {
			out.Skipped = append(out.Skipped, skipped(s))
		}
		for _, change := range res.Changes {
			out.Changes = append(out.Changes, change.String())
		}
		out.MS = float64(res.Duration.Microseconds()) / 1000
	}
	out.Error = describe(err)
	encoder := json.NewEncoder(c.Root().Writer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		return &failure{statusBroken, err}
	}
	return exitWith(out.Exit)
}

// jsonable is a value in the form that JSON has for it; what it has none for is text.
func jsonable(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
		return v
	case complex128:
		return fmt.Sprint(v)
	case time.Duration:
		return v.Seconds()
	case []any:
		return jsonables(v)
	case pyexec.Tuple:
		return jsonables(v)
	case pyexec.Set:
		return jsonables(v)
	case pyexec.FrozenSet:
		return jsonables(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, x := range v {
			out[key] = jsonable(x)
		}
		return out
	case pyexec.Dict: // its keys are not all text
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = []any{jsonable(item.Key), jsonable(item.Value)}
		}
		return out
	case pyexec.Array:
		items := reflect.ValueOf(v.Data)
		out := make([]any, items.Len())
		for i := range out {
			out[i] = jsonable(items.Index(i).Interface())
		}
		return map[string]any{"shape": v.Shape, "data": out}
	case json.Marshaler: // time.Time, *big.Int
		return v
	case fmt.Stringer:
		return v.String()
	}
	if _, err := json.Marshal(v); err != nil {
		return fmt.Sprint(v)
	}
	return v
}

func jsonables[T ~[]any](v T) []any {
	out := make([]any, len(v))
	for i, x := range v {
		out[i] = jsonable(x)
	}
	return out
}

func describe(err error) *resultError {
	if err == nil {
		return nil
	}
	var python *pyexec.PythonError
	if errors.As(err, &python) {
		return &resultError{python.Type, python.Message, python.Traceback()}
	}
	return &resultError{strings.TrimPrefix(fmt.Sprintf("%T", err), "*"), err.Error(), ""}
}
