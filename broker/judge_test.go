package broker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/token"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
)

// nothing opens and revokes nothing.
type nothing struct{}

func (nothing) Check(revoke.Facts, time.Time) error { return nil }

func (n nothing) OpenID(t jose.Unverified, now time.Time) (token.Own, error) {
	return n.OpenAccess(t, now)
}

func (nothing) OpenAccess(jose.Unverified, time.Time) (token.Own, error) {
	return token.Own{}, oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonSignature)
}

// judge judges by a configuration; it returns the upstreams whose keys were asked for.
func judge(t *testing.T, c broker.Config) (*broker.Judge, *[]string) {
	t.Helper()
	var asked []string
	j, err := broker.NewJudge(broker.JudgeOptions{Config: c, Own: nothing{}, Revoked: nothing{}, Keys: func(s upstreams.Spec) keys.Source {
		return func(context.Context) (keys.Fetched, error) {
			asked = append(asked, s.Name)
			return keys.Fetched{}, errors.New("out of order")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j, &asked
}

func TestNewJudge_RefusesWhatCheckRefuses(t *testing.T) {
	c := config()
	c.Leeway = ptr(time.Hour)
	_, err := broker.NewJudge(broker.JudgeOptions{Config: c, Own: nothing{}, Revoked: nothing{}})
	if bad, ok := errors.AsType[*broker.ConfigError](err); !ok || len(bad.Problems) != 1 || !strings.HasPrefix(bad.Problems[0], "leeway: ") {
		t.Errorf("want the leeway refused, got %v", err)
	}
}

// Secrets prove clients and us to each other; a Judge proves nobody.
func TestNewJudge_NeedsNoSecrets(t *testing.T) {
	c := config()
	c.Clients[0].SecretSHA256 = ""
	c.Upstreams[0].Kind, c.Upstreams[0].ClientID = "oidc", "fedbroker"
	if bad, _ := check(c); !slices.Equal(bad, []string{"clients[0].secret_sha256", "upstreams[0].client_secret"}) {
		t.Fatalf("want both secrets missed, got %v", bad)
	}
	judge(t, c)
}

// Whoever asks is held to what the pipeline holds clients to, in its order.
func TestJudge_Requesters(t *testing.T) {
	c := config()
	c.Clients = append(c.Clients, clients.Spec{ID: "no-exchange", SecretSHA256: hashOf(secret), GrantTypes: []string{"client_credentials"}, Audiences: []string{"orders"}})
	closed, asked := judge(t, c)
	c.Exchange = append(c.Exchange, rules.Spec{
		ID: "anyone", Subject: &rules.SubjectSpec{Upstream: "other"}, Requester: &rules.RequesterSpec{Anonymous: true}, Grant: &rules.GrantSpec{Audiences: []string{"deploy"}},
	})
	open, _ := judge(t, c)
	for _, tt := range []struct {
		judge  *broker.Judge
		client string
		want   oauth.Reason
	}{
		{closed, "stranger", oauth.ReasonClientCredentials},
		{closed, "no-exchange", oauth.ReasonGrantNotAllowed},
		{closed, "gateway", oauth.ReasonParameter}, // the form is empty
		{closed, "", oauth.ReasonClientCredentials},
		{open, "", oauth.ReasonParameter},
	} {
		_, _, err := tt.judge.Exchange(t.Context(), tt.client, oauth.Form{}, time.Now())
		if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Reason != tt.want {
			t.Errorf("%q: want %s, got %v", tt.client, tt.want, err)
		}
	}
	if len(*asked) > 0 {
		t.Errorf("keys of %v were asked for before there was a token", *asked)
	}
}
