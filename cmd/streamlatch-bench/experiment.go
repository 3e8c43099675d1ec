package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"
)

// figure is one line of the table.
type figure struct {
	name   string
	unit   string
	bound  float64 // of ours / reference; 0: none
	atMost bool    // the ratio must not be above the bound, else not below
}

// measure makes one measurement and returns a value for each figure.
type measure func(ctx context.Context) ([]float64, error)

// experiment yields one or more figures, measured on both sides in turns.
type experiment struct {
	name            string
	figures         []figure
	reference, ours measure       // nil: this side is not measured
	limit           time.Duration // of one measurement. Defaults to 2 minutes.
}

// samples are the values of one side of one figure, one of each round.
type samples [][]float64

// results has the samples of each figure of an experiment.
type results struct {
	reference, ours samples
	others          []float64 // share of the machine's CPU time that other programs took during each measurement
}

func newResults(e experiment) *results {
	return &results{reference: make(samples, len(e.figures)), ours: make(samples, len(e.figures))}
}

// measureRounds runs all experiments a number of times, each side of each in every round, and the side that went first
// in one round second in the next, so that what else the machine does falls on both. It tells its progress.
func measureRounds(ctx context.Context, experiments []experiment, rounds int, quiet *calm, progress io.Writer) ([]*results, error) {
	all := make([]*results, len(experiments))
	for i, e := range experiments {
		all[i] = newResults(e)
	}
	for round := range rounds {
		for i, e := range experiments {
			sides := []side{{"reference", e.reference, all[i].reference}, {"ours", e.ours, all[i].ours}}
			if round%2 == 1 {
				sides[0], sides[1] = sides[1], sides[0]
			}
			for _, s := range sides {
				if s.measure == nil {
					continue
				}
				fmt.Fprintf(progress, "round %d  %-38s %-9s", round+1, e.name, s.name)
				others, err := s.run(ctx, e, quiet, progress)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", e.name, s.name, err)
				}
				all[i].others = append(all[i].others, others)
			}
		}
	}
	return all, nil
}

// side is one half of an experiment.
type side struct {
	name    string
	measure measure
	into    samples
}

// run measures until other programs do not disturb, and returns the share of the machine that they took meanwhile.
func (s side) run(ctx context.Context, e experiment, quiet *calm, progress io.Writer) (others float64, err error) {
	for {
		if err := quiet.wait(ctx); err != nil {
			return 0, err
		}
		began := time.Now()
		values, others, err := s.once(ctx, e)
		if err != nil {
			return 0, err
		}
		for i, v := range values {
			fmt.Fprintf(progress, "  %s %s", format(v), e.figures[i].unit)
		}
		fmt.Fprintf(progress, "  (others %s)", percent(others))
		if quiet.repeat(others, time.Since(began)) {
			fmt.Fprint(progress, " again:")
			continue
		}
		fmt.Fprintln(progress)
		for i, v := range values {
			s.into[i] = append(s.into[i], v)
		}
		return others, nil
	}
}

// once makes one measurement, and returns the share of the machine that other programs took meanwhile.
func (s side) once(ctx context.Context, e experiment) (values []float64, others float64, err error) {
	limit := cmp.Or(e.limit, 2*time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	before, err := readAccount()
	if err != nil {
		return nil, 0, err
	}
	if values, err = s.measure(ctx); err != nil {
		return nil, 0, err
	}
	after, err := readAccount()
	if err != nil {
		return nil, 0, err
	}
	if len(values) != len(e.figures) {
		return nil, 0, fmt.Errorf("%d values for %d figures", len(values), len(e.figures))
	}
	return values, after.othersSince(before), nil
}
