package router

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARateIsKeptInBeats(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		most int
		beat time.Duration
	}{
		{Rate{}, operationStep, 0},
		{Rate{Limit: 100, Per: Duration(time.Second)}, 25, 10 * time.Millisecond},
		{Rate{Limit: 1, Per: Duration(10 * time.Second)}, 1, 10 * time.Second},
		{Rate{Limit: 1_000_000, Per: Duration(time.Second)}, operationStep, time.Microsecond},
		{Rate{Limit: 1_000_000, Per: 1}, operationStep, 1},
	} {
		most, beat := c.rate.step()
		require.Equal(t, c.most, most, c.rate)
		require.Equal(t, c.beat, beat, c.rate)
	}
}

func TestASelectionSaysWhatItSelects(t *testing.T) {
	id := "dlv_0-1-0-00000000000000000000000000"
	c, err := DecodeLetterCommand([]byte(`{"subscription": "billing", "reason": "status", "from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z", "ids": ["`+id+`"],
		"dry_run": true, "rate": {"limit": 100, "per": "1s"}}`), RedriveOperation)
	require.NoError(t, err)
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	require.Equal(t, LetterCommand{Subscription: "billing", DryRun: true, Selection: DeadLetterSelection{
		DeadLetterFilter: DeadLetterFilter{Reason: "status", From: day, To: day.Add(24 * time.Hour)}, IDs: []string{id}, Rate: Rate{100, Duration(time.Second)},
	}}, c)
	_, err = DecodeLetterCommand([]byte(`{"all": true}`), PurgeOperation)
	require.NoError(t, err)
	for text, want := range map[string][]string{
		`{}`:                                {"body: selects nothing: give subscription, reason, from, to or ids, or all: true"},
		`{"all": false, "dry_run": true}`:   {"body: selects nothing: give subscription, reason, from, to or ids, or all: true"},
		`{"all": true, "reason": "a"}`:      {"body.all: can't be true where something else selects"},
		`{"ids": []}`:                       {"body.ids: must name at least one delivery"},
		`{"ids": ["a"]}`:                    {`body.ids[0]: "a" is not the id of a delivery (dlv_…)`},
		`{"subscription": "A"}`:             {`body.subscription: "A" is neither an id (sub_ and 26 characters) nor a name (` + nameRule + `)`},
		`{"all": true, "rate": {"per": 1}}`: {"body.rate: is not a known field"},
		`{"from": "2026-11-20T00:00:00Z", "to": "2026-11-20T00:00:00Z"}`: {"body.to: must be after from"},
	} {
		_, err := DecodeLetterCommand([]byte(text), PurgeOperation)
		code, got := problems(t, err)
		require.Equal(t, Invalid, code)
		require.Equal(t, want, got, text)
	}
	_, err = DecodeLetterCommand([]byte(`{"all": true, "rate": {"limit": 0, "per": "0s"}}`), RedriveOperation)
	_, got := problems(t, err)
	require.Equal(t, []string{"body.rate.limit: must be from 1 to 1000000", "body.rate.per: must be above 0s and at most 30d"}, got)
}

func TestADeliveryIDIsReadAsItWasMadeAndNothingElseIs(t *testing.T) {
	sub := "sub_01JD0000000000000000000001"
	for _, e := range []Entry{{Position: Position{MS: 1732128000000, Seq: 3}}, {Position: Position{Partition: 12, MS: 1}, Suffix: "~r7"}} {
		subscription, got, err := ParseDeliveryID(DeliveryID(sub, e))
		require.NoError(t, err)
		require.Equal(t, sub, subscription)
		require.Equal(t, e, got)
	}
	for _, text := range []string{
		"", "dlv_", "dlv_0-1-0", "dlv_00-1-0-01JD0000000000000000000001", "dlv_0-1-0-01JD000000000000000000000", "dlv_0-1-0-01JD0000000000000000000001 log",
		"dlv_0-1-99999999999999999999-01JD0000000000000000000001", "dlv_0-1-0-01JD0000000000000000000001\n",
	} {
		_, _, err := ParseDeliveryID(text)
		require.Equal(t, Invalid, ErrorCode(err), "%q", text)
	}
}

func TestAReplaySaysWhatItSelects(t *testing.T) {
	c, err := DecodeReplay([]byte(`{"from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z", "types": ["order.*"], "dry_run": true}`))
	require.NoError(t, err)
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	require.Equal(t, ReplayCommand{DryRun: true, Replay: ReplayRequest{From: day, To: day.Add(24 * time.Hour), Types: []string{"order.*"}}}, c)
	_, err = DecodeReplay([]byte(`{"all": true}`))
	require.NoError(t, err)
	for text, want := range map[string][]string{
		`{}`:                          {"body: selects nothing: give from, to or types, or all: true"},
		`{"all": true, "types": "a"}`: {"body.types: must be an array, not a string"},
		`{"types": []}`:               {"body.types: must name a type pattern; leave it out to replay every type"},
		`{"all": true, "from": "2026-11-20T00:00:00Z"}`:                  {"body.all: can't be true where something else selects"},
		`{"from": "2026-11-20T00:00:00Z", "to": "2026-11-19T00:00:00Z"}`: {"body.to: must be after from"},
	} {
		_, err := DecodeReplay([]byte(text))
		code, got := problems(t, err)
		require.Equal(t, Invalid, code)
		require.Equal(t, want, got, text)
	}
}
