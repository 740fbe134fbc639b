package userinfo

import (
	"context"
	"errors"
	"testing"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/dpop"
	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/release"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
	"fedbroker/upstreams/jose"
)

const (
	issuer = "https://login.example.com"
	raw    = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln" // what it says is the opener's word
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// key is the one that tokens here are bound to; another is somebody else's.
var key, another = dpop.TokenHash("key"), dpop.TokenHash("another")

// parts stand in for everything that a Service asks.
type parts struct {
	own    token.Own
	key    string // that a proof proves
	err    error  // of proofs
	seen   []dpop.Want
	proofs []string
}

func (p *parts) Lookup(id string) (*clients.Client, bool) {
	return &clients.Client{ID: "wiki"}, id == "wiki"
}

func (p *parts) Grant(_ context.Context, id string) (session.Grant, error) {
	if id != "family" {
		return session.Grant{}, session.ErrNone
	}
	return session.Grant{ClientID: "wiki", Subject: "acme|ada", Upstream: "acme", Claims: map[string]any{"name": "Ada"}}, nil
}

func (p *parts) OpenAccess(jose.Unverified, time.Time) (token.Own, error) { return p.own, nil }

func (p *parts) Check(headers []string, w dpop.Want) (oauth.Proof, error) {
	p.seen, p.proofs = append(p.seen, w), headers
	return oauth.Proof{Key: p.key, TokenHash: dpop.TokenHash(w.Token)}, p.err
}

// ada's access token at wiki, bound to confirmed, "" for a bearer's.
func of(confirmed string) token.Own {
	return token.Own{
		ClientID: "wiki", Subject: "acme|ada", Audience: []string{issuer}, Scopes: []string{"openid", "profile"}, Confirmed: confirmed,
		Facts: revoke.Facts{Lineage: revoke.Lineage{Families: []string{"family"}}},
	}
}

func (p *parts) service(t *testing.T, proofs Proofs) *Service {
	t.Helper()
	s, err := New(Options{Issuer: issuer, Clients: p, Scopes: release.New(nil), Grants: p, Tokens: p, Proofs: proofs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func request(byDPoP bool, proofs ...string) Request {
	return Request{Token: raw, DPoP: byDPoP, Proofs: proofs, Method: "GET", URL: issuer + "/userinfo", Now: noon}
}

// RFC 9449 §7.1, §7.2: the token, the scheme, the proof and the key fit each other, or nothing is said.
func TestRFC9449_Possession(t *testing.T) {
	for name, c := range map[string]struct {
		confirmed string
		byDPoP    bool
		proofs    []string
		key       string // that the proof proves
		code      oauth.Code
		status    int
	}{
		"a bearer token by Bearer":                    {"", false, nil, "", "", 0},
		"a bearer token by Bearer, beside a proof":    {"", false, []string{"p"}, key, "", 0},
		"a bearer token by DPoP":                      {"", true, []string{"p"}, key, oauth.CodeInvalidToken, 401},
		"a bound token by Bearer":                     {key, false, nil, "", oauth.CodeInvalidToken, 401},
		"a bound token by Bearer, with its own proof": {key, false, []string{"p"}, key, oauth.CodeInvalidToken, 401},
		"a bound token by DPoP":                       {key, true, []string{"p"}, key, "", 0},
		"a bound token by DPoP, another key":          {key, true, []string{"p"}, another, oauth.CodeInvalidToken, 401},
		"a bound token by DPoP, no proof":             {key, true, nil, key, oauth.CodeInvalidDPoPProof, 401},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{own: of(c.confirmed), key: c.key}
			body, err := p.service(t, p).Answer(t.Context(), request(c.byDPoP, c.proofs...), &event.Event{})
			if judged := len(p.seen) > 0; judged != (c.confirmed != "" && c.byDPoP && c.proofs != nil) {
				t.Errorf("a proof was judged: %v", judged) // and so spent, where it says nothing
			}
			if c.code == "" {
				if err != nil || len(body) == 0 {
					t.Errorf("got %s, %v", body, err)
				}
				return
			}
			if e := oauth.AsError(err); err == nil || body != nil || e.Code != c.code || e.HTTPStatus() != c.status {
				t.Errorf("got %s, %v", body, err)
			}
		})
	}
}

// RFC 9449 §4.3: the proof is held to this request and this token.
func TestRFC9449_TheProofIsOfThisRequest(t *testing.T) {
	p := &parts{own: of(key), key: key}
	if _, err := p.service(t, p).Answer(t.Context(), request(true, "a", "b"), &event.Event{}); err != nil {
		t.Fatal(err)
	}
	want := dpop.Want{Method: "GET", URL: issuer + "/userinfo", Token: raw, Now: noon}
	if len(p.seen) != 1 || p.seen[0] != want || len(p.proofs) != 2 {
		t.Errorf("asked %+v about %v", p.seen, p.proofs)
	}
}

// RFC 9449 §7.1, §9: refusals of a proof are 401 here, and keep their nonce.
func TestRFC9449_RefusalsOfAProof(t *testing.T) {
	nonce := oauth.Deny(oauth.CodeUseDPoPNonce, oauth.ReasonProof)
	nonce.DPoPNonce = "n"
	for _, c := range []struct {
		err    error
		code   oauth.Code
		status int
		nonce  string
	}{
		{oauth.Deny(oauth.CodeInvalidDPoPProof, oauth.ReasonProof), oauth.CodeInvalidDPoPProof, 401, ""},
		{nonce, oauth.CodeUseDPoPNonce, 401, "n"},
		{oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonProof), oauth.CodeTemporarilyUnavailable, 503, ""},
		{errors.New("broken"), oauth.CodeServerError, 500, ""},
	} {
		p := &parts{own: of(key), key: key, err: c.err}
		_, err := p.service(t, p).Answer(t.Context(), request(true, "p"), &event.Event{})
		if e := oauth.AsError(err); e.Code != c.code || e.HTTPStatus() != c.status || e.DPoPNonce != c.nonce {
			t.Errorf("%v: got %v, %d, nonce %q", c.err, err, e.HTTPStatus(), e.DPoPNonce)
		}
	}
	if nonce.HTTPStatus() != 400 {
		t.Error("the refusal of the token endpoint was changed")
	}
}

func TestP25_WithoutAJudgeOfProofsNoBoundTokenServes(t *testing.T) {
	p := &parts{own: of(key), key: key}
	if _, err := p.service(t, nil).Answer(t.Context(), request(true, "p"), &event.Event{}); oauth.AsError(err).Code != oauth.CodeInvalidToken {
		t.Error(err)
	}
}

// A proof is spent on nothing that fails without it.
func TestP25_NoProofIsSpentOnADeadToken(t *testing.T) {
	p := &parts{own: of(key), key: key}
	r := request(true, "p")
	r.Token = "nonsense"
	if _, err := p.service(t, p).Answer(t.Context(), r, &event.Event{}); oauth.AsError(err).Code != oauth.CodeInvalidToken || len(p.seen) > 0 {
		t.Errorf("%v, asked %d times", err, len(p.seen))
	}
}

func TestNew_RefusesWhatIsMissing(t *testing.T) {
	if _, err := New(Options{Issuer: issuer}); err == nil {
		t.Error("no error")
	}
}
