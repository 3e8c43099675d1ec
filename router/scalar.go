package router

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxScalarBytes is the longest number, and the longest value of a key, that a trigger takes from an event: keys become subjects of firings, and
// comparing numbers must not cost more than the number is worth.
const MaxScalarBytes = 4 << 10

// Scalar is a string, number or boolean of an event. Scalars that are equal as JSON are equal by ==: 1, 1.0 and 1e0 are one number, of any size and exactly as
// decimals; 1 and "1" are different. The zero Scalar is no value.
type Scalar struct {
	kind scalarKind
	text string // of a string: what it says; else the JSON text, in one form for each value
}

// scalarKind is the type of a Scalar. It is part of the encoding of keys.
type scalarKind byte

const (
	stringScalar scalarKind = 's'
	numberScalar scalarKind = 'n'
	boolScalar   scalarKind = 'b'
)

// scalarOf makes a Scalar of a value of an event; ok is false for null, and for a number that is too long.
func scalarOf(kind valueKind, text string) (s Scalar, ok bool) {
	switch {
	case kind == stringKind:
		return Scalar{stringScalar, text}, true
	case kind == literalKind:
		return Scalar{boolScalar, text}, text != "null"
	case len(text) > MaxScalarBytes:
		return Scalar{}, false
	}
	return Scalar{numberScalar, plainDecimal(text)}, true
}

// String gives a string as it is, and of other values the JSON text.
func (s Scalar) String() string { return s.text }

// appendJSON writes the value as JSON.
func (s Scalar) appendJSON(dst []byte) []byte {
	if s.kind != stringScalar {
		return append(dst, s.text...)
	}
	dst, _ = jsontext.AppendQuote(dst, s.text) // valid UTF-8, since it was JSON or an attribute
	return dst
}

// appendEncoded writes the value so that no two values, and no two lists of them, give the same bytes.
func (s Scalar) appendEncoded(dst []byte) []byte {
	return appendText(append(dst, byte(s.kind)), s.text)
}

// maxZeros is how many zeros a number is written with before it gets an exponent.
const maxZeros = 20

// plainDecimal writes a JSON number in one form for each value, the one that people write where it is short: "1", "-0.25", "1200", "15e-30".
func plainDecimal(s string) string {
	if isPlainInteger(s) {
		return s
	}
	digits, power, ok := decimal(s)
	if !ok {
		return hugeDecimal(s)
	}
	digits, negative := strings.CutPrefix(digits, "-")
	sign := ""
	if negative {
		sign = "-"
	}
	point := int64(len(digits)) + power
	switch {
	case digits == "0":
		return "0"
	case power >= 0 && power <= maxZeros:
		return sign + digits + strings.Repeat("0", int(power))
	case power < 0 && point > 0:
		return sign + digits[:point] + "." + digits[point:]
	case power < 0 && point > -maxZeros:
		return sign + "0." + strings.Repeat("0", int(-point)) + digits
	}
	return sign + digits + "e" + strconv.FormatInt(power, 10)
}

// isPlainInteger tells that a number is written as plainDecimal writes it: most are.
func isPlainInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return len(digits) <= maxZeros && strings.Trim(digits, "0123456789") == "" && s != "-0"
}

// hugeDecimal is plainDecimal for a number whose power of ten does not fit in an int64.
func hugeDecimal(s string) string {
	mantissa, exponent := s, ""
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent = s[:i], s[i+1:]
	}
	digits, shift, _ := decimal(mantissa) // an exponent of its own it does not have
	power, ok := new(big.Int).SetString(exponent, 10)
	if !ok {
		return s // decimal said that there is an exponent, so this does not come to pass
	}
	return digits + "e" + power.Add(power, big.NewInt(shift)).String()
}
