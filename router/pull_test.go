package router

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAReceiptIsReadAsItWasPrintedAndNothingElseIs(t *testing.T) {
	token := strings.Repeat("A", 26)
	for _, r := range []Receipt{
		{Entry: Entry{Position: Position{MS: 1732128000000}}, Attempt: 1, Token: token},
		{Entry: Entry{Position: Position{Partition: 12, MS: 1, Seq: 18446744073709551615}, Suffix: "~r7"}, Attempt: 100, Token: token},
	} {
		got, err := ParseReceipt(r.String())
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	for _, text := range []string{
		"", "rcp_", "rcp_0-1-0.1." + token[1:], "rcp_0-1-0.1." + token + "\n", "rcp_00-1-0.1." + token, "rcp_0-01-0.1." + token, "rcp_0-1-0.01." + token,
		"rcp_0-1-99999999999999999999.1." + token, "rcp_0-1-0~R.1." + token, "rcp_0-1-0 receipt.1." + token,
	} {
		_, err := ParseReceipt(text)
		require.Equal(t, Invalid, ErrorCode(err), "%q", text)
	}
}

func TestAPullSinkHasDefaultsAndNoSecret(t *testing.T) {
	draft, err := DecodeSubscription([]byte(`{"name": "jobs", "sink": {"kind": "pull"}}`), Rules{})
	require.NoError(t, err)
	s, err := draft.Create("whsec_fresh")
	require.NoError(t, err)
	require.Equal(t, Sink{Kind: PullSink, Lease: DefaultPullLease, MaxAttempts: 5}, s.Sink)
	shown := string(AppendSubscription(nil, s, SubscriptionView{}))
	require.Contains(t, shown, `"sink":{"kind":"pull","lease":"30s","max_attempts":5}`)
	again, err := DecodeSubscription([]byte(shown), Rules{})
	require.NoError(t, err)
	require.True(t, EqualDefinition(s, again.Definition()))
	s.Sink.URL = "https://a"
	require.ErrorContains(t, s.Validate(Rules{}), "sink: is pulled from: it has no url, mode, headers, timeout, secret or auth")
	s.Sink.URL, s.Sink.Auth = "", Auth{Kind: BearerAuth, Token: "t"}
	require.ErrorContains(t, s.Validate(Rules{}), "timeout, secret or auth")
}

func TestASinkThatIsPulledFromStaysOneAndNoOtherBecomesOne(t *testing.T) {
	read := func(text string) SubscriptionDraft {
		d, err := DecodeSubscription([]byte(text), Rules{})
		require.NoError(t, err)
		return d
	}
	pull, hook := read(`{"name": "a", "sink": {"kind": "pull"}}`), read(`{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example"}}`)
	for _, c := range []struct{ old, draft SubscriptionDraft }{{pull, hook}, {hook, pull}} {
		_, err := c.draft.Replace(c.old.Definition())
		require.ErrorContains(t, err, "body.sink.kind: can't be changed")
	}
	_, err := read(`{"name": "a", "sink": {"kind": "pull", "lease": "1h"}}`).Replace(pull.Definition())
	require.NoError(t, err)
}

func TestEachFaultOfAWorkersRequestIsNamedAtItsPlace(t *testing.T) {
	_, pull := DecodePull([]byte(`{"max": 0, "wait": 5, "lease": "x", "worker": 1, "sender": "a"}`))
	_, ack := DecodeAck([]byte(`{"receipts": ["a", ""]}`))
	_, none := DecodeAck([]byte(`{}`))
	_, _, nack := DecodeNack([]byte(`{"receipts": [], "delay": 1}`))
	_, _, extend := DecodePullExtension([]byte(`{"receipts": "a", "progress": "1", "note": 1}`))
	for i, c := range []struct {
		err  error
		want []string
	}{
		{pull, []string{
			"body.max: must be from 1 to 100", `body.wait: must be a duration such as "90s" or "7d", not a number`,
			`body.lease: duration "x" is not of the form "90s", "1h30m" or "7d", or longer than 292 years`,
			"body.worker: must be a string, not a number", "body.sender: is not a known field",
		}},
		{ack, []string{"body.receipts[0]: is not a receipt that a pull gave", "body.receipts[1]: is not a receipt that a pull gave"}},
		{none, []string{"body.receipts: must name at least one receipt"}},
		{nack, []string{"body.receipts: must name at least one receipt", `body.delay: must be a duration such as "90s" or "7d", not a number`}},
		{extend, []string{"body.receipts: must be an array, not a string", "body.progress: must be a number, not a string", "body.note: must be a string, not a number"}},
	} {
		code, got := problems(t, c.err)
		require.Equal(t, Invalid, code)
		require.Equal(t, c.want, got, i)
	}
}

func TestAWokenWorkerThatLeavesWithoutLookingWakesTheNext(t *testing.T) {
	p := newPulls()
	first, second := p.join("sub_a"), p.join("sub_a")
	p.wake("sub_a")
	require.Len(t, first.woken, 1)
	require.Empty(t, second.woken, "one at a time")
	p.wake("sub_b")
	p.leave(first)
	require.Len(t, second.woken, 1)
	p.leave(second)
	require.Empty(t, p.subscriptions())
}
