package pages

import (
	"maps"
	"slices"
	"strings"
)

// The kinds of failure.
const (
	KindUnknownClient       = "unknown_client"       // client_id names no app
	KindRedirect            = "redirect"             // redirect_uri is not the app's
	KindRequest             = "request"              // the app's request is wrong otherwise
	KindExpired             = "expired"              // the attempt is unknown, expired or spent
	KindOtherBrowser        = "other_browser"        // the attempt was begun in another browser
	KindWrongUpstream       = "wrong_upstream"       // another upstream answered than was asked
	KindDenied              = "denied"               // the upstream said no
	KindUpstreamUnavailable = "upstream_unavailable" // down or slow
	KindUpstreamAnswer      = "upstream_answer"      // answered something that is no answer
	KindNotAdmitted         = "not_admitted"         // signed in there, but not admitted here
	KindTooMany             = "too_many"             // over a limit
	KindUnavailable         = "unavailable"          // a part of ours is down
	KindServerError         = "server_error"         // our own fault
)

// text is what a failure page says: what happened, and what the person can do now. No blame, and nothing that only an engineer reads.
// {app} and {upstream} stand for names.
type text struct{ Title, What, Advice string }

var texts = map[string]text{
	KindUnknownClient: {
		Title:  "We don’t know this app",
		What:   "The link that brought you here names an app that isn’t registered with us, so we can’t sign you in to it.",
		Advice: "Check the address you started from. If it came from a colleague or a bookmark, ask whoever runs the app for the current link.",
	},
	KindRedirect: {
		Title:  "We can’t take you back to this app",
		What:   "{app} asked us to send you to an address that isn’t registered for it. To keep your account safe, we stopped here.",
		Advice: "Open the app from where you usually do. If you see this page again, tell the people who run the app.",
	},
	KindRequest: {
		Title:  "This sign-in link isn’t complete",
		What:   "{app} sent you here with a request that we can’t read.",
		Advice: "Go back to the app and sign in from there. If you see this page again, tell the people who run the app.",
	},
	KindExpired: {
		Title:  "This sign-in has run out",
		What:   "A sign-in can be used once and for ten minutes. This one is too old, or was finished in the meantime.",
		Advice: "Start again from {app}. It takes only a moment.",
	},
	KindOtherBrowser: {
		Title:  "This sign-in began somewhere else",
		What:   "You can finish a sign-in only in the browser where it began. This browser doesn’t know of it.",
		Advice: "Go back to the browser where you began, or start again from {app} in this one. If your browser blocks cookies, allow them for this site.",
	},
	KindWrongUpstream: {
		Title:  "The answer came from somewhere else",
		What:   "We had asked one organisation to sign you in, and another one answered. To keep your account safe, we stopped here.",
		Advice: "Start again from {app} and choose your organisation once more.",
	},
	KindDenied: {
		Title:  "You weren’t signed in",
		What:   "{upstream} told us that the sign-in was cancelled or not allowed.",
		Advice: "Try again if that wasn’t what you meant. If you should have access, ask the people who look after accounts at your organisation.",
	},
	KindUpstreamUnavailable: {
		Title:  "Your organisation can’t be reached",
		What:   "The sign-in service of {upstream} didn’t answer in time.",
		Advice: "Wait a minute, then try again. Nothing is wrong with your account.",
	},
	KindUpstreamAnswer: {
		Title:  "We couldn’t confirm your sign-in",
		What:   "The sign-in service of {upstream} sent an answer that we can’t rely on, so we stopped here.",
		Advice: "Try again. If it happens twice, send the reference below to support: they can see what was wrong.",
	},
	KindNotAdmitted: {
		Title:  "Your account doesn’t have access",
		What:   "You signed in at {upstream}, but that account isn’t admitted to {app}.",
		Advice: "If you have another account, try again with that one. Otherwise ask whoever invited you to give this account access.",
	},
	KindTooMany: {
		Title:  "Too many attempts just now",
		What:   "Many sign-ins have come from your network in a short time, so we pause for a moment.",
		Advice: "Wait a minute, then try again.",
	},
	KindUnavailable: {
		Title:  "We’ll be back in a moment",
		What:   "A part of our sign-in service isn’t available at the moment.",
		Advice: "Wait a minute, then try again. Nothing is wrong with your account.",
	},
	KindServerError: {
		Title:  "Something went wrong on our side",
		What:   "We couldn’t finish your sign-in. This wasn’t because of anything you did.",
		Advice: "Try again in a moment. If it goes on, send the reference below to support.",
	},
}

// Kinds lists every kind of failure that has words of its own, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(texts)) }

func textOf(kind string) text {
	if t, ok := texts[kind]; ok {
		return t
	}
	return texts[KindServerError]
}

// segment is a piece of a sentence: our words, or a name of somebody else's making.
type segment struct {
	Text string
	Name bool
}

// sentence puts names into one of our sentences.
func sentence(s, app, upstream string) []segment {
	var out []segment
	for s != "" {
		at := strings.IndexByte(s, '{')
		if at < 0 {
			return append(out, segment{Text: s})
		}
		mark, rest, _ := strings.Cut(s[at+1:], "}")
		if at > 0 {
			out = append(out, segment{Text: s[:at]})
		}
		switch {
		case mark == "app" && app != "":
			out = append(out, segment{Text: app, Name: true})
		case mark == "upstream" && upstream != "":
			out = append(out, segment{Text: upstream, Name: true})
		case at == 0 && mark == "app":
			out = append(out, segment{Text: "The app"})
		case at == 0:
			out = append(out, segment{Text: "Your organisation"})
		case mark == "app":
			out = append(out, segment{Text: "the app"})
		default:
			out = append(out, segment{Text: "your organisation"})
		}
		s = rest
	}
	return out
}
