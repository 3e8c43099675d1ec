package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// began is when the clock of tests stands.
var began = time.UnixMilli(1732128000000).UTC()

// memory is the storage of a server in memory, with ids and times that are the same in each run.
type memory struct {
	paused  map[string]*router.Pause
	mu      sync.Mutex
	records []router.Record
	subs    []router.Subscription
	sources memorySources
	made    int
	fail    func(router.Event) error // refuses events; may be nil
	more    chan struct{}            // closed when there is a new record
}

func (m *memory) Append(_ context.Context, events []router.Event) (done []router.Appended) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if m.fail != nil {
			if err := m.fail(e); err != nil {
				done = append(done, router.Appended{Err: err})
				continue
			}
		}
		known := slices.IndexFunc(m.records, func(r router.Record) bool { return r.Event.ID() == e.ID() && r.Event.Source() == e.Source() })
		if known >= 0 {
			done = append(done, router.Appended{Position: m.records[known].Position, Duplicate: true})
			continue
		}
		at := router.Position{MS: began.UnixMilli() + int64(len(m.records))}
		m.records = append(m.records, router.Record{Position: at, Event: e})
		done = append(done, router.Appended{Position: at})
	}
	close(m.more)
	m.more = make(chan struct{})
	return done
}

func (m *memory) Partitions() int { return 1 }

func (m *memory) after(at router.Position, most int) (found []router.Record, more chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Position.Compare(at) > 0 && len(found) < most {
			found = append(found, r)
		}
	}
	return found, m.more
}

func (m *memory) ReadLog(ctx context.Context, after router.Position, most int, wait time.Duration) ([]router.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		found, more := m.after(after, most)
		if len(found) > 0 || ctx.Err() != nil {
			return found, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
}

func (m *memory) ReadLogReverse(_ context.Context, from router.Position, most int) (found []router.Record, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range slices.Backward(m.records) {
		if r.Position.Compare(from) <= 0 && len(found) < most {
			found = append(found, r)
		}
	}
	return found, nil
}

func (m *memory) LogEnd(context.Context, int) (router.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.records) == 0 {
		return router.Position{}, nil
	}
	return m.records[len(m.records)-1].Position, nil
}

func (m *memory) find(ref string) int {
	return slices.IndexFunc(m.subs, func(s router.Subscription) bool { return s.ID == ref || s.Name == ref })
}

func (m *memory) stamp(s router.Subscription) router.Subscription {
	m.made++
	s.Version = uint64(m.made)
	s.Updated = began.Add(time.Duration(m.made) * time.Second)
	s.Created = cmp.Or(s.Created, s.Updated)
	s.ID = cmp.Or(s.ID, fmt.Sprintf("sub_01JD%022d", m.made))
	return s
}

func (m *memory) CreateSubscription(_ context.Context, s router.Subscription) (router.Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(s.Name) >= 0 {
		return s, router.Errorf(router.Conflict, "there is a subscription %q", s.Name)
	}
	s = m.stamp(s)
	m.subs = append(m.subs, s)
	return s, nil
}

func (m *memory) Subscription(_ context.Context, ref string) (router.Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(ref); i >= 0 {
		return m.subs[i], nil
	}
	return router.Subscription{}, router.Errorf(router.NotFound, "there is no subscription %q", ref)
}

func (m *memory) ReplaceSubscription(_ context.Context, s router.Subscription) (router.Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(s.ID)
	if i < 0 || m.subs[i].Version != s.Version {
		return s, router.Errorf(router.Precondition, "it was changed")
	}
	m.subs[i] = m.stamp(s)
	return m.subs[i], nil
}

func (m *memory) RotateSecret(ctx context.Context, s router.Subscription, fresh string) (router.Subscription, error) {
	rotated, err := s.RotateSecret(fresh, began)
	if err != nil {
		return s, err
	}
	return m.ReplaceSubscription(ctx, rotated)
}

func (m *memory) DeleteSubscription(_ context.Context, id string, _ uint64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	m.subs = slices.Delete(m.subs, i, i+1)
	return 3, nil
}

func (m *memory) Subscriptions(_ context.Context, after string, limit int) (found []router.Subscription, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.subs {
		if strings.Compare(s.ID, after) > 0 && len(found) < limit {
			found = append(found, s)
		}
	}
	return found, nil
}

func (m *memory) SubscriptionStatus(_ context.Context, id string) (router.SubscriptionStatus, error) {
	return router.SubscriptionStatus{Backlog: 2, Delivered: 5, LastSuccess: began, Paused: m.paused[id]}, nil
}

func (m *memory) PauseSubscription(_ context.Context, id string) error {
	m.paused = map[string]*router.Pause{id: {Since: began, Reason: router.StoppedByOperator}}
	return nil
}

func (m *memory) ResumeSubscription(_ context.Context, id string) error {
	delete(m.paused, id)
	return nil
}

func (m *memory) DeadLetters(context.Context, router.DeadLetterFilter, string, int) ([]router.DeadLetter, string, error) {
	return nil, "", nil
}

func (m *memory) Status(context.Context) (router.Status, error) { return router.Status{}, nil }

// Test delivers to what has "good" in its URL.
func (m *memory) Test(_ context.Context, s router.Subscription) (router.Attempt, error) {
	if strings.Contains(s.Sink.URL, "good") {
		return router.Attempt{At: began, Duration: router.Duration(12 * time.Millisecond), Outcome: router.OutcomeDelivered, StatusCode: 200}, nil
	}
	return router.Attempt{At: began, Duration: router.Duration(time.Second), Outcome: router.OutcomeStatus, StatusCode: 500, Error: "the endpoint answered 500", Response: "oh \x1b[31mno\nsorry\n"}, nil
}

// Pull gives the records of the log, each at its first attempt.
func (m *memory) Pull(_ context.Context, s router.Subscription, req router.PullRequest) (pulled []router.Pulled, err error) {
	found, _ := m.after(router.Position{}, cmp.Or(req.Max, router.DefaultPull))
	for _, r := range found {
		receipt := router.Receipt{Entry: router.Entry{Position: r.Position}, Attempt: 1, Token: strings.Repeat("A", 26)}
		pulled = append(pulled, router.Pulled{Receipt: receipt, ID: router.DeliveryID(s.ID, receipt.Entry), Until: began.Add(30 * time.Second), Event: r.Event})
	}
	return pulled, nil
}

// Ack takes receipts of the first record only.
func (m *memory) Ack(_ context.Context, _ router.Subscription, receipts []router.Receipt) (good []bool, err error) {
	for _, r := range receipts {
		good = append(good, r.Entry.Position.MS == began.UnixMilli())
	}
	return good, nil
}

func (m *memory) Nack(ctx context.Context, s router.Subscription, receipts []router.Receipt, _ router.Duration) ([]bool, error) {
	return m.Ack(ctx, s, receipts)
}

func (m *memory) Extend(ctx context.Context, s router.Subscription, receipts []router.Receipt, e router.PullExtension) ([]bool, time.Time, error) {
	good, err := m.Ack(ctx, s, receipts)
	return good, began.Add(e.Lease.Std()), err
}

// delivery is one of each status, by the end of its id.
func (m *memory) delivery(n int) router.DeliveryRecord {
	failed := router.Attempt{At: began, Duration: router.Duration(time.Second), Outcome: router.OutcomeStatus, StatusCode: 500, Response: "oh \x1b[31mno\nsorry\n"}
	d := router.DeliveryRecord{
		ID: fmt.Sprintf("dlv_0-%d-0-01JD0000000000000000000001", n), Subscription: "sub_01JD0000000000000000000001", Position: router.Position{MS: int64(n)},
		Status: router.DeliveryStatuses()[n],
	}
	switch d.Status {
	case router.DeliveryPending:
		d.LeaseUntil, d.Worker, d.Progress, d.Note = began.Add(time.Minute), "w1", "40", "half"
	case router.DeliveryRetrying:
		d.Attempts, d.Next = []router.Attempt{failed}, began.Add(time.Minute)
	case router.DeliveryDelivered:
		d.Attempts = []router.Attempt{failed, {At: began, Duration: router.Duration(12 * time.Millisecond), Outcome: router.OutcomeDelivered, StatusCode: 204}}
	case router.DeliveryDead:
		d.Attempts = []router.Attempt{failed, failed}
	}
	return d
}

func (m *memory) Deliveries(_ context.Context, filter router.DeliveryFilter, _ string, limit int) (list []router.DeliveryRecord, next string, err error) {
	for n := range router.DeliveryStatuses() {
		if d := m.delivery(n); len(list) < limit && (filter.Status == "" || filter.Status == d.Status) {
			list = append(list, d)
		}
	}
	return list, "", nil
}

func (m *memory) Delivery(_ context.Context, id string) (router.DeliveryRecord, error) {
	for n := range router.DeliveryStatuses() {
		if d := m.delivery(n); d.ID == id {
			return d, nil
		}
	}
	return router.DeliveryRecord{}, router.Errorf(router.NotFound, "there is no delivery %q", id)
}

func (m *memory) HastenDelivery(ctx context.Context, id string) (router.DeliveryRecord, error) {
	d, err := m.Delivery(ctx, id)
	if err == nil && d.Status == router.DeliveryDelivered {
		err = router.Errorf(router.Invalid, "delivery %q is delivered", id)
	}
	d.Next = began
	return d, err
}

// startAPI starts the real API on that storage, and returns its URL.
func startAPI(t testing.TB, m *memory, change func(*httpapi.Config)) string {
	t.Helper()
	m.more = make(chan struct{})
	feed := router.NewFeed(m, router.FeedConfig{Wait: time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	cfg := httpapi.Config{
		Events: m, Log: m, Feed: feed, Subscriptions: m, Triggers: noTriggers{}, Partials: noTriggers{}, Sources: &m.sources, Inlets: &m.sources, DeadLetters: m, Status: m,
		Pauser: m, Tester: m, Puller: m, Deliveries: m,
		NewSecret: func() string { return "whsec_bWFkZSBieSB0aGUgc2VydmVyLCAzMiBieXRlcyE=" },
		Ready:     func(context.Context) error { return nil }, Version: "v1.2.3",
		Rules: router.Rules{CheckSource: source.Check},
	}
	if change != nil {
		change(&cfg)
	}
	api, err := httpapi.New(cfg)
	require.NoError(t, err)
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(api.EndStreams)
	return server.URL
}

// noTriggers is for commands that have nothing to do with triggers: what needs them panics.
type noTriggers struct {
	router.TriggerStore
	router.PartialBrowser
}
