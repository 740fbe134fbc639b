package grants

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/token"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
)

const delegationText = `
- {id: own-self, subject: {issued: true}, requester: {clients: [orders-api]}, actor: {required: true}, grant: {audiences: [billing], scopes: [{name: billing.read, from: [orders.read]}]}}
- {id: ext-self, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true}, grant: {audiences: [orders]}}
- {id: ext-ext, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true, upstream: beta, when: actor.tenant == "acme"}, grant: {audiences: [payroll]}}
`

// machineToken is a client's token of its own, as raw text and as it opens.
func machineToken(t *testing.T, id string, aud ...string) (string, token.Own) {
	raw := jwt(t, map[string]any{"alg": "ES256", "typ": "at+jwt"}, map[string]any{"iss": ourIssuer, "aud": aud, "sub": id}, "s")
	return raw, token.Own{
		Subject: id, ClientID: id, JTI: "machine-" + id, KeyID: "k1", Audience: aud, IssuedAt: noon, Expires: noon.Add(time.Hour), OriginExpires: noon.Add(time.Hour),
		Claims: map[string]any{"sub": id}, Facts: revoke.Facts{TokenID: "machine-" + id, ClientID: id, Subject: id, Kid: "k1"},
	}
}

// delegating is orders-api, which acts for the person whose token it was called with.
func delegating(t *testing.T) *world {
	w := ours(t)
	w.text = delegationText
	w.actor, w.actorOwn = machineToken(t, "orders-api", "orders")
	return w
}

func TestP19_DelegationByTheRequesterItself(t *testing.T) {
	w := delegating(t)
	w.own.Act = &rules.Actor{Subject: "gateway", ClientID: "gateway"}
	a, err := w.run()
	if err != nil {
		t.Fatal(err)
	}
	if want := (&rules.Actor{Subject: "orders-api", ClientID: "orders-api", Act: &rules.Actor{Subject: "gateway", ClientID: "gateway"}}); !reflect.DeepEqual(a.Act(), want) {
		t.Errorf("act %+v", a.Act())
	}
	if a.Subject() != "acme|alice" || a.ClientID() != "orders-api" || !slices.Equal(a.Parents(), []string{"own-1", "machine-orders-api"}) || !slices.Equal(a.Lineage().Tokens, []string{"machine-orders-api", "own-1"}) {
		t.Errorf("got %s, %s, %q, %+v", a.Subject(), a.ClientID(), a.Parents(), a.Lineage())
	}
	w.actor = ""
	w.want("invalid_request actor") // own delegated tokens need a fresh actor
}

func TestP19_ActorTokenPassesEveryCheckThatASubjectDoes(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"nothing wrong":               {func(*world) {}, "own-self"},
		"another client's":            {func(w *world) { w.actor, w.actorOwn = machineToken(t, "gateway", "orders") }, "invalid_request actor"},
		"not meant for the requester": {func(w *world) { w.actor, w.actorOwn = machineToken(t, "orders-api", "payroll") }, "invalid_request token_audience"},
		"verified for somebody else":  {func(w *world) { w.actorOwn.Audience = []string{"payroll"} }, "invalid_request token_audience"},
		"with too little life left":   {func(w *world) { w.actorOwn.Expires = noon.Add(4 * time.Second) }, "invalid_request token_time"},
		"delegated itself":            {func(w *world) { w.actorOwn.Act = &rules.Actor{Subject: "x"} }, "invalid_request actor"},
		"with may_act":                {func(w *world) { w.actorOwn.HasMayAct = true }, "invalid_request actor"},
		"bound, and not proven":       {func(w *world) { w.actorOwn.Confirmed = "k1" }, "invalid_request confirmation"},
		"the subject token again":     {func(w *world) { w.actor = w.token() }, "invalid_request token_reused"},
		"an ID token": {func(w *world) {
			w.actor = jwt(t, map[string]any{"alg": "ES256", "typ": "JWT"}, map[string]any{"iss": ourIssuer, "aud": "orders-api"}, "s")
		}, "invalid_request token_class"},
		"of an upstream that no rule takes actors of": {func(w *world) {
			w.actor = jwt(t, map[string]any{"alg": "ES256"}, map[string]any{"iss": acmeIssuer, "aud": "x"}, "s")
		}, "invalid_request token_issuer"},
		"garbage": {func(w *world) { w.actor = "a.b.c" }, "invalid_request token"},
	} {
		t.Run(name, func(t *testing.T) {
			w := delegating(t)
			c.spoil(w)
			w.want(c.want)
		})
	}
}

func TestP19_ExternalActor(t *testing.T) {
	w := external(t)
	w.text = delegationText
	w.form.Set("audience", "payroll")
	w.actor = jwt(t, map[string]any{"alg": "ES256"}, map[string]any{"iss": betaIssuer, "aud": "gateway-at-beta"}, "s")
	w.actorIs = upstreams.Identity{
		Upstream: "beta", Issuer: betaIssuer, Subject: "bot", BrokerSubject: "beta|bot", Claims: map[string]any{}, TokenID: "tok-bot", IssuedAt: noon, Expires: noon.Add(2 * time.Minute),
	}
	a, err := w.run()
	if err != nil {
		t.Fatal(err)
	}
	if want := (&rules.Actor{Subject: "beta|bot"}); !reflect.DeepEqual(a.Act(), want) || w.verified[1].Purpose != upstreams.PurposeActor {
		t.Errorf("act %+v, asked %+v", a.Act(), w.verified)
	}
	if !a.Expires().Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("P18: %v passes the actor's exp", a.Expires())
	}
	w.revokedErr = revoke.ErrRevoked
	w.want("invalid_request revoked")
}

func TestP20_ExternalChainIsKept(t *testing.T) {
	w := external(t)
	w.text = delegationText
	w.identity.Actors = []string{"acme|one", "acme|two"}
	w.actor, w.actorOwn = machineToken(t, "gateway", "gateway")
	a, err := w.run()
	want := &rules.Actor{Subject: "gateway", ClientID: "gateway", Act: &rules.Actor{Subject: "acme|one", Act: &rules.Actor{Subject: "acme|two"}}}
	if err != nil || !reflect.DeepEqual(a.Act(), want) {
		t.Errorf("act %+v, %v", a.Act(), err)
	}
}

func TestP20_MayActOfAnUpstream(t *testing.T) {
	for name, c := range map[string]struct {
		may  map[string]any
		want string
	}{
		"the requester": {map[string]any{"iss": ourIssuer, "sub": "gateway"}, "ext-self"},
		"another":       {map[string]any{"iss": ourIssuer, "sub": "orders-api"}, "invalid_request actor"},
		"nobody":        {map[string]any{}, "invalid_request actor"},
	} {
		w := external(t)
		w.text, w.identity.MayAct = delegationText, c.may
		w.actor, w.actorOwn = machineToken(t, "gateway", "gateway")
		if got := w.outcome(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestP13_OpaqueTokens(t *testing.T) {
	const two = "- {id: a, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}\n- {id: b, subject: {upstream: beta}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}\n"
	opaque := func(text string) *world {
		w := external(t)
		w.text, w.opaque = text, true
		w.form.Set("subject_token", "f3a9-opaque")
		w.form.Set("subject_token_type", oauth.TypeAccessToken)
		return w
	}
	one := strings.Split(two, "\n")[0]
	w := opaque(one)
	w.want("a")
	w.opaque = false
	w.want("invalid_request token")
	opaque(two).want("invalid_request token_issuer") // upstreams are never tried in turn
	w = opaque(one)
	w.form.Set("subject_token_type", oauth.TypeJWT)
	w.want("invalid_request token")
	for _, handle := range []string{"70ddd2c0pKuUb-I_NVRA878D3iuQxw.secret"} { // a code of ours is for nobody else to see
		w = opaque(one)
		w.form.Set("subject_token", handle)
		w.want("invalid_request token_class")
		if len(w.verified) > 0 {
			t.Error("the upstream was asked")
		}
	}
	w = opaque(one)
	w.form.Set("subject_token", "a.b.c") // a JWT that is none is no opaque token
	w.want("invalid_request token")
	w = opaque(one)
	w.verifyErr = &upstreams.Error{Reason: upstreams.ReasonUnavailable, Err: upstreams.ErrUnavailable}
	w.want("temporarily_unavailable keys_unavailable")
	w = opaque("- {id: a, subject: {upstream: acme}, requester: {anonymous: true}, grant: {audiences: [orders]}}\n")
	w.requester, w.identity.Audiences = oauth.Requester{Anonymous: true}, []string{"x", "y"}
	w.want("invalid_request token_audience") // P21
}

func TestP25_BoundTokens(t *testing.T) {
	w := ours(t)
	w.requester = oauth.Requester{ClientID: "orders-api", Identifiers: []string{"orders"}}
	w.own.Confirmed, w.own.ClientID = "k1", "orders-api"
	hash := (&presented{raw: w.token()}).hash()
	for name, c := range map[string]struct {
		proof oauth.Proof
		want  string
	}{
		"no proof":                  {oauth.Proof{}, "invalid_request confirmation"},
		"without ath":               {oauth.Proof{Key: "k1"}, "invalid_request confirmation"},
		"of another key":            {oauth.Proof{Key: "k2", TokenHash: hash}, "invalid_request confirmation"},
		"for another token":         {oauth.Proof{Key: "k1", TokenHash: "x"}, "invalid_dpop_proof dpop_proof"},
		"the key, and for this one": {oauth.Proof{Key: "k1", TokenHash: hash}, "own-billing"},
	} {
		w.proof = c.proof
		if got := w.outcome(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	a, err := w.run()
	if w.proof = (oauth.Proof{Key: "k1", TokenHash: hash}); err == nil && a.Confirmed() == "" {
		t.Error("a bound subject yielded a bearer token")
	}
}

// A resource that was called with a bound token cannot prove its key: the rule has to say that it may pass it on, bound to a key of its own.
func TestP25_BoundSubjectOfAnotherClient(t *testing.T) {
	w := ours(t)
	w.own.Confirmed = "k1"
	for _, p := range []oauth.Proof{{}, {Key: "k2"}, {Key: "k1", TokenHash: (&presented{raw: w.token()}).hash()}} {
		w.proof = p
		w.want("invalid_request confirmation")
	}
	w.text = strings.Replace(policyText, "- id: own-billing", "- id: own-billing\n  bound_subject: accept", 1)
	w.proof = oauth.Proof{}
	w.want("invalid_request confirmation")
	w.proof = oauth.Proof{Key: "k2"}
	a, err := w.run()
	if err != nil || a.Confirmed() != "k2" {
		t.Errorf("got %q, %v", a.Confirmed(), err)
	}
}

func TestP25_ExternalBoundSubjectIsWhoeverProvesItsKey(t *testing.T) {
	w := external(t)
	w.identity.Confirmed = "k1"
	w.want("invalid_request confirmation")
	w.proof = oauth.Proof{Key: "k1", TokenHash: (&presented{raw: w.token()}).hash()}
	a, err := w.run()
	if err != nil || a.Confirmed() != "k1" {
		t.Errorf("got %q, %v", a.Confirmed(), err)
	}
}

func TestP21_PublicClientsNeedTheRuleAndTheKey(t *testing.T) {
	w := ours(t)
	w.requester = oauth.Requester{ClientID: "spa", Identifiers: []string{"orders"}, Public: true}
	w.want("invalid_request confirmation")
	w.own.Confirmed, w.own.ClientID = "k1", "spa"
	w.proof = oauth.Proof{Key: "k1", TokenHash: (&presented{raw: w.token()}).hash()}
	w.want("own-billing")
	w.text = strings.Replace(policyText, ", public_clients: true", "", 1)
	w.want("unauthorized_client grant_not_allowed")
}

// bearing is the gateway with an assertion of acme.
func bearing(t *testing.T) *world {
	w := external(t)
	w.grant = oauth.GrantJWTBearer
	w.form.Del("subject_token_type")
	return w
}

func TestP24_JWTBearer(t *testing.T) {
	w := bearing(t)
	a, err := w.run()
	if err != nil || a.RuleID() != "partner-orders" || a.IssuedType() != "" || w.verified[0].Purpose != upstreams.PurposeGrant || w.verified[0].MaxAge != time.Hour {
		t.Errorf("got %+v, %v", a, err)
	}
	for name, c := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"a condition": {func(w *world) { w.identity.Claims["dept"] = "Sales" }, "invalid_grant condition"},
		"a mapper":    {func(w *world) { w.identity.Claims["blocked"] = true }, "invalid_grant require"},
		"the token": {func(w *world) {
			w.verifyErr = &upstreams.Error{Reason: upstreams.ReasonSignature, Err: upstreams.ErrInvalid}
		}, "invalid_grant signature"},
		"no assertion":           {func(w *world) { w.form.Set("assertion", "") }, "invalid_request parameter"},
		"no jti, under its rule": {func(w *world) { w.identity.JTI = "" }, "invalid_grant replay"},
		"the target":             {func(w *world) { w.form.Set("audience", "payroll") }, "invalid_target target"},
		"the scope":              {func(w *world) { w.form.Set("scope", "root") }, "invalid_scope scope"},
		"a malformed resource":   {func(w *world) { w.form.Set("resource", "#x") }, "invalid_target target"},
		"no rule for the client": {func(w *world) { w.requester.ClientID = "batch" }, "unauthorized_client grant_not_allowed"},
		"an own token":           {func(w *world) { w.payload["iss"] = ourIssuer }, "invalid_grant token_class"},
		"an own ID-JAG": {func(w *world) {
			w.payload["iss"], w.header["typ"] = ourIssuer, "oauth-id-jag+jwt"
		}, "invalid_grant token_class"},
		"a logout token": {func(w *world) { w.header["typ"] = "logout+jwt" }, "invalid_grant token_class"},
		"garbage":        {func(w *world) { w.form.Set("assertion", "x") }, "invalid_grant token"},
		"revoked":        {func(w *world) { w.revokedErr = revoke.ErrRevoked }, "invalid_grant revoked"},
	} {
		w := bearing(t)
		c.spoil(w)
		if got := w.outcome(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestP24_OneTokenAsCredentialAndAsAssertion(t *testing.T) {
	w := bearing(t)
	w.requester.CredentialTokenID = mustParse(t, w.token()).TokenID()
	w.want("invalid_grant token_reused")
}

func TestP23_AcceptedIDJAG(t *testing.T) {
	jag := func() *world {
		w := bearing(t)
		w.text = "- {id: jag, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [orders.read, orders.write]}}\n"
		w.header["typ"] = "oauth-id-jag+jwt"
		w.identity.ClientID, w.identity.Scopes = "gateway", []string{"orders.read"}
		return w
	}
	a, err := jag().run()
	if err != nil || a.Scope() != "orders.read" {
		t.Fatalf("got %q, %v", a.Scope(), err)
	}
	if once, single := a.Spend(); !single || once.JTI != "j1" {
		t.Error("its jti is not spent")
	}
	for name, c := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"another client's":         {func(w *world) { w.identity.ClientID = "orders-api" }, "invalid_grant token_audience"},
		"nobody's":                 {func(w *world) { w.identity.ClientID = "" }, "invalid_grant token_audience"},
		"a scope beyond it":        {func(w *world) { w.form.Set("scope", "orders.write") }, "invalid_scope scope"},
		"without scopes":           {func(w *world) { w.identity.Scopes = nil }, "invalid_scope scope"},
		"for another resource":     {func(w *world) { w.identity.Resources = []string{"https://billing.example"} }, "invalid_target target"},
		"without jti":              {func(w *world) { w.identity.JTI = "" }, "invalid_grant replay"},
		"bound, without a proof":   {func(w *world) { w.identity.Confirmed = "k1" }, "invalid_grant confirmation"},
		"bound, with its key":      {func(w *world) { w.identity.Confirmed, w.proof = "k1", oauth.Proof{Key: "k1"} }, "jag"},
		"as a subject of exchange": {func(w *world) { w.grant = ""; w.form.Set("subject_token_type", oauth.TypeJWT) }, "invalid_request token_class"},
	} {
		w := jag()
		c.spoil(w)
		if got := w.outcome(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// login is an ID token of the wiki's, that it takes to another domain.
func loginToken(t *testing.T) *world {
	w := ours(t)
	w.requester = oauth.Requester{ClientID: "gateway"}
	w.servers = []policy.ResourceServer{{Issuer: "https://as.other.example", ClientIDs: map[string]string{"gateway": "abc"}, Scopes: []string{"chat", "files"}}}
	w.header["typ"], w.payload["aud"] = "JWT", "gateway"
	w.form = map[string][]string{"subject_token_type": {oauth.TypeIDToken}, "requested_token_type": {oauth.TypeIDJAG}, "audience": {"https://as.other.example"}}
	w.own.Audience, w.own.ClientID, w.own.Scopes, w.own.Facts.Lineage = []string{"gateway"}, "gateway", nil, revoke.Lineage{Families: []string{"f"}}
	return w
}

func TestP23_IssuedIDJAG(t *testing.T) {
	w := loginToken(t)
	w.form.Set("resource", "https://chat.example")
	w.form.Set("scope", "chat")
	w.own.Expires = noon.Add(time.Hour)
	a, err := w.run()
	if err != nil {
		t.Fatal(err)
	}
	jag, ok := a.IDJAG()
	if !ok || jag.ClientID != "abc" || !slices.Equal(jag.Resources, []string{"https://chat.example"}) || a.Scope() != "chat" || !slices.Equal(a.Audiences(), []string{"https://as.other.example"}) || a.IssuedType() != oauth.TypeIDJAG {
		t.Errorf("got %+v, %+v", jag, a)
	}
	if len(a.Claims()) > 0 || a.Upstream().Name != "" || !a.Expires().Equal(noon.Add(5*time.Minute)) {
		t.Errorf("got %v, %+v, %v", a.Claims(), a.Upstream(), a.Expires())
	}
}

func TestP23_WhatYieldsNoIDJAG(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"a client that no server knows":  {func(w *world) { w.requester.ClientID = "orders-api" }, "unauthorized_client grant_not_allowed"},
		"a public client":                {func(w *world) { w.requester.Public = true }, "unauthorized_client grant_not_allowed"},
		"nobody":                         {func(w *world) { w.requester = oauth.Requester{Anonymous: true} }, "unauthorized_client grant_not_allowed"},
		"an unknown server":              {func(w *world) { w.form.Set("audience", "https://as.evil.example") }, "invalid_target target"},
		"two servers":                    {func(w *world) { w.form["audience"] = []string{"https://as.other.example", "https://x"} }, "invalid_target target"},
		"no server":                      {func(w *world) { w.form.Del("audience") }, "invalid_target target"},
		"a server as resource":           {func(w *world) { w.form.Del("audience"); w.form.Set("resource", "https://as.other.example") }, "invalid_target target"},
		"a scope beyond the server's":    {func(w *world) { w.form.Set("scope", "root") }, "invalid_scope scope"},
		"another client's ID token":      {func(w *world) { w.payload["aud"], w.own.Audience = "orders-api", []string{"orders-api"} }, "invalid_request token_audience"},
		"issued to another client":       {func(w *world) { w.own.ClientID = "orders-api" }, "invalid_request selector"},
		"of two audiences":               {func(w *world) { w.own.Audience = []string{"gateway", "x"} }, "invalid_request selector"},
		"exchanged":                      {func(w *world) { w.own.Facts.Lineage.Rules = []string{"r"} }, "invalid_request selector"},
		"of no login":                    {func(w *world) { w.own.Facts.Lineage.Families = nil }, "invalid_request selector"},
		"delegated":                      {func(w *world) { w.own.Act = &rules.Actor{Subject: "x"} }, "invalid_request selector"},
		"an access token":                {func(w *world) { w.header["typ"] = "at+jwt" }, "invalid_request token_class"},
		"an access token called by name": {func(w *world) { w.header["typ"] = "at+jwt"; w.form.Set("subject_token_type", oauth.TypeAccessToken) }, "invalid_request parameter"},
		"an upstream's ID token":         {func(w *world) { w.payload["iss"], w.payload["aud"] = acmeIssuer, "gateway-at-acme" }, "invalid_request selector"},
		"an actor":                       {func(w *world) { w.actor, w.actorOwn = machineToken(t, "gateway", "gateway") }, "invalid_request parameter"},
		"revoked": {func(w *world) {
			w.ownErr = oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonRevoked).Because(errors.New("x"))
		}, "invalid_request revoked"},
	} {
		w := loginToken(t)
		c.spoil(w)
		if got := w.outcome(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// An own ID token yields an ID-JAG and nothing else, whatever is asked for (P22).
func TestP22_OwnIDTokenYieldsNoOtherToken(t *testing.T) {
	for _, typ := range []string{"", oauth.TypeAccessToken, oauth.TypeJWT, oauth.TypeIDToken} {
		w := loginToken(t)
		w.requester = oauth.Requester{ClientID: "orders-api"}
		w.payload["aud"], w.own.Audience, w.own.ClientID = "orders-api", []string{"orders-api"}, "orders-api"
		w.form.Set("audience", "billing")
		if w.form.Del("requested_token_type"); typ != "" {
			w.form.Set("requested_token_type", typ)
		}
		w.want("invalid_request token_class")
	}
}

func mustParse(t *testing.T, raw string) jose.Unverified {
	t.Helper()
	u, err := jose.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
