package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"fedbroker/broker/event"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
)

const (
	userInfoPath     = "/userinfo"
	paramAccessToken = "access_token"
	bearerScheme     = "Bearer"
	bearerRealm      = bearerScheme + ` realm="fedbroker"`
)

// errNoToken is a request that speaks of no token: it learns how to, and nothing else (RFC 6750 §3.1).
var errNoToken = errors.New("no access token")

// userInfo is the UserInfo endpoint (OpenID Connect Core §5.3).
func (s *Server) userInfo(c echo.Context) error {
	token, err := s.bearer(c)
	if err != nil {
		challengeBearer(c.Response().Header(), err)
		return s.refuse(c, event.KindUserInfo, err)
	}
	body, clientID, err := s.logins().UserInfo(c.Request().Context(), login.UserInfo{DecisionID: decisionID(c), Peer: peer(c), Token: token})
	s.mayRead(c, s.originOf(clientID))
	h := c.Response().Header()
	if err != nil {
		challengeBearer(h, err)
		return err
	}
	noStore(h)
	h.Set(headerDecisionID, decisionID(c))
	return c.JSONBlob(http.StatusOK, body)
}

// bearer reads the access token: from the header or from the body of a POST, never from the query (RFC 6750 §2, RFC 9700 §4.3.2), and
// never from two places.
func (s *Server) bearer(c echo.Context) (string, error) {
	form, err := userInfoForm(c)
	if err != nil {
		return "", err
	}
	headers := c.Request().Header[echo.HeaderAuthorization]
	inForm := form.Has(paramAccessToken)
	if inForm && c.Request().Method != http.MethodPost {
		return "", refuseForm(http.StatusBadRequest, errors.New("access token in the query"))
	}
	if len(headers) > 1 || len(headers) == 1 && inForm {
		return "", refuseForm(http.StatusBadRequest, errors.New("more than one access token"))
	}
	var header string
	if len(headers) == 1 {
		scheme, rest, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, bearerScheme) || rest == "" {
			return "", oauth.Deny(oauth.CodeInvalidToken, oauth.ReasonToken).Because(errNoToken)
		}
		header = headers[0]
	}
	if header == "" && !inForm {
		return "", oauth.Deny(oauth.CodeInvalidToken, oauth.ReasonToken).Because(errNoToken)
	}
	typed, err := s.frame.userInfo(form, header)
	if err != nil {
		return "", err
	}
	return typed.AccessToken, nil
}

// userInfoForm reads the form. A POST whose token is in the header needs no body.
func userInfoForm(c echo.Context) (oauth.Form, error) {
	r := c.Request()
	if r.Method == http.MethodPost && r.ContentLength == 0 && r.URL.RawQuery == "" {
		return oauth.Form{}, nil
	}
	return parameters(c)
}

// challengeBearer says why a token was not taken (RFC 6750 §3), in the code's one sentence; what is our fault or passes is no reason.
func challengeBearer(h http.Header, err error) {
	e, text := oauth.AsError(err), bearerRealm
	if e.Code == oauth.CodeServerError || e.Code == oauth.CodeTemporarilyUnavailable {
		return
	}
	if !errors.Is(err, errNoToken) {
		text += `, error="` + string(e.Code) + `", error_description="` + e.Description() + `"`
		if e.Code == oauth.CodeInsufficientScope {
			text += `, scope="openid"`
		}
	}
	h.Set(echo.HeaderWWWAuthenticate, text)
}
