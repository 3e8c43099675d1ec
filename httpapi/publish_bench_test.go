package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

// accepting is an Appender that stores nothing.
type accepting struct{}

func (accepting) Append(_ context.Context, events []router.Event) []router.Appended {
	return make([]router.Appended, len(events))
}

// quietWriter takes an answer and keeps nothing, so that what is measured is the handler.
type quietWriter struct{ header http.Header }

func (w *quietWriter) Header() http.Header         { return w.header }
func (w *quietWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *quietWriter) WriteHeader(int)             {}

// event256 is a CloudEvent with a payload of 256 bytes.
func event256() string {
	return `{"specversion":"1.0","id":"0123456789","source":"/bench","type":"order.paid","data":"` + strings.Repeat("x", 254) + `"}`
}

// benchmarkHandler has a handler answer one request, with that body, again and again; headers are "name: value". The answer must be 202.
func benchmarkHandler(b *testing.B, h http.Handler, path, body string, headers ...string) {
	rec := httptest.NewRecorder()
	rec.Body = nil
	req := httptest.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	h.ServeHTTP(rec, req)
	require.Equal(b, http.StatusAccepted, rec.Code)

	b.ReportAllocs()
	reader := strings.NewReader("")
	w := &quietWriter{http.Header{}}
	req.Body = io.NopCloser(reader)
	for b.Loop() {
		reader.Reset(body)
		clear(w.header)
		h.ServeHTTP(w, req)
	}
}

// BenchmarkPublish is the API's own part of publishing, without the network and without the store; BenchmarkBareEcho beside it reads the body and answers.
func BenchmarkPublish(b *testing.B) {
	a := newAPI(b, func(c *httpapi.Config) { c.Events = accepting{} })
	for _, n := range []int{1, 100} {
		contentType, body := "application/cloudevents+json", event256()
		if n > 1 {
			contentType, body = "application/cloudevents-batch+json", "["+strings.Repeat(event256()+",", n-1)+event256()+"]"
		}
		b.Run(fmt.Sprintf("structured/%d", n), func(b *testing.B) {
			benchmarkHandler(b, a.server.Handler(), "/v1/events", body, "Content-Type: "+contentType)
		})
	}
}

func BenchmarkBareEcho(b *testing.B) {
	e := echo.New()
	e.POST("/v1/events", func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil || len(body) == 0 {
			return echo.ErrBadRequest
		}
		return c.JSONBlob(http.StatusAccepted, []byte(`{"position":"0:1732128000000-0"}`))
	})
	benchmarkHandler(b, e, "/v1/events", event256(), "Content-Type: application/cloudevents+json")
}
