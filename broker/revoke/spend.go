package revoke

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/store"
)

// spentBucket keeps one-shot values until they expire by themselves: spent and kept, never deleted, so that a replay is seen.
const spentBucket = "spent"

// Spender remembers one-shot values: a jti under single_use, a client's assertion (P24, RFC 7523 section 3).
//
// Its keys are hashes and do not begin with time, although that would be cheaper to insert and to sweep: a value is looked up by
// what it is, and the only time that a replay is sure to bring again, its exp, is not part of what may be spent once. With
// the exp in the key, an issuer's second token with the same jti and another exp would pass.
type Spender struct{ engine store.Engine }

// NewSpender keeps what is spent in e.
func NewSpender(e store.Engine) *Spender { return &Spender{engine: e} }

// Spend makes the value spent until a time, and is nil for exactly one caller of all that present it before then, on any
// replica: ErrSpent for the others. Any other error is the store's, and says nothing of the value: nothing may be issued on it.
func (s *Spender) Spend(ctx context.Context, upstream, iss, jti string, until time.Time) error {
	if jti == "" {
		return errors.New("spend: empty jti")
	}
	_, err := s.engine.Commit(ctx, store.Put(spentBucket, store.HashKey(upstream, iss, jti), nil, store.Absent, until))
	if errors.Is(err, store.ErrConflict) {
		return ErrSpent
	}
	if err != nil {
		return fmt.Errorf("spend: %w", err)
	}
	return nil
}
