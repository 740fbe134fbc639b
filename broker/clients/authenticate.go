package clients

import (
	"context"
	"errors"
	"slices"
	"time"

	"fedbroker/broker/oauth"
)

// Authenticated is a client that proved who it is; a public one, that names itself.
type Authenticated struct {
	*Client
	TokenID  string // of the assertion that it authenticated by; "" if by another method
	Workload oauth.Workload
}

// Requester is the client as a grant sees it.
func (a Authenticated) Requester() oauth.Requester {
	return oauth.Requester{
		ClientID: a.ID, Identifiers: a.Identifiers, Audiences: a.Audiences, Scopes: a.Scopes, FullUpstream: a.FullUpstream,
		Public: a.Public, CredentialTokenID: a.TokenID, Workload: a.Workload,
	}
}

// method checks what was presented, and says who that is. named is the client that the request names, or one that nothing fits.
type method func(ctx context.Context, r *Registry, named *Client, c oauth.Credentials, now time.Time) (Authenticated, error)

// methods are all that a client can be registered with.
var methods = map[string]method{
	oauth.AuthNone:          none,
	oauth.AuthSecretBasic:   secret,
	oauth.AuthSecretPost:    secret,
	oauth.AuthPrivateKeyJWT: assertion,
}

// Authenticate holds a client to exactly the method that it is registered with (P37). A client that does not exist, or has another
// method, goes the same way as one whose credential is wrong.
//
// The error is an *oauth.Error: invalid_client, or temporarily_unavailable where the client's keys can't be had, the
// revocations are stale, or its assertion can't be marked as spent.
func (r *Registry) Authenticate(ctx context.Context, c oauth.Credentials, now time.Time) (Authenticated, error) {
	check, ok := methods[c.Method]
	if !ok {
		return Authenticated{}, refuse(errors.New("no client authentication that is known"))
	}
	got, err := check(ctx, r, r.named(c.ClientID, c.Method), c, now)
	switch {
	case err != nil:
		return Authenticated{}, err
	case got.Client == nil || got.Client == r.nobody:
		return Authenticated{}, refuse(errors.New("no client of this id and method"))
	}
	return got, nil
}

// named is the client of an id and a method, or nobody.
func (r *Registry) named(id, method string) *Client {
	if c, known := r.clients[id]; known && slices.Contains(c.methods, method) {
		return c
	}
	return r.nobody
}

func refuse(cause error) *oauth.Error {
	return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonClientCredentials).Because(cause)
}
