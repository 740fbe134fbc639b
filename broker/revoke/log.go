package revoke

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"fedbroker/store"
)

// Defaults of Options, and the limits of an entry.
const (
	DefaultMaxStale   = 10 * time.Second
	DefaultPollEvery  = 500 * time.Millisecond // others' revocations hold here within a second
	DefaultMaxEntries = 1_000_000              // about 150 MB
	maxID             = 512                    // bytes; the longest id is a broker subject of 255
	sweepEvery        = time.Minute
	writeAttempts     = 32 // each lost one means that another replica wrote a revocation
)

// The log of revocations: records under growing numbers, and one record that holds the last number. Each Commit moves both, so
// that a number never appears below one that was seen, whatever clocks say: who has read up to n reads on from n.
const (
	bucket     = "revocations"
	headBucket = "revocations_head"
	headKey    = "head"
	numberForm = "%016x"
)

// record is what the store keeps of one revocation; when it may be forgotten is the record's expiry.
type record struct {
	Kind   Kind   `json:"kind"`
	ID     string `json:"id"`
	Before int64  `json:"before"` // unix seconds: tokens with iat at or before it are dead
}

// Options describe a Set. Engine is required.
type Options struct {
	Engine     store.Engine
	Now        func() time.Time // [time.Now]
	MaxStale   time.Duration    // [10s] beyond it Check says ErrStale
	PollEvery  time.Duration    // [500ms]
	MaxEntries int              // [1,000,000] beyond it Revoke says ErrFull
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxStale == 0 {
		o.MaxStale = DefaultMaxStale
	}
	if o.PollEvery == 0 {
		o.PollEvery = DefaultPollEvery
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	return o
}

// Set is the revocations that count now, in memory. Check may be called by many; Run keeps the set up to date.
type Set struct {
	o     Options
	now   func() time.Time
	table *store.Table[record]
	seed  maphash.Seed
	names [len(kinds)]names
	seen  atomic.Pointer[time.Time] // when the last successful look at the store began

	writer  chan struct{} // holds one token: whoever has it is the only writer of what follows and of names
	number  uint64        // the last one read
	headRev uint64        // of the head record at that number; 0: there is none
}

// Open loads every revocation before it returns.
func Open(ctx context.Context, o Options) (*Set, error) {
	o = o.withDefaults()
	table, err := store.NewTable[record](o.Engine, store.TableOptions[record]{Bucket: bucket, Version: 1})
	if err != nil {
		return nil, err
	}
	s := &Set{o: o, now: o.Now, table: table, seed: maphash.MakeSeed(), writer: make(chan struct{}, 1)}
	if err := s.Poll(ctx); err != nil {
		return nil, fmt.Errorf("load revocations: %w", err)
	}
	return s, nil
}

// lock makes the caller the writer, unless ctx ends before.
func (s *Set) lock(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Set) unlock() { <-s.writer }

// Poll takes in what other replicas have written.
func (s *Set) Poll(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return s.tail(ctx)
}

// tail reads on from the last number. The caller is the writer.
func (s *Set) tail(ctx context.Context) error {
	began := s.now()
	head, err := s.o.Engine.Get(ctx, headBucket, headKey)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if s.headRev != 0 {
			return errors.New("the head of the revocations is gone from the store")
		}
	case err != nil:
		return err
	case head.Rev != s.headRev:
		number, err := strconv.ParseUint(string(head.Value), 16, 64)
		if err != nil {
			return fmt.Errorf("head of the revocations: %w", err)
		}
		if err := s.read(ctx, number); err != nil {
			return err
		}
		s.number, s.headRev = number, head.Rev
	}
	s.seen.Store(&began)
	return nil
}

// read takes in all records after the last number. The store may have some beyond upTo by now: they are read again next time.
func (s *Set) read(ctx context.Context, upTo uint64) error {
	if upTo < s.number {
		return fmt.Errorf("head of the revocations went back from %d to %d", s.number, upTo)
	}
	var fresh [len(kinds)]map[string]entry
	for after := fmt.Sprintf(numberForm, s.number); ; {
		rows, err := s.table.Scan(ctx, store.Range{After: after, Limit: store.MaxScan})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := collect(&fresh, row.Value, row.Expires); err != nil {
				return fmt.Errorf("revocation %s: %w", row.Key, err)
			}
		}
		if len(rows) < store.MaxScan {
			break
		}
		after = rows[len(rows)-1].Key
	}
	s.take(&fresh)
	return nil
}

// collect adds a record to what is to be taken in. A kind that this program does not know is an error: it can't be held to.
func collect(fresh *[len(kinds)]map[string]entry, r record, until time.Time) error {
	for i, k := range kinds {
		if k != r.Kind {
			continue
		}
		if fresh[i] == nil {
			fresh[i] = make(map[string]entry)
		}
		old := fresh[i][r.ID]
		fresh[i][r.ID] = entry{before: max(r.Before, old.before), until: max(until.Unix()+1, old.until)}
		return nil
	}
	_, err := ParseKind(string(r.Kind))
	return err
}

func (s *Set) take(fresh *[len(kinds)]map[string]entry) {
	for i, all := range fresh {
		if len(all) > 0 {
			s.names[i].put(s.seed, all)
		}
	}
}

// Revoke kills the tokens that id is a fact of and that were issued at or before a time; those of a token, session, family or key
// all die, whatever before says, since such an id is never used again. A zero before is now, and what this process issues while
// the record becomes durable is dead, too. keepUntil is when the last token that it can touch has expired. When the error is nil,
// the revocation is durable and holds in this process.
//
// Other processes hold to it after PollEvery, and at the latest after MaxStale. What they issue meanwhile under a client,
// subject, upstream or rule lives if it descends from nothing older.
//
// Errors: ErrFull (never for a key), what the store says (store.ErrUnknown: repeat it, a second record does no harm), or the
// caller's mistake.
func (s *Set) Revoke(ctx context.Context, kind Kind, id string, before, keepUntil time.Time) error {
	room := s.o.MaxEntries
	if kind == KindKey { // of our own keys there are few, and a compromised one can't wait
		room = math.MaxInt
	}
	return s.revoke(ctx, kind, id, before, keepUntil, room)
}

// RevokeIssued kills a token of ours for its client (RFC 7009). Clients can revoke as many as they are issued, so a tenth of the set is
// closed to them: an operator needs it then, to revoke the client for one.
func (s *Set) RevokeIssued(ctx context.Context, jti string, keepUntil time.Time) error {
	return s.revoke(ctx, KindToken, jti, time.Time{}, keepUntil, s.openRoom())
}

// RevokeEnded kills what lives by sessions or families that a person or a client ended, in one commit. The room that RevokeIssued leaves for
// an operator is left here, too: people and clients can begin as many as they like.
func (s *Set) RevokeEnded(ctx context.Context, kind Kind, ids []string, keepUntil time.Time) error {
	if kind != KindSession && kind != KindFamily {
		return fmt.Errorf("revoke %s: nobody but an operator does", kind)
	}
	records := make([]record, len(ids))
	for i, id := range ids {
		if id == "" || len(id) > maxID {
			return fmt.Errorf("revoke %s: id of %d bytes, want 1 to %d", kind, len(id), maxID)
		}
		records[i] = record{Kind: kind, ID: id, Before: math.MaxInt64}
	}
	if len(ids) == 0 || len(ids) >= store.MaxOps {
		return fmt.Errorf("revoke %s: %d at once, want 1 to %d", kind, len(ids), store.MaxOps-1)
	}
	if !keepUntil.After(s.now()) {
		return nil // no token that they touch is alive
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	if err := s.write(ctx, records, keepUntil, s.openRoom()); err != nil {
		return fmt.Errorf("revoke %s: %w", kind, err)
	}
	return nil
}

// openRoom is how many entries there may be for others than operators.
func (s *Set) openRoom() int { return s.o.MaxEntries - s.o.MaxEntries/10 }

func (s *Set) revoke(ctx context.Context, kind Kind, id string, before, keepUntil time.Time, room int) error {
	if _, err := ParseKind(string(kind)); err != nil {
		return err
	}
	if id == "" || len(id) > maxID {
		return fmt.Errorf("revoke %s: id of %d bytes, want 1 to %d", kind, len(id), maxID)
	}
	if !keepUntil.After(s.now()) {
		return nil // no token that it touches is alive
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	now := before.IsZero()
	if now {
		before = s.now()
	}
	r := record{Kind: kind, ID: id, Before: before.Unix()}
	if kind.unique() {
		r.Before = math.MaxInt64
	}
	err := s.write(ctx, []record{r}, keepUntil, room)
	if after := s.now().Unix(); err == nil && now && after > r.Before { // the commit went into another second
		r.Before = after
		err = s.write(ctx, []record{r}, keepUntil, room)
	}
	if err != nil {
		return fmt.Errorf("revoke %s: %w", kind, err)
	}
	return nil
}

// write appends to the log in one commit, after whatever other replicas have appended meanwhile. The caller is the writer.
func (s *Set) write(ctx context.Context, records []record, until time.Time, room int) error {
	var fresh [len(kinds)]map[string]entry
	for _, r := range records {
		if err := collect(&fresh, r, until); err != nil {
			return err
		}
	}
	for attempt := 1; ; attempt++ {
		if s.covers(&fresh) {
			return nil
		}
		if s.Len() >= room && slices.ContainsFunc(records, func(r record) bool { return !s.has(r) }) {
			return ErrFull
		}
		ops, last, err := s.append(ctx, records, until)
		if err != nil {
			return err
		}
		revs, err := s.o.Engine.Commit(ctx, ops...)
		switch {
		case err == nil:
			s.take(&fresh)
			s.number, s.headRev = last, revs[len(revs)-1]
			return nil
		case !errors.Is(err, store.ErrConflict) || attempt == writeAttempts:
			return err
		}
		if err := s.tail(ctx); err != nil {
			return err
		}
	}
}

// append returns the ops that write the records under the next numbers, the head's last, and the last number.
func (s *Set) append(ctx context.Context, records []record, until time.Time) (ops []store.Op, last uint64, err error) {
	last = s.number
	for _, r := range records {
		last++
		one, err := s.table.PutOps(ctx, fmt.Sprintf(numberForm, last), r, store.Absent, until)
		if err != nil {
			return nil, 0, err
		}
		ops = append(ops, one...)
	}
	return append(ops, store.Put(headBucket, headKey, fmt.Appendf(nil, numberForm, last), store.Cond(s.headRev), time.Time{})), last, nil
}

// has says that the set holds an entry for what r names, which it would only widen.
func (s *Set) has(r record) bool {
	_, found := s.names[slices.Index(kinds[:], r.Kind)].get(s.seed, r.ID)
	return found
}

// covers says that what is in memory, and so in the store, kills as much for as long.
func (s *Set) covers(fresh *[len(kinds)]map[string]entry) bool {
	for i, all := range fresh {
		for id, e := range all {
			if old, found := s.names[i].get(s.seed, id); !found || old.before < e.before || old.until < e.until {
				return false
			}
		}
	}
	return true
}

// Run keeps the set up to date until ctx ends. A failure to read the store is not its end: the set goes stale, and Check says so.
func (s *Set) Run(ctx context.Context) error {
	poll, sweep := time.NewTicker(s.o.PollEvery), time.NewTicker(sweepEvery)
	defer poll.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
			s.refresh(ctx)
		case <-sweep.C:
			if s.lock(ctx) == nil {
				s.sweep()
				s.unlock()
			}
		}
	}
}

// refresh polls within the time after which the set would be stale, so that one hanging read does not keep the next from being tried.
func (s *Set) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.o.MaxStale)
	defer cancel()
	_ = s.Poll(ctx) // what it means shows in Fresh
}

func (s *Set) sweep() {
	now := s.now().Unix()
	for i := range s.names {
		s.names[i].sweep(now)
	}
}
