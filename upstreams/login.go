package upstreams

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/spec"
)

// Login is the power of upstreams that people can log in at.
type Login interface {
	Upstream
	// Start returns where to send the person. The error is an *Error that wraps ErrUnavailable or ErrInvalid.
	Start(ctx context.Context, a Attempt) (authorizationURL string, err error)
	// Finish judges the authorization response, redeems its code, verifies the ID token and adds what userinfo says. The error is an *Error that wraps
	// ErrDenied, ErrUnavailable or ErrInvalid.
	Finish(ctx context.Context, a Attempt, response url.Values) (Identity, error)
}

// Attempt is one login attempt, as its upstream knows it.
type Attempt struct {
	State, Nonce, Verifier string         // made for this attempt alone
	RedirectURI            string         // where the answer comes
	Prompt                 []string       // sent on; with login, auth_time is asked for, too
	MaxAge                 *time.Duration // sent on
	LoginHint              string
	ACRValues, UILocales   []string
	Now                    time.Time
}

// finishTimeout bounds everything that is asked of an upstream while the person waits.
const finishTimeout = 20 * time.Second

// loginUpstream is an upstream with the relying party's side.
type loginUpstream struct {
	*verifier
	client *rp.Client
}

// Login finds an upstream that people can log in at.
func (s *Set) Login(name string) (Login, bool) {
	m, ok := s.byName[name]
	if !ok || m.login == nil {
		return nil, false
	}
	return &loginUpstream{&m.verifier, m.login}, true
}

// newLogin makes the relying party of an upstream of a kind that has logins.
func (m *member) newLogin(client *outbound.Client, endpoints *rp.Endpoints) {
	if !kinds[m.spec.Kind].Login {
		return
	}
	m.login = rp.New(rp.Options{
		Issuer: m.issuer, ClientID: m.spec.ClientID, AuthMethod: m.spec.AuthMethod, Secret: string(m.spec.ClientSecret), PrivateKeyFile: m.spec.PrivateKeyFile,
		Scopes: m.spec.Scopes, ResponseMode: m.spec.ResponseMode, CredentialHosts: m.spec.CredentialHostList(), HTTP: client, Now: m.now, Endpoints: endpoints,
	})
}

// Start implements Login.
func (l *loginUpstream) Start(ctx context.Context, a Attempt) (string, error) {
	out := rp.Authorization{
		State: a.State, Nonce: a.Nonce, Verifier: a.Verifier, RedirectURI: a.RedirectURI,
		Prompt: a.Prompt, MaxAge: a.MaxAge, LoginHint: a.LoginHint, ACRValues: a.ACRValues, UILocales: a.UILocales,
	}
	for _, p := range a.Prompt {
		if p == "login" && out.MaxAge == nil { // OpenID Connect Core §3.1.2.1: auth_time is promised only to who asks for max_age
			out.MaxAge = new(time.Duration)
		}
	}
	address, err := l.client.AuthorizationURL(ctx, out)
	if err != nil {
		return "", l.askError(err)
	}
	return address, nil
}

// Finish implements Login.
func (l *loginUpstream) Finish(ctx context.Context, a Attempt, response url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	code, err := l.code(ctx, a, response)
	if err != nil {
		return Identity{}, err
	}
	tokens, err := l.client.Redeem(ctx, code, a.Verifier, a.RedirectURI)
	if err != nil {
		return Identity{}, l.askError(err)
	}
	token, err := jose.Parse(tokens.IDToken)
	if err != nil {
		return Identity{}, l.refuse(ReasonNonsense, fmt.Errorf("ID token: %w", err))
	}
	id, err := l.Verify(ctx, token, Want{Purpose: PurposeLogin, Nonce: a.Nonce, Now: l.now()})
	if err != nil {
		return Identity{}, err
	}
	if err := l.boundTo(token, id.Claims, tokens.AccessToken); err != nil {
		return Identity{}, err
	}
	if sid, ok := id.Claims["sid"].(string); ok && len(sid) <= maxSubject && spec.Printable(sid) {
		id.SessionID = sid
	}
	return id, l.addUserInfo(ctx, &id, tokens.AccessToken)
}

// code is what the response gives, if it is an answer to this attempt, by this issuer (RFC 9207 §2.4, RFC 9700 §4.4). What an error response says
// beside its code is for nobody.
func (l *loginUpstream) code(ctx context.Context, a Attempt, response url.Values) (string, error) {
	for _, values := range response {
		if len(values) != 1 {
			return "", l.refuse(ReasonResponse, errors.New("a repeated parameter"))
		}
	}
	if a.State == "" || response.Get("state") != a.State {
		return "", l.refuse(ReasonResponse, errors.New("state is not the attempt's"))
	}
	promised, err := l.client.IssInResponse(ctx)
	if err != nil {
		return "", l.askError(err)
	}
	if iss, present := response["iss"]; present && iss[0] != l.issuer {
		return "", l.refuse(ReasonResponse, errors.New("iss is another issuer's"))
	} else if promised && !present {
		return "", l.refuse(ReasonResponse, errors.New("iss is missing, and the upstream promises it"))
	}
	if refusal, present := response["error"]; present {
		return "", l.denied(refusal[0])
	}
	code := response.Get("code")
	if code == "" {
		return "", l.refuse(ReasonResponse, errors.New("neither code nor error"))
	}
	return code, nil
}

// denied is an error response (RFC 6749 §4.1.2.1). That an upstream can't answer now is not a no.
func (l *loginUpstream) denied(code string) *Error {
	if code == "temporarily_unavailable" || code == "server_error" {
		return l.refuse(ReasonUnavailable, fmt.Errorf("error response: %s", code))
	}
	if code == "" || len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		code = "unreadable"
	}
	return l.refuse(ReasonDenied, fmt.Errorf("error response: %s", code))
}

// askError tells an upstream that can't be reached from one whose answer is none.
func (l *loginUpstream) askError(err error) *Error {
	var refusal *rp.TokenError
	var document rp.DocumentError
	var transport *outbound.Error
	switch {
	case errors.As(err, &refusal), errors.As(err, &document), errors.Is(err, rp.ErrNonsense):
		return l.refuse(ReasonNonsense, err)
	case errors.As(err, &transport):
		switch transport.Class {
		case outbound.ClassMediaType, outbound.ClassTooLarge, outbound.ClassRedirect, outbound.ClassCredential, outbound.ClassURL:
			return l.refuse(ReasonNonsense, err)
		case outbound.ClassStatus:
			if transport.Status < 500 && transport.Status != 429 {
				return l.refuse(ReasonNonsense, err)
			}
		}
	}
	return l.refuse(ReasonUnavailable, err)
}

// boundTo holds the access token to the ID token, where that has at_hash (OpenID Connect Core §3.1.3.8).
func (l *loginUpstream) boundTo(token jose.Unverified, claims map[string]any, access string) error {
	want, present := claims["at_hash"]
	if !present || access == "" {
		return nil
	}
	var sum []byte
	switch alg := token.Alg(); {
	case strings.HasSuffix(alg, "384"):
		full := sha512.Sum384([]byte(access))
		sum = full[:]
	case strings.HasSuffix(alg, "256"):
		full := sha256.Sum256([]byte(access))
		sum = full[:]
	default: // 512, and Ed25519's own hash (RFC 8032 §5.1)
		full := sha512.Sum512([]byte(access))
		sum = full[:]
	}
	if want != base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) {
		return l.refuse(ReasonClaim, errors.New("at_hash is not the access token's"))
	}
	return nil
}

// pairs are claims that mean something only together: a word that an address is verified is worth nothing beside another address.
var pairs = [...][2]string{{"email", "email_verified"}, {"phone_number", "phone_number_verified"}}

// protocol are claims that only a signed token can make (P4) or that are the token's own.
var protocol = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "nbf": true, "iat": true, "jti": true, "nonce": true, "acr": true, "amr": true, "azp": true,
	"auth_time": true, "sid": true, "at_hash": true, "c_hash": true, "s_hash": true, "act": true, "may_act": true, "cnf": true, "events": true, "typ": true,
}

// addUserInfo adds what userinfo says to what the ID token says. It must be of the same subject (OpenID Connect Core §5.3.2); the ID token, which
// is signed, wins where both say something.
func (l *loginUpstream) addUserInfo(ctx context.Context, id *Identity, access string) error {
	info, asked, err := l.client.UserInfo(ctx, access)
	if err != nil {
		return l.askError(err)
	}
	if !asked {
		return nil
	}
	subject, err := info.String(spec.ClaimSubject)
	if err != nil || subject == "" || subject != id.Claims[spec.ClaimSubject] {
		return l.refuse(ReasonUserInfo, errors.New("userinfo is another subject's"))
	}
	merged := maps.Clone(id.Claims)
	told := info.Map()
	for _, pair := range pairs {
		if mine, both := id.Claims[pair[0]]; both && mine != told[pair[0]] {
			delete(told, pair[0])
			delete(told, pair[1])
		}
	}
	for name, value := range told {
		if _, signed := merged[name]; !signed && !protocol[name] {
			merged[name] = value
		}
	}
	id.Claims = merged
	return nil
}
