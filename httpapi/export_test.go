package httpapi

// Routes lists what is registered: "GET /v1/events".
func (s *Server) Routes() (list []string) {
	for _, rt := range s.routes() {
		list = append(list, rt.method+" "+rt.path)
	}
	return list
}

// ProblemStatuses lists the words of the problem types.
func ProblemStatuses() map[string]int {
	list := map[string]int{}
	for code, t := range problemTypes() {
		list[string(code)] = t.status
	}
	return list
}
