package source

import "fmt"

// Print prints what is in an inlet's locks.
func Print(in *Inlet) string {
	s := ""
	for _, l := range in.locks {
		s += fmt.Sprintf("%v %+v %#v", l.keys, l.keys, l.keys)
	}
	return s
}
