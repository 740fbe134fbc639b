// Package journal keeps what is only appended: one JSON line for each event, in append-only segments, synced in groups by one
// writer, each line chained to the one before it by its SHA-256. There is one chain for each replica, named by its log id.
//
// A chain without a key shows what was altered or taken out of the middle; that nothing was cut off the end is shown only by a
// head kept elsewhere. A line names a person by what the keys of Subjects open; those can be taken out of their tree one by one,
// so that a person is erased while the chain still verifies.
package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"fedbroker/store"
)

// Durability says when Append returns.
type Durability string

// Wait: when the line is synced. Async: when it is queued; a crash can lose what is queued.
const (
	Wait  Durability = "wait"
	Async Durability = "async"
)

// Options configure a journal. Dir is required.
type Options struct {
	Dir          string           // of the segments; made with mode 0700 if absent
	Now          func() time.Time // stamps lines [time.Now]
	Durability   Durability       // [Wait]
	SegmentBytes int64            // a segment of this size is followed by a new one [64 MiB]
	QueueBytes   int64            // of payload that may wait unsynced without a caller waiting for it [4 MiB]
}

// MaxPayload is the most bytes of one payload.
const MaxPayload = store.MaxValue

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Durability == "" {
		o.Durability = Wait
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 4 << 20
	}
	return o
}

const (
	groupLines = 1024 // written and synced as one
	queueLines = 8192 // that may wait; QueueBytes bounds those that nobody waits for as well
)

// Position is where a line lies.
type Position struct {
	Seq uint64 // 0: queued, not yet known
}

// Journal is open for appending. One process at a time holds a folder.
type Journal struct {
	o         Options
	lock      *os.File
	group     *store.Group[[]byte, Position]
	recovered int64
	queued    atomic.Int64 // bytes that nobody waits for and that are not synced

	close    sync.Once
	closeErr error

	mu      sync.Mutex // guards what follows, which the writer goroutine alone changes
	head    Head
	failure error

	w writer // the writer goroutine's own
}

// ErrLocked: another process writes this journal.
var ErrLocked = errors.New("another process holds the journal")

// Open takes the folder, checks the chain of its newest lines (Verify checks all), cuts a torn last line off, and begins to
// write where the chain ends. A chain that is broken anywhere else is refused: what wrote there was not this program.
func Open(o Options) (*Journal, error) {
	o = o.withDefaults()
	if o.Dir == "" {
		return nil, errors.New("journal: no folder")
	}
	if o.Durability != Wait && o.Durability != Async {
		return nil, fmt.Errorf("journal: durability %q, want wait or async", o.Durability)
	}
	const ownerOnly = 0o700
	if err := os.MkdirAll(o.Dir, ownerOnly); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{o: o, lock: lock}
	if err := j.recover(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j.group = store.NewGroup(store.GroupOptions[[]byte, Position]{Write: j.write, Most: groupLines, Depth: queueLines})
	return j, nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, segmentMode)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrLocked, dir), f.Close())
	}
	return f, nil
}

// Append adds a line whose data is payload, one JSON object without line breaks. Under Wait it returns when the line is
// durable; under Async when it is queued. ErrUnavailable: the line is not in the journal. ErrUnknown: it may be.
func (j *Journal) Append(ctx context.Context, payload []byte) (Position, error) {
	if j.o.Durability == Async {
		return Position{}, j.Queue(payload)
	}
	if err := judge(payload); err != nil {
		return Position{}, err
	}
	return j.group.Do(ctx, bytes.Clone(payload))
}

// Queue adds a line and never waits: for lines that no answer depends on. When too much is queued, the error is ErrUnavailable
// and the line is not written.
func (j *Journal) Queue(payload []byte) error {
	if err := judge(payload); err != nil {
		return err
	}
	size := int64(len(payload))
	if j.queued.Add(size) > j.o.QueueBytes {
		j.queued.Add(-size)
		return fmt.Errorf("journal: %w: %d bytes are queued", store.ErrUnavailable, j.o.QueueBytes)
	}
	if err := j.group.Post(bytes.Clone(payload)); err != nil {
		j.queued.Add(-size)
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func judge(payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("journal: payload of %d bytes, at most %d: %w", len(payload), MaxPayload, store.ErrTooLarge)
	}
	if !checkPayload(payload) {
		return fmt.Errorf("journal: payload is not one JSON object on one line: %w", store.ErrInvalid)
	}
	return nil
}

// Dir is the folder of the segments.
func (j *Journal) Dir() string { return j.o.Dir }

// Head is the last durable line.
func (j *Journal) Head() Head {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.head
}

// Err is why the last write failed; nil when the last write went well. After a failure the journal tries by itself every few seconds,
// so that Err tells of the recovery without any line.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failure
}

// Recovered is how many bytes of a torn last line Open cut off: left by a crash, never acknowledged.
func (j *Journal) Recovered() int64 { return j.recovered }

// Close writes what is queued, stops the writer and waits for it, and lets go of the folder. It says if queued lines were lost.
func (j *Journal) Close() error {
	j.close.Do(func() {
		j.group.Close()
		if n := len(j.w.pending); n > 0 {
			j.closeErr = fmt.Errorf("journal: %d queued lines could not be written: %w", n, j.Err())
		}
		j.closeErr = errors.Join(j.closeErr, j.w.file.Close(), j.lock.Close())
	})
	return j.closeErr
}
