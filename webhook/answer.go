package webhook

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// Limits of what is read of an answer.
const (
	maxResponse     = 4 << 10  // of a failure's body, kept with the attempt
	maxDrained      = 64 << 10 // of any body, so that its connection can be used again
	maxAnswerHeader = 64 << 10
)

// readAnswer turns an answer into an attempt's outcome, and leaves the connection fit for the next one where that is cheap. The status decides: what
// happens to the body after it changes nothing.
func readAnswer(res *http.Response) router.Attempt {
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusSwitchingProtocols {
		// Nobody asked for it. Its body is the bare connection, on which a read would not end with the context.
		return router.Attempt{Outcome: router.OutcomeProtocol, StatusCode: res.StatusCode, Error: "the endpoint wants to switch protocols"}
	}
	a := router.Attempt{Outcome: router.OutcomeDelivered, StatusCode: res.StatusCode}
	switch {
	case res.StatusCode/100 == 2:
	case res.StatusCode/100 == 3:
		a.Outcome, a.Error = router.OutcomeRedirect, redirectError(res)
	case res.StatusCode == http.StatusGone:
		a.Outcome, a.Error = router.OutcomeGone, statusError(res)
	default:
		a.Outcome, a.Error = router.OutcomeStatus, statusError(res)
	}
	read := 0
	if a.Outcome != router.OutcomeDelivered {
		a.Response, read = responseText(res.Body)
	}
	drain(res, read)
	return a
}

// drain reads the rest of a body, if there is one. One that says that it is longer than what is drained is not begun.
func drain(res *http.Response, read int) {
	if res.ContentLength <= maxDrained && res.Body != http.NoBody {
		_, _ = io.CopyN(io.Discard, res.Body, int64(maxDrained-read)) // an error only costs the connection
	}
}

// responseText reads the start of a body as text.
func responseText(body io.Reader) (text string, read int) {
	b, _ := io.ReadAll(io.LimitReader(body, maxResponse)) // what came before an error is kept
	return truncate(strings.ToValidUTF8(string(b), "\uFFFD"), maxResponse), len(b)
}

func statusError(res *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", res.StatusCode, http.StatusText(res.StatusCode)))
}

func redirectError(res *http.Response) string {
	message := statusError(res) + ", and redirects are not followed"
	to, err := res.Location()
	if err != nil {
		return message
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return Printable(message + "; it points to " + to.String())
}
