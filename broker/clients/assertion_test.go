package clients_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
)

const (
	clusterIssuer = "https://kubernetes.default.svc.cluster.local"
	podSubject    = "system:serviceaccount:payments:reconciler"
	podAudience   = "https://login.example.com/clients"
)

// credentials is the port to real upstreams, and what it was asked.
type credentials struct {
	clients.Workloads

	mu    sync.Mutex
	asked []string // names of upstreams
	fault error    // if not nil, the answer
}

func (c *credentials) Verify(ctx context.Context, upstream string, t jose.Unverified, audience string, now time.Time) (upstreams.Identity, error) {
	c.mu.Lock()
	c.asked = append(c.asked, upstream)
	fault := c.fault
	c.mu.Unlock()
	if fault != nil {
		return upstreams.Identity{}, fault
	}
	return c.Workloads.Verify(ctx, upstream, t, audience, now)
}

// revocations is a revocation set of one answer.
type revocations struct {
	mu      sync.Mutex
	checked []revoke.Facts
	answer  error
}

func (r *revocations) Check(f revoke.Facts, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checked = append(r.checked, f)
	return r.answer
}

// yard is two clusters that share an issuer string, a partner, and clients that are workloads there.
type yard struct {
	*clients.Registry
	t                      *testing.T
	cluster, twin, partner *upstreamtest.IdP
	workload               *credentials
	revoked                *revocations
}

// workload is a client that is a workload in the cluster.
func workload(id, subject string) clients.Spec {
	return clients.Spec{ID: id, Assertion: &clients.AssertionSpec{Upstream: "cluster", Subject: subject, Audience: podAudience}}
}

func newYard(t *testing.T, change func(*clients.Options)) *yard {
	t.Helper()
	idp := func(o upstreamtest.Options) *upstreamtest.IdP {
		o.Now = now
		p := upstreamtest.Must(o)
		t.Cleanup(p.Close)
		return p
	}
	y := &yard{
		t: t, cluster: idp(upstreamtest.Options{Name: "cluster", Issuer: clusterIssuer}), twin: idp(upstreamtest.Options{Name: "cluster", Issuer: clusterIssuer}),
		partner: idp(upstreamtest.Options{Name: "partner"}), revoked: &revocations{},
	}
	e, err := engines.Open("memory", engines.Options{Now: now})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	cache := keys.New(keys.Options{Now: now})
	t.Cleanup(cache.Close)
	kind := func(name string, p *upstreamtest.IdP) upstreams.Spec {
		return upstreams.Spec{
			Name: name, Kind: "jwt", Issuer: p.Issuer(), JWKSURI: p.JWKSURI(), AllowPrivate: []string{"127.0.0.1"},
			Audiences: []upstreams.Audience{{Value: "exchanged-at-" + name}},
		}
	}
	spec := kind("cluster", y.cluster)
	set := upstreams.NewSet(upstreams.Options{
		Specs: []upstreams.Spec{spec, kind("twin", y.twin), kind("partner", y.partner)}, OurIssuer: issuer, Keys: cache, Now: now,
	}, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
	t.Cleanup(set.Close)
	y.workload = &credentials{Workloads: clients.Workloads{Upstreams: set}}
	o := clients.Options{
		Issuer: issuer, Leeway: 30 * time.Second, Keys: cache, Spend: revoke.NewSpender(e), Workload: y.workload, Revoked: y.revoked, Issuers: set.Issuers(),
		Specs: []clients.Spec{
			workload("pod", podSubject),
			workload("other-pod", "system:serviceaccount:payments:other"),
			{ID: "partner-pod", Assertion: &clients.AssertionSpec{Upstream: "partner", Subject: podSubject, Audience: podAudience}},
			{ID: "either", SecretSHA256: secretHash("s3cret")},
			{ID: "robot", JWKSURI: "https://keys.example.com/"},
		},
	}
	if change != nil {
		change(&o)
	}
	y.Registry = registry(t, o)
	return y
}

// claims are those of the pod's token, with changes; a nil leaves a claim out.
func (y *yard) claims(changes map[string]any) map[string]any {
	c := y.cluster.Claims(podSubject, podAudience)
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (y *yard) authenticate(id, raw string) (clients.Authenticated, error) {
	y.t.Helper()
	return y.Authenticate(y.t.Context(), oauth.Credentials{Method: "private_key_jwt", ClientID: id, Assertion: raw}, start)
}

func (y *yard) wantClient(what, id string, got clients.Authenticated, err error) {
	y.t.Helper()
	if err != nil || got.Client == nil || got.ID != id {
		y.t.Errorf("%s: %+v, %v, want client %s", what, got.Client, err, id)
	}
}

// wantRefused is P27's one answer, which tells no cause.
func (y *yard) wantRefused(what string, got clients.Authenticated, err error) {
	y.t.Helper()
	wantError(y.t, what, err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
	if got.Client != nil || got.TokenID != "" {
		y.t.Errorf("%s: a client beside the error", what)
	}
}

func TestP24_WorkloadIsTheClient(t *testing.T) {
	y := newYard(t, nil)
	raw := y.cluster.Sign(y.claims(nil))
	got, err := y.authenticate("pod", raw)
	y.wantClient("by its id", "pod", got, err)
	got, err = y.authenticate("", raw) // RFC 7521 section 4.2
	y.wantClient("without an id", "pod", got, err)
	got, err = y.authenticate("", y.cluster.Sign(y.claims(map[string]any{"sub": "system:serviceaccount:payments:other"})))
	y.wantClient("another of the same upstream and audience", "other-pod", got, err)
	got, err = y.authenticate("", y.partner.Sign(y.claims(map[string]any{"iss": y.partner.Issuer()})))
	y.wantClient("the same subject and audience at another upstream", "partner-pod", got, err)
	got, err = y.authenticate("pod", y.cluster.Sign(y.claims(map[string]any{"aud": []string{podAudience}})))
	y.wantClient("aud as a list of one, as Kubernetes writes it", "pod", got, err)
}

// TestP24_HostileWorkloads: whatever is wrong, it is refused by one answer, with the client's id and without.
func TestP24_HostileWorkloads(t *testing.T) {
	y := newYard(t, nil)
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	sign := func(changes map[string]any, options ...upstreamtest.SignOption) string {
		return y.cluster.Sign(y.claims(changes), options...)
	}
	unsigned := func(alg string) string {
		parts := strings.Split(sign(nil, upstreamtest.Header("alg", alg)), ".")
		return parts[0] + "." + parts[1] + "."
	}
	for name, raw := range map[string]string{
		"subject of another case":        sign(map[string]any{"sub": "System:serviceaccount:payments:reconciler"}),
		"subject with a space after it":  sign(map[string]any{"sub": podSubject + " "}),
		"longer subject":                 sign(map[string]any{"sub": podSubject + "x"}),
		"shorter subject":                sign(map[string]any{"sub": podSubject[:len(podSubject)-1]}),
		"subject composed otherwise":     sign(map[string]any{"sub": podSubject + "\u200b"}),
		"subject as a list":              sign(map[string]any{"sub": []string{podSubject}}),
		"no subject":                     sign(map[string]any{"sub": nil}),
		"our sub for it":                 sign(map[string]any{"sub": "cluster|" + podSubject}),
		"the client's id as subject":     sign(map[string]any{"sub": "pod"}),
		"another issuer":                 sign(map[string]any{"iss": clusterIssuer + "/"}),
		"no issuer":                      sign(map[string]any{"iss": nil}),
		"our issuer":                     sign(map[string]any{"iss": issuer}),
		"the client as issuer":           sign(map[string]any{"iss": "pod", "sub": "pod"}),
		"the audience of exchange":       sign(map[string]any{"aud": "exchanged-at-cluster"}),
		"our issuer as audience":         sign(map[string]any{"aud": issuer}),
		"audience of another case":       sign(map[string]any{"aud": strings.ToUpper(podAudience)}),
		"audience with a slash":          sign(map[string]any{"aud": podAudience + "/"}),
		"two audiences":                  sign(map[string]any{"aud": []string{podAudience, "elsewhere"}}),
		"its audience twice":             sign(map[string]any{"aud": []string{podAudience, podAudience}}),
		"no audience":                    sign(map[string]any{"aud": nil}),
		"an empty list of audiences":     sign(map[string]any{"aud": []string{}}),
		"expired":                        sign(map[string]any{"exp": at(-30 * time.Second)}),
		"no exp":                         sign(map[string]any{"exp": nil}),
		"exp as text":                    sign(map[string]any{"exp": "2030"}),
		"issued in the future":           sign(map[string]any{"iat": at(31 * time.Second)}),
		"no iat":                         sign(map[string]any{"iat": nil}),
		"not valid yet":                  sign(map[string]any{"nbf": at(31 * time.Second)}),
		"too old":                        sign(map[string]any{"iat": at(-time.Hour - 31*time.Second), "nbf": nil}),
		"alg none":                       unsigned("none"),
		"alg None":                       unsigned("None"),
		"no signature":                   unsigned("ES256"),
		"HS256":                          sign(nil, upstreamtest.Header("alg", "HS256")),
		"the twin's key":                 y.twin.Sign(y.claims(nil)),
		"the partner's key":              y.partner.Sign(y.claims(nil), upstreamtest.KeyID(y.cluster.KeyIDs()[0])),
		"an ID-JAG":                      sign(nil, upstreamtest.Typ("oauth-id-jag+jwt")),
		"a proof":                        sign(nil, upstreamtest.Typ("dpop+jwt")),
		"a proof by its claims":          sign(map[string]any{"htm": "POST", "htu": issuer}),
		"a logout token":                 sign(nil, upstreamtest.Typ("logout+jwt")),
		"a security event":               sign(map[string]any{"events": map[string]any{}}),
		"a type of nobody's":             sign(nil, upstreamtest.Typ("x+jwt")),
		"bound to a key":                 sign(map[string]any{"cnf": map[string]any{"jkt": "x"}}),
		"delegated":                      sign(map[string]any{"act": map[string]any{"sub": "someone"}}),
		"that others may use":            sign(map[string]any{"may_act": map[string]any{"sub": "someone"}}),
		"for the wrong authorized party": sign(map[string]any{"azp": "someone"}),
		"a part too many":                sign(nil) + ".x",
		"not a token":                    "a.b.c",
		"nothing":                        "",
	} {
		for _, id := range []string{"pod", ""} {
			got, err := y.authenticate(id, raw)
			y.wantRefused(fmt.Sprintf("%s as %q", name, id), got, err)
		}
	}
	got, err := y.authenticate("pod", sign(nil))
	y.wantClient("the good one after all of them", "pod", got, err)
}

func TestP24_TheNamedClientIsTheWorkload(t *testing.T) {
	y := newYard(t, nil)
	for _, id := range []string{"other-pod", "partner-pod", "either", "robot", "nobody", "POD", podSubject, clusterIssuer} {
		got, err := y.authenticate(id, y.cluster.Sign(y.claims(nil)))
		y.wantRefused("as "+id, got, err)
	}
}

// TestP37_WorkloadByNoOtherMethod: exactly the registered one.
func TestP37_WorkloadByNoOtherMethod(t *testing.T) {
	y := newYard(t, nil)
	raw := y.cluster.Sign(y.claims(nil))
	for _, c := range []oauth.Credentials{
		{Method: "none", ClientID: "pod"},
		{Method: "client_secret_basic", ClientID: "pod", Secret: raw},
		{Method: "client_secret_post", ClientID: "pod", Secret: ""},
		{Method: "none", ClientID: "pod", Assertion: raw},
	} {
		got, err := y.Authenticate(t.Context(), c, start)
		y.wantRefused(c.Method, got, err)
	}
	s := newSigner(t, "k") // signed by itself, as a client with keys would
	got, err := y.authenticate("pod", s.sign(t, "", assertion("pod", nil)))
	y.wantRefused("its own signature", got, err)
}

func TestP24_ReusableUntilMaxAge(t *testing.T) {
	y := newYard(t, func(o *clients.Options) {
		o.Specs[0].Assertion.MaxAge = ptr(10 * time.Minute)
		short := workload("short", "short")
		short.Assertion.MaxAge = ptr(time.Minute)
		o.Specs = append(o.Specs, short)
	})
	raw := y.cluster.Sign(y.claims(map[string]any{"exp": start.Add(time.Hour).Unix()}))
	last := start.Add(10*time.Minute + 30*time.Second) // leeway (P12)
	for _, at := range []time.Time{start, start, start.Add(time.Minute), last} {
		got, err := y.Authenticate(t.Context(), oauth.Credentials{Method: "private_key_jwt", Assertion: raw}, at)
		y.wantClient(at.Format(time.TimeOnly), "pod", got, err)
	}
	got, err := y.Authenticate(t.Context(), oauth.Credentials{Method: "private_key_jwt", Assertion: raw}, last.Add(time.Second))
	y.wantRefused("after max_age", got, err)
	// The other pod of the same upstream and audience has the default, an hour.
	other := y.cluster.Sign(y.claims(map[string]any{"sub": "system:serviceaccount:payments:other", "exp": start.Add(time.Hour).Unix()}))
	got, err = y.Authenticate(t.Context(), oauth.Credentials{Method: "private_key_jwt", Assertion: other}, last.Add(time.Second))
	y.wantClient("another's max_age", "other-pod", got, err)
}

func TestP24_SingleUseWorkload(t *testing.T) {
	y := newYard(t, func(o *clients.Options) { o.Specs[0].Assertion.SingleUse = true })
	raw := y.cluster.Sign(y.claims(nil))
	results := make(chan error, 8)
	var all sync.WaitGroup
	for range cap(results) {
		all.Go(func() {
			_, err := y.Authenticate(context.Background(), oauth.Credentials{Method: "private_key_jwt", Assertion: raw}, start)
			results <- err
		})
	}
	all.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
			continue
		}
		wantError(t, "again", err, oauth.CodeInvalidClient, oauth.ReasonReplay)
	}
	if won != 1 {
		t.Errorf("%d of one token passed", won)
	}
	for name, jti := range map[string]any{"no jti": nil, "empty jti": ""} {
		_, err := y.authenticate("", y.cluster.Sign(y.claims(map[string]any{"jti": jti})))
		wantError(t, name, err, oauth.CodeInvalidClient, oauth.ReasonReplay)
	}
	got, err := y.authenticate("", y.cluster.Sign(y.claims(nil)))
	y.wantClient("the next token", "pod", got, err)
}

// A refusal spends nothing: put right, the same jti is good.
func TestP24_RefusalSpendsNoJTI(t *testing.T) {
	y := newYard(t, func(o *clients.Options) { o.Specs[0].Assertion.SingleUse = true })
	claims := y.claims(nil)
	y.revoked.answer = revoke.ErrRevoked
	if _, err := y.authenticate("", y.cluster.Sign(claims)); err == nil {
		t.Error("a revoked workload is let in")
	}
	y.revoked.answer = nil
	if got, err := y.authenticate("other-pod", y.cluster.Sign(claims)); err == nil {
		t.Errorf("it passed as %s", got.ID)
	}
	got, err := y.authenticate("", y.cluster.Sign(claims))
	y.wantClient("after the refusals", "pod", got, err)
}

func TestP24_SingleUseThatCannotBeSpent(t *testing.T) {
	y := newYard(t, func(o *clients.Options) {
		o.Specs[0].Assertion.SingleUse = true
		e, err := engines.Open("memory", engines.Options{Now: now})
		must(t, err)
		t.Cleanup(func() { _ = e.Close() })
		o.Spend = revoke.NewSpender(down{store.Engine(e)})
	})
	_, err := y.authenticate("", y.cluster.Sign(y.claims(nil)))
	wantError(t, "not durable", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable)
}

// TestP24_CredentialNamesItsToken: by the id that grants compare with a subject's and an actor's, whatever signature it has.
func TestP24_CredentialNamesItsToken(t *testing.T) {
	y := newYard(t, nil)
	raw := y.cluster.Sign(y.claims(nil))
	for name, raw := range map[string]string{"as signed": raw, "with the other signature of the same value": malleated(t, raw)} {
		token, err := jose.Parse(raw)
		must(t, err)
		got, err := y.authenticate("pod", raw)
		y.wantClient(name, "pod", got, err)
		if got.TokenID != token.TokenID() || got.Requester().CredentialTokenID != token.TokenID() {
			t.Errorf("%s: credential %q, want %q", name, got.TokenID, token.TokenID())
		}
	}
	parsed, err := jose.Parse(raw)
	must(t, err)
	if again, err := jose.Parse(malleated(t, raw)); err != nil || again.TokenID() != parsed.TokenID() {
		t.Errorf("two names for one token: %v", err)
	}
}

// malleated is the token with the other signature that the same key makes of ECDSA's: (r, n - s).
func malleated(t *testing.T, raw string) string {
	t.Helper()
	dot := strings.LastIndexByte(raw, '.')
	input, encoded := raw[:dot], raw[dot+1:]
	signature, err := base64.RawURLEncoding.DecodeString(encoded)
	must(t, err)
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// TestP27_WorkloadsInAnOutage: whose keys can't be had may be good later; what no key can put right is refused all the same, and costs no fetch.
func TestP27_WorkloadsInAnOutage(t *testing.T) {
	y := newYard(t, nil)
	y.cluster.Down(true)
	for _, changes := range []map[string]any{
		{"aud": "elsewhere"}, {"exp": start.Add(-time.Hour).Unix()}, {"iat": start.Add(-2 * time.Hour).Unix()}, {"iat": nil},
		{"cnf": map[string]any{"jkt": "x"}}, {"act": map[string]any{"sub": "x"}}, {"events": map[string]any{}},
	} {
		got, err := y.authenticate("pod", y.cluster.Sign(y.claims(changes)))
		y.wantRefused(fmt.Sprint(changes), got, err)
	}
	if _, fetched := y.cluster.Fetches(); fetched != 0 {
		t.Errorf("%d fetches for what is refused without keys", fetched)
	}
	for _, id := range []string{"pod", "", "nobody", "either"} { // the same for every id: it tells nobody which clients there are
		_, err := y.authenticate(id, y.cluster.Sign(y.claims(nil)))
		wantError(t, "as "+id, err, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
	}
}

// TestP27_KeysNobodyHas: it is the token's fault only if a fetch begun after the request says so.
func TestP27_KeysNobodyHas(t *testing.T) {
	y := newYard(t, nil)
	got, err := y.authenticate("pod", y.cluster.Sign(y.claims(nil)))
	y.wantClient("a key of theirs", "pod", got, err)
	raw := y.cluster.Sign(y.claims(nil), upstreamtest.KeyID("nobody's"))
	got, err = y.authenticate("pod", raw)
	y.wantRefused("after a fetch", got, err)
	_, err = y.authenticate("pod", raw)
	wantError(t, "before the next", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
}

func TestP27_RetryAfterOfTheUpstream(t *testing.T) {
	y := newYard(t, nil)
	y.workload.fault = &upstreams.Error{Reason: upstreams.ReasonUnavailable, RetryAfter: 7 * time.Second, Err: errors.New("down")}
	_, err := y.authenticate("pod", y.cluster.Sign(y.claims(nil)))
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.RetryAfter != 7*time.Second {
		t.Errorf("%v, want to be told to wait 7 s", err)
	}
	y.workload.fault = context.Canceled // neither the token's fault nor known
	_, err = y.authenticate("pod", y.cluster.Sign(y.claims(nil)))
	wantError(t, "canceled", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
}

// TestP10_TheUpstreamIsPickedOnce: by issuer and audience; none is tried in turn.
func TestP10_TheUpstreamIsPickedOnce(t *testing.T) {
	y := newYard(t, func(o *clients.Options) {
		twin := workload("twin-pod", podSubject)
		twin.Assertion.Upstream, twin.Assertion.Audience = "twin", "twin-clients"
		o.Specs = append(o.Specs, twin)
	})
	for aud, want := range map[string]string{podAudience: "cluster", "twin-clients": "twin"} {
		y.workload.asked = nil
		got, err := y.authenticate("", y.twin.Sign(y.claims(map[string]any{"aud": aud})))
		if want == "twin" {
			y.wantClient("by the twin's key", "twin-pod", got, err)
		} else {
			y.wantRefused("by the twin's key for the cluster", got, err)
		}
		if len(y.workload.asked) != 1 || y.workload.asked[0] != want {
			t.Errorf("%s: asked %v, want %s alone", aud, y.workload.asked, want)
		}
	}
}

// TestP9_WorkloadsOfTheUpstreamsTypes: typ absent, JWT, or one of the upstream's accept_typ, by default at+jwt.
func TestP9_WorkloadsOfTheUpstreamsTypes(t *testing.T) {
	y := newYard(t, nil)
	for _, typ := range []string{"", "JWT", "jwt", "at+jwt", "application/at+jwt"} {
		got, err := y.authenticate("pod", y.cluster.Sign(y.claims(nil), upstreamtest.Typ(typ)))
		y.wantClient("typ "+typ, "pod", got, err)
	}
}

func TestP26_RevokedWorkloads(t *testing.T) {
	y := newYard(t, nil)
	raw := y.cluster.Sign(y.claims(nil))
	token, err := jose.Parse(raw)
	must(t, err)
	y.revoked.answer = fmt.Errorf("%w: its subject", revoke.ErrRevoked)
	_, err = y.authenticate("pod", raw)
	wantError(t, "revoked", err, oauth.CodeInvalidClient, oauth.ReasonRevoked)
	want := revoke.Facts{TokenID: token.TokenID(), Subject: "cluster|" + podSubject, Upstream: "cluster"}
	if len(y.revoked.checked) != 1 || y.revoked.checked[0].Subject != want.Subject || y.revoked.checked[0].Upstream != want.Upstream || y.revoked.checked[0].TokenID != want.TokenID {
		t.Errorf("checked %+v, want %+v", y.revoked.checked, want)
	}
	y.revoked.answer = revoke.ErrStale
	_, err = y.authenticate("pod", raw)
	wantError(t, "stale", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale)
}

// An upstream that is not there is no fault of the token's.
func TestP27_WorkloadOfAnUpstreamThatIsGone(t *testing.T) {
	y := newYard(t, func(o *clients.Options) {
		o.Issuers["gone"] = "https://gone.example"
		gone := workload("gone", podSubject)
		gone.Assertion.Upstream = "gone"
		o.Specs = append(o.Specs, gone)
	})
	_, err := y.authenticate("", y.cluster.Sign(y.claims(map[string]any{"iss": "https://gone.example"})))
	wantError(t, "gone", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
}

// Without upstreams, their issuers or the revocations, nobody is let in by a workload's token.
func TestWorkloadsOfARegistryForJudgingOnly(t *testing.T) {
	for name, without := range map[string]func(*clients.Options){
		"the upstreams": func(o *clients.Options) { o.Workload = nil }, "issuers": func(o *clients.Options) { o.Issuers = nil },
		"revocations": func(o *clients.Options) { o.Revoked = nil },
	} {
		y := newYard(t, without)
		got, err := y.authenticate("pod", y.cluster.Sign(y.claims(nil)))
		y.wantRefused("without "+name, got, err)
	}
}

// gullible is a port that believes every token.
type gullible struct{}

func (gullible) Verify(_ context.Context, upstream string, t jose.Unverified, _ string, _ time.Time) (upstreams.Identity, error) {
	jti, _ := t.UnverifiedClaims().String("jti")
	issued, _ := t.UnverifiedClaims().Time("iat")
	return upstreams.Identity{
		Upstream: upstream, Issuer: t.UnverifiedIssuer(), Subject: podSubject, BrokerSubject: upstream + "|" + podSubject,
		TokenID: t.TokenID(), JTI: jti, IssuedAt: issued, Expires: issued.Add(time.Minute),
	}, nil
}

// TestP24_RefusedWhateverTheUpstreamSays: none of this is left to the upstream alone.
func TestP24_RefusedWhateverTheUpstreamSays(t *testing.T) {
	y := newYard(t, func(o *clients.Options) {
		o.Workload = gullible{}
		ours := workload("ours", podSubject)
		ours.Assertion.Upstream = "ours"
		o.Issuers["ours"] = issuer // which no configuration can have
		o.Specs = append(o.Specs, ours)
	})
	got, err := y.authenticate("", y.cluster.Sign(y.claims(nil)))
	y.wantClient("believed", "pod", got, err)
	for name, raw := range map[string]string{
		"two audiences":    y.cluster.Sign(y.claims(map[string]any{"aud": []string{podAudience, "elsewhere"}})),
		"a proof":          y.cluster.Sign(y.claims(nil), upstreamtest.Typ("dpop+jwt")),
		"an ID-JAG":        y.cluster.Sign(y.claims(nil), upstreamtest.Typ("oauth-id-jag+jwt")),
		"a logout token":   y.cluster.Sign(y.claims(nil), upstreamtest.Typ("logout+jwt")),
		"a security event": y.cluster.Sign(y.claims(nil), upstreamtest.Typ("secevent+jwt")),
		"a mixture":        y.cluster.Sign(y.claims(map[string]any{"htm": "POST"}), upstreamtest.Typ("at+jwt")),
		"bound to a key":   y.cluster.Sign(y.claims(map[string]any{"cnf": map[string]any{"jkt": "x"}})),
		"delegated":        y.cluster.Sign(y.claims(map[string]any{"act": map[string]any{"sub": "x"}})),
		"of ours":          y.cluster.Sign(y.claims(map[string]any{"iss": issuer})),
		"no iat":           y.cluster.Sign(y.claims(map[string]any{"iat": nil})),
		"too old":          y.cluster.Sign(y.claims(map[string]any{"iat": start.Add(-2 * time.Hour).Unix()})),
	} {
		got, err := y.authenticate("", raw)
		y.wantRefused(name, got, err)
	}
}

// TestP24_SpentAsLongAsItCouldPass: exp, the longest leeway and a second.
func TestP24_SpentAsLongAsItCouldPass(t *testing.T) {
	at := start
	y := newYard(t, func(o *clients.Options) {
		o.Workload, o.Specs[0].Assertion.SingleUse = gullible{}, true
		e, err := engines.Open("memory", engines.Options{Now: func() time.Time { return at }})
		must(t, err)
		t.Cleanup(func() { _ = e.Close() })
		o.Spend = revoke.NewSpender(e)
	})
	raw := y.cluster.Sign(y.claims(nil)) // which lives a minute, says the port
	got, err := y.authenticate("", raw)
	y.wantClient("once", "pod", got, err)
	at = start.Add(3 * time.Minute)
	_, err = y.authenticate("", raw)
	wantError(t, "again, at the end of the longest leeway", err, oauth.CodeInvalidClient, oauth.ReasonReplay)
}
