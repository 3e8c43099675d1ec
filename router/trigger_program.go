package router

import "strconv"

// Program gives the trigger's condition as text, for evaluators that are not Go: its clock, its cooldown, and for each node of when, in the order of Nodes, ";"
// and nine words:
//
//	kind      all (at_least is an all that needs fewer), any, sequence, absent, event
//	parent    number of the parent, from 1; 0 for the root
//	child     which child of it the node is, from 1
//	within, need, count, distinct (1 or 0), lookback
//	leaf      two digits, a node that is none has "-"
//
// Times are milliseconds.
func (c *CompiledTrigger) Program() string {
	b := []byte(c.Clock)
	b = appendMillis(b, c.Cooldown)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if i > 0 && n.Parent < 0 {
			break // from here on, nodes are of reset_on
		}
		b = c.appendNode(b, n)
	}
	return string(b)
}

func (c *CompiledTrigger) appendNode(b []byte, n *Node) []byte {
	kind, distinct, leaf := n.Kind, 0, "-"
	if kind == AtLeastCondition {
		kind = AllCondition
	}
	if n.Leaf >= 0 {
		leaf = LeafDigits(n.Leaf)
		if c.Leaves[n.Leaf].Distinct != nil {
			distinct = 1
		}
	}
	b = append(append(b, ';'), kind...)
	b = appendWord(b, n.Parent+1)
	b = appendWord(b, n.Child+1)
	b = appendMillis(b, n.Within)
	b = appendWord(b, n.Need)
	b = appendWord(b, n.Count)
	b = appendWord(b, distinct)
	b = appendMillis(b, n.Lookback)
	return append(append(b, ' '), leaf...)
}

func appendWord(b []byte, n int) []byte { return strconv.AppendInt(append(b, ' '), int64(n), 10) }

func appendMillis(b []byte, d Duration) []byte {
	return strconv.AppendInt(append(b, ' '), d.Std().Milliseconds(), 10)
}

// LeafDigits writes the number of a leaf as what is stored of events names it: two digits.
func LeafDigits(leaf int) string {
	return string([]byte{byte('0' + leaf/10), byte('0' + leaf%10)})
}
