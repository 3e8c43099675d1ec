package router

import (
	"errors"
	"fmt"
	"time"
)

// Code classifies an error that a caller may see. httpapi maps each to a status and a problem type.
type Code string

// The codes.
const (
	Internal     Code = "internal"          // ours; its text is never shown
	Malformed    Code = "malformed"         // not parsable, or not a valid CloudEvent
	Invalid      Code = "invalid"           // understood and refused
	NotFound     Code = "not-found"         // no such thing
	Conflict     Code = "conflict"          // the name is taken
	Precondition Code = "precondition"      // If-Match or If-None-Match does not hold
	IDReused     Code = "id-reused"         // the same source and id with other content
	Reserved     Code = "reserved"          // a type, source or extension that only Streamlatch may use
	TooLarge     Code = "too-large"         // over a size limit
	Unsupported  Code = "unsupported-media" // a content type that is not understood
	RateLimited  Code = "rate-limited"      // over the caller's rate
	Full         Code = "full"              // Redis has no room left
	Unavailable  Code = "unavailable"       // Redis can't be reached; whether it was done is not known
	Unauthorized Code = "unauthorized"      // no key, or an unknown one
	Unverified   Code = "unverified"        // a message that does not show who sent it
	Forbidden    Code = "forbidden"         // the key lacks the scope
	Loop         Code = "loop"              // an event derived from itself too often
)

// Problem is one fault at one place of a document.
type Problem struct {
	Location string `json:"location"` // "body.filter.pattern.data.total[0]"
	Message  string `json:"message"`
}

// Error is an error that a caller may see: its Message and Problems go out as they are, Err does not.
type Error struct {
	Code       Code
	Message    string
	Problems   []Problem
	RetryAfter time.Duration // a hint for the caller; zero: none
	Err        error
}

// Error gives the whole chain, for logs.
func (e *Error) Error() string {
	s := e.Message
	for _, p := range e.Problems {
		s += "; " + p.Location + ": " + p.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a code and a message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorCode tells the code of an error, Internal for one that has none.
func ErrorCode(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
