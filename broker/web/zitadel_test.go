package web_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/client"
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
