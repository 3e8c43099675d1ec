// Package keyring seals secrets for storage: AES-256-GCM under one of several keys, so that keys can be changed. What is sealed is text that names its
// key, and can be opened only for the purpose that it was sealed for.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// What stands in front of stored text that is not as it was given: a key's id and what it sealed, or text that would be taken for such.
const (
	sealedPrefix  = "sealed:v1:"
	escapedPrefix = "sealed:v0:"
)

// keySize is the length of a key, of AES-256.
const keySize = 32

// key is one key.
type key struct {
	id   string // tells it from others, and nothing about it
	aead cipher.AEAD
}

// Keyring holds keys: the first one seals, all open. The nil Keyring has none: it stores text as it is and opens nothing that is sealed. Safe for
// concurrent use.
type Keyring struct {
	keys []key
}

// New makes a keyring of keys, each 32 bytes in padded standard base64, as NewKey and `openssl rand -base64 32` write them. Without any it is nil. The error
// says which one is wrong, and nothing of it.
func New(texts ...string) (*Keyring, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	k := &Keyring{}
	for i, text := range texts {
		one, err := parse(text)
		if err != nil {
			return nil, router.Errorf(router.Invalid, "key %d %s", i+1, err)
		}
		if slices.ContainsFunc(k.keys, func(other key) bool { return other.id == one.id }) {
			return nil, router.Errorf(router.Invalid, "key %d (%s) is there twice", i+1, one.id)
		}
		k.keys = append(k.keys, one)
	}
	return k, nil
}

func parse(text string) (key, error) {
	raw, err := decode(base64.StdEncoding, text)
	if err != nil || len(raw) != keySize {
		return key{}, fmt.Errorf("is not %d bytes in padded base64", keySize)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return key{}, err
	}
	sum := sha256.Sum256(append([]byte("streamlatch key id\x00"), raw...))
	return key{hex.EncodeToString(sum[:4]), aead}, nil
}

// decode reads base64 in the one way it can be written. Go's decoder skips line breaks even when it is strict.
func decode(encoding *base64.Encoding, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("has line breaks")
	}
	return encoding.Strict().DecodeString(text)
}

// NewKey makes a key in its text form. random is crypto/rand.Reader, which never fails; NewKey panics where another reader does.
func NewKey(random io.Reader) string {
	raw := make([]byte, keySize)
	if _, err := io.ReadFull(random, raw); err != nil {
		panic(fmt.Sprintf("make a key: %v", err))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// IDs name the keys, in order. An id is no secret.
func (k *Keyring) IDs() (ids []string) {
	if k == nil {
		return nil
	}
	for _, one := range k.keys {
		ids = append(ids, one.id)
	}
	return ids
}

// Seal gives text as it is stored: sealed under the first key, for one purpose, which Open has to be given again. Without keys it is stored as it is.
func (k *Keyring) Seal(text, purpose string) string {
	if k == nil {
		if isMarked(text) {
			return escapedPrefix + text
		}
		return text
	}
	first := k.keys[0]
	return sealedPrefix + first.id + ":" + base64.RawURLEncoding.EncodeToString(first.aead.Seal(nil, nil, []byte(text), []byte(purpose)))
}

// Open gives what Seal was given, with this or another of the keys, or none. The error says which key is missing, or that what is stored is not what was sealed for
// this purpose.
func (k *Keyring) Open(stored, purpose string) (string, error) {
	if !isMarked(stored) {
		return stored, nil
	}
	if text, ok := strings.CutPrefix(stored, escapedPrefix); ok {
		return text, nil
	}
	id, sealed, _ := strings.Cut(strings.TrimPrefix(stored, sealedPrefix), ":")
	one, ok := k.find(id)
	if !ok {
		return "", fmt.Errorf("is sealed under the key %q, which there is not", cut(id))
	}
	raw, err := decode(base64.RawURLEncoding, sealed)
	if err == nil {
		raw, err = one.aead.Open(nil, nil, raw, []byte(purpose))
	}
	if err != nil {
		return "", fmt.Errorf("is not what was sealed here under the key %q", id)
	}
	return string(raw), nil
}

// Current tells whether stored text is as Seal would store it now: under the first key, or in clear where there are no keys.
func (k *Keyring) Current(stored string) bool {
	if k == nil {
		return !strings.HasPrefix(stored, sealedPrefix)
	}
	return strings.HasPrefix(stored, sealedPrefix+k.keys[0].id+":")
}

var sealedPattern = regexp.MustCompile(`"` + sealedPrefix + `([0-9a-f]{8}):`)

// Missing lists the ids of the keys that JSON text was sealed under, in part or whole, and that the keyring does not have.
func (k *Keyring) Missing(text string) (ids []string) {
	for _, match := range sealedPattern.FindAllStringSubmatch(text, -1) {
		if _, ok := k.find(match[1]); !ok && !slices.Contains(ids, match[1]) {
			ids = append(ids, match[1])
		}
	}
	return ids
}

func (k *Keyring) find(id string) (key, bool) {
	if k == nil {
		return key{}, false
	}
	i := slices.IndexFunc(k.keys, func(one key) bool { return one.id == id })
	if i < 0 {
		return key{}, false
	}
	return k.keys[i], true
}

func isMarked(text string) bool {
	return strings.HasPrefix(text, sealedPrefix) || strings.HasPrefix(text, escapedPrefix)
}

// cut shortens what may be anything.
func cut(id string) string {
	const longest = 16
	if len(id) > longest {
		return id[:longest]
	}
	return id
}
