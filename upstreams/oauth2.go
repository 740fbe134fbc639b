package upstreams

import (
	"context"
	"net/url"

	"fedbroker/upstreams/oauth2"
	"fedbroker/upstreams/presets"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/subject"
)

// oauth2Kind is a provider that is plain OAuth 2.0: people log in there, and its API says who they are. Its tokens are opaque.
var oauth2Kind = spec.Kind{Login: true, Keyless: true, Foreign: spec.OAuth2Foreign(), Check: spec.CheckOAuth2}

// plain is a provider without ID tokens, with logins.
type plain struct {
	*member
	set *Set
}

// holdOAuth2 makes this broker's side of logins at such a provider.
func holdOAuth2(m *member) {
	s := m.spec
	m.oauth2 = oauth2.New(oauth2.Options{
		Client: rp.Options{
			Issuer: s.Issuer, ClientID: s.ClientID, Method: s.AuthMethod, Secret: s.ClientSecret, Scopes: s.Scopes,
			HTTP: m.endpoint(EndpointToken), Resources: m.endpoint(EndpointUserInfo), CredentialHosts: s.CredentialHostList(), Now: m.Now,
		},
		Endpoints: presets.Endpoints{Authorization: s.AuthorizationEndpoint, Token: s.TokenEndpoint, UserInfo: s.UserInfoEndpoint, Emails: s.EmailsEndpoint},
		Standard:  m.preset.Standard,
	})
}

func loginOAuth2(s *Set, m *member) (Login, bool) { return plain{m, s}, m.oauth2 != nil }

// Start implements Login. Nothing that comes back could prove an acr or an age: what is asked of them is judged, and refused, where the identity is.
func (l plain) Start(_ context.Context, a Attempt) (string, error) {
	if err := l.passable(); err != nil {
		return "", l.LoginError(err)
	}
	if err := l.set.ownTokenEndpoint(l.member, l.spec.TokenEndpoint); err != nil {
		return "", l.LoginError(err)
	}
	address, err := l.oauth2.AuthorizationURL(a)
	if err != nil {
		return "", l.LoginError(err)
	}
	return address, nil
}

// Finish implements Login. Its identity has neither acr nor amr nor auth_time, whatever userinfo says (P4).
func (l plain) Finish(ctx context.Context, a Attempt, response url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	if err := l.set.ownTokenEndpoint(l.member, l.spec.TokenEndpoint); err != nil {
		return Identity{}, l.LoginError(err)
	}
	person, err := l.oauth2.Person(ctx, a, response)
	if err != nil {
		return Identity{}, l.LoginError(err)
	}
	id := Identity{Upstream: l.Upstream, Issuer: l.Issuer, Claims: person.Claims}
	if id.Subject, err = subject.Of(person.UserInfo, l.Subject); err != nil {
		return Identity{}, l.Refuse(ReasonSubject, err)
	}
	id.BrokerSubject = subject.Broker(id.Upstream, id.Issuer, id.Subject, false)
	id.Claims["iss"], id.Claims[spec.ClaimSubject] = id.Issuer, id.Subject
	return id, nil
}
