package router_test

import (
	"encoding/hex"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/router"
)

func TestThePartitionKeyIsTheExtensionElseTheSubjectElseSourceAndID(t *testing.T) {
	e := eventWith(t, func(f *router.EventFields) {
		f.Subject = "s"
		f.Extensions = []router.Extension{{Name: "partitionkey", Value: "k"}}
	})
	require.Equal(t, "k", e.PartitionKey())

	e, err := e.WithExtension(router.Extension{Name: "partitionkey"})
	require.NoError(t, err)
	require.Equal(t, "s", e.PartitionKey(), "an empty key is none")

	ab := eventWith(t, func(f *router.EventFields) { f.Source, f.ID = "/a", "bc" })
	ac := eventWith(t, func(f *router.EventFields) { f.Source, f.ID = "/ab", "c" })
	require.NotEqual(t, ab.PartitionKey(), ac.PartitionKey())
}

// Stored events stand where these numbers say, and replicas of several versions have to agree on them: they never change.
func TestPartitionsAndKeysStayTheSameForEver(t *testing.T) {
	e := typicalEvent(t)
	require.Equal(t, [...]int{0, 0, 1, 1, 5, 901}, [...]int{e.Partition(0), e.Partition(1), e.Partition(2), e.Partition(3), e.Partition(16), e.Partition(1000)})
	dedupe, fingerprint := e.DedupeKey(), e.Fingerprint()
	require.Equal(t, "f2dc06d49ca80272d8922785de014591", hex.EncodeToString(dedupe[:]))
	require.Equal(t, "f22957c78556fec021978df752096f52", hex.EncodeToString(fingerprint[:]))

	keyless := eventWith(t, func(*router.EventFields) {})
	require.Equal(t, "2:/a1", keyless.PartitionKey())
	require.Equal(t, 8, keyless.Partition(16))
}

func TestPartitionsAreEvenlyFilled(t *testing.T) {
	const n, events = 16, 16_000
	var filled [n]int
	for i := range events {
		filled[eventWith(t, func(f *router.EventFields) { f.Subject = "order-" + strconv.Itoa(2*i) }).Partition(n)]++
	}
	for p, got := range filled {
		require.InDelta(t, events/n, got, events/n/5, "partition %d", p)
	}
}

func TestTheFingerprintChangesWithEverythingTheClientSent(t *testing.T) {
	full := router.EventFields{
		ID: "1", Source: "/a", Type: "t", Subject: "s", Time: "2026-11-20T12:00:00Z", DataContentType: "text/plain", DataSchema: "a:b",
		Extensions: []router.Extension{{Name: "x", Value: "1"}}, Data: "d", DataKind: router.TextData,
	}
	seen := map[[16]byte]string{}
	for name, change := range map[string]func(*router.EventFields){
		"nothing":         func(*router.EventFields) {},
		"id":              func(f *router.EventFields) { f.ID = "2" },
		"source":          func(f *router.EventFields) { f.Source = "/b" },
		"type":            func(f *router.EventFields) { f.Type = "u" },
		"subject":         func(f *router.EventFields) { f.Subject = "r" },
		"no subject":      func(f *router.EventFields) { f.Subject = "" },
		"time":            func(f *router.EventFields) { f.Time = "2026-11-20T12:00:00.000Z" },
		"datacontenttype": func(f *router.EventFields) { f.DataContentType = "text/html" },
		"dataschema":      func(f *router.EventFields) { f.DataSchema = "a:c" },
		"extension":       func(f *router.EventFields) { f.Extensions = []router.Extension{{Name: "x", Value: "2"}} },
		"its name":        func(f *router.EventFields) { f.Extensions = []router.Extension{{Name: "y", Value: "1"}} },
		"its kind":        func(f *router.EventFields) { f.Extensions[0].Kind = router.IntegerValue },
		"one more":        func(f *router.EventFields) { f.Extensions = append(f.Extensions, router.Extension{Name: "z"}) },
		"one less":        func(f *router.EventFields) { f.Extensions = nil },
		"data":            func(f *router.EventFields) { f.Data = "e" },
		"kind of data":    func(f *router.EventFields) { f.DataKind = router.BinaryData },
	} {
		f := full
		f.Extensions = append([]router.Extension(nil), full.Extensions...)
		change(&f)
		e, err := router.NewEvent(f)
		require.NoError(t, err, name)
		require.NotContains(t, seen, e.Fingerprint(), "%s and %s", name, seen[e.Fingerprint()])
		seen[e.Fingerprint()] = name
	}
}

func TestTheFingerprintLeavesTracingOut(t *testing.T) {
	e := typicalEvent(t)
	for _, name := range []string{"traceparent", "tracestate"} {
		traced, err := e.WithExtension(router.Extension{Name: name, Value: "other"})
		require.NoError(t, err)
		require.Equal(t, e.Fingerprint(), traced.Fingerprint())
		require.Equal(t, e.DedupeKey(), traced.DedupeKey())
	}
}

func TestTheDedupeKeyIsSourceIDAndPartitionKeyAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab/]{1,3}`)
		one := router.EventFields{ID: text.Draw(t, "id"), Source: text.Draw(t, "source"), Subject: text.Draw(t, "subject"), Type: text.Draw(t, "type")}
		two := router.EventFields{ID: text.Draw(t, "id"), Source: text.Draw(t, "source"), Subject: text.Draw(t, "subject"), Type: text.Draw(t, "type")}
		a, err := router.NewEvent(one)
		require.NoError(t, err)
		b, err := router.NewEvent(two)
		require.NoError(t, err)
		same := one.ID == two.ID && one.Source == two.Source && one.Subject == two.Subject
		require.Equal(t, same, a.DedupeKey() == b.DedupeKey())
	})
}

func TestTheLaneOfAnEventIsThatOfItsPartitionKeyElseItsSubjectElseOfNeither(t *testing.T) {
	lane := func(subject, key string) string {
		return eventWith(t, func(f *router.EventFields) {
			f.Subject = subject
			if key != "" {
				f.Extensions = []router.Extension{{Name: "partitionkey", Value: key}}
			}
		}).Lane()
	}
	require.Equal(t, lane("", "a"), lane("a", ""))
	require.Equal(t, lane("b", "a"), lane("c", "a"), "the partition key comes first")
	require.NotEqual(t, lane("a", ""), lane("b", ""))
	require.NotEqual(t, lane("", ""), lane("b", ""))
	require.Regexp(t, "^[A-Za-z0-9_-]{11}$", lane("any # of ~ these", ""), "nothing of it can be mistaken in a queue")
	require.Equal(t, "LQaABTjTlMI", lane("", ""), "what is queued keeps its lane")
}
