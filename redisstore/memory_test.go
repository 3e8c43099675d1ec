package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestTheFullestNodeIsTheOneWithTheLeastRoom(t *testing.T) {
	for name, c := range map[string]struct {
		nodes [][2]int64
		want  [2]int64
	}{
		"none":                          {nil, [2]int64{0, 0}},
		"one":                           {[][2]int64{{10, 100}}, [2]int64{10, 100}},
		"by share, not by bytes":        {[][2]int64{{500, 1000}, {90, 100}}, [2]int64{90, 100}},
		"in any order":                  {[][2]int64{{90, 100}, {500, 1000}}, [2]int64{90, 100}},
		"without limits by bytes":       {[][2]int64{{10, 0}, {30, 0}, {20, 0}}, [2]int64{30, 0}},
		"a limit counts before none":    {[][2]int64{{5000, 0}, {10, 100}}, [2]int64{10, 100}},
		"also when the others follow":   {[][2]int64{{10, 100}, {5000, 0}}, [2]int64{10, 100}},
		"a full one among unlimited":    {[][2]int64{{5000, 0}, {95, 100}, {7000, 0}, {1, 100}}, [2]int64{95, 100}},
		"a limit of which none is used": {[][2]int64{{0, 100}, {5, 0}}, [2]int64{0, 100}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, redisstore.Fullest(c.nodes...)) })
	}
}

func TestMemoryIsFullFromNineTenthsOnAndGrowthIsToldAfterAMinute(t *testing.T) {
	var m redisstore.Memory
	start := time.Unix(1_700_000_000, 0)
	require.Equal(t, router.MemoryStatus{Used: 89, Max: 100}, m.Record(89, 100, start))
	require.Equal(t, router.MemoryStatus{Used: 90, Max: 100, Full: true}, m.Record(90, 100, start.Add(59*time.Second)), "too early for a rate")
	require.Equal(t, router.MemoryStatus{Used: 90, Max: 100, Full: true, PerHour: 60}, m.Record(90, 100, start.Add(time.Minute)))
	require.Equal(t, router.MemoryStatus{Used: 39, Max: 100, PerHour: -100}, m.Record(39, 100, start.Add(30*time.Minute)), "it can shrink")
	require.Equal(t, router.MemoryStatus{Used: 1 << 40, PerHour: 1<<40 - 89}, m.Record(1<<40, 0, start.Add(time.Hour)), "without a limit nothing is full")
}

func TestPublishingIsRefusedWhileRedisIsNearlyFull(t *testing.T) {
	server := redistest.Start(t, redistest.MaxMemory(1<<30, "noeviction"))
	s := open(t, server.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.WatchMemory(ctx, time.Millisecond) }()
	accepted := func() bool { return s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0].Err == nil }
	eventually(t, accepted, "there is room")

	c := redistest.Client(t, server.Addr())
	used := func() int64 {
		status, err := s.Status(t.Context())
		require.NoError(t, err)
		return status.Memory.Used
	}
	eventually(t, func() bool { return used() > 0 }, "it is looked at")
	require.NoError(t, c.Do(t.Context(), "CONFIG", "SET", "maxmemory", used()*105/100).Err())
	eventually(t, func() bool { return !accepted() }, "nearly full")
	refused := s.Append(t.Context(), []router.Event{event(t, "b", "x.y")})[0]
	require.Equal(t, router.Full, router.ErrorCode(refused.Err))
	require.NoError(t, c.Do(t.Context(), "CONFIG", "SET", "maxmemory", 1<<30).Err())
	eventually(t, accepted, "there is room again")
	cancel()
	require.NoError(t, <-done)
}

func TestTheMemoryOfAClusterIsThatOfItsFullestNode(t *testing.T) {
	cluster := redistest.StartCluster(t, 2, 0)
	s := open(t, "", at("redis+cluster://"+cluster.Addrs()[0]))
	c := redistest.Client(t, cluster.Addrs()[1])
	require.NoError(t, c.Do(t.Context(), "CONFIG", "SET", "maxmemory", 1<<30).Err())
	require.NoError(t, redisstore.LookAtMemory(t.Context(), s))
	status, err := s.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1<<30, status.Memory.Max)
}

func TestMiniredisTellsNothingOfItsMemoryAndIsNeverFull(t *testing.T) {
	s := open(t, redistest.Mini(t).Addr())
	require.NoError(t, redisstore.LookAtMemory(t.Context(), s))
	appendOne(t, s, event(t, "a", "x.y"))
}
