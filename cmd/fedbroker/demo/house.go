package demo

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fedbroker/broker"
	"fedbroker/broker/web"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/demo/app"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
	"fedbroker/upstreams/upstreamtest"
)

//go:embed demo.yaml
var configuration []byte

const (
	loopback       = "127.0.0.1:0" // a free port
	requestTimeout = 10 * time.Second
)

// house is everything that runs: the partners' and the CI's identity providers, the broker, the sample app with its API, and the desk that hands out
// subject tokens.
type house struct {
	ci           *upstreamtest.IdP
	acme, globex *partner
	secrets      map[string]string // by client id
	issuer       string            // the broker's
	journalDir   string
	log          *recorder
	client       *http.Client
	desk         *desk
	app          *app.App
	api          *app.API

	engine store.Engine
	lines  *journal.Journal
	stop   context.CancelFunc
	run    errgroup.Group
	ended  chan struct{}
	once   sync.Once
}

// open starts everything in folder. What was started is closed again when something later can't be.
func open(ctx context.Context, folder string) (h *house, err error) {
	h = &house{
		secrets: map[string]string{gateway: random(), ordersAPI: random(), sampleApp: random()},
		log:     newRecorder(), client: &http.Client{Timeout: requestTimeout}, ended: make(chan struct{}), stop: func() {},
	}
	var listeners []net.Listener // not served yet
	defer func() {
		if err != nil {
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			err = errors.Join(err, h.close())
		}
	}()
	for range 4 {
		l, err := net.Listen("tcp", loopback)
		if err != nil {
			return h, err
		}
		listeners = append(listeners, l)
	}
	h.issuer = "http://" + listeners[0].Addr().String()
	if err := h.openProviders(); err != nil {
		return h, err
	}
	h.openApp(listeners[1], listeners[2])
	h.desk = &desk{house: h, listener: listeners[3]}
	c, err := h.configure(folder)
	if err != nil {
		return h, err
	}
	b, err := h.openBroker(ctx, c)
	if err != nil {
		return h, err
	}
	public, err := web.New(web.Options{Spec: c.Web, Broker: b, Logger: slog.New(h.log), Listener: listeners[0]})
	if err != nil {
		return h, err
	}
	listeners = nil
	h.serve(ctx, b, public)
	return h, nil
}

func (h *house) openProviders() (err error) {
	if h.ci, err = upstreamtest.New(upstreamtest.Options{Name: "ci", Algorithms: []string{"RS256"}}); err != nil {
		return err
	}
	if h.acme, err = newPartner(acme, "Acme Corp", "#8a3b12", h.issuer); err != nil {
		return err
	}
	h.globex, err = newPartner(globex, "Globex", "#1f5f3a", h.issuer)
	return err
}

func (h *house) openApp(forApp, forAPI net.Listener) {
	h.api = &app.API{Issuer: h.issuer, Audience: ordersAudience, Scope: ordersScope, Listener: forAPI}
	h.app = app.New(app.Options{
		Issuer: h.issuer, ClientID: sampleApp, Secret: h.secrets[sampleApp], Listener: forApp, API: h.api.URL(), Audience: ordersAudience,
		Said: func(upstream, subject string) (idToken, userinfo map[string]any) {
			switch upstream {
			case acme:
				return h.acme.said(subject)
			case globex:
				return h.globex.said(subject)
			}
			return nil, nil
		},
	})
}

// configure reads the demo's configuration as any other: it is one.
func (h *house) configure(folder string) (*config.Loaded, error) {
	variables := map[string]string{
		"DEMO_ISSUER": h.issuer, "DEMO_CI": h.ci.Issuer(), "DEMO_SEAL_KEY": sealKey(),
		"DEMO_ACME": h.acme.Issuer(), "DEMO_ACME_SECRET": h.acme.secret, "DEMO_GLOBEX": h.globex.Issuer(), "DEMO_GLOBEX_SECRET": h.globex.secret,
		"DEMO_APP": h.app.URL(), "DEMO_APP_SECRET": h.secrets[sampleApp],
		"DEMO_GATEWAY_SECRET": h.secrets[gateway], "DEMO_ORDERS_SECRET": h.secrets[ordersAPI],
	}
	lookup := func(name string) (string, bool) { value, ok := variables[name]; return value, ok }
	return config.Read(filepath.Join(folder, "demo.yaml"), folder, configuration, config.Options{LookupEnv: lookup})
}

func (h *house) openBroker(ctx context.Context, c *config.Loaded) (*broker.Broker, error) {
	sealing, err := c.Sealer()
	if err != nil {
		return nil, err
	}
	if h.engine, err = engines.Open(c.Store.Engine, engines.Options{Path: c.Store.Path}); err != nil {
		return nil, err
	}
	h.journalDir = c.Audit.Dir
	if h.lines, err = journal.Open(journal.Options{Dir: c.Audit.Dir, Durability: c.Audit.Durability}); err != nil {
		return nil, err
	}
	return broker.New(ctx, broker.Options{Config: c.Config, Engine: h.engine, Journal: h.lines, Sealing: sealing, Logger: slog.New(h.log)})
}

// serve runs the loops and listeners until close, or until one of them fails.
func (h *house) serve(ctx context.Context, b *broker.Broker, public *web.Server) {
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, run := range []func(context.Context) error{b.Run, public.Run, h.desk.run, h.app.Run, h.api.Run} {
		h.run.Go(func() error {
			err := run(ctx)
			h.once.Do(func() { close(h.ended) })
			return err
		})
	}
}

// close ends whatever runs, in the order in which one needs the other.
func (h *house) close() error {
	h.stop()
	err := h.run.Wait()
	if h.lines != nil {
		err = errors.Join(err, h.lines.Close())
	}
	if h.engine != nil {
		err = errors.Join(err, h.engine.Close())
	}
	for _, p := range []*partner{h.acme, h.globex} {
		if p != nil {
			p.Close()
		}
	}
	if h.ci != nil {
		h.ci.Close()
	}
	h.client.CloseIdleConnections()
	return err
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func sealKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// recorder keeps what the operator's log says of each decision, so that the demo can show it beside what the caller got.
type recorder struct {
	mu      sync.Mutex
	reasons map[string]string // by decision id
}

func newRecorder() *recorder { return &recorder{reasons: map[string]string{}} }

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }

// Handle keeps the reason and the cause of a refusal.
func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	attrs := map[string]string{}
	record.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.String(); return true })
	if attrs[attrDecision] == "" {
		return nil
	}
	reason := attrs[attrReason]
	if cause := attrs[attrCause]; cause != "" {
		reason = fmt.Sprintf("%s: %s", reason, cause)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reasons[attrs[attrDecision]] = reason
	return nil
}

// reason is what the log says of a decision.
func (r *recorder) reason(decision string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reasons[decision]
}
