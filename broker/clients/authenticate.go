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
	TokenID string // of the assertion that it authenticated by; "" if by another method
}

// Requester is the client as a grant sees it.
func (a Authenticated) Requester() oauth.Requester {
	return oauth.Requester{
		ClientID: a.ID, Identifiers: a.Identifiers, Audiences: a.Audiences, Scopes: a.Scopes, FullUpstream: a.FullUpstream,
		Public: a.Public, CredentialTokenID: a.TokenID,
	}
}

// method checks what was presented. client is the one that is named, or one that nothing fits.
type method func(ctx context.Context, r *Registry, client *Client, c oauth.Credentials, now time.Time) (tokenID string, err error)

// methods are all that a client can be registered with.
var methods = map[string]method{
	oauth.AuthNone:          none,
	oauth.AuthSecretBasic:   secret,
	oauth.AuthSecretPost:    secret,
	oauth.AuthPrivateKeyJWT: privateKeyJWT,
}

// Authenticate holds a client to exactly the method that it is registered with (P37). A client that does not exist, or has another
// method, goes the same way as one whose credential is wrong.
//
// The error is an *oauth.Error: invalid_client, or temporarily_unavailable where the client's keys can't be had or its assertion
// can't be marked as spent.
func (r *Registry) Authenticate(ctx context.Context, c oauth.Credentials, now time.Time) (Authenticated, error) {
	check, ok := methods[c.Method]
	if !ok {
		return Authenticated{}, refuse(errors.New("no client authentication that is known"))
	}
	id := c.ClientID
	if c.Method == oauth.AuthPrivateKeyJWT && id == "" { // RFC 7521 section 4.2: client_id is optional beside an assertion
		id = unverifiedClientID(c.Assertion)
	}
	client, known := r.clients[id]
	if !known || !slices.Contains(client.methods, c.Method) {
		_, _ = check(ctx, r, r.nobody, c, now)
		return Authenticated{}, refuse(errors.New("no client of this id and method"))
	}
	tokenID, err := check(ctx, r, client, c, now)
	if err != nil {
		return Authenticated{}, err
	}
	return Authenticated{Client: client, TokenID: tokenID}, nil
}

func refuse(cause error) *oauth.Error {
	return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonClientCredentials).Because(cause)
}
