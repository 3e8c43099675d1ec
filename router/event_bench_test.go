package router_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func typicalEvent(t testing.TB) router.Event {
	e, err := router.NewEvent(router.EventFields{
		ID: "01JD3Z8Q0V5T6M7N8P9R0S1T2V", Source: "/shop/orders", Type: "order.paid", Subject: "order-10293",
		Time: "2026-11-20T12:00:00.123Z", DataContentType: "application/json",
		Extensions: []router.Extension{
			{Name: "region", Value: "eu-1"},
			{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		},
		Data: `{"order_id":10293,"total":129.9,"currency":"EUR"}`, DataKind: router.JSONData,
	})
	require.NoError(t, err)
	return e
}

func BenchmarkDecodeEvent(b *testing.B) {
	s := typicalEvent(b).Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := router.DecodeEvent(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := typicalEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		e.Encode()
	}
}

func BenchmarkFingerprint(b *testing.B) {
	e := typicalEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		e.Fingerprint()
	}
}

func BenchmarkDedupeKey(b *testing.B) {
	e := typicalEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		e.DedupeKey()
	}
}

func BenchmarkPartitionOf16(b *testing.B) {
	e := typicalEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		e.Partition(16)
	}
}
