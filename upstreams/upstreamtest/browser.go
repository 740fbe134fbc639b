package upstreamtest

import (
	"net/http"
	"net/url"

	"fedbroker/upstreams/upstreamtest/page"
)

// As is how a person answers the login form.
type As struct {
	Login, Password string
	Cancel          bool // rather than logging in
}

// Authenticate is AuthenticateAs with the person's own password.
func (p *IdP) Authenticate(client *http.Client, authorizationURL, login string) (callbackURL string, form url.Values, err error) {
	who, _ := p.person(login)
	return p.AuthenticateAs(client, authorizationURL, As{Login: login, Password: who.Password})
}

// AuthenticateAs opens authorizationURL, which is this IdP's, with the client's cookies, and fills in the login form if there is one:
// a jar with a session of the IdP makes it answer for that session's person at once. It returns where the browser is sent, without
// following: the callback with its parameters, or for form_post the form's action and its fields. A page that sends nobody anywhere is
// an error.
func (p *IdP) AuthenticateAs(client *http.Client, authorizationURL string, who As) (callbackURL string, form url.Values, err error) {
	browser := *client
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := browser.Get(authorizationURL)
	if err != nil {
		return "", nil, err
	}
	callbackURL, form, err = page.SentTo(resp)
	if err != nil || callbackURL != p.url+p.o.Path+loginPath {
		return callbackURL, form, err
	}
	form.Set(fieldLogin, who.Login)
	form.Set(fieldPassword, who.Password)
	if who.Cancel {
		form.Set(fieldAction, actionCancel)
	}
	if resp, err = browser.PostForm(callbackURL, form); err != nil {
		return "", nil, err
	}
	return page.SentTo(resp)
}
