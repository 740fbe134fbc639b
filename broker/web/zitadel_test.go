package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/client/tokenexchange"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// towards sends what is meant for the issuer to the test's listener.
type towards struct{ listener *url.URL }

func (d towards) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = d.listener.Scheme, d.listener.Host
	return http.DefaultTransport.RoundTrip(r)
}

// A client library that we did not write discovers, exchanges and introspects; it holds the wire forms to its own types.
func TestP50_ZitadelClientDiscoversExchangesAndIntrospects(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	listener, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	wire := &http.Client{Transport: towards{listener}}

	found, err := client.Discover(ctx, issuer, wire)
	if err != nil {
		t.Fatal(err)
	}
	if found.TokenEndpoint != issuer+"/token" || found.JwksURI != issuer+"/jwks" {
		t.Errorf("token endpoint %s, jwks %s, want them under %s", found.TokenEndpoint, found.JwksURI, issuer)
	}

	gateway, err := tokenexchange.NewTokenExchangerClientCredentials(ctx, issuer, "gateway", secretOf("gateway"), tokenexchange.WithHTTPClient(wire))
	if err != nil {
		t.Fatal(err)
	}
	got, err := tokenexchange.ExchangeToken(ctx, gateway, h.partner(), oidc.JWTTokenType, "", "", nil, []string{"orders"}, []string{"orders.read"}, oidc.AccessTokenType)
	if err != nil {
		t.Fatal(err)
	}
	if got.IssuedTokenType != oidc.AccessTokenType || got.TokenType != "Bearer" || got.Scopes.String() != "orders.read" {
		t.Errorf("issued %s, token type %s, scope %q; want an access token, Bearer, orders.read", got.IssuedTokenType, got.TokenType, got.Scopes)
	}

	orders, err := rs.NewResourceServerClientCredentials(ctx, issuer, "orders-api", secretOf("orders-api"), rs.WithClient(wire))
	if err != nil {
		t.Fatal(err)
	}
	seen, err := rs.Introspect[*oidc.IntrospectionResponse](ctx, orders, got.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if !seen.Active || seen.Subject != "acme|alice" || seen.ClientID != "gateway" {
		t.Errorf("introspection: active %t, sub %s, client %s; want an active token of acme|alice by gateway", seen.Active, seen.Subject, seen.ClientID)
	}
}

// The same library as an app: it signs a person in through us, verifies what it gets by its own rules, asks userinfo, refreshes, signs out.
func TestP50_ZitadelRelyingPartySignsIn(t *testing.T) {
	s, ctx := newSignInsAt(t, time.Now().Truncate(time.Second)), t.Context() // its verifier has a clock of its own
	listener, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	wire := &http.Client{Transport: towards{listener}}
	app, err := rp.NewRelyingPartyOIDC(ctx, issuer, "portal", secretOf("portal"), portal, []string{"openid", "profile", "email", "offline_access"},
		rp.WithHTTPClient(wire), rp.WithVerifierOpts(rp.WithSupportedSigningAlgorithms("ES256", "RS256")))
	if err != nil {
		t.Fatal(err)
	}
	way, err := url.Parse(rp.AuthURL("app's & own", app, rp.WithCodeChallenge(request().Get("code_challenge")), rp.AuthURLOpt(rp.WithURLParam("idp_hint", "acme"))))
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	said := reply(t, s.signedIn(b, s.acme, "alice", way.Query()))
	if said.Get("state") != "app's & own" {
		t.Errorf("state %q", said.Get("state"))
	}
	tokens, err := rp.CodeExchange[*oidc.IDTokenClaims](ctx, said.Get("code"), app, rp.WithCodeVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if got := tokens.IDTokenClaims; got.Subject != "acme|alice" || got.Name != "Alice" || got.Email != "alice@acme.example" {
		t.Errorf("ID token %+v", got)
	}
	info, err := rp.Userinfo[*oidc.UserInfo](ctx, tokens.AccessToken, tokens.TokenType, tokens.IDTokenClaims.Subject, app)
	if err != nil || info.Name != "Alice" || !bool(info.EmailVerified) {
		t.Errorf("userinfo %+v, %v", info, err)
	}
	next, err := rp.RefreshTokens[*oidc.IDTokenClaims](ctx, app, tokens.RefreshToken, "", "")
	if err != nil || next.AccessToken == tokens.AccessToken || next.RefreshToken == tokens.RefreshToken || next.IDTokenClaims.Subject != "acme|alice" {
		t.Errorf("refresh: %v", err)
	}
	out := s.visit(b, app.GetEndSessionEndpoint()+"?"+url.Values{"id_token_hint": {tokens.IDToken}, "post_logout_redirect_uri": {"https://portal.test/bye"}}.Encode(), nil)
	if !strings.HasPrefix(out.header.Get("Location"), "https://portal.test/bye") {
		t.Errorf("signing out: %d %v", out.status, out.header)
	}
}
