package session

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"

	"fedbroker/store"
)

// familyEnds is when a family is over: in all, without use, and a session-bound one with its session at the latest.
func (s *Store) familyEnds(r *grantRecord) time.Time {
	ends := earlier(r.Redeemed.Add(s.o.RefreshTTL), r.LastUse.Add(s.o.RefreshIdle))
	if r.SessionBound {
		ends = earlier(ends, r.Since.Add(s.o.TTL))
	}
	return ends
}

// Refresh finds the family of a refresh token; nothing is written. Fresh is the current generation; Grace its predecessor, in time, while nobody
// has used the current one; Spent any other that was once made: somebody else holds the family, too (P36); Expired what would be good, but for
// the family's end. Whatever is wrong with a token that
// is none of ours is ErrNone, and so is a session-bound family whose session is gone.
func (s *Store) Refresh(ctx context.Context, token string) (Presented, error) {
	key, generation, mac, ok := splitRefresh(token)
	if !ok {
		return Presented{}, ErrNone
	}
	p, err := s.present(ctx, key)
	if err != nil {
		return Presented{}, err
	}
	r, now := &p.row.Value, s.o.Now()
	if len(r.Family) == 0 || !hmac.Equal(mac, generationMAC(r.Family, generation)) || generation > r.Generation {
		return Presented{}, ErrNone
	}
	switch {
	case generation == r.Generation:
		p.State = Fresh
	case generation == r.Generation-1 && now.Before(r.Rotated.Add(s.o.RefreshGrace)):
		p.State = Grace
	default:
		p.State = Spent
	}
	if p.State != Spent && !now.Before(s.familyEnds(r)) {
		p.State = Expired
	}
	if !r.SessionBound {
		return p, nil
	}
	// Looked at after the token: a stolen one is to be seen as such even when the session is over.
	if _, err := s.SessionByID(ctx, r.SessionID); err != nil {
		if errors.Is(err, ErrNone) && p.State == Spent {
			return p, nil
		}
		return Presented{}, err
	}
	return p, nil
}

// Rotate makes the next refresh token of a fresh one, in one commit, in which the session of a session-bound family is seen again; for the
// predecessor in its grace it returns the very token that was made of it then, and writes nothing. key is the thumbprint of the key that was proven
// with it, "" for none. keep leaves the token as it is and renews its idle time. ErrSpent: another was quicker, and whoever looks again may find the grace. ErrNone: the session ended meanwhile.
func (s *Store) Rotate(ctx context.Context, p Presented, key string, keep bool) (refresh string, err error) {
	r, now := p.row.Value, s.o.Now()
	switch p.State {
	case Grace:
		return refreshToken(p.row.Key, r.Family, r.Generation), nil
	case Fresh:
	default:
		return "", ErrSpent
	}
	if r.LastUse = now; keep {
		r.Rotated = time.Time{} // used as it is: its predecessor's grace is over all the same
	} else {
		r.Generation, r.Rotated, r.RotatedBy = r.Generation+1, now, key
	}
	expires := later(s.familyEnds(&r), now.Add(s.o.Keep))
	for try := 1; ; try++ {
		seen, err := s.seen(ctx, &r, now)
		if err == nil {
			err = s.swap(ctx, p, r, expires, seen...)
		}
		if err == nil {
			return refreshToken(p.row.Key, r.Family, r.Generation), nil
		}
		if !errors.Is(err, store.ErrConflict) || try == maxTries { // of the session alone: ErrSpent is no ErrConflict
			return "", err
		}
	}
}

// seen are the ops by which the session of a session-bound family is seen again: who works with an app is not idle.
func (s *Store) seen(ctx context.Context, r *grantRecord, now time.Time) ([]store.Op, error) {
	if !r.SessionBound {
		return nil, nil
	}
	session, err := s.SessionByID(ctx, r.SessionID)
	if err != nil {
		return nil, err
	}
	ops, err := s.touch(ctx, &session, now)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return ops, nil
}

// Over is when everything has expired that sessions and grants have given which end now: so long their revocation has to be kept. Nothing more
// comes of them, since they are no more (End) or marked (EndGrant).
func (s *Store) Over() time.Time { return s.o.Now().Add(s.o.CodeTTL + s.o.Keep) }

// EndGrant marks a grant as ended: neither its code nor its refresh tokens are any longer, to nobody. One that is gone, or ended before, is no
// error.
func (s *Store) EndGrant(ctx context.Context, id string) error {
	for try := 1; ; try++ {
		p, err := s.present(ctx, id)
		if errors.Is(err, ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		r := p.row.Value
		r.Ended = s.o.Now()
		err = s.swap(ctx, p, r, p.row.Expires)
		if !errors.Is(err, ErrSpent) || try == maxTries { // another was quicker, and may have rotated it
			return err
		}
	}
}
