package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	loopback = "127.0.0.1"

	// Ports are taken from below 32768, where Linux takes the local ports of outgoing connections from. Otherwise the port
	// of a killed server could be gone when it is restarted, or a client that redials it could connect to itself. The upper
	// bound leaves room for the bus of a Cluster node.
	firstPort = 10000
	lastPort  = 22767
	busOffset = 10000
)

// Port keeps a loopback port for a server of this process until it is released, also while that server is down. What
// marks it for other processes that reserve ports here is a UDP socket of the same number, which the system closes when
// this process dies.
type Port struct {
	number int
	marks  []net.PacketConn
}

// ReservePort finds a free loopback port for a program that has to be told where to listen.
func ReservePort() (*Port, error) { return reservePort(false) }

// reservePort reserves a port, and where a bus is wanted the one 10,000 above.
func reservePort(bus bool) (*Port, error) {
	var last error
	for range 200 {
		p := &Port{number: firstPort + rand.IntN(lastPort-firstPort+1)}
		if last = p.mark(bus); last == nil {
			return p, nil
		}
		if err := p.Release(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("find a free loopback port from %d to %d: %w", firstPort, lastPort, last)
}

func (p *Port) mark(bus bool) error {
	numbers := []int{p.number}
	if bus {
		numbers = append(numbers, p.number+busOffset)
	}
	for _, number := range numbers {
		mark, err := net.ListenPacket("udp4", hostPort(number))
		if err != nil {
			return err
		}
		p.marks = append(p.marks, mark)
		l, err := net.Listen("tcp4", hostPort(number))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Addr returns the port as "127.0.0.1:port".
func (p *Port) Addr() string { return hostPort(p.number) }

// Release gives the port back. It may be called again, and on nil.
func (p *Port) Release() error {
	if p == nil {
		return nil
	}
	var errs []error
	for _, mark := range p.marks {
		errs = append(errs, mark.Close())
	}
	p.marks = nil
	return errors.Join(errs...)
}

func hostPort(port int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(port))
}
