package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
)

// grantOf runs one request through one rule with this grant, on a subject of its kind.
func grantOf(t testing.TB, grant string, in *rules.Request) (Authority, error) {
	t.Helper()
	subject := "subject: {upstream: acme}"
	if in.Subject.Own {
		subject = "subject: {issued: true}"
	}
	p := compile(t, "- id: r\n  "+subject+"\n  requester: {clients: [gateway, spa]}\n  grant: {audiences: [orders], "+grant+"}\n")
	d, err := p.Decide(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Combine(d)
}

func wantCode(t *testing.T, err error, code oauth.Code, reason oauth.Reason) {
	t.Helper()
	if e := oauth.AsError(err); err == nil || e.Code != code || e.Reason != reason {
		t.Errorf("got %v, want %s: %s", err, code, reason)
	}
}

func TestP17_ScopeIsTheImageOfTheSubjects(t *testing.T) {
	const mapped = "scopes: [plain, {name: billing.read, from: [orders.read, orders.admin]}, {name: billing.write, from: [orders.write]}]"
	for _, c := range []struct {
		name   string
		s      *rules.Subject
		grant  string
		scope  string
		want   string
		denied bool
	}{
		{name: "external: all of the rule's", s: external(), grant: "scopes: [a, b]", want: "a b"},
		{name: "external: as requested, in that order", s: external(), grant: "scopes: [a, b, c]", scope: "c a", want: "c a"},
		{name: "external: one beyond", s: external(), grant: "scopes: [a]", scope: "a b", denied: true},
		{name: "a rule without scopes gives none", s: external(), grant: "ttl: 5m", want: ""},
		{name: "a rule without scopes, one requested", s: external(), grant: "ttl: 5m", scope: "a", denied: true},
		{name: "own: plain by the same name", s: own("plain"), grant: mapped, want: "plain"},
		{name: "own: by any of from", s: own("orders.admin", "plain"), grant: mapped, want: "plain billing.read"},
		{name: "own: not by the target's own name", s: own("billing.read"), grant: mapped, scope: "billing.read", denied: true},
		{name: "own: requested beyond the image", s: own("orders.read"), grant: mapped, scope: "billing.read billing.write", denied: true},
		{name: "own: requested within", s: own("orders.read", "orders.write"), grant: mapped, scope: "billing.write", want: "billing.write"},
		{name: "own: none left of a rule that lists some", s: own("other"), grant: mapped, denied: true},
		{name: "own: without scopes", s: own(), grant: mapped, denied: true},
		{name: "own: rule lists none", s: own("plain"), grant: "ttl: 5m", want: ""},
		{name: "malformed", s: external(), grant: "scopes: [a]", scope: "a ", denied: true},
		{name: "folded", s: external(), grant: "scopes: [a]", scope: "A", denied: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := by(c.s, client("gateway"), "orders")
			in.Scope = c.scope
			a, err := grantOf(t, c.grant, in)
			if c.denied {
				wantCode(t, err, oauth.CodeInvalidScope, oauth.ReasonScope)
				return
			}
			if err != nil || a.Scope() != c.want {
				t.Errorf("got %q, %v, want %q", a.Scope(), err, c.want)
			}
		})
	}
}

func TestP17_AssuranceIsCarriedNeverRefreshed(t *testing.T) {
	for _, s := range []*rules.Subject{external(), own()} {
		a, err := grantOf(t, "ttl: 5m", by(s, client("gateway"), "orders"))
		if err != nil {
			t.Fatal(err)
		}
		if a.ACR() != s.ACR || !slices.Equal(a.AMR(), s.AMR) || !a.AuthTime().Equal(s.AuthTime) {
			t.Errorf("got %q %q %v", a.ACR(), a.AMR(), a.AuthTime())
		}
		s.ACR, s.AMR, s.AuthTime = "", nil, time.Time{}
		if a, err = grantOf(t, "ttl: 5m", by(s, client("gateway"), "orders")); err != nil || a.ACR() != "" || a.AMR() != nil || !a.AuthTime().IsZero() {
			t.Errorf("made up: %q %q %v, %v", a.ACR(), a.AMR(), a.AuthTime(), err)
		}
	}
}

func TestP17_IdentityIsTheSubjects(t *testing.T) {
	a, err := grantOf(t, "ttl: 5m", by(external(), client("gateway"), "orders"))
	if err != nil || a.Subject() != "acme|alice" || a.ClientID() != "gateway" || a.RuleID() != "r" {
		t.Errorf("got %q %q %q, %v", a.Subject(), a.ClientID(), a.RuleID(), err)
	}
}

func TestP18_Lifetime(t *testing.T) {
	sec := time.Second
	for _, c := range []struct {
		name  string
		own   bool
		grant string
		left  time.Duration // of the subject
		orig  time.Duration // of the chain, own only; zero: absent
		late  time.Duration // of now, after the full second
		want  time.Duration // after the full second; 0: refused
	}{
		{name: "the rule's ttl", grant: "ttl: 5m", left: 600 * sec, want: 300 * sec},
		{name: "the default ttl", grant: "scopes: []", left: 3600 * sec, want: testTTL},
		{name: "the subject's exp", grant: "ttl: 5m", left: 60 * sec, want: 60 * sec},
		{name: "outliving the subject", grant: "ttl: 5m, outlive_subject: true", left: 60 * sec, want: 300 * sec},
		{name: "the least that may be left", grant: "ttl: 5m", left: 5 * sec, want: 5 * sec},
		{name: "less than 5 s left", grant: "ttl: 5m", left: 4 * sec},
		{name: "less than 5 s left by a fraction", grant: "ttl: 5m", left: 5 * sec, late: 1},
		{name: "less than 5 s left, outliving", grant: "ttl: 5m, outlive_subject: true", left: 4 * sec},
		{name: "at its exp", grant: "ttl: 5m", left: 0},
		{name: "inside its leeway", grant: "ttl: 5m", left: -10 * sec},
		{name: "inside its leeway, outliving", grant: "ttl: 5m, outlive_subject: true", left: -10 * sec},
		{name: "whole seconds", grant: "ttl: 5m", left: 600 * sec, late: 900 * time.Millisecond, want: 300 * sec},
		{name: "the least ttl, late in a second", grant: "ttl: 5s", left: 600 * sec, late: 900 * time.Millisecond, want: 5 * sec},
		{name: "own: the subject's exp", own: true, grant: "ttl: 10m", left: 60 * sec, orig: 120 * sec, want: 60 * sec},
		{name: "own: origin_exp", own: true, grant: "ttl: 10m", left: 300 * sec, orig: 120 * sec, want: 120 * sec},
		{name: "own: origin_exp too near", own: true, grant: "ttl: 10m", left: 300 * sec, orig: 4 * sec},
		{name: "own: no origin_exp", own: true, grant: "ttl: 10m", left: 300 * sec, want: 300 * sec},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := external()
			if c.own {
				s = own()
				s.OriginExpires = time.Time{}
				if c.orig != 0 {
					s.OriginExpires = noon.Add(c.orig)
				}
			}
			s.Expires = noon.Add(c.left)
			in := by(s, client("gateway"), "orders")
			in.Now = noon.Add(c.late)
			a, err := grantOf(t, c.grant, in)
			if c.want == 0 {
				wantCode(t, err, oauth.CodeInvalidRequest, oauth.ReasonTokenTime)
				return
			}
			if err != nil || !a.IssuedAt().Equal(noon) || a.Expires().Sub(noon) != c.want {
				t.Errorf("got %v to %v, %v, want %v", a.IssuedAt(), a.Expires(), err, c.want)
			}
		})
	}
}

func TestP18_SubjectWithoutExp(t *testing.T) {
	s := with(external(), func(s *rules.Subject) { s.Expires = time.Time{} })
	_, err := grantOf(t, "ttl: 5m, outlive_subject: true", by(s, client("gateway"), "orders"))
	wantCode(t, err, oauth.CodeInvalidRequest, oauth.ReasonTokenTime)
}

// Compile refuses such a rule; Combine would not follow it either.
func TestP18_NoOwnTokenIsOutlived(t *testing.T) {
	s := own()
	a, err := Combine(Decision{subject: s, requester: client("gateway"), now: noon, audiences: []string{"orders"}, bound: &rules.Rule{ID: "r", TTL: time.Hour, Outlive: true}})
	if err != nil || !a.Expires().Equal(s.Expires) {
		t.Errorf("got %v, %v, want %v", a.Expires(), err, s.Expires)
	}
}

func TestP18_OriginOfTheChain(t *testing.T) {
	a, err := grantOf(t, "ttl: 5m, outlive_subject: true", by(external(), client("gateway"), "orders"))
	if err != nil || !a.OriginExpires().Equal(a.Expires()) || !a.Expires().Equal(noon.Add(5*time.Minute)) {
		t.Errorf("the first own token: got %v, %v", a.OriginExpires(), err)
	}
	s := own()
	a, err = grantOf(t, "ttl: 5m", by(s, client("gateway"), "orders"))
	if err != nil || !a.OriginExpires().Equal(s.OriginExpires) {
		t.Errorf("a descendant: got %v, %v, want %v", a.OriginExpires(), err, s.OriginExpires)
	}
	s.OriginExpires = time.Time{}
	if a, err = grantOf(t, "ttl: 5m", by(s, client("gateway"), "orders")); err != nil || !a.OriginExpires().Equal(s.Expires) {
		t.Errorf("a chain without origin: got %v, %v, want the subject's exp", a.OriginExpires(), err)
	}
}

func TestP8_Claims(t *testing.T) {
	groups := []any{"acme:orders"}
	for _, c := range []struct {
		name  string
		s     *rules.Subject
		grant string
		want  map[string]any
	}{
		{"those a mapper made, without profile and e-mail", external(), "ttl: 5m", map[string]any{"groups": groups, "tenant": "acme"}},
		{"those of an own token", own(), "ttl: 5m", map[string]any{"groups": groups, "tenant": "acme"}},
		{"only those named", external(), "claims: [tenant]", map[string]any{"tenant": "acme"}},
		{"a profile claim, named", external(), "claims: [name]", map[string]any{"name": "Alice"}},
		{"an address says whether it is verified", external(), "claims: [email]", map[string]any{"email": "a@acme.example", "email_verified": true}},
		{"none named", external(), "claims: []", map[string]any{}},
		{"named and absent", external(), "claims: [tenant, cost_center]", map[string]any{"tenant": "acme"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := grantOf(t, c.grant, by(c.s, client("gateway"), "orders"))
			if err != nil || !reflect.DeepEqual(a.Claims(), c.want) {
				t.Errorf("got %v, %v, want %v", a.Claims(), err, c.want)
			}
		})
	}
}

// Whatever a subject claims to have made, the broker's own claims never leave by this way.
func TestP7_ReservedNeverReleased(t *testing.T) {
	s := own()
	s.Made = slices.Collect(maps.Keys(s.Principal))
	s.Principal["Scope "] = "all"
	s.Made = append(s.Made, "sub", "Scope ")
	a, err := grantOf(t, "ttl: 5m", by(s, client("gateway"), "orders"))
	if err != nil || len(a.Claims()) != 2 {
		t.Errorf("got %v, %v", a.Claims(), err)
	}
}

func TestP6_UpstreamByName(t *testing.T) {
	a, err := grantOf(t, "ttl: 5m", by(external(), client("gateway"), "orders"))
	if err != nil || a.Upstream() != (UpstreamRef{Name: "acme"}) {
		t.Errorf("got %v, %v", a.Upstream(), err)
	}
	full := client("gateway")
	full.FullUpstream = true
	a, err = grantOf(t, "ttl: 5m", by(external(), full, "orders"))
	if want := (UpstreamRef{"acme", "https://idp.acme.example", "alice"}); err != nil || a.Upstream() != want {
		t.Errorf("got %v, %v, want %v", a.Upstream(), err, want)
	}
}

func TestP21_AnonymousClientID(t *testing.T) {
	p := compile(t, "- {id: r, subject: {upstream: acme}, requester: {anonymous: true}, grant: {audiences: [orders]}}")
	d, err := p.Decide(by(external(), &oauth.Requester{Anonymous: true}, "orders"), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Combine(d)
	if err != nil || a.ClientID() != "anonymous:r" || len(a.Lineage().Clients) != 0 {
		t.Errorf("got %q, %v, %v", a.ClientID(), a.Lineage(), err)
	}
}

func TestP24_SingleUseIsSpentByTheCaller(t *testing.T) {
	a, err := grantOf(t, "single_use: true", by(external(), client("gateway"), "orders"))
	once, single := a.Spend()
	// exp + the upstream's leeway + 1 s
	want := Spend{Upstream: "acme", Issuer: "https://idp.acme.example", JTI: "j1", Until: noon.Add(10*time.Minute + time.Minute + time.Second)}
	if err != nil || !single || once != want {
		t.Errorf("got %v, %t, %v, want %v", once, single, err, want)
	}
	a, err = grantOf(t, "single_use: true", by(own(), client("gateway"), "orders"))
	once, single = a.Spend()
	want = Spend{Issuer: "https://broker.example", JTI: "own-1", Until: noon.Add(9*time.Minute + 30*time.Second + time.Second)}
	if err != nil || !single || once != want {
		t.Errorf("own: got %v, %t, %v, want %v", once, single, err, want)
	}
	a, err = grantOf(t, "ttl: 5m", by(external(), client("gateway"), "orders"))
	if _, single := a.Spend(); err != nil || single {
		t.Errorf("spent without single_use, %v", err)
	}
}

func TestP24_NoJTIUnderSingleUse(t *testing.T) {
	in := by(with(external(), func(s *rules.Subject) { s.JTI = "" }), client("gateway"), "orders")
	_, err := grantOf(t, "single_use: true", in)
	wantCode(t, err, oauth.CodeInvalidRequest, oauth.ReasonReplay)
	if _, err := grantOf(t, "ttl: 5m", in); err != nil {
		t.Errorf("without single_use: %v", err)
	}
	in.Scope = "beyond" // P27: scope is judged first
	_, err = grantOf(t, "single_use: true", in)
	wantCode(t, err, oauth.CodeInvalidScope, oauth.ReasonScope)
}

func TestLineage_UnionOfAll(t *testing.T) {
	a, err := grantOf(t, "ttl: 5m", by(own(), client("spa"), "orders"))
	want := revoke.Lineage{
		Tokens: []string{"own-1", "tok-ext"}, Rules: []string{"partner-orders", "r"}, Clients: []string{"gateway"}, Kids: []string{"k1"},
		Subjects: []string{"acme|alice"}, Upstreams: []string{"acme"}, Since: own().IssuedAt.Unix(), Own: own().IssuedAt.Unix(),
	}
	if err != nil || !reflect.DeepEqual(a.Lineage(), want) {
		t.Errorf("got %+v, %v\nwant %+v", a.Lineage(), err, want)
	}
	if !slices.Equal(a.Parents(), []string{"own-1"}) {
		t.Errorf("parents: %q", a.Parents())
	}
	a, err = grantOf(t, "ttl: 5m", by(external(), client("gateway"), "orders"))
	want = revoke.Lineage{Tokens: []string{"tok-ext"}, Rules: []string{"r"}, Subjects: []string{"acme|alice"}, Upstreams: []string{"acme"}, Since: external().IssuedAt.Unix()}
	if err != nil || !reflect.DeepEqual(a.Lineage(), want) {
		t.Errorf("got %+v, %v\nwant %+v", a.Lineage(), err, want)
	}
}

func TestLineage_MoreAncestorsThanFitAreRefused(t *testing.T) {
	for _, n := range []int{revoke.MaxAncestors - 1, revoke.MaxAncestors} {
		s := own()
		s.Facts.Lineage.Tokens = nil
		for i := range n {
			s.Facts.Lineage.Tokens = append(s.Facts.Lineage.Tokens, fmt.Sprintf("t%02d", i))
		}
		in := by(s, client("gateway"), "orders")
		a, err := grantOf(t, "ttl: 5m", in)
		if n < revoke.MaxAncestors {
			if err != nil || len(a.Lineage().Tokens) != revoke.MaxAncestors {
				t.Errorf("%d ancestors: %v", n, err)
			}
			continue
		}
		wantCode(t, err, oauth.CodeInvalidRequest, oauth.ReasonLineage)
		in.Scope = "beyond"
		_, err = grantOf(t, "ttl: 5m", in)
		wantCode(t, err, oauth.CodeInvalidRequest, oauth.ReasonLineage)
	}
}

func TestCombine_SubjectWithoutSub(t *testing.T) {
	_, err := grantOf(t, "ttl: 5m", by(with(external(), func(s *rules.Subject) { s.Sub = "" }), client("gateway"), "orders"))
	wantCode(t, err, oauth.CodeServerError, oauth.ReasonInternal)
}

// machine is a client with authority of its own.
func machine() *oauth.Requester {
	return &oauth.Requester{ClientID: "batch", Audiences: []string{"orders"}, Scopes: []string{"orders.read", "orders.write"}, FullUpstream: true}
}

func forClient(t testing.TB, q *oauth.Requester, scope string, targets ...string) (Authority, error) {
	t.Helper()
	d, err := compile(t, "[]").ForClient(q, targets, scope, oauth.Proof{}, noon.Add(300*time.Millisecond))
	if err != nil {
		return Authority{}, err
	}
	return Combine(d)
}

func TestP3_ClientCredentialsSubjectIsTheClient(t *testing.T) {
	a, err := forClient(t, machine(), "")
	if err != nil || a.Subject() != "batch" || a.ClientID() != "batch" || a.Upstream() != (UpstreamRef{}) {
		t.Fatalf("got %q %q %v, %v", a.Subject(), a.ClientID(), a.Upstream(), err)
	}
	if !a.Lineage().IsZero() || a.Parents() != nil || a.RuleID() != "" || a.IssuedType() != "" || a.Claims() != nil {
		t.Errorf("got %+v", a)
	}
	if !a.IssuedAt().Equal(noon) || !a.Expires().Equal(noon.Add(testTTL)) || !a.OriginExpires().Equal(a.Expires()) {
		t.Errorf("got %v, %v, %v", a.IssuedAt(), a.Expires(), a.OriginExpires())
	}
}

func TestP35_ClientCredentialsAudience(t *testing.T) {
	two := machine()
	two.Audiences = []string{"orders", "billing"}
	none := machine()
	none.Audiences = nil
	for _, c := range []struct {
		name    string
		q       *oauth.Requester
		targets []string
		want    string // "": refused
	}{
		{"the only one", machine(), nil, "[orders]"},
		{"the only one, asked for", machine(), []string{"orders"}, "[orders]"},
		{"one beyond", machine(), []string{"billing"}, ""},
		{"one within, one beyond", machine(), []string{"orders", "billing"}, ""},
		{"of several, none asked for", two, nil, ""},
		{"of several, one", two, []string{"billing"}, "[billing]"},
		{"of several, all", two, []string{"billing", "orders"}, "[billing orders]"},
		{"of none", none, nil, ""},
		{"of none, asked for", none, []string{"orders"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := forClient(t, c.q, "", c.targets...)
			if c.want == "" {
				wantCode(t, err, oauth.CodeInvalidTarget, oauth.ReasonTarget)
			} else if got := fmt.Sprint(a.Audiences()); err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestP11_ClientCredentialsScope(t *testing.T) {
	for scope, want := range map[string]string{"": "orders.read orders.write", "orders.write": "orders.write", "orders.admin": "", "orders.read orders.admin": ""} {
		a, err := forClient(t, machine(), scope)
		if want == "" {
			wantCode(t, err, oauth.CodeInvalidScope, oauth.ReasonScope)
		} else if err != nil || a.Scope() != want {
			t.Errorf("%q: got %q, %v", scope, a.Scope(), err)
		}
	}
	bare := machine()
	bare.Scopes = nil
	if a, err := forClient(t, bare, ""); err != nil || a.Scope() != "" {
		t.Errorf("got %q, %v", a.Scope(), err)
	}
}

func TestP35_ClientCredentialsAreForConfidentialClients(t *testing.T) {
	for _, q := range []*oauth.Requester{{ClientID: "spa", Public: true, Audiences: []string{"orders"}}, {Anonymous: true, Audiences: []string{"orders"}}, {Audiences: []string{"orders"}}} {
		_, err := forClient(t, q, "", "orders")
		wantCode(t, err, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed)
	}
}

// drawRequest makes any subject and request under any single rule.
func drawRequest(t *rapid.T) (rules.Spec, *rules.Request) {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID[string])
	s := external()
	if rapid.Bool().Draw(t, "own") {
		s = own(names.Draw(t, "subject's scopes")...)
		s.OriginExpires = noon.Add(time.Duration(rapid.IntRange(-5, 1000).Draw(t, "origin")) * time.Second)
	}
	s.Expires = noon.Add(time.Duration(rapid.IntRange(-5, 1000).Draw(t, "left")) * time.Second)
	if rapid.Bool().Draw(t, "plain identity") {
		s.ACR, s.AMR, s.AuthTime = "", nil, time.Time{}
	}
	ttl := time.Duration(rapid.IntRange(5, 900).Draw(t, "ttl")) * time.Second
	r := rules.Spec{ID: "r", Subject: &rules.SubjectSpec{Upstream: "acme", Issued: s.Own}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
		Grant: &rules.GrantSpec{Audiences: []string{"orders", "billing"}, TTL: &ttl, SingleUse: rapid.Bool().Draw(t, "single use")}}
	for _, name := range names.Draw(t, "rule's scopes") {
		entry := rules.ScopeSpec{Name: name}
		if s.Own {
			entry.From = names.Draw(t, "from")
		}
		r.Grant.Scopes = append(r.Grant.Scopes, entry)
	}
	r.Grant.OutliveSubject = !s.Own && rapid.Bool().Draw(t, "outlive")
	if rapid.Bool().Draw(t, "claims named") {
		claims := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"groups", "tenant", "name", "absent"}), 0, 4, rapid.ID[string]).Draw(t, "claims")
		r.Grant.Claims = &claims
	}
	in := by(s, client("gateway"), rapid.SampledFrom([][]string{{"orders"}, {"billing"}, {"billing", "orders"}}).Draw(t, "targets")...)
	in.Scope = oauth.JoinScope(names.Draw(t, "scope"))
	in.Now = noon.Add(time.Duration(rapid.IntRange(0, 999).Draw(t, "ms")) * time.Millisecond)
	return r, in
}

func decide(t *rapid.T, r rules.Spec, in *rules.Request) (Authority, error) {
	o := world()
	o.Rules = []rules.Spec{r}
	p := Compile(o, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
	d, err := p.Decide(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Combine(d)
}

func TestP17_AuthorityNeverGrows(t *testing.T) {
	issued := 0
	rapid.Check(t, func(t *rapid.T) {
		r, in := drawRequest(t)
		s := in.Subject
		a, err := decide(t, r, in)
		if err != nil {
			if e := oauth.AsError(err); e.Code != oauth.CodeInvalidScope && e.Code != oauth.CodeInvalidRequest {
				t.Fatal(err)
			}
			return
		}
		issued++
		image := imageOf(r.Grant.Scopes, s)
		for _, name := range a.Scopes() {
			if !image[name] {
				t.Fatalf("scope %q is outside the image %v of %q", name, image, s.Scopes)
			}
		}
		for _, name := range a.Audiences() {
			if !slices.Contains(r.Grant.Audiences, name) || !slices.Contains(in.Targets, name) {
				t.Fatalf("audience %q", name)
			}
		}
		life := a.Expires().Sub(a.IssuedAt())
		switch {
		case life > *r.Grant.TTL || life < rules.MinLife || a.IssuedAt().After(in.Now):
			t.Fatalf("lives %v", life)
		case !r.Grant.OutliveSubject && a.Expires().After(s.Expires):
			t.Fatal("outlives its subject")
		case s.Own && (a.Expires().After(s.OriginExpires) || !a.OriginExpires().Equal(s.OriginExpires)):
			t.Fatal("passes the origin of its chain")
		case a.ACR() != s.ACR || !slices.Equal(a.AMR(), s.AMR) || !a.AuthTime().Equal(s.AuthTime):
			t.Fatal("assurance has changed")
		case a.Subject() != s.Sub || a.ClientID() != in.Requester.ClientID:
			t.Fatal("identity has changed")
		}
		for name, v := range a.Claims() {
			named := r.Grant.Claims == nil && slices.Contains(s.Made, name) && name != "name" || r.Grant.Claims != nil && slices.Contains(*r.Grant.Claims, name)
			if !named || !reflect.DeepEqual(v, s.Principal[name]) {
				t.Fatalf("claim %q", name)
			}
		}
		for _, id := range append(slices.Clone(s.Facts.Lineage.Tokens), s.Facts.TokenID) {
			if !slices.Contains(a.Lineage().Tokens, id) {
				t.Fatalf("ancestor %q is lost", id)
			}
		}
	})
	if issued == 0 {
		t.Error("no draw was granted: the property was never judged")
	}
}

func imageOf(entries []rules.ScopeSpec, s *rules.Subject) map[string]bool {
	image := map[string]bool{}
	for _, e := range entries {
		from := e.From
		if len(from) == 0 {
			from = []string{e.Name}
		}
		if !s.Own || slices.ContainsFunc(from, func(f string) bool { return slices.Contains(s.Scopes, f) }) {
			image[e.Name] = true
		}
	}
	return image
}

func TestP17_RemovingAScopeNeverAddsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, in := drawRequest(t)
		if len(in.Subject.Scopes) == 0 {
			return
		}
		more, errMore := decide(t, r, in)
		less := *in.Subject
		i := rapid.IntRange(0, len(less.Scopes)-1).Draw(t, "removed")
		less.Scopes = slices.Delete(slices.Clone(less.Scopes), i, i+1)
		fewer := *in
		fewer.Subject = &less
		a, err := decide(t, r, &fewer)
		if err == nil && errMore != nil {
			t.Fatalf("granted with fewer scopes only: %v", errMore)
		}
		for _, name := range a.Scopes() {
			if !slices.Contains(more.Scopes(), name) {
				t.Fatalf("scope %q came of removing one", name)
			}
		}
	})
}

func TestP15_ScopeNeverFallsThrough(t *testing.T) {
	p := compile(t, `
- {id: first, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [a]}}
- {id: second, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [b]}}
`)
	in := by(external(), client("gateway"), "orders")
	in.Scope = "b"
	d, err := p.Decide(in, nil)
	if err != nil || d.RuleID() != "first" {
		t.Fatalf("got %q, %v", d.RuleID(), err)
	}
	if _, err := Combine(d); oauth.AsError(err).Code != oauth.CodeInvalidScope {
		t.Errorf("got %v, want invalid_scope", err)
	}
}

func TestDecision_ZeroIsNothing(t *testing.T) {
	if a, err := Combine(Decision{}); err == nil || !a.IsZero() || !reflect.DeepEqual(a, Authority{}) {
		t.Errorf("got %+v, %v", a, err)
	}
}

// What a workload was given by its token as a credential descends from that token: who revokes the workload reaches it all.
func TestP26_WorkloadsCredentialIsAnAncestor(t *testing.T) {
	w := oauth.Workload{TokenID: "cred", Subject: "ci|runner", Upstream: "ci", IssuedAt: noon.Add(-10 * time.Minute)}
	q := machine()
	q.Workload = w
	a, err := forClient(t, q, "", "orders")
	if err != nil {
		t.Fatal(err)
	}
	gateway := client("gateway")
	gateway.Workload = w
	b, err := grantOf(t, "ttl: 5m", by(external(), gateway, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ofLogin(t, func(g *Login) { g.Requester = &oauth.Requester{ClientID: "wiki", Workload: w} })
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]Authority{"its own": a, "exchanged": b, "of a login": c} {
		l := a.Lineage()
		if !slices.Contains(l.Tokens, "cred") || !slices.Contains(l.Subjects, "ci|runner") || !slices.Contains(l.Upstreams, "ci") || !slices.Contains(a.Parents(), "cred") || l.Since > w.IssuedAt.Unix() {
			t.Errorf("%s: %+v, parents %q", name, l, a.Parents())
		}
	}
}

func TestP25_ActorsTokenIsOfTheProvenKey(t *testing.T) {
	p := compile(t, "- {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true}, grant: {audiences: [orders]}}")
	in := by(external(), client("gateway"), "orders")
	in.Actor = &rules.Subject{Own: true, Sub: "gateway", ClientID: "gateway", Expires: noon.Add(testTTL), OriginExpires: noon.Add(testTTL), Confirmed: "k1", Proven: true}
	for key, ok := range map[string]bool{"": false, "k2": false, "k1": true} {
		in.Proof = oauth.Proof{Key: key}
		d, err := p.Decide(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := Combine(d); (err == nil) != ok || ok && a.Confirmed() != "k1" {
			t.Errorf("key %q: %v", key, err)
		}
	}
}
