package journal

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/store"
)

// badDisk is a segment's file whose disk fails as it is told to.
type badDisk struct {
	file
	mu                              sync.Mutex
	short                           int // bytes of the next writes that get through; -1: all
	failSync, failTruncate, blocked bool
	gate                            chan struct{}
}

func (d *badDisk) set(f func(*badDisk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func (d *badDisk) WriteAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	short, blocked := d.short, d.blocked
	d.mu.Unlock()
	if blocked {
		<-d.gate
	}
	if short < 0 {
		return d.file.WriteAt(p, at)
	}
	n, _ := d.file.WriteAt(p[:min(short, len(p))], at)
	return n, syscall.ENOSPC
}

func (d *badDisk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failSync {
		return syscall.EIO
	}
	return d.file.Sync()
}

func (d *badDisk) Truncate(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failTruncate {
		return syscall.EIO
	}
	return d.file.Truncate(size)
}

// onBadDisk opens a journal with two good lines on a disk that is still good.
func onBadDisk(t *testing.T, o Options) (*Journal, *badDisk) {
	t.Helper()
	j := openJournal(t, o)
	disk := &badDisk{file: j.w.file, short: -1, gate: make(chan struct{})}
	j.w.file = disk // the writer has nothing to do yet; the queue orders this before its first use
	for i := 1; i <= 2; i++ {
		if err := j.Queue(payload(i)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // alone in its group, so that the next call meets a writer that does not linger
	}
	if j.Head().Seq != 2 {
		t.Fatalf("head %+v, want 2 lines", j.Head())
	}
	return j, disk
}

var failures = []struct {
	name        string
	break_, fix func(*badDisk)
	want        error
}{
	{"disk full at once", func(d *badDisk) { d.short = 0 }, func(d *badDisk) { d.short = -1 }, store.ErrUnavailable},
	{"disk full within a line", func(d *badDisk) { d.short = 40 }, func(d *badDisk) { d.short = -1 }, store.ErrUnavailable},
	{"sync fails", func(d *badDisk) { d.failSync = true }, func(d *badDisk) { d.failSync = false }, store.ErrUnknown},
	{"write and cut fail", func(d *badDisk) { d.short, d.failTruncate = 40, true }, func(d *badDisk) { d.short, d.failTruncate = -1, false }, store.ErrUnknown},
}

func TestAppend_AFailedWriteLeavesNothingAndHeals(t *testing.T) {
	for _, c := range failures {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				j, disk := onBadDisk(t, Options{Dir: dir})
				head := j.Head()
				disk.set(c.break_)
				if _, err := j.Append(t.Context(), payload(99)); !errors.Is(err, c.want) {
					t.Errorf("append: %v, want %v", err, c.want)
				}
				if _, err := j.Append(t.Context(), payload(99)); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("append while it lasts: %v, want %v", err, store.ErrUnavailable)
				}
				if j.Err() == nil || j.Head() != head {
					t.Errorf("err %v, head %+v, want an error and %+v", j.Err(), j.Head(), head)
				}
				disk.set(c.fix)
				appendN(t, j, 3, 2)
				if j.Err() != nil {
					t.Errorf("err %v after a good write", j.Err())
				}
				wantLines(t, dir, 4)
				closeJournal(t, j)
			})
		})
	}
}

// TestErr_HealsWithoutAnyLine: who is not ready is not asked any more, so that no line may ever come to show that the disk is well again.
func TestErr_HealsWithoutAnyLine(t *testing.T) {
	for _, c := range failures {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				j, disk := onBadDisk(t, Options{Dir: dir})
				head, size := j.Head(), segmentSize(t, dir)
				disk.set(c.break_)
				if _, err := j.Append(t.Context(), payload(99)); err == nil {
					t.Fatal("the disk does not fail")
				}
				time.Sleep(3 * tryEvery) // the bubble's clock
				if err := j.Err(); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
					t.Errorf("err %v while it lasts", err)
				}
				disk.set(c.fix)
				time.Sleep(tryEvery + time.Millisecond)
				if j.Err() != nil || j.Head() != head || segmentSize(t, dir) != size {
					t.Errorf("err %v, head %+v, %d bytes, want none, %+v, %d", j.Err(), j.Head(), segmentSize(t, dir), head, size)
				}
				appendN(t, j, 3, 1)
				closeJournal(t, j)
				wantLines(t, dir, 3)
			})
		})
	}
}

// TestErr_ATornTryIsNoLine: what a crash leaves of a try is cut off as any torn line is.
func TestErr_ATornTryIsNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j, disk := onBadDisk(t, Options{Dir: dir})
		disk.set(func(d *badDisk) { d.short = 0 })
		_, _ = j.Append(t.Context(), payload(99))
		disk.set(func(d *badDisk) { d.short, d.failTruncate = -1, true })
		time.Sleep(tryEvery + time.Millisecond) // written whole, and not cut off
		if j.Err() == nil {
			t.Error("no error of a try that is still there")
		}
		closeJournal(t, j)
		j = openJournal(t, Options{Dir: dir})
		if j.Recovered() == 0 {
			t.Error("nothing was left behind: this shows nothing")
		}
		appendN(t, j, 3, 1)
		closeJournal(t, j)
		wantLines(t, dir, 3)
	})
}

func segmentSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(segmentPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestQueue_SurvivesAFullDisk: a line that was taken is written when the disk allows, in order, and the queue is bounded meanwhile.
func TestQueue_SurvivesAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		room := int64(len(payload(3)) + len(payload(4)))
		j, disk := onBadDisk(t, Options{Dir: dir, QueueBytes: room})
		disk.set(func(d *badDisk) { d.short = 5 })
		for i := 3; i <= 4; i++ {
			if err := j.Queue(payload(i)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := j.Queue(payload(5)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("queue over its bound: %v, want %v", err, store.ErrUnavailable)
		}
		disk.set(func(d *badDisk) { d.short = -1 })
		appendN(t, j, 5, 1) // nothing but this call, or the next retry, is needed to write all
		if err := j.Queue(payload(6)); err != nil {
			t.Errorf("queue after it emptied: %v", err)
		}
		closeJournal(t, j)
		wantLines(t, dir, 6)
	})
}

func TestQueue_RetriesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j, disk := onBadDisk(t, Options{Dir: dir})
		disk.set(func(d *badDisk) { d.short = 5 })
		if err := j.Queue(payload(3)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		disk.set(func(d *badDisk) { d.short = -1 })
		time.Sleep(2 * retryAfter) // the bubble's clock
		wantLines(t, dir, 3)
		closeJournal(t, j)
	})
}

func TestClose_SaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, disk := onBadDisk(t, Options{Dir: t.TempDir()})
		disk.set(func(d *badDisk) { d.short = 0 })
		if err := j.Queue(payload(3)); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("close: %v, want it to say that a line is lost", err)
		}
	})
}

func TestAppend_ContextEndsAfterHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j, disk := onBadDisk(t, Options{Dir: dir})
		disk.set(func(d *badDisk) { d.blocked = true })
		ctx, cancel := context.WithCancel(t.Context())
		taken, queued := make(chan error, 1), make(chan error, 1)
		go func() { _, err := j.Append(ctx, payload(3)); taken <- err }()
		synctest.Wait() // the writer is in WriteAt
		go func() { _, err := j.Append(ctx, payload(99)); queued <- err }()
		synctest.Wait()
		cancel()
		if err := <-taken; !errors.Is(err, store.ErrUnknown) {
			t.Errorf("handed over: %v, want %v", err, store.ErrUnknown)
		}
		if err := <-queued; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("still queued: %v, want %v", err, store.ErrUnavailable)
		}
		disk.set(func(d *badDisk) { d.blocked = false })
		close(disk.gate)
		appendN(t, j, 4, 1)
		closeJournal(t, j)
		wantLines(t, dir, 4) // the withdrawn call left nothing
	})
}
