package router

import (
	"context"
	"time"
)

// FiguresStore tells how all subscriptions are doing. Safe for concurrent use.
type FiguresStore interface {
	// SubscriptionFigures returns the figures of all subscriptions, in the order in which they were created, each queue's of one moment.
	SubscriptionFigures(ctx context.Context) ([]SubscriptionFigures, error)
}

// SubscriptionFigures are the figures of a subscription's queues, over all partitions, or of several subscriptions together.
type SubscriptionFigures struct {
	Name          string
	Backlog       int64     // deliveries waiting or under way
	InFlight      int64     // of those, under way or with workers
	Retrying      int64     // of those, waiting for another attempt
	Delivered     int64     // since the subscription was created, as all that follow
	Dead          int64     // dead letters made
	OverCap       int64     // of those, made because the backlog was full
	NotQueued     int64     // events that matched while it was disabled
	Paused        int64     // 1 while it is
	BreakerOpen   int64     // 1 while it is
	OldestPending time.Time // accept time of the oldest event that waits, of those that were looked at; zero: none
}

// Plus adds the figures of another subscription; the name stays.
func (f SubscriptionFigures) Plus(g SubscriptionFigures) SubscriptionFigures {
	f.Backlog, f.InFlight, f.Retrying = f.Backlog+g.Backlog, f.InFlight+g.InFlight, f.Retrying+g.Retrying
	f.Delivered, f.Dead, f.OverCap, f.NotQueued = f.Delivered+g.Delivered, f.Dead+g.Dead, f.OverCap+g.OverCap, f.NotQueued+g.NotQueued
	f.Paused, f.BreakerOpen = f.Paused+g.Paused, f.BreakerOpen+g.BreakerOpen
	if f.OldestPending.IsZero() || !g.OldestPending.IsZero() && g.OldestPending.Before(f.OldestPending) {
		f.OldestPending = g.OldestPending
	}
	return f
}
