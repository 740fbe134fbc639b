package dpop

import (
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/oauth"
)

// algorithms for the library that the checks are held to.
func algorithms() (out []gojose.SignatureAlgorithm) {
	for _, a := range Algorithms() {
		out = append(out, gojose.SignatureAlgorithm(a))
	}
	return out
}

// FuzzCheck: whatever comes is refused by a code of ours, or is a proof that go-jose takes as well, by the key in its header.
func FuzzCheck(f *testing.F) {
	p := newProver(f)
	good := p.proof(nil, nil)
	seeds := []string{good, "", ".", "..", good + "x", strings.ToUpper(good), p.proof(members{"typ": "JWT"}, nil), p.proof(members{"jwk": nil}, nil), p.proof(nil, members{"htu": "https://[::1]:x/%"}), p.sign("{", "}")}
	taken := 0
	for _, s := range seeds {
		if holds(f, s) {
			taken++
		}
		f.Add(s)
	}
	if taken != 1 {
		f.Fatalf("%d seeds are proofs, want the one that is", taken)
	}
	f.Fuzz(func(t *testing.T, raw string) { holds(t, raw) })
}

func holds(t testing.TB, raw string) bool {
	t.Helper()
	got, err := newChecker(t).Check([]string{raw}, want())
	if err != nil {
		switch code(err) {
		case oauth.CodeInvalidDPoPProof, oauth.CodeUseDPoPNonce:
		default:
			t.Fatalf("%v", err)
		}
		return false
	}
	jws, err := gojose.ParseSignedCompact(raw, algorithms())
	if err != nil {
		t.Fatalf("go-jose: %v", err)
	}
	if _, err := jws.Verify(jws.Signatures[0].Header.JSONWebKey); err != nil || !ValidThumbprint(got.Key) {
		t.Fatalf("go-jose: %v; key %q", err, got.Key)
	}
	return true
}

// FuzzNormalURL: a normal form is its own, and keeps the host.
func FuzzNormalURL(f *testing.F) {
	seeds := []string{"https://h/a/../b?c#d", "http://[::1]:80/%7e%2F", "https://h/.././..//.", "https://h/%2e%2e/%25", "x", "https://h/a/./", "http://h:80:80/"}
	taken := 0
	for _, s := range seeds {
		if _, err := normalURL(s); err == nil {
			taken++
		}
		f.Add(s)
	}
	if taken < len(seeds)/2 {
		f.Fatalf("%d seeds are addresses", taken)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := normalURL(text)
		if err != nil {
			return
		}
		twice, err := normalURL(once)
		if err != nil || twice != once {
			t.Fatalf("%q: %q, then %q, %v", text, once, twice, err)
		}
	})
}
