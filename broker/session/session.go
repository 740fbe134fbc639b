// Package session keeps who is signed in, and what they let clients have: sessions, and grants, each of which is an authorization code and
// the refresh family that comes of it in one record. What is good once is spent and kept until it expires, never deleted, so that a
// replay is seen (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/store"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/spec"
)

// Errors of the store. Others are the engine's: nothing may be issued on them.
var (
	// ErrNone: there is no such session, code or family, or the secret is not its own.
	ErrNone = errors.New("no such session or grant")
	// ErrEnded: the grant was ended, by its client or because it was used twice. It is an ErrNone.
	ErrEnded = fmt.Errorf("%w: it was ended", ErrNone)
	// ErrSpent: it was good once, and another was quicker.
	ErrSpent = errors.New("spent")
)

// Options describe a Store. Engine, Sealing and all durations but RefreshGrace are required.
type Options struct {
	Engine  store.Engine
	Sealing store.Sealing
	Now     func() time.Time // [time.Now]

	TTL, Idle               time.Duration // of a session: in all, and without use
	CodeTTL                 time.Duration
	RefreshTTL, RefreshIdle time.Duration // of a family: in all, and without use
	RefreshGrace            time.Duration // how long the predecessor of an unused refresh token works; 0: not at all
	Keep                    time.Duration // how long a spent code is remembered at least: what it gave may live that long
}

// Store keeps sessions and grants. It has no state of its own and is safe for concurrent use.
type Store struct {
	o        Options
	sessions *store.Table[sessionRecord]
	grants   *store.Table[grantRecord]
	attempts *store.Table[attemptRecord]
	bonds    *store.Table[bondRecord]
}

const (
	bucketSessions   = "sessions"
	bucketBySubject  = "sessions_by_subject"
	bucketByUpstream = "sessions_by_upstream"
	bucketGrants     = "grants"
	bucketAttempts   = "login_attempts"
)

// Open makes a store on an engine.
func Open(o Options) (*Store, error) {
	if o.Engine == nil || o.Sealing == nil || min(o.TTL, o.Idle, o.CodeTTL, o.RefreshTTL, o.RefreshIdle, o.Keep) <= 0 || o.RefreshGrace < 0 {
		return nil, errors.New("sessions: engine, sealing and positive durations are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{o: o}
	var err1, err2, err3 error
	s.sessions, err1 = store.NewTable[sessionRecord](o.Engine, store.TableOptions[sessionRecord]{
		Bucket: bucketSessions, Version: 1, Sealing: o.Sealing, Sealed: func(r *sessionRecord) []*[]byte { return []*[]byte{&r.Principal} },
		Indexes: []store.Index[sessionRecord]{
			{Bucket: bucketBySubject, Values: func(r sessionRecord) []string { return []string{r.Subject} }},
			{Bucket: bucketByUpstream, Values: func(r sessionRecord) []string {
				if r.UpstreamSID == "" {
					return nil
				}
				return []string{store.HashKey(r.Upstream, r.UpstreamSID)}
			}},
		},
	})
	s.grants, err2 = store.NewTable[grantRecord](o.Engine, store.TableOptions[grantRecord]{
		Bucket: bucketGrants, Version: 1, Sealing: o.Sealing, Sealed: func(r *grantRecord) []*[]byte { return []*[]byte{&r.Claims, &r.Family} },
	})
	s.attempts, err3 = store.NewTable[attemptRecord](o.Engine, store.TableOptions[attemptRecord]{Bucket: bucketAttempts, Version: 1})
	if err := errors.Join(err1, err2, err3, s.openBonds()); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	return s, nil
}

// Session is one person's sign-on in one browser.
type Session struct {
	ID              string // sid; its own record's key
	Subject         string // the broker's
	Upstream        string // name
	UpstreamIssuer  string
	UpstreamSubject string
	UpstreamSID     string    // sid of the identity provider's own session; "" if it named none
	AuthTime        time.Time // zero: not known
	ACR             string
	AMR             []string
	Principal       map[string]any // mapped claims; sealed at rest
	Created, Seen   time.Time
	Expires         time.Time // the nearer of its absolute and its idle end
	Former          []string  // sids of the same person in the same browser that it took over, newest last: who signs out, signs out of them

	Renewal      spec.Secret // of a login at a provider that is asked again: by what. Begin keeps it in a Bond; "" of a session that was looked up
	RenewalNonce string      // of that login's attempt

	rev  uint64
	hash []byte
}

// maxFormer bounds Former. The oldest are over when there are more.
const maxFormer = 8

// sessionRecord is a Session at rest.
type sessionRecord struct {
	Hash            []byte    `json:"hash"` // SHA-256 of the cookie's secret
	Subject         string    `json:"sub"`
	Upstream        string    `json:"upstream"`
	UpstreamIssuer  string    `json:"upstream_iss"`
	UpstreamSubject string    `json:"upstream_sub"`
	UpstreamSID     string    `json:"upstream_sid,omitempty"`
	AuthTime        time.Time `json:"auth_time,omitzero"`
	ACR             string    `json:"acr,omitempty"`
	AMR             []string  `json:"amr,omitempty"`
	Principal       []byte    `json:"principal"` // sealed JSON
	Created         time.Time `json:"created"`
	Seen            time.Time `json:"seen"`
	Former          []string  `json:"former,omitempty"`
}

// attemptRecord marks a login attempt as used.
type attemptRecord struct{}

func (s *Store) session(row store.Row[sessionRecord]) (Session, error) {
	r := row.Value
	principal, err := decode(r.Principal)
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return Session{
		ID: row.Key, Subject: r.Subject, Upstream: r.Upstream, UpstreamIssuer: r.UpstreamIssuer, UpstreamSubject: r.UpstreamSubject, UpstreamSID: r.UpstreamSID,
		AuthTime: r.AuthTime, ACR: r.ACR, AMR: r.AMR, Principal: principal, Created: r.Created, Seen: r.Seen, Expires: row.Expires, Former: r.Former,
		rev: row.Rev, hash: r.Hash,
	}, nil
}

// put returns the ops that write a session as it is now seen, and its new end.
func (s *Store) put(ctx context.Context, v *Session, cond store.Cond) ([]store.Op, error) {
	principal, err := encode(v.Principal)
	if err != nil {
		return nil, err
	}
	v.Expires = earlier(v.Created.Add(s.o.TTL), v.Seen.Add(s.o.Idle))
	return s.sessions.PutOps(ctx, v.ID, sessionRecord{
		Hash: v.hash, Subject: v.Subject, Upstream: v.Upstream, UpstreamIssuer: v.UpstreamIssuer, UpstreamSubject: v.UpstreamSubject, UpstreamSID: v.UpstreamSID,
		AuthTime: v.AuthTime, ACR: v.ACR, AMR: v.AMR, Principal: principal, Created: v.Created, Seen: v.Seen, Former: v.Former,
	}, cond, v.Expires)
}

// seenStep is how exactly it is known when a session was seen last. It spares writes, and keeps the tabs that a browser opens together from
// losing to each other: the first of them touches the session, the others find it touched.
const seenStep = time.Second

// touch returns the ops by which a session is seen again, or, where it was seen a moment ago, that it still has to be there.
func (s *Store) touch(ctx context.Context, v *Session, now time.Time) ([]store.Op, error) {
	if v.rev == 0 { // never looked up: no condition would hold it
		return nil, ErrNone
	}
	if now.Before(v.Seen.Add(seenStep)) {
		return []store.Op{s.sessions.Check(v.ID, store.Cond(v.rev))}, nil
	}
	v.Seen = now
	return s.put(ctx, v, store.Cond(v.rev))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// decode reads claims as mappers know them: numbers keep all their digits.
func decode(text []byte) (map[string]any, error) {
	claims, err := jose.ParseClaims(text)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return claims.Map(), nil
}

// encode makes an object of no claims, too. What decode would not read is never written.
func encode(claims map[string]any) ([]byte, error) {
	if claims == nil {
		claims = map[string]any{}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	_, err = decode(text)
	return text, err
}

// Session finds a session by its cookie. Without one it is ErrNone, whatever is wrong with the cookie.
func (s *Store) Session(ctx context.Context, cookie string) (Session, error) {
	key, secret, ok := split(cookie)
	if !ok {
		return Session{}, ErrNone
	}
	found, err := s.SessionByID(ctx, key)
	if err != nil {
		return Session{}, err
	}
	if !holds(secret, found.hash) {
		return Session{}, ErrNone
	}
	return found, nil
}

// SessionByID finds a session by its sid, for those who hold no cookie: refresh families and operators.
func (s *Store) SessionByID(ctx context.Context, sid string) (Session, error) {
	if !isKey(sid) {
		return Session{}, ErrNone
	}
	row, err := s.sessions.Get(ctx, sid)
	if errors.Is(err, store.ErrNotFound) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return s.session(row)
}

// All lists sessions in the order in which they began, after the sid after, at most limit (1 to store.MaxScan).
func (s *Store) All(ctx context.Context, after string, limit int) ([]Session, error) {
	return s.list(s.sessions.Scan(ctx, store.Range{After: after, Limit: limit}))
}

// BySubject lists a person's sessions, as All does.
func (s *Store) BySubject(ctx context.Context, subject, after string, limit int) ([]Session, error) {
	return s.list(s.sessions.ScanIndex(ctx, bucketBySubject, subject, after, limit))
}

// ByUpstream lists the sessions that one session at an identity provider stands behind, as All does.
func (s *Store) ByUpstream(ctx context.Context, upstream, upstreamSID, after string, limit int) ([]Session, error) {
	return s.list(s.sessions.ScanIndex(ctx, bucketByUpstream, store.HashKey(upstream, upstreamSID), after, limit))
}

func (s *Store) list(rows []store.Row[sessionRecord], err error) ([]Session, error) {
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	out := make([]Session, len(rows))
	for i, row := range rows {
		if out[i], err = s.session(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxTries bounds how often a commit begins again because a session was touched meanwhile, at most once in seenStep.
const maxTries = 8

// endAtOnce is how many sessions End deletes in one commit: each is 3 ops, with its index entries.
const endAtOnce = store.MaxOps / 3

// End deletes sessions, up to endAtOnce of them in one commit; those that are gone already are no error.
func (s *Store) End(ctx context.Context, sids ...string) error {
	sids = slices.DeleteFunc(slices.Clone(sids), func(sid string) bool { return !isKey(sid) })
	slices.Sort(sids)
	for some := range slices.Chunk(slices.Compact(sids), endAtOnce) {
		if err := s.end(ctx, some); err != nil {
			return fmt.Errorf("sessions: %w", err)
		}
	}
	return nil
}

func (s *Store) end(ctx context.Context, sids []string) error {
	for try := 1; ; try++ {
		var ops []store.Op
		for _, sid := range sids {
			one, err := s.sessions.DeleteOps(ctx, sid, store.Any)
			if err != nil {
				return err
			}
			ops = append(ops, one...)
		}
		if _, err := s.o.Engine.Commit(ctx, ops...); !errors.Is(err, store.ErrConflict) || try == maxTries {
			return err
		}
	}
}
