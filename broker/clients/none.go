package clients

import (
	"context"
	"errors"
	"time"

	"fedbroker/broker/oauth"
)

// none is how a public client names itself (RFC 6749 section 3.2.1): it proves nothing, and what it may do is bounded by that.
func none(_ context.Context, _ *Registry, client *Client, _ oauth.Credentials, _ time.Time) (Authenticated, error) {
	if !client.Public {
		return Authenticated{}, refuse(errors.New("not a public client"))
	}
	return Authenticated{Client: client}, nil
}
