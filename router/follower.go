package router

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Follower reads the log for one reader of it, made by Feed.Follow. Next and Cursors are for one goroutine at a time; Close is for any.
//
// It goes through these states:
//
//	behind ── caught up ──▶ live ── buffer full ──▶ fallen ── buffer emptied ──▶ behind
//	any    ── Close, Feed.Run ends, too slow ──▶ ended
//
// While it is behind it reads the log itself; while it is live the feed's readers fill its buffer.
type Follower struct {
	feed  *Feed
	match func(Event) bool

	// These belong to the goroutine that calls Next.
	cursors []Position // of each partition: the last position that Next is done with
	gaps    []Position // of each partition: up to where records are still to be read that came before it was live; zero: none
	turn    int        // the partition to read next while behind
	upToEnd int        // how many partitions in a row have been read to their end
	fellAt  time.Time  // since when it reads the log itself because the buffer ran over; zero: it does not
	pause   feedPause
	batch   feedBatch
	taken   []Record // what the last Next returned

	news chan struct{} // holds a token when there is something new under mu

	mu      sync.Mutex // guards what follows
	state   followerState
	err     error      // why it has ended
	queue   []Record   // the buffer
	bytes   int        // of the events in queue
	scanned []Position // of each partition: the last position that was put into queue or did not match
}

type followerState uint8

const (
	followerBehind followerState = iota
	followerLive
	followerFallen
	followerEnded
)

// Next returns the next records, in the order of each partition, at least one and at most FeedConfig.Buffer or Batch of them. It waits for them until ctx ends,
// whose error it then returns; it can be called again after that. Other errors are final: ErrTooSlow, ErrFeedClosed. Errors of the
// store are none: it tries again. The slice is the caller's until the next call.
func (fo *Follower) Next(ctx context.Context) ([]Record, error) {
	clear(fo.taken)
	for {
		records, err := fo.step(ctx)
		if len(records) > 0 || err != nil {
			return records, err
		}
	}
}

// Cursors returns, for each partition, the last position that Next is done with: following from there continues without gap or repeat. Positions
// move past records that did not match, too.
func (fo *Follower) Cursors() []Position { return slices.Clone(fo.cursors) }

// Close ends the follower and frees its buffer. It may be called more than once.
func (fo *Follower) Close() { fo.end(ErrFeedClosed) }

// step does one thing towards the next records and returns those it found.
func (fo *Follower) step(ctx context.Context) ([]Record, error) {
	if err := fo.checkEnd(); err != nil {
		return nil, err
	}
	if p := slices.IndexFunc(fo.gaps, func(g Position) bool { return g != Position{} }); p >= 0 {
		return fo.closeGap(ctx, p)
	}
	records, state := fo.take()
	if len(records) > 0 {
		return records, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if state == followerLive {
		fo.wait(ctx)
		return nil, nil
	}
	return fo.catchUp(ctx)
}

func (fo *Follower) checkEnd() error {
	select {
	case <-fo.feed.done:
		fo.end(ErrFeedClosed)
	default:
	}
	fo.mu.Lock()
	defer fo.mu.Unlock()
	return fo.err
}

// take empties the buffer.
func (fo *Follower) take() ([]Record, followerState) {
	fo.mu.Lock()
	records, state := fo.queue, fo.state
	if state == followerLive || state == followerFallen {
		fo.queue, fo.taken = fo.taken[:0], records
		fo.bytes = 0
		copy(fo.cursors, fo.scanned)
	}
	if state == followerFallen {
		fo.state = followerBehind
	}
	fo.mu.Unlock()
	if state == followerFallen {
		fo.fellAt = time.Now()
		fo.feed.detach(fo)
	}
	return records, state
}

func (fo *Follower) wait(ctx context.Context) {
	select {
	case <-fo.news:
	case <-ctx.Done():
	case <-fo.feed.done:
	}
}

// catchUp reads one batch of one partition. When all have been read to their end, one after another, little can have come since, and it goes live.
func (fo *Follower) catchUp(ctx context.Context) ([]Record, error) {
	if fo.upToEnd == len(fo.cursors) {
		return nil, fo.goLive()
	}
	if !fo.fellAt.IsZero() && time.Since(fo.fellAt) > fo.feed.cfg.Patience {
		fo.end(ErrTooSlow)
		return nil, ErrTooSlow
	}
	asked := fo.batch.size()
	records, ok := fo.readLog(ctx, fo.turn)
	if !ok {
		return nil, nil
	}
	if len(records) < asked {
		fo.upToEnd++
	} else {
		fo.upToEnd = 0
	}
	p := fo.turn
	fo.turn = (fo.turn + 1) % len(fo.cursors)
	if len(records) > 0 {
		fo.cursors[p] = records[len(records)-1].Position
	}
	return fo.matching(records), nil
}

func (fo *Follower) goLive() error {
	heads, err := fo.feed.attach(fo)
	if err != nil {
		fo.end(err)
		return err
	}
	for p, head := range heads {
		if head.Compare(fo.cursors[p]) > 0 {
			fo.gaps[p] = head
		}
	}
	fo.upToEnd = 0
	fo.fellAt = time.Time{}
	return nil
}

// join makes the follower take live records, of each partition those after the given head and after what it has read itself, unless it has
// ended. The feed holds its lock.
func (fo *Follower) join(heads []Position) bool {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	if fo.state == followerEnded {
		return false
	}
	fo.state = followerLive
	for p, head := range heads {
		fo.scanned[p] = fo.cursors[p]
		if head.Compare(fo.cursors[p]) > 0 {
			fo.scanned[p] = head
		}
	}
	return true
}

// closeGap reads what stands between the cursor and where the live records of a partition begin.
func (fo *Follower) closeGap(ctx context.Context, p int) ([]Record, error) {
	records, ok := fo.readLog(ctx, p)
	if !ok {
		return nil, ctx.Err()
	}
	within := slices.IndexFunc(records, func(r Record) bool { return r.Position.Compare(fo.gaps[p]) > 0 })
	if within >= 0 {
		records = records[:within]
	}
	if n := len(records); n > 0 {
		fo.cursors[p] = records[n-1].Position
	}
	if within >= 0 || len(records) == 0 || fo.cursors[p] == fo.gaps[p] {
		fo.cursors[p], fo.gaps[p] = fo.gaps[p], Position{}
	}
	return fo.matching(records), nil
}

// readLog reads after the cursor of a partition. After an error it pauses, and ok is false.
func (fo *Follower) readLog(ctx context.Context, p int) (records []Record, ok bool) {
	records, err := fo.feed.log.ReadLog(ctx, fo.cursors[p], fo.batch.size(), 0)
	if err != nil {
		fo.feed.failed(ctx, p, err)
		fo.pause.wait(ctx)
		return nil, false
	}
	fo.pause = 0
	fo.batch.learn(records)
	return records, true
}

func (fo *Follower) matching(records []Record) []Record {
	return slices.DeleteFunc(records, func(r Record) bool { return r.Err != nil || !fo.match(r.Event) })
}

// push offers records of a partition, by its reader. It never blocks.
func (fo *Follower) push(partition int, records []Record) {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	if fo.state != followerLive {
		return
	}
	for _, r := range records {
		if r.Position.Compare(fo.scanned[partition]) <= 0 {
			continue
		}
		if r.Err == nil && fo.match(r.Event) && !fo.put(r) {
			fo.state = followerFallen
			return
		}
		fo.scanned[partition] = r.Position
	}
}

// put buffers a record, if there is room.
func (fo *Follower) put(r Record) bool {
	size := r.Event.EncodedLen()
	if len(fo.queue) >= fo.feed.cfg.Buffer || len(fo.queue) > 0 && fo.bytes+size > fo.feed.cfg.BufferBytes {
		return false
	}
	fo.queue = append(fo.queue, r)
	fo.bytes += size
	select {
	case fo.news <- struct{}{}:
	default:
	}
	return true
}

func (fo *Follower) end(err error) {
	fo.mu.Lock()
	if fo.state != followerEnded {
		fo.state, fo.err = followerEnded, err
		fo.queue, fo.bytes = nil, 0
	}
	fo.mu.Unlock()
	select {
	case fo.news <- struct{}{}:
	default:
	}
	fo.feed.detach(fo)
}
