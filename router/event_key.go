package router

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/zeebo/xxh3"
)

// PartitionKeyExtension is the extension that decides an event's partition (CloudEvents extension "Partitioning").
const PartitionKeyExtension = "partitionkey"

// Tracing attributes change when a client sends an event again, so they are no part of its content (CloudEvents extension "Distributed tracing").
const (
	traceParentExtension = "traceparent"
	traceStateExtension  = "tracestate"
)

// PartitionKey is what decides the event's partition: the extension partitionkey, else the subject, else source and id together.
func (e Event) PartitionKey() string {
	return string(e.appendPartitionKey(nil))
}

func (e Event) appendPartitionKey(b []byte) []byte {
	if key := e.OrderKey(); key != "" {
		return append(b, key...)
	}
	b = strconv.AppendInt(b, int64(len(e.Source())), 10)
	return append(append(append(b, ':'), e.Source()...), e.ID()...)
}

// OrderKey is what an ordered subscription keeps in order: events with the same extension partitionkey, else with the same subject, else those that have neither.
func (e Event) OrderKey() string {
	if x, ok := e.Extension(PartitionKeyExtension); ok && x.Value != "" {
		return x.Value
	}
	return e.fields().Subject
}

// Lane is short for the OrderKey: 64 bits, in 11 characters. Two keys that share a lane are kept in order with each other, too, which does no harm.
func (e Event) Lane() string {
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], xxh3.HashString(e.OrderKey()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Partition is the event's partition of n: the first 8 bytes of the SHA-256 of its partition key, big-endian, modulo n. It must never change, since
// stored events stand where it said.
func (e Event) Partition(n int) int {
	if n <= 1 {
		return 0
	}
	var small [512]byte
	sum := sha256.Sum256(e.appendPartitionKey(small[:0]))
	return int(binary.BigEndian.Uint64(sum[:8]) % uint64(n))
}

// DedupeKey identifies what a publisher may send only once within the dedupe window: source, id and partition key.
func (e Event) DedupeKey() [16]byte {
	var small, key [512]byte
	b := small[:0]
	b = appendText(b, e.fields().Source)
	b = appendText(b, e.fields().ID)
	b = appendText(b, e.appendPartitionKey(key[:0]))
	return shortHash(b)
}

// Fingerprint identifies the event's content: two events with one DedupeKey and different Fingerprints are different events under one id. It covers
// everything that the client sent but the tracing attributes. Replicas of different versions compare fingerprints, so how it is made must not change.
// It is XXH3, not a cryptographic hash: whoever finds two contents with one fingerprint can have the second one taken for a repeat of their own event.
func (e Event) Fingerprint() [16]byte {
	var small [2048]byte
	b := small[:0]
	for _, s := range []string{e.fields().ID, e.fields().Source, e.fields().Type, e.fields().Subject, e.fields().Time, e.fields().DataContentType, e.fields().DataSchema} {
		b = appendText(b, s)
	}
	for _, x := range e.fields().Extensions {
		if x.Name == traceParentExtension || x.Name == traceStateExtension {
			continue
		}
		b = appendText(b, x.Name)
		b = append(b, byte(x.Kind))
		b = appendText(b, x.Value)
	}
	// No extension has an empty name, so this ends them.
	b = appendText(b, "")
	b = append(b, byte(e.fields().DataKind))
	b = appendText(b, e.fields().Data)
	return xxh3.Hash128(b).Bytes()
}

// appendText appends a string with its length before it, so that no two lists of strings give the same bytes.
func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// shortHash is half of a SHA-256: nobody finds another event that has the identity of a given one.
func shortHash(b []byte) [16]byte {
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}
