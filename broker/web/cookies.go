package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"fedbroker/broker/login"
)

const (
	// hostPrefix makes browsers refuse a cookie that is not Secure, not for this host alone, or not for every path (RFC 6265bis §4.1.3.2).
	hostPrefix    = "__Host-"
	sessionCookie = "fedbroker-session"
	attemptCookie = "fedbroker-a-" // and the attempt's id

	attemptAge = 10 * time.Minute // P30
	// maxCookies bounds a Cookie header that is read at all: attempts (P30: 12 KiB of them), a session, and what else the host sets.
	maxCookies = 20 << 10
)

// cookies names ours. Only those of an https issuer are Secure and carry the prefix; on loopback http, where ports share one site, a
// cookie can't be SameSite=None, and needs not be (P30).
type cookies struct{ https bool }

func (k cookies) name(name string) string {
	if k.https {
		return hostPrefix + name
	}
	return name
}

// of reads what the browser holds of ours. A name that is there twice counts once: another server on this host may have set one more.
func (k cookies) of(r *http.Request) login.Browser {
	var b login.Browser
	prefix := k.name(attemptCookie)
	for _, c := range r.Cookies() {
		if c.Name == k.name(sessionCookie) && b.Session == "" {
			b.Session = c.Value
		}
		id, ours := strings.CutPrefix(c.Name, prefix)
		if ours && !slices.ContainsFunc(b.Attempts, func(a login.Sealed) bool { return a.ID == id }) {
			b.Attempts = append(b.Attempts, login.Sealed{ID: id, Value: c.Value})
		}
	}
	return b
}

// change sets and clears what the answer says.
func (k cookies) change(w http.ResponseWriter, a login.Answer) {
	if t := a.Attempt; t != nil {
		for _, id := range t.Drop {
			k.clear(w, attemptCookie+id)
		}
		if t.ID != "" {
			site := http.SameSiteLaxMode
			if t.CrossSite && k.https {
				site = http.SameSiteNoneMode // the IdP's page posts its answer to us
			}
			k.set(w, attemptCookie+t.ID, t.Value, site, int(attemptAge/time.Second))
		}
	}
	switch {
	case a.Session == nil:
	case *a.Session == "":
		k.clear(w, sessionCookie)
	default:
		// Without Max-Age: it ends with the browser, and before that when the session does.
		k.set(w, sessionCookie, *a.Session, http.SameSiteLaxMode, 0)
	}
}

// clearAttempts takes every attempt away from a browser that has too much.
func (k cookies) clearAttempts(w http.ResponseWriter, b login.Browser) {
	for _, a := range b.Attempts {
		k.clear(w, attemptCookie+a.ID)
	}
}

func (k cookies) clear(w http.ResponseWriter, name string) {
	k.set(w, name, "", http.SameSiteLaxMode, -1)
}

// set writes one cookie; maxAge in seconds, 0 without one, below 0 to clear.
func (k cookies) set(w http.ResponseWriter, name, value string, site http.SameSite, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: k.name(name), Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: k.https, SameSite: site})
}
