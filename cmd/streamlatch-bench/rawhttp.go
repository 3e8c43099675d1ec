package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// poster sends one document again and again over one HTTP/1.1 connection. It knows just enough of HTTP for a server on
// loopback, so that making the load costs little beside carrying it: a few microseconds a request, where net/http's
// client takes tens. Not safe for concurrent use.
type poster struct {
	conn    net.Conn
	replies *bufio.Reader
	request []byte // head and body
	body    []byte // the part of request that the document stamps
	trash   []byte
	signer  *signer // nil: requests are not signed
}

// signer signs requests like webhooks of GitHub, in place.
type signer struct {
	mac       hash.Hash
	delivery  []byte // parts of the request's head
	signature []byte
	id        []byte // the part of the body that is different in each request
}

// The marks stand where the signer puts something, at its length.
var (
	deliveryMark  = strings.Repeat("d", runLength+1+seqDigits)
	signatureMark = strings.Repeat("5", 2*sha256.Size)
)

// signedHead is what a signed request has in its head.
func signedHead() string {
	return "X-Github-Event: bench\r\nX-Github-Delivery: " + deliveryMark + "\r\nX-Hub-Signature-256: sha256=" + signatureMark + "\r\n"
}

func newSigner(head, body []byte, d *document, secret string) *signer {
	find := func(mark string) []byte {
		i := after(head, mark)
		return head[i-len(mark) : i]
	}
	at := d.slots[0].id
	return &signer{hmac.New(sha256.New, []byte(secret)), find(deliveryMark), find(signatureMark), body[at-runLength-1 : at+seqDigits]}
}

func (s *signer) sign(body []byte) {
	copy(s.delivery, s.id)
	s.mac.Reset()
	_, _ = s.mac.Write(body) // a hash never fails
	hex.Encode(s.signature, s.mac.Sum(nil))
}

// dialPoster connects to a server, for sending a document to a URL.
func dialPoster(ctx context.Context, target string, d *document, secret string) (*poster, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	p := &poster{conn: conn, replies: bufio.NewReaderSize(conn, 16<<10), trash: make([]byte, 16<<10)}
	more := ""
	if secret != "" {
		more = signedHead()
	}
	p.request = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n",
		u.RequestURI(), u.Host, d.contentType(), len(d.body), more)
	head := len(p.request)
	p.request = append(p.request, d.body...)
	p.body = p.request[head:]
	d.body = p.body
	if secret != "" {
		p.signer = newSigner(p.request[:head], p.body, d, secret)
	}
	return p, nil
}

func (p *poster) Close() error { return p.conn.Close() }

// post sends the document as it stands and waits for the answer, which must be 202.
func (p *poster) post() error {
	if p.signer != nil {
		p.signer.sign(p.body)
	}
	if _, err := p.conn.Write(p.request); err != nil {
		return err
	}
	status, err := p.readStatus()
	if err != nil {
		return err
	}
	length, chunked, err := p.readHeader()
	if err != nil {
		return err
	}
	if status != http.StatusAccepted {
		text := make([]byte, min(max(length, 0), 500))
		_, _ = io.ReadFull(p.replies, text)
		return fmt.Errorf("status %d: %s", status, text)
	}
	if chunked {
		return p.skipChunks()
	}
	return p.skip(length)
}

// readStatus reads "HTTP/1.1 202 Accepted".
func (p *poster) readStatus() (int, error) {
	line, err := p.line()
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) || len(line) < 12 {
		return 0, fmt.Errorf("not an HTTP reply: %q", line)
	}
	return strconv.Atoi(string(line[9:12]))
}

// readHeader reads to the empty line and returns how the body is framed.
func (p *poster) readHeader() (length int, chunked bool, err error) {
	for {
		line, err := p.line()
		if err != nil || len(line) == 0 {
			return length, chunked, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")) && bytes.EqualFold(value, []byte("close")):
			return 0, false, errors.New("the server wants to close the connection")
		}
	}
}

func (p *poster) skipChunks() error {
	for {
		line, err := p.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return err
		}
		if err := p.skip(int(n) + len("\r\n")); err != nil || n == 0 {
			return err
		}
	}
}

func (p *poster) skip(n int) error {
	for n > 0 {
		m, err := p.replies.Read(p.trash[:min(n, len(p.trash))])
		if err != nil {
			return err
		}
		n -= m
	}
	return nil
}

// line reads one line, without its end. It is valid until the next read.
func (p *poster) line() ([]byte, error) {
	line, err := p.replies.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
