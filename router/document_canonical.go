package router

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// appendCanonical writes a value so that two texts that mean the same become the same bytes: members sorted by name, strings escaped in one
// way, numbers as exact decimals (1, 1.0 and 10e-1 are one number; no digit is lost, as RFC 8785 would). It is for comparing.
func appendCanonical(dst []byte, v jsonValue) []byte {
	w := jsonWriter{dst}
	switch v.kind() {
	case jsontext.KindBeginObject:
		w.open('{')
		for _, m := range slices.SortedFunc(slices.Values(v.members), func(a, b jsonMember) int { return cmp.Compare(a.name, b.name) }) {
			w.name(m.name)
			w.b = appendCanonical(w.b, m.value)
		}
		w.close('}')
	case jsontext.KindBeginArray:
		w.open('[')
		for _, m := range v.members {
			w.separate()
			w.b = appendCanonical(w.b, m.value)
		}
		w.close(']')
	case jsontext.KindString:
		w.b, _ = jsontext.AppendQuote(w.b, unquote(v.src))
	case jsontext.KindNumber:
		w.b = append(w.b, canonicalNumber(string(v.src))...)
	default:
		w.b = append(w.b, v.src...)
	}
	return w.b
}

// canonicalNumber writes a JSON number as its significant digits, without zeros at either end, and a power of ten: "-125e-2". Zero is "0". A
// number whose power no int64 holds stays as it is.
func canonicalNumber(s string) string {
	digits, power, ok := decimal(s)
	switch {
	case !ok:
		return s
	case digits == "0":
		return "0"
	}
	return digits + "e" + strconv.FormatInt(power, 10)
}

// decimal splits a JSON number into its significant digits, signed, and a power of ten; ok is false where the power does not fit.
func decimal(s string) (digits string, power int64, ok bool) {
	number, negative := strings.CutPrefix(s, "-")
	mantissa, exponent := number, "0"
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa, exponent = number[:i], number[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := strings.TrimLeft(whole+fraction, "0")
	if all == "" {
		return "0", 0, true
	}
	const most = 1 << 62 // so that no sum below overflows
	power, err := strconv.ParseInt(exponent, 10, 64)
	if err != nil || power > most || power < -most {
		return "", 0, false
	}
	digits = strings.TrimRight(all, "0")
	power += int64(len(all) - len(digits) - len(fraction))
	if negative {
		digits = "-" + digits
	}
	return digits, power, true
}

// plain gives a value as Go's maps, slices, strings, numbers and booleans, for printing as JSON or YAML. Numbers are int64, or float64, or
// json.Number where neither prints the same number.
func (v jsonValue) plain() any {
	switch v.kind() {
	case jsontext.KindBeginObject:
		object := make(map[string]any, len(v.members))
		for _, m := range v.members {
			object[m.name] = m.value.plain()
		}
		return object
	case jsontext.KindBeginArray:
		array := make([]any, len(v.members))
		for i, m := range v.members {
			array[i] = m.value.plain()
		}
		return array
	case jsontext.KindString:
		return unquote(v.src)
	case jsontext.KindNumber:
		return plainNumber(string(v.src))
	case jsontext.KindTrue, jsontext.KindFalse:
		return v.kind() == jsontext.KindTrue
	}
	return nil
}

func plainNumber(s string) any {
	digits, power, ok := decimal(s)
	if ok && power >= 0 && power < 19 {
		if i, err := strconv.ParseInt(digits+strings.Repeat("0", int(power)), 10, 64); err == nil {
			return i
		}
	}
	x, err := strconv.ParseFloat(s, 64)
	if canonical := canonicalNumber(s); err != nil || canonicalNumber(strconv.FormatFloat(x, 'e', -1, 64)) != canonical {
		return json.Number(canonical)
	}
	return x
}
