// Package admin is the operator's plane: health and metrics for whoever can reach it, and the operator's API behind a lock. It is
// never on the public listener. The command line uses it over its unix socket, by Client.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"fedbroker/broker"
	"fedbroker/broker/web"
	"fedbroker/upstreams"
)

// Options configure the admin plane. Broker is required.
type Options struct {
	Spec     Spec
	Broker   *broker.Broker
	Logger   *slog.Logger     // [discards]
	Listener net.Listener     // instead of one at Spec.Listen; closed by the server
	Now      func() time.Time // [time.Now]
	Explain  Explainer        // nil: nothing is explained here
	Configs  Configs          // nil: no configurations are kept

	// Token is the operators' token of now, "" for none; it is asked for each request, so that a rotated one counts at once. [that of Spec]
	Token func() upstreams.Secret
}

// Server is the admin plane: a socket, a listener, either or both.
type Server struct {
	log       *slog.Logger
	operator  Operator
	explainer Explainer // nil: none
	kept      Configs   // nil: none
	ready     func(context.Context) broker.Readiness
	metrics   http.Handler
	socket    *net.UnixListener // nil: none
	path      string            // of the socket
	listener  net.Listener      // nil: none
	tcp       *http.Server
	unix      *http.Server
}

// Timeouts and bounds of a connection.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
	drainTimeout   = 5 * time.Second
)

// New opens the socket and the listener and serves nothing until Run. ErrSocketInUse: another server holds the socket.
func New(o Options) (*Server, error) {
	if o.Broker == nil {
		return nil, errors.New("admin: no broker")
	}
	s := &Server{operator: o.Broker.Operator(), explainer: o.Explain, kept: o.Configs, ready: o.Broker.Ready, metrics: o.Broker.Metrics().Handler()}
	if err := s.open(o); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) open(o Options) error {
	if s.log = o.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	spec := o.Spec.WithDefaults()
	if o.Token == nil {
		o.Token = func() upstreams.Secret { return spec.Token }
	}
	config, cas, err := newTLS(spec, s.log, o.Now)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	s.unix, s.tcp = s.newHTTP(s.api(true)), s.newHTTP(newLock(spec, o.Token, cas).admit(s.api(false)))
	s.tcp.TLSConfig = config
	if s.listener = o.Listener; s.listener == nil && spec.Listen != "" {
		if s.listener, err = net.Listen("tcp", spec.Listen); err != nil {
			return fmt.Errorf("admin: %w", err)
		}
	}
	if s.path = spec.Socket; s.path != "" {
		if s.socket, err = listenSocket(s.path); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	return nil
}

func (s *Server) newHTTP(api http.Handler) *http.Server {
	return &http.Server{
		Handler: s.unlocked(api), ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// unlocked puts what needs no lock before what does.
func (s *Server) unlocked(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"healthy": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, ready := http.StatusOK, s.ready(r.Context()).WithoutCauses()
		if !ready.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, ready)
	})
	mux.Handle("GET /metrics", s.metrics)
	mux.Handle("/", api)
	return mux
}

// Addr is where the listener is, nil without one.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run serves until ctx ends, then lets running requests finish and takes the socket away. Call it once.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.listener != nil {
		g.Go(func() error { return serve(ctx, s.tcp, s.listener) })
	}
	if s.socket != nil {
		g.Go(func() error { return serve(ctx, s.unix, s.socket) })
		defer func() { _ = os.Remove(s.path) }() // a stale one is replaced at the next start
	}
	<-ctx.Done()
	return g.Wait()
}

func serve(ctx context.Context, server *http.Server, l net.Listener) error {
	if err := web.Serve(ctx, server, l, drainTimeout); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// Close frees the listeners of a server that is never run.
func (s *Server) Close() error {
	var errs []error
	if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	if s.socket != nil {
		errs = append(errs, s.socket.Close(), os.Remove(s.path))
	}
	return errors.Join(errs...)
}
