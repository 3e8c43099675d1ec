package redistest

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// link is one client's connection through a proxy.
type link struct {
	proxy         *Proxy
	client, redis net.Conn

	mu    sync.Mutex
	queue []verdict // of the requests that Redis has not answered yet, in order
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.redis.Close()
}

// passRequests brings requests to Redis until either side is closed, or one is to be cut off.
func (l *link) passRequests() {
	defer l.close()
	from, to := bufio.NewReader(l.client), bufio.NewWriter(l.redis)
	var request []byte
	for {
		var err error
		if request, err = readMessage(from, request[:0]); err != nil {
			return
		}
		v := l.proxy.judge(request)
		if v.cut {
			_ = to.Flush() // the requests before it are not to be lost
			return
		}
		l.expect(v) // before Redis can answer
		if _, err := to.Write(request); err != nil {
			return
		}
		if from.Buffered() == 0 && to.Flush() != nil {
			return
		}
	}
}

// passReplies brings replies to the client until either side is closed, or one is to be swallowed.
func (l *link) passReplies() {
	defer l.close()
	from, to := bufio.NewReader(l.redis), bufio.NewWriter(l.client)
	var reply []byte
	for {
		var err error
		if reply, err = readMessage(from, reply[:0]); err != nil {
			return
		}
		v := l.answered(reply)
		if v.swallow {
			_ = to.Flush() // the replies before it are not to be lost
			l.proxy.count(func(s *ProxyStats) { s.Swallowed++ })
			return
		}
		if v.delay > 0 && (to.Flush() != nil || !l.wait(v.delay)) {
			return
		}
		if _, err := to.Write(reply); err != nil {
			return
		}
		if from.Buffered() == 0 && to.Flush() != nil {
			return
		}
	}
}

func (l *link) expect(v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, v)
}

// answered takes the verdict of the request that a reply belongs to. What Redis sends unasked belongs to none.
func (l *link) answered(reply []byte) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 || reply[0] == '>' {
		return verdict{}
	}
	v := l.queue[0]
	l.queue = l.queue[1:]
	return v
}

// wait holds a reply back; it is false where the proxy ends meanwhile.
func (l *link) wait(d time.Duration) bool {
	l.proxy.count(func(s *ProxyStats) { s.Delayed++ })
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.proxy.done:
		return false
	}
}
