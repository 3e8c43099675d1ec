package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// keptBody is the largest buffer that is kept for the next request.
const keptBody = 1 << 20

// readBody reads a body of at most limit bytes into a buffer that release takes back. Bodies in other encodings than plain are refused as Unsupported: unpacked,
// they could have any size.
func (s *Server) readBody(c call, limit int) (*bytes.Buffer, error) {
	if encoding := c.r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, router.Errorf(router.Unsupported, "bodies with a content-encoding are not understood; send it without")
	}
	if c.r.ContentLength > int64(limit) {
		return nil, &http.MaxBytesError{Limit: int64(limit)}
	}
	b, ok := s.bodies.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	b.Reset()
	// MinRead is what ReadFrom wants free to see the end. What is announced and has not come yet gets no more room than what is kept anyway.
	b.Grow(int(min(max(c.r.ContentLength, 0), keptBody-bytes.MinRead)) + bytes.MinRead)
	body := c.r.Body
	if c.r.ContentLength < 0 { // else net/http ends it there
		body = http.MaxBytesReader(c.w, body, int64(limit))
	}
	if _, err := b.ReadFrom(body); err != nil {
		s.release(b)
		return nil, bodyError(err)
	}
	return b, nil
}

// release takes a buffer back; its bytes must not be used any more.
func (s *Server) release(b *bytes.Buffer) {
	if b.Cap() <= keptBody {
		s.bodies.Put(b)
	}
}

func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &router.Error{Code: router.Malformed, Message: "the body could not be read to its end", Err: err}
}

// readDocument reads the JSON body of a definition or command.
func (s *Server) readDocument(c call, types ...string) ([]byte, error) {
	contentType := c.r.Header.Get("Content-Type")
	media, ok := router.ParseMediaType(contentType)
	if !ok || !media.IsUTF8() || !slices.Contains(types, media.Type+"/"+media.Subtype) {
		return nil, router.Errorf(router.Unsupported, "send %s, in UTF-8", strings.Join(types, " or "))
	}
	b, err := s.readBody(c, router.MaxDocumentBytes)
	if err != nil {
		return nil, err
	}
	defer s.release(b)
	return bytes.Clone(b.Bytes()), nil
}
