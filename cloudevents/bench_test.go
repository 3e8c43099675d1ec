package cloudevents_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// typical is an event of about 400 bytes with two extensions.
const typical = `{"specversion":"1.0","id":"01JD3Z8Q0V5T6M7N8P9R0S1T2V","source":"/shop/orders","type":"order.paid","subject":"order-10293",` +
	`"time":"2026-11-20T12:00:00.123Z","datacontenttype":"application/json","region":"eu-1",` +
	`"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",` +
	`"data":{"order_id":10293,"total":129.9,"currency":"EUR","items":[{"sku":"A-1","n":2},{"sku":"B-7","n":1}],"paid":true}}`

func typicalBatch() []byte {
	return []byte("[" + string(bytes.Repeat([]byte(typical+","), 99)) + typical + "]")
}

func typicalEvent(t testing.TB) router.Event {
	events, err := cloudevents.Decoder{}.Decode(cloudevents.StructuredType, nil, []byte(typical))
	require.NoError(t, err)
	return events[0]
}

func BenchmarkDecodeStructured(b *testing.B) {
	body := []byte(typical)
	benchmarkDecode(b, cloudevents.StructuredType, nil, body)
}

func BenchmarkDecodeBatchOf100(b *testing.B) {
	benchmarkDecode(b, cloudevents.BatchType, nil, typicalBatch())
}

func BenchmarkDecodeBinary(b *testing.B) {
	e := typicalEvent(b)
	benchmarkDecode(b, e.DataContentType(), cloudevents.BinaryHeaders(e), e.Data())
}

func benchmarkDecode(b *testing.B, contentType string, header http.Header, body []byte) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (cloudevents.Decoder{}).Decode(contentType, header, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendStructured(b *testing.B) {
	e := typicalEvent(b)
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buffer = cloudevents.AppendStructured(buffer[:0], e)
	}
}

func BenchmarkBinaryHeaders(b *testing.B) {
	e := typicalEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		cloudevents.BinaryHeaders(e)
	}
}
