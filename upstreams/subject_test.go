package upstreams_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fedbroker/upstreams"
	"fedbroker/upstreams/subject"
	"fedbroker/upstreams/upstreamtest"
)

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestP2_SubHasTheWrittenForm(t *testing.T) {
	const iss = "https://idp.example"
	long := strings.Repeat("x", 255-len("acme|"))
	for _, tc := range []struct {
		name, subject string
		many          bool
		want          string
	}{
		{"plain", "248289761001", false, "acme|248289761001"},
		{"spaces, bars and hashes are copied", "a b|c#d~", false, "acme|a b|c#d~"},
		{"many issuers", "user", true, "acme|" + hash(iss)[:22] + "|user"},
		{"whole of 255", long, false, "acme|" + long},
		{"whole of 256", long + "x", false, "acme#" + hash(iss+"\x00"+long+"x")},
		{"many issuers, whole of 256", long, true, "acme#" + hash(iss+"\x00"+long)},
		{"control character", "a\nb", false, "acme#" + hash(iss+"\x00a\nb")},
		{"0x7F", "a\x7f", false, "acme#" + hash(iss+"\x00a\x7f")},
		{"not ASCII", "zoë", false, "acme#" + hash(iss+"\x00zoë")},
		{"empty", "", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := subject.Broker("acme", iss, tc.subject, tc.many); got != tc.want {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

// identityOf draws identities that lie close together: few names, and subjects and issuers that look like each other's forms.
func identityOf(t *rapid.T, label string) (name, issuer, subject string, many bool) {
	names := []string{"a", "a-b", "b", "many", "many-2"}
	name = rapid.SampledFrom(names).Draw(t, label+" name")
	many = strings.HasPrefix(name, "many")
	issuer = "https://" + name + ".example" // P1 pins the one issuer of a name
	if many {
		issuer = rapid.SampledFrom([]string{"https://x.example", "https://y.example", "https://x.example/"}).Draw(t, label+" issuer")
	}
	subject = rapid.OneOf(
		rapid.StringMatching(`[ab|#\x00 é]{1,4}`),
		rapid.Just(hash("https://x.example")[:22]+"|a"),
		rapid.Just(hash(issuer+"\x00a\n")),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 240, 260, -1),
		rapid.String().Filter(func(s string) bool { return s != "" }),
	).Draw(t, label+" subject")
	return name, issuer, subject, many
}

func TestP2_DistinctIdentitiesNeverShareASub(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n1, i1, s1, m1 := identityOf(t, "first")
		n2, i2, s2, m2 := identityOf(t, "second")
		one, two := subject.Broker(n1, i1, s1, m1), subject.Broker(n2, i2, s2, m2)
		if same := n1 == n2 && i1 == i2 && s1 == s2; (one == two) != same {
			t.Fatalf("(%q, %q, %q) → %q and (%q, %q, %q) → %q", n1, i1, s1, one, n2, i2, s2, two)
		}
		for _, sub := range []string{one, two} {
			if len(sub) > 255 {
				t.Fatalf("sub of %d characters", len(sub))
			}
		}
	})
}

func TestP2_SubjectIsReadByteForByte(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	seen := map[string]string{}
	for _, sub := range []string{"Alice", "alice", " alice", "alice ", "zoe\u0308", "zoë", "a\u200bb", "ab"} {
		id := b.accepts("acme", idp.Sign(idp.Claims(sub, audience)), exchange)
		if id.Subject != sub {
			t.Errorf("want %q, got %q", sub, id.Subject)
		}
		if other, ok := seen[id.BrokerSubject]; ok {
			t.Errorf("%q and %q share %q", sub, other, id.BrokerSubject)
		}
		seen[id.BrokerSubject] = sub
	}
}

func TestP2_EmptyOrOtherThanStringRefused(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	for name, sub := range map[string]any{"absent": nil, "empty": "", "number": 5, "list": []string{"a"}, "object": map[string]any{}, "true": true} {
		t.Run(name, func(t *testing.T) {
			(&bench{t, c, b.set}).refuses("acme", idp.Sign(with(idp.Claims("x", audience), "sub", sub)), exchange, upstreams.ReasonSubject)
		})
	}
	t.Run("null", func(t *testing.T) {
		claims := idp.Claims("x", audience)
		claims["sub"] = (*string)(nil)
		(&bench{t, c, b.set}).refuses("acme", idp.Sign(claims), exchange, upstreams.ReasonSubject)
	})
}

func TestP2_ConfiguredClaimsMakeTheSubject(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	entra, number := jwtSpec("entra", idp), jwtSpec("number", idp)
	entra.Subject = upstreams.Claims{"tid", "oid"}
	number.Subject, number.Audiences[0].Value = upstreams.Claims{"id"}, "other"
	b := newBench(t, c, entra, number)
	for _, tc := range []struct {
		name, upstream, aud string
		claims              []any
		want                string // empty: refused
	}{
		{"joined", "entra", audience, []any{"tid", "t1", "oid", "o1"}, "t1/o1"},
		{"sub is not read", "entra", audience, []any{"tid", "t1", "oid", "o1", "sub", nil}, "t1/o1"},
		{"a part is missing", "entra", audience, []any{"tid", "t1"}, ""},
		{"a part is empty", "entra", audience, []any{"tid", "", "oid", "o1"}, ""},
		{"separator in the last part", "entra", audience, []any{"tid", "a", "oid", "b/c"}, "a/b/c"},
		{"separator in the first part", "entra", audience, []any{"tid", "a/b", "oid", "c"}, ""},
		{"integer id", "number", "other", []any{"id", 9007199254740993}, "9007199254740993"},
		{"fraction", "number", "other", []any{"id", 1.5}, ""},
		{"integer beyond 64 bits", "number", "other", []any{"id", 1e30}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bench{t, c, b.set}
			raw := idp.Sign(with(idp.Claims("x", tc.aud), tc.claims...))
			if tc.want == "" {
				b.refuses(tc.upstream, raw, exchange, upstreams.ReasonSubject)
				return
			}
			if id := b.accepts(tc.upstream, raw, exchange); id.Subject != tc.want || id.BrokerSubject != tc.upstream+"|"+tc.want {
				t.Errorf("want %q, got %q as %q", tc.want, id.Subject, id.BrokerSubject)
			}
		})
	}
}

func TestP2_ChangeableClaimIsNoSubject(t *testing.T) {
	for _, claim := range []string{"email", "name", "preferred_username", "upn"} {
		found := problems(upstreams.Options{Specs: []upstreams.Spec{{Name: "a", Kind: "jwt", Issuer: "https://a.example",
			Audiences: []upstreams.Audience{{Value: "x"}}, Subject: upstreams.Claims{"tid", claim}}}})
		if found["upstreams[0].subject[1]"] == "" || len(found) != 1 {
			t.Errorf("%s: %v", claim, found)
		}
	}
}
