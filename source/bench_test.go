package source_test

import (
	"strings"
	"testing"

	"github.com/streamlatch/streamlatch/router"
)

func benchmarkBody(size int) string {
	return `{"action":"opened","repository":{"id":1,"full_name":"acme/shop"},"sender":{"login":"ann"},"pull_request":{"updated_at":"2026-11-20T12:00:00Z","body":"` +
		strings.Repeat("x", size) + `"}}`
}

func BenchmarkVerify(b *testing.B) {
	s := senders()["github"]
	in := compile(b, s.source("github", s.secret))
	m := s.send(b, s.secret, now, benchmarkBody(256))
	b.ReportAllocs()
	for b.Loop() {
		if err := in.Verify(m, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	for name, size := range map[string]int{"500 bytes": 256, "20 KB": 20_000} {
		b.Run(name, func(b *testing.B) {
			s := senders()["github"]
			in := compile(b, router.Source{Name: "n", Provider: "github"})
			m := s.send(b, s.secret, now, benchmarkBody(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := in.Event(m, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
