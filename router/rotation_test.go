package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheSecretBeforeSignsForADayAfterARotation(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s, err := billing().RotateSecret(freshSecret, now)
	require.NoError(t, err)
	require.Equal(t, []string{freshSecret, signingSecret}, s.SigningSecrets(now))
	require.Equal(t, []string{freshSecret, signingSecret}, s.SigningSecrets(now.Add(24*time.Hour-1)))
	require.Equal(t, []string{freshSecret}, s.SigningSecrets(now.Add(24*time.Hour)))
	require.Contains(t, string(AppendSubscription(nil, s, SubscriptionView{})), `"previous_secret_until":"2026-11-22T12:00:00.000Z"`)
	require.NotContains(t, string(AppendSubscription(nil, s, SubscriptionView{Secret: true})), signingSecret)

	again, err := s.RotateSecret(otherSecret, now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{otherSecret, freshSecret, signingSecret}, again.SigningSecrets(now.Add(2*time.Hour)))
	require.Equal(t, []string{freshSecret, signingSecret}, s.SigningSecrets(now), "the one it was made from stays as it was")
	again, err = again.RotateSecret(signingSecret, now.Add(24*time.Hour))
	require.NoError(t, err)
	require.Len(t, again.Rotated, 2, "what signs no more is forgotten")

	back, err := DecodeStored(AppendStored(nil, again))
	require.NoError(t, err)
	require.Equal(t, again.Rotated, back.Rotated)
	require.True(t, EqualDefinition(s, func() Subscription { s := s; s.Rotated = nil; return s }()), "what signs besides is not part of the definition")
}

func TestARotationIsRefusedWhereNothingIsSignedOrTooManySecretsSign(t *testing.T) {
	_, err := invoicing().RotateSecret(freshSecret, time.Time{})
	require.Equal(t, Invalid, ErrorCode(err))
	unsigned := billing()
	unsigned.Sink.Secret = ""
	s, err := unsigned.RotateSecret(freshSecret, time.Now())
	require.NoError(t, err)
	require.Empty(t, s.Rotated, "there was none before")
	for i := range MaxRotatedSecrets {
		s, err = s.RotateSecret(fmt.Sprint(i), time.Now())
		require.NoError(t, err)
	}
	_, err = s.RotateSecret(freshSecret, time.Now())
	require.Equal(t, Conflict, ErrorCode(err))
}

func TestASecretThatIsSetOrRemovedEndsARotation(t *testing.T) {
	old, err := billing().RotateSecret(freshSecret, time.Now())
	require.NoError(t, err)
	for patch, kept := range map[string]int{
		`{"title": "x"}`: 1, `{"sink": {"secret": "whsec_****"}}`: 1, `{"sink": {"secret": "` + otherSecret + `"}}`: 0, `{"sink": {"secret": null}}`: 0,
	} {
		s, err := PatchSubscription(old, []byte(patch), Rules{})
		require.NoError(t, err)
		require.Len(t, s.Rotated, kept, patch)
	}
}
