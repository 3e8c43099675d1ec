package httpapi_test

import (
	"testing"

	"github.com/streamlatch/streamlatch/httpapi"
)

// BenchmarkReceive is the API's own part of taking a message at an inlet, of the bytes that BenchmarkPublish publishes.
func BenchmarkReceive(b *testing.B) {
	a := withGitHub(b, "", func(c *httpapi.Config) { c.Events = accepting{} })
	benchmarkHandler(b, a.server.Handler(), "/in/github", event256(), "Content-Type: application/json",
		"X-GitHub-Event: push", "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958", "X-Hub-Signature-256: sha256="+hexHMAC(event256()))
}
