package explain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policytest"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/mappers/printable"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/upstreams"
)

const (
	issuer = "https://login.example.com"
	ci     = "https://ci.example.com"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func config() broker.Config {
	hash := strings.Repeat("0", 63) + "1"
	return broker.Config{
		Issuer: issuer,
		Upstreams: []broker.UpstreamSpec{
			{
				Spec: upstreams.Spec{Name: "ci", Kind: "jwt", Issuer: ci, JWKSURI: ci + "/jwks", Algorithms: []string{"ES256"}, Audiences: []upstreams.Audience{{Value: issuer}, {Value: "gateway-only", Requesters: []string{"gateway"}}}},
				Mappers: []mappers.Spec{
					{Kind: "require", Expression: `claims.blocked != true`, Message: "blocked"},
					{Kind: "rename", From: "repository", To: "repository"},
				},
			},
			{Spec: upstreams.Spec{Name: "unused", Kind: "jwt", Issuer: "https://unused.example.com", JWKSURI: "https://unused.example.com/jwks", Algorithms: []string{"ES256"}, Audiences: []upstreams.Audience{{Value: issuer}}}},
		},
		Clients: []clients.Spec{
			{ID: "gateway", SecretSHA256: hash, GrantTypes: []string{"token-exchange"}},
			{ID: "orders-api", SecretSHA256: hash, Identifiers: []string{"orders"}, GrantTypes: []string{"token-exchange"}},
		},
		Exchange: []rules.Spec{
			{ID: "orders", Subject: &rules.SubjectSpec{Upstream: "ci", When: `claims.ref == "refs/heads/main"`}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
				Grant: &rules.GrantSpec{Audiences: []string{"orders"}, Scopes: []rules.ScopeSpec{{Name: "orders.read"}}}},
			{ID: "deploy", Subject: &rules.SubjectSpec{Upstream: "ci"}, Requester: &rules.RequesterSpec{Anonymous: true}, Grant: &rules.GrantSpec{Audiences: []string{"deploy"}, SingleUse: true}},
			{ID: "billing", Subject: &rules.SubjectSpec{Issued: true}, Requester: &rules.RequesterSpec{Clients: []string{"orders-api"}}, Actor: &rules.ActorSpec{Required: true},
				Grant: &rules.GrantSpec{Audiences: []string{"billing"}, Scopes: []rules.ScopeSpec{{Name: "billing.read", From: []string{"orders.read"}}}}},
		},
	}
}

// side is a judge of the configuration and what signs for it.
func side(t testing.TB, c broker.Config) (*broker.Judge, policytest.Side) {
	t.Helper()
	signer, err := policytest.NewSigner(t.Context(), policytest.SignerOptions{
		Issuer: c.Issuer, Leeway: 30 * time.Second, Engine: func() (store.Engine, error) { return engines.Open("memory", engines.Options{}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = signer.Close() })
	j, err := broker.NewJudge(broker.JudgeOptions{Config: c, Keys: signer.Keys, Own: signer.Own, Revoked: signer.Revoked})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j, policytest.Side{Engine: j, Signer: signer}
}

// job is a token of a CI job; edit changes its claims, nil takes one away.
func job(edit map[string]any) decision.Token {
	claims := decision.Claims{
		"iss": ci, "aud": issuer, "sub": "repo:shop", "iat": noon.Add(-time.Minute).Unix(), "exp": noon.Add(time.Hour).Unix(), "jti": "j1",
		"ref": "refs/heads/main", "repository": "acme/shop", "blocked": false, "ssn": "123-45-6789",
	}
	return edited("ci", false, "JWT", claims, edit)
}

// ours is an access token of ours, at orders-api.
func ours(edit map[string]any) decision.Token {
	claims := decision.Claims{
		"iss": issuer, "aud": "orders", "sub": "ci|repo:shop", "client_id": "gateway", "iat": noon.Add(-time.Minute).Unix(), "exp": noon.Add(time.Hour).Unix(),
		"origin_exp": noon.Add(time.Hour).Unix(), "jti": "own-1", "scope": "orders.read", "upstream": map[string]any{"name": "ci"},
	}
	return edited("ci", true, "at+jwt", claims, edit)
}

func edited(upstream string, own bool, typ string, claims decision.Claims, edit map[string]any) decision.Token {
	for name, v := range edit {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return decision.Token{Upstream: upstream, Own: own, Typ: typ, Claims: claims}
}

func record(client string, t decision.Token, audiences ...string) decision.Record {
	return decision.Record{ID: "d1", At: noon, Grant: "token-exchange", ClientID: client, Anonymous: client == "", Audiences: audiences, Subject: t}
}

func with(r decision.Record, edit func(*decision.Record)) decision.Record {
	edit(&r)
	return r
}

func explained(t testing.TB, j *broker.Judge, s policytest.Side, r decision.Record) explain.Explanation {
	t.Helper()
	in, err := s.Request(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	e, err := j.Explain(t.Context(), explain.RequestOf(r.ClientID, in))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func text(t testing.TB, e explain.Explanation) string {
	t.Helper()
	var out bytes.Buffer
	if err := e.Text(&out, explain.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestExplain_SaysWhatWouldAdmitIt(t *testing.T) {
	j, s := side(t, config())
	machine := ours(map[string]any{"sub": "orders-api", "client_id": "orders-api", "aud": "orders-api", "upstream": nil})
	for _, c := range []struct {
		name    string
		in      decision.Record
		outcome string // rule, or code and reason
		nearest string
		change  string
	}{
		{"allowed", record("gateway", job(nil), "orders"), "orders", "orders", ""},
		{"allowed to nobody in particular", record("", job(nil), "deploy"), "deploy", "deploy", ""},
		{"delegated", with(record("orders-api", ours(nil), "billing"), func(r *decision.Record) { r.Actor = &machine }), "billing", "billing", ""},
		{"a condition", record("gateway", job(map[string]any{"ref": "refs/heads/dev"}), "orders"), "invalid_request condition", "orders",
			`condition 'claims.ref == "refs/heads/main"' saw "refs/heads/dev" (exchange[0].subject.when)`},
		{"a hostile claim", record("gateway", job(map[string]any{"ref": "\x1b[2J\u202e" + strings.Repeat("x", 5000), "repository": "\x1b]0;\x07"}), "orders"), "invalid_request condition", "orders",
			`condition 'claims.ref == "refs/heads/main"' saw "\x1b[2J\u202e` + strings.Repeat("x", printable.Longest-14) + `… (exchange[0].subject.when)`},
		{"no actor", record("orders-api", ours(nil), "billing"), "invalid_request actor", "billing", "send actor_token and actor_token_type"},
		{"the target", record("gateway", job(nil), "orders", "payroll"), "invalid_target target", "orders", `add "payroll" to exchange[0].grant.audiences`},
		{"the scope", with(record("gateway", job(nil), "orders"), func(r *decision.Record) { r.Scope = "orders.write" }), "invalid_scope scope", "orders", "scopes of exchange[0].grant.scopes"},
		{"the subject's scope", with(record("orders-api", ours(map[string]any{"scope": "other"}), "billing"), func(r *decision.Record) { r.Actor = &machine; r.Scope = "billing.read" }), "invalid_scope scope", "billing",
			`scopes of exchange[2].grant.scopes, and of those only what the subject's own allow: ["other"]`},
		{"a mapper", record("gateway", job(map[string]any{"blocked": true}), "orders"), "invalid_request require", "", "claims that mappers[0] of upstream ci (require) takes"},
		{"a mapper that has no result", record("gateway", job(map[string]any{"blocked": nil}), "orders"), "invalid_request mapping", "", "claims that mappers[0] of upstream ci (require) takes"},
		{"a client that is none", record("stranger", job(nil), "orders"), "invalid_client client_credentials", "", "a configured client; without one, a rule with requester: {anonymous: true}"},
		{"the issuer", record("gateway", job(map[string]any{"iss": ci + "/"}), "orders"), "invalid_request token_issuer", "", `an upstream whose issuer is "https://ci.example.com/", to the byte; there is "https://ci.example.com"`},
		{"the audience", record("gateway", job(map[string]any{"aud": "elsewhere"}), "orders"), "invalid_request token_issuer", "",
			`a token whose aud is one of ["https://login.example.com", "gateway-only"], as upstreams[0].audiences has them; its aud is "elsewhere"`},
		{"an audience of another requester", record("", job(map[string]any{"aud": "gateway-only"}), "deploy"), "invalid_request token_audience", "",
			"nobody in particular (anonymous) among the requesters of that audience in upstreams[0].audiences"},
		{"an upstream that no rule takes", record("gateway", job(map[string]any{"iss": "https://unused.example.com"}), "orders"), "invalid_request token_issuer", "", "a rule whose subject is {upstream: unused}: none takes its tokens"},
		{"a token of ours for somebody else", record("orders-api", ours(map[string]any{"aud": "payroll"}), "billing"), "invalid_request token_audience", "",
			"a token whose aud holds the requester's client id or one of its identifiers"},
		{"the time", record("gateway", job(map[string]any{"exp": noon.Add(-time.Hour).Unix()}), "orders"), "invalid_request token_time", "",
			"a fresh token: this one is not valid, or not for long enough, at 2030-01-02T12:00:00Z"},
		{"a key", record("gateway", job(map[string]any{"cnf": map[string]any{"jkt": "k"}}), "orders"), "invalid_request confirmation", "", "a DPoP proof by the key that the token is bound to"},
		{"no jti", record("", job(map[string]any{"jti": nil}), "deploy"), "invalid_request replay", "deploy", "a token with a jti that was not used before: the rule says single_use"},
		{"the class", with(record("gateway", job(nil), "orders"), func(r *decision.Record) { r.Subject.Typ = "logout+jwt" }), "invalid_request token_class", "",
			"a token of another class, or declared as what it is; what an upstream's tokens may be is in its accept_typ"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := explained(t, j, s, c.in)
			got := e.Outcome.Rule
			if e.Outcome.Decision == explain.Deny {
				got = e.Outcome.Code + " " + e.Outcome.Reason
			}
			if got != c.outcome || e.Nearest != c.nearest || e.Change != c.change {
				t.Errorf("got %s, nearest %q, change %s\nwant %s, %q, %s", got, e.Nearest, e.Change, c.outcome, c.nearest, c.change)
			}
			if refused := e.Steps[:]; e.Outcome.Decision == explain.Deny && len(refused) > 0 && refused[len(refused)-1].Error == "" {
				t.Errorf("no step refuses: %+v", refused)
			}
			holdsNothingElse(t, e)
		})
	}
}

// holdsNothingElse: neither form holds a token, nor a claim that nobody reads, nor anything that a terminal would obey; and what a client of the API
// reads is what the server meant.
func holdsNothingElse(t *testing.T, e explain.Explanation) {
	t.Helper()
	asText := text(t, e)
	asJSON, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"123-45-6789", "ssn", "eyJ"} {
		if strings.Contains(asText, secret) || bytes.Contains(asJSON, []byte(secret)) {
			t.Errorf("it holds %q", secret)
		}
	}
	if i := strings.IndexFunc(asText, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("the text holds %q", asText[i:i+8])
	}
	var back explain.Explanation
	if err := json.Unmarshal(asJSON, &back); err != nil || !reflect.DeepEqual(back.Outcome, e.Outcome) || !reflect.DeepEqual(back.Rules, e.Rules) {
		t.Errorf("it does not read back: %v", err)
	}
	if again := text(t, back); again != asText {
		t.Errorf("read back it says\n%s\nnot\n%s", again, asText)
	}
}

// An ID-JAG needs no rule: what it needs is said instead.
func TestExplain_IDJAG(t *testing.T) {
	c := config()
	c.ResourceServers = []broker.ResourceServerSpec{{Issuer: "https://chat.example.com", ClientIDs: map[string]string{"gateway": "f53f"}, Scopes: []string{"chat.read"}}}
	j, s := side(t, c)
	login := func(edit map[string]any) decision.Token {
		token := ours(map[string]any{"aud": "gateway", "azp": "gateway", "client_id": nil, "scope": nil})
		token.Typ = "JWT"
		return edited("ci", true, "JWT", token.Claims, edit)
	}
	jag := func(t decision.Token, audience string) decision.Record {
		return with(record("gateway", t, audience), func(r *decision.Record) {
			r.TokenType, r.SubjectType, r.Scope = oauth.TypeIDJAG, oauth.TypeIDToken, "chat.read"
		})
	}
	e := explained(t, j, s, jag(login(nil), "https://chat.example.com"))
	if e.Outcome.Decision != explain.Allow || !strings.Contains(text(t, e), "ALLOWED   by resource_servers") {
		t.Errorf("got %s", text(t, e))
	}
	e = explained(t, j, s, jag(login(nil), "https://other.example.com"))
	if e.Outcome.Decision != explain.Deny || !strings.Contains(e.Change, "resource_servers") || len(e.Rules) != 0 {
		t.Errorf("got %s", text(t, e))
	}
}

// A bound token is explained as with the proof that the command line cannot make, if it says so.
func TestExplain_AProofIsTakenAsHeld(t *testing.T) {
	j, s := side(t, config())
	in, err := s.Request(t.Context(), record("gateway", job(map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), "orders"))
	if err != nil {
		t.Fatal(err)
	}
	r := explain.RequestOf("gateway", in)
	for dpop, want := range map[bool]string{false: "confirmation", true: ""} {
		r.DPoP = dpop
		if e, err := j.Explain(t.Context(), r); err != nil || e.Outcome.Reason != want {
			t.Errorf("dpop %t: got %+v, %v", dpop, e.Outcome, err)
		}
	}
	if r.SubjectToken = "opaque"; r.Proven() != (oauth.Proof{}) {
		t.Error("a proof for what names no key")
	}
}

// P19: the word for whom a rule's tokens stand for is said of every rule and of the outcome.
func TestP19_TheWordsOfRules(t *testing.T) {
	j, s := side(t, config())
	e := explained(t, j, s, record("orders-api", ours(nil), "billing"))
	kinds := map[string]string{}
	for _, r := range e.Rules {
		kinds[r.ID] = r.Kind
	}
	if want := map[string]string{"orders": "impersonation", "deploy": "impersonation", "billing": "delegation"}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("got %v", kinds)
	}
	if out := text(t, e); !strings.Contains(out, "exchange[2] billing, delegation: actor") {
		t.Errorf("got %s", out)
	}
	if out := text(t, explained(t, j, s, record("gateway", job(nil), "orders"))); !strings.Contains(out, "ALLOWED   by rule orders (impersonation)") {
		t.Errorf("got %s", out)
	}
}

// Colours are put around words, and change none.
func TestText_Colors(t *testing.T) {
	j, s := side(t, config())
	for _, in := range []decision.Record{record("gateway", job(nil), "orders"), record("gateway", job(map[string]any{"ref": "x"}), "orders")} {
		e := explained(t, j, s, in)
		var colored bytes.Buffer
		if err := e.Text(&colored, explain.TextOptions{Color: true}); err != nil {
			t.Fatal(err)
		}
		plain := colored.String()
		for _, code := range []string{"\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"} {
			plain = strings.ReplaceAll(plain, code, "")
		}
		if plain != text(t, e) || !strings.Contains(colored.String(), "\x1b[") {
			t.Errorf("got %q", colored.String())
		}
	}
}

// Ten thousand rules are no ten thousand lines; the nearest is among the few.
func TestText_ManyRules(t *testing.T) {
	c := config()
	for i := range 300 {
		c.Exchange = append(c.Exchange, rules.Spec{
			ID: fmt.Sprintf("r%d", i), Subject: &rules.SubjectSpec{Upstream: "ci", When: `claims.ref == "refs/heads/main"`},
			Requester: &rules.RequesterSpec{Clients: []string{"gateway"}}, Grant: &rules.GrantSpec{Audiences: []string{fmt.Sprintf("a%d", i)}},
		})
	}
	j, s := side(t, c)
	e := explained(t, j, s, record("gateway", job(map[string]any{"ref": "x"}), "a200"))
	out := text(t, e)
	if lines := strings.Count(out, "\n"); lines > 100 || e.Nearest != "r200" || !strings.Contains(out, "r200, impersonation: when") || !strings.Contains(out, "and 289 more that do not apply") {
		t.Errorf("%d lines, nearest %s:\n%s", lines, e.Nearest, out)
	}
	if len(e.Rules) != 303 {
		t.Errorf("JSON has %d rules", len(e.Rules))
	}
}

func TestRecorded_WhatCannotBeTakenAgain(t *testing.T) {
	r := with(record("gateway", decision.Token{}, "orders"), func(r *decision.Record) {
		r.Code, r.Reason, r.Partial = "invalid_request", "signature", []string{decision.PartSubject}
	})
	e := explain.Recorded(r)
	if e.DecisionID != "d1" || e.Outcome.Reason != "signature" || e.Outcome.Description == "" || len(e.Notes) != 1 || !strings.Contains(e.Notes[0], "nothing of it was kept") {
		t.Errorf("got %+v", e)
	}
	r.Partial, r.Subject.Opaque = nil, true
	if e = explain.Recorded(r); len(e.Notes) != 1 || !strings.Contains(e.Notes[0], "introspected") || !strings.Contains(text(t, e), "DENIED") {
		t.Errorf("got %+v", e)
	}
}

// What was answered then is told where the configuration of now comes to something else, and only there.
func TestAnswered(t *testing.T) {
	j, s := side(t, config())
	allowed := with(record("gateway", job(nil), "orders"), func(r *decision.Record) { r.Rule = "orders" })
	for _, c := range []struct {
		name string
		then decision.Record
		note string // "": nothing differs
	}{
		{"the same", allowed, ""},
		{"allowed then by another rule", with(allowed, func(r *decision.Record) { r.Rule = "old" }), "the configuration of now decides it otherwise"},
		{"denied then", with(allowed, func(r *decision.Record) { r.Rule, r.Code, r.Reason = "", "invalid_request", "condition" }), "the configuration of now decides it otherwise"},
		{"revoked then", with(allowed, func(r *decision.Record) { r.Rule, r.Code, r.Reason = "", "invalid_request", "revoked" }), "no matter of configuration: revoked"},
		{"denied alike", with(record("gateway", job(map[string]any{"ref": "x"}), "orders"), func(r *decision.Record) { r.Code, r.Reason = "invalid_request", "condition" }), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := explained(t, j, s, c.then).Answered(c.then)
			if e.DecisionID != "d1" || (e.Recorded != nil) != (c.note != "") {
				t.Fatalf("got %+v", e)
			}
			if c.note == "" {
				return
			}
			if len(e.Notes) != 1 || !strings.Contains(e.Notes[0], c.note) || !strings.Contains(text(t, e), "answered then") {
				t.Errorf("got %v\n%s", e.Notes, text(t, e))
			}
		})
	}
}

func TestRequest_Check(t *testing.T) {
	for _, c := range []struct {
		name string
		r    explain.Request
		want string
	}{
		{"nothing", explain.Request{}, "want a subject token or a decision's id, got neither"},
		{"both", explain.Request{DecisionID: "d", SubjectToken: "t"}, "want a decision's id or a token, got both"},
		{"an actor beside a decision", explain.Request{DecisionID: "d", ActorToken: "t"}, "want a decision's id or a token, got both"},
		{"another grant", explain.Request{SubjectToken: "t", Grant: "password"}, `grant: want token-exchange or jwt-bearer, got "password"`},
		{"another type", explain.Request{SubjectToken: "t", TokenType: "saml2"}, `token type: want access_token, jwt, id_token or id-jag, got "saml2"`},
		{"a decision", explain.Request{DecisionID: "d"}, ""},
		{"a token", explain.Request{SubjectToken: "t", SubjectTokenType: "jwt", TokenType: oauth.TypeAccessToken}, ""},
	} {
		err := c.r.Check()
		usage, misused := errors.AsType[*explain.UsageError](err)
		if (err == nil) != (c.want == "") || err != nil && (!misused || usage.Text != c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

// What a client would declare the token to be is what it is, where nobody says.
func TestRequest_Form(t *testing.T) {
	_, s := side(t, config())
	for _, c := range []struct {
		name  string
		token decision.Token
		want  string
	}{
		{"an upstream's", job(nil), oauth.TypeJWT},
		{"an upstream's access token", with(record("", job(nil)), func(r *decision.Record) { r.Subject.Typ = "at+jwt" }).Subject, oauth.TypeAccessToken},
		{"ours", ours(nil), oauth.TypeAccessToken},
		{"our ID token", with(record("", ours(nil)), func(r *decision.Record) { r.Subject.Typ = "JWT" }).Subject, oauth.TypeIDToken},
	} {
		in, err := s.Request(context.Background(), record("gateway", c.token))
		if err != nil {
			t.Fatal(err)
		}
		form, err := explain.Request{SubjectToken: in.Form.Get(oauth.ParamSubjectToken), TokenType: "jwt"}.Form(issuer)
		if err != nil || form.Get(oauth.ParamSubjectTokenType) != c.want || form.Get(oauth.ParamRequestedTokenType) != oauth.TypeJWT {
			t.Errorf("%s: got %v, %v", c.name, url.Values(form), err)
		}
	}
	form, err := explain.Request{SubjectToken: "opaque-token"}.Form(issuer)
	if err != nil || form.Get(oauth.ParamSubjectTokenType) != oauth.TypeAccessToken {
		t.Errorf("opaque: got %v, %v", form, err)
	}
	form, err = explain.Request{SubjectToken: "a.b.c", Grant: "jwt-bearer"}.Form(issuer)
	if err != nil || form.Get(oauth.ParamAssertion) != "a.b.c" || form.Has(oauth.ParamSubjectToken) {
		t.Errorf("jwt-bearer: got %v, %v", form, err)
	}
}

// A request is never printed with its tokens.
func TestRequest_Redacted(t *testing.T) {
	r := explain.Request{SubjectToken: "eyJhbGciOi", ActorToken: "eyJhbGciOi"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, r); strings.Contains(got, "eyJ") {
			t.Errorf("%s: %s", verb, got)
		}
	}
	if got := r.LogValue().String(); strings.Contains(got, "eyJ") {
		t.Error(got)
	}
}
