package cloudevents

import "github.com/streamlatch/streamlatch/router"

// AppendStructured appends the event in the JSON event format; see router.Event.AppendJSON.
func AppendStructured(dst []byte, e router.Event) []byte { return e.AppendJSON(dst) }

// AppendBatch appends the events in the JSON batch format.
func AppendBatch(dst []byte, events []router.Event) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendStructured(dst, e)
	}
	return append(dst, ']')
}
