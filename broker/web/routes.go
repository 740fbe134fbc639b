package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"fedbroker/broker/event"
	"fedbroker/broker/metadata"
	"fedbroker/broker/oauth"
)

// route is one path of the public listener.
type route struct {
	path   string // relative to the issuer's path, but for root
	root   bool   // relative to the host: a well-known URI inserted before the issuer's path (RFC 8414 §3)
	post   bool   // a form, by POST alone; else a document, by GET and HEAD
	kind   event.Kind
	handle func(*Server, echo.Context) error
}

const wellKnownOAuth = "/.well-known/oauth-authorization-server"

// routes is the whole public listener.
func routes(issuerPath string) []route {
	return []route{
		{path: "/token", post: true, kind: event.KindToken, handle: (*Server).token},
		{path: "/introspect", post: true, kind: event.KindIntrospection, handle: (*Server).introspect},
		{path: "/revoke", post: true, kind: event.KindRevocation, handle: (*Server).revoke},
		{path: "/jwks", kind: event.KindRequest, handle: (*Server).jwks},
		{path: "/.well-known/openid-configuration", kind: event.KindRequest, handle: (*Server).metadata},
		{path: wellKnownOAuth, kind: event.KindRequest, handle: (*Server).metadata},
		{path: wellKnownOAuth + issuerPath, root: true, kind: event.KindRequest, handle: (*Server).metadata},
	}
}

func (r route) methods() []string {
	if r.post {
		return []string{http.MethodPost}
	}
	return []string{http.MethodGet, http.MethodHead}
}

// mount registers the routes, each behind its form rules.
func (s *Server) mount(e *echo.Echo, issuerPath string) {
	for _, r := range routes(issuerPath) {
		path := issuerPath + r.path
		if r.root {
			path = r.path
		}
		if _, twice := s.routes[path]; twice {
			continue // an issuer without path has both forms of RFC 8414 at one place
		}
		s.routes[path] = r
		for _, m := range r.methods() {
			e.Add(m, path, func(c echo.Context) error { return r.handle(s, c) })
		}
	}
}

// method refuses a method that a route does not have, before Echo's router answers by itself (it answers OPTIONS).
func (s *Server) method(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, known := s.routes[echo.GetPath(c.Request())]
		if !known || slices.Contains(r.methods(), c.Request().Method) {
			return next(c)
		}
		c.Response().Header().Set(echo.HeaderAllow, strings.Join(r.methods(), ", "))
		return s.refuse(c, r.kind, refuseForm(http.StatusMethodNotAllowed, errMethod))
	}
}

// refuse tells the operator of a refusal that the broker never saw, and returns it.
func (s *Server) refuse(c echo.Context, kind event.Kind, err error) error {
	s.broker.Refuse(c.Request().Context(), kind, decisionID(c), peer(c), oauth.AsError(err))
	return err
}

func (s *Server) token(c echo.Context) error {
	req, err := s.form(c)
	if err != nil {
		return s.refuse(c, event.KindToken, err)
	}
	answer, err := s.broker.Token(c.Request().Context(), req)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, req.DecisionID)
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) introspect(c echo.Context) error {
	req, err := s.form(c)
	if err != nil {
		return s.refuse(c, event.KindIntrospection, err)
	}
	answer, err := s.broker.Introspect(c.Request().Context(), req)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, req.DecisionID)
	return c.JSONBlob(http.StatusOK, answer)
}

func (s *Server) revoke(c echo.Context) error {
	req, err := s.form(c)
	if err != nil {
		return s.refuse(c, event.KindRevocation, err)
	}
	if err := s.broker.Revoke(c.Request().Context(), req); err != nil {
		return err
	}
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, req.DecisionID)
	return c.NoContent(http.StatusOK) // RFC 7009 §2.2
}

func (s *Server) jwks(c echo.Context) error     { return document(c, s.broker.JWKS()) }
func (s *Server) metadata(c echo.Context) error { return document(c, s.broker.Metadata()) }

// document writes a public document, or 304 to who holds it already (RFC 9110 §13.1.2).
func document(c echo.Context, d metadata.Document) error {
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, cacheFor(d.MaxAge))
	h.Set("ETag", d.ETag)
	for held := range strings.SplitSeq(c.Request().Header.Get("If-None-Match"), ",") {
		if held = strings.TrimSpace(held); held == "*" || strings.TrimPrefix(held, "W/") == d.ETag {
			return c.NoContent(http.StatusNotModified)
		}
	}
	return c.JSONBlob(http.StatusOK, d.Body)
}
