package cloudevents

import (
	"errors"

	"github.com/streamlatch/streamlatch/router"
)

// DecodeThoroughly is Decode of JSON by the thorough source alone.
func (d Decoder) DecodeThoroughly(contentType string, body []byte) ([]router.Event, error) {
	r := readers.Get().(*reader)
	defer r.release()
	media, _ := router.ParseMediaType(contentType)
	r.thorough.open(body, string(body))
	return r.read(d, d.Limits.withDefaults(), formatOf(media), string(body), &r.thorough)
}

// DecodeQuickly is Decode of JSON by the quick source alone; sure tells whether it could.
func (d Decoder) DecodeQuickly(contentType string, body []byte) (events []router.Event, sure bool, err error) {
	r := readers.Get().(*reader)
	defer r.release()
	media, _ := router.ParseMediaType(contentType)
	r.quick.open(string(body))
	events, err = r.read(d, d.Limits.withDefaults(), formatOf(media), string(body), &r.quick)
	return events, !errors.Is(err, errUnsure), err
}
