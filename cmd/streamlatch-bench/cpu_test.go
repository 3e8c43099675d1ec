package main

import (
	"encoding/json"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAChildsCPUTimeIsCounted(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		for range 1000 {
			_, _ = json.Marshal(map[string]int{"a": 1})
		}
		after, err := cpuTime(os.Getpid())
		return err == nil && after > before
	}, 10*time.Second, time.Millisecond)
}

func TestCPUTimeIsReadBehindANameThatHoldsAnything(t *testing.T) {
	got, err := parseCPUTime([]byte("7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 4 0 100"))
	require.NoError(t, err)
	require.Equal(t, 1750*time.Millisecond, got)
	_, err = parseCPUTime([]byte("7 (short) S 1"))
	require.Error(t, err)
}

func TestOtherProgramsAreToldFromThisOne(t *testing.T) {
	earlier := account{at: time.Unix(100, 0), busy: 50 * time.Second, own: 10 * time.Second}
	cpus := time.Duration(runtime.NumCPU())
	later := account{at: time.Unix(104, 0), busy: 50*time.Second + 3*cpus*time.Second, own: 10*time.Second + 2*cpus*time.Second}
	require.InDelta(t, 0.25, later.othersSince(earlier), 0.001)
	later.own = later.busy // what is counted in other units may come out below nothing
	require.Zero(t, later.othersSince(earlier))
}

func TestOwnTimeIsPartOfTheMachines(t *testing.T) {
	a, err := readAccount()
	require.NoError(t, err)
	require.Positive(t, a.own)
	require.Greater(t, a.busy, a.own)
}

func TestTheMachinesBusyTimeIsAllButIdleAndWaiting(t *testing.T) {
	got, err := parseBusyTime([]byte("cpu  100 20 3 9999 8888 4 5 6 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"))
	require.NoError(t, err)
	require.Equal(t, 1380*time.Millisecond, got)
	for _, wrong := range []string{"", "intr 1 2 3 4 5 6 7 8 9", "cpu 1 2 3", "cpu a b c d e f g h"} {
		_, err := parseBusyTime([]byte(wrong))
		require.Error(t, err, wrong)
	}
}
