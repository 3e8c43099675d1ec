package main

import (
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
	reference, ours measure // nil: this side is not measured
	limit           time.Duration
}

// samples are the values of one side of one figure, one of each round.
type samples [][]float64

// results has the samples of each figure of an experiment.
type results struct{ reference, ours samples }

// measureRounds runs all experiments a number of times, each side of each in every round, and the side that went first
// in one round second in the next, so that what else the machine does falls on both. It tells its progress.
func measureRounds(ctx context.Context, experiments []experiment, rounds int, progress io.Writer) ([]results, error) {
	all := make([]results, len(experiments))
	for i, e := range experiments {
		all[i] = results{reference: make(samples, len(e.figures)), ours: make(samples, len(e.figures))}
	}
	for round := range rounds {
		for i, e := range experiments {
			sides := []side{{"reference", e.reference, all[i].reference}, {"ours", e.ours, all[i].ours}}
			if round%2 == 1 {
				sides[0], sides[1] = sides[1], sides[0]
			}
			for _, s := range sides {
				if err := s.run(ctx, e, progress, round); err != nil {
					return nil, fmt.Errorf("%s, %s: %w", e.name, s.name, err)
				}
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

func (s side) run(ctx context.Context, e experiment, progress io.Writer, round int) error {
	if s.measure == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.limit, fmt.Errorf("not done within %v", e.limit))
	defer cancel()
	values, err := s.measure(ctx)
	if err != nil {
		return err
	}
	if len(values) != len(e.figures) {
		return fmt.Errorf("%d values for %d figures", len(values), len(e.figures))
	}
	fmt.Fprintf(progress, "round %d  %-28s %-10s", round+1, e.name, s.name)
	for i, v := range values {
		s.into[i] = append(s.into[i], v)
		fmt.Fprintf(progress, "  %s %s", format(v), e.figures[i].unit)
	}
	fmt.Fprintln(progress)
	return nil
}
