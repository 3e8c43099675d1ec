package source

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
	"sync"
)

// key is a secret in the form in which a scheme uses it. It can't be compared with ==: the compiler refuses that. It prints masked.
type key struct{ bytes []byte }

// String prints nothing of the key.
func (key) String() string { return "****" }

// GoString prints nothing of the key.
func (key) GoString() string { return "****" }

// The lengths of a key that is written in base64. Standard Webhooks wants 24 to 64 bytes; some of its libraries take less.
const (
	minBase64Key = 16
	maxBase64Key = 256
)

var (
	errNoBase64    = errors.New("must be whsec_ and base64")
	errKeyLength   = errors.New("must hold 16 to 256 bytes in base64")
	errEmptySecret = errors.New("must not be empty")
)

// makeKey reads a secret.
func makeKey(text string, form secretForm) (key, error) {
	if len(text) == 0 {
		return key{}, errEmptySecret
	}
	if form == textSecret {
		return key{[]byte(text)}, nil
	}
	decoded, err := decodeBase64(strings.TrimPrefix(text, "whsec_"))
	if err != nil {
		return key{}, errNoBase64
	}
	if len(decoded) < minBase64Key || len(decoded) > maxBase64Key {
		return key{}, errKeyLength
	}
	return key{decoded}, nil
}

// minPathKey is the shortest key that ends a path: nobody must be able to guess it.
const minPathKey = 16

var errPathKey = errors.New("must have 16 letters, digits, hyphens and underscores or more: it ends the path that only the sender may know")

// isPathKey tells whether a key can end a path.
func isPathKey(s string) bool {
	return len(s) >= minPathKey && !strings.ContainsFunc(s, func(c rune) bool {
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !alphanumeric && c != '-' && c != '_'
	})
}

// decodeBase64 reads a key in standard base64, padded or not at all padded, as different libraries write it. Go's decoder would skip line breaks.
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errNoBase64
	}
	encoding := base64.StdEncoding
	if !strings.HasSuffix(s, "=") && len(s)%4 != 0 {
		encoding = base64.RawStdEncoding
	}
	return encoding.DecodeString(s)
}

var errPublicKey = errors.New("must be whpk_ and the 32 bytes of an ed25519 key in base64")

// makePublicKey reads "whpk_" and the 32 bytes of a key in base64.
func makePublicKey(text string) (ed25519.PublicKey, error) {
	encoded, ok := strings.CutPrefix(text, "whpk_")
	decoded, err := decodeBase64(encoded)
	if !ok || err != nil || len(decoded) != ed25519.PublicKeySize {
		return nil, errPublicKey
	}
	return decoded, nil
}

// sameSecret tells whether a text is the key, in a time that does not depend on either.
func sameSecret(given string, k key) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256(k.bytes)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// macs makes HMACs with one key. What is derived from the key is kept for the next one: to derive it takes as long as the HMAC of a short message. Safe for
// concurrent use.
type macs struct{ kept sync.Pool } // of hash.Hash

func newMACs(hash string, k key) *macs {
	return &macs{sync.Pool{New: func() any { return hmac.New(hashOf(hash), k.bytes) }}}
}

// sum is the HMAC of parts one after the other.
func (m *macs) sum(parts ...[]byte) []byte {
	mac := m.kept.Get().(hash.Hash)
	defer m.kept.Put(mac)
	mac.Reset()
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// Same tells whether two secrets are the same, in a time that does not depend on where they differ.
func Same(a, b string) bool { return sameSecret(a, key{[]byte(b)}) }
