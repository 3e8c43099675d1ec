package router

// DecodePull reads a pull as the HTTP API describes it. The errors are those of readDocument; Pull checks what it asks for.
func DecodePull(text []byte) (req PullRequest, err error) {
	f := &docFaults{}
	f.read(text, func(o *docObject) {
		limit := o.get("max")
		limit.integer(&req.Max)
		if limit.present() && req.Max == 0 {
			limit.faults.add(limit.at, "must be from 1 to %d", MaxPull)
		}
		o.get("wait").duration(&req.Wait)
		o.get("lease").duration(&req.Lease)
		o.get("worker").text(&req.Worker)
	})
	return req, f.err("the pull is not valid")
}

// DecodeAck reads the receipts of what is done.
func DecodeAck(text []byte) (receipts []Receipt, err error) {
	f := &docFaults{}
	f.read(text, func(o *docObject) { receipts = readReceipts(o) })
	return receipts, f.err("the answer is not valid")
}

// DecodeNack reads the receipts of what is given back, and after what delay it can be pulled again.
func DecodeNack(text []byte) (receipts []Receipt, delay Duration, err error) {
	f := &docFaults{}
	f.read(text, func(o *docObject) {
		receipts = readReceipts(o)
		o.get("delay").duration(&delay)
	})
	return receipts, delay, f.err("the answer is not valid")
}

// DecodePullExtension reads the receipts of what takes longer, and what the worker says of it.
func DecodePullExtension(text []byte) (receipts []Receipt, e PullExtension, err error) {
	f := &docFaults{}
	f.read(text, func(o *docObject) {
		receipts = readReceipts(o)
		o.get("lease").duration(&e.Lease)
		if n := o.get("progress"); n.present() {
			e.Progress = new(int)
			n.integer(e.Progress)
		}
		if n := o.get("note"); n.present() {
			e.Note = new(string)
			n.text(e.Note)
		}
	})
	return receipts, e, f.err("the extension is not valid")
}

func readReceipts(o *docObject) (receipts []Receipt) {
	n := o.get("receipts")
	n.list(MaxReceipts, func(n int) { receipts = make([]Receipt, n) }, func(i int, n docNode) {
		text := ""
		n.text(&text)
		if n.kind() == 0 || text == "" {
			n.faults.add(n.at, "is not a receipt that a pull gave")
			return
		}
		var err error
		receipts[i], err = ParseReceipt(text)
		n.faults.refuse(n.at, "", err)
	})
	if len(receipts) == 0 {
		n.faults.add(n.at, "must name at least one receipt")
	}
	return receipts
}
