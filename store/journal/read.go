package journal

import (
	"bufio"
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

// segment is one file of a journal, named after the sequence number of its first line.
type segment struct {
	path  string
	first uint64
}

const (
	segmentSuffix = ".jsonl"
	segmentDigits = 20 // of the largest uint64, so that names sort as numbers do
)

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", segmentDigits, first, segmentSuffix))
}

// segments lists dir's segments in order. Other files are left alone; a segment with a name that we would not give is an error.
func segments(dir string) ([]segment, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []segment
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), segmentSuffix)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(digits, 10, 64)
		if path := filepath.Join(dir, f.Name()); err != nil || path != segmentPath(dir, first) {
			return nil, fmt.Errorf("journal: %s is not the name of a segment", path)
		}
		list = append(list, segment{filepath.Join(dir, f.Name()), first})
	}
	slices.SortFunc(list, func(a, b segment) int { return strings.Compare(a.path, b.path) })
	return list, nil
}

// errStop ends a walk early, without being an error.
var errStop = errors.New("stop")

// walk calls line for each whole line of the segment in order, and returns how many bytes these take. What follows the last line
// break is not a line: either it is being written, or a crash cut it off before anybody was told that it is there.
func (s segment) walk(line func(raw []byte) error) (size int64, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	const buffer = 64 << 10
	r := bufio.NewReaderSize(f, buffer)
	var long []byte
	for n := 1; ; {
		part, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
		raw := part
		if len(long) > 0 {
			long = append(long, part...)
			raw = long
		}
		if err := line(raw[:len(raw)-1]); err != nil {
			return size, fmt.Errorf("journal %s, line %d: %w", s.path, n, err)
		}
		size += int64(len(raw))
		long = long[:0]
		n++
	}
}

// follow walks the segment as the continuation of h, which it moves along.
func (s segment) follow(h *Head, each func(l *Line) error) (int64, error) {
	if s.first != h.Seq+1 {
		return 0, fmt.Errorf("journal %s: begins at %d, but the lines before it end at %d", s.path, s.first, h.Seq)
	}
	return s.walk(func(raw []byte) error {
		var l Line
		if err := l.parse(raw); err != nil {
			return err
		}
		if err := h.next(&l, raw); err != nil {
			return err
		}
		return each(&l)
	})
}

// followAll walks all segments of list as the continuation of h, and returns how many bytes the last one's lines take. Only the
// last may end in the midst of a line: a new segment is begun behind a synced one.
func followAll(list []segment, h *Head, each func(l *Line) error) (last int64, err error) {
	for i, s := range list {
		if last, err = s.follow(h, each); err != nil {
			return 0, err
		}
		if i == len(list)-1 {
			break
		}
		info, err := os.Stat(s.path)
		if err != nil {
			return 0, err
		}
		if info.Size() != last {
			return 0, fmt.Errorf("journal %s: %d bytes behind the last line of a finished segment", s.path, info.Size()-last)
		}
	}
	return last, nil
}

// Scan yields all lines of the journal in dir in order, each checked to be the next link of the chain; an error ends it. It may
// run beside a writer. A Line's Data is good until the next one.
func Scan(dir string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		list, err := segments(dir)
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
	list, err := segments(dir)
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
