package broker_test

import (
	"strings"
	"testing"

	"fedbroker/broker"
	"fedbroker/broker/oauth"
)

// revokeRequest is a revocation by a client of the test.
func revokeRequest(client, token string) *oauth.TokenRequest {
	return byPost(client, "", "token", token)
}

// A refresh token is revoked with everything that came of the same grant (RFC 7009 section 2.1).
func TestP38_RefreshTokenIsRevokedWithItsFamily(t *testing.T) {
	o := loginOptions(t)
	b := open(t, o)
	code, g := signIn(t, o)
	first, err := b.Token(t.Context(), byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback))
	if err != nil {
		t.Fatal(err)
	}
	journal := o.Journal.(*lines)
	journal.taken()
	err = b.Revoke(t.Context(), revokeRequest("gateway", first.RefreshToken))
	wantRefusal(t, err, oauth.CodeInvalidRequest, oauth.ReasonGrantNotAllowed)
	if active := introspected(t, b, first.AccessToken); !strings.Contains(active, `"active":true`) {
		t.Fatalf("another client's try did something: %s", active)
	}
	if err := b.Revoke(t.Context(), revokeRequest("wiki", first.RefreshToken)); err != nil {
		t.Fatal(err)
	}
	if active := introspected(t, b, first.AccessToken); active != `{"active":false}` {
		t.Errorf("its access token lives: %s", active)
	}
	if _, err := b.Token(t.Context(), byPost("wiki", oauth.GrantRefreshToken, "refresh_token", first.RefreshToken)); oauth.AsError(err).Code != oauth.CodeInvalidGrant {
		t.Errorf("refreshed: %v", err)
	}
	if told := strings.Join(journal.taken(), "\n"); !strings.Contains(told, `"kind":"revocation","outcome":"done"`) || !strings.Contains(told, g.ID) {
		t.Errorf("journal %s", told)
	}
	for _, unknown := range []string{first.RefreshToken + "x", "nothing", g.ID + ".1.AAAA"} {
		if err := b.Revoke(t.Context(), revokeRequest("wiki", unknown)); err != nil { // RFC 7009 section 2.2
			t.Errorf("unknown: %v", err)
		}
	}
}

// To introspection a refresh token is none: no resource is to see one.
func TestP38_RefreshTokenIntrospectsInactive(t *testing.T) {
	o := loginOptions(t)
	b := open(t, o)
	code, _ := signIn(t, o)
	first, err := b.Token(t.Context(), byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback))
	if err != nil {
		t.Fatal(err)
	}
	if got := introspected(t, b, first.RefreshToken); got != `{"active":false}` {
		t.Error(got)
	}
}

func introspected(t *testing.T, b *broker.Broker, token string) string {
	t.Helper()
	answer, err := b.Introspect(t.Context(), byPost("wiki", "", "token", token))
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
