package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamlatch/streamlatch/router"
)

// otherSubscriptions stands in the place of a name for all that have no series of their own. It is no name that a subscription can have.
const otherSubscriptions = "_other"

// figure is one metric of subscriptions.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(f router.SubscriptionFigures, now time.Time) float64
}

// figuresCollector tells the figures of subscriptions, over all replicas: of the first ones by name, and of all others together, so that the number of series is bounded.
type figuresCollector struct {
	latest *latest[[]router.SubscriptionFigures]
	most   int // that have series of their own
	all    *prometheus.Desc
	each   []figure
}

func newFiguresCollector(ctx context.Context, log *slog.Logger, store router.FiguresStore, most int) *figuresCollector {
	return &figuresCollector{
		latest: newLatest(ctx, log, "subscriptions", store.SubscriptionFigures), most: most, each: figures(),
		all: prometheus.NewDesc("streamlatch_subscriptions", "Subscriptions that there are.", nil, nil),
	}
}

func figures() (all []figure) {
	add := func(kind prometheus.ValueType, name, help string, of func(router.SubscriptionFigures, time.Time) float64) {
		all = append(all, figure{prometheus.NewDesc("streamlatch_subscription_"+name, help, []string{"subscription"}, nil), kind, of})
	}
	count := func(kind prometheus.ValueType, name, help string, of func(router.SubscriptionFigures) int64) {
		add(kind, name, help, func(f router.SubscriptionFigures, _ time.Time) float64 { return float64(of(f)) })
	}
	gauge, total := prometheus.GaugeValue, prometheus.CounterValue
	count(gauge, "backlog", "Deliveries that wait or are under way.", func(f router.SubscriptionFigures) int64 { return f.Backlog })
	count(gauge, "in_flight", "Deliveries under way, or with workers.", func(f router.SubscriptionFigures) int64 { return f.InFlight })
	count(gauge, "retrying", "Deliveries that wait for another attempt.", func(f router.SubscriptionFigures) int64 { return f.Retrying })
	add(gauge, "backlog_seconds", "Age of the oldest event that waits, about; 0: none does.", func(f router.SubscriptionFigures, now time.Time) float64 {
		if f.OldestPending.IsZero() {
			return 0
		}
		return max(0, now.Sub(f.OldestPending).Seconds())
	})
	count(total, "delivered_total", "Deliveries made.", func(f router.SubscriptionFigures) int64 { return f.Delivered })
	count(total, "dead_letters_total", "Deliveries given up.", func(f router.SubscriptionFigures) int64 { return f.Dead })
	count(total, "over_cap_total", "Of the dead letters, those that found the backlog full.", func(f router.SubscriptionFigures) int64 { return f.OverCap })
	count(total, "not_queued_total", "Events that matched while it was disabled.", func(f router.SubscriptionFigures) int64 { return f.NotQueued })
	count(gauge, "paused", "Whether it is paused; of others, how many are.", func(f router.SubscriptionFigures) int64 { return f.Paused })
	count(gauge, "breaker_open", "Whether its breaker is open; of others, how many are.", func(f router.SubscriptionFigures) int64 { return f.BreakerOpen })
	return all
}

// Describe implements prometheus.Collector.
func (c *figuresCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.all
	for _, f := range c.each {
		to <- f.desc
	}
}

// Collect implements prometheus.Collector. Figures that are too old are not told.
func (c *figuresCollector) Collect(to chan<- prometheus.Metric) {
	list, _, ok := c.latest.get()
	if !ok {
		return
	}
	to <- prometheus.MustNewConstMetric(c.all, prometheus.GaugeValue, float64(len(list)))
	now := c.latest.now()
	named := list[:min(c.most, len(list))]
	for _, s := range named {
		c.tell(to, s, now)
	}
	if len(list) > len(named) {
		others := router.SubscriptionFigures{Name: otherSubscriptions}
		for _, s := range list[len(named):] {
			others = others.Plus(s)
		}
		c.tell(to, others, now)
	}
}

func (c *figuresCollector) tell(to chan<- prometheus.Metric, s router.SubscriptionFigures, now time.Time) {
	for _, f := range c.each {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(s, now), s.Name)
	}
}
