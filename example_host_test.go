package pyexec_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/go-pyexec/pyexec"
)

// A rule asks the service for what it needs. Keyword arguments fill the struct.
func ExampleFunctions() {
	type Query struct {
		Currency string  `json:"currency"`
		Discount float64 `json:"discount"`
	}
	prices := map[string]float64{"tea": 4, "mug": 12}
	ex := mustNew(pyexec.Config{Functions: pyexec.Functions{
		"price": func(ctx context.Context, article string, q Query) (string, error) {
			p, ok := prices[article]
			if !ok {
				return "", fmt.Errorf("no article %q", article)
			}
			return fmt.Sprintf("%.2f %s", p*(1-q.Discount), q.Currency), ctx.Err()
		},
	}})
	defer ex.Close()
	res, err := ex.Execute(context.Background(), `
import pyexec
labels = [price(a, currency="EUR", discount=0.25) for a in ("tea", "mug")]
try:
    price("cup")
except pyexec.GoError as e:
    labels.append(f"{e.function}: {e}")
labels`, nil)
	fmt.Println(res.Value, err)
	// Output: [3.00 EUR 9.00 EUR price: no article "cup"] <nil>
}

// An error of a Go function that the snippet does not catch comes out as what it was.
func ExampleFunctions_errors() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	_, err := ex.Run(context.Background(), pyexec.Snippet{
		Code: "def load(name):\n    return read(name + '.txt')\nload('no/such/file')",
		Functions: pyexec.Functions{"read": func(name string) (string, error) {
			b, err := os.ReadFile(name)
			return string(b), err
		}},
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// pyexec.GoError: open no/such/file.txt: no such file or directory (snippet.py:2, in load)
	// true
}

// Output is streamed by the line, here to the program's own.
func ExampleSnippet_streams() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	_, err := ex.Run(context.Background(), pyexec.Snippet{
		Code:   "import sys\nfor line in sys.stdin:\n    print(line.strip().upper())",
		Stdin:  strings.NewReader("one\ntwo\n"),
		Stdout: os.Stdout,
	})
	fmt.Println(err)
	// Output:
	// ONE
	// TWO
	// <nil>
}

// What was raised has its members, attributes and notes.
func ExamplePythonError_group() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	_, err := ex.Execute(context.Background(), `
class Rejected(ValueError):
    def __init__(self, field, reason):
        super().__init__(reason)
        self.field = field
raise ExceptionGroup("the form is not complete", [Rejected("name", "is empty"), Rejected("age", "is no number")])`, nil)
	var py *pyexec.PythonError
	if errors.As(err, &py) {
		for _, e := range py.Exceptions {
			fmt.Println(e.Attrs["field"], e.Message)
		}
	}
	fmt.Println(errors.Is(err, pyexec.ErrType("ValueError")))
	// Output:
	// name is empty
	// age is no number
	// true
}
