package oauth2

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/rp"
)

// Claims of OpenID Connect Core §5.1 that are judged here.
const (
	claimEmail         = "email"
	claimEmailVerified = "email_verified"
	claimUpdatedAt     = "updated_at"
)

// standard is what counts of a userinfo answer: without what only tokens say (P4, P7), without nulls, which say nothing, and with the provider's own words for
// standard claims beside them. updated_at is a number of seconds in OpenID Connect (Core §5.1); what else is called so is left out.
func (c *Client) standard(info jose.Claims) map[string]any {
	claims := rp.Merge(map[string]any{}, info.Clone())
	for name, v := range claims {
		if v == nil {
			delete(claims, name)
		}
	}
	if _, err := info.Time(claimUpdatedAt); err != nil {
		delete(claims, claimUpdatedAt)
	}
	for ours, theirs := range c.o.Standard {
		if _, taken := claims[ours]; taken {
			continue
		}
		if text, _ := claims[theirs].(string); text != "" {
			claims[ours] = text
		}
	}
	return claims
}

// address is the person's primary address if the provider has verified it, else "": of the others nobody knows which is meant.
func (c *Client) address(ctx context.Context, access string) (string, error) {
	body, err := c.party.Resource(ctx, "emails_endpoint", c.o.Endpoints.Emails, access)
	if err != nil {
		return "", err
	}
	list, err := parseList(body)
	if err != nil {
		return "", nonsense("e-mail addresses: %w", err)
	}
	found := ""
	for _, one := range list {
		entry, ok := one.(map[string]any)
		if !ok {
			return "", nonsense("e-mail addresses: want a list of objects")
		}
		if entry["primary"] != true {
			continue
		}
		text, _ := entry["email"].(string)
		if text == "" || found != "" {
			return "", nonsense("e-mail addresses: want one primary address at most")
		}
		if found = text; entry["verified"] != true {
			found = ""
		}
	}
	return found, nil
}

// parseList reads a JSON list as strictly as claims are read: as the only member of an object.
func parseList(data []byte) ([]any, error) {
	const name = "list"
	claims, err := jose.ParseClaims(slices.Concat([]byte(`{"`+name+`":`), data, []byte("}")))
	if err != nil {
		return nil, err
	}
	list, ok := claims.Value(name).([]any)
	if !ok || len(claims.Map()) != 1 {
		return nil, errors.New("not a JSON list")
	}
	return list, nil
}

func nonsense(format string, args ...any) *rp.Error {
	return &rp.Error{Kind: rp.KindNonsense, Err: fmt.Errorf(format, args...)}
}
