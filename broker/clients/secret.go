package clients

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"fedbroker/broker/oauth"
)

// secret checks client_secret_basic and client_secret_post (RFC 6749 section 2.3.1), which differ only in where the request holds
// the secret. It is 256 random bits, so that a plain SHA-256 keeps it; the comparison takes the same time wherever they differ.
func secret(_ context.Context, _ *Registry, client *Client, c oauth.Credentials, _ time.Time) (Authenticated, error) {
	sum := sha256.Sum256([]byte(c.Secret))
	if subtle.ConstantTimeCompare(sum[:], client.secret[:]) != 1 {
		return Authenticated{}, refuse(errors.New("wrong secret"))
	}
	return Authenticated{Client: client}, nil
}
