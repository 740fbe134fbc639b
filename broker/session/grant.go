package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/store"
)

// Grant is what a person let one client have by one authorization: the code, and the refresh family that comes of it.
type Grant struct {
	ID              string // the record's key; the family's id (`fam`), and the journal's name of the grant
	SessionID       string
	ClientID        string
	Subject         string
	Upstream        string
	UpstreamIssuer  string
	UpstreamSubject string
	AuthTime        time.Time
	ACR             string
	AMR             []string
	Since           time.Time // when the session began: revocations that are limited in time are held against it

	RedirectURI, Challenge, Nonce string         // of the authorization request
	DPoPKey                       string         // thumbprint of the one key that the code may be redeemed with (RFC 9449 §10); "" for any
	Scopes, Audiences             []string       // granted; no audience: our issuer (P35)
	Claims                        map[string]any // what userinfo may tell: of granted scopes, after the client's mappers (P8); sealed at rest

	Offline      bool // a refresh family that outlives the session
	SessionBound bool // a refresh family that ends with it

	Proven    bool   // the code came with a proof of possession: nothing comes of the grant without one (P17)
	BoundKey  string // thumbprint of the one key that the refresh family may be used with (RFC 9449 §5); "" for any
	RotatedBy string // thumbprint of the key that was proven with the last rotation; "" for none

	Created, CodeExpires time.Time
	Expires              time.Time // of the record: when what came of the grant is over
}

// refreshes says whether a family comes of the grant.
func (g *Grant) refreshes() bool { return g.Offline || g.SessionBound }

// grantRecord is a Grant at rest. A code is spent when Redeemed is set; a family has made Generation tokens, of which the last is current.
type grantRecord struct {
	Hash            []byte    `json:"hash"` // SHA-256 of the code's secret
	SessionID       string    `json:"sid"`
	ClientID        string    `json:"client_id"`
	Subject         string    `json:"sub"`
	Upstream        string    `json:"upstream"`
	UpstreamIssuer  string    `json:"upstream_iss"`
	UpstreamSubject string    `json:"upstream_sub"`
	AuthTime        time.Time `json:"auth_time,omitzero"`
	ACR             string    `json:"acr,omitempty"`
	AMR             []string  `json:"amr,omitempty"`
	Since           time.Time `json:"since"`
	RedirectURI     string    `json:"redirect_uri"`
	Challenge       string    `json:"challenge,omitempty"`
	Nonce           string    `json:"nonce,omitempty"`
	DPoPKey         string    `json:"dpop_jkt,omitempty"`
	Scopes          []string  `json:"scopes,omitempty"`
	Audiences       []string  `json:"audiences,omitempty"`
	Claims          []byte    `json:"claims"` // sealed JSON
	Offline         bool      `json:"offline,omitempty"`
	SessionBound    bool      `json:"session_bound,omitempty"`
	Created         time.Time `json:"created"`
	CodeExpires     time.Time `json:"code_expires"`

	Ended      time.Time `json:"ended,omitzero"` // by its client, or because it was used twice
	Redeemed   time.Time `json:"redeemed,omitzero"`
	Proven     bool      `json:"proven,omitempty"`
	BoundKey   string    `json:"bound_key,omitempty"`
	Family     []byte    `json:"family,omitempty"` // sealed secret of the family
	Generation int       `json:"generation,omitempty"`
	Rotated    time.Time `json:"rotated,omitzero"` // when the current generation was made
	RotatedBy  string    `json:"rotated_by,omitempty"`
	LastUse    time.Time `json:"last_use,omitzero"`
}

func (s *Store) grant(row store.Row[grantRecord]) (Grant, error) {
	r := row.Value
	claims, err := decode(r.Claims)
	if err != nil {
		return Grant{}, fmt.Errorf("grant: %w", err)
	}
	return Grant{
		ID: row.Key, SessionID: r.SessionID, ClientID: r.ClientID, Subject: r.Subject,
		Upstream: r.Upstream, UpstreamIssuer: r.UpstreamIssuer, UpstreamSubject: r.UpstreamSubject,
		AuthTime: r.AuthTime, ACR: r.ACR, AMR: r.AMR, Since: r.Since, RedirectURI: r.RedirectURI, Challenge: r.Challenge, Nonce: r.Nonce, DPoPKey: r.DPoPKey,
		Scopes: r.Scopes, Audiences: r.Audiences, Claims: claims, Offline: r.Offline, SessionBound: r.SessionBound,
		Proven: r.Proven, BoundKey: r.BoundKey, RotatedBy: r.RotatedBy, Created: r.Created, CodeExpires: r.CodeExpires, Expires: row.Expires,
	}, nil
}

// newGrant completes a grant with its id, its times and a code, and returns the ops that write it. The record is kept as long as a code that
// is spent at its very end has to be remembered.
func (s *Store) newGrant(ctx context.Context, g *Grant, now time.Time) (code string, ops []store.Op, err error) {
	g.ID, g.Created, g.CodeExpires = store.NewKey(now), now, now.Add(s.o.CodeTTL)
	g.Expires = g.CodeExpires.Add(s.o.Keep)
	secret, hash := newSecret()
	claims, err := encode(g.Claims)
	if err != nil {
		return "", nil, err
	}
	ops, err = s.grants.PutOps(ctx, g.ID, grantRecord{
		Hash: hash, SessionID: g.SessionID, ClientID: g.ClientID, Subject: g.Subject,
		Upstream: g.Upstream, UpstreamIssuer: g.UpstreamIssuer, UpstreamSubject: g.UpstreamSubject,
		AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR, Since: g.Since, RedirectURI: g.RedirectURI, Challenge: g.Challenge, Nonce: g.Nonce, DPoPKey: g.DPoPKey,
		Scopes: g.Scopes, Audiences: g.Audiences, Claims: claims, Offline: g.Offline, SessionBound: g.SessionBound,
		Created: g.Created, CodeExpires: g.CodeExpires,
	}, store.Absent, g.Expires)
	return g.ID + separator + secret, ops, err
}

// Begin ends a login attempt: in one commit the attempt is spent until attemptEnds, the new session and its first grant are written. former
// (nil: none) is this browser's session before: one of the same person is taken into Former, one of another is deleted
// with those that it took over. ErrSpent: the
// attempt was used before, or is over; nothing was written. The ids and times of session and grant are set here.
func (s *Store) Begin(ctx context.Context, attemptID string, attemptEnds time.Time, session Session, former *Session, grant Grant) (cookie, code string, _ Session, _ Grant, err error) {
	if !s.o.Now().Before(attemptEnds) { // nobody would remember that it is spent
		return "", "", Session{}, Grant{}, fmt.Errorf("login: %w", ErrSpent)
	}
	for try := 1; ; try++ {
		b := beginning{session: session, grant: grant}
		err := s.begin(ctx, &b, attemptID, attemptEnds, former)
		conflict, lost := errors.AsType[*store.ConflictError](err)
		switch {
		case err == nil:
			return b.cookie, b.code, b.session, b.grant, nil
		case lost && conflict.Bucket == bucketAttempts:
			err = ErrSpent
		case lost && try < maxTries: // the former session was touched
			continue
		}
		return "", "", Session{}, Grant{}, fmt.Errorf("login: %w", err)
	}
}

// beginning is what Begin makes.
type beginning struct {
	session      Session
	grant        Grant
	cookie, code string
}

func (s *Store) begin(ctx context.Context, b *beginning, attemptID string, attemptEnds time.Time, former *Session) error {
	now := s.o.Now()
	v := &b.session
	v.ID, v.Created, v.Seen = store.NewKey(now), now, now
	var secret string
	secret, v.hash = newSecret()
	b.cookie = v.ID + separator + secret
	ops, err := s.attempts.PutOps(ctx, store.HashKey(attemptID), attemptRecord{}, store.Absent, attemptEnds)
	if err != nil {
		return err
	}
	kept, over := Succeed(former, v.Subject)
	v.Former = kept
	for _, sid := range over {
		ended, err := s.sessions.DeleteOps(ctx, sid, store.Any)
		if err != nil {
			return err
		}
		ops = append(ops, ended...)
	}
	written, err := s.put(ctx, v, store.Absent)
	if err != nil {
		return err
	}
	b.grant.SessionID, b.grant.Since = v.ID, v.Created
	code, granted, err := s.newGrant(ctx, &b.grant, now)
	if err != nil {
		return err
	}
	b.code = code
	bound, err := s.bind(ctx, v, now)
	if err != nil {
		return err
	}
	revs, err := s.o.Engine.Commit(ctx, slices.Concat(ops, written, granted, bound)...)
	if err != nil {
		return err
	}
	v.rev = revs[len(ops)]
	return nil
}

// Succeed says what becomes of a browser's session before (nil: none) and of those that it took over, when subject signs in: those of the same
// person are kept as Former, as far as there is room; the others are over, and Begin deletes them.
func Succeed(former *Session, subject string) (kept, over []string) {
	if former == nil {
		return nil, nil
	}
	all := append(slices.Clone(former.Former), former.ID)
	if former.Subject != subject {
		return nil, all
	}
	first := max(0, len(all)-maxFormer)
	return all[first:], all[:first]
}

// Issue is single sign-on: in one commit the session is seen again and the grant written. ErrNone: the session ended meanwhile.
func (s *Store) Issue(ctx context.Context, session Session, grant Grant) (code string, _ Grant, err error) {
	grant.SessionID, grant.Since = session.ID, session.Created
	for try := 1; ; try++ {
		code, err := s.issue(ctx, &session, &grant)
		if err == nil {
			return code, grant, nil
		}
		if !errors.Is(err, store.ErrConflict) || try == maxTries {
			return "", Grant{}, fmt.Errorf("grant: %w", err)
		}
		// Another tab was quicker: what counts is that the session is still there.
		if session, err = s.SessionByID(ctx, session.ID); err != nil {
			return "", Grant{}, err
		}
	}
}

func (s *Store) issue(ctx context.Context, session *Session, grant *Grant) (code string, err error) {
	now := s.o.Now()
	seen, err := s.touch(ctx, session, now)
	if err != nil {
		return "", err
	}
	code, ops, err := s.newGrant(ctx, grant, now)
	if err != nil {
		return "", err
	}
	_, err = s.o.Engine.Commit(ctx, append(ops, seen...)...)
	return code, err
}

// State says what presenting a code or a refresh token amounts to.
type State uint8

// The states.
const (
	_       State = iota
	Fresh         // good, and not used before
	Grace         // the predecessor of a refresh token that nobody has used yet
	Spent         // used before: somebody else holds it, too
	Expired       // too late
)

// Presented is a code or a refresh token that is one of ours, and what it amounts to.
type Presented struct {
	Grant Grant
	State State

	row store.Row[grantRecord]
}

// Renew gives the grant the claims that its provider has of the person by now. The next Rotate of a fresh refresh token writes them.
func (p *Presented) Renew(claims map[string]any) error {
	text, err := encode(claims)
	if err != nil {
		return err
	}
	p.Grant.Claims, p.row.Value.Claims = claims, text
	return nil
}

// Format keeps the family's secret and the person's claims out of every log, whatever the verb.
func (p Presented) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "grant %s, state %d", p.Grant.ID, p.State)
}

// Code finds the grant of a code; nothing is written. Whatever is wrong with a code that is none of ours is ErrNone.
func (s *Store) Code(ctx context.Context, code string) (Presented, error) {
	key, secret, ok := split(code)
	if !ok {
		return Presented{}, ErrNone
	}
	p, err := s.present(ctx, key)
	if err != nil {
		return Presented{}, err
	}
	if !holds(secret, p.row.Value.Hash) {
		return Presented{}, ErrNone
	}
	switch r := p.row.Value; {
	case !r.Redeemed.IsZero():
		p.State = Spent
	case !s.o.Now().Before(r.CodeExpires):
		p.State = Expired
	default:
		p.State = Fresh
	}
	return p, nil
}

func (s *Store) present(ctx context.Context, key string) (Presented, error) {
	row, err := s.grants.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return Presented{}, ErrNone
	}
	if err != nil {
		return Presented{}, fmt.Errorf("grant: %w", err)
	}
	if !row.Value.Ended.IsZero() {
		return Presented{}, ErrEnded
	}
	g, err := s.grant(row)
	return Presented{Grant: g, row: row}, err
}

// Grant finds a grant by its id, for userinfo. ErrNone if there is none.
func (s *Store) Grant(ctx context.Context, id string) (Grant, error) {
	if !isKey(id) {
		return Grant{}, ErrNone
	}
	p, err := s.present(ctx, id)
	return p.Grant, err
}

// Redeem spends a fresh code, in one commit, and returns the family's first refresh token, "" if no family comes of the grant. key is the thumbprint
// of the key that was proven with it, "" for none; bind binds the family to that key alone. ErrSpent: it is not fresh, or another was quicker.
func (s *Store) Redeem(ctx context.Context, p Presented, key string, bind bool) (refresh string, err error) {
	if p.State != Fresh || !p.row.Value.Redeemed.IsZero() {
		return "", ErrSpent
	}
	now := s.o.Now()
	r := p.row.Value
	r.Redeemed, r.Proven = now, key != ""
	if bind {
		r.BoundKey = key
	}
	expires := now.Add(s.o.Keep)
	if p.Grant.refreshes() {
		r.Family = make([]byte, secretBytes)
		_, _ = rand.Read(r.Family) // never fails
		r.Generation, r.Rotated, r.LastUse = 1, now, now
		refresh = refreshToken(p.Grant.ID, r.Family, r.Generation)
		expires = later(expires, s.familyEnds(&r))
	}
	if err := s.swap(ctx, p, r, expires); err != nil {
		return "", err
	}
	return refresh, nil
}

// swap writes a record in the place of the one that was looked at.
func (s *Store) swap(ctx context.Context, p Presented, r grantRecord, expires time.Time, more ...store.Op) error {
	ops, err := s.grants.PutOps(ctx, p.row.Key, r, store.Cond(p.row.Rev), expires)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	_, err = s.o.Engine.Commit(ctx, append(ops, more...)...)
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		if conflict.Bucket == bucketGrants {
			return ErrSpent
		}
		return fmt.Errorf("grant: %w", conflict)
	}
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
