package redistest

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// readMessage reads one whole RESP2 or RESP3 message, a request or a reply, and appends its bytes to buf. A line that
// starts like no type is an inline command, and is a message of its own.
func readMessage(r *bufio.Reader, buf []byte) ([]byte, error) {
	for pending := 1; pending > 0; pending-- {
		start := len(buf)
		var err error
		if buf, err = appendLine(r, buf); err != nil {
			return buf, err
		}
		line := bytes.TrimRight(buf[start:], "\r\n")
		if len(line) == 0 {
			continue
		}
		n, err := size(line)
		if err != nil {
			return buf, err
		}
		switch line[0] {
		case '$', '=', '!':
			buf, err = appendBlob(r, buf, n)
		case '*', '~', '>':
			pending += max(n, 0)
		case '%':
			pending += 2 * max(n, 0)
		case '|': // attributes, which go before the reply itself
			pending += 2*max(n, 0) + 1
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// size returns the length in a line that has one, negative for nil.
func size(line []byte) (int, error) {
	if !strings.ContainsRune("$=!*~>%|", rune(line[0])) {
		return 0, nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return 0, fmt.Errorf("not a RESP message: %q", line)
	}
	return n, nil
}

func appendLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		if err != bufio.ErrBufferFull {
			return buf, err
		}
	}
}

// appendBlob appends n bytes and the line end behind them; a negative n is nil, which has neither.
func appendBlob(r *bufio.Reader, buf []byte, n int) ([]byte, error) {
	if n < 0 {
		return buf, nil
	}
	start := len(buf)
	buf = append(buf, make([]byte, n+2)...)
	for start < len(buf) {
		m, err := r.Read(buf[start:])
		if err != nil {
			return buf, err
		}
		start += m
	}
	return buf, nil
}
