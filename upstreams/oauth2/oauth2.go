// Package oauth2 learns who somebody is from a provider that is plain OAuth 2.0 (RFC 6749, with PKCE, RFC 7636) and no OpenID provider: people log in there, the code is
// redeemed for an access token, and the provider's API says whose that is. Nothing of it is signed: the provider's word is as good as the TLS
// connection that it comes by, and the access token, which is not for us, is used for that question alone and forgotten.
package oauth2

import (
	"context"
	"net/url"
	"slices"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/presets"
	"fedbroker/upstreams/rp"
)

// Options of New.
type Options struct {
	Client    rp.Options        // required; its Plain is set
	Endpoints presets.Endpoints // required but for Emails
	Standard  map[string]string // claim of OpenID Connect Core §5.1 → what the provider calls it
}

// Client is this broker at one provider. It is immutable and safe for concurrent use.
type Client struct {
	o     Options
	party *rp.Client
	doc   rp.Document
}

// New makes a client. It does no I/O.
func New(o Options) *Client {
	o.Client.Plain = true
	return &Client{o: o, party: rp.New(o.Client), doc: rp.Document{
		AuthorizationEndpoint: o.Endpoints.Authorization, TokenEndpoint: o.Endpoints.Token, UserInfoEndpoint: o.Endpoints.UserInfo,
	}}
}

// promptLogin wants the person to authenticate again (OpenID Connect Core §3.1.2.1): some providers know it, none knows max_age.
const promptLogin = "login"

// AuthorizationURL is where the person's browser goes (RFC 6749 §4.1.1, RFC 7636 §4.3). An attempt that bounds the age of the authentication asks for a new one.
// Every error is an *rp.Error.
func (c *Client) AuthorizationURL(a rp.Attempt) (string, error) {
	if a.MaxAge != nil && !slices.Contains(a.Prompt, promptLogin) {
		a.Prompt = append(slices.Clone(a.Prompt), promptLogin)
	}
	return c.party.AuthorizationURL(c.doc, a)
}

// Person is what the provider says of somebody.
type Person struct {
	UserInfo jose.Claims    // as it came
	Claims   map[string]any // what counts of it, in the words of OpenID Connect Core §5.1 where it has any
}

// Person takes the parameters of the authorization response to who the person is. Every error is an *rp.Error.
func (c *Client) Person(ctx context.Context, a rp.Attempt, response url.Values) (Person, error) {
	answer, err := c.party.Response(a, response)
	if err != nil {
		return Person{}, err
	}
	code, err := answer.Code(c.doc)
	if err != nil {
		return Person{}, err
	}
	access, err := c.party.Access(ctx, c.doc, a, code)
	if err != nil {
		return Person{}, err
	}
	body, err := c.party.Resource(ctx, "userinfo_endpoint", c.o.Endpoints.UserInfo, access)
	if err != nil {
		return Person{}, err
	}
	info, err := jose.ParseClaims(body)
	if err != nil {
		return Person{}, nonsense("userinfo: %w", err)
	}
	p := Person{UserInfo: info, Claims: c.standard(info)}
	if c.o.Endpoints.Emails == "" {
		return p, nil
	}
	delete(p.Claims, claimEmail) // whatever it says: the list knows better
	delete(p.Claims, claimEmailVerified)
	address, err := c.address(ctx, access)
	if err != nil {
		return Person{}, err
	}
	if address != "" {
		p.Claims[claimEmail], p.Claims[claimEmailVerified] = address, true
	}
	return p, nil
}
