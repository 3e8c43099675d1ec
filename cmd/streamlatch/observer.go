package main

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamlatch/streamlatch/router"
)

// observer counts what the router of this replica does.
type observer struct {
	events     *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	applying   prometheus.Histogram
	refused    *prometheus.CounterVec
	attempts   *prometheus.HistogramVec
	settled    *prometheus.CounterVec
	failures   *prometheus.CounterVec
}

func newObserver(registry prometheus.Registerer) *observer {
	o := &observer{
		events:     counter("routed_events_total", "Events routed by this replica.", "partition"),
		deliveries: counter("queued_deliveries_total", "Deliveries queued by this replica.", "partition"),
		applying:   prometheus.NewHistogram(histogram("apply_seconds", "Time to apply a batch.", 0.0005, 2, 12)),
		refused:    counter("refused_batches_total", "Batches that were not applied: another replica was faster (fenced), or definitions had changed (stale).", "reason"),
		attempts:   prometheus.NewHistogramVec(histogram("attempt_seconds", "Time of attempts at deliveries.", 0.001, 4, 9), []string{"sink", "outcome"}),
		settled:    counter("settled_deliveries_total", "What became of deliveries after an attempt; lost: the lease had run out.", "sink", "verdict"),
		failures:   counter("failed_steps_total", "Background steps that failed and were repeated.", "step"),
	}
	registry.MustRegister(o.events, o.deliveries, o.applying, o.refused, o.attempts, o.settled, o.failures)
	return o
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "streamlatch", Name: name, Help: help}, labels)
}

func histogram(name, help string, first, factor float64, n int) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: "streamlatch", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(first, factor, n)}
}

func (o *observer) Applied(partition, events, deliveries int, took time.Duration) {
	label := strconv.Itoa(partition)
	o.events.WithLabelValues(label).Add(float64(events))
	o.deliveries.WithLabelValues(label).Add(float64(deliveries))
	o.applying.Observe(took.Seconds())
}

func (o *observer) Refused(_ int, status router.ApplyStatus) {
	reason := "fenced"
	if status == router.Stale {
		reason = "stale"
	}
	o.refused.WithLabelValues(reason).Inc()
}

func (o *observer) Attempted(kind router.SinkKind, outcome router.Outcome, took time.Duration) {
	o.attempts.WithLabelValues(string(kind), string(outcome)).Observe(took.Seconds())
}

var verdictWords = map[router.Verdict]string{router.Delivered: "delivered", router.Retrying: "retry", router.Dead: "dead"}

func (o *observer) Settled(kind router.SinkKind, verdict router.Verdict, lost int) {
	if lost > 0 {
		o.settled.WithLabelValues(string(kind), "lost").Add(float64(lost))
		return
	}
	o.settled.WithLabelValues(string(kind), verdictWords[verdict]).Inc()
}

func (o *observer) Failed(step string) { o.failures.WithLabelValues(step).Inc() }

// statusCollector tells the state of the deployment at each scrape.
type statusCollector struct {
	latest                                                  *latest[router.Status]
	lag, lagAge, events, dead, expired, memory, up, redisUp *prometheus.Desc
}

func newStatusCollector(ctx context.Context, log *slog.Logger, store router.StatusStore) *statusCollector {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("streamlatch_"+name, help, labels, nil)
	}
	return &statusCollector{
		latest:  newLatest(ctx, log, "status", store.Status),
		lag:     describe("lag_events", "Events accepted and not yet routed.", "partition"),
		lagAge:  describe("lag_seconds", "Age of the oldest event that is not yet routed.", "partition"),
		events:  describe("log_events", "Events in the log.", "partition"),
		dead:    describe("dead_letters", "Dead letters kept."),
		expired: describe("dead_letters_expired", "Dead letters that retention has removed."),
		memory:  describe("redis_memory_bytes", "Memory that Redis uses, of the fullest node."),
		up:      describe("replicas", "Live replicas."),
		redisUp: describe("redis_up", "Whether Redis has told these figures, and in time; if not, they are of up to a minute ago, or left out."),
	}
}

// Describe implements prometheus.Collector.
func (c *statusCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.lag, c.lagAge, c.events, c.dead, c.expired, c.memory, c.up, c.redisUp} {
		to <- d
	}
}

// Collect implements prometheus.Collector. Where Redis does not answer in time the figures are older, or there are none, and redis_up says so.
func (c *statusCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	status, up, ok := c.latest.get()
	if up {
		gauge(c.redisUp, 1)
	} else {
		gauge(c.redisUp, 0)
	}
	if !ok {
		return
	}
	for _, p := range status.Partitions {
		label := strconv.Itoa(p.Partition)
		gauge(c.lag, float64(p.Lag), label)
		gauge(c.lagAge, p.LagAge.Seconds(), label)
		gauge(c.events, float64(p.Events), label)
	}
	gauge(c.dead, float64(status.Dead))
	gauge(c.expired, float64(status.Expired))
	gauge(c.memory, float64(status.Memory.Used))
	gauge(c.up, float64(len(status.Replicas)))
}
