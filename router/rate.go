package router

import (
	"fmt"
	"time"
)

// Limits of a rate.
const (
	MaxRateLimit = 1_000_000
	MinRatePer   = Duration(time.Second)
	MaxRatePer   = Duration(31 * 24 * time.Hour)
)

// Rate is how many attempts may begin: in no window of Per more than Limit, over all replicas and partitions. The zero Rate is no limit.
type Rate struct {
	Limit int      `json:"limit"`
	Per   Duration `json:"per"`
}

// Check tells whether the rate can be used. The error is an *Error (Invalid) that names every faulty field ("delivery.rate.per").
func (r Rate) Check() error {
	if r == (Rate{}) {
		return nil
	}
	var faults []Problem
	if r.Limit < 1 || r.Limit > MaxRateLimit {
		faults = append(faults, Problem{"delivery.rate.limit", fmt.Sprintf("must be from 1 to %d", MaxRateLimit)})
	}
	if r.Per < MinRatePer || r.Per > MaxRatePer {
		faults = append(faults, Problem{"delivery.rate.per", fmt.Sprintf("must be from %s to %s", MinRatePer, MaxRatePer)})
	}
	if faults == nil {
		return nil
	}
	return &Error{Code: Invalid, Message: "the rate is not valid", Problems: faults}
}

// read takes the members of a rate. One that there is has a limit and a window: what it leaves out is faulty.
func (r *Rate) read(o *docObject) {
	*r = Rate{Limit: -1, Per: -1}
	o.get("limit").integer(&r.Limit)
	o.get("per").duration(&r.Per)
}

func (r Rate) write(w *jsonWriter) {
	if r == (Rate{}) {
		return
	}
	w.name("rate")
	w.open('{')
	w.integer("limit", r.Limit)
	w.text("per", r.Per.String())
	w.close('}')
}
