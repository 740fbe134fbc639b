package broker_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/explain"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// tenants are two providers behind one address, each under a path of its own.
func tenants(t *testing.T) (a, b *upstreamtest.IdP, pattern string) {
	t.Helper()
	mux := http.NewServeMux()
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	all := make([]*upstreamtest.IdP, 2)
	for i, name := range []string{"/a", "/b"} {
		idp := upstreamtest.Must(upstreamtest.Options{Path: name, Issuer: front.URL + name})
		t.Cleanup(idp.Close)
		idp.MoveJWKS(front.URL + name + "/jwks")
		mux.Handle(name+"/", idp)
		all[i] = idp
	}
	return all[0], all[1], front.URL + "/*"
}

// patterned is a configuration with one upstream of a pattern and a rule on it.
func patterned(pattern, when string, listed ...string) broker.Config {
	c := config()
	c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{
		Name: "many", Kind: "jwt", IssuerPattern: pattern, Issuers: listed, Audiences: []upstreams.Audience{{Value: "gateway-at-many"}},
	}})
	c.Exchange = append(c.Exchange, rules.Spec{
		ID: "many-orders", Subject: &rules.SubjectSpec{Upstream: "many", When: when}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
		Grant: &rules.GrantSpec{Audiences: []string{"orders"}, Scopes: []rules.ScopeSpec{{Name: "orders.read"}}},
	})
	return c
}

func exchanging(token string) *oauth.TokenRequest {
	return &oauth.TokenRequest{
		DecisionID: rand.Text(), GrantType: oauth.GrantTokenExchange, Peer: netip.MustParseAddr("192.0.2.1"),
		Credentials: oauth.Credentials{Method: oauth.AuthSecretBasic, ClientID: "gateway", Secret: secret},
		Form: oauth.Form{
			"grant_type": {oauth.GrantTokenExchange}, "subject_token": {token}, "subject_token_type": {oauth.TypeJWT}, "audience": {"orders"},
		},
	}
}

// subjectOf exchanges a token and reads the sub of what comes of it.
func subjectOf(t *testing.T, b *broker.Broker, token string) (string, error) {
	t.Helper()
	response, err := b.Token(t.Context(), exchanging(token))
	if err != nil {
		return "", err
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(response.AccessToken, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var issued struct{ Sub string }
	if err := json.Unmarshal(body, &issued); err != nil {
		t.Fatal(err)
	}
	return issued.Sub, nil
}

func code(err error) oauth.Code {
	if denial, ok := errors.AsType[*oauth.Error](err); ok {
		return denial.Code
	}
	return ""
}

// TestP28_ARuleSaysWhichIssuersCount takes tenants of one pattern through a whole broker.
func TestP28_ARuleSaysWhichIssuersCount(t *testing.T) {
	a, stranger, pattern := tenants(t)
	b := running(t, options(t, patterned(pattern, fmt.Sprintf("claims.iss in [%q]", a.Issuer()))))
	sub, err := subjectOf(t, b, a.Sign(a.Claims("worker", "gateway-at-many")))
	if err != nil || !strings.HasPrefix(sub, "many|") || !strings.HasSuffix(sub, "|worker") || len(sub) != len("many||worker")+22 {
		t.Errorf("sub %q, %v", sub, err)
	}
	if _, err := subjectOf(t, b, stranger.Sign(stranger.Claims("worker", "gateway-at-many"))); code(err) != oauth.CodeInvalidRequest {
		t.Errorf("a stranger's tenant: %v", err)
	}
}

func TestP29_PatternsWantAnOwnerOrAList(t *testing.T) {
	const pattern = "https://idp.test/*"
	for _, tc := range []struct {
		when   string
		listed []string
		ok     bool
	}{
		{"", nil, false}, {`claims.team == "x"`, nil, false}, {`claims.iss.startsWith("https://idp.test/a")`, nil, false},
		{`claims.iss == "https://idp.test/a" || claims.team == "x"`, nil, false},
		{`claims.iss == "https://idp.test/a"`, nil, true}, {`claims.team == "x" && claims.iss in ["https://idp.test/a", "https://idp.test/b"]`, nil, true},
		{"", []string{"https://idp.test/a"}, true},
	} {
		var paths []string
		broker.Check(patterned(pattern, tc.when, tc.listed...), func(path, _ string, _ ...any) { paths = append(paths, path) }, nil)
		if want := []string{"exchange[1].subject.when"}; tc.ok != (paths == nil) || !tc.ok && !slices.Equal(paths, want) {
			t.Errorf("%q, %v: %v", tc.when, tc.listed, paths)
		}
	}
}

// TestP27_AFloodOfUnknownIssuersIsAnswered503: nothing was judged, and who is known goes on.
func TestP27_AFloodOfUnknownIssuersIsAnswered503(t *testing.T) {
	a, forger, pattern := tenants(t)
	b := running(t, options(t, patterned(pattern, fmt.Sprintf("claims.iss == %q", a.Issuer()))))
	living := a.Sign(a.Claims("worker", "gateway-at-many"))
	if _, err := subjectOf(t, b, living); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		claims := forger.Claims("worker", "gateway-at-many")
		claims["iss"] = strings.Replace(pattern, "*", fmt.Sprint("none-", i), 1)
		_, err := b.Token(t.Context(), exchanging(forger.Sign(claims)))
		denial, ok := errors.AsType[*oauth.Error](err)
		if !ok || denial.Code != oauth.CodeTemporarilyUnavailable || denial.RetryAfter <= 0 || denial.RetryAfter > 10*time.Minute {
			t.Fatalf("forged %d: %v", i, err)
		}
	}
	if _, err := subjectOf(t, b, living); err != nil {
		t.Errorf("who is known: %v", err)
	}
}

// TestP28_TheOperatorSeesWhoWasMet in the list, in one upstream, in the drill, and refreshes their keys.
func TestP28_TheOperatorSeesWhoWasMet(t *testing.T) {
	a, _, pattern := tenants(t)
	b := running(t, options(t, patterned(pattern, fmt.Sprintf("claims.iss == %q", a.Issuer()))))
	o := b.Operator()
	if out, err := o.DrillOutage(t.Context(), "many"); err != nil || out.Survives != 0 || len(out.Issuers) != 0 {
		t.Errorf("nobody was met: %+v, %v", out, err)
	}
	if _, err := subjectOf(t, b, a.Sign(a.Claims("worker", "gateway-at-many"))); err != nil {
		t.Fatal(err)
	}
	u, err := o.Upstream(t.Context(), "many")
	if err != nil || u.State != "by_issuer" || len(u.Issuers) != 1 || u.Issuers[0].Issuer != a.Issuer() || u.Issuers[0].State != "ok" || u.Issuers[0].Keys != 1 || u.Issuers[0].Verified.IsZero() {
		t.Errorf("%+v, %v", u, err)
	}
	_, before := a.Fetches()
	if _, err := o.RefreshUpstream(t.Context(), "many"); err != nil {
		t.Error(err)
	}
	if _, after := a.Fetches(); after != before+1 {
		t.Errorf("%d fetches", after-before)
	}
	if out, err := o.DrillOutage(t.Context(), "many"); err != nil || out.Survives <= 0 || out.Restart || len(out.Issuers) != 1 || out.Issuers[0].Issuer != a.Issuer() {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := o.KeyHistory(t.Context(), "many"); !isAct(err) {
		t.Errorf("history: %v", err)
	}
}

// TestExplain_NamesTheIssuerOfAPattern and says, where a token's issuer is none of it, which there are.
func TestExplain_NamesTheIssuerOfAPattern(t *testing.T) {
	a, _, pattern := tenants(t)
	b := running(t, options(t, patterned(pattern, fmt.Sprintf("claims.iss == %q", a.Issuer()))))
	e, err := b.Judge().Explain(t.Context(), explain.Request{
		SubjectToken: a.Sign(a.Claims("worker", "gateway-at-many")), Requester: "gateway", Audiences: []string{"orders"}, At: time.Now(),
	})
	if err != nil || e.Subject == nil || e.Subject.Upstream != "many" || e.Subject.Issuer != a.Issuer() || !e.Subject.Verified {
		t.Errorf("%+v, %v", e.Subject, err)
	}
	e, err = b.Judge().Explain(t.Context(), explain.Request{
		SubjectToken: a.Sign(a.Claims("worker", "elsewhere")), Requester: "gateway", Audiences: []string{"orders"}, At: time.Now(),
	})
	if err != nil || !strings.Contains(fmt.Sprint(e), "gateway-at-many") {
		t.Errorf("%+v, %v", e, err)
	}
}
