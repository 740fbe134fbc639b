package clients_test

import (
	"slices"
	"testing"

	"fedbroker/broker/clients"
)

// registered is the client of a spec that nothing is wrong with.
func registered(t *testing.T, s clients.Spec) *clients.Client {
	t.Helper()
	r := clients.NewRegistry(clients.Options{Specs: []clients.Spec{s}, Issuer: issuer}, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) }, nil)
	c, found := r.Lookup(s.ID)
	if !found {
		t.Fatal("not registered")
	}
	return c
}

func TestP33_RedirectIsARegisteredOneByteForByte(t *testing.T) {
	c := registered(t, wiki())
	for uri, want := range map[string]bool{
		"https://wiki.example.com/callback":              true,
		"https://wiki.example.com/callback/":             false,
		"https://wiki.example.com/callback?x=1":          false,
		"https://wiki.example.com/callback#":             false,
		"https://wiki.example.com/Callback":              false,
		"HTTPS://wiki.example.com/callback":              false,
		"https://wiki.example.com:443/callback":          false,
		"https://wiki.example.com/x/../callback":         false,
		"https://wiki.example.com@evil.example/callback": false,
		"": false,
	} {
		if got := c.RedirectAllowed(uri); got != want {
			t.Errorf("%q: %t", uri, got)
		}
	}
}

func TestP33_NativeLoopbackHasAnyPortAndTheExactRest(t *testing.T) {
	s := wiki()
	s.Native, s.RedirectURIs = true, []string{"http://127.0.0.1/cb?a=1", "http://[::1]:4000/cb", "http://localhost/cb", "com.example.app:/cb", "https://wiki.example.com/cb"}
	c := registered(t, s)
	for uri, want := range map[string]bool{
		"http://127.0.0.1/cb?a=1":                 true,
		"http://127.0.0.1:49152/cb?a=1":           true,
		"http://[::1]/cb":                         true,
		"http://[::1]:1/cb":                       true,
		"http://localhost/cb":                     true,
		"com.example.app:/cb":                     true,
		"http://localhost:49152/cb":               false, // a name, not an address (RFC 8252 section 8.3)
		"http://127.0.0.1:49152/cb":               false,
		"http://127.0.0.1:49152/cb?a=2":           false,
		"http://127.0.0.1:49152/cb/?a=1":          false,
		"http://127.0.0.1:49152/cb?a=1#":          false,
		"http://127.0.0.2:49152/cb?a=1":           false,
		"https://127.0.0.1:49152/cb?a=1":          false,
		"http://x@127.0.0.1:1/cb?a=1":             false,
		"http://127.0.0.1:1@evil.example/cb?a=1":  false,
		`http://127.0.0.1:1\@evil.example/cb?a=1`: false,
		"http://127.0.0.1.evil.example:1/cb?a=1":  false,
		"http://[::ffff:127.0.0.1]:1/cb?a=1":      false,
		"http://127.0.0.1:x/cb?a=1":               false,
		"https://wiki.example.com:8443/cb":        false,
	} {
		if got := c.RedirectAllowed(uri); got != want {
			t.Errorf("%q: %t", uri, got)
		}
	}
}

func TestP33_LoopbackPortIsFixedForWhoIsNotNative(t *testing.T) {
	s := wiki()
	s.RedirectURIs = []string{"http://127.0.0.1:4000/cb"}
	c := registered(t, s)
	if !c.RedirectAllowed("http://127.0.0.1:4000/cb") || c.RedirectAllowed("http://127.0.0.1:4001/cb") {
		t.Error("any port, or none")
	}
}

func TestPostLogoutRedirectIsARegisteredOneByteForByte(t *testing.T) {
	s := wiki()
	s.PostLogoutRedirectURIs = []string{"https://wiki.example.com/bye"}
	c := registered(t, s)
	for uri, want := range map[string]bool{"https://wiki.example.com/bye": true, "https://wiki.example.com/bye/": false, s.RedirectURIs[0]: false, "": false} {
		if c.PostLogoutAllowed(uri) != want {
			t.Errorf("%q", uri)
		}
	}
}

func TestOriginIsARegisteredOne(t *testing.T) {
	r := clients.NewRegistry(clients.Options{Specs: []clients.Spec{wiki(), spa()}, Issuer: issuer}, nil, nil)
	c, _ := r.Lookup("spa")
	for origin, want := range map[string]bool{"https://spa.example.com": true, "https://spa.example.com/": false, "null": false, "": false, "https://wiki.example.com": false} {
		if c.HasOrigin(origin) != want || r.HasOrigin(origin) != want {
			t.Errorf("%q", origin)
		}
	}
}

func TestP32_OptionalIsForConfidentialClientsAlone(t *testing.T) {
	s := wiki()
	if registered(t, s).PKCEOptional() {
		t.Error("the default is optional")
	}
	s.PKCE = "optional"
	if !registered(t, s).PKCEOptional() {
		t.Error("optional is not")
	}
	p := spa()
	p.PKCE = "optional" // refused at load
	r := clients.NewRegistry(clients.Options{Specs: []clients.Spec{p}, Issuer: issuer}, nil, nil)
	if c, _ := r.Lookup("spa"); c.PKCEOptional() {
		t.Error("optional for a public client")
	}
}

func TestP34_IDTokenAlgIsES256UnlessTheClientNamesOne(t *testing.T) {
	s := wiki()
	if got := registered(t, s).IDTokenAlg(); got != "ES256" {
		t.Error(got)
	}
	s.IDTokenAlg = "RS256"
	if got := registered(t, s).IDTokenAlg(); got != "RS256" {
		t.Error(got)
	}
}

func TestP36_WhoMayKeepRefreshTokens(t *testing.T) {
	for _, c := range []struct {
		name                string
		do                  func(*clients.Spec)
		offline, withinThat bool
	}{
		{"neither", func(*clients.Spec) {}, false, false},
		{"offline_access", func(s *clients.Spec) { s.Scopes = append(s.Scopes, "offline_access") }, true, false},
		{"session_refresh", func(s *clients.Spec) { s.SessionRefresh = true }, false, true},
		{"without the grant type", func(s *clients.Spec) {
			s.Scopes, s.SessionRefresh, s.GrantTypes = append(s.Scopes, "offline_access"), true, []string{"authorization_code"}
		}, false, false},
	} {
		s := wiki()
		s.Scopes = slices.Clone(s.Scopes)
		c.do(&s)
		if client := registered(t, s); client.Keeps(true) != c.offline || client.Keeps(false) != c.withinThat {
			t.Errorf("%s: %t, %t", c.name, client.Keeps(true), client.Keeps(false))
		}
	}
}

func TestP8_IDTokenClaimsAreTheStandardOnesUnlessNamed(t *testing.T) {
	of := func(scope string) []string { return []string{"of-" + scope} }
	s := wiki()
	if got := registered(t, s).IDTokenClaims(of); !slices.Equal(got, []string{"of-profile", "of-email", "of-groups"}) {
		t.Error(got)
	}
	s.IDTokenClaims = []string{}
	if got := registered(t, s).IDTokenClaims(of); len(got) != 0 {
		t.Errorf("none is wanted: %q", got)
	}
}
