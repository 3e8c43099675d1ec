package router

import (
	"regexp"
	"strconv"
	"strings"
)

// Receipt is a worker's right to say what becomes of a delivery that it has pulled. Of the receipts for a delivery at most one is good: each pull makes
// a new one, and that ends those before. Extending a lease keeps its receipt.
type Receipt struct {
	Entry   Entry
	Attempt int    // counted from 1
	Token   string // made anew for each pull, and can't be guessed
}

var receiptPattern = regexp.MustCompile(`^rcp_(\d{1,3})-(\d{1,15}-\d{1,20})(~[0-9a-z]{1,32})?\.(\d{1,4})\.([A-Z2-7]{26})$`)

// String prints the receipt as workers see it; it is of no meaning to them.
func (r Receipt) String() string {
	p := r.Entry.Position
	return "rcp_" + strconv.Itoa(p.Partition) + "-" + p.ID() + r.Entry.Suffix + "." + strconv.Itoa(r.Attempt) + "." + r.Token
}

// ParseReceipt reads what String prints. Invalid: it is no receipt. That says nothing about whether it is good.
func ParseReceipt(text string) (Receipt, error) {
	m := receiptPattern.FindStringSubmatch(text)
	if m == nil {
		return Receipt{}, errNoReceipt()
	}
	position, err := ParsePosition(m[1] + ":" + m[2])
	if err != nil {
		return Receipt{}, errNoReceipt()
	}
	attempt, _ := strconv.Atoi(m[4]) // digits, and few of them
	r := Receipt{Entry: Entry{Position: position, Suffix: m[3]}, Attempt: attempt, Token: strings.Clone(m[5])}
	if r.String() != text {
		return Receipt{}, errNoReceipt()
	}
	return r, nil
}

func errNoReceipt() error { return Errorf(Invalid, "is not a receipt that a pull gave") }
