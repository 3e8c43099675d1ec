package webhook

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestWhatIsMadeOfASubscriptionIsMadeOnceAndAnewOfAnotherOne(t *testing.T) {
	sub := func(token string) *router.Subscription {
		return &router.Subscription{ID: "sub_1", Sink: router.Sink{URL: "https://x.example/", Auth: router.Auth{Kind: router.BearerAuth, Token: token}}}
	}
	var known targets
	first := sub("a")
	one, err := known.of(first)
	require.NoError(t, err)
	again, err := known.of(first)
	require.NoError(t, err)
	require.Same(t, one, again)
	changed, err := known.of(sub("b"))
	require.NoError(t, err)
	require.Equal(t, []string{"Bearer b"}, changed.header["Authorization"])
	_, err = known.of(&router.Subscription{ID: "sub_1", Sink: router.Sink{URL: "nowhere"}})
	require.ErrorContains(t, err, "sink.url ")
	require.Same(t, changed, known.known["sub_1"], "what is faulty takes nobody's place")
}

func TestTargetsAreBounded(t *testing.T) {
	var known targets
	for i := range maxTargets + 1 {
		_, err := known.of(&router.Subscription{ID: strconv.Itoa(i), Sink: router.Sink{URL: "https://x.example/"}})
		require.NoError(t, err)
		require.LessOrEqual(t, len(known.known), maxTargets)
	}
}

func TestASecretThatWasRotatedSignsUntilItsTime(t *testing.T) {
	const own, old, older = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4", "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
	now := time.Unix(1_700_000_000, 0)
	var known targets
	got, err := known.of(&router.Subscription{
		ID: "sub_1", Sink: router.Sink{URL: "https://x.example/", Secret: own},
		Rotated: []router.RotatedSecret{{Secret: old, Until: now.Add(2 * time.Hour)}, {Secret: older, Until: now.Add(time.Hour)}},
	})
	require.NoError(t, err)
	all := make([]Secret, 3)
	for i, text := range []string{own, old, older} {
		all[i], err = ParseSecret(text)
		require.NoError(t, err)
	}
	require.Equal(t, all, got.secretsAt(now))
	require.Equal(t, all[:2], got.secretsAt(now.Add(time.Hour)))
	require.Equal(t, all[:1], got.secretsAt(now.Add(2*time.Hour)))
	require.Equal(t, all, got.secretsAt(now), "asking changes nothing")
}
