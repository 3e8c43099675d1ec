package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of times in /proc, 1/USER_HZ, which is the same on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime returns the CPU time, user and system, that processes and all their threads have used so far (proc(5), stat).
func cpuTime(pids ...int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		used, err := parseCPUTime(stat)
		if err != nil {
			return 0, fmt.Errorf("read CPU time of process %d: %w", pid, err)
		}
		sum += used
	}
	return sum, nil
}

// parseCPUTime reads fields 14 and 15; the name before them, in parentheses, may hold anything.
func parseCPUTime(stat []byte) (time.Duration, error) {
	const user, system = 14 - 3, 15 - 3 // counted from the state, field 3
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= system {
		return 0, fmt.Errorf("%d fields behind the name", len(fields))
	}
	u, err := strconv.ParseInt(string(fields[user]), 10, 64)
	if err != nil {
		return 0, err
	}
	s, err := strconv.ParseInt(string(fields[system]), 10, 64)
	return time.Duration(u+s) * clockTick, err
}
