package grants

import (
	"context"
	"encoding/base64"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
)

func TestTable(t *testing.T) {
	table := external(t).table()
	if got := slices.Sorted(maps.Keys(table)); !slices.Equal(got, []string{oauth.GrantClientCredentials, oauth.GrantJWTBearer, oauth.GrantTokenExchange}) {
		t.Errorf("served: %q", got)
	}
	for name, g := range table {
		if g.Type() != name {
			t.Errorf("%s stands under %s", g.Type(), name)
		}
	}
}

func TestExchange_External(t *testing.T) {
	w := external(t)
	a, err := w.run()
	if err != nil {
		t.Fatal(err)
	}
	if a.Subject() != "acme|alice" || a.ClientID() != "gateway" || a.Scope() != "orders.read" || a.IssuedType() != oauth.TypeAccessToken || a.Upstream().Name != "acme" {
		t.Errorf("got %+v", a)
	}
	if want := map[string]any{"tenant": "acme", "cost": int64(1)}; !reflect.DeepEqual(a.Claims(), want) {
		t.Errorf("P8: got %v, want %v", a.Claims(), want)
	}
	if once, single := a.Spend(); !single || once.JTI != "j1" || once.Upstream != "acme" || once.Issuer != acmeIssuer {
		t.Errorf("got %+v, %t", once, single)
	}
	if !a.Expires().Equal(noon.Add(5 * time.Minute)) {
		t.Errorf("got %v", a.Expires())
	}
	if w.opened != 0 || len(w.verified) != 1 || w.verified[0].Purpose != upstreams.PurposeExchange || w.verified[0].Requester != "gateway" || !w.verified[0].Now.Equal(noon) {
		t.Errorf("asked %+v", w.verified)
	}
}

func TestExchange_Own(t *testing.T) {
	w := ours(t)
	a, err := w.run()
	if err != nil {
		t.Fatal(err)
	}
	if a.Subject() != "acme|alice" || a.ClientID() != "orders-api" || a.Scope() != "billing.read" || a.IssuedType() != oauth.TypeJWT || a.Upstream().Name != "acme" {
		t.Errorf("got %+v", a)
	}
	if want := map[string]any{"tenant": "acme"}; !reflect.DeepEqual(a.Claims(), want) {
		t.Errorf("P8: got %v, want %v", a.Claims(), want)
	}
	if len(w.verified) != 0 || w.opened != 1 {
		t.Error("an own token went the way of an upstream's")
	}
	if l := a.Lineage(); !slices.Equal(l.Tokens, []string{"own-1"}) || !slices.Equal(l.Kids, []string{"k1"}) || !slices.Equal(l.Clients, []string{"gateway"}) {
		t.Errorf("lineage %+v", l)
	}
}

// What a verified subject is refused for comes after its name: an auditor asks whose revoked token it was.
func TestP26_RefusedSubjectIsSeenOnceItVerified(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"revoked":  func(w *world) { w.revokedErr = revoke.ErrRevoked },
		"old":      func(w *world) { w.identity.Expires = noon.Add(time.Second) },
		"bound":    func(w *world) { w.identity.Confirmed = strings.Repeat("k", 43) },
		"an actor": func(w *world) { w.identity.HasActor = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := external(t)
			spoil(w)
			_, err := w.run()
			if err == nil {
				t.Fatal("want a refusal")
			}
			if w.seen.Upstream != "acme" || w.seen.Subject != "acme|alice" || w.seen.TokenID != "tok-ext" {
				t.Errorf("%v: seen %+v", err, w.seen)
			}
		})
	}
}

func TestP26_SeenForTheJournal(t *testing.T) {
	w := external(t)
	w.identity.Claims["dept"] = "Sales"
	w.want("invalid_request condition")
	w.seen.Tokens = nil // a function
	if want := (oauth.Seen{Upstream: "acme", Subject: "acme|alice", TokenID: "tok-ext", Targets: []string{"orders"}}); !reflect.DeepEqual(w.seen, want) {
		t.Errorf("got %+v", w.seen)
	}
	w.verifyErr = &upstreams.Error{Reason: upstreams.ReasonSignature, Err: upstreams.ErrInvalid}
	w.want("invalid_request signature")
	if w.seen.Subject != "" || w.seen.Upstream != "" {
		t.Errorf("what nobody verified was noted: %+v", w.seen)
	}
	o := ours(t)
	o.own.Claims["tenant"] = "x"
	o.want("invalid_request condition")
	if o.seen.Subject != "acme|alice" || o.seen.TokenID != "own-1" {
		t.Errorf("got %+v", o.seen)
	}
}

// P9: the declared type can only be wrong; what the token is decides its path.
func TestP9_DeclaredTypeAgreesWithTheClass(t *testing.T) {
	const refused, ext, own = "invalid_request token_class", "partner-orders", "own-billing"
	for _, c := range []struct {
		own      bool
		typ      string
		declared string
		want     string
	}{
		{false, "", oauth.TypeJWT, ext},
		{false, "", oauth.TypeAccessToken, ext},
		{false, "", oauth.TypeIDToken, ext},
		{false, "JWT", oauth.TypeIDToken, ext},
		{false, "application/at+JWT", oauth.TypeJWT, ext},
		{false, "at+jwt", oauth.TypeAccessToken, ext},
		{false, "at+jwt", oauth.TypeIDToken, refused},
		{false, "custom+jwt", oauth.TypeJWT, ext}, // whether it is in accept_typ is the upstream's
		{false, "logout+jwt", oauth.TypeJWT, refused},
		{false, "secevent+jwt", oauth.TypeJWT, refused},
		{false, "dpop+jwt", oauth.TypeJWT, refused},
		{false, "oauth-id-jag+jwt", oauth.TypeJWT, refused},
		{true, "at+jwt", oauth.TypeAccessToken, own},
		{true, "at+jwt", oauth.TypeJWT, own},
		{true, "at+jwt", oauth.TypeIDToken, refused},
		{true, "JWT", oauth.TypeAccessToken, refused}, // an ID token in place of an access token
		{true, "JWT", oauth.TypeJWT, refused},
		{true, "JWT", oauth.TypeIDToken, refused}, // it would yield an id-jag only
		{true, "", oauth.TypeIDToken, refused},
		{true, "logout+jwt", oauth.TypeAccessToken, refused},
		{true, "oauth-id-jag+jwt", oauth.TypeJWT, refused},
		{true, "custom+jwt", oauth.TypeJWT, refused},
	} {
		w := external(t)
		if c.own {
			w = ours(t)
		}
		delete(w.header, "typ")
		if c.typ != "" {
			w.header["typ"] = c.typ
		}
		w.form.Set("subject_token_type", c.declared)
		if got := w.outcome(); got != c.want {
			t.Errorf("own %t, typ %q, declared %s: got %q, want %q", c.own, c.typ, c.declared, got, c.want)
		}
		if c.want == refused && (len(w.verified) > 0 || w.opened > 0) {
			t.Errorf("typ %q was verified before it was refused", c.typ)
		}
	}
}

// A SAML assertion is called saml2, and nothing else is.
func TestP9_AssertionsAndJWTsAreNotCalledAsTheOther(t *testing.T) {
	w := external(t)
	w.form.Set("subject_token_type", oauth.TypeSAML2)
	w.want("invalid_request token_class")
	for _, typ := range []string{oauth.TypeJWT, oauth.TypeAccessToken, oauth.TypeIDToken} {
		w := external(t)
		w.opaque = true // nor is one sent to an upstream that introspects
		w.form.Set("subject_token_type", typ)
		w.form.Set("subject_token", base64.RawURLEncoding.EncodeToString([]byte("<saml:Assertion/>")))
		w.want("invalid_request token_class")
		if len(w.verified) > 0 {
			t.Errorf("%s: an upstream was asked", typ)
		}
	}
}

func TestP9_MarkersOfOtherClasses(t *testing.T) {
	for _, claim := range []string{"events", "htm", "htu"} {
		w := external(t)
		w.payload[claim] = map[string]any{"x": map[string]any{}}
		w.want("invalid_request token_class")
	}
}

func TestP9_RefreshTokenIsNoSubject(t *testing.T) {
	for _, typ := range []string{oauth.TypeRefreshToken, oauth.TypeSAML1, oauth.TypeIDJAG, "access_token"} {
		w := external(t)
		w.form.Set("subject_token_type", typ)
		w.want("invalid_request parameter")
	}
}

func TestP10_UnknownIssuerTouchesNoUpstream(t *testing.T) {
	for name, iss := range map[string]any{"unknown": "https://evil.example", "known, named by no rule": betaIssuer, "absent": nil, "ours in other letters": ourIssuer + "/"} {
		w := external(t)
		w.payload["iss"] = iss
		if iss == nil {
			delete(w.payload, "iss")
		}
		w.want("invalid_request token_issuer")
		if len(w.verified) != 0 || w.opened != 0 {
			t.Errorf("%s: somebody was asked", name)
		}
	}
}

func TestP11_OwnTokensAudience(t *testing.T) {
	for _, c := range []struct {
		name     string
		aud      []string
		clientID string
		ok       bool
	}{
		{"the client id", []string{"orders-api"}, "gateway", true},
		{"an identifier", []string{"orders"}, "gateway", true},
		{"one among others", []string{"payroll", "orders"}, "gateway", true},
		{"another", []string{"payroll"}, "gateway", false},
		{"another, though its own token", []string{"payroll"}, "orders-api", false},
		{"our issuer, its own login", []string{ourIssuer}, "orders-api", true},
		{"our issuer, another's login", []string{ourIssuer}, "gateway", false},
		{"our issuer and more", []string{ourIssuer, "payroll"}, "orders-api", false},
		{"in other letters", []string{"Orders"}, "gateway", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ours(t)
			w.payload["aud"], w.own.Audience, w.own.ClientID = c.aud, c.aud, c.clientID
			want := "invalid_request token_audience"
			if c.ok {
				want = "own-billing"
			}
			w.want(want)
		})
	}
}

// The verified audience decides, whatever the unverified one let pass.
func TestP11_VerifiedAudienceDecides(t *testing.T) {
	w := ours(t)
	w.own.Audience = []string{"payroll"}
	w.want("invalid_request token_audience")
}

func TestP11_BoundAudienceSeesTheRequester(t *testing.T) {
	w := anonymous(t)
	w.want("ci")
	if w.verified[0].Requester != "" {
		t.Errorf("nobody was asked for as %q", w.verified[0].Requester)
	}
}

func TestP18_SubjectInsideItsLeewayGetsNothing(t *testing.T) {
	for left, want := range map[time.Duration]string{
		-20 * time.Second: "invalid_request token_time", 0: "invalid_request token_time", 4999 * time.Millisecond: "invalid_request token_time", 5 * time.Second: "partner-orders",
	} {
		w := external(t)
		w.identity.Expires = noon.Add(left)
		w.want(want)
		o := ours(t)
		o.own.Expires = noon.Add(left)
		if want == "partner-orders" {
			want = "own-billing"
		}
		o.want(want)
	}
}

func TestP19_ActorParameters(t *testing.T) {
	actor := func(t *testing.T) string {
		return jwt(t, map[string]any{"alg": "ES256"}, map[string]any{"iss": acmeIssuer, "aud": "gateway-at-acme", "sub": "bot"}, "s")
	}
	for _, c := range []struct{ name, token, typ, want string }{
		{"type without token", "", oauth.TypeJWT, "invalid_request parameter"},
		{"token without type", actor(t), "", "invalid_request parameter"},
		{"type that is no token's", actor(t), oauth.TypeRefreshToken, "invalid_request parameter"},
		{"type that disagrees", jwt(t, map[string]any{"alg": "ES256", "typ": "at+jwt"}, map[string]any{"iss": acmeIssuer}, "s"), oauth.TypeIDToken, "invalid_request token_class"},
		{"own ID token called an access token", ownActor(t, "JWT"), oauth.TypeAccessToken, "invalid_request token_class"},
		{"own token of no known class", ownActor(t, "custom+jwt"), oauth.TypeJWT, "invalid_request token_class"},
		{"own access token", ownActor(t, "at+jwt"), oauth.TypeAccessToken, "invalid_request token_audience"},
		{"of an upstream that no rule takes actors of", actor(t), oauth.TypeJWT, "invalid_request token_issuer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := external(t)
			for name, v := range map[string]string{"actor_token": c.token, "actor_token_type": c.typ} {
				if v != "" {
					w.form.Set(name, v)
				}
			}
			w.want(c.want)
		})
	}
}

func ownActor(t *testing.T, typ string) string {
	return jwt(t, map[string]any{"alg": "ES256", "typ": typ}, map[string]any{"iss": ourIssuer, "aud": ourIssuer, "sub": "gateway"}, "s")
}

func TestP19_DelegatedOwnTokensAreRefusedUnderImpersonation(t *testing.T) {
	w := ours(t)
	w.own.Act = &rules.Actor{Subject: "x"}
	w.want("invalid_request actor")
	w = ours(t)
	w.own.HasMayAct = true
	w.want("invalid_request actor")
}

func TestP21_AnonymousRule(t *testing.T) {
	w := anonymous(t)
	a, err := w.run()
	if err != nil || a.ClientID() != "anonymous:ci" {
		t.Errorf("got %q, %v", a.ClientID(), err)
	}
}

func TestP21_AnonymousAudienceIsExactlyOne(t *testing.T) {
	w := anonymous(t)
	w.payload["aud"] = []string{"gateway-at-acme"}
	w.want("ci")
	for _, aud := range []any{[]string{"gateway-at-acme", "other"}, []string{"gateway-at-acme", "gateway-at-acme"}} {
		w.payload["aud"], w.verified = aud, nil
		w.want("invalid_request token_audience")
		if len(w.verified) != 0 {
			t.Error("it was verified first")
		}
	}
	e := external(t) // a client's may have more
	e.payload["aud"] = []string{"gateway-at-acme", "other"}
	e.want("partner-orders")
}

func TestP21_AnonymousNeverWithAnOwnToken(t *testing.T) {
	for _, aud := range []string{"orders", ourIssuer, "deploy"} {
		w := ours(t)
		w.requester = oauth.Requester{Anonymous: true}
		w.payload["aud"], w.own.Audience, w.own.ClientID = aud, []string{aud}, ""
		w.form.Set("audience", "deploy")
		w.want("invalid_request token_audience")
	}
}

func TestP22_IssuedTypes(t *testing.T) {
	for typ, want := range map[string]string{
		oauth.TypeAccessToken:  oauth.TypeAccessToken,
		oauth.TypeJWT:          oauth.TypeJWT,
		oauth.TypeIDToken:      oauth.TypeIDToken,
		oauth.TypeRefreshToken: "",
		oauth.TypeSAML2:        "",
		"jwt":                  "",
	} {
		w := ours(t)
		w.form.Set("requested_token_type", typ)
		if typ == oauth.TypeIDToken {
			w.form.Del("audience")
		}
		if want == "" {
			w.want("invalid_request parameter")
		} else if a, err := w.run(); err != nil || a.IssuedType() != want {
			t.Errorf("%s: got %q, %v", typ, a.IssuedType(), err)
		}
	}
}

func TestP24_OneTokenAsCredentialAndAsSubject(t *testing.T) {
	w := external(t)
	// The signature is malleable: another one over the same signing input is the same token.
	credential, err := jose.Parse(jwt(t, w.header, w.payload, "another signature"))
	if err != nil {
		t.Fatal(err)
	}
	w.requester.CredentialTokenID = credential.TokenID()
	w.want("invalid_request token_reused")
	if len(w.verified) != 0 {
		t.Error("it was verified first")
	}
	w.payload["jti"] = "another"
	w.want("partner-orders")
}

func TestP24_OneTokenAsCredentialAndAsActor(t *testing.T) {
	w := external(t)
	actor := jwt(t, w.header, map[string]any{"iss": acmeIssuer, "sub": "bot"}, "s")
	credential, err := jose.Parse(actor)
	if err != nil {
		t.Fatal(err)
	}
	w.requester.CredentialTokenID = credential.TokenID()
	w.form.Set("actor_token", actor)
	w.form.Set("actor_token_type", oauth.TypeJWT)
	w.want("invalid_request token_reused")
}

// Only what chain and rules read of an upstream's claims is decoded.
func TestExchange_ReadsOnlyWhatIsNeeded(t *testing.T) {
	w := external(t)
	w.want("partner-orders")
	want := w.verified[0].Claims
	for name, read := range map[string]bool{"dept": true, "blocked": true, "divide": true, "address_of_the_cat": false} {
		if want.Holds(name) != read {
			t.Errorf("%s: read %t", name, !read)
		}
	}
}

func TestTrace_StepsMappersAndRules(t *testing.T) {
	w := external(t)
	w.trace = &Trace{}
	w.want("partner-orders")
	var steps []string
	for _, s := range w.trace.Steps {
		steps = append(steps, s.Name)
	}
	if want := []string{"requester", "parameters", "tokens", "verification", "target", "mapping", "rules", "authority"}; !slices.Equal(steps, want) {
		t.Errorf("got %q", steps)
	}
	if len(w.trace.Mapping.Steps) < 3 || len(w.trace.Policy.Rules) != 1 || w.trace.Policy.Rules[0].Rule != "partner-orders" {
		t.Errorf("got %+v", w.trace)
	}
	if w.verified[0].Claims != nil {
		t.Error("a trace reads all claims")
	}
	w.trace = &Trace{}
	w.form.Set("audience", "payroll")
	w.want("invalid_target target")
	if last := w.trace.Steps[len(w.trace.Steps)-1]; last.Name != "target" || last.Err == nil {
		t.Errorf("got %+v", last)
	}
}

func clientCredentialsOf(t *testing.T, q oauth.Requester, form url.Values) (string, oauth.Seen) {
	t.Helper()
	f, err := oauth.ParseForm(form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	req := &oauth.TokenRequest{GrantType: oauth.GrantClientCredentials, Form: f, Requester: q, Now: noon}
	a, err := external(t).table()[req.GrantType].Authorize(context.Background(), req)
	if err != nil {
		e := oauth.AsError(err)
		return string(e.Code) + " " + string(e.Reason), req.Seen
	}
	return a.Subject() + " " + a.Audiences()[0] + " " + a.Scope() + " " + a.Upstream().Name + a.IssuedType(), req.Seen
}

func TestP35_ClientCredentials(t *testing.T) {
	q := oauth.Requester{ClientID: "batch", Audiences: []string{"orders", "https://x.example"}, Scopes: []string{"orders.read", "orders.write"}}
	for form, want := range map[string]string{
		"audience=orders":                         "batch orders orders.read orders.write ",
		"resource=https://x.example":              "batch https://x.example orders.read orders.write ",
		"audience=orders&scope=orders.write":      "batch orders orders.write ",
		"":                                        "invalid_target target",
		"audience=billing":                        "invalid_target target",
		"audience=orders&audience=billing":        "invalid_target target",
		"resource=x":                              "invalid_target target",
		"audience=orders&scope=admin":             "invalid_scope scope",
		"audience=billing&scope=admin":            "invalid_target target",
		"audience=orders&subject_token=x":         "batch orders orders.read orders.write ",
		"audience=orders&scope=orders.read++":     "invalid_scope scope",
		"audience=orders&resource=https://x%23":   "invalid_target target",
		"audience=orders&requested_token_type=id": "batch orders orders.read orders.write ",
	} {
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := clientCredentialsOf(t, q, values); got != want {
			t.Errorf("%s: got %q, want %q", form, got, want)
		}
	}
	_, seen := clientCredentialsOf(t, q, url.Values{"audience": {"orders"}})
	if seen.Subject != "batch" || !slices.Equal(seen.Targets, []string{"orders"}) {
		t.Errorf("seen %+v", seen)
	}
	for _, q := range []oauth.Requester{{Anonymous: true}, {ClientID: "spa", Public: true, Audiences: []string{"orders"}}} {
		for _, form := range []url.Values{{"audience": {"orders"}}, {"resource": {"malformed#"}}} {
			if got, _ := clientCredentialsOf(t, q, form); got != "unauthorized_client grant_not_allowed" {
				t.Errorf("%+v, %v: got %q", q, form, got)
			}
		}
	}
}

// Whatever is presented, the answer is an Authority by a rule of the requester, or an *oauth.Error that is not our fault.
func FuzzExchange(f *testing.F) {
	w := external(&testing.T{})
	o := ours(&testing.T{})
	seeds := [][5]string{
		{w.token(), oauth.TypeJWT, "orders", "orders.read", ""},
		{o.token(), oauth.TypeAccessToken, "billing", "", oauth.TypeJWT},
		{"a.b.c", oauth.TypeIDToken, "", " ", oauth.TypeSAML2},
		{"..", oauth.TypeRefreshToken, "https://x#", "a  b", "x"},
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s[0], s[1], s[2], s[3], s[4])
	}
	grant := w.table()[oauth.GrantTokenExchange]
	f.Fuzz(func(t *testing.T, subject, declared, audience, scope, requested string) {
		w.verified = nil
		form := url.Values{"subject_token": {subject}, "subject_token_type": {declared}, "audience": {audience}, "scope": {scope}, "requested_token_type": {requested}}
		f, err := oauth.ParseForm(form.Encode())
		if err != nil {
			return
		}
		a, err := grant.Authorize(context.Background(), &oauth.TokenRequest{Form: f, Requester: w.requester, Now: noon})
		switch {
		case err == nil && (a.RuleID() != "partner-orders" || a.Scope() != "orders.read" || len(w.verified) != 1):
			t.Fatalf("granted %+v", a)
		case err != nil && (!a.IsZero() || oauth.AsError(err).Code == oauth.CodeServerError):
			t.Fatal(err)
		}
	})
}
