package router

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheSlackOfAPermitGrowsAtOnceAndShrinksSlowlyWithinBounds(t *testing.T) {
	var s slack
	require.Equal(t, minSlack, s.allowed())
	s.observe(time.Millisecond)
	require.Equal(t, minSlack, s.allowed())
	s.observe(40 * time.Millisecond)
	require.Equal(t, 80*time.Millisecond, s.allowed(), "an attempt that came too late is not too late the next time")
	s.observe(time.Millisecond)
	require.Less(t, s.allowed(), 80*time.Millisecond)
	require.Greater(t, s.allowed(), 70*time.Millisecond)
	for range 1000 {
		s.observe(time.Millisecond)
	}
	require.Less(t, s.allowed(), 6*time.Millisecond)
	s.observe(time.Hour)
	require.Equal(t, maxSlack, s.allowed())
}
