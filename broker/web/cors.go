package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

const (
	corsHeaders = "Authorization, Content-Type, DPoP"                      // that a page may send
	corsExposed = "Decision-Id, DPoP-Nonce, Retry-After, WWW-Authenticate" // that it may read, beside those of Fetch's safelist
	corsMaxAge  = "600"                                                    // seconds; a change of `origins` shows as late as that
)

// preflight answers the question of a browser whether a page may send a request (Fetch §4.8). It names no client yet, so any client's
// origin will do; whether the page may read the answer is judged when the request names one. It tells whether it has answered.
func (s *Server) preflight(c echo.Context, r route) bool {
	in, out := c.Request().Header, c.Response().Header()
	if !slices.Contains(r.methods, in.Get(echo.HeaderAccessControlRequestMethod)) || !s.mayRead(c, s.broker.HasOrigin) {
		return false
	}
	out.Set(echo.HeaderAccessControlAllowMethods, strings.Join(r.methods, ", "))
	out.Set(echo.HeaderAccessControlAllowHeaders, corsHeaders)
	out.Set(echo.HeaderAccessControlMaxAge, corsMaxAge)
	return true
}

// mayRead lets a page read the answer, if its origin is one of allowed. Never with credentials: no endpoint that a page reads looks at a
// cookie.
func (s *Server) mayRead(c echo.Context, allowed func(origin string) bool) bool {
	origins := c.Request().Header[echo.HeaderOrigin]
	if len(origins) != 1 || !allowed(origins[0]) {
		return false
	}
	h := c.Response().Header()
	h.Set(echo.HeaderAccessControlAllowOrigin, origins[0])
	h.Set(echo.HeaderAccessControlExposeHeaders, corsExposed)
	return true
}

// originOf allows what one client is registered with; nobody's request has no origin (P21).
func (s *Server) originOf(clientID string) func(origin string) bool {
	return func(origin string) bool { return s.broker.ClientHasOrigin(clientID, origin) }
}

// varyOrigin keeps caches from showing one origin's answer to another.
func varyOrigin(h http.Header) { h.Add(echo.HeaderVary, echo.HeaderOrigin) }
