package upstreamtest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"fedbroker/upstreams/upstreamtest"
)

const audience = "https://login.example.com"

func newIdP(t *testing.T, o upstreamtest.Options) *upstreamtest.IdP {
	t.Helper()
	idp, err := upstreamtest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	return idp
}

// get fetches a document, and fails unless its status is want.
func get(t *testing.T, url string, want int) (*http.Response, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s: status %d", url, resp.StatusCode)
	}
	return resp, body
}

func TestTokensAreGoodToAnotherImplementation(t *testing.T) {
	algorithms := []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"}
	for _, o := range []upstreamtest.Options{
		{Algorithms: algorithms},
		{Algorithms: algorithms, Path: "/realms/a", TLS: true},
	} {
		idp := newIdP(t, o)
		ctx := context.Background()
		if o.TLS {
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(idp.CertPEM()) {
				t.Fatal("no certificate")
			}
			ctx = oidc.ClientContext(ctx, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}})
		}
		provider, err := oidc.NewProvider(ctx, idp.Issuer())
		if err != nil {
			t.Fatal(err)
		}
		verifier := provider.Verifier(&oidc.Config{ClientID: audience, SupportedSigningAlgs: algorithms})
		for _, alg := range algorithms {
			token, err := verifier.Verify(ctx, idp.Sign(idp.Claims("alice", audience), upstreamtest.Alg(alg)))
			if err != nil || token.Subject != "alice" {
				t.Errorf("%s: %v", alg, err)
			}
		}
		for _, bad := range []upstreamtest.SignOption{upstreamtest.Alg("none"), upstreamtest.Alg("HS256"), upstreamtest.KeyID("unknown")} {
			if _, err := verifier.Verify(ctx, idp.Sign(idp.Claims("alice", audience), bad)); err == nil {
				t.Error("a forged token passes")
			}
		}
	}
}

func TestRotateAndWithdraw(t *testing.T) {
	idp := newIdP(t, upstreamtest.Options{Name: "a", Algorithms: []string{"ES256", "EdDSA"}})
	if got := idp.KeyIDs(); !slices.Equal(got, []string{"a-es256-1", "a-eddsa-1"}) {
		t.Errorf("got %v", got)
	}
	if kid := idp.Rotate(); kid != "a-es256-2" {
		t.Errorf("got %s", kid)
	}
	idp.Withdraw("a-es256-1")
	if got := idp.KeyIDs(); !slices.Equal(got, []string{"a-eddsa-1", "a-es256-2", "a-eddsa-2"}) {
		t.Errorf("got %v", got)
	}
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(idp.JWKS(), &set); err != nil || len(set.Keys) != 3 || set.Keys[1].Kid != "a-es256-2" {
		t.Errorf("got %+v, %v", set, err)
	}
	if idp.PublicKey("a-es256-1") == nil || idp.PublicKey("x") != nil {
		t.Error("keys are not found by their ids")
	}
}

func TestAnswersAndCounts(t *testing.T) {
	idp := newIdP(t, upstreamtest.Options{Issuer: "https://elsewhere.example", CacheControl: "max-age=60"})
	resp, body := get(t, idp.JWKSURI(), http.StatusOK)
	if resp.Header.Get("Cache-Control") != "max-age=60" || !strings.Contains(string(body), idp.KeyIDs()[0]) {
		t.Errorf("got %v %s", resp.Header, body)
	}
	if _, body = get(t, idp.DiscoveryURL(), http.StatusOK); !strings.Contains(string(body), `"https://elsewhere.example"`) {
		t.Errorf("got %s", body)
	}
	get(t, idp.URL()+"/other", http.StatusNotFound)
	idp.Down(true)
	get(t, idp.JWKSURI(), http.StatusInternalServerError)
	if d, j := idp.Fetches(); d != 1 || j != 2 {
		t.Errorf("got %d, %d", d, j)
	}
	if err := idp.WaitFetches(context.Background(), 3); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := idp.WaitFetches(ctx, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSlowWaitsForItsRelease(t *testing.T) {
	idp := newIdP(t, upstreamtest.Options{})
	release := idp.Slow()
	done := make(chan error, 1)
	go func() {
		resp, err := http.Get(idp.JWKSURI())
		if err == nil {
			err = resp.Body.Close()
		}
		done <- err
	}()
	if err := idp.WaitFetches(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("answered before release: %v", err)
	default:
	}
	release()
	release() // harmless
	if err := <-done; err != nil {
		t.Error(err)
	}
	get(t, idp.JWKSURI(), http.StatusOK)
}

func TestCloseLetsGoOfWaitingRequests(t *testing.T) {
	idp := newIdP(t, upstreamtest.Options{})
	idp.Slow()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := http.Get(idp.JWKSURI()); err == nil {
			_ = resp.Body.Close()
		}
	}()
	if err := idp.WaitFetches(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	idp.Close()
	idp.Close()
	<-done
}

func TestClaimsAreNewEachTimeAndFollowTheClock(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	idp := newIdP(t, upstreamtest.Options{Name: "gh", Now: func() time.Time { return now }})
	first, second := idp.Claims("a", audience), idp.Claims("a", audience)
	if first["jti"] != "gh-1" || second["jti"] != "gh-2" || first["iat"] != now.Unix() || first["exp"] != now.Unix()+300 {
		t.Errorf("got %v, %v", first, second)
	}
	for sub, claims := range map[string]map[string]any{
		"repo:org/app:ref:refs/heads/main":                idp.GitHubClaims(audience, "org", "app", "refs/heads/main"),
		"repo:org@123456/app@456789:ref:refs/heads/main":  idp.GitHubImmutableClaims(audience, "org", "app", "refs/heads/main"),
		"project_path:group/app:ref_type:branch:ref:main": idp.GitLabClaims(audience, "group", "app", "main"),
		"system:serviceaccount:payments:orders":           idp.KubernetesClaims(audience, "payments", "orders"),
	} {
		if claims["sub"] != sub || claims["iss"] != idp.Issuer() {
			t.Errorf("want %s, got %v", sub, claims["sub"])
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	if _, err := upstreamtest.New(upstreamtest.Options{Algorithms: []string{"HS256"}}); err == nil {
		t.Error("a key for HS256")
	}
	idp := newIdP(t, upstreamtest.Options{})
	if _, err := upstreamtest.New(upstreamtest.Options{Addr: strings.TrimPrefix(idp.URL(), "http://")}); err == nil {
		t.Error("two on one address")
	}
}
