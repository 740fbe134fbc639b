package upstreams_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// oracle is an introspection endpoint; a test says what it answers.
type oracle struct {
	asked  atomic.Int32
	retry  string // Retry-After
	status int
	media  string
	answer func() string
	form   atomic.Pointer[http.Request]
}

func (o *oracle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	_ = r.ParseForm()
	o.form.Store(r)
	w.Header().Set("Content-Type", o.media)
	w.Header().Set("Retry-After", o.retry)
	w.WriteHeader(o.status)
	_, _ = w.Write([]byte(o.answer()))
}

// newOracle is an upstream that vouches for opaque tokens, and what its endpoint says of all of them.
func newOracle(t *testing.T, said map[string]any) (*bench, *oracle, upstreams.Introspector) {
	t.Helper()
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	o := &oracle{status: http.StatusOK, media: "application/json"}
	o.answer = func() string {
		b, err := json.Marshal(with(map[string]any{
			"active": true, "sub": "alice", "exp": c.Now().Add(time.Hour).Unix(), "iat": c.Now().Unix(), "aud": audience, "iss": idp.Issuer(), "jti": "j-1", "dept": "R&D",
		}, flat(said)...))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	spec := jwtSpec("acme", idp)
	spec.Introspection = &upstreams.Introspection{Endpoint: newServer(t, o) + "/introspect", ClientID: "broker at acme", ClientSecret: "s&cret"}
	spec.CredentialHosts = []string{"127.0.0.1"}
	b := newBench(t, c, spec)
	in, ok := b.set.Introspector("acme")
	if !ok {
		t.Fatal("no introspector")
	}
	return b, o, in
}

func flat(m map[string]any) []any {
	var out []any
	for k, v := range m {
		out = append(out, k, v)
	}
	return out
}

func TestP13_OpaqueTokenCountsByIntrospection(t *testing.T) {
	_, o, in := newOracle(t, nil)
	id, err := in.Introspect(t.Context(), "tok", exchange)
	if err != nil {
		t.Fatal(err)
	}
	if id.Upstream != "acme" || id.Subject != "alice" || id.BrokerSubject != "acme|alice" || id.JTI != "j-1" || !slices.Equal(id.Audiences, []string{audience}) || id.Claims["dept"] != "R&D" || len(id.TokenID) != 22 {
		t.Errorf("got %+v", id)
	}
	r := o.form.Load()
	if user, password, _ := r.BasicAuth(); user != "broker+at+acme" || password != "s%26cret" || r.PostForm.Get("token") != "tok" || r.Method != http.MethodPost {
		t.Errorf("asked as %q by %q with %v", user, password, r.PostForm)
	}
	if other, err := in.Introspect(t.Context(), "tok2", exchange); err != nil || other.TokenID == id.TokenID {
		t.Errorf("two tokens of one id: %v", err)
	}
}

func TestP13_AnswersThatVouchForNothing(t *testing.T) {
	for name, c := range map[string]struct {
		said   map[string]any
		reason upstreams.Reason
	}{
		"not active":                      {map[string]any{"active": false}, upstreams.ReasonInactive},
		"active in words":                 {map[string]any{"active": "true"}, upstreams.ReasonInactive},
		"active absent":                   {map[string]any{"active": nil}, upstreams.ReasonInactive},
		"a refresh token":                 {map[string]any{"token_type": "refresh_token"}, upstreams.ReasonClass},
		"a refresh token, by use":         {map[string]any{"token_type": "Bearer", "token_use": "refresh_token"}, upstreams.ReasonClass},
		"a type that is no text":          {map[string]any{"token_type": 5}, upstreams.ReasonClass},
		"DPoP, bound to no key":           {map[string]any{"token_type": "DPoP"}, upstreams.ReasonClass},
		"no sub":                          {map[string]any{"sub": nil}, upstreams.ReasonSubject},
		"sub that is no string":           {map[string]any{"sub": 5}, upstreams.ReasonSubject},
		"no exp":                          {map[string]any{"exp": nil}, upstreams.ReasonTime},
		"exp in words":                    {map[string]any{"exp": "1900000000"}, upstreams.ReasonTime},
		"expired":                         {map[string]any{"exp": 1}, upstreams.ReasonTime},
		"not yet valid":                   {map[string]any{"nbf": 1_900_000_000}, upstreams.ReasonTime},
		"another audience":                {map[string]any{"aud": "other"}, upstreams.ReasonAudience},
		"neither aud nor client_id":       {map[string]any{"aud": nil}, upstreams.ReasonAudience},
		"another client":                  {map[string]any{"aud": nil, "client_id": "other"}, upstreams.ReasonAudience},
		"another issuer":                  {map[string]any{"iss": "https://evil.example"}, upstreams.ReasonIssuer},
		"an issuer that is no string":     {map[string]any{"iss": 5}, upstreams.ReasonIssuer},
		"bound in a way nobody can prove": {map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, upstreams.ReasonConfirmation},
		"act that is none":                {map[string]any{"act": "x"}, upstreams.ReasonClaim},
	} {
		_, _, in := newOracle(t, c.said)
		_, err := in.Introspect(t.Context(), "tok", exchange)
		if e, ok := errors.AsType[*upstreams.Error](err); !ok || e.Reason != c.reason || !errors.Is(err, upstreams.ErrInvalid) {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
}

func TestP13_ClientIDStandsForAnAudience(t *testing.T) {
	_, _, in := newOracle(t, map[string]any{"aud": "account", "client_id": audience})
	if _, err := in.Introspect(t.Context(), "tok", exchange); err != nil {
		t.Error(err)
	}
}

func TestP4_IntrospectionAssertsNoAssurance(t *testing.T) {
	_, _, in := newOracle(t, map[string]any{"acr": "gold", "amr": []string{"otp"}, "auth_time": 1_700_000_000})
	id, err := in.Introspect(t.Context(), "tok", exchange)
	if err != nil || id.ACR != "" || id.AMR != nil || !id.AuthTime.IsZero() {
		t.Errorf("got %+v, %v", id, err)
	}
}

// An endpoint that echoes the token must not bring it into the log.
func TestP13_ErrorsDoNotQuoteTheToken(t *testing.T) {
	_, o, in := newOracle(t, nil)
	o.status, o.answer = http.StatusBadRequest, func() string { return `{"error":"invalid_request","error_description":"token s3cret-tok is unknown"}` }
	_, err := in.Introspect(t.Context(), "s3cret-tok", exchange)
	if err == nil || strings.Contains(err.Error(), "s3cret-tok") || !strings.Contains(err.Error(), "invalid_request") {
		t.Errorf("%v", err)
	}
}

// What is wrong with the endpoint is not the token's fault.
func TestP13_EndpointThatDoesNotAnswer(t *testing.T) {
	for name, spoil := range map[string]func(*oracle){
		"500":                 func(o *oracle) { o.status = 500 },
		"401, our credential": func(o *oracle) { o.status, o.answer = 401, func() string { return `{"error":"invalid_client"}` } },
		"another media type":  func(o *oracle) { o.media = "text/html" },
		"no JSON":             func(o *oracle) { o.answer = func() string { return "<html>" } },
		"a member twice":      func(o *oracle) { o.answer = func() string { return `{"active":false,"active":true}` } },
		"endless":             func(o *oracle) { o.answer = func() string { return `{"x":"` + strings.Repeat("x", 1<<20) + `"}` } },
	} {
		_, o, in := newOracle(t, nil)
		good := o.answer
		spoil(o)
		if _, err := in.Introspect(t.Context(), "tok", exchange); !errors.Is(err, upstreams.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		o.status, o.media, o.answer = http.StatusOK, "application/json", good
		if _, err := in.Introspect(t.Context(), "tok", exchange); err != nil {
			t.Errorf("%s is remembered: %v", name, err)
		}
	}
}

func TestP13_AnswerCountsForThirtySecondsAndNotBeyondExp(t *testing.T) {
	b, o, in := newOracle(t, nil)
	ask := func(want int32) {
		t.Helper()
		if _, err := in.Introspect(t.Context(), "tok", exchange); err != nil || o.asked.Load() != want {
			t.Errorf("asked %d times, want %d: %v", o.asked.Load(), want, err)
		}
	}
	ask(1)
	b.clock.Add(29 * time.Second)
	ask(1)
	b.clock.Add(time.Second)
	ask(2)
	expires := b.clock.Now().Add(40 * time.Second).Unix() // ten seconds after this answer is asked for
	o.answer = func() string {
		return fmt.Sprintf(`{"active":true,"sub":"alice","aud":%q,"exp":%d}`, audience, expires)
	}
	b.clock.Add(30 * time.Second)
	ask(3)
	b.clock.Add(9 * time.Second)
	ask(3)
	b.clock.Add(time.Second) // the leeway is for clocks that differ, not for what is remembered
	ask(4)
	o.answer = func() string { return `{"active":false}` }
	b.clock.Add(30 * time.Second)
	if _, err := in.Introspect(t.Context(), "tok", exchange); !errors.Is(err, upstreams.ErrInvalid) {
		t.Errorf("revoked at the upstream: %v", err)
	}
}

// What one reader does to the claims, no other sees.
func TestP13_ClaimsAreTheReadersOwn(t *testing.T) {
	_, o, in := newOracle(t, map[string]any{"org": map[string]any{"unit": "R&D"}})
	first, err := in.Introspect(t.Context(), "tok", exchange)
	if err != nil {
		t.Fatal(err)
	}
	first.Claims["org"].(map[string]any)["unit"] = "board"
	second, err := in.Introspect(t.Context(), "tok", exchange)
	if err != nil || second.Claims["org"].(map[string]any)["unit"] != "R&D" || o.asked.Load() != 1 {
		t.Errorf("got %v, asked %d times: %v", second.Claims["org"], o.asked.Load(), err)
	}
}

// A token of which nobody says when it was issued is older than every revocation.
func TestP26_OpaqueTokenOfUnknownAgeIsOlderThanAnyRevocation(t *testing.T) {
	_, _, in := newOracle(t, map[string]any{"iat": nil})
	id, err := in.Introspect(t.Context(), "tok", exchange)
	if err != nil || id.IssuedAt.IsZero() || id.IssuedAt.Unix() > 1 {
		t.Errorf("issued at %v: %v", id.IssuedAt, err)
	}
}

// The name of an opaque token in lineage is no plain hash of it: no JWT's signing input can be made to have the same.
func TestP13_TokenIDHasADomainOfItsOwn(t *testing.T) {
	_, _, in := newOracle(t, nil)
	id, err := in.Introspect(t.Context(), "tok", exchange)
	plain := sha256.Sum256([]byte("tok"))
	if err != nil || id.TokenID == base64.RawURLEncoding.EncodeToString(plain[:16]) {
		t.Errorf("got %s: %v", id.TokenID, err)
	}
}

func TestP13_RetryAfterIsTheUpstreams(t *testing.T) {
	_, o, in := newOracle(t, nil)
	o.status, o.retry = http.StatusServiceUnavailable, "7"
	_, err := in.Introspect(t.Context(), "tok", exchange)
	if e, ok := errors.AsType[*upstreams.Error](err); !ok || e.RetryAfter != 7*time.Second {
		t.Errorf("got %v", err)
	}
}

// Whoever is turned away because others are asked about is told when to come again.
func TestP13_BusyUpstreamSaysWhenToComeAgain(t *testing.T) {
	_, o, in := newOracle(t, nil)
	answer, arrived, leave := o.answer, make(chan struct{}), make(chan struct{})
	o.answer = func() string {
		arrived <- struct{}{}
		<-leave
		return answer()
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if _, err := in.Introspect(t.Context(), fmt.Sprint("tok", i), exchange); err != nil {
				t.Error(err)
			}
		})
		<-arrived
	}
	_, err := in.Introspect(t.Context(), "one more", exchange)
	if e, ok := errors.AsType[*upstreams.Error](err); !ok || e.Reason != upstreams.ReasonUnavailable || e.RetryAfter != time.Second {
		t.Errorf("got %v", err)
	}
	close(leave)
	all.Wait()
}

func TestP13_OnlyForExchange(t *testing.T) {
	_, o, in := newOracle(t, nil)
	for _, p := range []upstreams.Purpose{upstreams.PurposeLogin, upstreams.PurposeClient, upstreams.PurposeGrant} {
		if _, err := in.Introspect(t.Context(), "tok", upstreams.Want{Purpose: p, Nonce: "n", ClientAudience: "x"}); err == nil {
			t.Errorf("purpose %d passed", p)
		}
	}
	if o.asked.Load() != 0 {
		t.Error("the upstream was asked")
	}
}
