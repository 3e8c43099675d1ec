package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// Prefixes of keys in their text form (Standard Webhooks 1.0.0, "Signature scheme").
const (
	secretPrefix     = "whsec_"
	privateKeyPrefix = "whsk_"
	publicKeyPrefix  = "whpk_"
)

// Bounds of a secret in bytes, from the same section.
const (
	minSecret = 24
	maxSecret = 64
	newSecret = 32 // what NewSecret makes
)

// Secret is a symmetric key that signs and verifies (scheme v1). It prints masked, so that it can't slip into a log.
type Secret struct {
	key string
}

// ParseSecret reads a secret: "whsec_" (which may be missing) and 24 to 64 bytes in padded standard base64. What differs from that in a
// single character is refused, since two implementations that read it differently would sign differently. Errors don't repeat the text.
func ParseSecret(s string) (Secret, error) {
	if strings.HasPrefix(s, privateKeyPrefix) || strings.HasPrefix(s, publicKeyPrefix) {
		return Secret{}, errors.New("is a key of the asymmetric scheme; a secret starts with whsec_")
	}
	key, err := decodeKey(strings.TrimPrefix(s, secretPrefix))
	if err != nil {
		return Secret{}, err
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return Secret{}, fmt.Errorf("holds %d bytes; a secret has %d to %d", len(key), minSecret, maxSecret)
	}
	return Secret{string(key)}, nil
}

// CheckSecret tells whether a text can be the secret of a sink: what ParseSecret reads, with its prefix. The error is an *router.Error (Invalid)
// at "sink.secret". It fits router.Rules.
func CheckSecret(s string) error {
	_, err := ParseSecret(s)
	if err == nil && !strings.HasPrefix(s, secretPrefix) {
		err = errors.New("must start with whsec_")
	}
	if err != nil {
		return refusal(router.Problem{Location: "sink.secret", Message: err.Error()})
	}
	return nil
}

// NewSecret makes a secret of 32 bytes in its text form. random is crypto/rand.Reader, which never fails; NewSecret panics where another reader does.
func NewSecret(random io.Reader) string {
	key := make([]byte, newSecret)
	if _, err := io.ReadFull(random, key); err != nil {
		panic(fmt.Sprintf("make a webhook secret: %v", err))
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// String prints the secret masked.
func (s Secret) String() string { return secretPrefix + "…" }

// GoString prints the secret masked.
func (s Secret) GoString() string { return s.String() }

// PublicKey verifies signatures of the asymmetric scheme (v1a, ed25519).
type PublicKey struct {
	key ed25519.PublicKey
}

// ParsePublicKey reads "whpk_" and 32 bytes in padded standard base64.
func ParsePublicKey(s string) (PublicKey, error) {
	text, ok := strings.CutPrefix(s, publicKeyPrefix)
	if !ok {
		return PublicKey{}, errors.New("does not start with whpk_")
	}
	key, err := decodeKey(text)
	if err != nil {
		return PublicKey{}, err
	}
	if len(key) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("holds %d bytes; a public key has %d", len(key), ed25519.PublicKeySize)
	}
	return PublicKey{ed25519.PublicKey(key)}, nil
}

// decodeKey reads padded base64 in the one way it can be written. Go's decoder skips line breaks even when it is strict.
func decodeKey(s string) ([]byte, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("is not padded standard base64")
	}
	return key, nil
}
