package clients

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"fedbroker/broker/oauth"
	"fedbroker/broker/release"
	"fedbroker/mappers"
)

// RedirectAllowed tells whether a person may be sent to uri: it is a registered one, byte for byte; for a native client, a registered loopback
// one with any port (P33, RFC 8252 section 7.3).
func (c *Client) RedirectAllowed(uri string) bool {
	if slices.Contains(c.Spec.RedirectURIs, uri) {
		return true
	}
	if !c.Spec.Native {
		return false
	}
	asked, ok := loopbackWithoutPort(uri)
	return ok && slices.ContainsFunc(c.Spec.RedirectURIs, func(registered string) bool {
		known, ok := loopbackWithoutPort(registered)
		return ok && known == asked
	})
}

// loopbackWithoutPort takes the port out of an http URI on 127.0.0.1 or [::1]; localhost is none, it is a name (RFC 8252 section 8.3). What a
// browser would read in two ways is none, either.
func loopbackWithoutPort(uri string) (string, bool) {
	if !printable(uri) || strings.ContainsAny(uri, `\#@`) {
		return "", false
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	host := u.Hostname()
	if host != "127.0.0.1" && host != "::1" {
		return "", false
	}
	rest, ok := strings.CutPrefix(uri, "http://"+u.Host)
	if _, _, err := net.SplitHostPort(u.Host); err != nil && u.Port() != "" {
		return "", false
	}
	return "http://" + host + rest, ok
}

// PostLogoutAllowed tells whether a person may be sent to uri after signing out: a registered one, byte for byte.
func (c *Client) PostLogoutAllowed(uri string) bool {
	return uri != "" && slices.Contains(c.Spec.PostLogoutRedirectURIs, uri)
}

// HasOrigin tells whether pages of an origin may call us for the client.
func (c *Client) HasOrigin(origin string) bool { return slices.Contains(c.Spec.Origins, origin) }

// PKCEOptional tells whether the client may ask for a code without a challenge (P32).
func (c *Client) PKCEOptional() bool { return c.Spec.PKCE == pkceOptional && !c.Public }

// Rotates tells whether the client's refresh tokens are used once (P36). Those of a public client are, unless its proof bound them.
func (c *Client) Rotates() bool {
	return c.Spec.Profile != profileFAPI2 && (c.Public || !c.Spec.DPoPBoundAccessTokens)
}

// Keeps tells whether the client may have refresh tokens that outlive the session (offline), or ones that end with it (P36).
func (c *Client) Keeps(offline bool) bool {
	if !c.MayUse(oauth.GrantRefreshToken) {
		return false
	}
	if offline {
		return slices.Contains(c.Scopes, oauth.ScopeOfflineAccess)
	}
	return c.Spec.SessionRefresh
}

// Admits tells whether people of an upstream may log in at the client.
func (c *Client) Admits(upstream string) bool {
	return c.Upstreams == nil || slices.Contains(c.Upstreams, upstream)
}

// IDTokenAlg signs the client's ID tokens (P34).
func (c *Client) IDTokenAlg() string {
	if c.Spec.IDTokenAlg != "" {
		return c.Spec.IDTokenAlg
	}
	return defaultIDTokenAlg
}

const defaultIDTokenAlg = "ES256"

// idTokenScopes are the scopes whose claims an ID token has where the client names none (P8).
var idTokenScopes = [...]string{oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeGroups}

// IDTokenClaims are the claims of the released ones that the client's ID tokens have. of gives a scope's claims.
func (c *Client) IDTokenClaims(of func(scope string) []string) []string {
	if c.Spec.IDTokenClaims != nil {
		return c.Spec.IDTokenClaims
	}
	var names []string
	for _, scope := range idTokenScopes {
		names = append(names, of(scope)...)
	}
	return names
}

// Told are the claims of a person that the client may be told: its own mappers have the last word, then the scopes (P8). An error is the mappers'.
func (c *Client) Told(principal map[string]any, scopes []string, released *release.Scopes) (map[string]any, error) {
	claims := mappers.Claims(principal)
	if c.Chain != nil {
		result, err := c.Chain.Run(claims, nil)
		if err != nil {
			return nil, err
		}
		claims = result.Principal
	}
	return released.Of(claims, scopes), nil
}

// HasOrigin tells whether any client has registered the origin.
func (r *Registry) HasOrigin(origin string) bool {
	return slices.ContainsFunc(r.order, func(c *Client) bool { return c.HasOrigin(origin) })
}

// compileMappers makes the chain that a principal goes through on its way to the client; what is wrong with it was reported.
func compileMappers(s *Spec) *mappers.Chain {
	if len(s.Mappers) == 0 {
		return nil
	}
	return mappers.Compile(mappers.Options{Client: true, Specs: s.Mappers}, func(string, string, ...any) {})
}
