// Package web is the public listener: Echo with the form rules before every route, one place that writes errors, and the headers
// that every answer carries. It judges HTTP and nothing else; the broker behind it knows no HTTP.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"fedbroker/broker"
	"fedbroker/broker/event"
	"fedbroker/broker/web/frame"
	"fedbroker/broker/web/pages"
)

// Options configure the public listener. Broker is required.
type Options struct {
	Spec     Spec
	Broker   *broker.Broker
	Logger   *slog.Logger     // [discards]
	Listener net.Listener     // instead of one at Spec.Listen; closed by the server
	Now      func() time.Time // [time.Now]
}

// Server is the public listener.
type Server struct {
	broker  *broker.Broker
	logins  func() logins
	log     *slog.Logger
	now     func() time.Time
	https   bool   // the issuer is an https one
	origin  string // of the issuer
	path    string // of the issuer, without a slash at its end
	frame   frame.Frame
	pages   *pages.Pages
	cookies cookies
	routes  map[string]route
	echo    *echo.Echo
	http    *http.Server
	listen  net.Listener
}

var (
	errMethod   = errors.New("method not allowed")
	errNoAnswer = errors.New("a login came to nothing")
)

// Timeouts and bounds of a connection: a request is at most 64 KiB and its answer takes one signature.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 45 * time.Second // above every timeout of an upstream, so that its refusal is still told
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10 // cookies (maxCookies), an address (maxTarget), and the rest
	drainTimeout      = 10 * time.Second
)

// New reads the certificate, opens the listener, and serves nothing until Run.
func New(o Options) (*Server, error) {
	if o.Broker == nil {
		return nil, errors.New("web: no broker")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Spec = o.Spec.WithDefaults()
	issuer, err := url.Parse(o.Broker.Issuer())
	if err != nil {
		return nil, fmt.Errorf("web: issuer: %w", err)
	}
	proxies, i, ok := parsePrefixes(o.Spec.TrustedProxies)
	if !ok {
		return nil, fmt.Errorf("web: trusted_proxies[%d] is neither address nor CIDR", i)
	}
	https := issuer.Scheme == "https"
	s := &Server{
		broker: o.Broker, log: o.Logger, now: o.Now, https: https, origin: issuer.Scheme + "://" + issuer.Host, path: strings.TrimSuffix(issuer.Path, "/"),
		logins: func() logins { return o.Broker.Login() }, frame: frame.New(), cookies: cookies{https: https}, routes: map[string]route{},
	}
	if s.pages, err = pages.New(pages.Options{Site: issuer.Host, LoopbackHTTP: !https}); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s.echo = s.newEcho(extractor(proxies))
	s.http = &http.Server{
		Handler: s.echo, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	if o.Spec.TLS != nil {
		if s.http.TLSConfig, err = NewTLS(*o.Spec.TLS, o.Logger, o.Now); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	if s.listen = o.Listener; s.listen == nil {
		if s.listen, err = net.Listen("tcp", o.Spec.Listen); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	return s, nil
}

func (s *Server) newEcho(ip echo.IPExtractor) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = ip
	e.HTTPErrorHandler = s.writeError
	e.Pre(s.observe, s.secure, s.recover, s.bounded, s.method)
	s.mount(e)
	return e
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listen.Addr() }

// Handler serves requests without the listener, for tests.
func (s *Server) Handler() http.Handler { return s.echo }

// Run serves until ctx ends, then lets running requests finish. Call it once; its error is nil after a clean end.
func (s *Server) Run(ctx context.Context) error {
	if err := Serve(ctx, s.http, s.listen, drainTimeout); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}

// Close frees the listener of a server that is never run.
func (s *Server) Close() error { return s.listen.Close() }

// observe counts the answer, once it is written.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	const noRoute = "other"
	return func(c echo.Context) error {
		begun := s.now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		name := noRoute
		if r, known := s.route(c); known {
			name = r.path
		}
		s.broker.Metrics().HTTP(name, c.Response().Status, s.now().Sub(begun))
		return nil
	}
}

// recover answers server_error where a request panicked. The pipeline catches its own panics; this is for what is around it.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // the value itself, as net/http compares it
				panic(p)
			}
			s.broker.Metrics().Panic()
			err = event.PanicError(p)
			s.log.Error("panic in a request", event.AttrDecisionID, decisionID(c), event.AttrError, err, event.AttrStack, string(debug.Stack()))
		}()
		return next(c)
	}
}
