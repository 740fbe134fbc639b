package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/store"
	"fedbroker/upstreams/spec"
)

// Bond is what an identity provider can be asked by again about the person of one login (`refresh: true`): its own refresh token. All that came of the
// login shares it, since a provider takes a second use of a token that it replaced for a theft. It outlives the session, as offline families do.
type Bond struct {
	SessionID       string // of the session that the login began; the record's key
	Upstream        string // name
	UpstreamIssuer  string
	UpstreamSubject string
	Nonce           string // of the login attempt
	Token           spec.Secret
	Principal       map[string]any // mapped claims, as the provider said them last; sealed at rest
	Asked           time.Time      // when that was

	rev     uint64
	expires time.Time
}

// bondRecord is a Bond at rest.
type bondRecord struct {
	Upstream        string    `json:"upstream"`
	UpstreamIssuer  string    `json:"upstream_iss"`
	UpstreamSubject string    `json:"upstream_sub"`
	Nonce           string    `json:"nonce"`
	Token           []byte    `json:"token"`     // sealed
	Principal       []byte    `json:"principal"` // sealed JSON
	Asked           time.Time `json:"asked"`
}

const bucketBonds = "login_bonds"

func (s *Store) openBonds() (err error) {
	s.bonds, err = store.NewTable[bondRecord](s.o.Engine, store.TableOptions[bondRecord]{
		Bucket: bucketBonds, Version: 1, Sealing: s.o.Sealing, Sealed: func(r *bondRecord) []*[]byte { return []*[]byte{&r.Token, &r.Principal} },
	})
	return err
}

// bind returns the ops by which a login that began now has a bond, none if its provider is not asked again. It is kept for as long as an offline family
// of the session can live: one begins while the session lives, and ends RefreshTTL after.
func (s *Store) bind(ctx context.Context, v *Session, now time.Time) ([]store.Op, error) {
	if v.Renewal == "" {
		return nil, nil
	}
	return s.putBond(ctx, &Bond{
		SessionID: v.ID, Upstream: v.Upstream, UpstreamIssuer: v.UpstreamIssuer, UpstreamSubject: v.UpstreamSubject, Nonce: v.RenewalNonce,
		Token: v.Renewal, Principal: v.Principal, Asked: now, expires: now.Add(s.o.TTL + s.o.CodeTTL + s.o.RefreshTTL + s.o.Keep),
	}, store.Absent)
}

func (s *Store) putBond(ctx context.Context, b *Bond, cond store.Cond) ([]store.Op, error) {
	principal, err := encode(b.Principal)
	if err != nil {
		return nil, err
	}
	return s.bonds.PutOps(ctx, b.SessionID, bondRecord{
		Upstream: b.Upstream, UpstreamIssuer: b.UpstreamIssuer, UpstreamSubject: b.UpstreamSubject, Nonce: b.Nonce,
		Token: []byte(b.Token.Reveal()), Principal: principal, Asked: b.Asked,
	}, cond, b.expires)
}

// Bond finds what the provider of a login can be asked by again. ErrNone: it can't be.
func (s *Store) Bond(ctx context.Context, sid string) (Bond, error) {
	if !isKey(sid) {
		return Bond{}, ErrNone
	}
	row, err := s.bonds.Get(ctx, sid)
	if errors.Is(err, store.ErrNotFound) {
		return Bond{}, ErrNone
	}
	if err != nil {
		return Bond{}, fmt.Errorf("bond: %w", err)
	}
	principal, err := decode(row.Value.Principal)
	if err != nil {
		return Bond{}, fmt.Errorf("bond: %w", err)
	}
	r := row.Value
	return Bond{
		SessionID: row.Key, Upstream: r.Upstream, UpstreamIssuer: r.UpstreamIssuer, UpstreamSubject: r.UpstreamSubject, Nonce: r.Nonce,
		Token: spec.Secret(r.Token), Principal: principal, Asked: r.Asked, rev: row.Rev, expires: row.Expires,
	}, nil
}

// Rebind writes a bond in the place of the one that was looked at, and its principal into the session, if that is there still, in one commit. It returns
// the bond as it is now. ErrSpent: another was quicker, or ended it.
func (s *Store) Rebind(ctx context.Context, b Bond) (Bond, error) {
	for try := 1; ; try++ {
		ops, err := s.putBond(ctx, &b, store.Cond(b.rev))
		if err != nil {
			return Bond{}, err
		}
		session, err := s.SessionByID(ctx, b.SessionID)
		if err != nil && !errors.Is(err, ErrNone) {
			return Bond{}, err
		}
		if err == nil {
			session.Principal = b.Principal
			more, err := s.put(ctx, &session, store.Cond(session.rev))
			if err != nil {
				return Bond{}, err
			}
			ops = append(ops, more...)
		}
		revs, err := s.o.Engine.Commit(ctx, ops...)
		if err == nil {
			b.rev = revs[0]
			return b, nil
		}
		conflict, lost := errors.AsType[*store.ConflictError](err)
		if lost && conflict.Bucket == bucketBonds {
			return Bond{}, ErrSpent
		}
		if !lost || try == maxTries { // the session was touched meanwhile
			return Bond{}, fmt.Errorf("bond: %w", err)
		}
	}
}

// Unbind forgets a bond: the provider is not asked again. One that is gone is no error.
func (s *Store) Unbind(ctx context.Context, sid string) error {
	if !isKey(sid) {
		return nil
	}
	if err := s.bonds.Delete(ctx, sid, store.Any); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("bond: %w", err)
	}
	return nil
}
