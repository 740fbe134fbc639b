package jose_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/upstreams/jose"
)

// fuzzTokens must all be accepted: a seed that is refused at the door exercises nothing.
func fuzzTokens() []string {
	return []string{
		es256(goodPayload),
		es256(githubPayload),
		es256(`{}`),
		es256(logoutEvents),
		es256(`{"aud":["a","b"],"x":[1,-2.5e3,null,true,{"y":"\u00e9\ud83d\ude00"}],"\u0069ss":"i"}`),
		es256(`{"n":[18446744073709551616,1e400,0.1,-0]}`),
		compact(`{"typ":"at+jwt","alg":"RS256"}`, goodPayload, "RS256", testKeys().rsa),
		compact(`{"alg":"EdDSA","x5u":"https://x.example"}`, goodPayload, "EdDSA", testKeys().ed),
		parts(`{"alg":"none"}`, `{"cnf":{},"act":{},"may_act":1,"nonce":"n","htm":"x","events":[]}`),
	}
}

func TestFuzzSeedsAreAccepted(t *testing.T) {
	if len(fuzzTokens()) == 0 {
		t.Fatal("no seeds")
	}
	for i, raw := range fuzzTokens() {
		if _, err := jose.Parse(raw); err != nil {
			t.Errorf("seed %d: %v", i, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, raw := range fuzzTokens() {
		f.Add(raw)
	}
	f.Add(strings.Repeat(".", 100))
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := jose.Parse(raw)
		if err != nil {
			return
		}
		checkCanonical(t, raw)
		checkAgainstGoJOSE(t, u, raw)
		if _, err := u.Verify(nil, jose.DefaultAlgorithms()); err == nil {
			t.Fatal("verified without keys")
		}
	})
}

// FuzzPayload starts at the JSON, where mutations are not lost in base64, and looks at the claims, too.
func FuzzPayload(f *testing.F) {
	keys := []jose.Key{must(jose.NewKey("k1", "", testKeys().ed.Public()))}
	for _, raw := range fuzzTokens() {
		f.Add(string(must(base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1]))))
	}
	f.Fuzz(func(t *testing.T, payload string) {
		raw := compact(`{"alg":"EdDSA","kid":"k1"}`, payload, "EdDSA", testKeys().ed)
		u, err := jose.Parse(raw)
		if err != nil {
			return
		}
		checkAgainstGoJOSE(t, u, raw)
		v, err := u.Verify(keys, jose.DefaultAlgorithms())
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Claims(nil)
		if err != nil {
			t.Fatal(err)
		}
		checkClaims(t, c, payload)
	})
}

// checkCanonical holds that a token has one spelling: encoding again what it decodes to gives the same text.
func checkCanonical(t *testing.T, raw string) {
	t.Helper()
	for _, part := range strings.Split(raw, ".") {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || b64(data) != part {
			t.Fatalf("accepted a second spelling: %q, %v", part, err)
		}
	}
}

// checkAgainstGoJOSE holds that we accept nothing that go-jose would not read, and read the same payload. Members of the header that
// go-jose takes for keys and certificates are left out: it judges them, we ignore them.
func checkAgainstGoJOSE(t *testing.T, u jose.Unverified, raw string) {
	t.Helper()
	algs := []gojose.SignatureAlgorithm{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	var header map[string]json.RawMessage
	parts := strings.Split(raw, ".")
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[0])), &header); err != nil {
		t.Fatalf("accepted a header that encoding/json does not read: %v", err)
	}
	for name, value := range header {
		if name == "jwk" || name == "x5c" || (name == "nonce" || name == "jku" || name == "x5u") && value[0] != '"' {
			return
		}
	}
	known := false
	for _, a := range algs {
		known = known || u.Alg() == string(a)
	}
	if !known || parts[2] == "" {
		return
	}
	theirs, err := gojose.ParseSignedCompact(raw, algs)
	if err != nil {
		t.Fatalf("accepted what go-jose refuses: %v", err)
	}
	ours := must(base64.RawURLEncoding.DecodeString(parts[1]))
	if !bytes.Equal(theirs.UnsafePayloadWithoutVerification(), ours) {
		t.Fatal("another payload than go-jose's")
	}
	if theirs.Signatures[0].Header.KeyID != u.KeyID() || theirs.Signatures[0].Header.Algorithm != u.Alg() {
		t.Fatal("another header than go-jose's")
	}
}

// checkClaims holds the claims to what encoding/json reads, which differs only where we are stricter. Both are written out and read
// back, so that 1e2 and 100 are one number.
func checkClaims(t *testing.T, c jose.Claims, payload string) {
	t.Helper()
	plain := func(v any) any {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var out any
		dec := json.NewDecoder(bytes.NewReader(text))
		if err := dec.Decode(&out); err != nil {
			return "out of range"
		}
		return out
	}
	var theirs any
	dec := json.NewDecoder(strings.NewReader(payload))
	dec.UseNumber()
	if err := dec.Decode(&theirs); err != nil {
		t.Fatalf("accepted what encoding/json refuses: %v", err)
	}
	if ours := plain(c.Map()); !reflect.DeepEqual(ours, plain(theirs)) {
		t.Fatalf("got %v of %s", ours, payload)
	}
	for name := range c.Map() {
		_, _ = c.Time(name)
		_, _ = c.StringList(name)
		if !c.Has(name) {
			t.Fatalf("no %q", name)
		}
	}
}

func FuzzKeySet(f *testing.F) {
	s := testKeys()
	for _, public := range []any{s.rsa.Public(), s.p256.Public(), s.ed.Public()} {
		seed := set(string(must(must(jose.NewKey("k1", "", public)).AppendJWK(nil))))
		if keys, _, err := jose.ParseKeySet(seed); err != nil || len(keys) != 1 {
			f.Fatalf("seed %T: %v", public, err)
		}
		f.Add(string(seed))
	}
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"},null,7]}`)
	f.Fuzz(func(t *testing.T, data string) {
		keys, _, err := jose.ParseKeySet([]byte(data))
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys and %v", len(keys), err)
		}
		for _, k := range keys {
			raw, err := k.AppendJWK(nil)
			if err != nil {
				t.Fatal(err)
			}
			again, _, err := jose.ParseKeySet(set(string(raw)))
			if err != nil || len(again) != 1 || again[0].ID != k.ID {
				t.Fatalf("%s does not come back: %v", raw, err)
			}
		}
	})
}
