package router

// Path says where an event has a value: an attribute ("subject"), or a place in the payload ("data.items[0].sku", `data["a.b"]`). It is
// compared with ==, and paths that mean the same are equal. The zero Path is not valid.
type Path struct {
	text string // in its canonical form
}

// String gives the path in its canonical form, which ParsePath reads.
func (p Path) String() string { return p.text }
