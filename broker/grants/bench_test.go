package grants

import (
	"context"
	"testing"

	"fedbroker/broker/oauth"
)

// All of an exchange but verifying, signing and the journal.
func BenchmarkExchange(b *testing.B) {
	t := &testing.T{}
	for name, w := range map[string]*world{"external": external(t), "own": ours(t)} {
		b.Run(name, func(b *testing.B) {
			grant := w.table()[oauth.GrantTokenExchange]
			form := oauth.Form{oauth.ParamSubjectToken: {w.token()}}
			for k, v := range w.form {
				form[k] = v
			}
			b.ReportAllocs()
			for b.Loop() {
				w.verified, w.checked = nil, nil
				if _, err := grant.Authorize(context.Background(), &oauth.TokenRequest{Form: form, Requester: w.requester, Now: noon}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
