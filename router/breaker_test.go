package router

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyWhatAnEndpointDidSpeaksAgainstIt(t *testing.T) {
	innocent := map[Outcome]bool{
		OutcomeDelivered: true, OutcomeInvalid: true, OutcomeHandlerError: true, OutcomeHandlerPanic: true, OutcomeNacked: true, OutcomeExpired: true, OutcomeCanceled: true, OutcomeBacklogFull: true,
	}
	for _, outcome := range Outcomes() {
		require.Equal(t, !innocent[outcome], outcome.faultsEndpoint(), outcome)
	}
}

func TestGoCodeHasNoBreaker(t *testing.T) {
	s := invoicing()
	s.Delivery.Breaker = DefaultBreaker()
	require.Zero(t, s.Queue().Breaker)
	s.Sink.Kind = WebhookSink
	require.Equal(t, DefaultBreaker(), s.Queue().Breaker)
}
