package saml_test

import (
	"encoding/base64"
	"errors"
	"net/url"
	"testing"

	"github.com/beevik/etree"

	"fedbroker/upstreams/saml"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/upstreamtest/samlidp"
	"fedbroker/upstreams/verify"
)

// FuzzResponse: whatever comes, nobody but the person whom the identity provider signed for is signed in, and every refusal is one of ours.
func FuzzResponse(f *testing.F) {
	w := newWorld(f)
	seeds := [][]byte{w.reply(nil), w.reply(func(r *samlidp.Reply) { r.SignResponse = true }), w.reply(func(r *samlidp.Reply) { r.Unsigned = true })}
	for _, wrap := range wrappings {
		seeds = append(seeds, w.reply(func(r *samlidp.Reply) {
			r.SignResponse = true
			r.After = func(response *etree.Element) { wrap(response, response.SelectElement("Assertion").Copy()) }
		}))
	}
	if len(seeds) != 11 || len(seeds[0]) < 1000 {
		f.Fatalf("%d seeds", len(seeds))
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		params := url.Values{"state": {"state-1"}, "SAMLResponse": {base64.StdEncoding.EncodeToString(response)}}
		id, err := w.provider.Finish(t.Context(), w.attempt, params)
		switch _, ours := errors.AsType[*verify.Error](err); {
		case err == nil && id.Subject != "alice-1":
			t.Fatalf("signed in as %q by %q", id.Subject, response)
		case err != nil && !ours:
			t.Fatalf("%v by %q", err, response)
		}
	})
}

// FuzzAssertion: what is brought as a subject token is refused or is what the identity provider signed.
func FuzzAssertion(f *testing.F) {
	w := newWorld(f)
	w.provider.Audiences = []spec.Audience{{Value: "https://gateway.example"}}
	good := w.idp.Good(samlidp.Request{Issuer: "https://gateway.example", ACS: w.provider.TokenEndpoint}, "alice-1")
	seeds := 0
	for _, change := range []func(*samlidp.Reply){func(*samlidp.Reply) {}, func(r *samlidp.Reply) { r.Unsigned = true }, func(r *samlidp.Reply) { r.Recipient = acs }} {
		r := good
		change(&r)
		seed, err := w.idp.Assertion(r)
		if err != nil {
			f.Fatal(err)
		}
		if a, err := saml.Parse(base64.RawURLEncoding.EncodeToString(seed)); err == nil {
			seeds++
			if _, err := w.provider.Verify(f.Context(), a, exchange); (err == nil) != (r.Recipient != acs) {
				f.Fatal(err)
			}
		}
		f.Add(seed)
	}
	if seeds != 2 {
		f.Fatalf("%d seeds are assertions", seeds)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := saml.Parse(base64.RawURLEncoding.EncodeToString(data))
		if err != nil {
			return
		}
		if id, err := w.provider.Verify(t.Context(), a, exchange); err == nil && id.Subject != "alice-1" {
			t.Fatalf("%q by %q", id.Subject, data)
		}
	})
}

var exchange = verify.Want{Purpose: verify.PurposeExchange, Requester: "gateway"}
