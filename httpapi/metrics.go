package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamlatch/streamlatch/router"
)

// metrics are the counters of the API. Their labels are bounded: routes as patterns, methods that are registered, classes of statuses.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	events    *prometheus.CounterVec
	messages  *prometheus.CounterVec
	streams   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streamlatch_http_requests_total", Help: "Requests answered, by route, method and class of status.",
		}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "streamlatch_http_request_duration_seconds", Help: "Time from a request's header to the end of its answer, event streams left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "method"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streamlatch_http_events_published_total", Help: "Events of publish requests that reached the store: accepted, duplicate or failed.",
		}, []string{"result"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streamlatch_source_messages_total", Help: "Messages to inlets of sources, by provider and by what became of them.",
		}, []string{"provider", "result"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "streamlatch_http_event_streams", Help: "Event streams that are open."}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.durations, m.events, m.messages, m.streams} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// routeMetrics are the metrics of one route, looked up once.
type routeMetrics struct {
	classes  [6]prometheus.Counter // by the status' first digit
	duration prometheus.Observer   // nil: not observed
}

func (m *metrics) route(method, path string, timed bool) *routeMetrics {
	r := &routeMetrics{}
	for class := range r.classes {
		r.classes[class] = m.requests.WithLabelValues(path, method, fmt.Sprintf("%dxx", class))
	}
	if timed {
		r.duration = m.durations.WithLabelValues(path, method)
	}
	return r
}

func (r *routeMetrics) observe(status int, took time.Duration) {
	if status < http.StatusContinue || status/100 >= len(r.classes) {
		status = http.StatusInternalServerError
	}
	r.classes[status/100].Inc()
	if r.duration != nil {
		r.duration.Observe(took.Seconds())
	}
}

// publishMetrics counts what became of events, looked up once.
type publishMetrics struct {
	accepted, duplicate, failed prometheus.Counter
}

func (m *metrics) publish() publishMetrics {
	return publishMetrics{m.events.WithLabelValues("accepted"), m.events.WithLabelValues("duplicate"), m.events.WithLabelValues("failed")}
}

// messageResult is what became of a message to an inlet.
type messageResult string

const (
	accepted  messageResult = "accepted"
	duplicate messageResult = "duplicate"
	changed   messageResult = "changed" // a repeat with other content
	rejected  messageResult = "rejected"
	limited   messageResult = "rate-limited"
	failed    messageResult = "failed"
	handshake messageResult = "handshake"
)

// messagesOf are the metrics of a provider's messages, looked up once. Names of sources are no labels: there can be any number of them.
func (m *metrics) messagesOf(provider string) map[messageResult]prometheus.Counter {
	all := map[messageResult]prometheus.Counter{}
	for _, result := range []messageResult{accepted, duplicate, changed, rejected, limited, failed, handshake} {
		all[result] = m.messages.WithLabelValues(provider, string(result))
	}
	return all
}

// count counts a message, for its source and for its provider.
func (in *inlet) count(result messageResult) {
	in.messages[result].Inc()
	n := router.SourceCounts{}
	switch result {
	case accepted:
		n.Accepted = 1
	case duplicate:
		n.Duplicate = 1
	case changed:
		n.Duplicate, n.Changed = 1, 1
	case rejected:
		n.Rejected = 1
	case limited:
		n.Limited = 1
	case failed:
		n.Failed = 1
	case handshake:
		return
	}
	in.counts.add(n)
}
