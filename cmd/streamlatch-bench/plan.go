package main

import (
	"context"
	"strconv"
)

// planner lists the experiments.
type planner struct {
	program string  // the program to measure; "": only the references are
	scale   float64 // multiplies the numbers of events
}

// plan lists all experiments. Without the program to measure (""), only the references are run.
func plan(program string, scale float64) []experiment {
	p := planner{program, scale}
	all := append(p.accepting(), p.inlet()...)
	all = append(all, p.routing(), p.matching(), p.latency(), p.fullLoad(), p.backlog())
	all = append(all, p.crowd()...)
	all = append(all, p.joining()...)
	return append(all, p.embedded()...)
}

// events scales a number of events, to full batches.
func (p planner) events(n int) int { return max(int(float64(n)*p.scale)/batchSize, 1) * batchSize }

// inTurns completes an experiment: the same measurement for a reference and for ours.
func (p planner) inTurns(e experiment, reference, ours launcher, m func(context.Context, launcher) ([]float64, error)) experiment {
	e.reference = func(ctx context.Context) ([]float64, error) { return m(ctx, reference) }
	if p.program != "" {
		e.ours = func(ctx context.Context) ([]float64, error) { return m(ctx, ours) }
	}
	return e
}

// served is an experiment on a real Redis: the bare server and ours, which serves.
func (p planner) served(e experiment, m func(context.Context, launcher) ([]float64, error)) experiment {
	return p.inTurns(e, bareLauncher(), streamlatchLauncher(p.program), m)
}

func (p planner) accepting() []experiment {
	accept := func(events, batch int) func(context.Context, launcher) ([]float64, error) {
		return func(ctx context.Context, l launcher) ([]float64, error) {
			return measureAccept(ctx, l, p.events(events), batch)
		}
	}
	return []experiment{
		p.served(experiment{
			name:    "accept, one a request",
			figures: []figure{{name: "accepted/s, 64 connections, one event each", unit: "events/s", bound: 0.80}},
		}, accept(100_000, 1)),
		p.served(experiment{
			name:    "accept, 100 a request",
			figures: []figure{{name: "accepted/s, 64 connections, batches of 100", unit: "events/s", bound: 0.60}},
		}, accept(400_000, batchSize)),
	}
}

// inlet compares ours with itself: what is published with what a provider sends, which is verified and mapped. Both are sent the same requests, signed, so that
// neither the publisher nor net/http has more to do on one side.
func (p planner) inlet() []experiment {
	if p.program == "" {
		return nil
	}
	side := func(l launcher) measure {
		return func(ctx context.Context) ([]float64, error) { return measureSigned(ctx, l, p.events(100_000)) }
	}
	return []experiment{{
		name:      "accept at an inlet",
		figures:   []figure{{name: "accepted/s at an inlet, signed like GitHub's, against publishing", unit: "events/s", bound: 0.70}},
		reference: side(streamlatchLauncher(p.program)),
		ours:      side(inletLauncher(p.program)),
	}}
}

func (p planner) routing() experiment {
	return p.routed(experiment{
		name: "route a backlog",
		figures: []figure{
			{name: "routed/s from the log to a handler, backlog of 200,000", unit: "events/s", bound: 0.35},
			{name: "allocations per event routed and handled", unit: "allocs"},
		},
	}, func(r routed) []float64 { return []float64{r.perSecond, r.allocations} }, 200_000, false)
}

// routed completes an experiment that routes a backlog: the bare loop, and our library with a Go handler that counts. Both are parts that this program
// plays itself.
func (p planner) routed(e experiment, values func(routed) []float64, events int, embedded bool) experiment {
	side := func(role string) measure {
		return func(ctx context.Context) ([]float64, error) {
			r, err := measureRoute(ctx, role, p.events(events), embedded)
			return values(r), err
		}
	}
	e.reference = side("role-route")
	if p.program != "" {
		e.ours = side("role-handle")
	}
	return e
}

// matching compares ours with itself, so it needs no program.
func (p planner) matching() experiment {
	few, many := 100, max(p.events(100_000), 100)
	return experiment{
		name: "match",
		figures: []figure{
			{name: "match time of one event, 100,000 subscriptions against 100", unit: "µs", bound: 1.5, atMost: true},
			{name: "the same, of events two thirds of which match by their type", unit: "µs"},
		},
		reference: func(ctx context.Context) ([]float64, error) { return measureMatch(ctx, few) },
		ours:      func(ctx context.Context) ([]float64, error) { return measureMatch(ctx, many) },
	}
}

func (p planner) latency() experiment {
	return p.served(experiment{
		name: "HTTP to webhook, 1,000/s",
		figures: []figure{
			{name: "HTTP in → webhook out at 1,000/s, p50", unit: "ms", bound: 2, atMost: true},
			{name: "HTTP in → webhook out at 1,000/s, p99", unit: "ms", bound: 2, atMost: true},
		},
	}, func(ctx context.Context, l launcher) ([]float64, error) {
		return measureLatency(ctx, l, 1000, p.events(5000))
	})
}

func (p planner) fullLoad() experiment {
	return p.served(experiment{
		name: "HTTP to webhook, full load",
		figures: []figure{
			{name: "HTTP in → webhook out, full load", unit: "events/s", bound: 0.60},
			{name: "the same, CPU per event, all processes", unit: "µs", bound: 1.8, atMost: true},
		},
	}, func(ctx context.Context, l launcher) ([]float64, error) {
		return measureFullLoad(ctx, l, p.events(40_000))
	})
}

func (p planner) backlog() experiment {
	events := p.events(100_000)
	e := experiment{
		name: "deliveries from a backlog",
		figures: []figure{
			{name: "deliveries/s to one sink from a backlog", unit: "events/s", bound: 0.60},
			{name: "Redis memory per 100,000 queued events", unit: "MB"},
		},
		reference: func(ctx context.Context) ([]float64, error) { return measureBareBacklog(ctx, events) },
	}
	if p.program != "" {
		e.ours = func(ctx context.Context) ([]float64, error) {
			return measureBacklog(ctx, streamlatchLauncher(p.program), events)
		}
	}
	return e
}

// crowd compares ours with itself: what healthy subscriptions get beside misbehaving ones, and without those.
func (p planner) crowd() []experiment {
	if p.program == "" {
		return nil
	}
	side := func(bad bool) measure {
		return func(ctx context.Context) ([]float64, error) {
			return measureCrowd(ctx, p.program, 125, p.events(1000), bad)
		}
	}
	return []experiment{{
		name: "healthy beside misbehaving",
		figures: []figure{
			{name: "HTTP in → webhook out, 160 healthy subscriptions beside 40 that misbehave, against without those, p50", unit: "ms"},
			{name: "the same, p99", unit: "ms", bound: 2, atMost: true},
		},
		reference: side(false),
		ours:      side(true),
	}}
}

// joining are triggers: pairs of events with keys of their own.
func (p planner) joining() []experiment {
	keys := p.events(100_000)
	perSecond := func(role string, args ...string) measure {
		return func(ctx context.Context) ([]float64, error) {
			micros, err := measureJoin(ctx, role, keys, args...)
			return []float64{1e6 / micros}, err
		}
	}
	each := func(triggers int) measure {
		return func(ctx context.Context) ([]float64, error) {
			micros, err := measureJoin(ctx, "role-join", p.events(20_000), "-triggers", strconv.Itoa(triggers))
			return []float64{micros}, err
		}
	}
	firing := func(plain bool) measure {
		return func(ctx context.Context) ([]float64, error) { return measureFiring(ctx, 1000, p.events(2500), plain) }
	}
	return []experiment{
		{
			name:      "join pairs, against claims",
			figures:   []figure{{name: "events/s through a trigger of two, 100,000 keys, against a bare claim script", unit: "events/s", bound: 0.40}},
			reference: perSecond("role-claim"), ours: perSecond("role-join"),
		},
		{
			name:      "join pairs, against a handler",
			figures:   []figure{{name: "the same, against routing the same events to a handler", unit: "events/s", bound: 0.40}},
			reference: perSecond("role-join", "-plain"), ours: perSecond("role-join"),
		},
		{
			name:      "join pairs, 100 triggers",
			figures:   []figure{{name: "time of one event, 100 triggers of its type against one", unit: "µs", bound: 3, atMost: true}},
			reference: each(1), ours: each(100),
		},
		{
			name:      "join pairs, 10,000 triggers",
			figures:   []figure{{name: "time of one event, 10,000 triggers of its type against one", unit: "µs", bound: 3, atMost: true}},
			reference: each(1), ours: each(10_000),
		},
		{
			name: "fire at 1,000/s",
			figures: []figure{
				{name: "stored → firing in the log at 1,000 events/s, p50, against stored → handler", unit: "ms"},
				{name: "the same, p99", unit: "ms", bound: 3, atMost: true},
			},
			reference: firing(true), ours: firing(false),
		},
		{
			name:    "pending partials",
			figures: []figure{{name: "Redis memory of a pending partial with an event of 256 bytes", unit: "bytes"}},
			ours: func(ctx context.Context) ([]float64, error) {
				bytes, err := measurePartials(ctx, keys)
				return []float64{bytes}, err
			},
		},
	}
}

// embedded are the same throughputs on miniredis, which is in the process of the subject.
func (p planner) embedded() []experiment {
	on := func(e experiment, m func(context.Context, launcher) ([]float64, error)) experiment {
		return p.inTurns(e, bareEmbeddedLauncher(), devLauncher(p.program), m)
	}
	return []experiment{
		on(experiment{
			name:    "miniredis: accept, one a request",
			figures: []figure{{name: "miniredis: accepted/s, one event each", unit: "events/s"}},
		}, func(ctx context.Context, l launcher) ([]float64, error) {
			return measureAccept(ctx, l, p.events(20_000), 1)
		}),
		on(experiment{
			name:    "miniredis: accept, 100 a request",
			figures: []figure{{name: "miniredis: accepted/s, batches of 100", unit: "events/s"}},
		}, func(ctx context.Context, l launcher) ([]float64, error) {
			return measureAccept(ctx, l, p.events(20_000), batchSize)
		}),
		p.routed(experiment{
			name:    "miniredis: route a backlog",
			figures: []figure{{name: "miniredis: routed/s to a handler, backlog of 10,000", unit: "events/s"}},
		}, func(r routed) []float64 { return []float64{r.perSecond} }, 10_000, true),
		on(experiment{
			name: "miniredis: HTTP to webhook, full load",
			figures: []figure{
				{name: "miniredis: HTTP in → webhook out, full load", unit: "events/s"},
				{name: "miniredis: the same, CPU per event", unit: "µs"},
			},
		}, func(ctx context.Context, l launcher) ([]float64, error) {
			return measureFullLoad(ctx, l, p.events(5_000))
		}),
	}
}
