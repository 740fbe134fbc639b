package grants

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/token"
	"fedbroker/mappers"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/saml"
)

const (
	ourIssuer  = "https://broker.example"
	acmeIssuer = "https://idp.acme.example"
	betaIssuer = "https://idp.beta.example"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

const policyText = `
- id: partner-orders
  subject: {upstream: acme, when: claims.dept == "R&D"}
  requester: {clients: [gateway]}
  grant: {audiences: [orders, "https://orders.example"], scopes: [orders.read], ttl: 5m, single_use: true}
- id: ci
  subject: {upstream: acme, when: claims.dept == "CI"}
  requester: {anonymous: true}
  grant: {audiences: [deploy]}
- id: own-billing
  subject: {issued: true, when: claims.tenant == "acme"}
  requester: {clients: [orders-api, spa], public_clients: true}
  grant: {audiences: [billing], scopes: [{name: billing.read, from: [orders.read]}], token_types: [jwt, access_token, id_token]}
`

// world is everything that one exchange stands on; a test spoils what it is about.
type world struct {
	t         *testing.T
	grant     string // token exchange, unless it says otherwise
	text      string // of the rules, unless they are policyText
	form      url.Values
	requester oauth.Requester
	now       time.Time

	header, payload map[string]any // of the subject token
	identity        upstreams.Identity
	verifyErr       error
	revokedErr      error
	own             token.Own
	ownErr          error

	actor    string             // raw; "" for none
	actorIs  upstreams.Identity // what its upstream says
	actorOwn token.Own          // what it is, if ours
	opaque   bool               // acme and beta introspect
	proof    oauth.Proof
	servers  []policy.ResourceServer

	verified []upstreams.Want // what the upstream was asked
	opened   int
	checked  []revoke.Facts
	seen     oauth.Seen
	trace    *Trace
}

// external is a person of acme at the gateway, who asks for orders; all is well with it.
func external(t *testing.T) *world {
	w := &world{
		t: t, now: noon, requester: oauth.Requester{ClientID: "gateway"},
		form:    url.Values{"subject_token_type": {oauth.TypeJWT}, "audience": {"orders"}},
		header:  map[string]any{"alg": "ES256", "kid": "k"},
		payload: map[string]any{"iss": acmeIssuer, "aud": "gateway-at-acme", "sub": "alice"},
	}
	w.identity = upstreams.Identity{
		Upstream: "acme", Issuer: acmeIssuer, Subject: "alice", BrokerSubject: "acme|alice",
		Claims: map[string]any{"dept": "R&D", "name": "Alice"}, Audience: "gateway-at-acme", Audiences: []string{"gateway-at-acme"},
		TokenID: "tok-ext", JTI: "j1", IssuedAt: noon.Add(-time.Minute), Expires: noon.Add(time.Hour),
	}
	return w
}

// ours is the token that orders-api was called with; it asks for billing.
func ours(t *testing.T) *world {
	w := external(t)
	w.requester = oauth.Requester{ClientID: "orders-api", Identifiers: []string{"orders"}}
	w.form = url.Values{"subject_token_type": {oauth.TypeAccessToken}, "audience": {"billing"}}
	w.header["typ"] = "at+jwt"
	w.payload = map[string]any{"iss": ourIssuer, "aud": "orders", "sub": "acme|alice"}
	w.own = token.Own{
		Subject: "acme|alice", ClientID: "gateway", JTI: "own-1", KeyID: "k1", Audience: []string{"orders"}, Scopes: []string{"orders.read"},
		IssuedAt: noon.Add(-time.Minute), Expires: noon.Add(time.Hour), OriginExpires: noon.Add(time.Hour),
		UpstreamName: "acme", Claims: map[string]any{"sub": "acme|alice", "tenant": "acme", "lin": map[string]any{}},
		Facts: revoke.Facts{TokenID: "own-1", ClientID: "gateway", Subject: "acme|alice", Upstream: "acme", Kid: "k1"},
	}
	return w
}

// anonymous is a CI job without any secret.
func anonymous(t *testing.T) *world {
	w := external(t)
	w.requester = oauth.Requester{Anonymous: true}
	w.form.Set("audience", "deploy")
	w.identity.Claims["dept"] = "CI"
	return w
}

func (*world) SelectAssertion(string, []string) (saml.Provider, bool) { return saml.Provider{}, false }

func (w *world) Select(iss string, aud []string) (upstreams.Upstream, bool) {
	switch iss {
	case acmeIssuer:
		return fakeUpstream{w, "acme"}, true
	case betaIssuer:
		return fakeUpstream{w, "beta"}, true
	}
	return nil, false
}

type fakeUpstream struct {
	w    *world
	name string
}

func (u fakeUpstream) Name() string { return u.name }

func (u fakeUpstream) Verify(_ context.Context, _ jose.Unverified, want upstreams.Want) (upstreams.Identity, error) {
	u.w.verified = append(u.w.verified, want)
	if want.Purpose == upstreams.PurposeActor {
		return u.w.actorIs, u.w.verifyErr
	}
	return u.w.identity, u.w.verifyErr
}

func (u fakeUpstream) Introspect(ctx context.Context, _ string, want upstreams.Want) (upstreams.Identity, error) {
	return u.Verify(ctx, jose.Unverified{}, want)
}

func (w *world) Introspector(name string) (upstreams.Introspector, bool) {
	return fakeUpstream{w, name}, w.opaque
}

func (w *world) OpenAccess(t jose.Unverified, _ time.Time) (token.Own, error) {
	w.opened++
	if actor, err := jose.Parse(w.actor); err == nil && actor.TokenID() == t.TokenID() {
		return w.actorOwn, w.ownErr
	}
	return w.own, w.ownErr
}

func (w *world) OpenID(t jose.Unverified, now time.Time) (token.Own, error) {
	return w.OpenAccess(t, now)
}

func (w *world) Check(f revoke.Facts, _ time.Time) error {
	w.checked = append(w.checked, f)
	return w.revokedErr
}

// jwt writes a token whose signature nobody here looks at.
func jwt(t *testing.T, header, payload map[string]any, signature string) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(header) + "." + part(payload) + "." + base64.RawURLEncoding.EncodeToString([]byte(signature))
}

func (w *world) token() string { return jwt(w.t, w.header, w.payload, "signature") }

func compiledPolicy(t testing.TB, text string, servers ...policy.ResourceServer) *policy.Policy {
	t.Helper()
	var specs []rules.Spec
	if err := yaml.Load([]byte(text), &specs, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	return policy.Compile(rules.Options{
		Rules: specs, AccessTTL: 10 * time.Minute, Leeway: 30 * time.Second,
		Upstreams: []rules.Upstream{{Name: "acme", Exchange: true}, {Name: "beta", Exchange: true}},
		Clients:   []rules.Client{{ID: "gateway"}, {ID: "orders-api"}, {ID: "spa", Public: true}},
	}, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) }, servers...)
}

// table is the real grants on the fakes of this world.
func (w *world) table() map[string]Grant {
	w.t.Helper()
	chain := mappers.Compile(mappers.Options{Upstream: "acme", Specs: []mappers.Spec{
		{Kind: "require", Expression: "!has(claims.blocked)", Message: "blocked"},
		{Kind: "set", Claim: "tenant", Value: "acme"},
		{Kind: "cel", Claim: "cost", Expression: "has(claims.divide) ? claims.divide.by : 1"},
	}}, func(path, format string, args ...any) { w.t.Fatalf(path+": "+format, args...) })
	return Table(Deps{
		Issuer: ourIssuer, Policy: compiledPolicy(w.t, cmp.Or(w.text, policyText), w.servers...), Upstreams: w, Own: w, Revoked: w, Chains: map[string]*mappers.Chain{"acme": chain, "beta": chain}, Trace: w.trace,
	})
}

func (w *world) run() (policy.Authority, error) {
	w.t.Helper()
	form, name := maps.Clone(w.form), "subject_token"
	if w.grant == oauth.GrantJWTBearer {
		name = "assertion"
	}
	if !form.Has(name) {
		form.Set(name, w.token())
	}
	if w.actor != "" {
		form.Set("actor_token", w.actor)
		form.Set("actor_token_type", oauth.TypeJWT)
	}
	f, err := oauth.ParseForm(form.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	req := &oauth.TokenRequest{GrantType: cmp.Or(w.grant, oauth.GrantTokenExchange), Form: f, Requester: w.requester, Proof: w.proof, Now: w.now}
	a, err := w.table()[req.GrantType].Authorize(context.Background(), req)
	w.seen = req.Seen
	return a, err
}

// outcome is the deciding rule, or code and reason.
func (w *world) outcome() string {
	w.t.Helper()
	a, err := w.run()
	if err == nil {
		return a.RuleID()
	}
	if !a.IsZero() {
		w.t.Error("an Authority beside an error")
	}
	e := oauth.AsError(err)
	return fmt.Sprintf("%s %s", e.Code, e.Reason)
}

func (w *world) want(outcome string) {
	w.t.Helper()
	if got := w.outcome(); got != outcome {
		w.t.Errorf("got %q, want %q", got, outcome)
	}
}
