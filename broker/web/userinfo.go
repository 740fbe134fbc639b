package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"fedbroker/broker/dpop"
	"fedbroker/broker/event"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
)

const (
	userInfoPath     = "/userinfo"
	paramAccessToken = "access_token"
	bearerScheme     = "Bearer"
	bearerRealm      = bearerScheme + ` realm="fedbroker"`
	dpopScheme       = oauth.DPoP // RFC 9449 §7.1
)

// errNoToken is a request that speaks of no token: it learns how to, and nothing else (RFC 6750 §3.1).
var errNoToken = errors.New("no access token")

// userInfo is the UserInfo endpoint (OpenID Connect Core §5.3).
func (s *Server) userInfo(c echo.Context) error {
	token, scheme, err := s.accessToken(c)
	if err != nil {
		challengeToken(c.Response().Header(), scheme, err)
		return s.refuse(c, event.KindUserInfo, err)
	}
	r := login.UserInfo{DecisionID: decisionID(c), Peer: peer(c)}
	r.Token, r.DPoP = token, scheme == dpopScheme
	r.Proofs, r.Method, r.URL = s.proof(c)
	body, clientID, err := s.logins().UserInfo(c.Request().Context(), r)
	s.mayRead(c, s.originOf(clientID))
	h := c.Response().Header()
	if err != nil {
		challengeToken(h, scheme, err)
		return err
	}
	noStore(h)
	h.Set(headerDecisionID, decisionID(c))
	return c.JSONBlob(http.StatusOK, body)
}

// accessToken reads the access token and the scheme that it came by: from the header or from the body of a POST, never from the query (RFC 6750
// §2, RFC 9700 §4.3.2), and never from two places. In a body it is a bearer's: only the header has a scheme for bound ones (RFC 9449 §7.1).
func (s *Server) accessToken(c echo.Context) (token, scheme string, err error) {
	scheme = bearerScheme
	form, err := userInfoForm(c)
	if err != nil {
		return "", scheme, err
	}
	headers := c.Request().Header[echo.HeaderAuthorization]
	inForm := form.Has(paramAccessToken)
	if inForm && c.Request().Method != http.MethodPost {
		return "", scheme, refuseForm(http.StatusBadRequest, errors.New("access token in the query"))
	}
	if len(headers) > 1 || len(headers) == 1 && inForm {
		return "", scheme, refuseForm(http.StatusBadRequest, errors.New("more than one access token"))
	}
	var header string
	if len(headers) == 1 {
		if scheme, header, err = authorization(headers[0]); err != nil {
			return "", scheme, err
		}
	}
	if header == "" && !inForm {
		return "", scheme, oauth.Deny(oauth.CodeInvalidToken, oauth.ReasonToken).Because(errNoToken)
	}
	typed, err := s.frame.UserInfo(form, header)
	if err != nil {
		return "", scheme, err
	}
	return typed.AccessToken, scheme, nil
}

// authorization reads a header: its scheme, and the token as the frame takes it, which knows but one scheme.
func authorization(value string) (scheme, header string, err error) {
	name, rest, _ := strings.Cut(value, " ")
	switch {
	case rest != "" && strings.EqualFold(name, bearerScheme):
		return bearerScheme, value, nil
	case rest != "" && strings.EqualFold(name, dpopScheme):
		return dpopScheme, bearerScheme + " " + rest, nil
	}
	return bearerScheme, "", oauth.Deny(oauth.CodeInvalidToken, oauth.ReasonToken).Because(errNoToken)
}

// userInfoForm reads the form. A POST whose token is in the header needs no body.
func userInfoForm(c echo.Context) (oauth.Form, error) {
	r := c.Request()
	if r.Method == http.MethodPost && r.ContentLength == 0 && r.URL.RawQuery == "" {
		return oauth.Form{}, nil
	}
	return parameters(c)
}

// challengeToken says why a token was not taken, in the scheme that it came by and by the code's one sentence (RFC 6750 §3, RFC 9449 §7.1); what is
// our fault or passes is no reason. Who came as a bearer, or with nothing, is told of the other scheme, too (RFC 9449 §7.2).
func challengeToken(h http.Header, scheme string, err error) {
	e := oauth.AsError(err)
	if e.Code == oauth.CodeServerError || e.Code == oauth.CodeTemporarilyUnavailable {
		return
	}
	reason := ""
	if !errors.Is(err, errNoToken) {
		reason = `, error="` + string(e.Code) + `", error_description="` + e.Description() + `"`
		if e.Code == oauth.CodeInsufficientScope {
			reason += `, scope="openid"`
		}
	}
	offered := dpopScheme + ` algs="` + strings.Join(dpop.Algorithms(), " ") + `"`
	if scheme == dpopScheme {
		h.Set(echo.HeaderWWWAuthenticate, offered+reason)
		return
	}
	h.Set(echo.HeaderWWWAuthenticate, bearerRealm+reason)
	h.Add(echo.HeaderWWWAuthenticate, offered)
}
