package httpapi

import "strings"

// Routes lists what echo serves: "GET /v1/events/{position}".
func (s *Server) Routes() (list []string) {
	for _, rt := range s.echo.Routes() {
		segments := strings.Split(rt.Path, "/")
		for i, segment := range segments {
			if name, ok := strings.CutPrefix(segment, ":"); ok {
				segments[i] = "{" + name + "}"
			}
		}
		list = append(list, rt.Method+" "+strings.Join(segments, "/"))
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
