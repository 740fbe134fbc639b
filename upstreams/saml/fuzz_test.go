package saml_test

import (
	"encoding/base64"
	"errors"
	"net/url"
	"testing"

	"github.com/beevik/etree"

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
