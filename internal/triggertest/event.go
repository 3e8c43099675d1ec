package triggertest

import (
	"encoding/json"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/router"
)

// Start is when a random log begins, in milliseconds.
const Start = 1_700_000_000_000

// Timed is an event and when it is accepted, in milliseconds after Start.
type Timed struct {
	At    int64
	Event router.Event
}

// Events draws the events of a log, in its order: bursts, equal times, long pauses, values that repeat, keys that are missing.
func Events(t *rapid.T) []Timed {
	list := make([]Timed, rapid.IntRange(1, 40).Draw(t, "events"))
	at := int64(0)
	for i := range list {
		at += rapid.SampledFrom([]int64{0, 0, 0, 1, 1, 2, 3, 5, 8, 13, 40}).Draw(t, "pause")
		list[i] = Timed{At: at, Event: event(t, i, at)}
	}
	return list
}

func event(t *rapid.T, number int, at int64) router.Event {
	data := map[string]any{}
	for _, name := range []string{"k", "j", "v"} {
		if v := rapid.SampledFrom([]any{nil, 1, 1, "1", 2, true}).Draw(t, name); v != nil {
			data[name] = v
		}
	}
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatalf("a random event: %v", err)
	}
	f := router.EventFields{
		ID: "e" + strconv.Itoa(number), Source: "/test", Type: rapid.SampledFrom(types).Draw(t, "type"), Data: string(text), DataKind: router.JSONData,
	}
	if off := rapid.SampledFrom([]int64{1, 0, 0, -1, -3, -9}).Draw(t, "off"); off <= 0 {
		f.Time = router.FormatTime(time.UnixMilli(Start + at + off))
	}
	if rapid.IntRange(0, 9).Draw(t, "hops") == 0 {
		f.Extensions = []router.Extension{{Name: router.HopsExtension, Value: "16", Kind: router.IntegerValue}}
	}
	e, err := router.NewParsedEvent(f)
	if err != nil {
		t.Fatalf("a random event is refused: %v", err)
	}
	return e
}
