package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fedbroker/broker/login"
)

// cookiesOf reads the Set-Cookie headers of an answer by name.
func cookiesOf(t *testing.T, a answer) map[string]*http.Cookie {
	t.Helper()
	out := map[string]*http.Cookie{}
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		if out[c.Name] != nil {
			t.Errorf("%s is set twice", c.Name)
		}
		out[c.Name] = c
	}
	return out
}

// bothIssuers is a house with an https issuer and one with http on loopback.
func bothIssuers(t *testing.T) func(loopback bool) (*house, *judge) {
	t.Helper()
	https, ofHTTPS := judged(t)
	http, ofHTTP := judged(t, onLoopback)
	return func(loopback bool) (*house, *judge) {
		if loopback {
			return http, ofHTTP.afresh()
		}
		return https, ofHTTPS.afresh()
	}
}

func TestP30_CookiesAndTheirAttributes(t *testing.T) {
	houses := bothIssuers(t)
	value, none := "me", ""
	for name, tt := range map[string]struct {
		loopback bool
		answer   login.Answer
		want     http.Cookie // Path and HttpOnly are always so
	}{
		"attempt":                     {false, login.Answer{Attempt: &login.SetAttempt{ID: "s", Value: "v"}}, http.Cookie{Name: "__Host-fedbroker-a-s", Value: "v", MaxAge: 600, Secure: true, SameSite: http.SameSiteLaxMode}},
		"attempt for a POST callback": {false, login.Answer{Attempt: &login.SetAttempt{ID: "s", Value: "v", CrossSite: true}}, http.Cookie{Name: "__Host-fedbroker-a-s", Value: "v", MaxAge: 600, Secure: true, SameSite: http.SameSiteNoneMode}},
		"attempt, spent":              {false, login.Answer{Attempt: &login.SetAttempt{Drop: []string{"s"}}}, http.Cookie{Name: "__Host-fedbroker-a-s", MaxAge: -1, Secure: true, SameSite: http.SameSiteLaxMode}},
		"session":                     {false, login.Answer{Session: &value}, http.Cookie{Name: "__Host-fedbroker-session", Value: "me", Secure: true, SameSite: http.SameSiteLaxMode}},
		"session, ended":              {false, login.Answer{Session: &none}, http.Cookie{Name: "__Host-fedbroker-session", MaxAge: -1, Secure: true, SameSite: http.SameSiteLaxMode}},
		"attempt on loopback":         {true, login.Answer{Attempt: &login.SetAttempt{ID: "s", Value: "v"}}, http.Cookie{Name: "fedbroker-a-s", Value: "v", MaxAge: 600, SameSite: http.SameSiteLaxMode}},
		"attempt for a POST callback on loopback": {true, login.Answer{Attempt: &login.SetAttempt{ID: "s", Value: "v", CrossSite: true}}, http.Cookie{Name: "fedbroker-a-s", Value: "v", MaxAge: 600, SameSite: http.SameSiteLaxMode}},
		"attempt on loopback, spent":              {true, login.Answer{Attempt: &login.SetAttempt{Drop: []string{"s"}}}, http.Cookie{Name: "fedbroker-a-s", MaxAge: -1, SameSite: http.SameSiteLaxMode}},
		"session on loopback":                     {true, login.Answer{Session: &value}, http.Cookie{Name: "fedbroker-session", Value: "me", SameSite: http.SameSiteLaxMode}},
	} {
		t.Run(name, func(t *testing.T) {
			h, j := houses(tt.loopback)
			tt.answer.Redirect = idpURL
			j.answer = tt.answer
			got := cookiesOf(t, h.do(get("/authorize", asking())))
			c := got[tt.want.Name]
			if len(got) != 1 || c == nil {
				t.Fatalf("got %v", got)
			}
			if c.Value != tt.want.Value || c.MaxAge != tt.want.MaxAge || c.Secure != tt.want.Secure || c.SameSite != tt.want.SameSite || !c.HttpOnly || c.Path != "/" || c.Domain != "" {
				t.Errorf("got %s", c)
			}
		})
	}
}

func TestP30_AnOlderAttemptIsClearedBesideTheNewOne(t *testing.T) {
	h, j := judged(t)
	j.answer.Attempt = &login.SetAttempt{ID: "new", Value: "v", Drop: []string{"old", "older"}}
	got := cookiesOf(t, h.do(get("/authorize", asking())))
	if len(got) != 3 || got["__Host-fedbroker-a-new"].MaxAge != 600 || got["__Host-fedbroker-a-old"].MaxAge != -1 || got["__Host-fedbroker-a-older"].MaxAge != -1 {
		t.Errorf("got %v", got)
	}
}

func TestP30_CookiesAreReadByTheirWholeNames(t *testing.T) {
	houses := bothIssuers(t)
	sealed := func(pairs ...string) (out []login.Sealed) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, login.Sealed{ID: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	for name, tt := range map[string]struct {
		loopback bool
		cookie   []string
		want     login.Browser
	}{
		"none":                              {false, nil, login.Browser{}},
		"all":                               {false, []string{"__Host-fedbroker-a-1=x; __Host-fedbroker-session=me; __Host-fedbroker-a-2=y"}, login.Browser{Session: "me", Attempts: sealed("1", "x", "2", "y")}},
		"in two headers, as by HTTP/2":      {false, []string{"__Host-fedbroker-a-1=x", "__Host-fedbroker-session=me"}, login.Browser{Session: "me", Attempts: sealed("1", "x")}},
		"unprefixed under https":            {false, []string{"fedbroker-a-1=x; fedbroker-session=me"}, login.Browser{}},
		"prefixed on loopback":              {true, []string{"__Host-fedbroker-a-1=x; __Host-fedbroker-session=me"}, login.Browser{}},
		"on loopback":                       {true, []string{"fedbroker-a-1=x; fedbroker-session=me"}, login.Browser{Session: "me", Attempts: sealed("1", "x")}},
		"twice, from another path or port":  {true, []string{"fedbroker-session=me; fedbroker-session=evil; fedbroker-a-1=x; fedbroker-a-1=evil"}, login.Browser{Session: "me", Attempts: sealed("1", "x")}},
		"other case is another cookie":      {false, []string{"__host-fedbroker-session=me; __Host-Fedbroker-a-1=x"}, login.Browser{}},
		"of another server on this machine": {true, []string{"idp-session=x; app=y"}, login.Browser{}},
	} {
		t.Run(name, func(t *testing.T) {
			h, j := houses(tt.loopback)
			c := get("/authorize", asking())
			c.header = http.Header{"Cookie": tt.cookie}
			h.do(c)
			if got := j.authorize[0].Browser; got.Session != tt.want.Session || !slices.Equal(got.Attempts, tt.want.Attempts) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A browser at the limit of attempts, with a session and a long address, is heard; one beyond gets a page that frees it.
func TestP30_CookiesAtTheLimitAndBeyond(t *testing.T) {
	attempts := func(n, size int) string {
		var list []string
		for i := range n {
			list = append(list, "__Host-fedbroker-a-00000000000000000000000000000"+string(rune('a'+i))+"="+strings.Repeat("x", size))
		}
		return strings.Join(append(list, "__Host-fedbroker-session="+strings.Repeat("s", 80)), "; ")
	}
	h, j := judged(t)
	long := with(asking(), "claims", strings.Repeat("x", 7<<10))
	at := get("/authorize", long)
	at.header = http.Header{"Cookie": {attempts(8, 12<<10/8)}}
	if a := h.do(at); a.status != http.StatusSeeOther || len(j.authorize[0].Browser.Attempts) != 8 {
		t.Fatalf("at the limit: %d %s", a.status, a.raw)
	}
	for _, path := range []string{"/authorize", "/login", "/callback/acme", "/logout"} {
		beyond := get(path, url.Values{"client_id": {"wiki"}})
		beyond.header = http.Header{"Cookie": {attempts(8, 3<<10)}}
		a := h.do(beyond)
		isPage(t, a, http.StatusRequestHeaderFieldsTooLarge)
		cleared := cookiesOf(t, a)
		for name, c := range cleared {
			if c.MaxAge != -1 || !strings.HasPrefix(name, "__Host-fedbroker-a-") {
				t.Errorf("%s: %s", path, c)
			}
		}
		if len(cleared) != 8 {
			t.Errorf("%s: %d cleared", path, len(cleared))
		}
	}
	if j.asked() != 1 {
		t.Errorf("%d judged", j.asked())
	}
	if a := h.do(call{method: http.MethodGet, path: "/jwks", header: http.Header{"Cookie": {attempts(8, 3<<10)}}}); a.status != http.StatusOK {
		t.Errorf("where no cookie counts: %d", a.status)
	}
}
