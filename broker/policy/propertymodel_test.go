package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
)

// The exchange policy, P15 to P25, written down once more as plainly as can be, and generators of what it judges. Nothing here asks the code
// under test.

const (
	modelAct = 4 // longest chain of actors in the model's world: short, so that it is met
	life     = 5 * time.Second
)

var (
	modelUpstreams = []string{"acme", "beta"}
	modelClients   = []string{"gateway", "orders-api", "batch"}
	modelAudiences = []string{"orders", "billing", "gateway", "batch"} // two of them are clients, as ID tokens want
	modelScopes    = []string{"a", "b", "c", "d"}
	modelTypes     = map[string]string{oauth.ShortAccessToken: oauth.TypeAccessToken, oauth.ShortJWT: oauth.TypeJWT, oauth.ShortIDToken: oauth.TypeIDToken}
)

// conditions are what `when` can say in the model's world, and what it means.
var conditions = map[string]func(*rules.Request) bool{
	"":                               func(*rules.Request) bool { return true },
	`claims.tier == "gold"`:          func(in *rules.Request) bool { return in.Subject.Claims["tier"] == "gold" },
	`principal.tier != "gold"`:       func(in *rules.Request) bool { tier, has := in.Subject.Principal["tier"]; return has && tier != "gold" },
	`claims.absent == "x"`:           func(*rules.Request) bool { return false }, // an error does not hold
	`request.client_id == "gateway"`: func(in *rules.Request) bool { return in.Requester.ClientID == "gateway" },
	`"a" in scopes || "b" in scopes`: func(in *rules.Request) bool { return common([]string{"a", "b"}, in.Subject.Scopes) },
	`"orders" in request.audiences`:  func(in *rules.Request) bool { return slices.Contains(in.Targets, "orders") },
	`request.scopes.all(s, s != "d")`: func(in *rules.Request) bool {
		asked, _ := oauth.ParseScope(in.Scope)
		return !slices.Contains(asked, "d")
	},
	`actor.sub.startsWith("acme|bot")`: func(in *rules.Request) bool { return in.Actor.Sub == "acme|bot" },
}

func common(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

// modelWorld is what the model's rules may name.
func modelWorld(specs []rules.Spec) rules.Options {
	o := rules.Options{Rules: specs, AccessTTL: testTTL, Leeway: 30 * time.Second, ActDepth: modelAct}
	for _, name := range modelUpstreams {
		o.Upstreams = append(o.Upstreams, rules.Upstream{Name: name, Exchange: true, Leeway: time.Minute})
	}
	for _, id := range modelClients {
		o.Clients = append(o.Clients, rules.Client{ID: id})
	}
	return o
}

func delegation(s rules.Spec) bool { return s.Actor != nil && s.Actor.Required }

// typeOf is what the rule issues for the requested type, "" for nothing.
func typeOf(s rules.Spec, requested string) string {
	types := s.Grant.TokenTypes
	if types == nil {
		types = []string{oauth.ShortAccessToken, oauth.ShortJWT}
	}
	for _, t := range types {
		if requested == "" || modelTypes[t] == requested {
			return modelTypes[t]
		}
	}
	return ""
}

// applies tells whether the rule applies (P15).
func applies(s rules.Spec, in *rules.Request) bool {
	sub, q := in.Subject, in.Requester
	switch {
	case s.Mode == "audit",
		s.Requester.Anonymous != q.Anonymous, !q.Anonymous && !slices.Contains(s.Requester.Clients, q.ClientID),
		s.Subject.Issued != sub.Own, s.Subject.Upstream != sub.Upstream && !(s.Subject.Issued && s.Subject.Upstream == ""),
		!within(in.Targets, s.Grant.Audiences), typeOf(s, in.TokenType) == "":
		return false
	case sub.Confirmed != "" && in.Proof.Key == "", // P25: what is bound never comes out unbound
		sub.Confirmed != "" && !sub.Proven && s.BoundSubject != "accept":
		return false
	case !delegation(s) && (in.Actor != nil || sub.Act != nil || sub.MayAct != nil): // P19
		return false
	case delegation(s) && (in.Actor == nil || !acts(*s.Actor, in) || sub.MayAct != nil && !mayAct(*sub.MayAct, in) || len(chain(sub.Act)) >= modelAct):
		return false
	case delegation(s) && !conditions[s.Actor.When](in):
		return false
	}
	return conditions[s.Subject.When](in)
}

// acts tells whether the actor is one that the rule selects (P19).
func acts(s rules.ActorSpec, in *rules.Request) bool {
	a := in.Actor
	switch {
	case s.Issued:
		return a.Own && (s.Upstream == "" || s.Upstream == a.Upstream)
	case s.Upstream != "":
		return !a.Own && a.Upstream == s.Upstream
	}
	return a.Own && !in.Requester.Anonymous && a.Sub == in.Requester.ClientID
}

// mayAct tells whether the subject lets this actor and requester act (P20); the model's claims always name an issuer.
func mayAct(m rules.MayAct, in *rules.Request) bool {
	sub := in.Actor.UpstreamSubject
	if in.Actor.Own {
		sub = in.Actor.Sub
	}
	return (m.Subject != "" || m.ClientID != "") && m.Issuer == in.Actor.Issuer && (m.Subject == "" || m.Subject == sub) && (m.ClientID == "" || m.ClientID == in.Requester.ClientID)
}

// chain is a chain of actors as a list, outermost first.
func chain(a *rules.Actor) (links []rules.Actor) {
	for ; a != nil; a = a.Act {
		links = append(links, rules.Actor{Subject: a.Subject, ClientID: a.ClientID})
	}
	return links
}

// decides is the rule that decides, false if none does.
func decides(specs []rules.Spec, in *rules.Request) (rules.Spec, bool) {
	for _, s := range specs {
		if applies(s, in) {
			return s, true
		}
	}
	return rules.Spec{}, false
}

// image is what the rule's map makes of the subject's scopes (P17).
func image(s rules.Spec, sub *rules.Subject) (names []string) {
	for _, entry := range s.Grant.Scopes {
		from := entry.From
		if len(from) == 0 {
			from = []string{entry.Name}
		}
		if !sub.Own && !sub.Scoped || common(from, sub.Scopes) {
			names = append(names, entry.Name)
		}
	}
	return names
}

// ends are the times that none of the tokens of an exchange may outlive (P18), but for outlive_subject.
func ends(s *rules.Subject) []time.Time {
	if s == nil {
		return nil
	}
	all := []time.Time{s.Expires}
	if s.Own && !s.OriginExpires.IsZero() {
		all = append(all, s.OriginExpires)
	}
	return all
}

// drawPolicy is 1 to 6 rules that load.
func drawPolicy(t *rapid.T) []rules.Spec {
	specs := make([]rules.Spec, rapid.IntRange(1, 6).Draw(t, "rules"))
	for i := range specs {
		specs[i] = drawRule(t, fmt.Sprintf("r%d", i))
	}
	return specs
}

func drawRule(t *rapid.T, id string) rules.Spec {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, id+" "+label) }
	some := func(label string, of []string) []string { return drawSome(t, id+" "+label, of, 1) }
	s := rules.Spec{ID: id, BoundSubject: pick("bound", "", "accept")}
	if seldom(t, id+" audit", 4) {
		s.Mode = "audit"
	}
	s.Subject, s.Requester, s.Grant = &rules.SubjectSpec{Issued: rapid.Bool().Draw(t, id+" issued")}, &rules.RequesterSpec{}, &rules.GrantSpec{Audiences: some("audiences", modelAudiences)}
	if s.Subject.Issued {
		s.Subject.Upstream = pick("upstream", "", "acme", "beta")
	} else {
		s.Subject.Upstream = pick("upstream", modelUpstreams...)
		s.Requester.Anonymous = seldom(t, id+" anonymous", 3)
		s.Grant.OutliveSubject = rapid.Bool().Draw(t, id+" outlive")
	}
	if !s.Requester.Anonymous {
		s.Requester.Clients = some("clients", modelClients)
	}
	if rapid.Bool().Draw(t, id+" delegation") {
		s.Actor = &rules.ActorSpec{Required: true, Issued: !s.Requester.Anonymous && rapid.Bool().Draw(t, id+" actor issued")}
		if s.Requester.Anonymous || rapid.Bool().Draw(t, id+" actor of an upstream") {
			s.Actor.Upstream, s.Actor.When = pick("actor upstream", modelUpstreams...), pick("actor when", "", `actor.sub.startsWith("acme|bot")`)
		}
	}
	whens := slices.Sorted(maps.Keys(conditions))
	whens = slices.DeleteFunc(whens, func(w string) bool { return w == `actor.sub.startsWith("acme|bot")` })
	if s.Subject.When = ""; seldom(t, id+" conditional", 2) {
		s.Subject.When = pick("when", whens...)
	}
	for _, name := range drawSome(t, id+" scopes", modelScopes, 0) {
		entry := rules.ScopeSpec{Name: name}
		if s.Subject.Issued {
			entry.From = drawSome(t, id+" from", modelScopes, 0)
		}
		s.Grant.Scopes = append(s.Grant.Scopes, entry)
	}
	if rapid.Bool().Draw(t, id+" has ttl") {
		ttl := rapid.SampledFrom([]time.Duration{life, time.Minute, time.Hour}).Draw(t, id+" ttl")
		s.Grant.TTL = &ttl
	}
	if rapid.Bool().Draw(t, id+" has types") {
		types := slices.Sorted(maps.Keys(modelTypes))
		if s.Requester.Anonymous { // nobody is no client, whom an ID token names
			types = []string{oauth.ShortAccessToken, oauth.ShortJWT}
		}
		s.Grant.TokenTypes = some("types", types)
	}
	if rapid.Bool().Draw(t, id+" has claims") {
		claims := drawSome(t, id+" claims", []string{"tier", "groups", "email", "name"}, 0)
		s.Grant.Claims = &claims
	}
	s.Grant.SingleUse = seldom(t, id+" single use", 2)
	return s
}

// drawSome is a subset of at least so many, in any order, and rather more of them than fewer.
func drawSome(t *rapid.T, label string, of []string, least int) []string {
	all := rapid.Permutation(of).Draw(t, label)
	return all[:len(of)-rapid.IntRange(0, max(0, len(of)-least)).Draw(t, "left out of "+label)]
}

// seldom is true once in 2ⁿ times: rapid's numbers are small rather than spread.
func seldom(t *rapid.T, label string, n int) bool {
	return !slices.Contains(rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, label), false)
}

// drawAttempt is a request that fits one of the rules in most respects, so that many are granted.
func drawAttempt(t *rapid.T, specs []rules.Spec) *rules.Request {
	fit := rapid.SampledFrom(specs).Draw(t, "meant for")
	stray := func(label string) bool { return seldom(t, "astray: "+label, 4) }
	in := &rules.Request{Now: noon.Add(rapid.SampledFrom([]time.Duration{0, 1, time.Second / 2}).Draw(t, "into the second")), Requester: &oauth.Requester{Anonymous: fit.Requester.Anonymous}}
	if !fit.Requester.Anonymous {
		from := fit.Requester.Clients
		if stray("requester") {
			from = modelClients
		}
		in.Requester.ClientID = rapid.SampledFrom(from).Draw(t, "requester")
	}
	own, upstream := fit.Subject.Issued, fit.Subject.Upstream
	if upstream == "" || stray("upstream") {
		upstream = rapid.SampledFrom(append([]string{""}, modelUpstreams...)).Draw(t, "upstream")
	}
	if own = own != stray("own"); upstream == "" {
		own = true
	}
	in.Subject = drawSubject(t, "subject", own, upstream)
	if in.Targets = fit.Grant.Audiences; stray("targets") {
		in.Targets = modelAudiences
	}
	if in.Targets = drawSome(t, "targets", in.Targets, 1); seldom(t, "no targets", 3) {
		in.Targets = nil
	}
	asked := image(fit, in.Subject)
	if seldom(t, "astray: scope", 2) {
		asked = modelScopes
	}
	if rapid.Bool().Draw(t, "scoped request") {
		in.Scope = oauth.JoinScope(drawSome(t, "scope", asked, min(1, len(asked))))
	}
	if types := fit.Grant.TokenTypes; types != nil && rapid.Bool().Draw(t, "typed request") || stray("token type") {
		if in.TokenType = rapid.SampledFrom(slices.Sorted(maps.Values(modelTypes))).Draw(t, "token type"); types != nil {
			in.TokenType = modelTypes[rapid.SampledFrom(types).Draw(t, "token type of the rule")]
		}
	}
	if typeOf(fit, in.TokenType) == oauth.TypeIDToken && !stray("targets of an ID token") { // it has one client and no scopes
		in.Scope, in.Targets = "", rapid.SampledFrom([][]string{nil, {"gateway"}, {"batch"}}).Draw(t, "whose ID token")
	}
	if delegation(fit) != stray("actor") {
		in.Actor = drawActor(t, fit, in.Requester)
		drawDelegation(t, in)
	} else if seldom(t, "delegated all the same", 3) {
		drawDelegation(t, in)
	} else if seldom(t, "may_act all the same", 2) {
		in.Subject.MayAct = &rules.MayAct{Issuer: ourIssuer, Subject: in.Requester.ClientID}
	}
	drawProof(t, in)
	return in
}

// drawDelegation lets the subject carry what delegation is about.
func drawDelegation(t *rapid.T, in *rules.Request) {
	for n := rapid.SampledFrom([]int{0, 1, 2, modelAct - 1, 0, 1, modelAct}).Draw(t, "depth of act"); n > 0; n-- {
		in.Subject.Act = &rules.Actor{Subject: fmt.Sprintf("acme|link-%d", n), ClientID: rapid.SampledFrom([]string{"", "batch"}).Draw(t, "client of a link"), Act: in.Subject.Act}
	}
	if in.Actor == nil || !seldom(t, "may_act", 2) {
		return
	}
	m := rules.MayAct{Issuer: in.Actor.Issuer, Subject: in.Actor.UpstreamSubject}
	if in.Actor.Own {
		m.Subject = in.Actor.Sub
	}
	switch rapid.IntRange(0, 5).Draw(t, "may_act says") {
	case 0:
		m.ClientID = in.Requester.ClientID
	case 2:
		m.ClientID = "somebody-else"
	case 3:
		m.Subject = "somebody-else"
	case 4:
		m.Issuer = "https://elsewhere.example"
	case 5:
		m.Subject = ""
	}
	in.Subject.MayAct = &m
}

func drawProof(t *rapid.T, in *rules.Request) {
	in.Proof.Key = rapid.SampledFrom([]string{"", "key-1", "key-1", "key-2"}).Draw(t, "proof")
	if in.Proof.Key != "" && rapid.Bool().Draw(t, "bound subject") || seldom(t, "bound subject without proof", 5) {
		in.Subject.Confirmed = "key-1"
		in.Subject.Proven = in.Proof.Key == "key-1" && !seldom(t, "not proven", 2)
	}
}

// drawSubject is somebody's token: of an upstream, or ours.
func drawSubject(t *rapid.T, label string, own bool, upstream string) *rules.Subject {
	pick := func(of string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label+" "+of) }
	after := func(of string) time.Time {
		left := rapid.SampledFrom([]time.Duration{20 * time.Minute, 20 * time.Minute, 70 * time.Second, 70 * time.Second, 2 * time.Hour, 2 * time.Hour, 3 * time.Hour, life + 1, life, 4 * time.Second}).Draw(t, label+" "+of)
		return noon.Add(left)
	}
	id := label + "-" + pick("id", "1", "2")
	s := &rules.Subject{
		Own: own, Upstream: upstream, UpstreamIssuer: "https://idp." + upstream + ".example", UpstreamSubject: label, Sub: upstream + "|" + label, Issuer: "https://idp." + upstream + ".example",
		Claims: map[string]any{"tier": pick("tier", "gold", "gold", "tin")}, Audiences: []string{"here"}, JTI: id,
		Expires: after("exp"), IssuedAt: noon.Add(-rapid.SampledFrom([]time.Duration{time.Second, time.Hour}).Draw(t, label+" age")),
		ACR: pick("acr", "", "gold"), Facts: revoke.Facts{TokenID: id, Subject: upstream + "|" + label, Upstream: upstream},
	}
	s.Principal = map[string]any{"tier": s.Claims["tier"], "groups": []any{"x"}, "email": "e@x.example", "email_verified": false, "name": "N", "sub": "forged", "act": map[string]any{"sub": "forged"}, "lin": map[string]any{}}
	s.Made = []string{"tier", "name", "act"}
	if seldom(t, label+" has no jti", 3) {
		s.JTI = ""
	}
	if s.ACR != "" {
		s.AMR, s.AuthTime = []string{"pwd"}, noon.Add(-time.Minute)
	}
	if !own {
		if seldom(t, label+" is an id-jag", 2) {
			s.Scoped, s.Once, s.Scopes = true, true, drawSome(t, label+" scopes", modelScopes, 0)
			s.Resources = rapid.SampledFrom([][]string{modelAudiences, nil, {"orders"}}).Draw(t, label+" resources")
		}
		return s
	}
	s.Issuer, s.Scopes, s.ClientID = ourIssuer, drawSome(t, label+" scopes", modelScopes, 0), pick("client", modelClients...)
	if s.OriginExpires = after("origin_exp"); seldom(t, label+" has no origin_exp", 3) {
		s.OriginExpires = time.Time{}
	}
	if upstream == "" { // a client's own
		s.Sub, s.UpstreamIssuer, s.UpstreamSubject = s.ClientID, "", ""
	}
	s.Facts.ClientID, s.Facts.Subject, s.Facts.Kid, s.Facts.Lineage = s.ClientID, s.Sub, pick("kid", "k1", "k2"), drawLineage(t, label)
	return s
}

func drawLineage(t *rapid.T, label string) (l revoke.Lineage) {
	n := rapid.SampledFrom([]int{0, 1, 3, 8, revoke.MaxAncestors - 2, revoke.MaxAncestors - 1, revoke.MaxAncestors}).Draw(t, label+" ancestors")
	shared := rapid.Bool().Draw(t, label+" shares its ancestors")
	for i := range n {
		id := fmt.Sprintf("ancestor-%02d", i)
		if !shared {
			id = label + "-" + id
		}
		l.Tokens = append(l.Tokens, id)
	}
	if n > 0 {
		l.Rules, l.Clients, l.Kids, l.Subjects, l.Upstreams = []string{label + "-rule"}, []string{label + "-client"}, []string{label + "-kid"}, []string{label + "-sub"}, []string{label + "-up"}
		l.Sessions, l.Families = []string{label + "-session"}, []string{label + "-family"}
		l.Since, l.Own = noon.Add(-2*time.Hour).Unix(), noon.Add(-90*time.Minute).Unix()
	}
	return l
}

// drawActor is an actor that the rule selects, most of the time. An actor token is never delegated itself.
func drawActor(t *rapid.T, fit rules.Spec, q *oauth.Requester) *rules.Subject {
	spec := rules.ActorSpec{}
	if delegation(fit) {
		spec = *fit.Actor
	}
	if seldom(t, "actor astray", 3) {
		spec = rules.ActorSpec{Issued: rapid.Bool().Draw(t, "an own actor"), Upstream: rapid.SampledFrom(modelUpstreams).Draw(t, "upstream of the actor")}
	}
	a := drawSubject(t, "actor", spec.Issued || spec.Upstream == "", spec.Upstream)
	if a.Scoped, a.Once, a.Resources = false, false, nil; a.Upstream == "" && !q.Anonymous && !seldom(t, "another client", 2) {
		a.ClientID, a.Sub, a.Facts.ClientID, a.Facts.Subject = q.ClientID, q.ClientID, q.ClientID, q.ClientID
	} else if !seldom(t, "no bot", 2) {
		a.Sub = "acme|bot"
		a.Claims["sub"] = a.Sub
	}
	if a.Own {
		a.Claims["sub"] = a.Sub
		a.Principal = a.Claims
	}
	return a
}

// copied is a subject that shares nothing with s.
func copied(s *rules.Subject) *rules.Subject {
	if s == nil {
		return nil
	}
	c := *s
	c.Claims, c.Principal, c.Made, c.Scopes, c.Audiences, c.AMR, c.Resources = maps.Clone(s.Claims), maps.Clone(s.Principal), slices.Clone(s.Made), slices.Clone(s.Scopes), slices.Clone(s.Audiences), slices.Clone(s.AMR), slices.Clone(s.Resources)
	l := &c.Facts.Lineage
	for _, list := range []*[]string{&l.Tokens, &l.Rules, &l.Clients, &l.Kids, &l.Sessions, &l.Families, &l.Subjects, &l.Upstreams} {
		*list = slices.Clone(*list)
	}
	var act *rules.Actor
	for _, link := range slices.Backward(chain(s.Act)) {
		act = &rules.Actor{Subject: link.Subject, ClientID: link.ClientID, Act: act}
	}
	if c.Act = act; s.MayAct != nil {
		m := *s.MayAct
		c.MayAct = &m
	}
	return &c
}
