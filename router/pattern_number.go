package router

import (
	"strconv"
	"strings"
)

// comparableNumber gives the value of a JSON number by EventBridge's rule: numbers compare by their decimal value as long as a double holds
// it exactly, that is, as long as the shortest decimal that names the double is that value. Others, such as integers of 20 digits,
// have ok false: they equal only the same text, and no range holds them.
func comparableNumber(text string) (x float64, ok bool) {
	if x, ok = smallInteger(text); ok {
		return x, true
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false
	}
	if !isShort(text) && canonicalNumber(text) != canonicalNumber(strconv.FormatFloat(x, 'e', -1, 64)) {
		return 0, false
	}
	return x + 0, true // makes -0 the number 0
}

// exactDigits is how many significant digits a decimal can have and always be the shortest one for its double.
const exactDigits = 15

// isShort tells that a number has at most exactDigits digits, and no exponent.
func isShort(text string) bool {
	return len(text) <= exactDigits && !strings.ContainsAny(text, "eE")
}

// smallInteger reads what most numbers are: whole, and of few digits.
func smallInteger(text string) (x float64, ok bool) {
	digits, negative := strings.CutPrefix(text, "-")
	if len(digits) > exactDigits {
		return 0, false
	}
	n := int64(0)
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return float64(n), true
}
