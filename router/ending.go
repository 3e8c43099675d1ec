package router

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ending is how a call of somebody else's function ended.
type ending struct {
	outcome Outcome // delivered, handler-error, handler-panic, or canceled where it did not begin
	text    string  // of the error or the panic
}

// errNotBegun is what a protected call returns that did not come to calling.
var errNotBegun = errors.New("the call did not begin")

// guard makes a call and tells how it ended, whichever way that was: a panic and runtime.Goexit, which ends the goroutine, are endings like an error.
// Whatever it returned or panicked with is printed before that, since printing it may panic or hang as well.
func guard(call func() error, ended func(ending)) {
	e := ending{OutcomeHandlerPanic, "the function ended its goroutine (runtime.Goexit)"}
	defer func() { ended(e) }()
	defer func() {
		if v := recover(); v != nil {
			e.text = clip(printed(v) + "\n" + string(debug.Stack()))
		}
	}()
	e = endingOf(call())
}

// protect makes a call in a goroutine of its own and tells how it ended.
func protect(call func() error) <-chan ending {
	ended := make(chan ending, 1)
	go guard(call, func(e ending) { ended <- e })
	return ended
}

func endingOf(err error) ending {
	switch {
	case err == nil:
		return ending{outcome: OutcomeDelivered}
	case err == errNotBegun: //nolint:errorlint // the handler's own errors may wrap what they like
		return ending{outcome: OutcomeCanceled}
	default:
		return ending{OutcomeHandlerError, clip(printed(err))}
	}
}

// printed is the text of a value. fmt survives a value that panics when it is printed, but not one that panics with another such.
func printed(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("a %T that panics when it is printed", v)
		}
	}()
	return fmt.Sprint(v)
}

// maxErrorText is how much of an error is recorded, in bytes.
const maxErrorText = 4096

func clip(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return text
}

var errHandlerTimeout = errors.New("the handler did not return in time")
