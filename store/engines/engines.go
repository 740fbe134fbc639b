// Package engines holds the storage back ends behind store.Engine: one file and one line of the table for each kind.
package engines

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fedbroker/store"
)

// Options configure an engine; each kind says which it needs.
type Options struct {
	Path        string           // the file; required by bbolt
	Now         func() time.Time // judges expiry [time.Now]
	OpenTimeout time.Duration    // how long to wait for another process to let go of the file [2s]
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OpenTimeout == 0 {
		o.OpenTimeout = 2 * time.Second
	}
	return o
}

// kinds is the table: a new engine is one file and one line here.
var kinds = map[string]func(Options) (store.Engine, error){
	"bbolt":  openBolt,
	"memory": openMemory,
}

// Kinds returns the names of all kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Open opens an engine of the named kind.
func Open(kind string, o Options) (store.Engine, error) {
	open, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("store engine %q is not known, want one of: %s", kind, strings.Join(Kinds(), ", "))
	}
	return open(o.withDefaults())
}

// ready refuses a call whose context has ended already.
func ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(cause error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, cause) }

// expiryNanos is the form in which both engines keep Expires: nanoseconds since 1970, 0 for none.
func expiryNanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func expiryTime(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// expired says whether what expires at nanos is absent at now.
func expired(nanos, now int64) bool { return nanos != 0 && nanos <= now }
