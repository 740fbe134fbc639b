package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"fedbroker/store"
)

// The tree lies in the engine as 17 records of the bucket journal_keys, loaded whole (root, with the key by which positions are
// found; 16 shelves, each the seeds of 1,024 groups), and one record in journal_groups for each group from which something was
// taken, loaded when needed. The first erasure in a group zeroes its seed in the shelf and writes the nodes that are left, in one
// commit; later ones replace those. An erasure leaves at most 2 × 75 nodes of 41 bytes; spread over 16,384 groups, 100,000 of
// them make records of some 50 KiB, a fifth of store.MaxValue.
//
// Every erasure also writes the root, at the revision it has read: erasures happen one after another, whichever process does
// them, each on the state that the last one left, and the root's revision tells a process that its copy is old.
const (
	treeBucket  = "journal_keys"
	groupBucket = "journal_groups"
	rootName    = "root"   // sorts before the shelves: what is read after it is never older
	shelfPrefix = "seeds_" // then one hex digit
	shelves     = 16
	shelfGroups = groups / shelves
	cacheGroups = 2048 // at 100,000 erasures some 80 MiB; at 1,000 all that there are, below 10
)

// sealedBytes is the form of all the tree's records.
type sealedBytes struct {
	Key []byte `json:"key"` // sealed at rest
}

func newSealedTable(o SubjectsOptions, bucket string) (*store.Table[sealedBytes], error) {
	return store.NewTable(o.Engine, store.TableOptions[sealedBytes]{
		Bucket: bucket, Version: 1, Sealing: o.Sealing,
		Sealed: func(b *sealedBytes) []*[]byte { return []*[]byte{&b.Key} },
	})
}

// tree reads and writes the records.
type tree struct {
	engine       store.Engine
	keys, groups *store.Table[sealedBytes]
}

func newTree(o SubjectsOptions) (*tree, error) {
	keys, err := newSealedTable(o, treeBucket)
	if err != nil {
		return nil, err
	}
	groups, err := newSealedTable(o, groupBucket)
	if err != nil {
		return nil, err
	}
	return &tree{engine: o.Engine, keys: keys, groups: groups}, nil
}

// state is the tree at one revision. What is cached from it lives and dies with it, so that nothing derived before an erasure
// can slip into a cache after it.
type state struct {
	root    store.Row[sealedBytes]
	shelves [shelves]store.Row[sealedBytes] // in place of a seed, zeroes: the group has a record of its own
	touched *lru.Cache[int, group]
	named   *lru.Cache[string, Subject]
}

func newState(cache int) (*state, error) {
	touched, err := lru.New[int, group](cacheGroups)
	if err != nil {
		return nil, err
	}
	named, err := lru.New[string, Subject](cache)
	if err != nil {
		return nil, err
	}
	return &state{touched: touched, named: named}, nil
}

// seed is nil for a group from which something was taken.
func (st *state) seed(number int) *treeKey {
	at := number % shelfGroups * treeKeyLen
	seed := treeKey(st.shelves[number/shelfGroups].Value.Key[at:])
	if seed == (treeKey{}) {
		return nil
	}
	return &seed
}

// load reads root and shelves.
func (t *tree) load(ctx context.Context, cache int) (*state, error) {
	rows, err := t.keys.Scan(ctx, store.Range{Limit: shelves + 2})
	if err != nil {
		return nil, err
	}
	st, err := newState(cache)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1+shelves || rows[0].Key != rootName || len(rows[0].Value.Key) != treeKeyLen {
		return nil, errDamaged
	}
	st.root = rows[0]
	for i, row := range rows[1:] {
		if row.Key != shelfName(i) || len(row.Value.Key) != shelfGroups*treeKeyLen {
			return nil, errDamaged
		}
		st.shelves[i] = row
	}
	return st, nil
}

// create makes a new tree if there is none. It is safe on all replicas at once: the first wins.
func (t *tree) create(ctx context.Context) error {
	ops, err := t.keys.PutOps(ctx, rootName, sealedBytes{Key: randomBytes(treeKeyLen)}, store.Absent, time.Time{})
	for i := 0; err == nil && i < shelves; i++ {
		var more []store.Op
		more, err = t.keys.PutOps(ctx, shelfName(i), sealedBytes{Key: randomBytes(shelfGroups * treeKeyLen)}, store.Absent, time.Time{})
		ops = append(ops, more...)
	}
	if err != nil {
		return err
	}
	if _, err = t.engine.Commit(ctx, ops...); errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

func shelfName(i int) string { return fmt.Sprintf("%s%x", shelfPrefix, i) }

func groupName(number int) string { return fmt.Sprintf("%04x", number) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process instead (crypto/rand)
	return b
}

// group returns what is left of a group, and the condition under which that is still so.
func (t *tree) group(ctx context.Context, st *state, number int) (group, store.Cond, error) {
	if seed := st.seed(number); seed != nil {
		return wholeGroup(number, *seed), store.Absent, nil
	}
	row, err := t.groups.Get(ctx, groupName(number))
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, errDamaged // not "erased": the record is written together with the zeroed seed
	}
	if err != nil {
		return nil, 0, err
	}
	g, err := decodeGroup(row.Value.Key)
	return g, store.Cond(row.Rev), err
}

// leaf derives the key at a position; ok is false if it was taken out. A whole group costs neither a read nor memory.
func (t *tree) leaf(ctx context.Context, st *state, position uint64) (key treeKey, ok bool, err error) {
	number := groupOf(position)
	g, cached := st.touched.Get(number)
	if !cached {
		var cond store.Cond
		if g, cond, err = t.group(ctx, st, number); err != nil {
			return treeKey{}, false, err
		}
		if cond != store.Absent {
			st.touched.Add(number, g)
		}
	}
	i := g.cover(position)
	if i < 0 {
		return treeKey{}, false, nil
	}
	return g[i].leaf(position), true, nil
}

// puncture takes leaves out of the tree for good, all in one commit, and returns an error that wraps ErrConflict if st is not
// the newest state.
func (t *tree) puncture(ctx context.Context, st *state, positions ...uint64) error {
	ops, err := t.keys.PutOps(ctx, rootName, st.root.Value, store.Cond(st.root.Rev), time.Time{})
	if err != nil {
		return err
	}
	left, conds := make(map[int]group), make(map[int]store.Cond)
	zeroed := make(map[int][]byte) // shelves
	for _, position := range positions {
		number := groupOf(position)
		if _, ok := left[number]; !ok {
			if left[number], conds[number], err = t.group(ctx, st, number); err != nil {
				return err
			}
		}
		left[number] = left[number].without(position)
		shelf := number / shelfGroups
		if conds[number] == store.Absent && zeroed[shelf] == nil {
			zeroed[shelf] = slices.Clone(st.shelves[shelf].Value.Key)
		}
		if conds[number] == store.Absent {
			clear(zeroed[shelf][number%shelfGroups*treeKeyLen:][:treeKeyLen])
		}
	}
	for number, g := range left {
		more, err := t.groups.PutOps(ctx, groupName(number), sealedBytes{Key: g.encode()}, conds[number], time.Time{})
		if err != nil {
			return err
		}
		ops = append(ops, more...)
	}
	for shelf, seeds := range zeroed {
		more, err := t.keys.PutOps(ctx, shelfName(shelf), sealedBytes{Key: seeds}, store.Cond(st.shelves[shelf].Rev), time.Time{})
		if err != nil {
			return err
		}
		ops = append(ops, more...)
	}
	_, err = t.engine.Commit(ctx, ops...)
	return err
}
