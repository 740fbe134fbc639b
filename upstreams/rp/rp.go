// Package rp speaks to an OpenID provider as its relying party: it reads the discovery document, makes the authorization URL, judges the
// authorization response, redeems the code, and asks for userinfo (OpenID Connect Core §3.1, Discovery §4, RFC 6749, RFC 9207). It
// judges no ID token: that is package upstreams', which has one verifier for all tokens.
//
// The requests are those of zitadel/oidc's relying party. Its handlers are not used (fixed cookies, no nonce, no iss), nor its verifier,
// nor its discovery; and it sees only answers that are strict JSON of bounded length (see strict), since it would take forms and
// repeated members, and quotes what it can't read in its errors.
package rp

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	zitadel "github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/spec"
)

// promptLogin wants the person to authenticate again (OpenID Connect Core §3.1.2.1).
const promptLogin = "login"

// Attempt is one login attempt, from the authorization request to the end.
type Attempt struct {
	State, Nonce, Verifier string // the caller's, required; the S256 challenge of Verifier is sent (RFC 7636 §4.2)
	RedirectURI            string // required
	Prompt                 []string
	MaxAge                 *time.Duration // sent if not nil; with prompt login zero is sent, so that auth_time comes back
	LoginHint              string
	ACRValues, UILocales   []string
	Now                    time.Time
}

// complete says whether the attempt can be told from every other: without that there is nothing to hold an answer to.
func (a Attempt) complete() bool {
	return a.State != "" && a.Nonce != "" && a.Verifier != "" && a.RedirectURI != ""
}

// Options of New. All are required but what the method of authentication does not need.
type Options struct {
	Issuer, ClientID string
	Method           string      // spec.AuthBasic, AuthPost or AuthPrivateKey
	Secret           spec.Secret // of AuthBasic and AuthPost
	PrivateKeyFile   string      // of AuthPrivateKey: PEM or a JWK
	Scopes           []string
	ResponseMode     string
	Plain            bool             // OAuth 2.0 and no more: what OpenID Connect adds to an authorization request is not sent, but for prompt
	HTTP             *outbound.Client // for the token endpoint
	Resources        *outbound.Client // for userinfo [HTTP]
	CredentialHosts  []string         // what may get our credentials and the provider's access tokens (P43)
	Now              func() time.Time
}

// Client is this broker at one provider. It is immutable and safe for concurrent use.
type Client struct {
	o               Options
	http, resources *http.Client
}

// New makes a client. It does no I/O.
func New(o Options) *Client {
	if o.Resources == nil {
		o.Resources = o.HTTP
	}
	return &Client{o: o, http: strictly(o.HTTP), resources: strictly(o.Resources)}
}

// strictly is the upstream's client, of which only good answers come through.
func strictly(client *outbound.Client) *http.Client {
	calls := *client.HTTP()
	calls.Transport = strict{calls.Transport}
	return &calls
}

// AuthorizationURL is where the person's browser goes (OpenID Connect Core §3.1.2.1). Every error is an *Error.
func (c *Client) AuthorizationURL(doc Document, a Attempt) (string, error) {
	if !a.complete() {
		return "", fault(KindResponse, "the attempt lacks state, nonce, verifier or redirect URI")
	}
	if err := checkEndpoint(c.o.Issuer, doc.AuthorizationEndpoint); err != nil {
		return "", fault(KindEndpoint, "authorization_endpoint: %w", err)
	}
	options := []zitadel.AuthURLOpt{zitadel.WithCodeChallenge(oidc.NewSHACodeChallenge(a.Verifier))}
	add := func(name, value string) {
		if value != "" {
			options = append(options, zitadel.AuthURLOpt(zitadel.WithURLParam(name, value)))
		}
	}
	add("prompt", strings.Join(a.Prompt, " "))
	if !c.o.Plain {
		add("nonce", a.Nonce)
		if c.o.ResponseMode != spec.ResponseQuery { // the code flow's default (OAuth 2.0 Multiple Response Types §2.1)
			add("response_mode", c.o.ResponseMode)
		}
		add("max_age", a.maxAge())
		add("login_hint", a.LoginHint)
		add("acr_values", strings.Join(a.ACRValues, " "))
		add("ui_locales", strings.Join(a.UILocales, " "))
	}
	party, err := c.party(doc, a.RedirectURI, c.http)
	if err != nil {
		return "", err
	}
	return zitadel.AuthURL(a.State, party, options...), nil
}

// maxAge is max_age as it is sent; empty when it is not.
func (a Attempt) maxAge() string {
	switch {
	case slices.Contains(a.Prompt, promptLogin):
		return "0"
	case a.MaxAge == nil:
		return ""
	}
	return strconv.FormatInt(int64(max(*a.MaxAge, 0)/time.Second), 10)
}

// party is the library's view of the provider for one call. It verifies nothing (NewRelyingPartyOAuth) and discovers nothing.
func (c *Client) party(doc Document, redirectURI string, client *http.Client) (zitadel.RelyingParty, error) {
	style, secret := oauth2.AuthStyleInHeader, c.o.Secret.Reveal() // which form-encodes both halves first (RFC 6749 §2.3.1)
	switch c.o.Method {
	case spec.AuthPost:
		style = oauth2.AuthStyleInParams
	case spec.AuthPrivateKey:
		style, secret = oauth2.AuthStyleInParams, ""
	}
	party, err := zitadel.NewRelyingPartyOAuth(&oauth2.Config{
		ClientID: c.o.ClientID, ClientSecret: secret, RedirectURL: redirectURI, Scopes: c.o.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: doc.AuthorizationEndpoint, TokenURL: doc.TokenEndpoint},
	}, zitadel.WithHTTPClient(client), zitadel.WithAuthStyle(style))
	if err != nil {
		return nil, fault(KindNonsense, "relying party: %w", err)
	}
	return provider{party, doc.UserInfoEndpoint}, nil
}

// provider adds the endpoint that NewRelyingPartyOAuth has no place for.
type provider struct {
	zitadel.RelyingParty
	userinfo string
}

// UserinfoEndpoint is that of the discovery document.
func (p provider) UserinfoEndpoint() string { return p.userinfo }

// mayCall says whether an endpoint may get what only the provider may see: our credentials, its codes and access tokens (P43).
func (c *Client) mayCall(name, endpoint string) error {
	if err := checkEndpoint(c.o.Issuer, endpoint); err != nil {
		return fault(KindEndpoint, "%s: %w", name, err)
	}
	if !outbound.IsCredentialHost(endpoint, c.o.CredentialHosts) {
		return fault(KindEndpoint, "%s is neither at the issuer's host nor in credential_hosts", name)
	}
	return nil
}
