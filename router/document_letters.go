package router

// MaxSelectedIDs is how many ids a selection may have.
const MaxSelectedIDs = 1000

// LetterCommand is what a caller wants done with dead letters.
type LetterCommand struct {
	Selection    DeadLetterSelection // its Subscription is not set
	Subscription string              // id or name, as the caller gave it
	DryRun       bool                // only count
}

// DecodeLetterCommand reads a selection of dead letters as the HTTP API describes it: with a rate where it is to be redriven. A selection that selects by nothing is
// Invalid unless it says that it means all. The other errors are those of readDocument.
func DecodeLetterCommand(text []byte, kind OperationKind) (c LetterCommand, err error) {
	f := &docFaults{}
	all := false
	f.read(text, func(o *docObject) {
		s := &c.Selection
		o.get("subscription").text(&c.Subscription)
		o.get("reason").text(&s.Reason)
		o.get("from").time(&s.From)
		o.get("to").time(&s.To)
		o.get("ids").list(MaxSelectedIDs, func(n int) { s.IDs = make([]string, n) }, func(i int, n docNode) {
			n.text(&s.IDs[i])
			_, _, err := ParseDeliveryID(s.IDs[i])
			n.faults.refuse(n.at, "", err)
		})
		o.get("all").bool(&all)
		o.get("dry_run").bool(&c.DryRun)
		if kind == RedriveOperation {
			o.get("rate").object(s.readRate)
		}
	})
	f.checkSelection(c, all)
	return c, f.err("the selection is not valid")
}

func (f *docFaults) checkSelection(c LetterCommand, all bool) {
	s := c.Selection
	some := c.Subscription != "" || s.Reason != "" || !s.From.IsZero() || !s.To.IsZero() || s.IDs != nil
	switch {
	case !some && !all:
		f.add(documentRoot, "selects nothing: give subscription, reason, from, to or ids, or all: true")
	case some && all:
		f.add(memberAt(documentRoot, "all"), "can't be true where something else selects")
	case s.IDs != nil && len(s.IDs) == 0:
		f.add(memberAt(documentRoot, "ids"), "must name at least one delivery")
	case !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To):
		f.add(memberAt(documentRoot, "to"), "must be after from")
	}
	if c.Subscription != "" {
		_, err := ParseRef(SubscriptionID, c.Subscription)
		f.refuse(documentRoot, "subscription", err)
	}
}

// readRate takes the rate of a redrive, which must be one.
func (s *DeadLetterSelection) readRate(o *docObject) {
	limit, per := o.get("limit"), o.get("per")
	limit.integer(&s.Rate.Limit)
	per.duration(&s.Rate.Per)
	if s.Rate.Limit < 1 || s.Rate.Limit > MaxRateLimit {
		limit.faults.add(limit.at, "must be from 1 to %d", MaxRateLimit)
	}
	if s.Rate.Per <= 0 || s.Rate.Per > MaxRetryDelay {
		per.faults.add(per.at, "must be above 0s and at most %s", MaxRetryDelay)
	}
}
