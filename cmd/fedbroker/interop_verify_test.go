//go:build interop

package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// These tests are run by `make interop` against a running broker: go-oidc and x/oauth2 meet it as any relying Go service would.

const (
	interopAPI    = "https://orders.example"
	interopClient = "gateway"
)

// interopIssuer returns the issuer of the broker that .ci/interop/run started and the client's secret.
func interopIssuer(t *testing.T) (issuer, secret string) {
	t.Helper()
	issuer, work := os.Getenv("BROKER_URL"), os.Getenv("WORK")
	if issuer == "" || work == "" {
		t.Fatal("no broker to test: run make interop")
	}
	file, err := os.ReadFile(filepath.Join(work, interopClient+".secret"))
	if err != nil {
		t.Fatal(err)
	}
	return issuer, strings.TrimSpace(string(file))
}

// interopToken gets an access token by client_credentials (RFC 6749 §4.4) for the API, through x/oauth2.
func interopToken(t *testing.T, provider *oidc.Provider, secret string) *oauth2.Token {
	t.Helper()
	config := clientcredentials.Config{
		ClientID: interopClient, ClientSecret: secret, TokenURL: provider.Endpoint().TokenURL, Scopes: []string{"orders.read"},
		EndpointParams: url.Values{"resource": {interopAPI}}, AuthStyle: oauth2.AuthStyleInHeader,
	}
	token, err := config.Token(t.Context())
	if err != nil {
		t.Fatalf("client_credentials: %v", err)
	}
	return token
}

func interopProvider(t *testing.T) (provider *oidc.Provider, secret string) {
	t.Helper()
	issuer, secret := interopIssuer(t)
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatalf("go-oidc refuses our discovery: %v", err)
	}
	return provider, secret
}

func TestInteropGoOIDCVerifiesOurToken(t *testing.T) {
	provider, secret := interopProvider(t)
	token := interopToken(t, provider, secret)
	// The verifier takes the algorithms that our discovery names, so that this holds discovery and tokens together.
	verified, err := provider.Verifier(&oidc.Config{ClientID: interopAPI}).Verify(t.Context(), token.AccessToken)
	if err != nil {
		t.Fatalf("go-oidc refuses our token: %v", err)
	}
	var claims struct {
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
		ID       string `json:"jti"`
	}
	if err := verified.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if verified.Subject != interopClient || claims.ClientID != interopClient || claims.Scope != "orders.read" || claims.ID == "" {
		t.Errorf("sub %q, claims %+v", verified.Subject, claims)
	}
	if difference := verified.Expiry.Sub(token.Expiry).Abs(); difference.Seconds() > 2 {
		t.Errorf("exp and expires_in differ by %v", difference)
	}
}

func TestInteropGoOIDCRefusesAForeignAudience(t *testing.T) {
	provider, secret := interopProvider(t)
	token := interopToken(t, provider, secret)
	if _, err := provider.Verifier(&oidc.Config{ClientID: "https://billing.example"}).Verify(t.Context(), token.AccessToken); err == nil {
		t.Error("a token for one API passes at another")
	}
}

func TestInteropGoOIDCVerifiesThroughTheKeySetAlone(t *testing.T) {
	provider, secret := interopProvider(t)
	token := interopToken(t, provider, secret)
	var metadata struct {
		KeySet string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		t.Fatal(err)
	}
	issuer, _ := interopIssuer(t)
	keys := oidc.NewRemoteKeySet(context.WithoutCancel(t.Context()), metadata.KeySet)
	config := &oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{oidc.ES256}}
	if _, err := oidc.NewVerifier(issuer, keys, config).Verify(t.Context(), token.AccessToken); err != nil {
		t.Error(err)
	}
	forged := token.AccessToken[:len(token.AccessToken)-8] + "AAAAAAAA"
	if _, err := oidc.NewVerifier(issuer, keys, config).Verify(t.Context(), forged); err == nil {
		t.Error("a token with a broken signature passes")
	}
}

func TestInteropXOAuth2ShowsADenial(t *testing.T) {
	provider, _ := interopProvider(t)
	config := clientcredentials.Config{
		ClientID: interopClient, ClientSecret: "wrong", TokenURL: provider.Endpoint().TokenURL,
		EndpointParams: url.Values{"resource": {interopAPI}}, AuthStyle: oauth2.AuthStyleInHeader,
	}
	_, err := config.Token(t.Context())
	refused, ok := err.(*oauth2.RetrieveError)
	if !ok {
		t.Fatalf("got %v, want a RetrieveError", err)
	}
	if refused.ErrorCode != "invalid_client" || refused.Response.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d %q, want 401 invalid_client", refused.Response.StatusCode, refused.ErrorCode)
	}
}
