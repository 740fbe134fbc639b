package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"fedbroker/broker/oauth"
)

const (
	formType = "application/x-www-form-urlencoded"
	maxBody  = 64 << 10 // the longest real form holds two tokens of 16 KiB
)

// form applies the form rules (P27, first row) and reads what the request says of itself: nothing in it is verified.
func (s *Server) form(c echo.Context) (*oauth.TokenRequest, error) {
	f, err := readForm(c.Response(), c.Request())
	if err != nil {
		return nil, err
	}
	credentials, err := oauth.FormCredentials(c.Request().Header[echo.HeaderAuthorization], f)
	if err != nil {
		return nil, err
	}
	req := &oauth.TokenRequest{DecisionID: decisionID(c), GrantType: f.Get(oauth.ParamGrantType), Form: f, Credentials: credentials, Peer: peer(c)}
	req.DPoP, req.Method, req.URL = s.proof(c)
	return req, nil
}

// proof is what came as proofs of possession, and what one has to name: the method and the address that the world knows us by (RFC 9449 §4.2).
func (s *Server) proof(c echo.Context) (headers []string, method, url string) {
	r := c.Request()
	return r.Header[headerDPoP], r.Method, s.origin + echo.GetPath(r)
}

// refuseForm is a refusal by the form rules, with the status that HTTP has for it.
func refuseForm(status int, cause error) error {
	e := oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonFormRules).Because(cause)
	e.Status = status
	return e
}

func readForm(w http.ResponseWriter, r *http.Request) (oauth.Form, error) {
	return readFormUpTo(w, r, maxBody)
}

func readFormUpTo(w http.ResponseWriter, r *http.Request, most int64) (oauth.Form, error) {
	if err := checkMediaType(r.Header); err != nil {
		return nil, refuseForm(http.StatusUnsupportedMediaType, err)
	}
	if r.ContentLength > most {
		return nil, refuseForm(http.StatusRequestEntityTooLarge, fmt.Errorf("body of %d bytes", r.ContentLength))
	}
	if r.URL.RawQuery != "" {
		// Credentials and tokens in a URL end up in logs and histories (RFC 6749 §2.3.1, RFC 9700 §4.3.2).
		return nil, refuseForm(http.StatusBadRequest, errors.New("parameter in the query"))
	}
	body, err := readBody(w, r, most)
	if err != nil {
		return nil, err
	}
	return oauth.ParseForm(body)
}

func readBody(w http.ResponseWriter, r *http.Request, most int64) (string, error) {
	var b strings.Builder
	b.Grow(int(max(r.ContentLength, 0)))
	_, err := io.Copy(&b, http.MaxBytesReader(w, r.Body, most))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "", refuseForm(http.StatusRequestEntityTooLarge, err)
	}
	if err != nil {
		return "", refuseForm(http.StatusBadRequest, fmt.Errorf("body: %w", err))
	}
	return b.String(), nil
}

// checkMediaType wants a plain form in UTF-8 (RFC 6749 Appendix B), one header, not encoded.
func checkMediaType(h http.Header) error {
	values := h[echo.HeaderContentType]
	if len(values) != 1 {
		return fmt.Errorf("%d Content-Type headers", len(values))
	}
	mediaType, params, err := mime.ParseMediaType(values[0])
	charset := params["charset"]
	if err != nil || mediaType != formType || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return errors.New("body is not a form")
	}
	if h.Get(echo.HeaderContentEncoding) != "" {
		return errors.New("body is encoded")
	}
	return nil
}
