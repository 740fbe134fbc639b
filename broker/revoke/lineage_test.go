package revoke_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/broker/revoke"
)

func names(max int) *rapid.Generator[[]string] {
	return rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f|g", `h"\`, "i\tj"}), 0, max)
}

func lineages() *rapid.Generator[revoke.Lineage] {
	return rapid.Custom(func(t *rapid.T) revoke.Lineage {
		pick := func(label string) []string { return names(4).Draw(t, label) }
		l, err := revoke.Union(revoke.Lineage{
			Tokens: pick("tok"), Rules: pick("rul"), Clients: pick("cli"), Kids: pick("kid"),
			Sessions: pick("ses"), Families: pick("fam"), Subjects: pick("sub"), Upstreams: pick("ups"),
		})
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.Int64Range(0, 3) // 0: none
		l.Since, l.Own = at.Draw(t, "since"), at.Draw(t, "own")
		return l
	})
}

func union(t *rapid.T, all ...revoke.Lineage) revoke.Lineage {
	l, err := revoke.Union(all...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func same(t *rapid.T, what string, a, b revoke.Lineage) {
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("%s: %+v and %+v", what, a, b)
	}
}

func TestUnionIsThatOfSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := lineages().Draw(t, "a"), lineages().Draw(t, "b"), lineages().Draw(t, "c")
		before := fmt.Sprintf("%#v", b)
		same(t, "commutes", union(t, a, b), union(t, b, a))
		same(t, "associates", union(t, union(t, a, b), c), union(t, a, union(t, b, c)))
		same(t, "idempotent", union(t, a, a), a)
		same(t, "neutral", union(t, a, revoke.Lineage{}), a)
		sum := union(t, a, b)
		for _, of := range []revoke.Lineage{a, b} {
			for _, id := range of.Subjects {
				if !slices.Contains(sum.Subjects, id) {
					t.Fatalf("subject %q is lost", id)
				}
			}
			for _, id := range of.Tokens {
				if !slices.Contains(sum.Tokens, id) {
					t.Fatalf("token %q is lost", id)
				}
			}
		}
		if len(sum.Rules) > len(a.Rules)+len(b.Rules) || !slices.IsSorted(sum.Rules) {
			t.Fatalf("rules %q are no sorted set of both", sum.Rules)
		}
		if fmt.Sprintf("%#v", b) != before {
			t.Fatal("an input was written to")
		}
	})
}

func TestLineageGoesThroughTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := revoke.Facts{TokenID: "a", ClientID: "b", Subject: "c", Upstream: "d", Kid: "e", Lineage: lineages().Draw(t, "l")}
		wire, err := f.AppendLineage([]byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		var claim any
		if err := json.Unmarshal(wire[1:], &claim); err != nil {
			t.Fatalf("%s: %v", wire, err)
		}
		members := claim.(map[string]any)
		for name, v := range members { // as jose reads numbers
			if n, ok := v.(float64); ok {
				members[name] = int64(n)
			}
		}
		back, err := revoke.ParseLineage(claim)
		if err != nil {
			t.Fatal(err)
		}
		sent, errSent := f.Ancestry(start)
		f.Lineage = back
		got, errGot := f.Ancestry(start)
		if errSent != nil || errGot != nil {
			t.Fatal(errSent, errGot)
		}
		same(t, "who opens the token knows all that it descends from", got, sent)
	})
}

func TestLineageWireForm(t *testing.T) {
	for _, test := range []struct {
		name string
		f    revoke.Facts
		want string
	}{
		{"nothing", revoke.Facts{TokenID: "j"}, `{}`},
		{"what other claims say is left out", revoke.Facts{TokenID: "j", ClientID: "c", Kid: "k", Subject: "s", Upstream: "u",
			Lineage: revoke.Lineage{Tokens: []string{"p"}, Rules: []string{"r"}, Clients: []string{"c"}, Kids: []string{"k"}, Subjects: []string{"s"}, Upstreams: []string{"u"}}},
			`{"tok":["p"],"rul":["r"],"cli":["c"]}`},
		{"a rule of a client's name stays", revoke.Facts{ClientID: "x", Lineage: revoke.Lineage{Rules: []string{"x"}, Sessions: []string{"x"}, Families: []string{"x"}}},
			`{"rul":["x"],"ses":["x"],"fam":["x"]}`},
		{"when the chain began", revoke.Facts{Lineage: revoke.Lineage{Tokens: []string{"p"}, Since: 5, Own: 7}}, `{"tok":["p"],"iat":5,"own":7}`},
		{"all of it", token,
			`{"tok":["parent-1"],"rul":["rule-1"],"cli":["front"],"kid":["key-0"],"ses":["session-1"],"fam":["family-1"],"sub":["acme|actor"],"ups":["other"]}`},
	} {
		got, err := test.f.AppendLineage(nil)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s %v, want %s", test.name, got, err, test.want)
		}
	}
	if _, err := (revoke.Facts{Lineage: revoke.Lineage{Rules: []string{"\xff"}}}).AppendLineage(nil); err == nil {
		t.Error("an id that is not UTF-8 was changed on its way")
	}
}

func TestP26_MoreThan16AncestorsAreRefused(t *testing.T) {
	var parents []string
	for i := range revoke.MaxAncestors {
		parents = append(parents, fmt.Sprint("p", i))
	}
	full := revoke.Lineage{Tokens: parents}
	if l, err := revoke.Union(full, revoke.Lineage{Tokens: parents[:1]}); err != nil || len(l.Tokens) != revoke.MaxAncestors {
		t.Errorf("16: %d tokens, %v", len(l.Tokens), err)
	}
	if l, err := revoke.Union(full, revoke.Lineage{Tokens: []string{"q"}}); !errors.Is(err, revoke.ErrTooManyAncestors) || !l.IsZero() {
		t.Errorf("17: %+v, %v", l, err)
	}
	if _, err := (revoke.Facts{TokenID: "q", Lineage: full}).Ancestry(start); !errors.Is(err, revoke.ErrTooManyAncestors) {
		t.Errorf("a child of a token with 16: %v", err)
	}
	var claim []any
	for i := range revoke.MaxAncestors + 1 {
		claim = append(claim, fmt.Sprint("p", i))
	}
	if _, err := revoke.ParseLineage(map[string]any{"tok": claim}); !errors.Is(err, revoke.ErrTooManyAncestors) {
		t.Errorf("a claim with 17: %v", err)
	}
}

func TestParseLineageRefuses(t *testing.T) {
	for name, claim := range map[string]any{
		"a string": "x", "a list": []any{}, "a member that is not known": map[string]any{"tok": []any{"a"}, "planet": []any{"b"}},
		"a member that is no list": map[string]any{"rul": "a"}, "a number": map[string]any{"rul": []any{int64(1)}}, "an empty id": map[string]any{"rul": []any{""}},
	} {
		if l, err := revoke.ParseLineage(claim); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if l, err := revoke.ParseLineage(nil); err != nil || !l.IsZero() {
		t.Errorf("absent: %+v, %v", l, err)
	}
}

func TestP26_AncestryKnowsWhenTheChainBegan(t *testing.T) {
	external := revoke.Facts{TokenID: "e", Subject: "acme|alice", Upstream: "acme"}
	first, err := external.Ancestry(start)
	must(t, err)
	if first.Since != start.Unix() || first.Own != 0 {
		t.Errorf("after an external token: since %d, own %d; want %d and none", first.Since, first.Own, start.Unix())
	}
	ours := revoke.Facts{TokenID: "j", Kid: "k", Lineage: first}
	second, err := ours.Ancestry(start.Add(time.Minute))
	must(t, err)
	if second.Since != start.Unix() || second.Own != start.Add(time.Minute).Unix() {
		t.Errorf("after one of ours: since %d, own %d; want %d and a minute later", second.Since, second.Own, start.Unix())
	}
	later, err := revoke.Facts{TokenID: "l", Kid: "k", Lineage: second}.Ancestry(start.Add(time.Hour))
	must(t, err)
	if later.Since != second.Since || later.Own != second.Own {
		t.Errorf("the chain began anew: %+v", later)
	}
}

// A revocation of a time is held against the ancestor that bears the name. What the token itself adds, its client and its rule, counts
// from the first token of ours: an external token that is older than the revocation of a rule may be exchanged by that rule again.
func TestP26_DescendantOfARevokedAncestorIsDead(t *testing.T) {
	young := start.Add(time.Minute)
	for _, test := range []struct {
		name       string
		kind       revoke.Kind
		id         string
		since, own time.Time
		want       error
	}{
		{"subject, external ancestor older", revoke.KindSubject, "acme|alice", start, time.Time{}, revoke.ErrRevoked},
		{"upstream, external ancestor older", revoke.KindUpstream, "acme", start, time.Time{}, revoke.ErrRevoked},
		{"subject of an actor, ancestor older", revoke.KindSubject, "acme|actor", start, start, revoke.ErrRevoked},
		{"rule, own ancestor older", revoke.KindRule, "rule-1", start, start, revoke.ErrRevoked},
		{"client, own ancestor older", revoke.KindClient, "front", start, start, revoke.ErrRevoked},
		{"rule, only the external ancestor older", revoke.KindRule, "rule-1", start, time.Time{}, nil},
		{"client of the token itself, younger", revoke.KindClient, "gateway", start, start, nil},
		{"subject, whole chain younger", revoke.KindSubject, "acme|alice", young, young, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			s := open(t, revoke.Options{Engine: memory(t, c.Now), Now: c.Now})
			must(t, s.Revoke(t.Context(), test.kind, test.id, start, start.Add(time.Hour)))
			f := token
			f.Lineage.Since = test.since.Unix()
			if !test.own.IsZero() {
				f.Lineage.Own = test.own.Unix()
			}
			want(t, "a descendant", s.Check(f, young), test.want)
		})
	}
}
