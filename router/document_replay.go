package router

// ReplayCommand is what a caller wants replayed.
type ReplayCommand struct {
	Replay ReplayRequest // its Subscription is not set
	DryRun bool          // only count
}

// DecodeReplay reads a replay as the HTTP API describes it. One that selects by nothing is Invalid unless it says that it means all. The other errors are those of
// readDocument.
func DecodeReplay(text []byte) (c ReplayCommand, err error) {
	f := &docFaults{}
	all := false
	f.read(text, func(o *docObject) {
		o.get("from").time(&c.Replay.From)
		o.get("to").time(&c.Replay.To)
		types := o.get("types")
		types.list(MaxFilterItems, func(n int) { c.Replay.Types = make([]string, n) }, func(i int, n docNode) {
			n.text(&c.Replay.Types[i])
			_, err := ParseTypePattern(c.Replay.Types[i])
			n.faults.refuse(n.at, "", err)
		})
		if types.present() && len(c.Replay.Types) == 0 {
			types.faults.add(types.at, "must name a type pattern; leave it out to replay every type")
		}
		o.get("all").bool(&all)
		o.get("dry_run").bool(&c.DryRun)
	})
	some := !c.Replay.From.IsZero() || !c.Replay.To.IsZero() || c.Replay.Types != nil
	switch {
	case !some && !all:
		f.add(documentRoot, "selects nothing: give from, to or types, or all: true")
	case some && all:
		f.add(memberAt(documentRoot, "all"), "can't be true where something else selects")
	case !c.Replay.From.IsZero() && !c.Replay.To.IsZero() && !c.Replay.From.Before(c.Replay.To):
		f.add(memberAt(documentRoot, "to"), "must be after from")
	}
	return c, f.err("the replay is not valid")
}
