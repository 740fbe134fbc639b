package broker_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/mappers"
	"fedbroker/upstreams"
)

func scrape(t *testing.T, m *event.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func ptr[T any](v T) *T { return &v }

// check returns the paths that were reported.
func check(c broker.Config) (bad, warned []string) {
	broker.Check(c, func(path, format string, args ...any) { bad = append(bad, path) }, func(path, format string, args ...any) { warned = append(warned, path) })
	slices.Sort(bad)
	return bad, warned
}

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*broker.Config)
		want   []string
	}{
		"good":                            {func(*broker.Config) {}, nil},
		"no issuer":                       {func(c *broker.Config) { c.Issuer = "" }, []string{"issuer"}},
		"issuer in the clear":             {func(c *broker.Config) { c.Issuer = "http://login.test" }, []string{"issuer"}},
		"issuer in the clear on loopback": {func(c *broker.Config) { c.Issuer = "http://127.0.0.1:8443/fed" }, nil},
		"issuer with a slash at the end":  {func(c *broker.Config) { c.Issuer = issuer + "/" }, []string{"issuer"}},
		"issuer with a query":             {func(c *broker.Config) { c.Issuer = issuer + "?a" }, []string{"issuer"}},
		"issuer with a fragment":          {func(c *broker.Config) { c.Issuer = issuer + "#a" }, []string{"issuer"}},
		"issuer with a path":              {func(c *broker.Config) { c.Issuer = issuer + "/a/b" }, nil},
		"issuer with a path parameter":    {func(c *broker.Config) { c.Issuer = issuer + "/:a" }, []string{"issuer"}},
		"P12 leeway of an hour":           {func(c *broker.Config) { c.Leeway = ptr(time.Hour) }, []string{"leeway"}},
		"P12 leeway below zero":           {func(c *broker.Config) { c.Leeway = ptr(-time.Second) }, []string{"leeway"}},
		"P12 leeway of zero":              {func(c *broker.Config) { c.Leeway = ptr(time.Duration(0)) }, nil},
		"access tokens for ever":          {func(c *broker.Config) { c.Tokens.AccessTTL = ptr(1000 * time.Hour) }, []string{"tokens.access_ttl"}},
		"access tokens for no time":       {func(c *broker.Config) { c.Tokens.AccessTTL = ptr(time.Duration(0)) }, []string{"tokens.access_ttl"}},
		"P36 refresh_grace":               {func(c *broker.Config) { c.Tokens.RefreshGrace = ptr(2 * time.Minute) }, []string{"tokens.refresh_grace"}},
		"P36 refresh_grace switched off":  {func(c *broker.Config) { c.Tokens.RefreshGrace = ptr(time.Duration(0)) }, nil},
		"P20 act_depth":                   {func(c *broker.Config) { c.Tokens.ActDepth = ptr(0) }, []string{"tokens.act_depth"}},
		"revocations that never stale":    {func(c *broker.Config) { c.RevocationMaxStale = ptr(time.Hour) }, []string{"revocation_max_stale"}},
		"P49 a limit that is none":        {func(c *broker.Config) { c.Limits.Client, c.Limits.Anonymous = "10", "0/s" }, []string{"limits.anonymous", "limits.client"}},
		"an algorithm that is none":       {func(c *broker.Config) { c.Signing.Algorithms = []string{"ES256", "RS256", "HS256"} }, []string{"signing.algorithms[2]"}},
		"P7 a scope that releases act":    {func(c *broker.Config) { c.Scopes = map[string][]string{"x": {"ok", "act"}} }, []string{"scopes.x[1]"}},
		"a scope that is none":            {func(c *broker.Config) { c.Scopes = map[string][]string{"a b": nil} }, []string{"scopes"}},
		"P23 a resource server in clear": {func(c *broker.Config) {
			c.ResourceServers = []broker.ResourceServerSpec{{Issuer: "http://rs.test", ClientIDs: map[string]string{c.Clients[0].ID: "x"}}}
		}, []string{"resource_servers[0].issuer"}},
		"P23 a resource server that knows nobody": {func(c *broker.Config) { c.ResourceServers = []broker.ResourceServerSpec{{Issuer: "https://rs.test"}} }, []string{"resource_servers[0].client_ids"}},
		"P23 a resource server twice": {func(c *broker.Config) {
			r := broker.ResourceServerSpec{Issuer: "https://rs.test", ClientIDs: map[string]string{c.Clients[0].ID: "x"}}
			c.ResourceServers = []broker.ResourceServerSpec{r, r}
		}, []string{"resource_servers[1].issuer"}},
		"P23 a resource server of a client that is none": {func(c *broker.Config) {
			c.ResourceServers = []broker.ResourceServerSpec{{Issuer: "https://rs.test", ClientIDs: map[string]string{"ghost": "x"}}}
		}, []string{"resource_servers[0].client_ids"}},
		"P7 a mapper of a reserved claim": {func(c *broker.Config) {
			c.Upstreams[1].Mappers = []mappers.Spec{{Kind: "set", Claim: "sub", Value: "x"}}
		}, []string{"upstreams[1].mappers[0].claim"}},
		"P10 an upstream that is us":   {func(c *broker.Config) { c.Upstreams[1].Issuer = issuer }, []string{"upstreams[1].issuer"}},
		"P15 a rule without requester": {func(c *broker.Config) { c.Exchange[0].Requester = nil }, []string{"exchange[0].requester"}},
		"a rule of an unknown client":  {func(c *broker.Config) { c.Exchange[0].Requester.Clients = []string{"ghost"} }, []string{"exchange[0].requester.clients[0]"}},
		"a client whose id is none":    {func(c *broker.Config) { c.Clients = append(c.Clients, c.Clients[0]); c.Clients[1].ID = "a:b" }, []string{"clients[1].id"}},
		"mistakes everywhere, all at once": {func(c *broker.Config) {
			c.Issuer = ""
			c.Leeway = ptr(time.Hour)
			c.Exchange[0].Grant = nil
			c.Limits.Subject = "x"
		}, []string{"exchange[0].grant.audiences", "issuer", "leeway", "limits.subject"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			tt.change(&c)
			if got, _ := check(c); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCheck_TextSaysWhatIsWantedAndWhatIsThere(t *testing.T) {
	c := config()
	c.Leeway = ptr(time.Hour)
	broker.Check(c, func(path, format string, args ...any) {
		if got, want := path+": "+fmt.Sprintf(format, args...), "leeway: want 0s to 2m0s, got 1h0m0s"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}, nil)
}

func TestP5_CheckNamesUpstreamsThatCanEmitOneValue(t *testing.T) {
	c := config()
	c.Upstreams[0].Mappers = []mappers.Spec{{Kind: "groups", From: "roles", Prefix: ptr("")}}
	if _, warned := check(c); warned != nil {
		t.Errorf("one alone: %v", warned)
	}
	c.Upstreams[1].Mappers = []mappers.Spec{{Kind: "groups", Prefix: ptr("")}}
	if bad, warned := check(c); bad != nil || !slices.Equal(warned, []string{"upstreams[1].mappers"}) {
		t.Errorf("bad %v, warned %v", bad, warned)
	}
}

func TestCheck_MapperPathsCountAsTheFileDoes(t *testing.T) {
	c := config()
	c.Upstreams[1].Preset = "github-actions" // has conditions of its own, before these
	c.Upstreams[1].Issuer = ""
	c.Upstreams[1].Mappers = []mappers.Spec{{Kind: "set", Claim: "tenant", Value: "x"}, {Kind: "cel", Claim: "x", Expression: "claims."}}
	if bad, _ := check(c); !slices.Equal(bad, []string{"upstreams[1].mappers[1].expression"}) {
		t.Errorf("bad %v", bad)
	}
}

func TestWithDefaults_WrittenZeroStaysZero(t *testing.T) {
	c := broker.Config{Leeway: ptr(time.Duration(0))}
	c.Tokens.RefreshGrace = ptr(time.Duration(0))
	c = c.WithDefaults()
	if *c.Leeway != 0 || *c.Tokens.RefreshGrace != 0 {
		t.Error("a written 0s took its default")
	}
	if *c.Tokens.AccessTTL != 10*time.Minute || *c.Sessions.TTL != 12*time.Hour || *c.RevocationMaxStale != 10*time.Second || c.Limits.Anonymous != "10/s" || *c.Tokens.ActDepth != 8 {
		t.Errorf("defaults %+v", c)
	}
}

func TestUnserved(t *testing.T) {
	c := config()
	if got := broker.Unserved(c); len(got) != 0 {
		t.Errorf("nothing unserved is configured: %v", got)
	}
	c.Clients[0].GrantTypes = append(c.Clients[0].GrantTypes, "device_code")
	c.Upstreams[0].Linking = true
	got := strings.Join(broker.Unserved(c), "\n")
	for _, want := range []string{"clients[0].grant_types: device_code", "upstreams[0].linking"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

func TestCheck_WarnsOfLoginsThatCanNotBe(t *testing.T) {
	c := config()
	c.Clients = append(c.Clients, clients.Spec{
		ID: "wiki", SecretSHA256: hashOf(secret), GrantTypes: []string{"authorization_code"}, RedirectURIs: []string{"https://wiki.test/cb"},
		Scopes: []string{"openid", "offline_access", "billing"}, SessionRefresh: true, Upstreams: []string{"acme"},
	})
	c.Upstreams[0].Kind, c.Upstreams[0].ClientID, c.Upstreams[0].ClientSecret = "jwt", "", ""
	at := fmt.Sprintf("clients[%d].", len(c.Clients)-1)
	var warned []string
	broker.Check(c, nil, func(path, _ string, _ ...any) { warned = append(warned, path) })
	for _, path := range []string{"upstreams[0]", "session_refresh", "grant_types", "scopes[1]", "scopes[2]"} {
		if !slices.Contains(warned, at+path) {
			t.Errorf("no warning of %s in %v", at+path, warned)
		}
	}
	if slices.Contains(warned, at+"scopes[0]") {
		t.Error("openid is warned of")
	}
}

func TestCheck_WarnsOfLoginsOpenToStrangers(t *testing.T) {
	c := config()
	c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{Name: "google", Kind: "oidc", Preset: "google", ClientID: "fedbroker", ClientSecret: "a-secret"}})
	path := fmt.Sprintf("upstreams[%d].mappers", len(c.Upstreams)-1)
	warned := func() bool {
		found := false
		broker.Check(c, func(p, f string, args ...any) { t.Errorf(p+": "+f, args...) }, func(p, _ string, _ ...any) { found = found || p == path })
		return found
	}
	if !warned() {
		t.Error("everybody's accounts, and no warning")
	}
	c.Upstreams[len(c.Upstreams)-1].Mappers = []mappers.Spec{{Kind: "require", Expression: `claims.hd == "acme.example"`, Message: "Acme's people"}}
	if warned() {
		t.Error("a warning although a mapper says whose people are meant")
	}
}

func TestCheck_WarnsOfWorkloadsOfSharedIssuers(t *testing.T) {
	c := config()
	c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{Name: "github", Kind: "jwt", Preset: "github-actions"}})
	c.Clients = append(c.Clients, clients.Spec{
		ID: "job", GrantTypes: []string{"client_credentials"}, Audiences: []string{"orders"}, Assertion: &clients.AssertionSpec{Upstream: "github", Subject: "repo:acme/app:ref:refs/heads/main", Audience: "fedbroker-client"},
	})
	bad, warned := check(c)
	if want := fmt.Sprintf("clients[%d].assertion.subject", len(c.Clients)-1); len(bad) > 0 || !slices.Contains(warned, want) {
		t.Errorf("problems %v, warnings %v, want %s", bad, warned, want)
	}
}
