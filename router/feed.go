package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// How a Follower ends, besides Close.
var (
	// ErrTooSlow ends a follower that could not keep up with the log for FeedConfig.Patience. Following again from its Cursors misses nothing.
	ErrTooSlow = errors.New("router: the follower is too slow")
	// ErrFeedClosed ends all followers when Feed.Run returns.
	ErrFeedClosed = errors.New("router: the feed is closed")
)

// FeedConfig sets the bounds of a Feed. The zero value works.
type FeedConfig struct {
	// Batch is how many records one read of the log returns at most; where events are large, reads of a few MiB return fewer. Defaults to 512.
	Batch int
	// Buffer is how many records wait for one follower at most. Defaults to 1,024.
	Buffer int
	// BufferBytes is how many bytes of events wait for one follower at most. Defaults to 16 MiB.
	BufferBytes int
	// Patience is how long a follower whose buffer ran over may take to come up with the log again. Defaults to 1 minute.
	Patience time.Duration
	// Wait is how long a read waits for something to come, and so how long Run takes to end, at most 1 s. Defaults to 1 s.
	Wait time.Duration
	// OnError is told of each read that failed and will be made again. It is called by several goroutines. Defaults to nothing.
	OnError func(partition int, err error)
}

// Feed hands the live log to any number of followers in this process: watchers, event streams, tails. However many there are, each
// partition is read once, by a reader that starts with the first follower and ends after the last.
//
// A follower sees every record after the positions it started from that matches its filter, once, in the order of each partition; nothing is
// said of the order between partitions. A follower that does not keep up delays nobody: its buffer is bounded, and when that is full it
// reads the log on its own until it has caught up, or is ended with ErrTooSlow. Failed reads are made again from where they stopped, so that an
// outage delays and loses nothing that the log still holds. All methods are safe for concurrent use.
type Feed struct {
	log  LogReader
	cfg  FeedConfig
	done chan struct{} // closed when Run ends

	mu      sync.Mutex // guards what follows; taken before a Follower's, never after
	reading context.Context
	closed  bool
	tails   []feedTail
	readers sync.WaitGroup
}

// feedTail is the live end of one partition.
type feedTail struct {
	running   bool
	head      Position    // the last record that was handed out
	followers []*Follower // never changed in place: it is handed to while others come and go
}

// NewFeed makes a feed of a log. Followers hear of live records while Run runs.
func NewFeed(log LogReader, cfg FeedConfig) *Feed {
	cfg.Batch = cmp.Or(cfg.Batch, 512)
	cfg.Buffer = cmp.Or(cfg.Buffer, 1024)
	cfg.BufferBytes = cmp.Or(cfg.BufferBytes, 16<<20)
	cfg.Patience = cmp.Or(cfg.Patience, time.Minute)
	cfg.Wait = min(cmp.Or(cfg.Wait, time.Second), time.Second)
	if cfg.OnError == nil {
		cfg.OnError = func(int, error) {}
	}
	return &Feed{log: log, cfg: cfg, done: make(chan struct{}), tails: make([]feedTail, log.Partitions())}
}

// Run reads the log for the followers until ctx ends; then it ends the followers and returns nil when all readers have ended. It can run once.
func (f *Feed) Run(ctx context.Context) error {
	if err := f.open(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	f.close()
	f.readers.Wait()
	return nil
}

func (f *Feed) open(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reading != nil {
		return errors.New("router: a feed can run only once")
	}
	f.reading = ctx
	for p := range f.tails {
		if len(f.tails[p].followers) > 0 {
			f.startReader(p)
		}
	}
	return nil
}

func (f *Feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for p := range f.tails {
		f.tails[p].followers = nil
	}
	close(f.done)
}

// Follow begins to follow the log after the given positions, one per partition in their order; nil stands for now: every event accepted
// after Follow has returned is seen. match chooses the events; nil takes all. It must be pure and quick, and is called by several goroutines.
// Entries that can't be decoded are left out. The caller must Close the follower.
func (f *Feed) Follow(ctx context.Context, from []Position, match func(Event) bool) (*Follower, error) {
	if from == nil {
		now, err := f.now(ctx)
		if err != nil {
			return nil, err
		}
		from = now
	}
	if err := f.checkPositions(from); err != nil {
		return nil, err
	}
	if match == nil {
		match = func(Event) bool { return true }
	}
	n := len(f.tails)
	return &Follower{
		feed: f, match: match, cursors: slices.Clone(from), gaps: make([]Position, n),
		batch: feedBatch{most: f.cfg.Batch}, news: make(chan struct{}, 1), scanned: make([]Position, n),
	}, nil
}

func (f *Feed) now(ctx context.Context) ([]Position, error) {
	ends := make([]Position, len(f.tails))
	for p := range ends {
		end, err := f.log.LogEnd(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("find the end of partition %d: %w", p, err)
		}
		end.Partition = p // the end of an empty partition is the zero Position
		ends[p] = end
	}
	return ends, nil
}

func (f *Feed) checkPositions(from []Position) error {
	if len(from) != len(f.tails) {
		return Errorf(Invalid, "%d positions given, and there are %d partitions", len(from), len(f.tails))
	}
	for p, position := range from {
		if position.Partition != p {
			return Errorf(Invalid, "position %s stands in the place of partition %d", position, p)
		}
	}
	return nil
}

// attach makes a follower hear of the live records of all partitions, and tells for each where they begin: after the returned position.
// Attaching notes the head and joins the followers in one step, so that between what is handed out and what is read there is neither gap nor overlap.
func (f *Feed) attach(fo *Follower) (heads []Position, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrFeedClosed
	}
	heads = make([]Position, len(f.tails))
	for p := range f.tails {
		t := &f.tails[p]
		if !t.running && len(t.followers) == 0 {
			t.head = fo.cursors[p]
		}
		heads[p] = t.head
	}
	if !fo.join(heads) {
		return nil, ErrFeedClosed
	}
	for p := range f.tails {
		t := &f.tails[p]
		t.followers = append(slices.Clip(t.followers), fo)
		if f.reading != nil && !t.running {
			f.startReader(p)
		}
	}
	return heads, nil
}

func (f *Feed) detach(fo *Follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.tails {
		t := &f.tails[p]
		if i := slices.Index(t.followers, fo); i >= 0 {
			t.followers = slices.Delete(slices.Clone(t.followers), i, i+1)
		}
	}
}

// startReader is called with mu held.
func (f *Feed) startReader(partition int) {
	f.tails[partition].running = true
	ctx := f.reading
	f.readers.Go(func() { f.read(ctx, partition) })
}

// read hands out the records of one partition until nobody follows.
func (f *Feed) read(ctx context.Context, partition int) {
	var pause feedPause
	batch := feedBatch{most: f.cfg.Batch}
	for {
		after, ok := f.wanted(ctx, partition)
		if !ok {
			return
		}
		records, err := f.log.ReadLog(ctx, after, batch.size(), f.cfg.Wait)
		if err != nil {
			f.failed(ctx, partition, err)
			pause.wait(ctx)
			continue
		}
		pause = 0
		batch.learn(records)
		f.handOut(partition, records)
	}
}

// wanted tells from where to read on; ok is false where the reader has to end, which is then noted.
func (f *Feed) wanted(ctx context.Context, partition int) (after Position, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &f.tails[partition]
	t.running = len(t.followers) > 0 && ctx.Err() == nil
	return t.head, t.running
}

func (f *Feed) handOut(partition int, records []Record) {
	if len(records) == 0 {
		return
	}
	f.mu.Lock()
	f.tails[partition].head = records[len(records)-1].Position
	followers := f.tails[partition].followers
	f.mu.Unlock()
	for _, fo := range followers {
		fo.push(partition, records)
	}
}

func (f *Feed) failed(ctx context.Context, partition int, err error) {
	if ctx.Err() == nil {
		f.cfg.OnError(partition, err)
	}
}

// feedBatch is how many records to read at once, so that they hold a few MiB and not many. What comes first, and after small events, is not known,
// so that little is read at first, and the number only doubles.
type feedBatch struct {
	most, next int
}

const (
	feedBatchBytes = 4 << 20
	feedBatchFirst = 32
)

func (b *feedBatch) size() int {
	if b.next == 0 {
		b.next = feedBatchFirst
	}
	return min(b.next, b.most)
}

func (b *feedBatch) learn(records []Record) {
	bytes := 0
	for _, r := range records {
		bytes += r.Event.EncodedLen() + len(r.Raw)
	}
	if bytes > 0 {
		b.next = min(max(1, feedBatchBytes*len(records)/bytes), 2*b.size(), b.most)
	}
}

// feedPause is the pause between tries of what fails, 100 ms at first and 2 s at most. The zero value begins anew.
type feedPause time.Duration

func (b *feedPause) wait(ctx context.Context) {
	*b = min(max(2**b, feedPause(100*time.Millisecond)), feedPause(2*time.Second))
	t := time.NewTimer(time.Duration(*b))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
