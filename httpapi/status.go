package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// moment is a time as the API shows it; zero is null.
type moment time.Time

// MarshalJSON gives RFC 3339 in UTC with milliseconds.
func (m moment) MarshalJSON() ([]byte, error) {
	if time.Time(m).IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + router.FormatTime(time.Time(m)) + `"`), nil
}

// writeJSON answers 200.
func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	writeBody(w, http.StatusOK, jsonType, append(body, '\n'))
	return nil
}

func (s *Server) showHealth(c call) error {
	return writeJSON(c.w, map[string]string{"status": "ok", "version": s.cfg.Version})
}

func (s *Server) showReadiness(c call) error {
	c.w.Header().Set("Cache-Control", "no-store")
	err := s.cfg.Ready(c.r.Context())
	if err == nil {
		return writeJSON(c.w, map[string]string{"status": "ready"})
	}
	if code := show(err).code; s.problems[code].status != http.StatusServiceUnavailable {
		err = &router.Error{Code: router.Unavailable, Message: "this replica is not ready", Err: err}
	}
	return err
}

func (s *Server) showMetrics(c call) error {
	s.scrape.ServeHTTP(c.w, c.r)
	return nil
}

type statusView struct {
	Version     string          `json:"version"`
	Format      int             `json:"format"`
	Replicas    []replicaView   `json:"replicas"`
	Partitions  []partitionView `json:"partitions"`
	Memory      memoryView      `json:"memory"`
	DeadLetters int64           `json:"dead_letters"`
	Expired     int64           `json:"dead_letters_expired"`
}

type replicaView struct {
	ID       string   `json:"id"`
	Version  string   `json:"version"`
	Started  moment   `json:"started"`
	Seen     moment   `json:"seen"`
	Handlers []string `json:"handlers"`
}

type partitionView struct {
	Partition int             `json:"partition"`
	Owner     *string         `json:"owner"`
	Cursor    string          `json:"cursor"`
	End       string          `json:"end"`
	Lag       int64           `json:"lag"`
	LagAge    router.Duration `json:"lag_age"`
	Events    int64           `json:"events"`
	Oldest    string          `json:"oldest"`
	Backlog   int64           `json:"backlog"`
	Alarm     *string         `json:"alarm"`
	Forwarded *forwardedView  `json:"forwarded,omitempty"`
}

type forwardedView struct {
	Waiting  int64           `json:"waiting"`
	Age      router.Duration `json:"age"`
	WaitsFor []int           `json:"waits_for"`
}

type memoryView struct {
	Used    int64            `json:"used"`
	Max     *int64           `json:"max"`
	PerHour int64            `json:"per_hour"`
	FullIn  *router.Duration `json:"full_in"`
	Full    bool             `json:"full"`
}

func (s *Server) showStatus(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	status, err := s.cfg.Status.Status(c.r.Context())
	if err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	view := statusView{
		Version: s.cfg.Version, Format: status.Format, Replicas: []replicaView{}, Partitions: []partitionView{},
		Memory: showMemory(status.Memory), DeadLetters: status.Dead, Expired: status.Expired,
	}
	for _, r := range status.Replicas {
		view.Replicas = append(view.Replicas, replicaView{r.ID, r.Version, moment(r.Started), moment(r.Seen), append([]string{}, r.Handlers...)})
	}
	for _, p := range status.Partitions {
		view.Partitions = append(view.Partitions, partitionView{
			Partition: p.Partition, Owner: orNull(p.Owner), Cursor: p.Cursor.String(), End: p.End.String(), Lag: p.Lag, LagAge: router.Duration(p.LagAge.Round(time.Millisecond)),
			Events: p.Events, Oldest: p.Oldest.String(), Backlog: p.Backlog, Alarm: orNull(p.Alarm), Forwarded: showForwarded(p.Forwarded),
		})
	}
	return writeJSON(c.w, view)
}

func showForwarded(f *router.ForwardedStatus) *forwardedView {
	if f == nil {
		return nil
	}
	return &forwardedView{Waiting: f.Waiting, Age: router.Duration(f.Age.Round(time.Millisecond)), WaitsFor: append([]int{}, f.WaitsFor...)}
}

// orNull gives a pointer to what is not zero.
func orNull[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// showMemory adds where the memory is heading: when it is full, if it goes on growing as it does.
func showMemory(m router.MemoryStatus) memoryView {
	v := memoryView{Used: m.Used, Max: orNull(m.Max), PerHour: m.PerHour, Full: m.Full}
	if m.Max > 0 && m.PerHour > 0 {
		hours := float64(max(0, m.Max-m.Used)) / float64(m.PerHour)
		const most = 10 * 365 * 24 // further away is not worth a number
		if hours < most {
			full := router.Duration(time.Duration(hours * float64(time.Hour)).Round(time.Minute))
			v.FullIn = &full
		}
	}
	return v
}

type subscriptionStatusView struct {
	Backlog       int64            `json:"backlog"`
	OldestPending moment           `json:"oldest_pending"`
	BacklogAge    *router.Duration `json:"backlog_age"`
	InFlight      int64            `json:"in_flight"`
	Retrying      int64            `json:"retrying"`
	Delivered     int64            `json:"delivered"`
	Dead          int64            `json:"dead"`
	NotQueued     int64            `json:"not_queued"`
	OverCap       int64            `json:"over_cap"`
	LastSuccess   moment           `json:"last_success"`
	LastFailure   moment           `json:"last_failure"`
	LastError     string           `json:"last_error,omitempty"`
	Breaker       breakerView      `json:"breaker"`
	Paused        *pauseView       `json:"paused"`
	HandledBy     *[]string        `json:"handled_by,omitempty"`
}

// breakerView tells how the endpoint is doing.
type breakerView struct {
	State        string `json:"state"`
	Failures     int64  `json:"failures"`
	FailingSince moment `json:"failing_since"`
	NextProbe    moment `json:"next_probe"`
}

func showBreaker(b router.BreakerStatus) breakerView {
	v := breakerView{State: "closed", Failures: b.Failures, FailingSince: moment(b.FailingSince), NextProbe: moment(b.NextProbe)}
	switch {
	case b.Probing:
		v.State = "probing"
	case !b.NextProbe.IsZero():
		v.State = "open"
	}
	return v
}

type pauseView struct {
	Since  moment            `json:"since"`
	Reason router.StopReason `json:"reason"`
}

func showSubscriptionStatus(sub router.Subscription, st router.SubscriptionStatus, now time.Time) (json.RawMessage, error) {
	v := subscriptionStatusView{
		Backlog: st.Backlog, OldestPending: moment(st.OldestPending), InFlight: st.InFlight, Retrying: st.Retrying, Delivered: st.Delivered, Dead: st.Dead,
		NotQueued: st.NotQueued, OverCap: st.OverCap, LastSuccess: moment(st.LastSuccess), LastFailure: moment(st.LastFailure), LastError: st.LastError,
		Breaker: showBreaker(st.Breaker),
	}
	if !st.OldestPending.IsZero() {
		age := router.Duration(max(0, now.Sub(st.OldestPending)).Round(time.Millisecond))
		v.BacklogAge = &age
	}
	if st.Paused != nil {
		v.Paused = &pauseView{moment(st.Paused.Since), st.Paused.Reason}
	}
	if sub.Sink.Kind == router.HandlerSink {
		replicas := append([]string{}, st.HandledBy...)
		v.HandledBy = &replicas
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("show the state of subscription %q: %w", sub.Name, err)
	}
	return text, nil
}

type attemptView struct {
	At         moment          `json:"at"`
	Duration   router.Duration `json:"duration"`
	Outcome    router.Outcome  `json:"outcome"`
	StatusCode int             `json:"status_code,omitempty"`
	Error      string          `json:"error,omitempty"`
	Response   string          `json:"response,omitempty"`
}

func showAttempt(a router.Attempt) attemptView {
	return attemptView{moment(a.At), router.Duration(a.Duration.Std().Round(time.Millisecond)), a.Outcome, a.StatusCode, a.Error, a.Response}
}
