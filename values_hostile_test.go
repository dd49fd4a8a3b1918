package pyexec_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// evil is a class whose every method prints, which is how the test sees that it ran: nothing of a snippet's may while its
// variables are read.
const evil = `
def ran(*args, **kwargs):
    print("RAN")
    raise SystemExit
names = "__iter__ __len__ __eq__ __hash__ __str__ __repr__ __getattr__ __getattribute__ __index__ __int__ __float__ __bool__ keys items __getitem__ __contains__ __get__ __buffer__ __array__ __reduce__ __del__ utcoffset dst tzname __complex__ __format__ __iter__ __next__ __fspath__ as_tuple".split()
def over(base, *without):
    return type("Evil", (base,), {n: ran for n in names if n not in without and n != "__del__"})
`

// Each leaves v behind: as the text of its form, or skipped with a reason that has the text in it.
func TestHostileValues(t *testing.T) {
	ex := open(t, pyexec.Config{MaxResult: 1 << 20})
	for name, c := range map[string]struct{ code, form, reason string }{
		"list":           {code: "v = over(list)([1])", form: "[1]"},
		"dict":           {code: "v = over(dict)(a=1)", form: "map[a:1]"},
		"str":            {code: "v = over(str)('s')", form: "s"},
		"int":            {code: "v = over(int)(3)", form: "3"},
		"tuple":          {code: "v = over(tuple)((1,))", form: "[1]"},
		"set":            {code: "v = over(set)((1,))", form: "[1]"},
		"complex":        {code: "v = over(complex)(1j)", form: "(0+1i)"},
		"object":         {code: "v = over(object)()", reason: "no Go form"},
		"endless":        {code: "import itertools\nv = itertools.count()", reason: "iterator"},
		"own iterator":   {code: "v = over(object)()\nv = iter(over(object, '__iter__', '__next__')() for _ in ())", reason: "iterator"},
		"decimal":        {code: "import decimal\nv = over(decimal.Decimal)('1.5')", form: "1.5"},
		"fraction":       {code: "import fractions\nv = over(fractions.Fraction)(1, 2)", form: "1/2"},
		"fraction class": {code: "import fractions\nF = fractions.Fraction\nv = F(1, 2)\nF.keep = F._numerator, F.__str__\nF._numerator = property(ran); F.__str__ = ran", form: "1/2"},
		"fraction slots": {code: "import fractions\nv = fractions.Fraction(1, 2)\nv._denominator = over(int)(0)", reason: "no integers"},
		"uuid":           {code: "import uuid\nv = over(uuid.UUID, '__getattribute__')(int=5)", form: "00000000-0000-0000-0000-000000000005"},
		"uuid slots":     {code: "import uuid\nv = uuid.UUID(int=5)\nobject.__setattr__(v, 'int', 2**128)", reason: "128 bits"},
		"path": {code: "import pathlib\nv = pathlib.PurePosixPath('/a')\nv = [over(pathlib.PurePosixPath, '__getattribute__')('/a')]" +
			"\nfor n in ('_str', '_parts', '_raw_paths', '_tail_cached'):\n    if hasattr(pathlib.PurePath, n): object.__setattr__(v[0], n, [1])", reason: "no path"},
		"surrogate path":     {code: "import pathlib\nv = pathlib.Path('\\udcff')", reason: "UTF-8"},
		"enum in itself":     {code: "import enum\nclass E(enum.Enum): A = 1\nE.A.__dict__['_value_'] = E.A\nv = E.A", reason: "contains itself"},
		"enum of no value":   {code: "import enum\nclass E(enum.Enum): A = 1\nE.A.__dict__.clear()\nv = E.A", reason: "without a value"},
		"enum of evil keys":  {code: "import enum\nclass E(enum.Enum): A = 1\nclass K(str):\n    __hash__ = str.__hash__\n    __eq__ = ran\nd = dict(E.A.__dict__); E.A.__dict__.clear(); E.A.__dict__[K('x')] = 1; E.A.__dict__.update(d)\nv = E.A", form: "1"},
		"dataclass property": {code: "import dataclasses\n@dataclasses.dataclass\nclass D: x: int\nv = D(1)\ndel v.x\nD.x = property(ran)", reason: "property"},
		"dataclass, no":      {code: "import dataclasses\nclass D: __dataclass_fields__ = {over(str, '__eq__', '__hash__')('a'): 1, 'b': over(object)(), 'c': 3}\nv = D()", form: "map[]"},
		"dataclass, not at all": {code: "import dataclasses\nclass D: __dataclass_fields__ = over(object)()\nv = D()",
			reason: "no Go form"},
		"dataclass in itself": {code: "import dataclasses\n@dataclasses.dataclass\nclass D: x: object\nv = D(1)\nv.x = v", reason: "contains itself"},
		"dataclass, huge": {code: "import dataclasses\n@dataclasses.dataclass\nclass D: x: int\nv = D(1)\nv.__dict__.clear()\nv.__dict__.update((str(i), i) for i in range(100000))\nv.x = 1\nv = [v] * 100000",
			reason: "takes too long"},
		"namedtuple":  {code: "class T(tuple): _fields = ('a', 'b')\nv = [T((1,)), over(T)((1, 2))]", form: "[[1] map[a:1 b:2]]"},
		"datetime":    {code: "import datetime\nv = over(datetime.datetime, '__getattribute__')(2024, 2, 29)", form: "2024-02-29T00:00:00"},
		"own zone":    {code: "import datetime\nv = datetime.datetime(2024, 2, 29, tzinfo=over(datetime.tzinfo, '__getattribute__')())", reason: "neither of"},
		"zone's zone": {code: "import datetime, zoneinfo\nclass Z(zoneinfo.ZoneInfo): utcoffset = ran\nv = datetime.datetime(2024, 2, 29, tzinfo=Z('Europe/Berlin'))", reason: "neither of"},
		"datetime in a zone": {code: "import datetime, zoneinfo\nv = over(datetime.datetime, '__getattribute__')(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))",
			form: "2024-02-29 00:00:00 +0100 CET"},
		"fine zone": {code: "import datetime\nv = datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(microseconds=1)))", reason: "parts of a second"},
		"array":     {code: "import numpy\nv = numpy.zeros(2).view(over(numpy.ndarray, '__getattribute__'))", reason: "derives from"},
		"masked":    {code: "import numpy\nv = numpy.ma.array([1, 2], mask=[0, 1])", reason: "derives from"},
		"structured": {code: "import numpy\nv = numpy.zeros(2, [('a', int), ('b', 'M8[s]')])",
			reason: "no Go form"},
		"array in itself":  {code: "import numpy\nv = numpy.array([None])\nv[0] = v", reason: "contains itself"},
		"array of evil":    {code: "import numpy\nv = numpy.array([None])\nv[0] = over(object)()", reason: "no Go form"},
		"array of endless": {code: "import numpy\nv = numpy.broadcast_to(numpy.zeros(1), (1 << 20, 1 << 30))", reason: "limit"},
		"texts of no end":  {code: "import numpy\nv = numpy.broadcast_to(numpy.array([None]), (1 << 20, 1 << 30))", reason: "limit"},
		"bad texts":        {code: "import numpy\nv = numpy.array([0x110000], 'u4').view('U1')", reason: "not Unicode"},
		"float128":         {code: "import numpy\nv = numpy.zeros(1, 'g')", reason: "no Go form"},
		"scalar float128":  {code: "import numpy\nv = numpy.longdouble(1)", reason: "no Go form"},
		"months":           {code: "import numpy\nv = numpy.array(['2024-02'], 'M8[M]')", reason: "no Go form"},
		"own scalar":       {code: "import numpy\nv = over(numpy.float32)(1)", reason: "no Go form"},
		"released":         {code: "v = memoryview(b'abc')\nv.release()", reason: "no Go form"},
		"series of own": {code: "import pandas\nv = pandas.Series([1])\nobject.__setattr__(v, '_mgr', over(object)())",
			reason: "does not know"},
		"frame of own":  {code: "import pandas\nv = pandas.DataFrame({'a': [1]})\nv._mgr.blocks = (over(object)(),)", reason: "does not know"},
		"frame of none": {code: "import pandas\nv = pandas.DataFrame({'a': [1]})\nv._mgr.blocks = v._mgr.blocks * 2", reason: "does not know"},
		"frame of many": {code: "import pandas\nv = pandas.DataFrame(0, index=range(10), columns=range(100_000))", reason: "limit"},
		"long range":    {code: "import pandas\nv = pandas.RangeIndex(10**12)", reason: "limit"},
		"evil column":   {code: "import pandas\nv = pandas.DataFrame({'a': [None]})\nv._mgr.blocks[0].values[0, 0] = over(object)()", reason: "no Go form"},
		"column of levels": {code: "import pandas\nv = pandas.DataFrame({'a': [1], 'b': [2], 'c': [3]}).set_index(['a', 'b'])",
			reason: "reset_index"},
		"many references": {code: "v = [None] * 10**7", reason: "limit"},
		"laughs":          {code: "v = [1]\nfor _ in range(64): v = [v, v]", reason: "limit"},
		"deep":            {code: "v = 1\nfor _ in range(100_000): v = (v,)", reason: "too deep"},
		"deep fractions":  {code: "import enum\nclass E(enum.Enum): A = 1\nx = E.A\nv = {1: [x]}\nfor _ in range(500): v = (v, [v])", reason: ""},
		"long string":     {code: "v = 'x' * (1 << 30)", reason: "limit"},
		"long decimal":    {code: "import decimal\nv = decimal.Decimal('9' * (1 << 21))", reason: "limit"},
		"fake decimal": {code: "import sys, types, decimal\nreal = sys.modules.pop('decimal')\nm = types.ModuleType('decimal')\nm.Decimal = over(object)\nsys.modules['decimal'] = m\nimport decimal\nv = decimal.Decimal()",
			reason: "no Go form"},
	} {
		t.Run(name, func(t *testing.T) {
			needsAllOf(t, ex, c.code)
			res, err := ex.Run(ctx, pyexec.Snippet{Code: evil + c.code, Want: []string{"v"}})
			require.NoError(t, err)
			assert.Empty(t, res.Stdout, "code of the snippet ran while its variables were read")
			switch {
			case c.form != "":
				require.Empty(t, res.Skipped())
				assert.Equal(t, c.form, fmt.Sprint(res.Vars()["v"]))
			case c.reason != "":
				require.Len(t, res.Skipped(), 1)
				assert.Contains(t, res.Skipped()[0].Reason, c.reason)
			}
			run(t, ex, "import fractions\nF = fractions.Fraction\nif hasattr(F, 'keep'): F._numerator, F.__str__ = F.keep; del F.keep")
		})
	}
}
