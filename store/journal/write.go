package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"fedbroker/store"
)

const segmentMode = 0o600

// retryAfter is how long queued lines wait after a failed write before they are tried again.
const retryAfter = 100 * time.Millisecond

const (
	// tryEvery: after a failed write with nothing left to write, the writer tries one by itself, so that a journal that gets no more lines
	// because its broker is not ready learns that the disk takes writes again.
	tryEvery = 5 * time.Second
	// tryBytes need blocks of their own.
	tryBytes = 16 << 10
)

type call = store.Call[[]byte, Position]

// writer is what only the writer goroutine touches (and Open before it, and Close after it).
type writer struct {
	file    file
	size    int64   // of what is durable in file
	dirty   bool    // file may hold more than size: cut it before writing
	pending []*call // queued lines that nobody waits for and that a failed write left over
	buf     []byte
	ends    []Head // after each line of buf
}

// file is the part of *os.File that the writer uses: a disk that fails can stand in for it.
type file interface {
	WriteAt(p []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// write makes lines of the calls, appends them with one write and one sync, and answers those who wait. When it fails, waiting
// callers are told at once; what nobody waits for is kept, in order, and tried again.
func (j *Journal) write(calls []*call) (again time.Duration) {
	calls = append(j.w.pending, calls...)
	if len(calls) == 0 {
		return j.try()
	}
	err := j.persist(calls)
	head := j.head // only this goroutine changes it
	if err == nil {
		head = j.w.ends[len(j.w.ends)-1]
	}
	j.note(head, err)
	j.w.pending = nil
	for i, c := range calls {
		switch {
		case err == nil:
			if c.Posted() {
				j.queued.Add(-int64(len(c.Job)))
			}
			c.Answer(Position{Seq: j.w.ends[i].Seq}, nil)
		case c.Posted():
			j.w.pending = append(j.w.pending, c)
		default:
			c.Answer(Position{}, err)
		}
	}
	switch {
	case len(j.w.pending) > 0:
		return retryAfter
	case err != nil:
		return tryEvery
	}
	return 0
}

// note makes the outcome of a write visible.
func (j *Journal) note(head Head, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.head, j.failure = head, err
}

// try finds out, while the last write is one that failed, whether writes succeed again: blanks without a line break, which are no line
// wherever a crash leaves them, are written as lines are, and cut off.
func (j *Journal) try() (again time.Duration) {
	if j.failure == nil { // only this goroutine changes it
		return 0
	}
	err := j.repair()
	if err == nil {
		err = j.rotate()
	}
	if err == nil {
		j.w.dirty = true
		_, err = j.w.file.WriteAt(bytes.Repeat([]byte(" "), tryBytes), j.w.size)
		if err == nil {
			err = j.w.file.Sync()
		}
		err = errors.Join(err, j.repair())
	}
	if err != nil {
		j.note(j.head, fmt.Errorf("journal: %w: %w", store.ErrUnavailable, err))
		return tryEvery
	}
	j.note(j.head, nil)
	return 0
}

// persist returns nil when all lines are durable. Else none of them is, or will be: ErrUnavailable. Where even the cutting back
// fails, a crash now could leave some of them in the journal: ErrUnknown.
func (j *Journal) persist(calls []*call) error {
	if err := j.repair(); err != nil {
		return fmt.Errorf("journal: %w: %w", store.ErrUnavailable, err)
	}
	if err := j.rotate(); err != nil {
		return fmt.Errorf("journal: %w: %w", store.ErrUnavailable, err)
	}
	j.render(calls)
	j.w.dirty = true
	_, err := j.w.file.WriteAt(j.w.buf, j.w.size)
	if err == nil {
		err = j.w.file.Sync()
	}
	if err == nil {
		j.w.dirty = false
		j.w.size += int64(len(j.w.buf))
		return nil
	}
	if cut := j.repair(); cut != nil {
		return fmt.Errorf("journal: %w: %w", store.ErrUnknown, errors.Join(err, cut))
	}
	return fmt.Errorf("journal: %w: %w", store.ErrUnavailable, err)
}

// maxBuf is how large a buffer is kept for the next write.
const maxBuf = 1 << 20

// render fills buf and ends from the head on.
func (j *Journal) render(calls []*call) {
	if cap(j.w.buf) > maxBuf {
		j.w.buf = nil
	}
	j.w.buf, j.w.ends = j.w.buf[:0], j.w.ends[:0]
	at, h := j.o.Now(), j.head // only this goroutine changes head
	for _, c := range calls {
		start := len(j.w.buf)
		l := Line{Log: h.Log, Seq: h.Seq + 1, Prev: h.Hash, At: at, Kind: KindEvent, Data: c.Job}
		j.w.buf = l.append(j.w.buf)
		h.Seq, h.Hash = l.Seq, sha256.Sum256(j.w.buf[start:])
		j.w.buf = append(j.w.buf, '\n')
		j.w.ends = append(j.w.ends, h)
	}
}

// repair cuts off what a failed write left behind the last durable line. The sync that follows also proves that the disk takes
// writes again; after a failed sync nothing but bytes written anew can be trusted, and the cut removes all others.
func (j *Journal) repair() error {
	if !j.w.dirty {
		return nil
	}
	if err := j.w.file.Truncate(j.w.size); err != nil {
		return err
	}
	if err := j.w.file.Sync(); err != nil {
		return err
	}
	j.w.dirty = false
	return nil
}

// rotate begins a new segment when the current one is full.
func (j *Journal) rotate() error {
	if j.w.size < j.o.SegmentBytes {
		return nil
	}
	f, err := createSegment(j.o.Dir, j.head.Seq+1)
	if err != nil {
		return err
	}
	err = j.w.file.Close() // all of it is synced
	j.w.file, j.w.size = f, 0
	return err
}

// createSegment makes an empty segment whose name is durable. One left empty by an earlier attempt is taken.
func createSegment(dir string, first uint64) (*os.File, error) {
	f, err := os.OpenFile(segmentPath(dir, first), os.O_CREATE|os.O_WRONLY, segmentMode)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: %w", f.Name(), fs.ErrExist), f.Close())
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
