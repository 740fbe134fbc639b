package saml

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/beevik/etree"

	"fedbroker/upstreams/verify"
)

// Assertion is an assertion that somebody brings, as a subject or actor token (RFC 8693 §3): parsed, not verified.
type Assertion struct {
	root    *etree.Element
	content *content
}

// Parse reads a base64url-encoded assertion (RFC 7522 §2.1, without padding or line breaks). It needs neither key nor clock.
func Parse(raw string) (Assertion, error) {
	data, err := decode(base64.RawURLEncoding, raw)
	if err != nil {
		return Assertion{}, err
	}
	root, err := parse(data)
	if err != nil {
		return Assertion{}, err
	}
	c, err := read(root)
	if err != nil {
		return Assertion{}, err
	}
	if _, err := shape(root); err != nil {
		return Assertion{}, err
	}
	return Assertion{root, c}, nil
}

// Encoded says whether a token is XML in base64url, whatever it says: of that nothing but an assertion is ever made.
func Encoded(raw string) bool {
	begins, err := base64.RawURLEncoding.DecodeString(raw[:min(len(raw), 4)])
	return err == nil && len(begins) > 0 && begins[0] == '<'
}

// UnverifiedIssuer is Issuer; it only selects who verifies the assertion (P10).
func (a Assertion) UnverifiedIssuer() string { return a.content.issuer }

// UnverifiedAudience is whom the assertion says to be for.
func (a Assertion) UnverifiedAudience() []string { return a.content.audience }

// UnverifiedID names the assertion among its issuer's.
func (a Assertion) UnverifiedID() string { return a.content.id }

// Expect is what Verify refuses for reasons that need no key, and when the assertion says to expire. That it passes says nothing of it.
func (p Provider) Expect(a Assertion, want verify.Want) (unverifiedExpires time.Time, err error) {
	id, err := p.judge(a.root, p.at(want))
	return id.Expires, err
}

// Verify proves that an assertion is the upstream's and may be exchanged (RFC 7522 §3): for one of the audiences for exchange, brought to our token endpoint.
// Every error is a *verify.Error that wraps ErrInvalid or ErrUnavailable.
func (p Provider) Verify(ctx context.Context, a Assertion, want verify.Want) (verify.Identity, error) {
	return p.prove(ctx, a.root, p.at(want))
}

func (p Provider) at(want verify.Want) verify.Want {
	if want.Now.IsZero() {
		want.Now = p.Now()
	}
	return want
}

// exchanged finds the audience that admits an assertion for exchange. One that is also for our entity id is a login, and so not for exchange (P11).
func (j *judgement) exchanged() error {
	if len(j.Audiences) == 0 {
		return j.refused(verify.ReasonPurpose, "no audiences for exchange")
	}
	for _, a := range j.audience {
		if a == j.LoginAudience {
			return j.refused(verify.ReasonAudience, "Audience has our entity id")
		}
	}
	for _, configured := range j.Audiences {
		for _, a := range j.audience {
			if a == configured.Value && configured.Admits(j.want.Requester) {
				j.identity.Audience, j.identity.Audiences = a, j.audience
				return nil
			}
		}
	}
	return j.refused(verify.ReasonAudience, "Audience has none for exchange that is open to the requester")
}

// brought wants an exchanged assertion to be meant for our token endpoint. One that its issuer lets be used once is not taken: nothing here would see to
// that where the rule does not say single_use.
func (j *judgement) brought() error {
	if j.confirmed.recipient != j.TokenEndpoint {
		return j.refused(verify.ReasonAudience, "Recipient is not the token endpoint")
	}
	if j.once {
		return j.Refuse(verify.ReasonClaim, errors.New("OneTimeUse"))
	}
	return nil
}
