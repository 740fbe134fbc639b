package oauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func codeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}

func TestP27_FormRules(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       Code
	}{
		{"plain", "grant_type=a&scope=b+c", ""},
		{"empty body", "", ""},
		{"audience repeated", "audience=a&audience=b&resource=c&resource=d", ""},
		{"parameter repeated", "scope=a&scope=b", CodeInvalidRequest},
		{"parameter repeated with the same value", "grant_type=a&grant_type=a", CodeInvalidRequest},
		{"parameter repeated, once empty", "scope=&scope=a", CodeInvalidRequest},
		{"unknown parameter repeated", "x=1&x=2", CodeInvalidRequest},
		{"name repeated by escaping", "scope=a&%73cope=b", CodeInvalidRequest},
		{"semicolon", "a=b;c=d", CodeInvalidRequest},
		{"broken escape", "a=%zz", CodeInvalidRequest},
		{"bad UTF-8", "a=%ff", CodeInvalidRequest},
		{"bad UTF-8 in a name", "%ff=a", CodeInvalidRequest},
		{"NUL", "a=b%00c", CodeInvalidRequest},
		{"too many", strings.Repeat("audience=a&", maxParameters) + "a=b", CodeInvalidRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ParseForm(c.body); codeOf(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// RFC 6749 §3.1: a parameter without a value counts as omitted.
func TestForm_EmptyIsOmitted(t *testing.T) {
	f, err := ParseForm("scope=&audience=&audience=a&client_id")
	if err != nil {
		t.Fatal(err)
	}
	if f.Has(ParamScope) || f.Has(ParamClientID) || !slices.Equal(f.All(ParamAudience), []string{"a"}) {
		t.Errorf("got %v", f)
	}
}

func basic(s string) []string {
	return []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(s))}
}

func TestP27_Credentials(t *testing.T) {
	assertion := "client_assertion=x.y.z&client_assertion_type=" + strings.ReplaceAll(AssertionJWTBearer, ":", "%3A")
	for _, c := range []struct {
		name   string
		header []string
		body   string
		want   Credentials
		code   Code
	}{
		{name: "nobody"},
		{name: "empty client_id is nobody", body: "client_id="},
		{name: "client id alone", body: "client_id=spa", want: Credentials{Method: AuthNone, ClientID: "spa"}},
		{name: "basic", header: basic("a:b"), want: Credentials{Method: AuthSecretBasic, ClientID: "a", Secret: "b"}},
		{name: "basic is form-encoded", header: basic("a%2Bb:c%25+d"), want: Credentials{Method: AuthSecretBasic, ClientID: "a+b", Secret: "c% d"}},
		{name: "basic, scheme in lower case", header: []string{strings.Replace(basic("a:b")[0], "Basic", "basic", 1)}, want: Credentials{Method: AuthSecretBasic, ClientID: "a", Secret: "b"}},
		{name: "basic beside the same client id", header: basic("a:b"), body: "client_id=a", want: Credentials{Method: AuthSecretBasic, ClientID: "a", Secret: "b"}},
		{name: "basic beside another client id", header: basic("a:b"), body: "client_id=c", code: CodeInvalidRequest},
		{name: "post", body: "client_id=a&client_secret=b", want: Credentials{Method: AuthSecretPost, ClientID: "a", Secret: "b"}},
		{name: "post without id", body: "client_secret=b", code: CodeInvalidClient},
		{name: "assertion", body: assertion, want: Credentials{Method: AuthPrivateKeyJWT, Assertion: "x.y.z"}},
		{name: "assertion with id", body: assertion + "&client_id=a", want: Credentials{Method: AuthPrivateKeyJWT, ClientID: "a", Assertion: "x.y.z"}},
		{name: "assertion without type", body: "client_assertion=x", code: CodeInvalidClient},
		{name: "assertion of another type", body: "client_assertion=x&client_assertion_type=y", code: CodeInvalidClient},
		{name: "assertion type alone", body: "client_assertion_type=y", code: CodeInvalidClient},
		{name: "basic and post", header: basic("a:b"), body: "client_id=a&client_secret=b", code: CodeInvalidRequest},
		{name: "basic and assertion", header: basic("a:b"), body: assertion, code: CodeInvalidRequest},
		{name: "post and assertion", body: assertion + "&client_id=a&client_secret=b", code: CodeInvalidRequest},
		{name: "two headers", header: append(basic("a:b"), basic("a:b")...), code: CodeInvalidRequest},
		{name: "an empty header is not nobody", header: []string{""}, code: CodeInvalidClient},
		{name: "bearer", header: []string{"Bearer x"}, code: CodeInvalidClient},
		{name: "not base64", header: []string{"Basic ***"}, code: CodeInvalidClient},
		{name: "no colon", header: basic("ab"), code: CodeInvalidClient},
		{name: "no id", header: basic(":b"), code: CodeInvalidClient},
		{name: "broken escape", header: basic("a:%zz"), code: CodeInvalidClient},
		{name: "bad UTF-8", header: basic("a:%ff"), code: CodeInvalidClient},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := ParseForm(c.body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := FormCredentials(c.header, f)
			if codeOf(err) != c.code {
				t.Fatalf("got %v, want %q", err, c.code)
			}
			if err == nil && got != c.want {
				t.Errorf("got %#v", got)
			}
			if err == nil && got.None() != (c.want == Credentials{}) {
				t.Error("nobody and somebody are confused")
			}
		})
	}
}

func TestCredentials_NeverShown(t *testing.T) {
	c := Credentials{Method: AuthSecretPost, ClientID: "a", Secret: "hush", Assertion: "hush"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, c); strings.Contains(s, "hush") {
			t.Errorf("%s shows %s", verb, s)
		}
	}
}

func TestP17_ScopeSyntax(t *testing.T) {
	for s, want := range map[string][]string{
		"":             nil,
		"a":            {"a"},
		"b a b":        {"b", "a"},
		"!#[]^~ {|}":   {"!#[]^~", "{|}"},
		" a":           {},
		"a ":           {},
		"a  b":         {},
		" ":            {},
		"a\tb":         {},
		`a"b`:          {},
		`a\b`:          {},
		"ä":            {},
		"a\x7f":        {},
		"a\n":          {},
		"a\u00a0b":     {},
		manyScopes(65): {},
	} {
		got, err := ParseScope(s)
		switch {
		case want != nil && len(want) == 0:
			if codeOf(err) != CodeInvalidScope {
				t.Errorf("%q: got %v, %v, want invalid_scope", s, got, err)
			}
		case err != nil || !reflect.DeepEqual(got, want):
			t.Errorf("%q: got %q, %v, want %q", s, got, err, want)
		}
	}
	if got, err := ParseScope(manyScopes(64)); err != nil || len(got) != 64 {
		t.Errorf("64 scopes: %d, %v", len(got), err)
	}
}

func manyScopes(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("s", i)
	}
	return JoinScope(all)
}

func TestP16_AudienceAndResourceAreOneSet(t *testing.T) {
	got, err := Targets(Form{ParamAudience: {"a", "https://x", "a"}, ParamResource: {"https://x", "https://y"}})
	if want := []string{"a", "https://x", "https://y"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestP16_ResourceSyntax(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://api.example":           true,
		"https://api.example/a?b=c":     true,
		"http://[::1]:8080/":            true,
		"urn:example:orders":            true,
		"https://api.example#f":         false,
		"https://api.example#":          false,
		"urn:example#":                  false,
		"/orders":                       false,
		"orders":                        false,
		"//api.example":                 false,
		"https:":                        false,
		"https:///x":                    false,
		"https://api.example/a b":       false,
		"https://äpi.example":           false,
		"https://api.example/%zz":       false,
		"https://api.example/\"":        false,
		"1http://x":                     false,
		"https://api.example/\u2028":    false,
		"https://api.example:port/":     false,
		"https://user@api.example/%41b": true,
	} {
		_, err := Targets(Form{ParamResource: {s}})
		if (codeOf(err) == "") != ok || err != nil && codeOf(err) != CodeInvalidTarget {
			t.Errorf("%q: got %v, want ok %t", s, err, ok)
		}
	}
}

func TestP16_TargetsAreBounded(t *testing.T) {
	for name, f := range map[string]Form{
		"number": {ParamAudience: make([]string, maxTargets), ParamResource: {"https://x"}},
		"length": {ParamAudience: {strings.Repeat("a", maxTargetLength+1)}},
	} {
		if _, err := Targets(f); codeOf(err) != CodeInvalidTarget {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestUnique(t *testing.T) {
	in := []string{"a", "b", "a", "c", "b"}
	if got := Unique(in); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %q", got)
	}
	if !slices.Equal(in, []string{"a", "b", "a", "c", "b"}) {
		t.Error("the input was written")
	}
}

var allCodes = []Code{
	CodeInvalidRequest, CodeInvalidClient, CodeInvalidGrant, CodeUnauthorizedClient, CodeUnsupportedGrantType, CodeInvalidScope,
	CodeInvalidTarget, CodeTemporarilyUnavailable, CodeServerError, CodeInvalidDPoPProof, CodeUseDPoPNonce,
}

// RFC 6749 §5.2: error_description is of %x20-21 / %x23-5B / %x5D-7E.
func TestP27_OneFixedSentencePerCode(t *testing.T) {
	seen := map[string]Code{}
	for _, c := range allCodes {
		s := c.Description()
		if other, taken := seen[s]; taken {
			t.Errorf("%s and %s share a sentence", c, other)
		}
		seen[s] = c
		if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
			t.Errorf("%s: %q", c, s)
		}
		a, b := Deny(c, ReasonScope).Because(errors.New("one")), Deny(c, ReasonTarget).Because(errors.New("two"))
		if a.Description() != s || b.Description() != s {
			t.Errorf("%s: the sentence depends on the cause", c)
		}
	}
}

func TestP27_Statuses(t *testing.T) {
	want := map[Code]int{CodeInvalidClient: http.StatusUnauthorized, CodeTemporarilyUnavailable: http.StatusServiceUnavailable, CodeServerError: http.StatusInternalServerError}
	for _, c := range allCodes {
		w := want[c]
		if w == 0 {
			w = http.StatusBadRequest
		}
		if got := Deny(c, ReasonInternal).HTTPStatus(); got != w {
			t.Errorf("%s: got %d, want %d", c, got, w)
		}
	}
	if e := Deny(CodeTemporarilyUnavailable, ReasonNotDurable); e.RetryAfter <= 0 {
		t.Error("temporarily_unavailable without Retry-After")
	}
	e := Deny(CodeInvalidRequest, ReasonFormRules)
	e.Status = http.StatusRequestEntityTooLarge
	if e.HTTPStatus() != http.StatusRequestEntityTooLarge {
		t.Error("a status of its own is not answered")
	}
}

func TestError_UnknownIsServerError(t *testing.T) {
	cause := errors.New("disk on fire")
	e := AsError(fmt.Errorf("work: %w", cause))
	if e.Code != CodeServerError || !errors.Is(e, cause) || strings.Contains(e.Description(), "fire") {
		t.Errorf("got %v", e)
	}
	d := Deny(CodeInvalidScope, ReasonScope)
	if got := AsError(fmt.Errorf("work: %w", d)); got != d {
		t.Errorf("got %v", got)
	}
	if c := d.Because(cause); c == d || d.Unwrap() != nil || c.Unwrap() != cause {
		t.Error("Because changed what it was called on")
	}
}

func TestGrantNames(t *testing.T) {
	for _, name := range GrantNames() {
		wire, ok := GrantType(name)
		back, ok2 := GrantName(wire)
		if !ok || !ok2 || back != name {
			t.Errorf("%s: %s, %s", name, wire, back)
		}
	}
	if _, ok := GrantType(GrantTokenExchange); ok {
		t.Error("a wire name passes for a configured one")
	}
	if _, ok := GrantName("token-exchange"); ok {
		t.Error("a configured name passes for a wire name")
	}
}

func TestRequester_Is(t *testing.T) {
	r := Requester{ClientID: "a", Identifiers: []string{"orders"}}
	for name, want := range map[string]bool{"a": true, "orders": true, "": false, "b": false, "A": false} {
		if r.Is(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
	if (Requester{Anonymous: true}).Is("") || (Requester{Anonymous: true, ClientID: "a"}).Is("a") {
		t.Error("nobody is somebody")
	}
}

// P17: the response always states scope, also an empty one.
func TestP17_ResponseStatesScope(t *testing.T) {
	b, err := json.Marshal(TokenResponse{AccessToken: "t", TokenType: Bearer, ExpiresIn: 1})
	if err != nil || string(b) != `{"access_token":"t","token_type":"Bearer","expires_in":1,"scope":""}` {
		t.Errorf("got %s, %v", b, err)
	}
}

func FuzzParseForm(f *testing.F) {
	seeds := []string{"a=b", "scope=a&scope=b", "audience=a&audience=b", "a=%zz", "a=%00", "%ff=1", "a;b", "client_id=a&client_secret=b"}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := ParseForm(body)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeInvalidRequest {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		for name, all := range form {
			if len(all) == 0 || len(all) > 1 && name != ParamAudience && name != ParamResource || slices.Contains(all, "") {
				t.Fatalf("%q: %q = %q", body, name, all)
			}
		}
		if _, err := FormCredentials(nil, form); err != nil {
			AsError(err)
		}
		if targets, err := Targets(form); err == nil && len(Unique(targets)) != len(targets) {
			t.Fatalf("%q: %q", body, targets)
		}
	})
}
