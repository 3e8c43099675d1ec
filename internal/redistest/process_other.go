//go:build unix && !linux

package redistest

import "syscall"

// childAttributes makes a child that does not get the terminal's Ctrl-C. Only Linux can tie it to its parent.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// stopped believes that a signal has been acted on as soon as it was sent; there is no portable way to ask.
func stopped(int) (bool, error) { return true, nil }
