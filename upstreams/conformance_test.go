package upstreams_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// module is one test module of the OpenID Foundation's plans for relying parties.
type module struct {
	name    string
	options func(*upstreamtest.Options)
	spoil   func(*upstreamtest.IdP)
	reason  upstreams.Reason // empty: the login must succeed
	also    func(*testing.T, *visit, upstreams.Identity)
}

// TestOIDFBasicRP holds the modules of oidcc-client-basic-certification-test-plan.
func TestOIDFBasicRP(t *testing.T) {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	rs256 := func(o *upstreamtest.Options) { o.Algorithms = []string{"RS256"} }
	alter := func(change func(map[string]any), options ...upstreamtest.SignOption) func(*upstreamtest.IdP) {
		return func(p *upstreamtest.IdP) { p.AlterIDToken(change, options...) }
	}
	for _, m := range []module{
		{name: "oidcc-client-test"},
		{name: "oidcc-client-test-invalid-iss", spoil: alter(upstreamtest.With("iss", "https://evil.example")), reason: upstreams.ReasonIssuer},
		{name: "oidcc-client-test-missing-sub", spoil: alter(upstreamtest.Without("sub")), reason: upstreams.ReasonSubject},
		{name: "oidcc-client-test-invalid-aud", spoil: alter(upstreamtest.With("aud", "somebody-else")), reason: upstreams.ReasonAudience},
		{name: "oidcc-client-test-missing-iat", spoil: alter(upstreamtest.Without("iat")), reason: upstreams.ReasonTime},
		{name: "oidcc-client-test-kid-absent-single-jwks", spoil: alter(nil, upstreamtest.NoKeyID())},
		{name: "oidcc-client-test-kid-absent-multiple-jwks", spoil: func(p *upstreamtest.IdP) { p.Rotate(); p.AlterIDToken(nil, upstreamtest.NoKeyID()) }},
		{name: "oidcc-client-test-idtoken-sig-rs256", options: rs256, also: func(t *testing.T, v *visit, id upstreams.Identity) {
			if !strings.Contains(id.KeyID, "RS256") && id.KeyID != v.idp.KeyIDs()[0] {
				t.Errorf("another key: %s", id.KeyID)
			}
		}},
		{name: "oidcc-client-test-idtoken-sig-none", spoil: alter(nil, upstreamtest.Alg("none")), reason: upstreams.ReasonAlgorithm},
		{name: "oidcc-client-test-invalid-sig-rs256", options: rs256, spoil: alter(nil, upstreamtest.SignedBy(stranger)), reason: upstreams.ReasonSignature},
		{name: "oidcc-client-test-userinfo-bearer-header", also: inHeader},
		{name: "oidcc-client-test-userinfo-bearer-body", also: inHeader}, // the client's choice of two (RFC 6750 §2): the header, which every provider must take
		{name: "oidcc-client-test-userinfo-invalid-sub", spoil: func(p *upstreamtest.IdP) { p.AlterUserinfo(upstreamtest.With("sub", "mallory")) }, reason: upstreams.ReasonUserInfo},
		{name: "oidcc-client-test-nonce-invalid", spoil: alter(upstreamtest.With("nonce", "other")), reason: upstreams.ReasonNonce},
		{name: "oidcc-client-test-scope-userinfo-claims", also: func(t *testing.T, v *visit, id upstreams.Identity) {
			scope := strings.Fields(v.idp.Requests("/authorize")[0].Query.Get("scope"))
			if !slices.Equal(scope, []string{"openid", "profile", "email"}) || id.Claims["phone_number"] != "+1 555" {
				t.Errorf("got scope %q, claims %v", scope, id.Claims)
			}
		}},
		{name: "oidcc-client-test-client-secret-basic", also: func(t *testing.T, v *visit, _ upstreams.Identity) {
			if sent := v.idp.Requests("/token")[0]; sent.Authorization != "Basic" || sent.Form.Has("client_secret") || sent.Form.Has("client_id") {
				t.Errorf("got %+v", sent)
			}
		}},
	} {
		t.Run(m.name, m.run)
	}
}

func (m module) run(t *testing.T) {
	o := loginOptions()
	if m.options != nil {
		m.options(&o)
	}
	v := newVisit(t, o, nil)
	if m.spoil != nil {
		m.spoil(v.idp)
	}
	id, err := v.whole()
	if m.reason != "" {
		wantRefusal(t, id, err, m.reason)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if id.Subject != "a-1" {
		t.Errorf("got %+v", id)
	}
	if m.also != nil {
		m.also(t, v, id)
	}
}

func inHeader(t *testing.T, v *visit, _ upstreams.Identity) {
	t.Helper()
	sent := v.idp.Requests("/userinfo")
	if len(sent) != 1 || sent[0].Method != http.MethodGet || sent[0].Authorization != "Bearer" || len(sent[0].Form) != 0 || len(sent[0].Query) != 0 {
		t.Errorf("got %+v", sent)
	}
}

// TestOIDFConfigRP holds the modules of oidcc-client-config-certification-test-plan; idtoken-sig-none is Basic RP's, too.
func TestOIDFConfigRP(t *testing.T) {
	t.Run("oidcc-client-test-discovery-openid-config", func(t *testing.T) {
		o := loginOptions()
		o.Path = "/tenant/a"
		v := newVisit(t, o, nil)
		v.accepted()
		if d, _ := v.idp.Fetches(); d != 1 {
			t.Errorf("want the document read once, got %d", d)
		}
	})
	t.Run("oidcc-client-test-discovery-jwks-uri-keys", func(t *testing.T) {
		v := newVisit(t, loginOptions(), nil)
		v.accepted()
		if _, j := v.idp.Fetches(); j != 1 {
			t.Errorf("want the key set read once, got %d", j)
		}
	})
	t.Run("oidcc-client-test-discovery-issuer-mismatch", func(t *testing.T) {
		v := newVisit(t, loginOptions(), nil)
		v.idp.WrongIssuer("https://evil.example")
		_, err := v.up.Start(t.Context(), attempt())
		wantRefusal(t, upstreams.Identity{}, err, upstreams.ReasonUnavailable)
	})
	t.Run("oidcc-client-test-idtoken-sig-none", module{
		spoil: func(p *upstreamtest.IdP) { p.AlterIDToken(nil, upstreamtest.Alg("none")) }, reason: upstreams.ReasonAlgorithm,
	}.run)
	t.Run("oidcc-client-test-signing-key-rotation-just-before-signing", func(t *testing.T) {
		v := newVisit(t, loginOptions(), nil)
		v.accepted()
		v.clock.Add(between)
		response := v.answered(attempt())
		kid := v.idp.Rotate()
		id, err := v.up.Finish(t.Context(), attempt(), response)
		if err != nil || id.KeyID != kid {
			t.Errorf("want key %s, got %s, %v", kid, id.KeyID, err)
		}
	})
	t.Run("oidcc-client-test-signing-key-rotation", func(t *testing.T) {
		v := newVisit(t, loginOptions(), nil)
		for range 3 {
			v.clock.Add(between)
			kid := v.idp.Rotate()
			if id := v.accepted(); id.KeyID != kid {
				t.Errorf("want key %s, got %s", kid, id.KeyID)
			}
		}
	})
}

func TestHostileAnswers(t *testing.T) {
	const marker = "<b>marker</b>"
	body := func(text string) upstreamtest.Trouble { return upstreamtest.Trouble{Body: text} }
	for _, tc := range []struct {
		name     string
		trouble  upstreamtest.Trouble
		reason   upstreams.Reason
		atToken  bool
		atPerson bool // userinfo
	}{
		{"500 with markup", upstreamtest.Trouble{Status: 500, Body: marker, ContentType: "text/html"}, upstreams.ReasonUnavailable, true, true},
		{"503 that looks like an error of the protocol", upstreamtest.Trouble{Status: 503, Body: `{"error":"access_denied"}`}, upstreams.ReasonUnavailable, true, true},
		{"429", upstreamtest.Trouble{Status: 429, Body: marker}, upstreams.ReasonUnavailable, true, true},
		{"404 with markup", upstreamtest.Trouble{Status: 404, Body: marker, ContentType: "text/html"}, upstreams.ReasonNonsense, true, true},
		{"400 without an error", upstreamtest.Trouble{Status: 400, Body: `{}`}, upstreams.ReasonNonsense, true, true},
		{"400 with an error that is none", upstreamtest.Trouble{Status: 400, Body: `{"error":"` + marker + `"}`}, upstreams.ReasonNonsense, true, true},
		{"400 with an error", upstreamtest.Trouble{Status: 400, Body: `{"error":"invalid_request","error_description":"` + marker + `"}`}, upstreams.ReasonRefused, true, true},
		{"401 with an error", upstreamtest.Trouble{Status: 401, Body: `{"error":"invalid_token"}`}, upstreams.ReasonRefused, true, true},
		{"403: this person may not", upstreamtest.Trouble{Status: 403, Body: `{"error":"access_denied"}`}, upstreams.ReasonDenied, true, true},
		{"400: overloaded", upstreamtest.Trouble{Status: 400, Body: `{"error":"temporarily_unavailable"}`}, upstreams.ReasonUnavailable, true, true},
		{"another status of success", upstreamtest.Trouble{Status: 201}, upstreams.ReasonNonsense, true, true},
		{"no content", upstreamtest.Trouble{Status: 204, Body: " "}, upstreams.ReasonNonsense, true, true},
		{"a redirect", upstreamtest.Trouble{Status: 307}, upstreams.ReasonNonsense, true, true},
		{"HTML", upstreamtest.Trouble{ContentType: "text/html"}, upstreams.ReasonNonsense, true, true},
		{"a form", upstreamtest.Trouble{ContentType: "application/x-www-form-urlencoded", Body: "access_token=x&token_type=bearer&id_token=y"}, upstreams.ReasonNonsense, true, true},
		{"a JWT", upstreamtest.Trouble{ContentType: "application/jwt"}, upstreams.ReasonNonsense, true, true},
		{"truncated", upstreamtest.Trouble{Truncate: true}, upstreams.ReasonUnavailable, true, true},
		{"huge", upstreamtest.Trouble{Huge: true}, upstreams.ReasonNonsense, true, true},
		{"huge in itself", body(`{"x":"` + strings.Repeat("x", 70<<10) + `"}`), upstreams.ReasonNonsense, true, true},
		{"no JSON", body(marker), upstreams.ReasonNonsense, true, true},
		{"a list", body(`[]`), upstreams.ReasonNonsense, true, true},
		{"null", body(`null`), upstreams.ReasonNonsense, true, true},
		{"deep", body(`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`), upstreams.ReasonNonsense, true, true},
		{"a repeated member", body(`{"sub":"a-1","sub":"a-1","id_token":"x"}`), upstreams.ReasonNonsense, true, true},
		{"bad UTF-8", body("{\"sub\":\"a-1\",\"name\":\"\xff\"}"), upstreams.ReasonNonsense, true, true},
		{"nothing in it", body(`{}`), upstreams.ReasonNonsense, true, false},
		{"no access token", body(`{"id_token":"x","token_type":"Bearer"}`), upstreams.ReasonNonsense, true, false},
		{"no ID token", body(`{"access_token":"x","token_type":"Bearer"}`), upstreams.ReasonNonsense, true, false},
		{"an ID token that is a number", body(`{"access_token":"x","token_type":"Bearer","id_token":5}`), upstreams.ReasonNonsense, true, false},
		{"an ID token in another case", body(`{"access_token":"x","token_type":"Bearer","ID_TOKEN":"x"}`), upstreams.ReasonNonsense, true, false},
		{"an ID token that is none", body(`{"access_token":"x","token_type":"Bearer","id_token":"` + marker + `"}`), upstreams.ReasonNonsense, true, false},
		{"another token type", body(`{"access_token":"x","token_type":"mac","id_token":"x"}`), upstreams.ReasonNonsense, true, false},
		{"no token type", body(`{"access_token":"x","id_token":"x"}`), upstreams.ReasonNonsense, true, false},
		{"an error with status 200", body(`{"error":"invalid_grant","error_description":"` + marker + `"}`), upstreams.ReasonRefused, true, false},
		{"no sub", body(`{"name":"x"}`), upstreams.ReasonUserInfo, false, true},
		{"a sub that is no string", body(`{"sub":["a-1"]}`), upstreams.ReasonUserInfo, false, true},
		{"sub in another case", body(`{"SUB":"a-1"}`), upstreams.ReasonUserInfo, false, true},
		{"sub with a space", body(`{"sub":"a-1 "}`), upstreams.ReasonUserInfo, false, true},
	} {
		run := func(set func(*upstreamtest.IdP, upstreamtest.Trouble)) func(*testing.T) {
			return func(t *testing.T) {
				v := newVisit(t, loginOptions(), nil)
				set(v.idp, tc.trouble)
				id, err := v.whole()
				wantRefusal(t, id, err, tc.reason)
				if text := err.Error(); strings.Contains(text, "s3cret") || len(text) > 500 || strings.Count(text, marker) > strings.Count(text, "described as") {
					t.Errorf("the text holds what it must not: %s", text)
				}
			}
		}
		if tc.atToken {
			t.Run("token: "+tc.name, run((*upstreamtest.IdP).Token))
		}
		if tc.atPerson {
			t.Run("userinfo: "+tc.name, run((*upstreamtest.IdP).Userinfo))
		}
	}
}

func TestTokenAnswerIsReadOnlyIfThereIsOneWayToReadIt(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	v.idp.Token(upstreamtest.Trouble{Body: `{"access_token":"x","token_type":"Bearer","id_token":"a.b.c","id_token":"d.e.f"}`})
	id, err := v.whole()
	wantRefusal(t, id, err, upstreams.ReasonNonsense)
	if !strings.Contains(err.Error(), "repeated member") {
		t.Errorf("got %v", err)
	}
}

func TestAccessTokenThatFitsNoHeaderRefused(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	v.idp.AlterIDToken(upstreamtest.Without("at_hash"))
	for _, access := range []string{"x\r\ny: z", "é", "\x00"} {
		v.idp.AlterToken(upstreamtest.With("access_token", access))
		id, err := v.whole()
		wantRefusal(t, id, err, upstreams.ReasonNonsense)
	}
	if n := len(v.idp.Requests("/userinfo")); n != 0 {
		t.Errorf("userinfo was asked %d times", n)
	}
}

func TestTokenTypeIsBearer(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	v.idp.AlterToken(upstreamtest.With("token_type", "bEARER"))
	v.accepted()
	for _, kind := range []any{"mac", "DPoP", "", 5} {
		v.idp.AlterToken(upstreamtest.With("token_type", kind))
		id, err := v.whole()
		wantRefusal(t, id, err, upstreams.ReasonNonsense)
	}
	v.idp.AlterToken(upstreamtest.Without("token_type"))
	id, err := v.whole()
	wantRefusal(t, id, err, upstreams.ReasonNonsense)
}

func TestUpstreamThatGoesDownInALogin(t *testing.T) {
	for name, knob := range map[string]func(*upstreamtest.IdP){
		"500 to everything":         func(p *upstreamtest.IdP) { p.Down(true) },
		"closes connections":        func(p *upstreamtest.IdP) { p.Refuse(true) },
		"redirects to another host": func(p *upstreamtest.IdP) { p.Redirect("https://evil.example/token") },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisit(t, loginOptions(), nil)
			response := v.answered(attempt())
			knob(v.idp)
			id, err := v.up.Finish(t.Context(), attempt(), response)
			reason := upstreams.ReasonUnavailable
			if strings.HasPrefix(name, "redirects") {
				reason = upstreams.ReasonNonsense
			}
			wantRefusal(t, id, err, reason)
		})
	}
}

func TestP4_UserinfoHasNoSayInAssurance(t *testing.T) {
	o := loginOptions()
	o.People[0].ACR, o.People[0].AMR = "", nil
	v := newVisit(t, o, func(s *upstreams.Spec) {
		s.ACRMap, s.AMRMap = map[string]string{"gold": "aal2"}, map[string]string{"hwk": "mfa"}
	})
	v.idp.AlterIDToken(upstreamtest.Without("auth_time", "acr", "amr", "sid"))
	v.idp.AlterUserinfo(func(claims map[string]any) {
		for name, value := range map[string]any{"acr": "gold", "amr": []string{"hwk"}, "auth_time": v.clock.Now().Unix(), "sid": "s", "ACR ": "gold", "act": "x"} {
			claims[name] = value
		}
	})
	id := v.accepted()
	if id.ACR != "" || id.AMR != nil || !id.AuthTime.IsZero() || id.SessionID != "" {
		t.Errorf("got %+v", id)
	}
	for _, name := range []string{"acr", "amr", "auth_time", "sid", "ACR ", "act"} {
		if value, has := id.Claims[name]; has {
			t.Errorf("%q came from userinfo: %v", name, value)
		}
	}
}

func TestAccessTokenIsTheIDTokens(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} { // three hashes
		t.Run(alg, func(t *testing.T) {
			o := loginOptions()
			o.Algorithms = []string{alg}
			v := newVisit(t, o, nil)
			v.accepted()
			v.idp.AlterToken(upstreamtest.With("access_token", "another"))
			id, err := v.whole()
			wantRefusal(t, id, err, upstreams.ReasonClaim)
			v.idp.AlterToken(nil)
			v.idp.AlterIDToken(upstreamtest.With("at_hash", 5))
			id, err = v.whole()
			wantRefusal(t, id, err, upstreams.ReasonClaim)
			v.idp.AlterIDToken(upstreamtest.Without("at_hash")) // OPTIONAL in the code flow
			v.accepted()
		})
	}
}

func TestSessionIDIsPrintableAndShort(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	for _, sid := range []any{5, "", "a\nb", "é", strings.Repeat("s", 256)} {
		v.idp.AlterIDToken(upstreamtest.With("sid", sid))
		if id := v.accepted(); id.SessionID != "" {
			t.Errorf("%v: got %q", sid, id.SessionID)
		}
	}
	v.idp.AlterIDToken(upstreamtest.With("sid", strings.Repeat("s", 255)))
	if id := v.accepted(); len(id.SessionID) != 255 {
		t.Errorf("got %q", id.SessionID)
	}
}

func TestSubOfUserinfoIsTheIDTokensWhateverTheSubjectIs(t *testing.T) {
	o := loginOptions()
	o.People[0].Claims["oid"] = "o-9"
	v := newVisit(t, o, func(s *upstreams.Spec) { s.Subject = upstreams.Claims{"oid"} })
	if id := v.accepted(); id.Subject != "o-9" {
		t.Errorf("got %+v", id)
	}
	v.idp.AlterUserinfo(upstreamtest.With("sub", "o-9"))
	id, err := v.whole()
	wantRefusal(t, id, err, upstreams.ReasonUserInfo)
	v.idp.AlterUserinfo(nil)
	v.idp.AlterIDToken(upstreamtest.Without("sub"))
	id, err = v.whole()
	wantRefusal(t, id, err, upstreams.ReasonSubject)
}

func TestUserinfoIsAskedWhereThereIsOne(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	v.idp.AlterDiscovery(upstreamtest.Without("userinfo_endpoint"))
	if id := v.accepted(); id.Claims["phone_number"] != nil || len(v.idp.Requests("/userinfo")) != 0 {
		t.Errorf("got %v", id.Claims)
	}
}

func TestJWKSURIByHandLeavesDiscoveryToLogins(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, loginOptions())
	s := loginSpec("acme", idp)
	s.JWKSURI = idp.JWKSURI()
	idp.MoveJWKS("file:///etc/passwd") // of no interest then
	visitAt(t, newBench(t, c, s), idp).accepted()
}

func TestRepeatedParametersOfAResponseRefusedByForm(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	response := v.answered(attempt())
	response["other"] = []string{"a", "b"}
	id, err := v.up.Finish(t.Context(), attempt(), response)
	wantRefusal(t, id, err, upstreams.ReasonResponse)
	id, err = v.up.Finish(t.Context(), attempt(), url.Values{})
	wantRefusal(t, id, err, upstreams.ReasonResponse)
	id, err = v.up.Finish(t.Context(), attempt(), nil)
	wantRefusal(t, id, err, upstreams.ReasonResponse)
}
