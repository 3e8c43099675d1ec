package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// printTable prints a line for each figure, with the medians over all rounds, and returns how many bounds are not met. The last column is the share of the
// machine that other programs took meanwhile; much of it makes the figures worth little.
func printTable(w io.Writer, experiments []experiment, all []*results) (missed int, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tours\treference\tratio\tbound\tok\tothers")
	for i, e := range experiments {
		others := percent(median(all[i].others))
		for j, f := range e.figures {
			v := f.judge(all[i].ours[j], all[i].reference[j])
			if v.ok == "NO" {
				missed++
			}
			fmt.Fprintln(t, strings.Join([]string{f.name, v.ours, v.reference, v.ratio, f.boundText(), v.ok, others}, "\t"))
		}
	}
	return missed, t.Flush()
}

// verdict is a figure's outcome as the table shows it.
type verdict struct{ ours, reference, ratio, ok string }

// judge compares the medians of both sides; without one of them there is no ratio, and nothing to hold against a bound.
func (f figure) judge(ours, reference []float64) verdict {
	v := verdict{ours: f.medianText(ours), reference: f.medianText(reference), ratio: "–", ok: "–"}
	if len(ours) == 0 || len(reference) == 0 {
		return v
	}
	ratio := median(ours) / median(reference)
	v.ratio = strconv.FormatFloat(ratio, 'f', 2, 64)
	switch {
	case f.bound == 0:
	case f.atMost && ratio <= f.bound, !f.atMost && ratio >= f.bound:
		v.ok = "yes"
	default:
		v.ok = "NO"
	}
	return v
}

func (f figure) medianText(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	return format(median(values)) + " " + f.unit
}

func (f figure) boundText() string {
	text := strconv.FormatFloat(f.bound, 'f', 2, 64)
	switch {
	case f.bound == 0:
		return "–"
	case f.atMost:
		return "≤ " + text
	default:
		return "≥ " + text
	}
}

// format prints a value with about three significant digits, and thousands apart.
func format(v float64) string {
	switch {
	case v >= 100:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + " %" }

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
