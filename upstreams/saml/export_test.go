package saml

import (
	"context"

	"github.com/beevik/etree"

	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/verify"
)

// Prove is prove at a login, of a document that parse has not judged.
func (p Provider) Prove(ctx context.Context, assertion *etree.Element, a rp.Attempt) (verify.Identity, error) {
	return p.prove(ctx, assertion, verify.Want{Purpose: verify.PurposeLogin, Nonce: requestID(a), Now: p.Now()})
}
