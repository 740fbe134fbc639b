package policy

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
)

// Authority never grows (P17, P18, P20, P24 to P26), as properties of random policies, requests, and chains of login, refresh and exchange;
// propertymodel_test.go says what the rules mean, and draws them. Each of these, done to Combine by hand, is seen red with the cases that
// every run has:
//
//  1. scopes: what the subject lacks is given, too
//  2. scopes: what is asked for is not held to what is allowed
//  3. lifetime: the subject's exp does not bound
//  4. lifetime: the actor's exp does not bound
//  5. lifetime: origin_exp begins anew with each exchange
//  6. identity: auth_time is the moment of the exchange
//  7. delegation: the chain that acted before is dropped; or the links change places
//  8. constraint: the key of a proven subject is not passed on
//  9. lineage: the actor's ancestors are left out; or the subject's own names; or the rule
//  10. audiences: the rule's instead of the request's
//
// So are: claims that are reserved, an ID-JAG's scopes that bound nothing, the actor's sub in the subject's place, exp rounded up, an actor's
// origin_exp that does not bound, a ttl that does not, a single use that spends nothing.
//
// And, done to the rules: impersonation takes act or may_act, may_act is not read or not held to the requester, the cap of the chain is one more
// or none, the actor is not the one that is selected, a bound subject passes every rule, a rule in audit grants, one audience of several is
// enough, the index tries rules in another order than the file.

// How many cases a property is held to.
const (
	cases    = 1000
	fewCases = 250 // that cost more each
)

// checks runs a property on so many cases, the same ones each time; RAPID_CHECKS and RAPID_SEED, or rapid's flags, ask for others.
func checks(t *testing.T, cases int, property func(*rapid.T)) {
	t.Helper()
	for name, fixed := range map[string]struct{ env, value string }{"rapid.checks": {"RAPID_CHECKS", strconv.Itoa(cases)}, "rapid.seed": {"RAPID_SEED", "20300102"}} {
		f := flag.Lookup(name)
		if before := f.Value.String(); before != f.DefValue || os.Getenv(fixed.env) != "" {
			continue
		}
		if err := flag.Set(name, fixed.value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, f.DefValue) })
	}
	rapid.Check(t, property)
}

// exchange is one request, what the model says of it, and what came of it.
type exchange struct {
	specs []rules.Spec
	in    *rules.Request
	rule  rules.Spec // that decides by the model
	found bool
	a     Authority
	err   error
}

func compiled(t *rapid.T, specs []rules.Spec) *Policy {
	return Compile(modelWorld(specs), func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
}

func grants(p *Policy, in *rules.Request) (Authority, error) {
	d, err := p.Decide(in, nil)
	if err != nil {
		return Authority{}, err
	}
	return Combine(d)
}

func drawExchange(t *rapid.T) exchange {
	x := exchange{specs: drawPolicy(t)}
	x.in = drawAttempt(t, x.specs)
	x.rule, x.found = decides(x.specs, x.in)
	x.a, x.err = grants(compiled(t, x.specs), x.in)
	return x
}

// neverGrows is a property of what is granted; a run that grants too little proves nothing.
func neverGrows(t *testing.T, cases int, hold func(*rapid.T, exchange)) {
	t.Helper()
	granted, all := 0, 0
	checks(t, cases, func(t *rapid.T) {
		x := drawExchange(t)
		if all++; x.err != nil {
			if oauth.AsError(x.err).Code == oauth.CodeServerError || !x.a.IsZero() {
				t.Fatalf("refused by %v, with %+v", x.err, x.a)
			}
			return
		}
		granted++
		hold(t, x)
	})
	if !t.Failed() && granted*12 < all {
		t.Errorf("%d granted of %d: the generator proves nothing", granted, all)
	}
}

func TestProperty_TheRuleThatAppliesFirstDecides(t *testing.T) {
	granted := 0
	checks(t, fewCases, func(t *rapid.T) {
		x := drawExchange(t)
		switch {
		case !x.found && x.err == nil:
			t.Fatalf("no rule applies, and %s granted it", x.a.RuleID())
		case x.found && x.err == nil && x.a.RuleID() != x.rule.ID:
			t.Fatalf("%s granted it, want %s", x.a.RuleID(), x.rule.ID)
		case x.err == nil:
			granted++
		}
		if x.found && x.err != nil && mustGrant(x) {
			t.Fatalf("%s applies and nothing else is in the way: %v", x.rule.ID, x.err)
		}
	})
	if !t.Failed() && granted == 0 {
		t.Error("nothing was granted")
	}
}

// mustGrant tells whether nothing but the rules could refuse the request.
func mustGrant(x exchange) bool {
	in, allowed := x.in, image(x.rule, x.in.Subject)
	asked, _ := oauth.ParseScope(in.Scope)
	plain := typeOf(x.rule, in.TokenType) != oauth.TypeIDToken && (len(in.Targets) > 0 || len(x.rule.Grant.Audiences) == 1)
	scoped := asked != nil && within(asked, allowed) || asked == nil && (len(allowed) > 0 || len(x.rule.Grant.Scopes) == 0)
	lasts, ancestors := true, map[string]bool{}
	for _, s := range []*rules.Subject{in.Subject, in.Actor} {
		if s == nil {
			continue
		}
		for _, end := range ends(s) {
			lasts = lasts && end.Sub(in.Now) > life+time.Second
		}
		ancestors[s.Facts.TokenID] = true
		for _, id := range s.Facts.Lineage.Tokens {
			ancestors[id] = true
		}
	}
	return plain && scoped && lasts && len(ancestors) <= revoke.MaxAncestors && in.Subject.Resources == nil && (!x.rule.Grant.SingleUse && !in.Subject.Once || in.Subject.JTI != "") &&
		(x.rule.Grant.TTL == nil || *x.rule.Grant.TTL > life)
}

// invariants are what is true of everything that is granted.
var invariants = []struct {
	name string
	hold func(*rapid.T, exchange)
}{
	{"scope is within the image of the subject's", scopeWithinImage},
	{"audience is within the rule's", audienceWithinRule},
	{"life is within the rule's and every input's", lifeWithinInputs},
	{"identity and assurance are the subject's", identityOfSubject},
	{"claims are those of the principal that the rule names", claimsOfRule},
	{"sender constraint never falls", constraintStays},
	{"the act chain is the actor and then the subject's", actChain},
	{"lineage holds every ancestor's", lineageOfAncestors},
	{"single use spends the subject", singleUse},
}

func TestProperty_AuthorityNeverGrows(t *testing.T) {
	neverGrows(t, cases, func(t *rapid.T, x exchange) {
		for _, i := range invariants {
			t.Log(i.name) // the last one is the one that fails
			i.hold(t, x)
		}
	})
}

func scopeWithinImage(t *rapid.T, x exchange) {
	if got := x.a.Scopes(); !within(got, image(x.rule, x.in.Subject)) || len(got) != len(oauth.Unique(got)) {
		t.Fatalf("got %q of %q by %+v", got, x.in.Subject.Scopes, x.rule.Grant.Scopes)
	}
	if asked, _ := oauth.ParseScope(x.in.Scope); asked != nil && !slices.Equal(x.a.Scopes(), asked) {
		t.Fatalf("got %q, asked for %q", x.a.Scopes(), asked)
	}
}

func TestProperty_ASubjectWithLessScopeGetsNoMore(t *testing.T) {
	neverGrows(t, fewCases, func(t *rapid.T, x exchange) {
		if len(x.in.Subject.Scopes) == 0 {
			return
		}
		less := *x.in
		less.Subject = copied(x.in.Subject)
		less.Subject.Scopes = slices.Delete(less.Subject.Scopes, 0, 1)
		for _, scope := range []string{x.in.Scope, ""} {
			full := *x.in
			full.Scope, less.Scope = scope, scope
			one := compiled(t, []rules.Spec{x.rule})
			a, err := grants(one, &full)
			if b, other := grants(one, &less); other == nil && (err != nil || !within(b.Scopes(), a.Scopes())) {
				t.Fatalf("%q give %q, and %q give %q", x.in.Subject.Scopes, a.Scopes(), less.Subject.Scopes, b.Scopes())
			}
		}
	})
}

func audienceWithinRule(t *rapid.T, x exchange) {
	got, in := x.a.Audiences(), x.in
	id := x.a.IssuedType() == oauth.TypeIDToken
	switch {
	case len(got) == 0,
		len(in.Targets) > 0 && !slices.Equal(got, in.Targets),
		!within(got, x.rule.Grant.Audiences) && !(id && slices.Equal(got, []string{in.Requester.ClientID})), // an ID token is the requester's own by default
		id && (len(got) != 1 || !slices.Contains(modelClients, got[0])),
		in.Subject.Resources != nil && !within(got, in.Subject.Resources):
		t.Fatalf("got %q of type %s, asked for %q of %q", got, x.a.IssuedType(), in.Targets, x.rule.Grant.Audiences)
	}
	if want := typeOf(x.rule, in.TokenType); x.a.IssuedType() != want {
		t.Fatalf("type %s, want %s", x.a.IssuedType(), want)
	}
}

func lifeWithinInputs(t *rapid.T, x exchange) {
	in, a := x.in, x.a
	ttl := testTTL
	if x.rule.Grant.TTL != nil {
		ttl = *x.rule.Grant.TTL
	}
	bounds := append(ends(in.Actor), a.IssuedAt().Add(ttl))
	if in.Subject.Own || !x.rule.Grant.OutliveSubject {
		bounds = append(bounds, ends(in.Subject)...)
	}
	for _, end := range bounds {
		if a.Expires().After(end) {
			t.Fatalf("expires at %v, after %v", a.Expires(), end)
		}
	}
	for _, s := range []*rules.Subject{in.Subject, in.Actor} {
		for _, end := range ends(s) {
			if end.Sub(in.Now) < life {
				t.Fatalf("%v are left of %s", end.Sub(in.Now), s.Facts.TokenID)
			}
		}
		if origin, has := originOf(s); has && a.OriginExpires().After(origin) {
			t.Fatalf("origin_exp %v passes that of %s", a.OriginExpires(), s.Facts.TokenID)
		}
	}
	switch {
	case a.Expires().Sub(a.IssuedAt()) < life, a.IssuedAt().After(in.Now), a.OriginExpires().Before(a.Expires()),
		a.Expires().Nanosecond() != 0, a.IssuedAt().Nanosecond() != 0:
		t.Fatalf("from %v to %v, origin %v", a.IssuedAt(), a.Expires(), a.OriginExpires())
	case !in.Subject.Own && (in.Actor == nil || !in.Actor.Own) && !a.OriginExpires().Equal(a.Expires()):
		t.Fatalf("a chain begins with exp %v and origin_exp %v", a.Expires(), a.OriginExpires())
	}
	if origin, has := originOf(in.Subject); has && (in.Actor == nil || !in.Actor.Own) && !a.OriginExpires().Equal(origin) {
		t.Fatalf("origin_exp %v, the chain's is %v", a.OriginExpires(), origin)
	}
}

// originOf is the exp of the first token of ours in the chain that s is the youngest of (P18).
func originOf(s *rules.Subject) (time.Time, bool) {
	switch {
	case s == nil || !s.Own:
		return time.Time{}, false
	case s.OriginExpires.IsZero():
		return s.Expires, true
	}
	return s.OriginExpires, true
}

func identityOfSubject(t *rapid.T, x exchange) {
	s, a := x.in.Subject, x.a
	client := x.in.Requester.ClientID
	if x.in.Requester.Anonymous {
		client = "anonymous:" + x.rule.ID
	}
	switch {
	case a.Subject() != s.Sub, a.ClientID() != client, a.Upstream() != UpstreamRef{Name: s.Upstream}:
		t.Fatalf("%s by %s of %v", a.Subject(), a.ClientID(), a.Upstream())
	case a.ACR() != s.ACR, !slices.Equal(a.AMR(), s.AMR), !a.AuthTime().Equal(s.AuthTime):
		t.Fatalf("acr %q, amr %q, auth_time %v of %+v", a.ACR(), a.AMR(), a.AuthTime(), s)
	}
}

func claimsOfRule(t *rapid.T, x exchange) {
	for name, value := range x.a.Claims() {
		named := x.rule.Grant.Claims != nil && (slices.Contains(*x.rule.Grant.Claims, name) || name == "email_verified" && slices.Contains(*x.rule.Grant.Claims, "email"))
		made := x.rule.Grant.Claims == nil && slices.Contains(x.in.Subject.Made, name) && !mappers.ProfileClaim(name)
		if mappers.Reserved(name) || !(named || made) || !reflect.DeepEqual(value, x.in.Subject.Principal[name]) {
			t.Fatalf("%s = %v leaves by %+v", name, value, x.rule.Grant.Claims)
		}
	}
	if _, has := x.a.Claims()["email"]; has && x.a.Claims()["email_verified"] != false {
		t.Fatal("an address without its email_verified")
	}
}

func constraintStays(t *rapid.T, x exchange) {
	s, proof := x.in.Subject, x.in.Proof.Key
	switch got := x.a.Confirmed(); {
	case s.Confirmed != "" && got == "":
		t.Fatal("a bound subject yields a bearer token")
	case got != proof:
		t.Fatalf("bound to %q, and the requester proved %q", got, proof)
	case s.Confirmed != "" && got != s.Confirmed && x.rule.BoundSubject != "accept":
		t.Fatalf("bound to %q instead of %q, and the rule does not accept that", got, s.Confirmed)
	}
}

func actChain(t *rapid.T, x exchange) {
	got, before := chain(x.a.Act()), chain(x.in.Subject.Act)
	if x.in.Actor == nil || !delegation(x.rule) {
		if got != nil || before != nil || x.in.Actor != nil || delegation(x.rule) || x.in.Subject.MayAct != nil {
			t.Fatalf("impersonation gives %v, after %v", got, before)
		}
		return
	}
	want := append([]rules.Actor{{Subject: x.in.Actor.Sub, ClientID: x.in.Actor.ClientID}}, before...)
	if !reflect.DeepEqual(got, want) || len(got) > modelAct {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// holdsAll tells whether all names of part are in whole, and no time of whole is later.
func holdsAll(whole, part revoke.Lineage) bool {
	lists := func(l revoke.Lineage) [][]string {
		return [][]string{l.Tokens, l.Rules, l.Clients, l.Kids, l.Sessions, l.Families, l.Subjects, l.Upstreams}
	}
	for i, list := range lists(part) {
		if !within(list, lists(whole)[i]) {
			return false
		}
	}
	no := func(whole, part int64) bool { return part == 0 || whole != 0 && whole <= part }
	return no(whole.Since, part.Since) && no(whole.Own, part.Own)
}

// ofItself is what a revocation can name of the token itself.
func ofItself(s *rules.Subject) revoke.Lineage {
	one := func(id string) []string {
		return slices.DeleteFunc([]string{id}, func(id string) bool { return id == "" })
	}
	f := s.Facts
	l := revoke.Lineage{Tokens: one(f.TokenID), Clients: one(f.ClientID), Kids: one(f.Kid), Subjects: one(f.Subject), Upstreams: one(f.Upstream), Since: s.IssuedAt.Unix()}
	if s.Own {
		l.Own = l.Since
	}
	return l
}

func lineageOfAncestors(t *rapid.T, x exchange) {
	got := x.a.Lineage()
	for _, s := range []*rules.Subject{x.in.Subject, x.in.Actor} {
		if s == nil {
			continue
		}
		if !holdsAll(got, s.Facts.Lineage) || !holdsAll(got, ofItself(s)) || !slices.Contains(x.a.Parents(), s.Facts.TokenID) {
			t.Fatalf("got %+v of %v, lacks what %+v has", got, x.a.Parents(), s.Facts)
		}
	}
	if !slices.Contains(got.Rules, x.rule.ID) || len(got.Tokens) > revoke.MaxAncestors {
		t.Fatalf("got %+v", got)
	}
}

func singleUse(t *rapid.T, x exchange) {
	once, spends := x.a.Spend()
	s := x.in.Subject
	switch {
	case spends != (x.rule.Grant.SingleUse || s.Once):
		t.Fatalf("spends: %v", spends)
	case spends && (once.JTI != s.JTI || once.Issuer != s.Issuer || !s.Own && once.Upstream != s.Upstream || once.Until.Before(s.Expires.Add(30*time.Second))):
		t.Fatalf("spends %+v of %+v", once, s)
	}
}

func TestProperty_NothingIsWrittenToAndOneRequestHasOneAnswer(t *testing.T) {
	checks(t, fewCases, func(t *rapid.T) {
		specs := drawPolicy(t)
		in := drawAttempt(t, specs)
		subject, actor := copied(in.Subject), copied(in.Actor)
		p := compiled(t, specs)
		a, err := grants(p, in)
		b, again := grants(p, in)
		if !reflect.DeepEqual(a, b) || (err == nil) != (again == nil) {
			t.Fatalf("first %+v %v, then %+v %v", a, err, b, again)
		}
		if !reflect.DeepEqual(in.Subject, subject) || !reflect.DeepEqual(in.Actor, actor) {
			t.Fatalf("%+v, %+v were written to", in.Subject, in.Actor)
		}
	})
}

// A trace looks at all the rules, an exchange at those that the index leaves: they come to the same.
func TestProperty_TracingChangesNothing(t *testing.T) {
	checks(t, fewCases, func(t *rapid.T) {
		specs := drawPolicy(t)
		in := drawAttempt(t, specs)
		p := compiled(t, specs)
		plain, err := p.Decide(in, nil)
		trace := &rules.Trace{}
		traced, again := p.Decide(in, trace)
		switch {
		case !reflect.DeepEqual(plain, traced), (err == nil) != (again == nil):
			t.Fatalf("got %+v, %v; traced %+v, %v", plain, err, traced, again)
		case err != nil && (oauth.AsError(err).Code != oauth.AsError(again).Code || oauth.AsError(err).Reason != oauth.AsError(again).Reason):
			t.Fatalf("refused with %v; traced with %v", err, again)
		}
	})
}

// What no rule allows is refused alike in whatever order the rules are, and whatever rules are added that do not apply.
func TestProperty_DenialIsStable(t *testing.T) {
	denied := 0
	checks(t, fewCases, func(t *rapid.T) {
		x := drawExchange(t)
		if x.found {
			return
		}
		denied++
		other := drawRule(t, "other")
		if applies(other, x.in) {
			return
		}
		meets := other.Requester.Anonymous == x.in.Requester.Anonymous && (x.in.Requester.Anonymous || slices.Contains(other.Requester.Clients, x.in.Requester.ClientID)) // then a later step may refuse (P27)
		for _, specs := range [][]rules.Spec{rapid.Permutation(x.specs).Draw(t, "in another order"), append(slices.Clone(x.specs), other), append([]rules.Spec{other}, x.specs...)} {
			_, err := grants(compiled(t, specs), x.in)
			if err == nil {
				t.Fatal("granted, by rules none of which applies")
			}
			if got, want := oauth.AsError(err).Code, oauth.AsError(x.err).Code; got != want && (len(specs) == len(x.specs) || !meets) {
				t.Fatalf("refused with %s, before with %s", got, want)
			}
		}
	})
	if !t.Failed() && denied == 0 {
		t.Error("nothing was denied")
	}
}

// What a rule decides stays as it is where rules that do not apply come before it or after.
func TestProperty_RulesThatDoNotApplyChangeNothing(t *testing.T) {
	neverGrows(t, fewCases, func(t *rapid.T, x exchange) {
		other := drawRule(t, "other")
		if applies(other, x.in) {
			return
		}
		for _, specs := range [][]rules.Spec{append([]rules.Spec{other}, x.specs...), append(slices.Clone(x.specs), other), {other, x.rule}} {
			if a, err := grants(compiled(t, specs), x.in); err != nil || a.Scope() != x.a.Scope() || !slices.Equal(a.Audiences(), x.a.Audiences()) || a.RuleID() != x.a.RuleID() || !a.Expires().Equal(x.a.Expires()) {
				t.Fatalf("got %+v, %v, want %+v", a, err, x.a)
			}
		}
	})
}

// descent is a chain of exchanges under way, and what must be true of all that comes of it.
type descent struct {
	now      time.Time
	token    *rules.Subject // the youngest
	above    []*rules.Subject
	scopes   []string // that rules could have left of the first token's
	actors   []rules.Actor
	bound    bool // some token above is bound to a key
	minted   int
	sub, acr string
}

// opened is the token that is minted of an authority, as whoever opens it has it.
func (c *descent) opened(a Authority) *rules.Subject {
	c.minted++
	id := fmt.Sprintf("own-%d", c.minted)
	claims := map[string]any{"sub": a.Subject()}
	return &rules.Subject{
		Own: true, Upstream: a.Upstream().Name, Sub: a.Subject(), ClientID: a.ClientID(), Issuer: ourIssuer, Claims: claims, Principal: claims, Scopes: a.Scopes(), Audiences: a.Audiences(),
		IssuedAt: a.IssuedAt(), Expires: a.Expires(), OriginExpires: a.OriginExpires(), AuthTime: a.AuthTime(), ACR: a.ACR(), AMR: a.AMR(), JTI: id, Confirmed: a.Confirmed(), Act: a.Act(),
		Facts: revoke.Facts{TokenID: id, ClientID: a.ClientID(), Subject: a.Subject(), Upstream: a.Upstream().Name, Kid: "k1", Lineage: a.Lineage()},
	}
}

// begin is a person who signs in, by a code or a refresh token, or somebody of an upstream whose token is exchanged.
func (c *descent) begin(t *rapid.T, p *Policy) {
	if !rapid.Bool().Draw(t, "by a login") {
		c.token = drawSubject(t, "first", false, "acme")
		c.token.Scoped, c.token.Once, c.token.Resources, c.scopes = false, false, nil, nil
		c.sub, c.acr = c.token.Sub, c.token.ACR
		return
	}
	granted := drawSome(t, "granted", modelScopes, 1)
	login := &Login{
		Requester: client("gateway"), Issuer: ourIssuer, GrantID: "family", SessionID: "session", Subject: "acme|alice", Upstream: UpstreamRef{Name: "acme"}, AuthTime: noon.Add(-time.Hour), ACR: "gold", AMR: []string{"pwd"},
		Since: noon.Add(-time.Hour), Granted: noon.Add(-time.Hour), Scopes: granted, Scope: oauth.JoinScope(drawSome(t, "of them", granted, 0)), Now: c.now,
		Proof: oauth.Proof{Key: rapid.SampledFrom([]string{"", "key-1"}).Draw(t, "proof of the login")},
	}
	d, err := p.ForLogin(login)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Combine(d)
	if err != nil {
		t.Fatal(err)
	}
	if a.Act() != nil || !within(a.Scopes(), granted) || a.Confirmed() != login.Proof.Key || a.ACR() != "gold" || !a.AuthTime().Equal(login.AuthTime) {
		t.Fatalf("a login gives %+v", a)
	}
	c.token, c.scopes, c.sub, c.acr = c.opened(a), a.Scopes(), a.Subject(), a.ACR()
	c.bound = a.Confirmed() != ""
}

// step is one exchange more, by a rule that may suit it.
func (c *descent) step(t *rapid.T) {
	s := drawRule(t, "hop")
	s.Mode, s.Subject, s.Requester, s.Grant.OutliveSubject = "", &rules.SubjectSpec{Issued: c.token.Own}, &rules.RequesterSpec{Clients: modelClients}, !c.token.Own && s.Grant.OutliveSubject
	if !c.token.Own {
		s.Subject.Upstream = "acme"
		for i := range s.Grant.Scopes {
			s.Grant.Scopes[i].From = nil
		}
	}
	s.Grant.TokenTypes = nil
	if c.token.Act != nil && s.Actor == nil && rapid.Bool().Draw(t, "delegation, since it began with it") {
		s.Actor = &rules.ActorSpec{Required: true}
	}
	in := &rules.Request{Subject: c.token, Requester: client(rapid.SampledFrom(modelClients).Draw(t, "requester")), Targets: drawSome(t, "targets", s.Grant.Audiences, 1), Now: c.now}
	if delegation(s) {
		in.Actor = drawActor(t, s, in.Requester)
	}
	in.Proof.Key = rapid.SampledFrom([]string{"key-1", "", "key-2"}).Draw(t, "proof")
	in.Subject.Proven = in.Subject.Confirmed != "" && in.Proof.Key == in.Subject.Confirmed
	allowed := image(s, c.token)
	a, err := grants(compiled(t, []rules.Spec{s}), in)
	if err != nil {
		return
	}
	if !c.token.Own {
		c.scopes = allowed
	} else {
		c.scopes = image(s, &rules.Subject{Own: true, Scopes: c.scopes})
	}
	if in.Actor != nil {
		c.actors = append([]rules.Actor{{Subject: in.Actor.Sub, ClientID: in.Actor.ClientID}}, c.actors...)
		c.above = append(c.above, in.Actor)
	}
	c.above, c.token = append(c.above, c.token), c.opened(a)
	c.bound = c.bound || a.Confirmed() != ""
}

// holds is what must be true of the youngest token against all above it.
func (c *descent) holds(t *rapid.T) {
	s := c.token
	for _, up := range c.above {
		if !slices.Contains(s.Facts.Lineage.Tokens, up.Facts.TokenID) || !holdsAll(s.Facts.Lineage, ofItself(up)) || !holdsAll(s.Facts.Lineage, up.Facts.Lineage) {
			t.Fatalf("lineage %+v lacks what %+v has", s.Facts.Lineage, up.Facts)
		}
		if origin, has := originOf(up); has && (s.Expires.After(origin) || s.OriginExpires.After(origin)) {
			t.Fatalf("%v, origin %v, passes the origin_exp %v of %s", s.Expires, s.OriginExpires, origin, up.Facts.TokenID)
		}
	}
	switch {
	case s.Own && !within(s.Scopes, c.scopes):
		t.Fatalf("scopes %q, and the rules could leave %q", s.Scopes, c.scopes)
	case !slices.Equal(chain(s.Act), c.actors) || len(c.actors) > modelAct:
		t.Fatalf("act %v, want %v", chain(s.Act), c.actors)
	case s.Sub != c.sub || s.ACR != c.acr:
		t.Fatalf("%s with acr %q, began as %s with %q", s.Sub, s.ACR, c.sub, c.acr)
	case c.bound && s.Confirmed == "":
		t.Fatal("a chain that was bound to a key yields a bearer token")
	case len(s.Facts.Lineage.Tokens) > revoke.MaxAncestors:
		t.Fatalf("%d ancestors", len(s.Facts.Lineage.Tokens))
	}
}

func TestProperty_AlongChainsOfLoginRefreshAndExchange(t *testing.T) {
	longest := 0
	checks(t, fewCases, func(t *rapid.T) {
		c := &descent{now: noon}
		c.begin(t, compiled(t, nil))
		for range rapid.IntRange(1, 12).Draw(t, "hops") {
			c.step(t)
			c.holds(t)
			c.now = c.now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second}).Draw(t, "later"))
		}
		longest = max(longest, c.minted)
	})
	if !t.Failed() && longest < 3 {
		t.Errorf("the longest chain had %d tokens: the generator proves nothing", longest)
	}
}
