package journal

import (
	"errors"
	"fmt"
	"os"

	"fedbroker/store"
)

// recheckBytes is how much of the newest lines Open checks, always whole segments and at least the last: a fraction of a second,
// where all of a large journal would take minutes.
const recheckBytes = 64 << 20

// recover finds the head and opens the last segment behind its last whole line.
func (j *Journal) recover() error {
	list, err := Segments(j.o.Dir)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		j.head.Log = store.NewKey(j.o.Now())
		f, err := createSegment(j.o.Dir, 1)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.w.file = f
		return nil
	}
	from, head, err := startOfCheck(list)
	if err != nil {
		return err
	}
	size, err := followAll(list[from:], &head, func(*Line) error { return nil })
	if err != nil {
		return fmt.Errorf("the chain is broken, and nothing will be written behind the break: %w", err)
	}
	if err := j.adopt(list[len(list)-1], size); err != nil {
		return err
	}
	if j.head = head; head.Seq == 0 {
		j.head.Log = store.NewKey(j.o.Now())
	}
	return nil
}

// startOfCheck returns the segment from which to check, and the head before it, which the segment's first line states.
func startOfCheck(list []Segment) (from int, h Head, err error) {
	var total int64
	for from = len(list) - 1; from > 0; from-- {
		info, err := os.Stat(list[from].Path)
		if err != nil {
			return 0, h, fmt.Errorf("journal: %w", err)
		}
		if total += info.Size(); total >= recheckBytes {
			break
		}
	}
	if from == 0 {
		return 0, Head{}, nil
	}
	l, err := list[from].Line(0)
	return from, Head{Log: l.Log, Seq: list[from].First - 1, Hash: l.Prev}, err
}

// adopt opens the last segment for writing and cuts a torn line off. Nobody was told that it is there: it was not synced.
func (j *Journal) adopt(s Segment, size int64) error {
	f, err := os.OpenFile(s.Path, os.O_WRONLY, segmentMode)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.w.file, j.w.size = f, size
	info, err := f.Stat()
	if err == nil && info.Size() > size {
		j.recovered = info.Size() - size
		j.w.dirty = true
		err = j.repair()
	}
	if err == nil {
		// Whole lines of a group that was never acknowledged may follow the last synced one: they are lines from now on, so
		// they must be as durable as those that will be chained to them.
		err = errors.Join(f.Sync(), syncDir(j.o.Dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("journal %s: %w", s.Path, err), f.Close())
	}
	return nil
}
