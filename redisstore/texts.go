package redisstore

// texts makes many small strings at once: they are parts of one, so that all together cost few allocations.
type texts struct {
	bytes []byte
	ends  []int
}

// newTexts has room for so many strings of so many bytes each.
func newTexts(n, bytes int) texts {
	return texts{bytes: make([]byte, 0, n*bytes), ends: make([]int, 0, n)}
}

// end ends a string, which was appended to bytes.
func (t *texts) end() { t.ends = append(t.ends, len(t.bytes)) }

// strings returns them.
func (t *texts) strings() []string {
	all, first := string(t.bytes), 0
	list := make([]string, len(t.ends))
	for i, end := range t.ends {
		list[i], first = all[first:end], end
	}
	return list
}

// appendStringArgs appends strings to the arguments of a call, as pointers to them, which cost no allocation.
func appendStringArgs(args []any, list []string) []any {
	for i := range list {
		args = append(args, &list[i])
	}
	return args
}
