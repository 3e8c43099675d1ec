package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Names of the headers that carry a signature, in the form that net/http uses.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Tolerance is how far the time of a message may lie from the receiver's clock, before it or after it.
const Tolerance = 5 * time.Minute

// maxSignatures bounds the work that a header can ask for: rotation needs two or three.
const maxSignatures = 32

// Why a message did not verify.
var (
	ErrHeaders   = errors.New("webhook-id, webhook-timestamp and webhook-signature must each be there once, and well-formed")
	ErrTimestamp = errors.New("the message's time is more than 5 minutes away from this clock")
	ErrSignature = errors.New("no signature fits")
)

// Sign returns the value of the header webhook-signature: one v1 signature for each secret, over id, time (whole seconds) and body. The id must
// not contain a ".", or what is signed could be read in two ways.
func Sign(secrets []Secret, id string, at time.Time, body []byte) string {
	return sign(secrets, id, strconv.FormatInt(at.Unix(), 10), body)
}

func sign(secrets []Secret, id, timestamp string, body []byte) string {
	const size = len("v1,") + 44 // of one signature
	b := make([]byte, 0, len(secrets)*(size+1))
	for i, s := range secrets {
		if i > 0 {
			b = append(b, ' ')
		}
		b = s.appendMAC(append(b, "v1,"...), id, timestamp, body)
	}
	return string(b)
}

// appendMAC appends the base64 of the HMAC-SHA256 over id.timestamp.body.
func (s Secret) appendMAC(dst []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(s.key))
	var scratch [128]byte
	mac.Write(appendSigned(scratch[:0], id, timestamp))
	mac.Write(body)
	return base64.StdEncoding.AppendEncode(dst, mac.Sum(scratch[:0]))
}

// appendSigned appends what stands before the body in the signed bytes.
func appendSigned(dst []byte, id, timestamp string) []byte {
	dst = append(append(dst, id...), '.')
	return append(append(dst, timestamp...), '.')
}

// Verifier checks signatures as the receiver of a webhook does. Any one key that fits any one signature is enough, so that keys can be rotated. Safe
// for concurrent use.
type Verifier struct {
	Secrets    []Secret    // for signatures of scheme v1
	PublicKeys []PublicKey // for signatures of scheme v1a
}

// Verify checks a message as it was received: body are the raw bytes, before any decoding. Signatures are compared in constant time, those of
// other schemes are skipped. The error is ErrHeaders, ErrTimestamp (further than Tolerance from now) or ErrSignature.
func (v Verifier) Verify(h http.Header, body []byte, now time.Time) error {
	id, okID := single(h, HeaderID)
	timestamp, okTime := single(h, HeaderTimestamp)
	signatures, okSig := single(h, HeaderSignature)
	at, okSeconds := parseSeconds(timestamp)
	// An id with a dot would let the signed bytes be split anew: part of the body as time, the time as part of the id.
	if !okID || !okTime || !okSig || !okSeconds || strings.Contains(id, ".") || strings.Count(signatures, " ") >= maxSignatures {
		return ErrHeaders
	}
	if age := now.Sub(at); age > Tolerance || age < -Tolerance {
		return ErrTimestamp
	}
	if v.fits(strings.Split(signatures, " "), id, timestamp, body) {
		return nil
	}
	return ErrSignature
}

func (v Verifier) fits(signatures []string, id, timestamp string, body []byte) bool {
	fits := false
	for _, s := range v.Secrets {
		want := s.appendMAC([]byte("v1,"), id, timestamp, body)
		for _, got := range signatures {
			fits = hmac.Equal([]byte(got), want) || fits
		}
	}
	if fits || len(v.PublicKeys) == 0 {
		return fits
	}
	signed := append(appendSigned(nil, id, timestamp), body...)
	for _, got := range signatures {
		fits = v.fitsPublic(got, signed) || fits
	}
	return fits
}

func (v Verifier) fitsPublic(signature string, signed []byte) bool {
	text, ok := strings.CutPrefix(signature, "v1a,")
	if !ok {
		return false
	}
	sig, err := decodeKey(text)
	if err != nil {
		return false
	}
	for _, k := range v.PublicKeys {
		if ed25519.Verify(k.key, signed, sig) {
			return true
		}
	}
	return false
}

// single returns a header's value where it is there exactly once and not empty.
func single(h http.Header, name string) (string, bool) {
	v := h.Values(name)
	if len(v) != 1 || v[0] == "" {
		return "", false
	}
	return v[0], true
}

// parseSeconds reads whole seconds since 1970, written the one way that signers write them: a fraction, a sign or leading zeros are not a time.
func parseSeconds(s string) (time.Time, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return time.Time{}, false
	}
	return time.Unix(n, 0), true
}
