package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"fedbroker/broker/event"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/broker/web/frame"
	"fedbroker/broker/web/pages"
)

// answer writes what a login came to. sent is what a question about signing out has to be asked with again.
//
// There is no Cross-Origin-Opener-Policy: it would cut an app that signs people in in a pop-up off from it, and these pages have no script
// that an opener could reach.
func (s *Server) answer(c echo.Context, a login.Answer, sent oauth.Form) error {
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, decisionID(c))
	s.cookies.change(c.Response(), a)
	switch {
	case a.Redirect != "":
		return seeOther(c, a.Redirect)
	case a.Location != "":
		return seeOther(c, a.Location)
	case a.Reply != nil && !a.Reply.FormPost:
		return seeOther(c, oauth.AddQuery(a.Reply.RedirectURI, a.Reply.Params))
	case a.Reply != nil:
		page, err := s.pages.FormPost(pages.FormPost{Action: a.Reply.RedirectURI, Params: a.Reply.Params})
		return s.send(c, http.StatusOK, page, err)
	case a.Choose != nil:
		page, err := s.pages.Chooser(s.chooser(*a.Choose))
		return s.send(c, http.StatusOK, page, err)
	case a.Failure != nil:
		if a.Failure.RetryAfter > 0 {
			h.Set(echo.HeaderRetryAfter, strconv.Itoa(a.Failure.RetryAfter))
		}
		page, err := s.pages.Failure(s.failure(c, *a.Failure))
		return s.send(c, a.Failure.Status, page, err)
	case a.SignOut != nil && a.SignOut.Ask:
		page, err := s.pages.SignOutAsk(s.signOut(a.SignOut.ClientID, sent))
		return s.send(c, http.StatusOK, page, err)
	case a.SignOut != nil:
		page, err := s.pages.SignedOut(pages.SignedOut{App: a.SignOut.ClientID})
		return s.send(c, http.StatusOK, page, err)
	}
	return s.refuse(c, event.KindRequest, errNoAnswer)
}

// seeOther sends the browser on by GET, whatever it came by (RFC 9700 §4.12: 303, never 307), and does not tell there where it came from.
func seeOther(c echo.Context, target string) error {
	h := c.Response().Header()
	noStore(h)
	h.Set(headerDecisionID, decisionID(c))
	h.Set(echo.HeaderReferrerPolicy, "no-referrer")
	h.Set(echo.HeaderLocation, target)
	return c.NoContent(http.StatusSeeOther)
}

// send writes a page. One that can't be rendered is our fault: the address in it was judged before.
func (s *Server) send(c echo.Context, status int, page pages.Page, err error) error {
	if err != nil {
		return s.refuse(c, event.KindRequest, fmt.Errorf("page: %w", err))
	}
	c.Response().Header().Set(headerDecisionID, decisionID(c))
	return page.Send(c.Response(), status)
}

// problems are the sentences of what was wrong with a choice.
var problems = map[string]string{
	login.ProblemDomain: "We don’t know an organisation for that address. Check it for a typing mistake, or choose from the list.",
}

func (s *Server) chooser(choice login.Choice) pages.Chooser {
	d := pages.Chooser{App: choice.ClientID, Action: s.path + choosePath, Params: choice.Params, Email: choice.Email, Problem: problems[choice.Problem]}
	request := slices.DeleteFunc(slices.Clone(choice.Params), func(p [2]string) bool { return p[0] == paramIDPHint })
	for _, u := range choice.Upstreams {
		href := s.path + authorizePath + "?" + oauth.EncodeQuery(append(slices.Clip(request), [2]string{paramIDPHint, u.Name}))
		d.Options = append(d.Options, pages.Option{Name: u.Name, Display: u.Display, Href: href})
	}
	for _, p := range request {
		if p[0] == oauth.ParamRedirectURI {
			d.ReturnTo = p[1]
		}
	}
	return d
}

func (s *Server) failure(c echo.Context, f login.Failure) pages.Failure {
	d := pages.Failure{Kind: string(f.Kind), App: f.ClientID, Upstream: f.Upstream, DecisionID: decisionID(c), When: s.now()}
	if f.Retry != nil {
		d.RetryHref = s.path + authorizePath + "?" + oauth.EncodeQuery(f.Retry)
	}
	switch {
	case f.Back == nil:
	case f.Back.FormPost:
		d.Back = &pages.Back{URL: f.Back.RedirectURI, Params: f.Back.Params, Post: true}
	default:
		d.Back = &pages.Back{URL: oauth.AddQuery(f.Back.RedirectURI, f.Back.Params)}
	}
	return d
}

// signOut is the question, with a form that says yes: the request as it was, and the word.
func (s *Server) signOut(clientID string, sent oauth.Form) pages.SignOutAsk {
	d := pages.SignOutAsk{App: clientID, Action: s.path + logoutPath}
	for _, name := range frame.EndSessionNames() {
		if sent.Has(name) {
			d.Params = append(d.Params, [2]string{name, sent.Get(name)})
		}
	}
	d.Params = append(d.Params, [2]string{paramConfirm, "yes"})
	return d // without ReturnTo: who has to be asked is not sent anywhere (P39)
}

// refusalPage tells a person of a refusal that no login came to.
func (s *Server) refusalPage(c echo.Context, status int) error {
	kind := pages.KindRequest
	switch {
	case status == http.StatusTooManyRequests:
		kind = pages.KindTooMany
	case status == http.StatusServiceUnavailable:
		kind = pages.KindUnavailable
	case status >= http.StatusInternalServerError:
		kind = pages.KindServerError
	}
	page, err := s.pages.Failure(pages.Failure{Kind: kind, DecisionID: decisionID(c), When: s.now()})
	return s.send(c, status, page, err)
}

// startAgain is the page of who comes with nothing, or with too much.
func (s *Server) startAgain(c echo.Context, status int) error {
	page, err := s.pages.StartAgain(pages.StartAgain{})
	return s.send(c, status, page, err)
}
