package router

// Outcome is how an attempt to deliver ended, in one word. The set is closed (Outcomes lists it), so that it fits as the label of a
// metric; what is particular to one attempt stands in its error text and status code.
type Outcome string

// The outcomes of an attempt.
const (
	OutcomeDelivered    Outcome = "delivered"     // the endpoint answered 2xx, or the handler returned nil
	OutcomeStatus       Outcome = "status"        // the endpoint answered with a status that is neither 2xx nor 3xx nor 410
	OutcomeGone         Outcome = "gone"          // the endpoint answered 410: it wants no deliveries any more
	OutcomeRedirect     Outcome = "redirect"      // the endpoint answered 3xx, which is never followed
	OutcomeTimeout      Outcome = "timeout"       // no complete answer in time; the handler did not return in time
	OutcomeDNS          Outcome = "dns"           // the name could not be resolved
	OutcomeRefused      Outcome = "refused"       // nobody listens there
	OutcomeUnreachable  Outcome = "unreachable"   // no connection, for another reason: no route, no local port
	OutcomeReset        Outcome = "reset"         // the connection ended before the answer was complete
	OutcomeTLS          Outcome = "tls"           // the handshake failed: certificate, name, version
	OutcomeBlocked      Outcome = "blocked"       // the address guard refused the address that the name stands for
	OutcomeProtocol     Outcome = "protocol"      // the answer is not HTTP, or its header is too large
	OutcomeInvalid      Outcome = "invalid"       // what is stored can't be sent: URL, headers, secret
	OutcomeHandlerError Outcome = "handler-error" // the Go handler returned an error
	OutcomeHandlerPanic Outcome = "handler-panic" // the Go handler panicked
	OutcomeNacked       Outcome = "nacked"        // a worker that had pulled it gave it back
	OutcomeExpired      Outcome = "expired"       // the lease ran out: the replica or the worker died, or was held up; what happened is not known
	OutcomeCanceled     Outcome = "canceled"      // this replica shut down; says nothing about the endpoint
	OutcomeBacklogFull  Outcome = "backlog-full"  // there was no attempt: the queue held as many deliveries as it may
)

// faultsEndpoint tells whether an attempt that ended so speaks against the endpoint.
func (o Outcome) faultsEndpoint() bool {
	switch o {
	case OutcomeStatus, OutcomeGone, OutcomeRedirect, OutcomeTimeout, OutcomeDNS, OutcomeRefused, OutcomeUnreachable, OutcomeReset, OutcomeTLS,
		OutcomeBlocked, OutcomeProtocol:
		return true
	default:
		return false
	}
}

// Outcomes returns every outcome, in the order of their definition.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeDelivered, OutcomeStatus, OutcomeGone, OutcomeRedirect, OutcomeTimeout, OutcomeDNS, OutcomeRefused, OutcomeUnreachable,
		OutcomeReset, OutcomeTLS, OutcomeBlocked, OutcomeProtocol, OutcomeInvalid, OutcomeHandlerError, OutcomeHandlerPanic,
		OutcomeNacked, OutcomeExpired, OutcomeCanceled, OutcomeBacklogFull,
	}
}
