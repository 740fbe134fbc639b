package upstreamtest

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
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
	callbackURL, form, err = sentTo(resp)
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
	return sentTo(resp)
}

var (
	formPattern   = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	hiddenPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// sentTo reads where an answer sends the browser: by redirect, or by its form, with the hidden fields. It reads this package's pages
// only.
func sentTo(resp *http.Response) (target string, form url.Values, err error) {
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 3 {
		location, err := resp.Location()
		if err != nil {
			return "", nil, err
		}
		return location.String(), nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxForm))
	if err != nil {
		return "", nil, err
	}
	found := formPattern.FindSubmatch(body)
	if resp.StatusCode != http.StatusOK || found == nil {
		return "", nil, fmt.Errorf("identity provider shows a page: %s: %s", resp.Status, strings.TrimSpace(title(body)))
	}
	action, err := resp.Request.URL.Parse(html.UnescapeString(string(found[1])))
	if err != nil {
		return "", nil, err
	}
	form = url.Values{}
	for _, field := range hiddenPattern.FindAllSubmatch(body, -1) {
		form.Add(html.UnescapeString(string(field[1])), html.UnescapeString(string(field[2])))
	}
	return action.String(), form, nil
}

var titlePattern = regexp.MustCompile(`<title>([^<]*)</title>`)

func title(body []byte) string {
	if found := titlePattern.FindSubmatch(body); found != nil {
		return html.UnescapeString(string(found[1]))
	}
	return ""
}
