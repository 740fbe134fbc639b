package token

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/store"
)

// typAccess is the typ of an access token (RFC 9068 section 2.1), in the form without application/ (RFC 7515 section 4.1.9).
const typAccess = "at+jwt"

// accessAlg signs access tokens, whoever they are for (P34).
const accessAlg = keyring.ES256

// accessSignature is the length of its signatures, in bytes (RFC 7518 section 3.4).
const accessSignature = 64

// Minted is a token of ours as it leaves, and what the journal says of it.
type Minted struct {
	Raw      string
	JTI      string
	KeyID    string
	IssuedAt time.Time
	Expires  time.Time
	IDToken  string // the ID token of the same login, "" if there is none

	IDTokenJTI string
}

// Draft is a token, and an ID token beside it where the Authority is a login's, that are written and measured but not signed: good for nobody yet.
type Draft struct {
	minter *Minter
	head   *header
	buf    *buffers // nil after Sign
	id     *idDraft // nil: none
	out    Minted
}

// Prepare writes the token that an Authority allows, under the key that signs now, as far as it can fail for what is in it: what must not happen
// for a token that never comes to be, like spending, belongs between Prepare and Sign. A Draft may be dropped. The token is an access token
// (RFC 9068), or of an exchange an ID token or ID-JAG, if that is what was decided.
//
// An aud of one name is a string, of several a list (RFC 7519 section 4.1.3 allows both): many verifiers take only a string.
// An Authority without scopes makes a token without scope.
//
// Errors: an *oauth.Error (temporarily_unavailable while no key signs, invalid_request for a token that would be too long); any
// other is a bug.
func (m *Minter) Prepare(a policy.Authority) (Draft, error) {
	if a.IsZero() {
		return Draft{}, errors.New("mint: an authority that nothing made")
	}
	k, err := m.kindOf(&a)
	if err != nil {
		return Draft{}, err
	}
	d := Draft{
		minter: m, head: k.head, buf: m.spare.Get().(*buffers),
		out: Minted{JTI: store.NewKey(a.IssuedAt()), KeyID: k.head.key.ID, IssuedAt: a.IssuedAt(), Expires: a.Expires()},
	}
	d.buf.payload, err = k.write(d.buf.payload[:0], m.o.Issuer, &d.out, &a)
	if err == nil {
		err = d.buf.fits(d.head, k.signature)
	}
	if id, beside := a.IDToken(); err == nil && beside && !id.Exchanged {
		d.id, err = m.prepareID(&a, id)
	}
	if err != nil {
		m.release(d.buf)
		return Draft{}, fmt.Errorf("mint: %w", err)
	}
	return d, nil
}

// kind is how one class of tokens is made.
type kind struct {
	head      *header
	signature int // bytes, at most
	write     func(dst []byte, issuer string, t *Minted, a *policy.Authority) ([]byte, error)
}

// kindOf is the class that the Authority is for. The error is a temporarily_unavailable: no key signs.
func (m *Minter) kindOf(a *policy.Authority) (kind, error) {
	k := kind{signature: accessSignature, write: appendAccess}
	typ, alg, cached := typAccess, accessAlg, &m.access
	if id, ok := a.IDToken(); ok && id.Exchanged {
		k = kind{signature: longestSignature, write: appendID}
		typ, alg, cached = typID, id.Alg, m.ids[id.Alg]
	} else if _, ok := a.IDJAG(); ok {
		k.write = appendIDJAG
		typ, cached = typIDJAG, &m.jag
	}
	key, err := m.o.Keyring.Signing(alg)
	if err != nil {
		return kind{}, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonUnavailable).Because(err)
	}
	k.head = headerOf(cached, typ, key)
	return k, nil
}

// Sign makes the token of a Draft, once. Every error is a fault of ours.
func (d *Draft) Sign() (Minted, error) {
	if d.buf == nil {
		return Minted{}, errors.New("mint: a draft that is signed already, or that nothing prepared")
	}
	buf := d.buf
	d.buf = nil
	defer d.minter.release(buf)
	var err error
	if d.out.Raw, err = buf.sign(d.head); err != nil {
		return Minted{}, fmt.Errorf("mint: %w", err)
	}
	if d.id != nil {
		if d.out.IDToken, err = d.id.sign(buf, d.out.Raw); err != nil {
			return Minted{}, fmt.Errorf("mint: %w", err)
		}
		d.out.IDTokenJTI = d.id.jti
	}
	return d.out, nil
}

// appendAccess writes the claims: those of RFC 9068 section 2.2, ours, and the ones that the rule releases.
func appendAccess(dst []byte, issuer string, t *Minted, a *policy.Authority) ([]byte, error) {
	o := object{buf: dst}
	o.string("iss", issuer)
	o.string("sub", a.Subject())
	o.oneOrMany("aud", a.Audiences())
	o.seconds("exp", t.Expires)
	o.seconds("iat", t.IssuedAt)
	o.string("jti", t.JTI)
	o.string("client_id", a.ClientID())
	o.optional("scope", a.Scope())
	o.seconds("auth_time", a.AuthTime())
	o.optional("acr", a.ACR())
	if amr := a.AMR(); len(amr) > 0 {
		o.strings("amr", amr)
	}
	o.upstream(a.Upstream())
	o.actor(issuer, a.Act())
	o.confirmed(a.Confirmed())
	o.seconds("origin_exp", a.OriginExpires())
	o.lineage(factsOf(t.JTI, t.KeyID, a))
	o.released(a.Claims())
	return o.end()
}

// oneOrMany writes one value as a string and several as a list; none is left out.
func (o *object) oneOrMany(name string, values []string) {
	switch len(values) {
	case 0:
	case 1:
		o.string(name, values[0])
	default:
		o.strings(name, values)
	}
}

// factsOf is what a revocation can name of a token that an Authority becomes.
func factsOf(jti, kid string, a *policy.Authority) revoke.Facts {
	return revoke.Facts{TokenID: jti, ClientID: a.ClientID(), Subject: a.Subject(), Upstream: a.Upstream().Name, Kid: kid, Lineage: a.Lineage()}
}

// actor writes who acts (RFC 8693 section 4.1), the current actor outermost. iss is always ours: all of them are subjects of ours (P20).
func (o *object) actor(issuer string, act *rules.Actor) {
	if act == nil {
		return
	}
	o.name("act")
	inner := object{}
	inner.string("iss", issuer)
	inner.string("sub", act.Subject)
	inner.optional("client_id", act.ClientID)
	inner.actor(issuer, act.Act)
	o.embed(inner)
}

// confirmed writes the key that the token is bound to (RFC 9449 section 6.1).
func (o *object) confirmed(key string) {
	if key == "" {
		return
	}
	o.name("cnf")
	inner := object{}
	inner.string("jkt", key)
	o.embed(inner)
}

// embed writes an object as a value.
func (o *object) embed(inner object) {
	text, err := inner.end()
	o.buf = append(o.buf, text...)
	o.fail(err)
}

// upstream writes which upstream vouched (P6): for a client's own token, none.
func (o *object) upstream(u policy.UpstreamRef) {
	if u.Name == "" {
		return
	}
	o.name("upstream")
	inner := object{}
	inner.string("name", u.Name)
	inner.optional("iss", u.Issuer)
	inner.optional("sub", u.Subject)
	o.embed(inner)
}

func (o *object) lineage(f revoke.Facts) {
	o.name("lin")
	buf, err := f.AppendLineage(o.buf)
	if err != nil {
		o.fail(err)
		return
	}
	o.buf = buf
}

// released writes the rule's claims (P8). Policy releases no reserved one; a second sub in a token would be so bad that it is
// looked at here once more.
func (o *object) released(claims map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if mappers.Reserved(name) || !mappers.ValidClaimName(name) {
			o.fail(fmt.Errorf("claim %q may not be released", name))
			return
		}
		o.name(name)
		o.value(claims[name], 0)
	}
}
