package login_test

import (
	"strings"
	"testing"

	"fedbroker/broker/dpop"
	"fedbroker/broker/login"
)

// RFC 9449 §10: the code is bound to the key of dpop_jkt, by way of an identity provider as well as by single sign-on.
func TestRFC9449_DPoPJKTStaysWithTheCode(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	key := dpop.TokenHash("key")
	bind := func(r *login.Request) { r.DPoPKey = key }
	for name, a := range map[string]login.Answer{"by an identity provider": b.signIn("ada", bind), "by single sign-on": b.authorize(bind)} {
		h.want(a, "code")
		p, err := h.sessions.Code(t.Context(), param(a.Reply, "code"))
		if err != nil || p.Grant.DPoPKey != key {
			t.Errorf("%s: bound to %q, %v", name, p.Grant.DPoPKey, err)
		}
	}
	a := b.authorize()
	if p, err := h.sessions.Code(t.Context(), param(a.Reply, "code")); err != nil || p.Grant.DPoPKey != "" {
		t.Errorf("without: bound to %q, %v", p.Grant.DPoPKey, err)
	}
}

// RFC 9449 §10: dpop_jkt is a thumbprint.
func TestRFC9449_DPoPJKTThatIsNoThumbprint(t *testing.T) {
	h := newHouse(t)
	for _, key := range []string{"x", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("+", 43), strings.Repeat("A", 42) + "B"} {
		h.want(h.browser().authorize(func(r *login.Request) { r.DPoPKey = key }), "error invalid_request")
	}
}
