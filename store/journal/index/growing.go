package index

import (
	"os"
	"slices"
	"sync"
	"time"

	"fedbroker/store/journal"
)

// growing is the index, in memory, of the segment that is still written.
type growing struct {
	segment journal.Segment

	mu    sync.Mutex
	end   int64        // behind the last line that is indexed
	head  journal.Head // that line; the next one has to state its hash
	names map[uint64][]int64
}

// grow reads on from where it ended. Lines that a failed write left behind can be cut off and others written in their place: what does not follow
// the last line that is known makes it begin anew.
func (g *growing) grow(names func([]byte, func([]byte)) time.Time) (*growing, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.names == nil {
		return g, g.restart(names)
	}
	info, err := os.Stat(g.segment.Path)
	if err != nil {
		return nil, err
	}
	if info.Size() < g.end || g.read(names) != nil {
		return g, g.restart(names)
	}
	return g, nil
}

func (g *growing) restart(names func([]byte, func([]byte)) time.Time) (err error) {
	g.end, g.names = 0, make(map[uint64][]int64)
	if g.head, err = start(g.segment); err != nil {
		return err
	}
	if g.head.Seq == 0 && g.segment.First != 1 {
		return nil // empty
	}
	return g.read(names)
}

func (g *growing) read(names func([]byte, func([]byte)) time.Time) (err error) {
	g.end, err = g.segment.Follow(g.end, &g.head, func(at int64, l *journal.Line) error {
		names(l.Data, func(name []byte) {
			h := hash(name)
			if all := g.names[h]; len(all) == 0 || all[len(all)-1] != at {
				g.names[h] = append(all, at)
			}
		})
		return nil
	})
	return err
}

func (g *growing) find(name uint64) ([]int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.names[name]), nil
}
