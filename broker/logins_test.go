package broker_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/broker/session"
	"fedbroker/store"
)

const wikiCallback = "https://wiki.example.com/cb"

// loginConfig adds an app that people log in at, and a rule by which it exchanges their tokens.
func loginConfig() broker.Config {
	c := config()
	c.Upstreams[0].Kind, c.Upstreams[0].ClientID, c.Upstreams[0].ClientSecret = "oidc", "fedbroker", "a-secret"
	c.Clients = append(c.Clients, clients.Spec{
		ID: "wiki", SecretSHA256: hashOf(secret), AuthMethod: oauth.AuthSecretPost, GrantTypes: []string{"authorization_code", "refresh_token", "token-exchange"},
		RedirectURIs: []string{wikiCallback}, Scopes: []string{"openid", "profile", "offline_access"}, PKCE: "optional",
	}, clients.Spec{ID: "codes", SecretSHA256: hashOf(secret), GrantTypes: []string{"authorization_code"}, RedirectURIs: []string{wikiCallback}, Scopes: []string{"openid"}})
	c.Exchange = append(c.Exchange, rules.Spec{
		ID: "wiki-orders", Subject: &rules.SubjectSpec{Issued: true, Upstream: "acme"}, Requester: &rules.RequesterSpec{Clients: []string{"wiki"}},
		Grant: &rules.GrantSpec{Audiences: []string{"orders"}, Scopes: []rules.ScopeSpec{{Name: "orders.read", From: []string{"profile"}}}},
	})
	return c
}

// loginOptions stand still, at a whole second.
func loginOptions(t *testing.T) broker.Options {
	t.Helper()
	o, now := options(t, loginConfig()), time.Now().Truncate(time.Second)
	o.Now = func() time.Time { return now }
	return o
}

// signIn has a person of acme sign in at the app, beside the broker, and returns the code and the grant.
func signIn(t *testing.T, o broker.Options) (code string, g session.Grant) {
	t.Helper()
	now := o.Now()
	s, err := session.Open(session.Options{
		Engine: o.Engine, Sealing: o.Sealing, Now: o.Now, TTL: time.Hour, Idle: time.Hour, CodeTTL: time.Minute, RefreshTTL: time.Hour, RefreshIdle: time.Hour, RefreshGrace: 10 * time.Second, Keep: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, code, _, g, err = s.Begin(t.Context(), store.NewKey(now), now.Add(time.Minute), session.Session{Subject: "acme|ada", Upstream: "acme"}, nil, session.Grant{
		ClientID: "wiki", Subject: "acme|ada", Upstream: "acme", UpstreamIssuer: "https://acme.test", UpstreamSubject: "ada", AuthTime: now,
		RedirectURI: wikiCallback, Nonce: "n", Scopes: []string{"openid", "profile", "offline_access"}, Claims: map[string]any{"name": "Ada"}, Offline: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return code, g
}

// byPost is a request of an app that sends its secret in the form: what conformance suites call oidcc-server-client-secret-post.
func byPost(client, grantType string, params ...string) *oauth.TokenRequest {
	form := oauth.Form{"grant_type": {grantType}}
	for i := 0; i < len(params); i += 2 {
		form[params[i]] = []string{params[i+1]}
	}
	return &oauth.TokenRequest{
		DecisionID: "D", GrantType: grantType, Form: form, Peer: netip.MustParseAddr("192.0.2.1"),
		Credentials: oauth.Credentials{Method: oauth.AuthSecretPost, ClientID: client, Secret: secret},
	}
}

func TestP36_LoginsGrantsOnTheWire(t *testing.T) {
	o := loginOptions(t)
	b := open(t, o)
	journal := o.Journal.(*lines)
	code, g := signIn(t, o)
	journal.taken()

	first, err := b.Token(t.Context(), byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback))
	if err != nil {
		t.Fatal(err)
	}
	if first.IDToken == "" || first.RefreshToken == "" || first.TokenType != "Bearer" || first.Scope != "openid profile offline_access" || first.ExpiresIn != 600 || first.IssuedTokenType != "" {
		t.Errorf("%+v", first)
	}
	line := strings.Join(journal.taken(), "\n")
	for _, said := range []string{`"grant":"authorization_code"`, g.ID, `"client_id":"wiki"`, `"upstream":"acme"`} {
		if !strings.Contains(line, said) {
			t.Errorf("the journal does not say %s: %s", said, line)
		}
	}
	for _, secret := range []string{code, first.AccessToken, first.RefreshToken, first.IDToken, "Ada"} {
		if strings.Contains(line, secret) {
			t.Errorf("the journal says %s", secret)
		}
	}

	next, err := b.Token(t.Context(), byPost("wiki", oauth.GrantRefreshToken, "refresh_token", first.RefreshToken, "scope", "openid"))
	if err != nil || next.Scope != "openid" || next.RefreshToken == first.RefreshToken || next.IDToken == "" {
		t.Fatalf("%+v, %v", next, err)
	}
	exchanged, err := b.Token(t.Context(), byPost("wiki", oauth.GrantTokenExchange, "subject_token", first.AccessToken, "subject_token_type", oauth.TypeAccessToken))
	if err != nil || exchanged.Scope != "orders.read" || exchanged.RefreshToken != "" || exchanged.IDToken != "" { // P11, P18
		t.Fatalf("%+v, %v", exchanged, err)
	}

	journal.taken()
	_, err = b.Token(t.Context(), byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback))
	wantRefusal(t, err, oauth.CodeInvalidGrant, oauth.ReasonReuse)
	if line := strings.Join(journal.taken(), "\n"); !strings.Contains(line, `"reuse"`) || !strings.Contains(line, g.ID) {
		t.Errorf("the journal of the replay: %s", line)
	}
	for name, r := range map[string]*oauth.TokenRequest{
		"refresh":  byPost("wiki", oauth.GrantRefreshToken, "refresh_token", next.RefreshToken),
		"exchange": byPost("wiki", oauth.GrantTokenExchange, "subject_token", first.AccessToken, "subject_token_type", oauth.TypeAccessToken),
	} {
		if _, err := b.Token(t.Context(), r); err == nil || oauth.AsError(err).Reason != oauth.ReasonRevoked {
			t.Errorf("%s after the replay: %v", name, err)
		}
	}
}

func wantRefusal(t *testing.T, err error, code oauth.Code, reason oauth.Reason) {
	t.Helper()
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != code || e.Reason != reason {
		t.Errorf("got %v, want %s: %s", err, code, reason)
	}
}

func TestP27_LoginsGrantsAreJudgedAfterTheClient(t *testing.T) {
	o := loginOptions(t)
	b := open(t, o)
	code, _ := signIn(t, o)
	for _, c := range []struct {
		name   string
		r      *oauth.TokenRequest
		edit   func(*oauth.TokenRequest)
		code   oauth.Code
		reason oauth.Reason
	}{
		{"another secret", byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback),
			func(r *oauth.TokenRequest) { r.Credentials.Secret = "x" }, oauth.CodeInvalidClient, oauth.ReasonClientCredentials},
		{"P37: the secret by basic", byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback),
			func(r *oauth.TokenRequest) { r.Credentials.Method = oauth.AuthSecretBasic }, oauth.CodeInvalidClient, oauth.ReasonClientCredentials},
		{"no credentials", byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback),
			func(r *oauth.TokenRequest) { r.Credentials = oauth.Credentials{} }, oauth.CodeInvalidClient, oauth.ReasonClientCredentials},
		{"a client without the grant type", byPost("gateway", oauth.GrantAuthorizationCode, "code", code), nil, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed},
		{"a client without refresh_token", byPost("codes", oauth.GrantRefreshToken, "refresh_token", "x"), nil, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed},
		{"no code", byPost("wiki", oauth.GrantAuthorizationCode, "redirect_uri", wikiCallback), nil, oauth.CodeInvalidRequest, oauth.ReasonParameter},
		{"another client's code", byPost("codes", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback), nil, oauth.CodeInvalidGrant, oauth.ReasonCode},
	} {
		if c.edit != nil {
			c.edit(c.r)
		}
		_, err := b.Token(t.Context(), c.r)
		t.Run(c.name, func(t *testing.T) { wantRefusal(t, err, c.code, c.reason) })
	}
	if _, err := b.Token(t.Context(), byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback)); err != nil {
		t.Errorf("a refusal spent the code: %v", err)
	}
}

func TestP26_RefreshWithoutItsJournalLineIsNotIssuedAndCanBeRepeated(t *testing.T) {
	o := loginOptions(t)
	b := open(t, o)
	code, _ := signIn(t, o)
	first, err := b.Token(t.Context(), byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback))
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	o.Journal.(*lines).fail.Store(&full)
	out, err := b.Token(t.Context(), byPost("wiki", oauth.GrantRefreshToken, "refresh_token", first.RefreshToken))
	if wantRefusal(t, err, oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable); out != nil {
		t.Errorf("%+v", out)
	}
	o.Journal.(*lines).fail.Store(nil)
	if _, err = b.Token(t.Context(), byPost("wiki", oauth.GrantRefreshToken, "refresh_token", first.RefreshToken)); err != nil { // its grace
		t.Error(err)
	}
}

func TestUnserved_HasNothingOfLogins(t *testing.T) {
	if got := broker.Unserved(loginConfig()); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "clients[") }) {
		t.Errorf("%q", got)
	}
}
