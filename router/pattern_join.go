package router

import "slices"

// MaxJoinSteps is how many choices of values are tried for one pattern and event before the pattern is given up on. What it takes is about
// proportional to the number of values, but for events and patterns that are made to take long.
const MaxJoinSteps = 1 << 18

// joint finds a value for each field of a branch so that all of them agree on the elements of arrays: values within the same array must be within the
// same element of it. Elements are numbered in the order of the document, so an element and all within it are a range of numbers, as is an array.
//
// It goes through the fields in order and comes back to the one that stands in the way, rather than to the last one, when a field has no
// value left: fields of independent arrays do not multiply.
type joint struct {
	view    *View
	branch  branch
	slots   []slot
	options [][]int32 // by field: the elements of the values that pass, ascending, none twice
	chosen  []choice
	steps   int

	absences bool // some field may be absent
}

// choice is the element that a field has settled on in an array.
type choice struct {
	array, element int32
	field          int
}

// run tells whether there are such values.
func (j *joint) run(v *View, b branch, slots []slot) bool {
	j.view, j.branch, j.slots, j.steps = v, b, slots, 0
	j.chosen = j.chosen[:0]
	j.options = slices.Grow(j.options[:0], len(b))[:len(b)]
	j.absences = slices.ContainsFunc(b, func(f field) bool { return f.absent })
	for i := range b {
		if !j.collect(i, &b[i]) {
			return false
		}
	}
	found, _ := j.from(0)
	v.gaveUp = v.gaveUp || j.steps > MaxJoinSteps
	return found && j.steps <= MaxJoinSteps
}

// collect lists the options of a field; false: it can't match. A value outside of all arrays agrees with everything and makes the others needless,
// unless being in an array helps to make other fields absent.
func (j *joint) collect(i int, f *field) bool {
	options := j.options[i][:0]
	for number := j.view.first(j.slots[f.place]); number != 0 && j.view.step(); number = j.view.at(number).next {
		v := j.view.at(number)
		if len(options) > 0 && options[len(options)-1] == v.element || !f.pass(v) {
			continue
		}
		if v.element == 0 && !j.absences {
			options = append(options[:0], 0)
			break
		}
		options = append(options, v.element)
	}
	if !slices.IsSorted(options) { // arrays within arrays
		slices.Sort(options)
		options = slices.Compact(options)
	}
	j.options[i] = options
	return f.absent || len(options) > 0
}

// from chooses for the fields from i on; if it can't, because are the fields whose choices stand in the way.
func (j *joint) from(i int) (found bool, because fieldSet) {
	if i == len(j.branch) || j.steps > MaxJoinSteps {
		return i == len(j.branch), because
	}
	settled := len(j.chosen)
	for options := j.options[i]; len(options) > 0; {
		j.steps++
		j.view.step()
		clash, next := j.choose(i, options[0])
		if next > 0 {
			because = because.with(clash)
			at, _ := slices.BinarySearch(options, next)
			options = options[at:]
		} else {
			found, deeper := j.from(i + 1)
			if found || !deeper.has(i) {
				return found, deeper
			}
			because, options = because.union(deeper.without(i)), options[1:]
		}
		j.chosen = j.chosen[:settled]
	}
	if !j.branch[i].absent {
		return false, because
	}
	if blocked, by := j.present(i); blocked {
		return false, because.union(by)
	}
	found, deeper := j.from(i + 1)
	return found, because.union(deeper)
}

// choose settles on an element and those around it for field i. Where another field has settled on another element of one of the arrays, it
// gives that field and the first element that may agree with it; next is 0 where there is no clash.
func (j *joint) choose(i int, number int32) (clash int, next int32) {
	for number != 0 {
		e := j.view.elements[number-1]
		at := slices.IndexFunc(j.chosen, func(c choice) bool { return c.array == e.array })
		switch {
		case at < 0:
			j.chosen = append(j.chosen, choice{e.array, number, i})
		case j.chosen[at].element < number:
			return j.chosen[at].field, j.view.arrays[e.array].last + 1
		case j.chosen[at].element > number:
			return j.chosen[at].field, j.chosen[at].element
		}
		number = e.parent
	}
	return 0, 0
}

// present tells whether field i has a value, of whatever kind, that agrees with what is chosen, so that the field is not absent; because are the
// fields that could have chosen otherwise.
func (j *joint) present(i int) (blocked bool, because fieldSet) {
	settled := len(j.chosen)
	for number := j.view.first(j.slots[j.branch[i].place]); number != 0; number = j.view.at(number).next {
		element := j.view.at(number).element
		_, next := j.choose(i, element)
		if j.chosen = j.chosen[:settled]; next > 0 {
			continue
		}
		for before := range i {
			if j.mayClash(before, element) {
				because = because.with(before)
			}
		}
		return true, because
	}
	return false, because
}

// mayClash tells whether a field has an option in one of the arrays around an element, but in another element of it.
func (j *joint) mayClash(field int, number int32) bool {
	for number != 0 {
		e := j.view.elements[number-1]
		around := j.view.arrays[e.array]
		if j.hasOption(field, around.first, number-1) || j.hasOption(field, e.last+1, around.last) {
			return true
		}
		number = e.parent
	}
	return false
}

// hasOption tells whether a field has an option in a range of elements.
func (j *joint) hasOption(field int, first, last int32) bool {
	options := j.options[field]
	i, _ := slices.BinarySearch(options, first)
	return i < len(options) && options[i] <= last
}

// fieldSet is a set of fields of a branch.
type fieldSet [MaxPatternFields / 64]uint64

func (s fieldSet) has(i int) bool { return s[i/64]>>(i%64)&1 == 1 }

func (s fieldSet) with(i int) fieldSet {
	s[i/64] |= 1 << (i % 64)
	return s
}

func (s fieldSet) without(i int) fieldSet {
	s[i/64] &^= 1 << (i % 64)
	return s
}

func (s fieldSet) union(t fieldSet) fieldSet {
	for i := range s {
		s[i] |= t[i]
	}
	return s
}
