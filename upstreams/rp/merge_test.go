package rp_test

import (
	"maps"
	"reflect"
	"testing"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/rp"
)

func TestMerge(t *testing.T) {
	type claims = map[string]any
	for _, tc := range []struct {
		name           string
		idToken, infos claims
		want           claims
	}{
		{"what only userinfo says is added", claims{"sub": "a"}, claims{"sub": "a", "name": "A"}, claims{"sub": "a", "name": "A"}},
		{"the signed one counts", claims{"name": "A"}, claims{"name": "B"}, claims{"name": "A"}},
		{"even if it is empty", claims{"name": nil}, claims{"name": "B"}, claims{"name": nil}},
		{"P4: nothing of the protocol", claims{}, claims{"acr": "x", "amr": "y", "auth_time": 1, "aud": "z", "sid": "s", "cnf": "k", "act": "b"}, claims{}},
		{"however it is written", claims{}, claims{"ACR": "x", " amr": "y", "_claim_sources": "z"}, claims{}},
		{"an address with its word", claims{}, claims{"email": "a@x", "email_verified": true}, claims{"email": "a@x", "email_verified": true}},
		{"a word for the same address", claims{"email": "a@x"}, claims{"email": "a@x", "email_verified": true}, claims{"email": "a@x", "email_verified": true}},
		{"a word for another address", claims{"email": "a@x"}, claims{"email": "b@x", "email_verified": true}, claims{"email": "a@x"}},
		{"a word for no address", claims{"email": "a@x"}, claims{"email_verified": true}, claims{"email": "a@x"}},
		{"a word for an address in another case", claims{"email": "a@x"}, claims{"email": "A@x", "email_verified": true}, claims{"email": "a@x"}},
		{"a word for what is no address", claims{"email": []any{"a@x"}}, claims{"email": "a@x", "email_verified": true}, claims{"email": []any{"a@x"}}},
		{"a signed word without an address is for none", claims{"email_verified": true}, claims{"email": "a@x"}, claims{"email_verified": true}},
		{"nor for one that userinfo calls unverified", claims{"email_verified": true}, claims{"email": "a@x", "email_verified": false}, claims{"email_verified": true}},
		{"both say the same word", claims{"email_verified": true}, claims{"email": "a@x", "email_verified": true}, claims{"email_verified": true, "email": "a@x"}},
		{"a number with its word", claims{"phone_number": "+1"}, claims{"phone_number": "+2", "phone_number_verified": true}, claims{"phone_number": "+1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := maps.Clone(tc.idToken)
			if got := rp.Merge(tc.idToken, tc.infos); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("want %v, got %v", tc.want, got)
			}
			if !reflect.DeepEqual(tc.idToken, before) {
				t.Error("the caller's claims were changed")
			}
		})
	}
}

// mergeSeeds are pairs of claims that must be read: a seed that is not exercises nothing.
func mergeSeeds() [][2]string {
	return [][2]string{
		{`{"sub":"a","email":"a@x"}`, `{"sub":"a","email":"b@x","email_verified":true}`},
		{`{"sub":"a","email_verified":true}`, `{"sub":"a","email":"b@x"}`},
		{`{"sub":"a","acr":"gold"}`, `{"sub":"b","acr":"platinum","amr":["x"],"Auth_Time":1}`},
		{`{}`, `{"phone_number":"+1","phone_number_verified":true,"groups":["a"]}`},
	}
}

func TestMergeSeedsAreRead(t *testing.T) {
	if len(mergeSeeds()) == 0 {
		t.Fatal("no seeds")
	}
	for _, seed := range mergeSeeds() {
		for _, text := range seed {
			if _, err := jose.ParseClaims([]byte(text)); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

func FuzzMerge(f *testing.F) {
	for _, seed := range mergeSeeds() {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, signed, told string) {
		idToken, err := jose.ParseClaims([]byte(signed))
		if err != nil {
			return
		}
		info, err := jose.ParseClaims([]byte(told))
		if err != nil {
			return
		}
		got := rp.Merge(idToken.Map(), info.Map())
		for name, value := range idToken.Map() {
			if !reflect.DeepEqual(got[name], value) {
				t.Errorf("%q is not the signed one", name)
			}
		}
		for _, name := range []string{"sub", "acr", "amr", "auth_time", "aud", "cnf", "sid", "iss"} {
			if _, has := got[name]; has && !idToken.Has(name) {
				t.Errorf("%s came from userinfo", name)
			}
		}
		for word, of := range map[string]string{"email_verified": "email", "phone_number_verified": "phone_number"} {
			if got[word] == nil || got[of] == nil {
				continue
			}
			whole := func(c jose.Claims) bool {
				return reflect.DeepEqual(c.Value(word), got[word]) && reflect.DeepEqual(c.Value(of), got[of])
			}
			if !whole(idToken) && !whole(info) { // one of the two must have said both
				t.Errorf("%s of one and %s of the other: %s, %s", word, of, signed, told)
			}
		}
	})
}
