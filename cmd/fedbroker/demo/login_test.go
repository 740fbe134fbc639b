package demo

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func opened(t *testing.T) *house {
	t.Helper()
	h, err := open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestLogin_ThePersonStaysOneOverRefreshAndCall(t *testing.T) {
	h := opened(t)
	b, err := h.newBrowser()
	if err != nil {
		t.Fatal(err)
	}
	defer b.client.CloseIdleConnections()
	first, err := b.signIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refreshed, err := b.app(t.Context(), http.MethodPost, "/refresh")
	if err != nil {
		t.Fatal(err)
	}
	if first.Claims["sub"] != "acme|7f3a91" || refreshed.Claims["sub"] != first.Claims["sub"] || refreshed.Access == first.Access {
		t.Errorf("before %v, after %v", first.Claims, refreshed.Claims)
	}
	called, err := b.app(t.Context(), http.MethodPost, "/call")
	if err != nil || !strings.Contains(called.Answer, `"for":"acme|7f3a91"`) {
		t.Errorf("%v: %s", err, called.Answer)
	}
	again, err := b.app(t.Context(), http.MethodGet, "/login?prompt=none") // the session at the broker is enough
	if err != nil || again.Claims["sub"] != first.Claims["sub"] {
		t.Errorf("single sign-on: %v", err)
	}
	if _, err := b.app(t.Context(), http.MethodPost, "/logout"); err != nil {
		t.Error(err)
	}
	if out, err := b.app(t.Context(), http.MethodGet, "/login?prompt=none"); err == nil || !strings.Contains(err.Error(), "login_required") {
		t.Errorf("signed out, and %v, %v", out.Claims, err)
	}
}

// The page is what a person sees: it shows both sides, and its policy lets nothing else in.
func TestPage_ShowsBothSides(t *testing.T) {
	h := opened(t)
	b, err := h.newBrowser()
	if err != nil {
		t.Fatal(err)
	}
	defer b.client.CloseIdleConnections()
	if _, err := b.signIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	response, err := b.client.Get(h.app.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Ada Lovelace", "acme|7f3a91", "eng-ord", "acme:orders", "at&#43;jwt", "not passed on", "Exchange and call"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if csp := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("policy %q", csp)
	}
	for _, secret := range []string{h.secrets[sampleApp], h.acme.secret} {
		if strings.Contains(string(body), secret) {
			t.Error("a secret is on the page")
		}
	}
}

// A page of another site can't press the app's buttons.
func TestApp_RefusesPostsOfOtherSites(t *testing.T) {
	h := opened(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.app.URL()+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	response, err := h.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("got %d", response.StatusCode)
	}
}
