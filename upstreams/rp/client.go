package rp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/outbound"
)

// Options describe a Client. All but Secret, PrivateKeyFile and Bearer are required.
type Options struct {
	Issuer          string // the configured one
	ClientID        string
	AuthMethod      string // MethodBasic, MethodPost or MethodPrivateKey
	Secret          string
	PrivateKeyFile  string // PEM; read at each use, so that it can be replaced
	Scopes          []string
	ResponseMode    string
	CredentialHosts []string // hosts that may get credentials, the issuer's among them
	HTTP            *outbound.Client
	Now             func() time.Time
	Endpoints       *Endpoints // of all upstreams
}

// How we prove ourselves at a token endpoint (OpenID Connect Core §9).
const (
	MethodBasic      = "client_secret_basic"
	MethodPost       = "client_secret_post"
	MethodPrivateKey = "private_key_jwt"
)

// Client is one identity provider, as a relying party sees it. It is safe for concurrent use.
type Client struct {
	o      Options
	flight singleflight.Group

	mu     sync.Mutex
	doc    *Document // the last good one
	until  time.Time // fresh until then
	failed error     // why the last fetch failed, and
	retry  time.Time // when to try again
}

// New makes a client; it asks nobody for anything yet.
func New(o Options) *Client { return &Client{o: o} }

// Endpoints knows which issuer's token endpoint is where: one address of two issuers would get the credentials, and the codes, that are meant for
// the other (P37).
type Endpoints struct {
	mu     sync.Mutex
	issuer map[string]string // by token endpoint
}

func (e *Endpoints) claim(endpoint, issuer string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.issuer == nil {
		e.issuer = map[string]string{}
	}
	if held, taken := e.issuer[endpoint]; taken && held != issuer {
		return DocumentError{errors.New("token_endpoint is the one of another issuer")}
	}
	e.issuer[endpoint] = issuer
	return nil
}

const (
	minFresh     = time.Minute
	maxFresh     = 24 * time.Hour
	defaultFresh = time.Hour
	retryAfter   = 5 * time.Second // an identity provider that is down is not asked more often
	fetchTimeout = 10 * time.Second
)

// document is the discovery document: the fresh one, else one that is fetched now, else the last good one.
func (c *Client) document(ctx context.Context) (Document, error) {
	c.mu.Lock()
	doc, now := c.doc, c.o.Now()
	fresh, failed := doc != nil && now.Before(c.until), c.failed != nil && now.Before(c.retry)
	err := c.failed
	c.mu.Unlock()
	if fresh || failed && doc != nil {
		return *doc, nil
	}
	if failed {
		return Document{}, err
	}
	done := c.flight.DoChan("", func() (any, error) { // detached: whoever came first may leave
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		return nil, c.fetch(ctx)
	})
	select {
	case <-ctx.Done():
		return Document{}, fmt.Errorf("discovery: %w", ctx.Err())
	case <-done:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doc == nil {
		return Document{}, c.failed
	}
	return *c.doc, nil
}

func (c *Client) fetch(ctx context.Context) error {
	doc, header, err := Discover(ctx, c.o.HTTP, c.o.Issuer, outbound.Get{})
	if err == nil {
		err = c.check(&doc)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	if c.failed = err; err != nil {
		c.retry = now.Add(retryAfter)
		return err
	}
	c.doc, c.until = &doc, now.Add(freshness(header))
	return nil
}

// check judges every endpoint that a login uses.
func (c *Client) check(d *Document) error {
	endpoints := [][2]string{{"authorization_endpoint", d.AuthorizationEndpoint}, {"token_endpoint", d.TokenEndpoint}}
	if d.UserInfoEndpoint != "" {
		endpoints = append(endpoints, [2]string{"userinfo_endpoint", d.UserInfoEndpoint})
	}
	for i, e := range endpoints {
		if err := CheckEndpoint(e[0], e[1], c.o.Issuer); err != nil {
			return err
		}
		if i > 0 && !outbound.IsCredentialHost(e[1], c.o.CredentialHosts) {
			return DocumentError{fmt.Errorf("%s is at another host than the issuer: credentials go there only if it is in credential_hosts", e[0])}
		}
	}
	return c.o.Endpoints.claim(d.TokenEndpoint, c.o.Issuer)
}

// freshness is how long a document may be used without asking again (RFC 9111 §5.2.2.1).
func freshness(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		if age, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			if seconds, err := strconv.Atoi(age); err == nil {
				return min(max(time.Duration(seconds)*time.Second, minFresh), maxFresh)
			}
		}
	}
	return defaultFresh
}

// Authorization is one authorization request.
type Authorization struct {
	State, Nonce, Verifier, RedirectURI string
	Prompt                              []string
	MaxAge                              *time.Duration
	LoginHint                           string
	ACRValues, UILocales                []string
}

// AuthorizationURL is where to send the person: code flow, PKCE S256, a nonce (OpenID Connect Core §3.1.2.1, RFC 7636).
func (c *Client) AuthorizationURL(ctx context.Context, a Authorization) (string, error) {
	doc, err := c.document(ctx)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(doc.AuthorizationEndpoint)
	if err != nil {
		return "", DocumentError{errors.New("authorization_endpoint is not a URL")}
	}
	sum := sha256.Sum256([]byte(a.Verifier))
	q := u.Query() // an endpoint may have one of its own (RFC 6749 §3.1)
	q.Set("response_type", "code")
	q.Set("client_id", c.o.ClientID)
	q.Set("redirect_uri", a.RedirectURI)
	q.Set("scope", strings.Join(c.o.Scopes, " "))
	q.Set("state", a.State)
	q.Set("nonce", a.Nonce)
	q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
	q.Set("code_challenge_method", "S256")
	optional := map[string]string{
		"prompt": strings.Join(a.Prompt, " "), "login_hint": a.LoginHint, "acr_values": strings.Join(a.ACRValues, " "), "ui_locales": strings.Join(a.UILocales, " "),
	}
	if c.o.ResponseMode != "query" {
		optional["response_mode"] = c.o.ResponseMode
	}
	if a.MaxAge != nil {
		optional["max_age"] = strconv.FormatInt(int64(*a.MaxAge/time.Second), 10)
	}
	for name, value := range optional {
		if value != "" {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// IssInResponse says whether the identity provider promises `iss` in its responses (RFC 9207 §3).
func (c *Client) IssInResponse(ctx context.Context) (bool, error) {
	doc, err := c.document(ctx)
	return doc.IssInResponse, err
}

// Tokens is what a code gives.
type Tokens struct{ IDToken, AccessToken string }

// TokenError is a token endpoint's refusal (RFC 6749 §5.2).
type TokenError struct{ Code string }

func (e *TokenError) Error() string { return "token endpoint: " + e.Code }

// ErrNonsense is an answer that is none.
var ErrNonsense = errors.New("not an answer to what was asked")

const maxAnswer = 128 << 10 // bytes; an ID token alone is at most 16 KiB

// Redeem gives a code for tokens (OpenID Connect Core §3.1.3.1). Errors: *TokenError, ErrNonsense, or *outbound.Error.
func (c *Client) Redeem(ctx context.Context, code, verifier, redirectURI string) (Tokens, error) {
	doc, err := c.document(ctx)
	if err != nil {
		return Tokens{}, err
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
	post := outbound.Post{CredentialHosts: c.o.CredentialHosts, MaxBody: maxAnswer}
	switch c.o.AuthMethod {
	case MethodPost:
		form.Set("client_id", c.o.ClientID)
		form.Set("client_secret", c.o.Secret)
	case MethodPrivateKey:
		assertion, err := c.assertion()
		if err != nil {
			return Tokens{}, err
		}
		form.Set("client_id", c.o.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	default:
		post.User, post.Password = c.o.ClientID, c.o.Secret
	}
	body, status, err := c.o.HTTP.PostForm(ctx, doc.TokenEndpoint, form, post)
	if err != nil {
		return Tokens{}, fmt.Errorf("token endpoint: %w", err)
	}
	answer, err := jose.ParseClaims(body)
	if err != nil {
		return Tokens{}, fmt.Errorf("token endpoint: %w: not a JSON object", ErrNonsense)
	}
	if status != http.StatusOK {
		refusal, _ := answer.String("error")
		return Tokens{}, &TokenError{Code: word(refusal)}
	}
	t := Tokens{}
	t.IDToken, err = answer.String("id_token")
	if err != nil || t.IDToken == "" {
		return Tokens{}, fmt.Errorf("token endpoint: %w: no id_token", ErrNonsense)
	}
	t.AccessToken, _ = answer.String("access_token")
	if kind, _ := answer.String("token_type"); !strings.EqualFold(kind, "bearer") { // RFC 6749 §7.1: what is not understood is not used
		t.AccessToken = ""
	}
	return t, nil
}

// word keeps an error code that looks like one: nothing else of a stranger belongs into a log line.
func word(code string) string {
	if code == "" || len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "unreadable"
	}
	return code
}

// UserInfo asks for claims (OpenID Connect Core §5.3); none if there is no such endpoint or no token for it. Whose they are is the caller's
// to judge. A signed answer is refused as another media type: none was asked for.
func (c *Client) UserInfo(ctx context.Context, accessToken string) (claims jose.Claims, asked bool, err error) {
	doc, err := c.document(ctx)
	if err != nil || doc.UserInfoEndpoint == "" || accessToken == "" {
		return jose.Claims{}, false, err
	}
	body, _, err := c.o.HTTP.GetJSON(ctx, doc.UserInfoEndpoint, outbound.Get{
		MaxBody: maxAnswer, CredentialHosts: c.o.CredentialHosts, Bearer: func() (string, error) { return accessToken, nil },
	})
	if err != nil {
		return jose.Claims{}, false, fmt.Errorf("userinfo: %w", err)
	}
	claims, err = jose.ParseClaims(body)
	if err != nil {
		return jose.Claims{}, false, fmt.Errorf("userinfo: %w: not a JSON object", ErrNonsense)
	}
	return claims, true, nil
}

// newID is a jti.
func newID() string { return rand.Text() }
