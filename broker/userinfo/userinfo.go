// Package userinfo says what an access token of a login lets be known of the person (OpenID Connect Core §5.3). It knows no transport.
package userinfo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/dpop"
	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/release"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
	"fedbroker/upstreams/jose"
)

// Options of New. All but Proofs are required.
type Options struct {
	Issuer  string // ours
	Clients interface {
		Lookup(id string) (*clients.Client, bool)
	}
	Scopes *release.Scopes
	Grants interface {
		Grant(ctx context.Context, id string) (session.Grant, error)
	}
	Tokens interface {
		OpenAccess(u jose.Unverified, now time.Time) (token.Own, error)
	}
	Proofs Proofs // nil: no bound token is taken
}

// Proofs judges proofs of possession; *dpop.Checker is one.
type Proofs interface {
	Check(headers []string, w dpop.Want) (oauth.Proof, error)
}

// Service answers requests. It keeps nothing and is safe for concurrent use.
type Service struct{ o Options }

// New checks that nothing is missing.
func New(o Options) (*Service, error) {
	if o.Issuer == "" || o.Clients == nil || o.Scopes == nil || o.Grants == nil || o.Tokens == nil {
		return nil, errors.New("userinfo: a part is missing")
	}
	return &Service{o}, nil
}

// Request is a request for claims (OpenID Connect Core §5.3.1).
type Request struct {
	Token       string
	DPoP        bool     // by the DPoP scheme (RFC 9449 §7.1), not by Bearer
	Proofs      []string // values of the header DPoP
	Method, URL string   // what a proof has to name
	Now         time.Time
}

// Answer is the claims as JSON, and into e what is to be told of the request. The error is an *oauth.Error: invalid_token, insufficient_scope,
// invalid_dpop_proof, use_dpop_nonce, or temporarily_unavailable.
func (s *Service) Answer(ctx context.Context, r Request, e *event.Event) ([]byte, error) {
	own, err := s.open(r)
	if err != nil {
		return nil, err
	}
	if err := s.possession(r, own); err != nil {
		return nil, err
	}
	client, known := s.o.Clients.Lookup(own.ClientID)
	if !known {
		return nil, badToken(oauth.ReasonToken, errors.New("of a client that is none any more"))
	}
	e.ClientID, e.TokenID = client.ID, own.JTI
	grant, err := s.grant(ctx, own)
	if err != nil {
		return nil, err
	}
	e.Upstream, e.SessionID = grant.Upstream, grant.SessionID
	claims := s.o.Scopes.Of(grant.Claims, own.Scopes) // a refresh may have narrowed them
	claims["sub"], claims["upstream"] = grant.Subject, upstreamClaim(&grant, client.FullUpstream)
	body, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	return body, nil
}

func badToken(reason oauth.Reason, cause error) error {
	return oauth.Deny(oauth.CodeInvalidToken, reason).Because(cause)
}

// open opens the token; whatever is wrong with it is its bearer's fault, a stale revocation set is nobody's.
func (s *Service) open(r Request) (token.Own, error) {
	unverified, err := jose.Parse(r.Token)
	if err != nil {
		return token.Own{}, badToken(oauth.ReasonToken, err)
	}
	own, err := s.o.Tokens.OpenAccess(unverified, r.Now)
	if err == nil {
		return own, nil
	}
	if refusal := oauth.AsError(err); refusal.Code == oauth.CodeInvalidRequest {
		return token.Own{}, badToken(refusal.Reason, err)
	}
	return token.Own{}, err
}

// possession holds the token to the way in which it came: a bound one by the DPoP scheme alone, with a proof by its key that names this token, and
// one of a mere bearer by Bearer alone (RFC 9449 §7.1, §7.2).
func (s *Service) possession(r Request, own token.Own) error {
	switch {
	case own.Confirmed == "" && !r.DPoP:
		return nil
	case own.Confirmed == "":
		return badToken(oauth.ReasonConfirmation, errors.New("a bearer token by the DPoP scheme"))
	case !r.DPoP:
		return badToken(oauth.ReasonConfirmation, errors.New("a bound token by the Bearer scheme"))
	case s.o.Proofs == nil:
		return badToken(oauth.ReasonConfirmation, errors.New("proofs are not judged here"))
	case len(r.Proofs) == 0:
		return unauthorized(dpop.Missing())
	}
	proof, err := s.o.Proofs.Check(r.Proofs, dpop.Want{Method: r.Method, URL: r.URL, Token: r.Token, Now: r.Now})
	if err != nil {
		return unauthorized(err)
	}
	if !proof.Proves(own.Confirmed) {
		return badToken(oauth.ReasonConfirmation, errors.New("the proof is not by the token's key"))
	}
	return nil
}

// unauthorized gives refusals of a proof the status that they have at a resource (RFC 9449 §7.1, §9); at the token endpoint it is 400.
func unauthorized(err error) error {
	e := *oauth.AsError(err)
	if e.Code == oauth.CodeInvalidDPoPProof || e.Code == oauth.CodeUseDPoPNonce {
		e.Status = http.StatusUnauthorized
	}
	return &e
}

// grant is the login that the token is of.
func (s *Service) grant(ctx context.Context, own token.Own) (session.Grant, error) {
	if !slices.Contains(own.Audience, s.o.Issuer) { // P35
		return session.Grant{}, badToken(oauth.ReasonTokenAudience, errors.New("our issuer is not in aud"))
	}
	if !slices.Contains(own.Scopes, oauth.ScopeOpenID) {
		return session.Grant{}, oauth.Deny(oauth.CodeInsufficientScope, oauth.ReasonScope).Because(errors.New("without openid"))
	}
	lineage := own.Facts.Lineage
	if len(lineage.Families) != 1 || len(lineage.Rules) > 0 || own.Act != nil {
		return session.Grant{}, badToken(oauth.ReasonToken, errors.New("not a login's own access token"))
	}
	grant, err := s.o.Grants.Grant(ctx, lineage.Families[0])
	if errors.Is(err, session.ErrNone) {
		return session.Grant{}, badToken(oauth.ReasonToken, err)
	}
	if err != nil {
		return session.Grant{}, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonUnavailable).Because(err)
	}
	if grant.ClientID != own.ClientID || grant.Subject != own.Subject {
		return session.Grant{}, badToken(oauth.ReasonToken, errors.New("the grant is another's"))
	}
	return grant, nil
}

// upstreamClaim is where the person signed in; who they are there is for those who may know (P6).
func upstreamClaim(g *session.Grant, full bool) map[string]string {
	if full {
		return map[string]string{"name": g.Upstream, "iss": g.UpstreamIssuer, "sub": g.UpstreamSubject}
	}
	return map[string]string{"name": g.Upstream}
}
