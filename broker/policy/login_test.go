package policy

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
)

const ourIssuer = "https://broker.example"

// ada let the wiki know who she is; edit changes it.
func ada(edit ...func(*Login)) *Login {
	g := &Login{
		Requester: &oauth.Requester{ClientID: "wiki"}, Issuer: ourIssuer, GrantID: "grant", SessionID: "session", Subject: "acme|ada",
		Upstream: UpstreamRef{Name: "acme", Issuer: "https://idp.acme.example", Subject: "ada"},
		AuthTime: noon.Add(-time.Hour), ACR: "gold", AMR: []string{"pwd"}, Since: noon.Add(-time.Minute), Granted: noon.Add(-30 * time.Second), Scopes: []string{"openid", "profile"}, Now: noon,
		IDToken: IDToken{Nonce: "n", SessionID: "session", Alg: "ES256", Claims: map[string]any{"name": "Ada"}}, IDTTL: time.Minute,
	}
	for _, e := range edit {
		e(g)
	}
	return g
}

func ofLogin(t *testing.T, edit ...func(*Login)) (Authority, error) {
	t.Helper()
	d, err := compile(t, "[]").ForLogin(ada(edit...))
	if err != nil {
		return Authority{}, err
	}
	return Combine(d)
}

func authorityOf(t *testing.T, edit ...func(*Login)) Authority {
	t.Helper()
	a, err := ofLogin(t, edit...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestP26_LoginsTokensNameAllThatARevocationCan(t *testing.T) {
	since, granted := noon.Add(-time.Minute).Unix(), noon.Add(-30*time.Second).Unix()
	want := revoke.Lineage{
		Families: []string{"grant"}, Sessions: []string{"session"}, Clients: []string{"wiki"}, Subjects: []string{"acme|ada"}, Upstreams: []string{"acme"}, Since: since, Own: granted,
	}
	a := authorityOf(t)
	if got := a.Lineage(); !reflect.DeepEqual(got, want) || !slices.Equal(a.Parents(), []string{"grant"}) {
		t.Errorf("%+v, %v", got, a.Parents())
	}
	want.Sessions = nil
	if got := authorityOf(t, func(g *Login) { g.Offline = true }).Lineage(); !reflect.DeepEqual(got, want) { // P39
		t.Errorf("offline: %+v", got)
	}
}

func TestP35_LoginsAudience(t *testing.T) {
	granted := func(g *Login) { g.Audiences = []string{"orders", "billing"} }
	for _, c := range []struct {
		name   string
		edit   []func(*Login)
		want   []string
		denied bool
	}{
		{"our issuer", nil, []string{ourIssuer}, false},
		{"our issuer by name", []func(*Login){func(g *Login) { g.Targets = []string{ourIssuer} }}, []string{ourIssuer}, false},
		{"all that was granted", []func(*Login){granted}, []string{"orders", "billing"}, false},
		{"one of it", []func(*Login){granted, func(g *Login) { g.Targets = []string{"billing"} }}, []string{"billing"}, false},
		{"one beyond", []func(*Login){granted, func(g *Login) { g.Targets = []string{"orders", "payroll"} }}, nil, true},
		{"our issuer where it was not granted", []func(*Login){granted, func(g *Login) { g.Targets = []string{ourIssuer} }}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := ofLogin(t, c.edit...)
			if c.denied {
				wantCode(t, err, oauth.CodeInvalidTarget, oauth.ReasonTarget)
			} else if err != nil || !slices.Equal(a.Audiences(), c.want) {
				t.Errorf("%v, %v", a.Audiences(), err)
			}
		})
	}
}

func TestP17_LoginsScopeIsTheGrantsOrLess(t *testing.T) {
	if a := authorityOf(t); a.Scope() != "openid profile" {
		t.Error(a.Scope())
	}
	if a := authorityOf(t, func(g *Login) { g.Scope = "profile" }); a.Scope() != "profile" {
		t.Error(a.Scope())
	}
	_, err := ofLogin(t, func(g *Login) { g.Scope = "openid email" })
	wantCode(t, err, oauth.CodeInvalidScope, oauth.ReasonScope)
}

func TestP17_LoginsAuthenticationIsCarriedNeverRefreshed(t *testing.T) {
	a := authorityOf(t, func(g *Login) { g.Now = noon.Add(100 * time.Hour) })
	if a.ACR() != "gold" || !slices.Equal(a.AMR(), []string{"pwd"}) || !a.AuthTime().Equal(noon.Add(-time.Hour)) || a.Subject() != "acme|ada" {
		t.Errorf("%+v", a)
	}
	if got := authorityOf(t, func(g *Login) { g.ACR, g.AMR, g.AuthTime = "", nil, time.Time{} }); got.ACR() != "" || got.AMR() != nil || !got.AuthTime().IsZero() {
		t.Errorf("made up: %+v", got)
	}
}

func TestP8_LoginsAccessTokenHasNoReleasedClaims(t *testing.T) {
	if a := authorityOf(t); len(a.Claims()) != 0 {
		t.Errorf("%v", a.Claims())
	}
}

func TestP8_IDTokenOnlyWithOpenID(t *testing.T) {
	id, wanted := authorityOf(t).IDToken()
	if want := (IDToken{Audience: "wiki", Requester: "wiki", Nonce: "n", SessionID: "session", Alg: "ES256", Expires: noon.Add(time.Minute), Claims: map[string]any{"name": "Ada"}}); !wanted || !reflect.DeepEqual(id, want) {
		t.Errorf("%+v", id)
	}
	if _, wanted := authorityOf(t, func(g *Login) { g.Scope = "profile" }).IDToken(); wanted {
		t.Error("without openid")
	}
}

func TestP6_LoginsUpstreamInFullOnlyToWhomItIs(t *testing.T) {
	if got := authorityOf(t).Upstream(); got != (UpstreamRef{Name: "acme"}) {
		t.Errorf("%+v", got)
	}
	if got := authorityOf(t, func(g *Login) { g.Requester.FullUpstream = true }).Upstream(); got != ada().Upstream {
		t.Errorf("%+v", got)
	}
}

func TestLoginOfNobodyIsNoDecision(t *testing.T) {
	for name, edit := range map[string]func(*Login){
		"no client": func(g *Login) { g.Requester = nil }, "anonymous": func(g *Login) { g.Requester = &oauth.Requester{Anonymous: true} },
		"no person": func(g *Login) { g.Subject = "" }, "no grant": func(g *Login) { g.GrantID = "" }, "no issuer": func(g *Login) { g.Issuer = "" },
	} {
		if a, err := ofLogin(t, edit); err == nil || !a.IsZero() {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}
