package router

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"
)

// Key is what events have in common that belong together: a value for each name of a trigger's key, in the order of the trigger's definition. The
// Key of a trigger without a key has none. It is immutable.
type Key struct {
	names  []string
	values []Scalar
}

// KeyHash identifies a key among those of one generation of a trigger: the first half of the SHA-256 of Key.Encode.
type KeyHash [16]byte

// String gives the hash as 32 hexadecimal digits, which is a partial's id in the API.
func (h KeyHash) String() string { return hex.EncodeToString(h[:]) }

// ParseKeyHash reads what String gives.
func ParseKeyHash(s string) (h KeyHash, ok bool) {
	n, err := hex.Decode(h[:], []byte(s))
	return h, err == nil && n == len(h) && h.String() == s
}

// Value gives the value under a name; ok is false where the key has no such name.
func (k Key) Value(name string) (s Scalar, ok bool) {
	if i := slices.Index(k.names, name); i >= 0 {
		return k.values[i], true
	}
	return Scalar{}, false
}

// Encode gives the values as bytes: in the order of their names, so that the order in which a definition lists them does not matter, each with its type
// and its length before it. Equal keys give equal bytes, others different ones. Partials are stored under it, so how it is made must not change.
func (k Key) Encode() string {
	order := make([]int, len(k.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(k.names[a], k.names[b]) })
	var small [128]byte
	b := small[:0]
	for _, i := range order {
		b = k.values[i].appendEncoded(b)
	}
	return string(b)
}

// DecodeKey reads what Encode gives of a key of the trigger's.
func (c *CompiledTrigger) DecodeKey(s string) (k Key, ok bool) {
	sorted, ok := decodeScalars(s, len(c.Key))
	for _, part := range c.Key {
		k.names = append(k.names, part.Name)
	}
	k.values = inOrder(k.names, sorted)
	return k, ok
}

// Hash gives what the key's partial is stored under.
func (k Key) Hash() KeyHash { return hashOf(k.Encode()) }

func hashOf(encoded string) KeyHash { return KeyHash(shortHash([]byte(encoded))) }

// Subject is the subject of a firing: the values joined by "/", what an attribute can't hold replaced by U+FFFD.
func (k Key) Subject() string {
	var texts []string
	for _, s := range k.values {
		texts = append(texts, s.text)
	}
	return strings.Map(attributeRune, strings.Join(texts, "/"))
}

func attributeRune(r rune) rune {
	if textFault(string(r)) != "" {
		return utf8.RuneError
	}
	return r
}

// JSON gives the key as an object, such as {"order":12}.
func (k Key) JSON() string {
	w := jsonWriter{}
	w.open('{')
	for i, name := range k.names {
		w.name(name)
		w.b = k.values[i].appendJSON(w.b)
	}
	w.close('}')
	return string(w.b)
}
