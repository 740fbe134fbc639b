package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"fedbroker/cmd/fedbroker/demo/app"
)

// browser is a browser without a window: it keeps cookies and follows redirects, but stops where a partner asks who is there.
type browser struct {
	house  *house
	client *http.Client
}

// maxRedirects is more than a login takes: app, broker, partner, broker, app.
const maxRedirects = 10

func (h *house) newBrowser() (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	partner, err := url.Parse(h.acme.Issuer())
	if err != nil {
		return nil, err
	}
	return &browser{house: h, client: &http.Client{Jar: jar, Timeout: requestTimeout, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		switch {
		case req.URL.Host == partner.Host:
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return errors.New("redirected in circles")
		}
		return nil
	}}}, nil
}

// open asks for an address and follows it to its end.
func (b *browser) open(ctx context.Context, method, address string) (response *http.Response, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Accept", "application/json")
	if response, err = b.client.Do(request); err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxPage))
	return response, string(text), err
}

const maxPage = 256 << 10

// shownByApp is what the sample app answers who asks for JSON.
type shownByApp struct {
	Claims   map[string]any `json:"claims"`
	UserInfo map[string]any `json:"userinfo"`
	Access   string         `json:"access_token"`
	Token    string         `json:"exchanged_token"`
	Answer   string         `json:"api_answer"`
	Problem  string         `json:"problem"`
}

// app opens an address of the sample app and reads what it shows.
func (b *browser) app(ctx context.Context, method, path string) (shownByApp, error) {
	response, body, err := b.open(ctx, method, b.house.app.URL()+path)
	if err != nil {
		return shownByApp{}, err
	}
	return b.read(response, body)
}

func (b *browser) read(response *http.Response, body string) (shown shownByApp, err error) {
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		decision := response.Header.Get("Decision-Id")
		return shown, fmt.Errorf("%s answered %d: %s", response.Request.URL.Host, response.StatusCode, b.house.log.reason(decision))
	}
	if err := json.Unmarshal([]byte(body), &shown); err != nil {
		return shown, fmt.Errorf("sample app: %w", err)
	}
	if shown.Problem != "" {
		return shown, fmt.Errorf("sample app: %s", shown.Problem)
	}
	return shown, nil
}

// signIn has Ada sign in at the sample app, at her own company.
func (b *browser) signIn(ctx context.Context) (shownByApp, error) {
	response, body, err := b.open(ctx, http.MethodGet, b.house.app.URL()+"/login?idp_hint="+acme)
	if err != nil {
		return shownByApp{}, err
	}
	location, err := response.Location()
	if err != nil {
		return b.read(response, body)
	}
	back, _, err := b.house.acme.Authenticate(b.client, location.String(), ada)
	if err != nil {
		return shownByApp{}, fmt.Errorf("sign in at %s: %w", acme, err)
	}
	if response, body, err = b.open(ctx, http.MethodGet, back); err != nil {
		return shownByApp{}, err
	}
	return b.read(response, body)
}

// walkLogin shows a login, a call of the API with the login's own token exchanged, and a logout.
func (h *house) walkLogin(ctx context.Context, p printer) error {
	b, err := h.newBrowser()
	if err != nil {
		return err
	}
	defer b.client.CloseIdleConnections()
	signedIn, err := b.signIn(ctx)
	if err != nil {
		return err
	}
	upstream, _ := signedIn.Claims["upstream"].(map[string]any) // the app is told how the partner knows the person (upstream_claim: full)
	subject, _ := upstream["sub"].(string)
	idToken, userinfo := h.acme.said(subject)
	p.login("Ada of Acme signs in at the sample app", "At Acme's own login form, headless here. Left what Acme says, right what the app gets: one issuer, one vocabulary.")
	p.exchange(app.Joined(idToken, userinfo), app.Joined(signedIn.Claims, signedIn.UserInfo))

	called, err := b.app(ctx, http.MethodPost, "/call")
	if err != nil {
		return err
	}
	after, err := claimsOf(called.Token)
	if err != nil {
		return err
	}
	p.login("The app calls the orders API for her", "Its login's own access token is good at the broker alone: exchanged for one that the API takes, it says who is asking for whom.")
	before, err := claimsOf(called.Access)
	if err != nil {
		return err
	}
	p.exchange(before, after)
	p.line("\n   the API answers     %s", wrap(called.Answer, 75, strings.Repeat(" ", 23)))

	out, err := b.app(ctx, http.MethodPost, "/logout")
	if err != nil {
		return err
	}
	if out.Claims != nil {
		return errors.New("signed out, and still signed in")
	}
	p.login("Ada signs out", "The session at the broker is over, and with it what lived by it; her session at Acme is Acme's.")
	return nil
}
