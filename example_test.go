package pyexec_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-pyexec/pyexec"
)

// mustNew keeps the examples short; a service handles the error.
func mustNew(c pyexec.Config) *pyexec.Executor {
	ex, err := pyexec.New(c)
	if err != nil {
		panic(err)
	}
	return ex
}

func Example() {
	ex, err := pyexec.New(pyexec.Config{})
	if err != nil {
		panic(err)
	}
	defer ex.Close()

	res, err := ex.Execute(context.Background(), "total = sum(prices)", pyexec.Vars{"prices": []float64{1, 2.5}})
	if err != nil {
		panic(err)
	}
	var total float64
	if err := res.Decode("total", &total); err != nil {
		panic(err)
	}
	fmt.Println(total)
	// Output: 3.5
}

// The value of a last expression comes back, as in a notebook.
func ExampleResult_lastExpression() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	res, err := ex.Execute(context.Background(), "import math\nmath.factorial(25)", nil)
	fmt.Println(res.Value, err)
	// Output: 15511210043330985984000000 <nil>
}

func ExampleExecutor_Run() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	res, err := ex.Run(context.Background(), pyexec.Snippet{
		Name:  "greet.py",
		Code:  "name = input()\nprint('hello', name)\nsecret = 'not wanted'",
		Stdin: strings.NewReader("world\n"),
		Want:  []string{"name"},
	})
	fmt.Print(res.Stdout)
	fmt.Println(res.Vars(), err)
	// Output:
	// hello world
	// map[name:world] <nil>
}

// A snippet cannot leave anything behind for the next one, and Changes says what it tried.
func ExampleResult_changes() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	res, _ := ex.Execute(context.Background(), "import sys, os\nsys.path.append('/fake1')\nos.environ['MODE'] = 'evil'\nx = 1", nil)
	for _, c := range res.Changes {
		fmt.Println(c)
	}
	res, _ = ex.Execute(context.Background(), "import sys, os\n['/fake1' in sys.path, 'MODE' in os.environ, 'x' in globals()]", nil)
	fmt.Println(res.Value)
	// Output:
	// sys.path: +/fake1
	// os.environ: +MODE=evil
	// [false false false]
}

func ExamplePythonError() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	res, err := ex.Run(context.Background(), pyexec.Snippet{
		Name: "discount.py",
		Code: "print('start')\ndef discount(order):\n    return order['total'] * 0.9\ndiscount({})",
	})
	var py *pyexec.PythonError
	if errors.As(err, &py) {
		fmt.Println(py.Type, py.Message)
		last := py.Frames[len(py.Frames)-1]
		fmt.Println(last.File, last.Line, last.Function, last.Source)
	}
	fmt.Println(errors.Is(err, pyexec.ErrType("LookupError")))
	fmt.Print("output so far: ", res.Stdout)
	// Output:
	// KeyError 'total'
	// discount.py 3 discount return order['total'] * 0.9
	// true
	// output so far: start
}

func ExampleExitError() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	_, err := ex.Execute(context.Background(), "import sys\nsys.exit('nothing to do')", nil)
	var exit *pyexec.ExitError
	if errors.As(err, &exit) {
		fmt.Println(exit.Code, exit.Message)
	}
	// Output: 1 nothing to do
}

// Structs go in and come out by their json or cbor tags.
func ExampleResult_Decode() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	type Order struct {
		ID    int      `json:"id"`
		Price float64  `json:"price"`
		Tags  []string `json:"tags"`
	}
	res, err := ex.Execute(context.Background(), `
for o in orders:
    o["price"] *= 1.25
    o["tags"].append("taxed")
`, pyexec.Vars{"orders": []Order{{1, 10, []string{"new"}}, {2, 20, []string{}}}})
	if err != nil {
		panic(err)
	}
	var orders []Order
	err = res.Decode("orders", &orders)
	fmt.Println(orders, err)
	var wrong []struct{ Price int }
	fmt.Println(res.Decode("orders", &wrong))
	// Output:
	// [{1 12.5 [new taxed]} {2 25 [taxed]}] <nil>
	// orders[0].price: cannot decode float into int: 12.5 is no whole number
}

// A Program is compiled once and says so if it cannot be.
func ExampleExecutor_Compile() {
	ex := mustNew(pyexec.Config{})
	defer ex.Close()
	ctx := context.Background()
	p, err := ex.Compile(ctx, pyexec.Snippet{Name: "area.py", Code: "width * height"})
	if err != nil {
		panic(err)
	}
	for w := range 3 {
		res, err := p.Run(ctx, pyexec.Vars{"width": w, "height": 2})
		fmt.Println(res.Value, err)
	}
	_, err = ex.Compile(ctx, pyexec.Snippet{Name: "broken.py", Code: "width *"})
	fmt.Println(err)
	// Output:
	// 0 <nil>
	// 2 <nil>
	// 4 <nil>
	// SyntaxError: invalid syntax (broken.py, line 1)
}

func ExampleExecutor_Recycle() {
	ex := mustNew(pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	defer ex.Close()
	if err := ex.Recycle(context.Background()); err != nil {
		panic(err)
	}
	s := ex.Stats()
	fmt.Println(s.Recycles, s.RecyclesBy[pyexec.RecycleRequest])
	// Output: 1 1
}
