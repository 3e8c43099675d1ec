package main

import (
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// redisUsage explains the flag -redis of roles.
const redisUsage = "`address` of Redis; without one, an embedded miniredis is used"

// orEmbedded returns the address of a Redis, or starts a miniredis in this process and returns its. The caller calls stop.
func orEmbedded(addr string) (_ string, stop func(), err error) {
	if addr != "" {
		return addr, func() {}, nil
	}
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return "", nil, fmt.Errorf("start miniredis: %w", err)
	}
	return m.Addr(), m.Close, nil
}
