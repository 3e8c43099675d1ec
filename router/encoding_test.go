package router_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/router"
)

// fieldsOf takes an event apart again.
func fieldsOf(e router.Event) router.EventFields {
	return router.EventFields{
		ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: e.TimeText(), DataContentType: e.DataContentType(),
		DataSchema: e.DataSchema(), Extensions: slices.Collect(e.Extensions), Data: e.DataText(), DataKind: e.DataKind(),
	}
}

// anyEvent draws valid events.
func anyEvent(t *rapid.T) router.Event {
	text := rapid.StringOf(rapid.RuneFrom([]rune{'a', 'Z', ' ', '"', '%', '\\', '<', 'é', '😀', '\u202e'}))
	f := router.EventFields{
		ID:         "i" + text.Draw(t, "id"),
		Source:     rapid.SampledFrom([]string{"/", "urn:a:b", "https://example.com/%7e?q#f"}).Draw(t, "source"),
		Type:       "t" + text.Draw(t, "type"),
		Subject:    text.Draw(t, "subject"),
		Time:       rapid.SampledFrom([]string{"", "2026-11-20T12:00:00Z", "2018-04-26t14:48:09.12345678912+02:00"}).Draw(t, "time"),
		DataSchema: rapid.SampledFrom([]string{"", "http://localhost/schema"}).Draw(t, "dataschema"),
	}
	names := rapid.SliceOfDistinct(rapid.StringMatching(`x[a-z0-9]{0,9}`), rapid.ID[string]).Draw(t, "names")
	for _, name := range names {
		f.Extensions = append(f.Extensions, rapid.SampledFrom([]router.Extension{
			{Name: name, Value: text.Draw(t, "value")},
			{Name: name, Value: "-2147483648", Kind: router.IntegerValue},
			{Name: name, Value: "true", Kind: router.BooleanValue},
		}).Draw(t, "extension"))
	}
	switch f.DataKind = rapid.SampledFrom([]router.DataKind{router.NoData, router.JSONData, router.TextData, router.BinaryData}).Draw(t, "kind"); f.DataKind {
	case router.JSONData:
		f.Data = rapid.SampledFrom([]string{"null", `"a"`, "-0.0", `{"b":[1E400, {}],"a":" \u0000"}`, "[ ]\n"}).Draw(t, "data")
	case router.TextData:
		f.DataContentType = "text/plain"
		f.Data = rapid.String().Draw(t, "data")
	case router.BinaryData:
		f.Data = string(rapid.SliceOf(rapid.Byte()).Draw(t, "data"))
	}
	e, err := router.NewEvent(f)
	require.NoError(t, err)
	return e
}

func TestEventsComeOutOfStorageAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		stored := e.Encode()
		back, err := router.DecodeEvent(stored)
		require.NoError(t, err)
		require.Equal(t, e, back)
		require.Equal(t, stored, back.Encode())
	})
}

// What older versions have stored has to stay readable.
func TestTheStoredFormIsThis(t *testing.T) {
	e := eventWith(t, func(f *router.EventFields) {
		f.Subject, f.Data, f.DataKind = "s", "[1]", router.JSONData
		f.Extensions = []router.Extension{{Name: "n", Value: "-12", Kind: router.IntegerValue}, {Name: "t", Value: strings.Repeat("x", 200)}}
	})
	stored := "\x01\x01" + "\x011" + "\x02/a" + "\x01t" + "\x01s" + "\x00\x00\x00" + "\x02" + "\x01\x01n\x03-12" + "\x00\x01t\xc8\x01" + strings.Repeat("x", 200) + "\x03[1]"
	require.Equal(t, stored, e.Encode())
}

func TestNothingButAWholeStoredEventIsRead(t *testing.T) {
	stored := typicalEvent(t).Encode()
	for i := range stored {
		_, err := router.DecodeEvent(stored[:i])
		require.Error(t, err, "cut off after %d bytes", i)
	}
	_, err := router.DecodeEvent(stored + "\x00")
	require.ErrorContains(t, err, "more follows")
	_, err = router.DecodeEvent("\x03" + stored[1:])
	require.ErrorContains(t, err, "version 3")
}

func TestStoredEventsThatBreakTheRulesOfEventsAreRefused(t *testing.T) {
	for name, stored := range map[string]string{
		"empty":                   "",
		"text":                    "e",
		"unknown kind of data":    "\x01\x04\x011\x02/a\x01t\x00\x00\x00\x00\x00\x00",
		"data where there is no":  "\x01\x00\x011\x02/a\x01t\x00\x00\x00\x00\x00\x01x",
		"no id":                   "\x01\x00\x00\x02/a\x01t\x00\x00\x00\x00\x00\x00",
		"extensions out of order": "\x01\x00\x011\x02/a\x01t\x00\x00\x00\x00\x02\x00\x01b\x00\x00\x01a\x00\x00",
		"an extension twice":      "\x01\x00\x011\x02/a\x01t\x00\x00\x00\x00\x02\x00\x01a\x00\x00\x01a\x00\x00",
		"unknown kind of value":   "\x01\x00\x011\x02/a\x01t\x00\x00\x00\x00\x01\x03\x01a\x00\x00",
		"unnamed extension":       "\x01\x00\x011\x02/a\x01t\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		"too many extensions":     "\x01\x00\x011\x02/a\x01t\x00\x00\x00\x00\x81\x02" + strings.Repeat("\x00\x01a\x00", 257),
		"a length without end":    "\x01\x00" + strings.Repeat("\xff", 40),
		"a length of 2^63":        "\x01\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" + strings.Repeat("x", 40),
		"a length of 2^62":        "\x01\x00\x80\x80\x80\x80\x80\x80\x80\x80\x40" + strings.Repeat("x", 40),
	} {
		_, err := router.DecodeEvent(stored)
		require.Error(t, err, name)
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add(typicalEvent(f).Encode())
	f.Add("\x01\x00\x011\x02/a\x01t\x00\x00\x00\x00\x00\x00")
	f.Add("\x01\x03\x011\x02/a\x01t\x00\x00\x00\x00\x01\x02\x01b\x04true\x03\x00\xff\xfe")
	f.Add("")
	f.Add("\x02")
	f.Add("\x01" + strings.Repeat("\xff", 40))
	f.Fuzz(func(t *testing.T, s string) {
		e, err := router.DecodeEvent(s)
		if err != nil {
			return
		}
		again, err := router.DecodeEvent(e.Encode())
		require.NoError(t, err)
		require.Equal(t, fieldsOf(e), fieldsOf(again))
		e.Fingerprint()
		e.DedupeKey()
		e.Partition(16)
		e.Time()
	})
}
