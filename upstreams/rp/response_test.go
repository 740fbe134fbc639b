package rp_test

import (
	"net/url"
	"strings"
	"testing"

	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/rp"
)

const issuer = "https://idp.example"

func attempt() rp.Attempt {
	return rp.Attempt{State: "state", Nonce: "nonce", Verifier: "verifier", RedirectURI: "https://login.example.com/callback/acme"}
}

// responseSeeds must all bring a code: a seed that is refused at the door exercises nothing.
func responseSeeds() []string {
	return []string{
		"code=abc&state=state&iss=https%3A%2F%2Fidp.example",
		"state=state&code=a%20b&iss=https%3A%2F%2Fidp.example&session_state=x",
		"iss=https://idp.example&code=~&state=state&error_description=x",
	}
}

func newClient(t testing.TB) *rp.Client {
	t.Helper()
	http, err := outbound.New(outbound.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return rp.New(rp.Options{Issuer: issuer, ClientID: "c", HTTP: http})
}

// judged is what a response brings; no parameters if the query is none.
func judged(c *rp.Client, query string) (url.Values, string, error) {
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, "", err
	}
	r, err := c.Response(attempt(), params)
	if err != nil {
		return params, "", err
	}
	code, err := r.Code(rp.Document{ResponseIssuer: true})
	return params, code, err
}

func TestResponseSeedsBringACode(t *testing.T) {
	client := newClient(t)
	if len(responseSeeds()) == 0 {
		t.Fatal("no seeds")
	}
	for _, seed := range responseSeeds() {
		if _, code, err := judged(client, seed); err != nil || code == "" {
			t.Errorf("%s: %q, %v", seed, code, err)
		}
	}
}

// FuzzResponse: whatever brings a code is this attempt's, this issuer's, and says each thing once; whatever does not says why in few plain words.
func FuzzResponse(f *testing.F) {
	for _, seed := range responseSeeds() {
		f.Add(seed)
	}
	f.Add("error=access_denied&state=state&iss=https://idp.example&error_description=%00%3Cb%3E")
	client := newClient(f)
	f.Fuzz(func(t *testing.T, query string) {
		params, code, err := judged(client, query)
		if params == nil {
			return
		}
		if err != nil {
			if text := err.Error(); code != "" || len(text) > 500 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("code %q, %q", code, text)
			}
			return
		}
		if code != params.Get("code") || code == "" || params.Get("state") != "state" || params.Get("iss") != issuer || params.Has("error") {
			t.Errorf("accepted %q", query)
		}
		for name, values := range params {
			if len(values) != 1 {
				t.Errorf("%s is repeated", name)
			}
		}
	})
}
