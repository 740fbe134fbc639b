package pages

import (
	"fmt"
	"html/template"
	"time"
)

// many is the number of options above which reading a list is slower than typing an address.
const many = 8

// The templates, one a page.
const (
	chooserPage    = "chooser.html"
	failurePage    = "failure.html"
	formPostPage   = "formpost.html"
	signOutPage    = "signout.html"
	signedOutPage  = "signedout.html"
	startAgainPage = "startagain.html"
)

// Chooser asks which upstream a person belongs to, by a list of links and by e-mail address (home-realm discovery, P31).
type Chooser struct {
	App      string      // the client's display name; "" is said as "your app"
	Options  []Option    // in the order shown
	Action   string      // path that takes the e-mail address by POST as field "email"; "" asks for none
	Params   [][2]string // sent along, hidden
	Email    string      // what was typed before
	Problem  string      // why that led nowhere: one sentence for the person; "" if nothing was wrong
	ReturnTo string      // the app's proven redirect_uri, which the form may lead to when the upstream answers without asking; "" if none
}

// Option is one upstream.
type Option struct {
	Name    string // in the configuration, shown if Display is ""
	Display string
	Href    string // path of ours that chooses it
}

// Label is what people know the upstream by.
func (o Option) Label() string {
	if o.Display != "" {
		return o.Display
	}
	return o.Name
}

// Failure says that a sign-in did not work.
type Failure struct {
	Kind       string // one of Kinds; any other is read as KindServerError
	App        string // display name; "" is said as "the app"
	Upstream   string // display name; "" is said as "your organisation"
	DecisionID string
	When       time.Time
	Back       *Back  // the proven way back to the app; nil: none
	RetryHref  string // path of ours that begins the sign-in anew; "": none
}

// Back is an authorization response as a person may send it by hand.
type Back struct {
	URL    string      // where the app takes it; holds the parameters unless Post
	Params [][2]string // the form's, if Post
	Post   bool        // response_mode form_post (OAuth 2.0 Form Post Response Mode section 2)
}

// SignOutAsk asks whether a person wants to be signed out.
type SignOutAsk struct {
	App      string // that asked for it; "" if unknown
	Action   string // path of ours that takes the confirmation by POST
	Params   [][2]string
	ReturnTo string // the app's proven post_logout_redirect_uri, which the form may lead to; "" if none
}

// SignedOut says that it is done.
type SignedOut struct {
	App  string // "" if unknown
	Href string // the app's proven address to go back to; "" if none
}

// FormPost hands an app its authorization response (OAuth 2.0 Form Post Response Mode section 2).
type FormPost struct {
	App    string
	Action string // the client's redirect_uri
	Params [][2]string
}

// StartAgain is shown where nothing is left of a sign-in.
type StartAgain struct {
	App  string // "" if unknown
	Href string // path of ours or the app's address to begin at; "" if none
}

// Chooser renders the choice of upstream.
func (p *Pages) Chooser(d Chooser) (Page, error) {
	type option struct {
		Label string
		Href  template.URL
	}
	v := struct {
		Chooser
		Options []option
		Action  template.URL
		Many    bool
	}{Chooser: d, Many: len(d.Options) > many}
	title := "Sign in"
	if app := Name(d.App); app != "" {
		title += " to " + app
	}
	for _, o := range d.Options {
		href, err := ownPath(o.Href)
		if err != nil {
			return Page{}, fmt.Errorf("option %s: %w", o.Name, err)
		}
		v.Options = append(v.Options, option{Label: o.Label(), Href: href})
	}
	if d.Action == "" {
		return p.render(chooserPage, title, v, formAction(), "")
	}
	var err error
	if v.Action, err = ownPath(d.Action); err != nil {
		return Page{}, fmt.Errorf("action: %w", err)
	}
	// Chromium holds the redirects that follow a submission to form-action, too: to any upstream, and on to the app.
	sources := []string{"'self'", "https:"}
	if p.options.LoopbackHTTP {
		sources = append(sources, loopbackSources)
	}
	if d.ReturnTo != "" {
		_, source, err := target(d.ReturnTo)
		if err != nil {
			return Page{}, fmt.Errorf("return to: %w", err)
		}
		sources = append(sources, onward(source)...)
	}
	return p.render(chooserPage, title, v, formAction(sources...), "")
}

// Failure renders what happened and what the person can do now.
func (p *Pages) Failure(d Failure) (Page, error) {
	v := struct {
		Failure
		Text         text
		What, Advice []segment
		Time         *moment
		RetryHref    template.URL
		BackURL      template.URL
	}{Failure: d, Text: textOf(d.Kind), Time: momentOf(d.When)}
	v.What, v.Advice = sentence(v.Text.What, d.App, d.Upstream), sentence(v.Text.Advice, d.App, d.Upstream)
	directive := formAction()
	if d.RetryHref != "" {
		var err error
		if v.RetryHref, err = ownPath(d.RetryHref); err != nil {
			return Page{}, fmt.Errorf("retry: %w", err)
		}
	}
	if d.Back != nil {
		address, source, err := target(d.Back.URL)
		if err != nil {
			return Page{}, fmt.Errorf("back: %w", err)
		}
		v.BackURL = address
		if d.Back.Post {
			directive = formAction(onward(source)...)
		}
	}
	return p.render(failurePage, v.Text.Title, v, directive, "")
}

// moment is a time for people and for machines.
type moment struct{ Human, Machine string }

func momentOf(t time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &moment{Human: t.Format("2 January 2006, 15:04 UTC"), Machine: t.Format(time.RFC3339)}
}

// SignOutAsk renders the question whether to sign out.
func (p *Pages) SignOutAsk(d SignOutAsk) (Page, error) {
	v := struct {
		SignOutAsk
		Action template.URL
	}{SignOutAsk: d}
	var err error
	if v.Action, err = ownPath(d.Action); err != nil {
		return Page{}, fmt.Errorf("action: %w", err)
	}
	sources := []string{"'self'"}
	if d.ReturnTo != "" {
		_, source, err := target(d.ReturnTo)
		if err != nil {
			return Page{}, fmt.Errorf("return to: %w", err)
		}
		sources = append(sources, onward(source)...)
	}
	return p.render(signOutPage, "Sign out?", v, formAction(sources...), "")
}

// SignedOut renders that the person is signed out.
func (p *Pages) SignedOut(d SignedOut) (Page, error) {
	v := struct {
		SignedOut
		Href template.URL
	}{SignedOut: d}
	if d.Href != "" {
		var err error
		if v.Href, _, err = target(d.Href); err != nil {
			return Page{}, fmt.Errorf("app: %w", err)
		}
	}
	return p.render(signedOutPage, "Signed out", v, formAction(), "")
}

// FormPost renders the form that takes a person back to the app: by a script of its own where scripts run, else by a button.
func (p *Pages) FormPost(d FormPost) (Page, error) {
	action, source, err := target(d.Action)
	if err != nil {
		return Page{}, fmt.Errorf("action: %w", err)
	}
	v := struct {
		FormPost
		Action template.URL
		Script template.JS
	}{FormPost: d, Action: action, Script: submitScript}
	return p.render(formPostPage, "One moment", v, formAction(onward(source)...), "; script-src "+hashSource([]byte(submitScript)))
}

// StartAgain renders that the sign-in is to be begun anew.
func (p *Pages) StartAgain(d StartAgain) (Page, error) {
	v := struct {
		StartAgain
		Href template.URL
	}{StartAgain: d}
	if d.Href != "" {
		address, err := ownPath(d.Href)
		if err != nil {
			if address, _, err = target(d.Href); err != nil {
				return Page{}, fmt.Errorf("start: %w", err)
			}
		}
		v.Href = address
	}
	return p.render(startAgainPage, "Let’s start again", v, formAction(), "")
}
