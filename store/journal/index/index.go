// Package index finds lines of a journal by names that are in them. Beside each finished segment lies a file that says where each name occurs,
// built when it is first needed; the segment that is still written is indexed in memory, from where the last look ended. An index is a hint:
// what it finds is read from the journal, and the line has to hold the name. A file that is damaged, or not of this journal, is built anew.
package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"fedbroker/store/journal"
)

// Options describe an Index. All are required.
type Options struct {
	Dir string // of the journal
	// Names calls name with each name by which the line of this data is to be found, as often as it likes, and returns until when the line counts
	// for After; zero: it does not. The data is Names' own only for the call.
	Names  func(data []byte, name func([]byte)) (until time.Time)
	Scheme string // names what Names does: files by another scheme are built anew
}

// Index finds lines by name. It may be used by many at once, beside a writer and beside other processes that index the same journal. Its memory
// is what the names of one segment take: 16 bytes each in a finished one while its file is made, some 60 in the open one.
type Index struct {
	o Options

	mu       sync.Mutex           // held while a file is made, and while the open segment is read on
	finished map[uint64]*sealed   // by the number of the segment's first line
	ends     map[uint64]time.Time // of finished segments, likewise: when the first line behind it was written
	open     *growing
}

// New returns an index of the journal in o.Dir. Nothing is read before the first look.
func New(o Options) *Index {
	return &Index{o: o, finished: make(map[uint64]*sealed), ends: make(map[uint64]time.Time)}
}

// entry says that a name occurs in the line at an offset.
type entry struct {
	name uint64 // its hash
	at   int64
}

// hash shortens a name. That two names share one costs a line that is read in vain.
func hash(name []byte) uint64 {
	sum := sha256.Sum256(name)
	return binary.BigEndian.Uint64(sum[:])
}

// part is the index of one segment: the offsets of the lines in which a name may occur, in order.
type part interface {
	find(name uint64) ([]int64, error)
}

var (
	errStop    = errors.New("stop") // ends a walk early, without being an error
	errDamaged = errors.New("the index is damaged")
)

// Find calls each with every line that holds the name, in the journal's order, until it returns false; lines written before since may be left
// out. The line is the caller's to keep.
func (x *Index) Find(ctx context.Context, name string, since time.Time, each func(journal.Line) bool) error {
	list, err := journal.Segments(x.o.Dir)
	for i := 0; err == nil && i < len(list); i++ {
		if err = ctx.Err(); err != nil {
			break
		}
		var past bool
		if past, err = x.past(list, i, since); err == nil && !past {
			err = x.findIn(list, i, []byte(name), each)
		}
	}
	if err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("journal index: %w", err)
	}
	return nil
}

// past tells whether all lines of a segment were written before t.
func (x *Index) past(list []journal.Segment, i int, t time.Time) (bool, error) {
	if t.IsZero() || i == len(list)-1 {
		return false, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	end, known := x.ends[list[i].First]
	if !known {
		next, err := list[i+1].Line(0)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		end = next.At
		x.ends[list[i].First] = end
	}
	return end.Before(t), nil
}

// findIn looks into one segment, and once more behind what it has found when the index turns out to be damaged.
func (x *Index) findIn(list []journal.Segment, i int, name []byte, each func(journal.Line) bool) error {
	done := int64(-1)
	look := func() error {
		p, err := x.part(list, i)
		if err != nil {
			return err
		}
		found, err := p.find(hash(name))
		if err != nil {
			return err
		}
		for _, at := range found {
			if at <= done {
				continue
			}
			line, err := list[i].Line(at)
			if err != nil {
				return errors.Join(errDamaged, err)
			}
			done = at
			if x.holds(line.Data, name) && !each(line) {
				return errStop
			}
		}
		return nil
	}
	err := look()
	if errors.Is(err, errDamaged) {
		x.forget(list[i])
		err = look()
	}
	return err
}

// holds judges a find by the line itself.
func (x *Index) holds(data, name []byte) (holds bool) {
	x.o.Names(data, func(n []byte) { holds = holds || bytes.Equal(n, name) })
	return holds
}

// part returns the index of a segment, made or brought up to date if need be.
func (x *Index) part(list []journal.Segment, i int) (part, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := list[i]
	if p := x.finished[s.First]; p != nil {
		return p, nil
	}
	head, finished, err := headOf(list, i)
	if err != nil {
		return nil, err
	}
	if !finished {
		if x.open == nil || x.open.segment != s {
			x.open = &growing{segment: s}
		}
		return x.open.grow(x.o.Names)
	}
	p, err := loadSealed(s, head, x.o.Scheme)
	if err != nil { // not there, damaged, of another journal or scheme
		if p, err = x.seal(s, head); err != nil {
			return nil, err
		}
	}
	if p.entries == nil {
		x.finished[s.First] = p
	}
	return p, nil
}

// headOf is the head of a finished segment, which the first line behind it states. The last one, or one with nothing behind it, is not finished.
func headOf(list []journal.Segment, i int) (h journal.Head, finished bool, err error) {
	if i == len(list)-1 {
		return h, false, nil
	}
	next, err := list[i+1].Line(0)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return h, false, nil
	}
	return journal.Head{Log: next.Log, Seq: next.Seq - 1, Hash: next.Prev}, err == nil, err
}

// forget drops what is known of a segment and takes its file away, so that it is made anew.
func (x *Index) forget(s journal.Segment) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.finished, s.First)
	if x.open != nil && x.open.segment == s {
		x.open = nil
	}
	removeSealed(s)
}

// seal reads a finished segment, up to the head that it must have, and writes its index. One that cannot be written is good for one look.
func (x *Index) seal(s journal.Segment, head journal.Head) (*sealed, error) {
	h, err := start(s)
	if err != nil {
		return nil, err
	}
	p := &sealed{segment: s}
	p.size, err = s.Follow(0, &h, func(at int64, l *journal.Line) error {
		until := x.o.Names(l.Data, func(name []byte) { p.entries = append(p.entries, entry{hash(name), at}) })
		if until.After(p.until) {
			p.until = until
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if h != head {
		return nil, fmt.Errorf("%s does not lead to the line behind it", s.Path)
	}
	slices.SortFunc(p.entries, compare)
	p.entries = slices.Compact(p.entries)
	_ = p.write(head, x.o.Scheme) // without it the next look costs as much as this one
	return p, nil
}

// start is the head before a segment's first line, which that line states; of an empty one it is zero.
func start(s journal.Segment) (journal.Head, error) {
	first, err := s.Line(0)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return journal.Head{}, nil
	}
	return journal.Head{Log: first.Log, Seq: s.First - 1, Hash: first.Prev}, err
}

// After calls each with all lines, in the journal's order, of the segments in which a line counts until after t; lines of others may be left out.
// A Line's Data is good until the next one. An error of each ends the walk and is returned.
func (x *Index) After(ctx context.Context, t time.Time, each func(*journal.Line) error) error {
	list, err := journal.Segments(x.o.Dir)
	if err != nil {
		return fmt.Errorf("journal index: %w", err)
	}
	for i, s := range list {
		p, err := x.part(list, i)
		if err != nil {
			return fmt.Errorf("journal index: %w", err)
		}
		if sealed, ok := p.(*sealed); ok && !sealed.until.After(t) {
			continue
		}
		h, err := start(s)
		if err != nil {
			return fmt.Errorf("journal index: %w", err)
		}
		_, err = s.Follow(0, &h, func(_ int64, l *journal.Line) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return each(l)
		})
		if err != nil {
			return fmt.Errorf("journal index: %w", err)
		}
	}
	return nil
}
