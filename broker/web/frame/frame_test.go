package frame

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"fedbroker/broker/oauth"
)

func mustForm(t *testing.T, text string) oauth.Form {
	t.Helper()
	form, err := oauth.ParseForm(text)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// listen makes slog's default logger, which op writes to, one that the test reads.
func listen(t *testing.T) *bytes.Buffer {
	t.Helper()
	var heard bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&heard, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &heard
}

func TestFrame_TypesAnAuthorizationRequest(t *testing.T) {
	r, err := New().Authorize(mustForm(t, "client_id=wiki&redirect_uri=https://wiki.test/cb&response_type=code&response_mode=form_post&scope=openid+profile&state=s&nonce=n"+
		"&prompt=login+select_account&max_age=60&ui_locales=de+en-GB+%21&acr_values=a+b&login_hint=l&id_token_hint=h&code_challenge=c&code_challenge_method=S256"))
	if err != nil {
		t.Fatal(err)
	}
	if r.ClientID != "wiki" || r.RedirectURI != "https://wiki.test/cb" || r.ResponseType != "code" || r.ResponseMode != "form_post" || r.Scopes.String() != "openid profile" ||
		r.State != "s" || r.Nonce != "n" || !slices.Equal(r.Prompt, []string{"login", "select_account"}) || r.MaxAge == nil || *r.MaxAge != 60 || r.UILocales.String() != "de en-GB" ||
		!slices.Equal(r.ACRValues, []string{"a", "b"}) || r.LoginHint != "l" || r.IDTokenHint != "h" || r.CodeChallenge != "c" || r.CodeChallengeMethod != "S256" {
		t.Errorf("got %+v", r)
	}
}

func TestFrame_TypesTheOthers(t *testing.T) {
	f := New()
	if r, err := f.UserInfo(mustForm(t, "access_token=x"), ""); err != nil || r.AccessToken != "x" {
		t.Errorf("userinfo by form: %+v, %v", r, err)
	}
	if r, err := f.UserInfo(oauth.Form{}, "bearer y"); err != nil || r.AccessToken != "y" {
		t.Errorf("userinfo by header: %+v, %v", r, err)
	}
	r, err := f.EndSession(mustForm(t, "id_token_hint=h&client_id=wiki&post_logout_redirect_uri=https://wiki.test/&state=s"))
	if err != nil || r.IdTokenHint != "h" || r.ClientID != "wiki" || r.PostLogoutRedirectURI != "https://wiki.test/" || r.State != "s" {
		t.Errorf("end session: %+v, %v", r, err)
	}
}

// op refuses each of these by rules of its own, or changes it; here all are for us to judge, as they came.
func TestFrame_OpJudgesNothing(t *testing.T) {
	f := New()
	for name, text := range map[string]string{
		"nothing at all":              "",
		"no redirect_uri":             "client_id=wiki&response_type=code&scope=openid",
		"a redirect_uri of somebody":  "client_id=wiki&redirect_uri=https://evil.test/&response_type=code&scope=openid",
		"a private-use redirect_uri":  "client_id=wiki&redirect_uri=com.example:/cb&response_type=code&scope=openid",
		"no scope":                    "client_id=wiki&redirect_uri=https://wiki.test/cb&response_type=code",
		"a response type not served":  "client_id=wiki&redirect_uri=https://wiki.test/cb&response_type=id_token&scope=openid",
		"plain":                       "client_id=wiki&redirect_uri=https://wiki.test/cb&response_type=code&scope=openid&code_challenge=c&code_challenge_method=plain",
		"prompts that exclude others": "client_id=wiki&redirect_uri=https://wiki.test/cb&response_type=code&scope=openid&prompt=none+login",
		"a request object":            "client_id=wiki&redirect_uri=https://wiki.test/cb&response_type=code&scope=openid&request=x.y.z",
	} {
		t.Run(name, func(t *testing.T) {
			form := mustForm(t, text)
			r, err := f.Authorize(form)
			if err != nil {
				t.Fatal(err)
			}
			if r.RedirectURI != form.Get("redirect_uri") || r.Scopes.String() != form.Get("scope") || r.MaxAge != nil || r.RequestParam != "" ||
				string(r.CodeChallengeMethod) != form.Get("code_challenge_method") {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// Its decoder takes a name in any case, and of two such names the one that comes last, by chance.
func TestFrame_NamesAreTakenAsTheyAre(t *testing.T) {
	const chances = 50
	f := New()
	for range chances {
		r, err := f.Authorize(mustForm(t, "client_id=wiki&Client_ID=evil&CLIENT_ID=evil&REDIRECT_URI=https://evil.test/"))
		if err != nil || r.ClientID != "wiki" || r.RedirectURI != "" {
			t.Fatalf("got %+v, %v", r, err)
		}
	}
}

func TestFrame_WhatIsNotOfItsTypeIsInvalidRequest(t *testing.T) {
	f := New()
	for _, age := range []string{"abc", "-1", "1.5", "0x10", "99999999999999999999", "+"} {
		if _, err := f.Authorize(mustForm(t, "client_id=wiki&max_age="+age)); err == nil || oauth.AsError(err).Code != oauth.CodeInvalidRequest {
			t.Errorf("max_age=%s: %v", age, err)
		}
	}
}

// op logs what it is asked, through slog's default logger, and answers errors with their texts.
func TestFrame_OpIsHeardByNobody(t *testing.T) {
	f := New() // says which routes it has, once
	heard := listen(t)
	for _, text := range []string{"", "max_age=hush", "client_id=wiki&redirect_uri=https://hush.test/&prompt=none+login&request=hush", "scope=openid&redirect_uri=hush"} {
		_, _ = f.Authorize(mustForm(t, text))
		_, _ = f.UserInfo(mustForm(t, text), "Bearer hush")
		_, _ = f.EndSession(mustForm(t, text))
	}
	if heard.Len() > 0 {
		t.Errorf("heard: %s", heard)
	}
}

// A path or a header that op would act upon by itself never reaches it.
func TestFrame_OpSeesARequestOfOurMaking(t *testing.T) {
	seen := make(chan *http.Request, 1)
	f := Frame{op: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r })}
	if _, err := f.Authorize(mustForm(t, "client_id=wiki&unknown=x&resource=https://a.test&resource=https://b.test")); err == nil {
		t.Error("a request that nobody typed")
	}
	r := <-seen
	if r.Method != http.MethodGet || r.URL.String() != "/authorize" || len(r.Header) > 0 || len(r.Form) != 1 || strings.Join(r.Form["client_id"], " ") != "wiki" || r.Body != nil {
		t.Errorf("op sees %s %s %v %v", r.Method, r.URL, r.Header, r.Form)
	}
}
