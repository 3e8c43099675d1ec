package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// joinArgs are the arguments of roles that join pairs.
type joinArgs struct {
	redis    string
	keys     int // each has a pair of events
	triggers int // of which each wants other pairs; 0: one wants all of them
	plain    bool
}

func parseJoinArgs(name string, args []string) (a joinArgs, err error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.StringVar(&a.redis, "redis", "", redisUsage)
	f.IntVar(&a.keys, "keys", 0, "number of pairs")
	f.IntVar(&a.triggers, "triggers", 0, "number of triggers that share them")
	f.BoolVar(&a.plain, "plain", false, "deliver the events to a handler, without triggers")
	return a, f.Parse(args)
}

// pairEvent is the seq-th event of so many pairs: first one of each, then the other. Its payload is as long as that of all others.
func pairEvent(run string, seq, keys, triggers int) (router.Event, error) {
	pair := seq % keys
	data := fmt.Sprintf(`{"pair":%d,"share":%d,"pad":"`, pair, pair%max(triggers, 1))
	const closing = `"}`
	data += strings.Repeat("x", max(0, payloadSize-len(data)-len(closing))) + closing
	return router.NewEvent(router.EventFields{
		ID: fmt.Sprintf("%s-%0*d", run, seqDigits, seq), Source: "/bench", Type: []string{"bench.a", "bench.b"}[seq/keys],
		DataContentType: "application/json", DataKind: router.JSONData, Data: data,
	})
}

// appendPairs stores the events while nothing routes them.
func appendPairs(ctx context.Context, store *redisstore.Store, first, last, keys, triggers int) error {
	run := "pairs"
	for ; first < last; first += batchSize {
		var batch []router.Event
		for seq := first; seq < min(first+batchSize, last); seq++ {
			e, err := pairEvent(run, seq, keys, triggers)
			if err != nil {
				return err
			}
			batch = append(batch, e)
		}
		for _, result := range store.Append(ctx, batch) {
			if result.Err != nil {
				return fmt.Errorf("fill the backlog: %w", result.Err)
			}
		}
	}
	return nil
}

// createPairTriggers makes one trigger for all pairs, or so many that have a share of them each.
func createPairTriggers(ctx context.Context, store *redisstore.Store, triggers int) error {
	for i := range max(triggers, 1) {
		pattern := ""
		if triggers > 0 {
			pattern = fmt.Sprintf(`,"pattern":{"data":{"share":[%d]}}`, i)
		}
		draft, err := router.DecodeTrigger(fmt.Appendf(nil, `{"name":"pair-%[1]d","key":{"pair":"data.pair"},"emit":{"type":"bench.joined"},
			"when":{"all":[{"event":{"types":["bench.a"]%[2]s}},{"event":{"types":["bench.b"]%[2]s}}],"within":"1h"}}`, i, pattern), router.Rules{})
		if err != nil {
			return err
		}
		if _, err := store.CreateTrigger(ctx, draft.Create()); err != nil {
			return fmt.Errorf("create a trigger: %w", err)
		}
	}
	return nil
}

// runJoin is the role "role-join": it makes a backlog of pairs, and routes it with our library until each pair has fired; or, plainly, delivers it to a handler.
func runJoin(ctx context.Context, args []string, say func(any) error) (err error) {
	a, err := parseJoinArgs("role-join", args)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	store, err := redisstore.Open(ctx, redisstore.Config{URL: "redis://" + a.redis})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if !a.plain {
		if err := createPairTriggers(ctx, store, a.triggers); err != nil {
			return err
		}
	}
	if err := appendPairs(ctx, store, 0, 2*a.keys, a.keys, a.triggers); err != nil {
		return err
	}
	var began time.Time
	work := func() (err error) {
		began, err = joinAll(ctx, store, a.keys)
		return err
	}
	if a.plain {
		work = func() error { return newHandling(2*a.keys).route(ctx, store) }
	}
	result, err := counted(work)
	if err != nil {
		return err
	}
	if !began.IsZero() {
		result.Started = began.UnixNano()
	}
	return say(result)
}

// joinAll routes until each pair has fired, so that the log has three events of each. It returns when the first events were applied: until then, definitions were
// loaded, which is not what is measured.
func joinAll(ctx context.Context, store *redisstore.Store, keys int) (began time.Time, err error) {
	err = routeUntil(ctx, store, func() (bool, error) {
		status, err := store.Status(ctx)
		if err != nil {
			return false, err
		}
		p := status.Partitions[0]
		if began.IsZero() && p.Lag < int64(2*keys) {
			began = time.Now()
		}
		return p.Events >= int64(3*keys), nil
	})
	return began, err
}

// routeUntil routes until something is so.
func routeUntil(ctx context.Context, store *redisstore.Store, done func() (bool, error)) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- router.New(store, router.Config{}).Run(running) }()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the router ended before everything was done: %w", err)
		case <-look.C:
		}
		enough, err := done()
		if err != nil {
			return err
		}
		if enough {
			stop()
			return <-ended
		}
	}
}

const claimScript = `redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) == 2 then redis.call('DEL', KEYS[1]) redis.call('XADD', KEYS[2], '*', 'e', ARGV[2]) return 1 end return 0`

// runClaim is the role "role-claim": the least that joining pairs takes, a script for each event, in pipelines.
func runClaim(ctx context.Context, args []string, say func(any) error) error {
	a, err := parseJoinArgs("role-claim", args)
	if err != nil {
		return err
	}
	client := redis.NewClient(redistest.Options(a.redis))
	defer client.Close()
	hash, err := client.ScriptLoad(ctx, claimScript).Result()
	if err != nil {
		return fmt.Errorf("load the script: %w", err)
	}
	e, err := pairEvent("pairs", 0, a.keys, 0)
	if err != nil {
		return err
	}
	payload := e.Encode()
	result, err := counted(func() error {
		for first := 0; first < 2*a.keys; first += routeCount {
			pipe := client.Pipeline()
			for seq := first; seq < min(first+routeCount, 2*a.keys); seq++ {
				pipe.EvalSha(ctx, hash, []string{fmt.Sprintf("pair:%d", seq%a.keys), "joined"}, seq/a.keys, payload)
			}
			if _, err := pipe.Exec(ctx); err != nil {
				return fmt.Errorf("claim: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return say(result)
}

// measureJoin has a role join so many pairs on a Redis of its own, and returns the time of an event in microseconds.
func measureJoin(ctx context.Context, role string, keys int, args ...string) (micros float64, err error) {
	server, err := redistest.Launch()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	result, _, err := finish[routeResult](ctx, role, append([]string{"-redis", server.Addr(), "-keys", fmt.Sprint(keys)}, args...)...)
	return float64(result.elapsed().Microseconds()) / float64(2*keys), err
}

// measurePartials returns how many bytes of Redis a pending partial takes that holds an event with a payload like all others.
func measurePartials(ctx context.Context, keys int) (bytes float64, err error) {
	server, err := redistest.Launch()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	store, err := redisstore.Open(ctx, redisstore.Config{URL: server.URL()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := createPairTriggers(ctx, store, 0); err != nil {
		return 0, err
	}
	if err := appendPairs(ctx, store, 0, keys, keys, 0); err != nil {
		return 0, err
	}
	megabytes, err := memoryPer100000(ctx, server, keys, func() error { return recordAll(ctx, store, keys) })
	return megabytes * 1e6 / 100_000, err
}

// recordAll routes until so many keys have something recorded.
func recordAll(ctx context.Context, store *redisstore.Store, keys int) error {
	trigger, err := store.Trigger(ctx, "pair-0")
	if err != nil {
		return err
	}
	return routeUntil(ctx, store, func() (bool, error) {
		status, err := store.TriggerStatus(ctx, trigger)
		return err == nil && status.Partials >= int64(keys), err
	})
}
