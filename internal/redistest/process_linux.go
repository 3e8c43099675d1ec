package redistest

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// childAttributes makes a child that the kernel kills when the thread that started it ends, and that does not get the
// terminal's Ctrl-C.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// stopped tells whether a process is stopped by SIGSTOP: state T in proc(5), after the name, which may hold anything.
func stopped(pid int) (bool, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false, err
	}
	_, state, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(") "))
	return ok && len(state) > 0 && state[0] == 'T', nil
}
