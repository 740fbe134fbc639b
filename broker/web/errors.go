package web

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
)

// refusal is the body of every error (RFC 6749 §5.2): a code, its one sentence, and the id under which the operator finds the rest.
type refusal struct {
	Error       oauth.Code `json:"error"`
	Description string     `json:"error_description"`
	DecisionID  string     `json:"decision_id"`
}

const (
	codeNotFound        = oauth.Code("not_found")
	descriptionNotFound = "There is nothing at this address."
	challenge           = `Basic realm="fedbroker", charset="UTF-8"` // RFC 6749 §5.2, RFC 7617 §2
)

// writeError is the one place where an error becomes an answer. Nothing of its text does.
func (s *Server) writeError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, decisionID(c))
	status, body := render(err)
	body.DecisionID = decisionID(c)
	if status == http.StatusNotFound {
		s.log.Debug("no such address", event.AttrDecisionID, body.DecisionID, event.AttrPeer, c.RealIP())
	}
	if status == http.StatusUnauthorized && h.Get(echo.HeaderWWWAuthenticate) == "" {
		h.Set(echo.HeaderWWWAuthenticate, challenge)
	}
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		offerNonce(h, e.DPoPNonce)
		if e.RetryAfter > 0 {
			h.Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
		}
	}
	if r, known := s.route(c); known && r.page && s.refusalPage(c, status) == nil {
		return
	}
	if err := c.JSON(status, body); err != nil {
		s.log.Debug("answer not written", event.AttrError, err)
	}
}

func render(err error) (int, refusal) {
	if e, ok := errors.AsType[*echo.HTTPError](err); ok && e.Code == http.StatusNotFound {
		return http.StatusNotFound, refusal{Error: codeNotFound, Description: descriptionNotFound}
	}
	e := oauth.AsError(err)
	return e.HTTPStatus(), refusal{Error: e.Code, Description: e.Description()}
}

func noStore(h http.Header) {
	h.Set(echo.HeaderCacheControl, "no-store") // RFC 6749 §5.1
	h.Set("Pragma", "no-cache")
}

// cacheFor is the Cache-Control of a public document.
func cacheFor(age time.Duration) string {
	return "public, max-age=" + strconv.Itoa(int(age/time.Second))
}
