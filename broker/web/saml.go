package web

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"fedbroker/broker/event"
	"fedbroker/broker/login"
	"fedbroker/upstreams/saml"
)

const (
	acsPath      = "/saml/:" + upstreamParam + "/acs"
	samlMetadata = "/saml/:" + upstreamParam + "/metadata"

	// samlType is the media type of metadata (SAML Metadata appendix A).
	samlType = "application/samlmetadata+xml"
	// maxResponse bounds a form that holds a SAML response: 256 KiB of XML in base64, some of its characters percent-encoded.
	maxResponse = 400 << 10
)

// acs is the assertion consumer service: it takes a SAML response by POST (SAML Bindings §3.5). What the identity provider was given as RelayState is the
// attempt's state; nothing else of the form is handed on.
func (s *Server) acs(c echo.Context) error {
	form, err := readFormUpTo(c.Response(), c.Request(), maxResponse)
	if err != nil {
		return s.refuse(c, event.KindLogin, err)
	}
	return s.answer(c, s.logins().Callback(c.Request().Context(), login.Callback{
		DecisionID: decisionID(c), Peer: peer(c), Upstream: c.Param(upstreamParam), Browser: s.cookies.of(c.Request()),
		Params: url.Values{login.ParamState: form.All(saml.ParamRelayState), saml.ParamResponse: form.All(saml.ParamResponse)},
	}), nil)
}

// samlMetadata describes us to a SAML identity provider.
func (s *Server) samlMetadata(c echo.Context) error {
	document, known, err := s.broker.SAMLMetadata(c.Param(upstreamParam))
	switch {
	case err != nil:
		return s.refuse(c, event.KindRequest, err)
	case !known:
		return echo.ErrNotFound
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-cache") // whoever reads it is setting something up
	return c.Blob(http.StatusOK, samlType, document)
}
