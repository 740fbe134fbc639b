package web

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/language"

	"fedbroker/broker/event"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/upstreams/saml"
)

// logins judges what comes by browsers; *login.Service does.
type logins interface {
	Authorize(ctx context.Context, r login.Request) login.Answer
	Callback(ctx context.Context, r login.Callback) login.Answer
	Logout(ctx context.Context, r login.Logout) login.Answer
	UserInfo(ctx context.Context, r login.UserInfo) (body []byte, clientID string, err error)
}

const (
	authorizePath = "/authorize"
	choosePath    = "/login"
	logoutPath    = "/logout"

	upstreamParam = "upstream" // of the path of a callback

	paramEmail   = "email"   // typed on the chooser
	paramConfirm = "confirm" // of the page that asks whether to sign out
	paramIDPHint = "idp_hint"

	// maxTarget is how long an address of ours may become before a POST is not turned into a GET: common servers and proxies refuse more.
	maxTarget = 8 << 10
)

// parameters reads a browser's request by the form rules: the query of a GET, which the limit of headers bounds, or the body of a POST.
func parameters(c echo.Context) (oauth.Form, error) {
	r := c.Request()
	if r.Method == http.MethodPost {
		return readForm(c.Response(), r)
	}
	if r.ContentLength != 0 {
		return nil, refuseForm(http.StatusBadRequest, errors.New("body of a GET"))
	}
	return oauth.ParseForm(r.URL.RawQuery)
}

// authorize is the authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2.1).
func (s *Server) authorize(c echo.Context) error {
	form, err := parameters(c)
	if err != nil {
		return s.refuse(c, event.KindLogin, err)
	}
	if target, ok := s.byGet(c, authorizePath, form); ok {
		return seeOther(c, target)
	}
	return s.signIn(c, form, login.Request{})
}

// choose is the chooser: an authorization request, sent again to be shown the choice (GET) or with an e-mail address (POST).
func (s *Server) choose(c echo.Context) error {
	form, err := parameters(c)
	if err != nil {
		return s.refuse(c, event.KindLogin, err)
	}
	if len(form) == 0 {
		return s.startAgain(c, http.StatusOK)
	}
	email := form.Get(paramEmail)
	delete(form, paramEmail)
	return s.signIn(c, form, login.Request{Email: email, Choose: email == ""})
}

// signIn adds to a request what the frame types and what it does not, and hands it over.
func (s *Server) signIn(c echo.Context, form oauth.Form, r login.Request) error {
	typed, err := s.frame.Authorize(form)
	if err != nil {
		return s.refuse(c, event.KindLogin, err)
	}
	r.DecisionID, r.Peer, r.Browser = decisionID(c), peer(c), s.cookies.of(c.Request())
	r.ClientID, r.RedirectURI, r.State, r.Nonce = typed.ClientID, typed.RedirectURI, typed.State, typed.Nonce
	r.ResponseType, r.ResponseMode, r.Scope = string(typed.ResponseType), string(typed.ResponseMode), form.Get(oauth.ParamScope)
	r.LoginHint, r.IDTokenHint = typed.LoginHint, typed.IDTokenHint
	r.CodeChallenge, r.CodeChallengeMethod = typed.CodeChallenge, string(typed.CodeChallengeMethod)
	r.Prompt, r.ACRValues, r.UILocales = words(typed.Prompt), words(typed.ACRValues), tags(typed.UILocales)
	if typed.MaxAge != nil {
		seconds := int64(min(*typed.MaxAge, math.MaxInt32)) // 68 years are no bound any more, and can't overflow a duration
		r.MaxAge = &seconds
	}
	r.IDPHint, r.Claims, r.Resources, r.DPoPKey = form.Get(paramIDPHint), form.Get("claims"), form.All(oauth.ParamResource), form.Get("dpop_jkt")
	r.HasRequest, r.HasRequestURI = form.Has("request"), form.Has("request_uri")
	return s.answer(c, s.logins().Authorize(c.Request().Context(), r), nil)
}

// words drops what lies between two spaces in a row.
func words(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(w string) bool { return w == "" })
}

func tags(list []language.Tag) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.String()
	}
	return out
}

// callback takes an upstream's authorization response, by query or form_post. Its parameters are the upstream's business to judge. A SAML response is none: it
// has an address of its own.
func (s *Server) callback(c echo.Context) error {
	form, err := parameters(c)
	if err != nil {
		return s.refuse(c, event.KindLogin, err)
	}
	delete(form, saml.ParamResponse)
	return s.answer(c, s.logins().Callback(c.Request().Context(), login.Callback{
		DecisionID: decisionID(c), Peer: peer(c), Upstream: c.Param(upstreamParam), Params: url.Values(form), Browser: s.cookies.of(c.Request()),
	}), nil)
}

// logout is the end_session_endpoint (OpenID Connect RP-Initiated Logout §2).
func (s *Server) logout(c echo.Context) error {
	form, err := parameters(c)
	if err != nil {
		return s.refuse(c, event.KindLogout, err)
	}
	confirmed := form.Has(paramConfirm) && c.Request().Method == http.MethodPost && c.Request().Header.Get(echo.HeaderOrigin) == s.origin
	delete(form, paramConfirm)
	if target, ok := s.byGet(c, logoutPath, form); ok {
		return seeOther(c, target)
	}
	typed, err := s.frame.EndSession(form)
	if err != nil {
		return s.refuse(c, event.KindLogout, err)
	}
	return s.answer(c, s.logins().Logout(c.Request().Context(), login.Logout{
		DecisionID: decisionID(c), Peer: peer(c), Browser: s.cookies.of(c.Request()), IDTokenHint: typed.IdTokenHint, ClientID: typed.ClientID,
		PostLogoutRedirectURI: typed.PostLogoutRedirectURI, State: typed.State, Confirmed: confirmed,
	}), form)
}

// byGet is where a POST has to be sent again by GET. A browser that comes by a form of another site leaves its Lax cookies out, so that a
// person who is signed in would not be known; it sends them with the GET that it is redirected to.
func (s *Server) byGet(c echo.Context, path string, form oauth.Form) (target string, ok bool) {
	r := c.Request()
	switch r.Header.Get("Sec-Fetch-Site") { // Fetch Metadata §2.3
	case "same-origin", "same-site", "none":
		return "", false
	}
	if r.Method != http.MethodPost || s.cookies.of(r).Session != "" {
		return "", false
	}
	target = s.path + path + "?" + url.Values(form).Encode()
	return target, len(target) <= maxTarget
}
