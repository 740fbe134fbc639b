package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fedbroker/broker"
	"fedbroker/broker/web"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/reload"
	"fedbroker/upstreams"
)

func (a *app) serve() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Runs the broker until SIGTERM or SIGINT, then answers what has begun and ends. Logs go to standard error.
The configuration is applied anew on SIGHUP, and when it or a file that it names changes; what is wrong with it leaves the one before in use.
Upstreams that are down keep nothing from starting; /readyz on the admin listener says which.`,
		Example: `  fedbroker serve --config /etc/fedbroker/fedbroker.yaml`,
		Args:    cobra.NoArgs,
		RunE:    a.does(func(ctx context.Context, _ []string) error { return a.runServer(ctx) }),
	}
}

// load reads and judges the configuration that --config names.
func (a *app) load(o config.Options) (*config.Loaded, error) {
	c, err := config.Load(a.config, o)
	if _, ok := errors.AsType[*config.Error](err); ok {
		return c, err
	}
	if err != nil {
		return nil, &failure{exitUsage, err}
	}
	return c, nil
}

func (a *app) logger(c *config.Loaded) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel()}
	if c.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(a.err, options))
	}
	return slog.New(slog.NewJSONHandler(a.err, options))
}

// runServer owns everything that serve opens, in the order in which it must close: listeners, loops, journal, store.
func (a *app) runServer(ctx context.Context) (err error) {
	c, err := a.load(config.Options{})
	if err != nil {
		return err
	}
	log := a.logger(c)
	c.LogWarnings(log)
	if unserved := broker.Unserved(c.Config); len(unserved) > 0 {
		log.Warn("configured, but served by nothing yet", slog.Any("keys", unserved))
	}
	held, err := open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.close()) }()
	if cut := held.lines.Recovered(); cut > 0 {
		log.Warn("journal: cut a torn last line, which nothing was answered for", slog.Int64("bytes", cut))
	}
	options := held.options(c)
	options.Logger = log
	b, err := broker.New(ctx, options)
	if err != nil {
		return explained(err)
	}
	anew, configs, err := a.reloading(c, held, b, log)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what reading and judging the configuration took
	return listen(ctx, c, b, anew, configs, log)
}

// listen opens both planes and serves until ctx ends or one of them can't go on. The broker's loops outlive the requests.
func listen(ctx context.Context, c *config.Loaded, b *broker.Broker, anew *reload.Reloader, configs admin.Configs, log *slog.Logger) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	operators, err := admin.New(admin.Options{
		Spec: c.Admin, Broker: b, Logger: log, Explain: newExplainer(anew.Current, b.Judge, b.Decisions()),
		Token: func() upstreams.Secret { return anew.Current().Admin.Token }, Configs: configs,
	})
	if errors.Is(err, admin.ErrSocketInUse) {
		return fmt.Errorf("admin socket %s: another server answers on it", c.Admin.Socket)
	}
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	public, err := web.New(web.Options{Spec: c.Web, Broker: b, Logger: log})
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), operators.Close())
	}
	attrs := []any{slog.String("issuer", b.Issuer()), slog.String("listen", public.Addr().String()), slog.String("socket", c.Admin.Socket), slog.String("version", version)}
	if addr := operators.Addr(); addr != nil {
		attrs = append(attrs, slog.String("admin", addr.String()))
	}
	log.Info("serving", attrs...)

	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	ctx, stopPlanes := context.WithCancel(ctx)
	defer stopPlanes()
	var inner errgroup.Group
	inner.Go(func() error {
		defer stopPlanes() // without its loops the broker would answer from what it knew
		return b.Run(loops)
	})
	planes, planesCtx := errgroup.WithContext(ctx)
	planes.Go(func() error { return public.Run(planesCtx) })
	planes.Go(func() error { return operators.Run(planesCtx) })
	planes.Go(func() error { return anew.Run(planesCtx, hangup) })
	err = planes.Wait()
	log.Info("stopped serving")
	stopLoops()
	return errors.Join(err, inner.Wait())
}
