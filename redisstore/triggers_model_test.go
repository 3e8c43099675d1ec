package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/internal/triggertest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// capBytes is so little that partials of random logs come up to it.
const capBytes = 400

func TestTheScriptDoesWithARandomLogWhatTheModelDoes(t *testing.T) {
	for name, most := range map[string]int{"roomy": 0, "capped": capBytes} {
		t.Run(name, func(t *testing.T) {
			eachLab(t, func(t *testing.T, l *lab) {
				rapid.Check(t, func(t *rapid.T) { l.compare(t, most) })
			}, func(c *redisstore.Config) { c.MaxPartialBytes = most })
		})
	}
}

// compare stores and applies a random log, in random batches, and holds what came of it against the model.
func (l *lab) compare(t *rapid.T, mostBytes int) {
	l.begin(t, triggertest.Trigger(t))
	log := triggertest.Events(t)
	for _, e := range log {
		l.publish(t, e.At, e.Event)
		if rapid.IntRange(0, 4).Draw(t, "route") == 0 {
			l.routeAll(t, rapid.IntRange(1, 20).Draw(t, "batch"))
		}
	}
	end := log[len(log)-1].At + rapid.Int64Range(0, 50).Draw(t, "end")
	l.clock.set(labStart + end)
	l.routeAll(t, rapid.IntRange(1, 20).Draw(t, "batch"))
	l.checkAgainstModel(t, labStart+end, mostBytes)
}

// routeAll applies the log to its end, and settles what is due, until nothing comes of it.
func (l *lab) routeAll(t *rapid.T, most int) {
	for {
		l.route(t, most)
		l.settle(t, most)
		if len(l.unread(t)) == 0 {
			return
		}
	}
}

func (l *lab) checkAgainstModel(t require.TestingT, now int64, mostBytes int) {
	ctx := context.Background()
	c := l.triggers[0]
	model := router.NewModel(c, router.ModelConfig{MaxPartialBytes: mostBytes})
	records, err := l.store.ReadLog(ctx, router.Position{}, 100000, 0)
	require.NoError(t, err)
	var want, got []string
	for _, r := range records {
		if strings.HasPrefix(r.Event.Source(), "/streamlatch/") {
			got = append(got, eventText(r.Event))
		}
		want = append(want, firingTexts(t, model.Offer(r))...)
	}
	want = append(want, firingTexts(t, model.Advance(time.UnixMilli(now)))...)
	slices.Sort(want)
	slices.Sort(got)
	require.Equal(t, want, got)
	left, next, err := l.store.Partials(ctx, c, "", 1000)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Equal(t, partialTexts(c, model.Partials(time.UnixMilli(now)), now), partialTexts(c, left, now))
	wantStatus := model.Status()
	gotStatus, err := l.store.TriggerStatus(ctx, c.Trigger)
	require.NoError(t, err)
	wantStatus.Partials, gotStatus.Partials = 0, 0
	require.Equal(t, wantStatus, gotStatus)
}

func eventText(e router.Event) string { return string(e.AppendJSON(nil)) }

func firingTexts(t require.TestingT, firings []router.Firing) (texts []string) {
	for _, f := range firings {
		e, err := f.Event()
		require.NoError(t, err)
		texts = append(texts, eventText(e))
	}
	return texts
}

// partialTexts are the partials in the order of their keys, of which something can be of use.
func partialTexts(c *router.CompiledTrigger, partials []router.Partial, now int64) (texts []string) {
	for _, p := range partials {
		live, ok := p.At(c, now)
		if !ok {
			continue
		}
		var events []string
		for position, e := range live.Events {
			events = append(events, fmt.Sprint(position, " ", e.ID(), " ", e.Source()))
		}
		slices.Sort(events)
		texts = append(texts, fmt.Sprintf("%s %s slots %v counted %v last %d events %v", p.Hash, p.Key.JSON(), live.Slots, live.Counted, live.Last, events))
	}
	slices.Sort(texts)
	return texts
}
