package router

// write writes a condition as a document has it: what is left out has its default.
func (c *Condition) write(w *jsonWriter) {
	w.open('{')
	switch c.Kind {
	case EventCondition:
		c.writeEvent(w)
	case AbsentCondition:
		w.condition("absent", c.AbsentEvent())
		if after := c.After(); after != nil {
			w.condition("after", after)
		}
	case AtLeastCondition:
		w.integer("at_least", c.Least)
		w.conditions("of", c.Children)
	case AllCondition, AnyCondition, SequenceCondition:
		w.conditions(string(c.Kind), c.Children)
	}
	w.duration("within", c.Within)
	w.duration("lookback", c.Lookback)
	w.close('}')
}

func (c *Condition) writeEvent(w *jsonWriter) {
	w.optional("name", c.Name)
	c.Filter.write(w, "event")
	if c.Count != 1 {
		w.integer("count", c.Count)
	}
	if c.Distinct != nil {
		w.text("distinct", c.Distinct.String())
	}
	c.Key.write(w)
}

// write writes the member "key", unless there is none.
func (k KeyPaths) write(w *jsonWriter) {
	if len(k) == 0 {
		return
	}
	w.name("key")
	w.open('{')
	for _, part := range k {
		w.text(part.Name, part.Path.String())
	}
	w.close('}')
}

// condition writes a member that is a condition.
func (w *jsonWriter) condition(name string, c *Condition) {
	w.name(name)
	c.write(w)
}

// conditions writes a member that is a list of conditions.
func (w *jsonWriter) conditions(name string, list []Condition) {
	w.name(name)
	w.open('[')
	for i := range list {
		w.separate()
		list[i].write(w)
	}
	w.close(']')
}

// duration writes a member that is a length of time, unless it is zero.
func (w *jsonWriter) duration(name string, d Duration) {
	if d != 0 {
		w.text(name, d.String())
	}
}
