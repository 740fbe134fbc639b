package broker_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/broker/metadata"
	"fedbroker/broker/oauth"
	"fedbroker/broker/operator"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer = "https://login.test"
	secret = "the-secret-of-gateway"
)

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// config is one of two upstreams, a client, and a rule for it.
func config() broker.Config {
	return broker.Config{
		Issuer: issuer,
		Upstreams: []broker.UpstreamSpec{
			{Spec: upstreams.Spec{Name: "acme", Kind: "jwt", Issuer: "https://acme.test", Audiences: []upstreams.Audience{{Value: "gateway-at-acme"}}},
				Mappers: []mappers.Spec{{Kind: "groups", From: "roles"}}},
			{Spec: upstreams.Spec{Name: "other", Kind: "jwt", Issuer: "https://other.test", Audiences: []upstreams.Audience{{Value: "gateway-at-other"}}}},
		},
		Clients: []clients.Spec{{ID: "gateway", SecretSHA256: hashOf(secret), GrantTypes: []string{"client_credentials", "token-exchange"}, Audiences: []string{"orders"}, Scopes: []string{"orders.read"}}},
		Exchange: []rules.Spec{{ID: "partner-orders", Subject: &rules.SubjectSpec{Upstream: "acme"}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
			Grant: &rules.GrantSpec{Audiences: []string{"orders"}, Scopes: []rules.ScopeSpec{{Name: "orders.read"}}}}},
	}
}

func memory(t testing.TB) store.Engine {
	t.Helper()
	e, err := engines.Open("memory", engines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func sealer(t testing.TB, word string) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer([]store.SealKey{{ID: word, Key: sha256.Sum256([]byte(word))}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lines is a journal in memory.
type lines struct {
	all  chan string
	fail atomic.Pointer[error]
}

func newLines() *lines { return &lines{all: make(chan string, 1024)} }

func (l *lines) Append(_ context.Context, payload []byte) (journal.Position, error) {
	if err := l.Err(); err != nil {
		return journal.Position{}, err
	}
	l.all <- string(payload)
	return journal.Position{}, nil
}

func (l *lines) Queue(payload []byte) error {
	_, err := l.Append(context.Background(), payload)
	return err
}

func (l *lines) Err() error {
	if err := l.fail.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *lines) taken() (out []string) {
	for len(l.all) > 0 {
		out = append(out, <-l.all)
	}
	return out
}

func options(t testing.TB, c broker.Config) broker.Options {
	t.Helper()
	return broker.Options{Config: c, Engine: memory(t), Journal: newLines(), Sealing: sealer(t, "seal")}
}

func open(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func clientCredentials() *oauth.TokenRequest {
	return &oauth.TokenRequest{
		DecisionID: "D", GrantType: oauth.GrantClientCredentials, Form: oauth.Form{"grant_type": {oauth.GrantClientCredentials}},
		Credentials: oauth.Credentials{Method: oauth.AuthSecretBasic, ClientID: "gateway", Secret: secret}, Peer: netip.MustParseAddr("192.0.2.1"),
	}
}

func TestP1_NameIsPinnedToItsIssuer(t *testing.T) {
	o := options(t, config())
	open(t, o)
	open(t, o) // a restart
	o.Config.Upstreams[0].Issuer = "https://impostor.test"
	_, err := broker.New(t.Context(), o)
	pin, refused := errors.AsType[*broker.PinError](err)
	if !refused || *pin != (broker.PinError{Name: "acme", Pinned: "https://acme.test", Configured: "https://impostor.test"}) {
		t.Fatalf("another issuer under a known name: %v", err)
	}
	if !strings.Contains(err.Error(), "fedbroker upstreams rebind acme") {
		t.Errorf("text %q", err)
	}
}

func TestP1_PinOutlivesTheUpstreamsAbsence(t *testing.T) {
	o := options(t, config())
	open(t, o)
	full := o.Config
	o.Config.Upstreams, o.Config.Exchange = full.Upstreams[1:], nil
	open(t, o)
	o.Config = full
	o.Config.Upstreams = slices.Clone(full.Upstreams)
	o.Config.Upstreams[0].Issuer = "https://impostor.test"
	if _, err := broker.New(t.Context(), o); !isPin(err) {
		t.Errorf("%v", err)
	}
}

func TestP1_EveryMismatchAtOnce(t *testing.T) {
	o := options(t, config())
	open(t, o)
	o.Config.Upstreams[0].Issuer, o.Config.Upstreams[1].Issuer = "https://x.test", "https://y.test"
	if _, err := broker.New(t.Context(), o); !isPin(err) || !strings.Contains(err.Error(), "acme") || !strings.Contains(err.Error(), "other") {
		t.Errorf("%v", err)
	}
}

func isPin(err error) bool { _, ok := errors.AsType[*broker.PinError](err); return ok }

func TestP1_RebindLetsItStart(t *testing.T) {
	o := options(t, config())
	open(t, o)
	o.Config.Upstreams[0].Issuer = "https://new.test"
	acts, err := broker.NewOperator(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := acts.RebindUpstream(t.Context(), "acme")
	if err != nil || b != (operator.Binding{Name: "acme", Issuer: "https://new.test", Was: "https://acme.test"}) {
		t.Fatalf("%v, %v", b, err)
	}
	open(t, o)
	all, err := acts.Bindings(t.Context())
	if want := []operator.Binding{{Name: "acme", Issuer: "https://new.test"}, {Name: "other", Issuer: "https://other.test"}}; err != nil || !slices.Equal(all, want) {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := acts.RebindUpstream(t.Context(), "nobody"); !isAct(err) {
		t.Errorf("unknown name: %v", err)
	}
	told := o.Journal.(*lines).taken()
	if len(told) != 1 || !strings.Contains(told[0], `"kind":"upstream_binding","outcome":"done"`) || !strings.Contains(told[0], `"id":"https://new.test"`) {
		t.Errorf("journal %v", told)
	}
}

func isAct(err error) bool { _, ok := errors.AsType[*operator.ActError](err); return ok }

func TestP45_MissingSealKeyRefusesToStart(t *testing.T) {
	o := options(t, config())
	open(t, o)
	o.Sealing = sealer(t, "another")
	_, err := broker.New(t.Context(), o)
	if missing, ok := errors.AsType[*store.MissingSealKeyError](err); !ok || missing.ID != "seal" {
		t.Errorf("%v", err)
	}
}

func TestNew_RefusesWhatCheckRefuses(t *testing.T) {
	c := config()
	c.Issuer = "http://login.test"
	c.Exchange[0].Subject.Upstream = "nobody"
	_, err := broker.New(t.Context(), options(t, c))
	bad, ok := errors.AsType[*broker.ConfigError](err)
	if !ok || len(bad.Problems) != 2 || !strings.HasPrefix(bad.Problems[0], "issuer: ") {
		t.Errorf("%v", err)
	}
	if _, err := broker.New(t.Context(), broker.Options{Config: config()}); err == nil {
		t.Error("without an engine")
	}
}

func TestP26_RevocationsAreLoadedBeforeAnythingIsAnswered(t *testing.T) {
	o := options(t, config())
	first := open(t, o)
	res, err := first.Token(t.Context(), clientCredentials())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(b *broker.Broker) string {
		t.Helper()
		in := clientCredentials()
		in.Form = oauth.Form{"token": {res.AccessToken}}
		answer, err := b.Introspect(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	if second := open(t, o); !strings.Contains(ask(second), `"active":true`) {
		t.Fatalf("a restart forgot the keys: %s", ask(second))
	}
	if err := first.Operator().Revoke(t.Context(), operator.Revocation{Kind: "client", ID: "gateway", Before: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got := ask(open(t, o)); got != `{"active":false}` {
		t.Errorf("a restart forgot the revocation: %s", got)
	}
}

func TestOperator_RefusesWhatIsNoRevocation(t *testing.T) {
	o := open(t, options(t, config())).Operator()
	for name, r := range map[string]operator.Revocation{
		"kind":          {Kind: "person", ID: "x"},
		"no id":         {Kind: "token"},
		"long id":       {Kind: "token", ID: strings.Repeat("x", 513)},
		"in the future": {Kind: "client", ID: "x", Before: time.Now().Add(time.Hour)},
	} {
		if err := o.Revoke(t.Context(), r); !isAct(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.CompromiseKey(t.Context(), "none"); !isAct(err) {
		t.Errorf("unknown key: %v", err)
	}
}

func TestP48_OperatorsRevocationOfASubjectHidesTheName(t *testing.T) {
	o := options(t, config())
	if err := open(t, o).Operator().Revoke(t.Context(), operator.Revocation{Kind: "subject", ID: "acme|alice"}); err != nil {
		t.Fatal(err)
	}
	told := o.Journal.(*lines).taken()
	if len(told) != 1 || strings.Contains(told[0], "alice") || !strings.Contains(told[0], `"subject":{"mac":"`) || !strings.Contains(told[0], `"target":{"kind":"subject"}`) {
		t.Errorf("journal %v", told)
	}
}

func TestOperator_ActWithoutALineSaysSo(t *testing.T) {
	o := options(t, config())
	b := open(t, o)
	o.Journal.(*lines).fail.Store(&store.ErrUnavailable)
	if _, err := b.Operator().RotateKeys(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "carried out") {
		t.Errorf("%v", err)
	}
}

// exploding panics when the pipeline reaches the journal.
type exploding struct{ lines }

func (*exploding) Append(context.Context, []byte) (journal.Position, error) {
	panic("with a token: eyJhbGciOi")
}

func TestPipeline_PanicIsCaughtCountedAndAnswered(t *testing.T) {
	var log strings.Builder
	o := options(t, config())
	o.Journal, o.Logger = &exploding{*newLines()}, slog.New(slog.NewJSONHandler(&log, nil)) //nolint:govet // a fresh value
	b := open(t, o)
	res, err := b.Token(t.Context(), clientCredentials())
	refusal, ok := errors.AsType[*oauth.Error](err)
	if res != nil || !ok || refusal.Code != oauth.CodeServerError || refusal.HTTPStatus() != 500 {
		t.Fatalf("%v, %v", res, err)
	}
	if strings.Contains(log.String(), "eyJ") || !strings.Contains(log.String(), `"decision_id":"D"`) || !strings.Contains(log.String(), "stack") {
		t.Errorf("log %s", log.String())
	}
	if n := metric(t, b.Metrics(), "fedbroker_broker_panics_total"); n != "1" {
		t.Errorf("panics counted: %q", n)
	}
}

func TestP26_SubjectThatCannotBeNamedIssuesNothing(t *testing.T) {
	o := options(t, config())
	o.Subjects = nameless{}
	res, err := open(t, o).Token(t.Context(), clientCredentials())
	if refusal := oauth.AsError(err); res != nil || err == nil || refusal.Code != oauth.CodeTemporarilyUnavailable || refusal.Reason != oauth.ReasonNotDurable {
		t.Errorf("%v, %v", res, err)
	}
}

type nameless struct{}

func (nameless) Name(context.Context, string) (journal.Subject, error) {
	return journal.Subject{}, fmt.Errorf("subjects: %w", store.ErrUnavailable)
}

func TestReady(t *testing.T) {
	o := options(t, config())
	var clock atomic.Int64
	clock.Store(1_800_000_000)
	o.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
	b := open(t, o)
	broken := func() (names []string) {
		r := b.Ready(t.Context())
		for _, p := range r.Parts {
			if !p.OK {
				if p.Detail == "" {
					t.Errorf("%s: no detail", p.Name)
				}
				names = append(names, p.Name)
			}
		}
		if r.Ready != (len(names) == 0) {
			t.Errorf("ready %t with %v broken", r.Ready, names)
		}
		return names
	}
	if got := broken(); got != nil {
		t.Fatalf("at start: %v", got)
	}
	r := b.Ready(t.Context())
	if len(r.Upstreams) != 2 || r.Upstreams[0].Name != "acme" || r.Upstreams[0].OK {
		t.Errorf("upstreams that were never reached: %+v", r.Upstreams) // and yet the broker is ready
	}
	o.Journal.(*lines).fail.Store(&store.ErrUnavailable)
	clock.Add(11)
	if got := broken(); !slices.Equal(got, []string{"journal", "revocations"}) {
		t.Errorf("broken %v", got)
	}
	if err := o.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	if got := broken(); !slices.Contains(got, "engine") {
		t.Errorf("broken %v", got)
	}
}

func TestRun_OwnsEveryLoopAndEndsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Upstreams, c.Exchange = nil, nil // no network in here
		o := options(t, c)
		b := open(t, o)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		if err := o.Engine.Close(); err != nil { // its own goroutines are not the broker's
			t.Fatal(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%v", err)
		}
	})
}

func TestRun_TellsTheMetricsWhatIsReady(t *testing.T) {
	b := open(t, options(t, config()))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	if r := b.Ready(t.Context()); !r.Ready {
		t.Errorf("%+v", r)
	}
	stop() // each loop has its first turn all the same
	if err := <-ended; err != nil {
		t.Error(err)
	}
	text := scrape(t, b.Metrics())
	for _, want := range []string{`fedbroker_broker_part_ready_bool{part="signing_keys"} 1`, `fedbroker_upstream_ready_bool{upstream="acme"} 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestDocuments(t *testing.T) {
	b := open(t, options(t, config()))
	var members map[string]any
	if err := json.Unmarshal(b.Metadata().Body, &members); err != nil || members["issuer"] != issuer {
		t.Errorf("%v, %v", members, err)
	}
	for name, d := range map[string]metadata.Document{"metadata": b.Metadata(), "jwks": b.JWKS()} {
		if !strings.HasPrefix(d.ETag, `"`) || !strings.HasSuffix(d.ETag, `"`) || d.MaxAge <= 0 {
			t.Errorf("%s: %s, %v", name, d.ETag, d.MaxAge)
		}
	}
}

// metric reads one value of the text form.
func metric(t *testing.T, m *event.Metrics, name string) string {
	t.Helper()
	for line := range strings.Lines(scrape(t, m)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
