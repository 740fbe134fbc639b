package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Segment is one file of a journal, named after the sequence number of its first line.
type Segment struct {
	Path  string
	First uint64
}

const (
	segmentSuffix = ".jsonl"
	segmentDigits = 20 // of the largest uint64, so that names sort as numbers do
)

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", segmentDigits, first, segmentSuffix))
}

// Segments lists dir's segments in order. Other files are left alone; a segment with a name that we would not give is an error.
func Segments(dir string) ([]Segment, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []Segment
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), segmentSuffix)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(digits, 10, 64)
		if path := filepath.Join(dir, f.Name()); err != nil || path != segmentPath(dir, first) {
			return nil, fmt.Errorf("journal: %s is not the name of a segment", path)
		}
		list = append(list, Segment{filepath.Join(dir, f.Name()), first})
	}
	slices.SortFunc(list, func(a, b Segment) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// errStop ends a walk early, without being an error.
var errStop = errors.New("stop")

// walk calls line for each whole line of the segment from an offset on, in order, and returns the offset behind the last. What follows
// the last line break is not a line: either it is being written, or a crash cut it off before anybody was told that it is there.
func (s Segment) walk(from int64, line func(at int64, raw []byte) error) (end int64, err error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return from, err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return from, err
	}
	const buffer = 64 << 10
	r := bufio.NewReaderSize(f, buffer)
	end = from
	var long []byte
	for n := 1; ; {
		part, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		raw := part
		if len(long) > 0 {
			long = append(long, part...)
			raw = long
		}
		if err := line(end, raw[:len(raw)-1]); err != nil {
			return end, fmt.Errorf("journal %s, line %d behind %d bytes: %w", s.Path, n, from, err)
		}
		end += int64(len(raw))
		long = long[:0]
		n++
	}
}

// Follow walks the lines from an offset on as the continuation of h, which it moves along, and returns the offset behind the last.
// A Line's Data is good until the next one.
func (s Segment) Follow(from int64, h *Head, each func(at int64, l *Line) error) (end int64, err error) {
	if from == 0 && s.First != h.Seq+1 {
		return 0, fmt.Errorf("journal %s: begins at %d, but the lines before it end at %d", s.Path, s.First, h.Seq)
	}
	return s.walk(from, func(at int64, raw []byte) error {
		var l Line
		if err := l.parse(raw); err != nil {
			return err
		}
		if err := h.next(&l, raw); err != nil {
			return err
		}
		return each(at, &l)
	})
}

// Line reads the line at an offset; io.ErrUnexpectedEOF if none ends behind it.
func (s Segment) Line(at int64) (l Line, err error) {
	_, err = s.walk(at, func(_ int64, raw []byte) error {
		if err := l.parse(bytes.Clone(raw)); err != nil {
			return err
		}
		return errStop
	})
	switch {
	case errors.Is(err, errStop):
		return l, nil
	case err == nil:
		err = fmt.Errorf("journal %s, at %d: %w", s.Path, at, io.ErrUnexpectedEOF)
	}
	return Line{}, err
}

// followAll walks all segments of list as the continuation of h, and returns how many bytes the last one's lines take. Only the
// last may end in the midst of a line: a new segment is begun behind a synced one.
func followAll(list []Segment, h *Head, each func(l *Line) error) (last int64, err error) {
	for i, s := range list {
		if last, err = s.Follow(0, h, func(_ int64, l *Line) error { return each(l) }); err != nil {
			return 0, err
		}
		if i == len(list)-1 {
			break
		}
		info, err := os.Stat(s.Path)
		if err != nil {
			return 0, err
		}
		if info.Size() != last {
			return 0, fmt.Errorf("journal %s: %d bytes behind the last line of a finished segment", s.Path, info.Size()-last)
		}
	}
	return last, nil
}

// Scan yields all lines of the journal in dir in order, each checked to be the next link of the chain; an error ends it. It may
// run beside a writer. A Line's Data is good until the next one.
func Scan(dir string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		list, err := Segments(dir)
		if err == nil {
			var h Head
			_, err = followAll(list, &h, func(l *Line) error {
				if !yield(*l, nil) {
					return errStop
				}
				return nil
			})
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(Line{}, err)
		}
	}
}

// Verify reads the whole journal in dir and returns its head: chain, sequence, form, and that all data is JSON. That nothing was
// cut off after the head can't be known from the files alone.
func Verify(dir string) (Head, error) {
	list, err := Segments(dir)
	if err != nil {
		return Head{}, err
	}
	var h Head
	_, err = followAll(list, &h, func(l *Line) error {
		if !json.Valid(l.Data) {
			return errors.New("data is not JSON")
		}
		return nil
	})
	return h, err
}
