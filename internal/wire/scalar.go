package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Decimal is a Python decimal.Decimal, exactly, in the text that Python's str gives it: "1.10", "-0E+3", "NaN123",
// "-Infinity". Two are == if they are the same in sign, digits and exponent, so "1.0" is not "1.00".
type Decimal string

// errDecimal is without the text, which may be long.
var errDecimal = errors.New("not a decimal number")

// Parts takes a finite Decimal apart: its value is coefficient times ten to the power of exponent, negated if negative.
// It fails for infinities and NaNs, and for what is no decimal number.
func (d Decimal) Parts() (negative bool, coefficient *big.Int, exponent int64, err error) {
	s := strings.ToLower(string(d))
	s, negative = strings.CutPrefix(s, "-")
	if !negative {
		s = strings.TrimPrefix(s, "+")
	}
	s, e, hasExponent := strings.Cut(s, "e")
	if hasExponent {
		if exponent, err = strconv.ParseInt(e, 10, 64); err != nil {
			return false, nil, 0, errDecimal
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" || exponent < -1<<62 {
		return false, nil, 0, errDecimal
	}
	coefficient, _ = new(big.Int).SetString(digits, 10)
	return negative, coefficient, exponent - int64(len(fraction)), nil
}

// maxRatExponent is how large an exponent Rat writes out: a few letters must not become gigabytes of digits.
const maxRatExponent = 10_000

// Rat returns the value of a Decimal. It fails for infinities, NaNs and exponents beyond ±10,000.
func (d Decimal) Rat() (*big.Rat, error) {
	negative, coefficient, exponent, err := d.Parts()
	if err != nil {
		return nil, err
	}
	if exponent > maxRatExponent || exponent < -maxRatExponent {
		return nil, errors.New("the exponent is too large to be written out")
	}
	if negative {
		coefficient.Neg(coefficient)
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(max(exponent, -exponent)), nil)
	if exponent < 0 {
		return new(big.Rat).SetFrac(coefficient, power), nil
	}
	return new(big.Rat).SetInt(coefficient.Mul(coefficient, power)), nil
}

// valid reports that Python's Decimal would take it.
func (d Decimal) valid() bool {
	if _, _, _, err := d.Parts(); err == nil {
		return true
	}
	s := strings.TrimLeft(strings.ToLower(string(d)), "+-")
	if len(d)-len(s) > 1 {
		return false
	}
	if s == "inf" || s == "infinity" {
		return true
	}
	digits, isNaN := strings.CutPrefix(strings.TrimPrefix(s, "s"), "nan")
	return isNaN && strings.Trim(digits, "0123456789") == ""
}

// UUID is a Python uuid.UUID.
type UUID [16]byte

// String is the usual form in five groups.
func (u UUID) String() string {
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Path is a Python pathlib.Path.
type Path string

func (r *reader) decimal() (Decimal, error) {
	s, err := r.text()
	return Decimal(s), err
}

func (r *reader) uuid() (u UUID, err error) {
	major, info, n, err := r.head()
	if err != nil {
		return u, err
	}
	s, err := r.bytes(info, n)
	if err != nil || major != majorBytes || len(s) != len(u) {
		return u, ErrMalformed
	}
	return UUID(s), nil
}

// fixed reads the head of an array of that many items.
func (r *reader) fixed(items uint64) error {
	major, info, n, err := r.head()
	if err == nil && (major != majorArray || info == indefinite || n != items) {
		err = ErrMalformed
	}
	return err
}

func (r *reader) integer() (*big.Int, error) {
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case int64:
		return big.NewInt(v), nil
	case *big.Int:
		return v, nil
	}
	return nil, ErrMalformed
}

func (r *reader) rational() (*big.Rat, error) {
	if err := r.fixed(2); err != nil {
		return nil, err
	}
	a, err := r.integer()
	if err != nil {
		return nil, err
	}
	b, err := r.integer()
	if err != nil || b.Sign() <= 0 {
		return nil, ErrMalformed
	}
	return new(big.Rat).SetFrac(a, b), nil
}

func (r *reader) complex() (complex128, error) {
	if err := r.fixed(2); err != nil {
		return 0, err
	}
	var part [2]float64
	for i := range part {
		v, err := r.value()
		if err != nil {
			return 0, err
		}
		f, ok := v.(float64)
		if !ok {
			return 0, ErrMalformed
		}
		part[i] = f
	}
	return complex(part[0], part[1]), nil
}

func appendComplex(b []byte, c complex128) []byte {
	b = appendHead(appendHead(b, majorTag, tagComplex), majorArray, 2)
	return appendFloat(appendFloat(b, real(c)), imag(c))
}

func appendRat(b []byte, r *big.Rat) []byte {
	b = appendHead(appendHead(b, majorTag, tagRational), majorArray, 2)
	return appendBig(appendBig(b, r.Num()), r.Denom())
}

func appendBig(b []byte, n *big.Int) []byte {
	if n.IsInt64() {
		return appendInt(b, n.Int64())
	}
	if n.IsUint64() {
		return appendHead(b, majorUint, n.Uint64())
	}
	tag := uint64(tagBig)
	if n.Sign() < 0 {
		tag, n = tagNegativeBig, new(big.Int).Not(n)
	}
	bytes := n.Bytes()
	return append(appendHead(appendHead(b, majorTag, tag), majorBytes, uint64(len(bytes))), bytes...)
}

func appendDecimal(b []byte, d Decimal) ([]byte, error) {
	if !d.valid() {
		return nil, fmt.Errorf("%.40q is no decimal number", string(d))
	}
	return appendText(appendHead(b, majorTag, tagDecimal), string(d)), nil
}
