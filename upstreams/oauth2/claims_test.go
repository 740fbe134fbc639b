package oauth2_test

import (
	"maps"
	"testing"

	"fedbroker/upstreams/oauth2"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/upstreamtest/oauthidp"
)

func TestP4_UserinfoAssertsNoAssurance(t *testing.T) {
	p := newProvider(t, func(o *oauth2.Options) { o.Endpoints.Emails = "" })
	p.Says(oauthidp.UserPath, `{"id": 1, "acr": "gold", "amr": ["hwk"], "auth_time": 1700000000, "iss": "https://evil.example", "sub": "admin", "aud": "x",
		"exp": 1, "act": {"sub": "x"}, "cnf": {"jkt": "x"}, "sid": "s", "Upstream": "acme", " azp": "x", "_claim_sources": {}, "team": "blue"}`)
	person, err := p.person()
	if want := map[string]any{"id": int64(1), "team": "blue"}; err != nil || !maps.Equal(person.Claims, want) {
		t.Errorf("got %v, %v", person.Claims, err)
	}
}

func TestP5_AddressesCountAsTheListSays(t *testing.T) {
	for name, tt := range map[string]struct {
		list string
		want any // the address; nil: none
	}{
		"the primary verified one":           {oauthidp.Emails, "octocat@acme.example"},
		"primary, not verified":              {`[{"email": "a@acme.example", "primary": true, "verified": false}, {"email": "b@acme.example", "primary": false, "verified": true}]`, nil},
		"verified, not primary":              {`[{"email": "a@acme.example", "primary": false, "verified": true}]`, nil},
		"verified is a text":                 {`[{"email": "a@acme.example", "primary": true, "verified": "true"}]`, nil},
		"primary is a number":                {`[{"email": "a@acme.example", "primary": 1, "verified": true}]`, nil},
		"primary and verified of two":        {`[{"email": "a@acme.example", "primary": true}, {"email": "b@acme.example", "verified": true}]`, nil},
		"none":                               {`[]`, nil},
		"white space around the list is one": {" [ ] \n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Says(oauthidp.UserPath, `{"id": 1, "email": "profile@acme.example", "email_verified": true}`)
			p.Says(oauthidp.EmailsPath, tt.list)
			person, err := p.person()
			if err != nil {
				t.Fatal(err)
			}
			verified, said := person.Claims["email_verified"]
			if person.Claims["email"] != tt.want || said != (tt.want != nil) || said && verified != true {
				t.Errorf("got %v", person.Claims)
			}
		})
	}
}

func TestAddressesThatAreNoneRefused(t *testing.T) {
	for name, list := range map[string]string{
		"two primary ones":      `[{"email": "a@acme.example", "primary": true, "verified": true}, {"email": "b@acme.example", "primary": true, "verified": true}]`,
		"no address":            `[{"primary": true, "verified": true}]`,
		"an address, a number":  `[{"email": 5, "primary": true, "verified": true}]`,
		"texts":                 `["a@acme.example"]`,
		"what ends the wrapper": `[], "more": 1`,
		"two values":            `[] []`,
		"a closed object":       `[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Says(oauthidp.EmailsPath, list)
			p.refused(rp.KindNonsense)
		})
	}
}

func TestUserinfoAddressCountsWhereThereIsNoList(t *testing.T) {
	p := newProvider(t, func(o *oauth2.Options) { o.Endpoints.Emails = "" })
	p.Says(oauthidp.UserPath, `{"id": 1, "email": "a@acme.example", "email_verified": false, "updated_at": 1700000000}`)
	person, err := p.person()
	want := map[string]any{"id": int64(1), "email": "a@acme.example", "email_verified": false, "updated_at": int64(1700000000)}
	if err != nil || !maps.Equal(person.Claims, want) {
		t.Errorf("got %v, %v", person.Claims, err)
	}
	if asked := p.Requests(oauthidp.EmailsPath); len(asked) > 0 {
		t.Errorf("addresses were asked for: %v", asked)
	}
}

func TestStandardNamesAreAddedWhereTheyAreFree(t *testing.T) {
	p := newProvider(t, func(o *oauth2.Options) { o.Endpoints.Emails = "" })
	p.Says(oauthidp.UserPath, `{"id": 1, "login": "octocat", "name": null, "preferred_username": "theirs", "avatar_url": 5, "html_url": ""}`)
	person, err := p.person()
	want := map[string]any{"id": int64(1), "login": "octocat", "name": "octocat", "preferred_username": "theirs", "avatar_url": int64(5), "html_url": ""}
	if err != nil || !maps.Equal(person.Claims, want) {
		t.Errorf("want %v\ngot  %v, %v", want, person.Claims, err)
	}
}
