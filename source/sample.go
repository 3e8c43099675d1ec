package source

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Sample makes a message as the provider would send it now, with what shows who sent it. id is new in each; Invalid: the source has no secret that could sign.
func (in *Inlet) Sample(now time.Time, id string) (Message, error) {
	fill := strings.NewReplacer("{id}", id, "{time}", strconv.FormatInt(now.Unix(), 10))
	m := Message{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}, Body: []byte(fill.Replace(in.sample.body))}
	contentType := in.sample.contentType
	if contentType == "" {
		contentType = jsonType
	}
	m.Header.Set("Content-Type", contentType)
	for name, value := range in.sample.header {
		m.Header.Set(name, fill.Replace(value))
	}
	for _, l := range in.locks {
		if len(l.keys) > 0 {
			l.sign(&m, now, id)
			return m, nil
		}
	}
	return Message{}, router.Errorf(router.Invalid, "the source has no secret to sign a sample with")
}

// sign puts into a message what shows who sent it.
func (l lock) sign(m *Message, now time.Time, id string) {
	k := l.keys[0]
	switch l.proof {
	case hmacProof:
		l.signHMAC(m, now, id)
	case tokenProof:
		if l.query != "" {
			m.Query.Set(l.query, string(k.bytes))
		} else {
			m.Header.Set(l.header, string(k.bytes))
		}
	case basicProof:
		m.Header.Set(l.header, "Basic "+base64.StdEncoding.EncodeToString([]byte(string(l.user.bytes)+":"+string(k.bytes))))
	case pathProof:
		m.Key = string(k.bytes)
	}
}

func (l lock) signHMAC(m *Message, now time.Time, id string) {
	at := strconv.FormatInt(now.Unix(), 10)
	if l.timestamp.millis {
		at = strconv.FormatInt(now.UnixMilli(), 10)
	}
	if l.timestamp.header != "" {
		m.Header.Set(l.timestamp.header, at)
	}
	for _, p := range l.parts {
		if p.kind == headerPart && m.Header.Get(p.text) == "" {
			m.Header.Set(p.text, id)
		}
	}
	if i := slices.IndexFunc(l.parts, func(p part) bool { return p.kind == digestPart }); i >= 0 {
		sum := sha256.Sum256(m.Body)
		m.RawQuery = l.parts[i].text + "=" + hex.EncodeToString(sum[:])
		m.Query.Set(l.parts[i].text, hex.EncodeToString(sum[:]))
	}
	signed, _ := l.signedParts(*m, at) // all headers are there, and a sample is a form where its scheme wants one
	sum := l.macs[0].sum(signed...)
	value := l.prefix + hex.EncodeToString(sum)
	if l.encoding == "base64" {
		value = l.prefix + base64.StdEncoding.EncodeToString(sum)
	}
	if l.timestamp.prefix != "" {
		value = l.timestamp.prefix + at + l.separator + value
	}
	m.Header.Set(l.header, value)
}
