package dpop

import (
	"strings"
	"testing"
	"time"

	"fedbroker/broker/oauth"
)

// Each statement of RFC 9449 on what a proof is and how it is checked, by section: what must hold of the one good proof is changed alone.
func TestRFC9449_Proofs(t *testing.T) {
	const bad = oauth.CodeInvalidDPoPProof
	p, other := newProver(t), newProver(t)
	private := p.jwk()
	private["d"] = b64([]byte(strings.Repeat("d", 32)))
	good := func() []string { return []string{p.proof(nil, nil)} }
	of := func(header, claims members) []string { return []string{p.proof(header, claims)} }
	for _, c := range []struct {
		section, name string
		headers       []string
		change        func(*Want)
		code          oauth.Code
	}{
		{"§4.1", "one proof", good(), nil, ""},
		{"§4.3 (1)", "two headers", append(good(), good()...), nil, bad},
		{"§4.3 (1)", "two proofs in one header", []string{good()[0] + ", " + good()[0]}, nil, bad},
		{"§4.3 (2)", "empty header", []string{""}, nil, bad},
		{"§4.3 (2)", "no JWT", []string{"x"}, nil, bad},
		{"§4.3 (2)", "a fourth part", []string{good()[0] + ".x"}, nil, bad},
		{"§4.3 (2)", "padded base64url", []string{strings.Replace(good()[0], ".", "=.", 1)}, nil, bad},
		{"§4.3 (2)", "too long", of(nil, members{"x": strings.Repeat("x", maxProof)}), nil, bad},
		{"§4.3 (2)", "a claim twice", []string{p.sign(text(t, members{"typ": typ, "alg": "ES256", "jwk": p.jwk()}), `{"jti":"a","jti":"b"}`)}, nil, bad},
		{"§4.3 (3)", "no jti", of(nil, members{"jti": nil}), nil, bad},
		{"§4.3 (3)", "jti is no string", of(nil, members{"jti": 1}), nil, bad},
		{"§4.3 (3)", "empty jti", of(nil, members{"jti": ""}), nil, bad},
		{"§4.3 (3)", "the longest jti", of(nil, members{"jti": strings.Repeat("j", maxJTI)}), nil, ""},
		{"§4.3 (3)", "a longer jti", of(nil, members{"jti": strings.Repeat("j", maxJTI+1)}), nil, bad},
		{"§4.3 (3)", "no htm", of(nil, members{"htm": nil}), nil, bad},
		{"§4.3 (3)", "no htu", of(nil, members{"htu": nil}), nil, bad},
		{"§4.3 (3)", "no iat", of(nil, members{"iat": nil}), nil, bad},
		{"§4.3 (3)", "iat is a string", of(nil, members{"iat": "now"}), nil, bad},
		{"§4.3 (3)", "ath is no string", of(nil, members{"ath": 1}), nil, bad},
		{"§4.3 (3)", "ath is no hash", of(nil, members{"ath": "x"}), nil, bad},
		{"§4.3 (3)", "nonce is no string", of(nil, members{"nonce": 1}), nil, bad},
		{"§4.3 (3)", "empty nonce", of(nil, members{"nonce": ""}), nil, bad},
		{"§4.2", "other members are ignored", of(members{"x": 1}, members{"x": 1}), nil, ""},
		{"§4.3 (4)", "no typ", of(members{"typ": nil}, nil), nil, bad},
		{"§4.3 (4)", "typ JWT", of(members{"typ": "JWT"}, nil), nil, bad},
		{"§4.3 (4)", "typ at+jwt", of(members{"typ": "at+jwt"}, nil), nil, bad},
		{"§4.3 (4)", "the media type in full (RFC 7515 §4.1.9)", of(members{"typ": "application/DPoP+jwt"}, nil), nil, ""},
		{"§4.3 (5)", "none", of(members{"alg": "none"}, nil), nil, bad},
		{"§4.3 (5)", "symmetric", of(members{"alg": "HS256"}, nil), nil, bad},
		{"§4.3 (5)", "no alg", of(members{"alg": nil}, nil), nil, bad},
		{"§4.3 (5)", "an algorithm of another key type", of(members{"alg": "RS256"}, nil), nil, bad},
		{"§4.3 (5)", "an algorithm of another curve", of(members{"alg": "ES384"}, nil), nil, bad},
		{"§4.3 (6)", "signed by another key", of(members{"jwk": other.jwk()}, nil), nil, bad},
		{"§4.3 (6)", "no jwk", of(members{"jwk": nil}, nil), nil, bad},
		{"§4.3 (6)", "no jwk, but a kid", of(members{"jwk": nil, "kid": "k"}, nil), nil, bad},
		{"§4.3 (6)", "jwk is no object", of(members{"jwk": "k"}, nil), nil, bad},
		{"§4.3 (6)", "jwk is a list", of(members{"jwk": []any{p.jwk()}}, nil), nil, bad},
		{"§4.3 (6)", "a kid beside jwk says nothing", of(members{"kid": "k"}, nil), nil, ""},
		{"§4.3 (6)", "not for signatures", of(members{"jwk": changed(p.jwk(), members{"use": "enc"})}, nil), nil, bad},
		{"§4.3 (6)", "a key for another algorithm", of(members{"jwk": changed(p.jwk(), members{"alg": "ES384"})}, nil), nil, bad},
		{"§4.3 (6)", "a point off its curve", of(members{"jwk": changed(p.jwk(), members{"x": b64(make([]byte, 32))})}, nil), nil, bad},
		{"§4.3 (7)", "a private key", of(members{"jwk": private}, nil), nil, bad},
		{"§4.3 (7)", "a symmetric key", of(members{"alg": "HS256", "jwk": members{"kty": "oct", "k": "a2V5"}}, nil), nil, bad},
		{"§4.2", "crit that nobody understands (RFC 7515 §4.1.11)", of(members{"crit": []string{"x"}, "x": 1}, nil), nil, bad},
		{"§4.3 (8)", "another method", of(nil, members{"htm": "GET"}), nil, bad},
		{"§4.3 (8)", "a method in another case", of(nil, members{"htm": "post"}), nil, bad},
		{"§4.3 (9)", "another path", of(nil, members{"htu": "https://login.example.com/userinfo"}), nil, bad},
		{"§4.3 (9)", "another host", of(nil, members{"htu": "https://evil.example.com/token"}), nil, bad},
		{"§4.3 (9)", "another scheme", of(nil, members{"htu": "http://login.example.com/token"}), nil, bad},
		{"§4.3 (9)", "another port", of(nil, members{"htu": "https://login.example.com:8443/token"}), nil, bad},
		{"§4.3 (9)", "another normal form", of(nil, members{"htu": "HTTPS://LOGIN.example.com:443/./%74oken"}), nil, ""},
		{"§4.3 (9)", "query and fragment are ignored", of(nil, members{"htu": endpoint + "?a=b#c"}), nil, ""},
		{"§4.3 (9)", "the request's own query is, too", good(), func(w *Want) { w.URL += "?a=b" }, ""},
		{"§4.3 (9)", "no address", of(nil, members{"htu": "/token"}), nil, bad},
		{"§4.3 (10)", "a nonce of somebody else's", of(nil, members{"nonce": "x"}), nil, oauth.CodeUseDPoPNonce},
		{"§4.3 (11)", "as old as may be", of(nil, members{"iat": noon.Add(-maxAge - leeway).Unix()}), nil, ""},
		{"§4.3 (11)", "too old", of(nil, members{"iat": noon.Add(-maxAge - leeway - time.Second).Unix()}), nil, bad},
		{"§4.3 (11)", "as far ahead as may be", of(nil, members{"iat": noon.Add(leeway).Unix()}), nil, ""},
		{"§4.3 (11)", "in the future", of(nil, members{"iat": noon.Add(leeway + time.Second).Unix()}), nil, bad},
		{"§4.3 (11)", "expired (RFC 7519 §4.1.4)", of(nil, members{"exp": noon.Add(-leeway).Unix()}), nil, bad},
		{"§4.3 (11)", "not expired", of(nil, members{"exp": noon.Add(time.Second).Unix()}), nil, ""},
		{"§4.3 (11)", "not yet (RFC 7519 §4.1.5)", of(nil, members{"nbf": noon.Add(leeway + time.Second).Unix()}), nil, bad},
		{"§4.3 (12)", "with the token's hash", of(nil, members{"ath": TokenHash(token)}), withToken, ""},
		{"§4.3 (12)", "without the token's hash", good(), withToken, bad},
		{"§4.3 (12)", "with another token's", of(nil, members{"ath": TokenHash("another")}), withToken, bad},
		{"§4.2", "with a hash where no token came", of(nil, members{"ath": TokenHash(token)}), nil, ""},
	} {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			w := want()
			if c.change != nil {
				c.change(&w)
			}
			got, err := newChecker(t).Check(c.headers, w)
			if code(err) != c.code {
				t.Fatalf("got %v, want %q", err, c.code)
			}
			if proven := got.Key == p.thumbprint(); proven != (c.code == "") {
				t.Errorf("proven %v by %q", proven, got.Key)
			}
		})
	}
}

func withToken(w *Want) { w.Token = token }

func TestP25_NoHeaderIsNoProof(t *testing.T) {
	got, err := newChecker(t).Check(nil, want())
	if err != nil || got != (oauth.Proof{}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A proof for another token than the one that is exchanged must not serve (P25): what it was made for is told.
func TestP25_TheHashOfTheTokenIsTold(t *testing.T) {
	p := newProver(t)
	got, err := newChecker(t).Check([]string{p.proof(nil, members{"ath": TokenHash(token)})}, want())
	if err != nil || got.TokenHash != TokenHash(token) || got.Key != p.thumbprint() {
		t.Errorf("got %v, %v", got, err)
	}
}

// RFC 9449 §8: the answer has a nonce, and a proof with it holds.
func TestRFC9449_NonceThatIsOfferedHolds(t *testing.T) {
	c, p := newChecker(t, func(o *Options) { o.RequireNonce = true }), newProver(t)
	_, err := c.Check([]string{p.proof(nil, nil)}, want())
	if code(err) != oauth.CodeUseDPoPNonce {
		t.Fatal(err)
	}
	nonce := oauth.AsError(err).DPoPNonce
	if nonce == "" || nonce != c.Offer(noon) || nonce != c.Nonce(noon) {
		t.Fatalf("nonce %q, offered %q", nonce, c.Offer(noon))
	}
	if _, err := c.Check([]string{p.proof(nil, members{"nonce": nonce})}, want()); err != nil {
		t.Error(err)
	}
	if strings.ContainsFunc(nonce, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) { // §8.1: NQCHAR
		t.Errorf("nonce %q", nonce)
	}
}

// RFC 9449 §8.2: who was given a nonce has to use it, so a server that demands none gives none along.
func TestRFC9449_NoNonceIsOfferedUnlessDemanded(t *testing.T) {
	if got := newChecker(t).Offer(noon); got != "" {
		t.Errorf("offered %q", got)
	}
}

func TestRFC9449_NoncesAgeByTwoSpans(t *testing.T) {
	p := newProver(t)
	for name, c := range map[string]struct {
		made time.Duration // before noon
		want oauth.Code
	}{
		"of now":              {0, ""},
		"of the span before":  {nonceEvery, ""},
		"of two spans before": {2 * nonceEvery, oauth.CodeUseDPoPNonce},
		"of the future":       {-nonceEvery, oauth.CodeUseDPoPNonce},
	} {
		checker := newChecker(t)
		_, err := checker.Check([]string{p.proof(nil, members{"nonce": checker.Nonce(noon.Add(-c.made))})}, want())
		if code(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Two processes, or one before and after a restart, do not know each other's nonces.
func TestRFC9449_NoncesAreOfOneProcess(t *testing.T) {
	p, elsewhere := newProver(t), newChecker(t, func(o *Options) { o.Key = []byte(strings.Repeat("o", keySize)) })
	_, err := newChecker(t).Check([]string{p.proof(nil, members{"nonce": elsewhere.Nonce(noon)})}, want())
	if code(err) != oauth.CodeUseDPoPNonce {
		t.Error(err)
	}
}

// What was proven before this process began is remembered by nobody: such a proof counts only with a nonce that was made since.
func TestP25_ProofFromBeforeTheProcessNeedsANonce(t *testing.T) {
	p, c := newProver(t), newChecker(t)
	now := begun.Add(leeway)
	w := Want{Method: "POST", URL: endpoint, Now: now}
	for name, tt := range map[string]struct {
		claims members
		want   oauth.Code
	}{
		"made before":                {members{"iat": begun.Add(-time.Second).Unix()}, oauth.CodeUseDPoPNonce},
		"by a clock that is ahead":   {members{"iat": begun.Add(leeway).Unix()}, oauth.CodeUseDPoPNonce},
		"made since, by any clock":   {members{"iat": begun.Add(leeway + time.Second).Unix()}, ""},
		"made before, with a nonce":  {members{"iat": begun.Add(-time.Second).Unix(), "nonce": c.Nonce(now)}, ""},
		"too old, even with a nonce": {members{"iat": now.Add(-maxAge - leeway - time.Second).Unix(), "nonce": c.Nonce(now)}, oauth.CodeInvalidDPoPProof},
	} {
		if _, err := c.Check([]string{p.proof(nil, tt.claims)}, w); code(err) != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
