package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
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

// account is the CPU time that has been used on this machine until a moment.
type account struct {
	at   time.Time
	busy time.Duration // by everything
	own  time.Duration // by this process, and by its children that have ended
}

func readAccount() (a account, err error) {
	a.at = time.Now()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return a, fmt.Errorf("read CPU time of the machine: %w", err)
	}
	if a.busy, err = parseBusyTime(stat); err != nil {
		return a, fmt.Errorf("read CPU time of the machine: %w", err)
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			return a, fmt.Errorf("read own CPU time: %w", err)
		}
		a.own += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return a, nil
}

// parseBusyTime reads the first line of /proc/stat: the times in user, nice, system, idle, iowait, irq, softirq and steal, of all CPUs together.
func parseBusyTime(stat []byte) (time.Duration, error) {
	const columns, idle, iowait = 9, 4, 5
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < columns || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("it begins with %.60q", line)
	}
	var sum time.Duration
	for i := 1; i < columns; i++ {
		ticks, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, err
		}
		if i != idle && i != iowait {
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum, nil
}

// othersSince is the share of the machine's CPU time that went to other programs since an earlier account, 0 to 1. Children of this process must have
// ended meanwhile, or they count as others.
func (a account) othersSince(earlier account) float64 {
	all := a.at.Sub(earlier.at) * time.Duration(runtime.NumCPU())
	others := (a.busy - earlier.busy) - (a.own - earlier.own)
	return min(max(float64(others)/float64(all), 0), 1)
}
