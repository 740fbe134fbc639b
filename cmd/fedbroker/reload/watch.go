package reload

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"
)

// Files are looked at, not subscribed to: a look follows every link, so that it sees a Kubernetes volume, whose links are swapped, an editor that
// renames, and a network file system, none of which tells a watcher the same. It costs one stat a file and second. A folder that is on the list counts
// by the names in it.
const (
	lookEvery   = time.Second
	deepEvery   = 10                     // looks; then contents count, too, for what changes neither time nor size
	settleAfter = 200 * time.Millisecond // without another change
	maxSettle   = 50                     // looks; what never rests is read as it is
	maxRead     = 2 << 20                // bytes of one file; what the configuration takes of one is less
)

// stamp tells one state of a file from another; of a file that is not there it is zero.
type stamp struct {
	modified time.Time
	size     int64
}

// watched is a list of files and how they were when they were last read.
type watched struct {
	names  []string
	stamps map[string]stamp
	sums   map[string][sha256.Size]byte
}

// look remembers how the files are.
func (w *watched) look() { w.stamps, w.sums = stampsOf(w.names), sumsOf(w.names) }

// changed says whether a file is another than at the look; deep reads them for that.
func (w *watched) changed(deep bool) bool {
	return !maps.Equal(stampsOf(w.names), w.stamps) || deep && !maps.Equal(sumsOf(w.names), w.sums)
}

// settle waits until nothing changes any more. It is false if ctx ended.
func (w *watched) settle(ctx context.Context) bool {
	before := stampsOf(w.names)
	for range maxSettle {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(settleAfter):
		}
		now := stampsOf(w.names)
		if maps.Equal(before, now) {
			break
		}
		before = now
	}
	return true
}

func stampsOf(names []string) map[string]stamp {
	out := make(map[string]stamp, len(names))
	for _, name := range names {
		var s stamp
		if info, err := os.Stat(name); err == nil {
			s = stamp{info.ModTime(), info.Size()}
		}
		out[name] = s
	}
	return out
}

func sumsOf(names []string) map[string][sha256.Size]byte {
	out := make(map[string][sha256.Size]byte, len(names))
	for _, name := range names {
		out[name] = sumOf(name)
	}
	return out
}

func sumOf(name string) (sum [sha256.Size]byte) {
	file, err := os.Open(name)
	if err != nil {
		return sum
	}
	defer file.Close()
	h := sha256.New()
	if names, err := file.Readdirnames(-1); err == nil { // a folder
		slices.Sort(names)
		fmt.Fprintf(h, "%q", names)
		h.Sum(sum[:0])
		return sum
	}
	if _, err := io.Copy(h, io.LimitReader(file, maxRead)); err == nil {
		h.Sum(sum[:0])
	}
	return sum
}
