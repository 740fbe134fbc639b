package web

import (
	"fmt"
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
	path    string // relative to the issuer's path, but for root; a segment :name, the last or the last but one, stands for any
	root    bool   // relative to the host: a well-known URI inserted before the issuer's path (RFC 8414 §3)
	methods []string
	page    bool // people see it: a refusal is a page
	cors    bool // pages of apps ask it
	kind    event.Kind
	handle  func(*Server, echo.Context) error
}

const (
	wellKnownOAuth = "/.well-known/oauth-authorization-server"
	callbackPath   = "/callback/:" + upstreamParam
)

// routes is the whole public listener.
func routes(issuerPath string) []route {
	document, form, browser := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}, []string{http.MethodGet, http.MethodPost}
	return []route{
		{path: authorizePath, methods: browser, page: true, kind: event.KindLogin, handle: (*Server).authorize},
		{path: choosePath, methods: browser, page: true, kind: event.KindLogin, handle: (*Server).choose},
		{path: callbackPath, methods: browser, page: true, kind: event.KindLogin, handle: (*Server).callback},
		{path: acsPath, methods: form, page: true, kind: event.KindLogin, handle: (*Server).acs},
		{path: samlMetadata, methods: document, kind: event.KindRequest, handle: (*Server).samlMetadata},
		{path: logoutPath, methods: browser, page: true, kind: event.KindLogout, handle: (*Server).logout},
		{path: "/token", methods: form, cors: true, kind: event.KindToken, handle: (*Server).token},
		{path: userInfoPath, methods: browser, cors: true, kind: event.KindUserInfo, handle: (*Server).userInfo},
		{path: "/introspect", methods: form, kind: event.KindIntrospection, handle: (*Server).introspect},
		{path: "/revoke", methods: form, cors: true, kind: event.KindRevocation, handle: (*Server).revoke},
		{path: "/jwks", methods: document, cors: true, kind: event.KindRequest, handle: (*Server).jwks},
		{path: "/.well-known/openid-configuration", methods: document, cors: true, kind: event.KindRequest, handle: (*Server).metadata},
		{path: wellKnownOAuth, methods: document, cors: true, kind: event.KindRequest, handle: (*Server).metadata},
		{path: wellKnownOAuth + issuerPath, root: true, methods: document, cors: true, kind: event.KindRequest, handle: (*Server).metadata},
	}
}

// mount registers the routes, each behind its form rules.
func (s *Server) mount(e *echo.Echo) {
	for _, r := range routes(s.path) {
		path := s.path + r.path
		if r.root {
			path = r.path
		}
		if _, twice := s.routes[path]; twice {
			continue // an issuer without path has both forms of RFC 8414 at one place
		}
		s.routes[path] = r
		for _, m := range r.methods {
			e.Add(m, path, func(c echo.Context) error { return r.handle(s, c) })
		}
	}
}

// route finds the route of a path: its own, or the one of all but its last segment, or of all but the last but one.
func (s *Server) route(c echo.Context) (route, bool) {
	path := echo.GetPath(c.Request())
	if r, known := s.routes[path]; known {
		return r, true
	}
	segments := strings.Split(path, "/")
	for i := len(segments) - 1; i > 0 && i >= len(segments)-2; i-- {
		was := segments[i]
		segments[i] = ":" + upstreamParam
		if r, known := s.routes[strings.Join(segments, "/")]; known {
			return r, true
		}
		segments[i] = was
	}
	return route{}, false
}

// method refuses an address that is none, and a method that a route does not have, before Echo's router answers by itself (it answers OPTIONS).
func (s *Server) method(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, known := s.route(c)
		if !known {
			return echo.ErrNotFound // Echo's router would let a parameter run over slashes
		}
		if r.cors {
			varyOrigin(c.Response().Header())
		}
		if slices.Contains(r.methods, c.Request().Method) {
			return next(c)
		}
		if r.cors && c.Request().Method == http.MethodOptions && s.preflight(c, r) {
			return c.NoContent(http.StatusNoContent)
		}
		c.Response().Header().Set(echo.HeaderAllow, strings.Join(r.methods, ", "))
		return s.refuse(c, r.kind, refuseForm(http.StatusMethodNotAllowed, errMethod))
	}
}

// bounded refuses to read more cookies than a browser can hold of ours. It takes every attempt away, so that the next request fits.
func (s *Server) bounded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		size := 0
		for _, line := range c.Request().Header["Cookie"] {
			size += len(line)
		}
		r, known := s.route(c)
		if size <= maxCookies || !known || !r.page {
			return next(c)
		}
		s.cookies.clearAttempts(c.Response(), s.cookies.of(c.Request()))
		_ = s.refuse(c, r.kind, refuseForm(http.StatusRequestHeaderFieldsTooLarge, fmt.Errorf("%d bytes of cookies", size)))
		return s.startAgain(c, http.StatusRequestHeaderFieldsTooLarge)
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
	s.mayRead(c, s.originOf(req.Credentials.ClientID))
	answer, err := s.broker.Token(c.Request().Context(), req)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, req.DecisionID)
	offerNonce(h, answer.DPoPNonce)
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
	s.mayRead(c, s.originOf(req.Credentials.ClientID))
	if err := s.broker.Revoke(c.Request().Context(), req); err != nil {
		return err
	}
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, req.DecisionID)
	return c.NoContent(http.StatusOK) // RFC 7009 §2.2
}

func (s *Server) jwks(c echo.Context) error     { return s.document(c, s.broker.JWKS()) }
func (s *Server) metadata(c echo.Context) error { return s.document(c, s.broker.Metadata()) }

// document writes a public document, or 304 to who holds it already (RFC 9110 §13.1.2).
func (s *Server) document(c echo.Context, d metadata.Document) error {
	s.mayRead(c, s.broker.HasOrigin)
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
