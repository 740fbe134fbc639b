// Package reload applies the configuration again when it has changed, or when it is told to. What is wrong with the new one leaves the one before
// in use.
package reload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/confighistory"
	"fedbroker/cmd/fedbroker/config"
)

// Broker is what a configuration is for; *broker.Broker is one.
type Broker interface {
	Reload(ctx context.Context, c broker.Config) error
	RefuseReload(ctx context.Context, err error)
}

// Options of New. All but the last are required.
type Options struct {
	Loaded *config.Loaded                 // that serves
	Load   func() (*config.Loaded, error) // reads it anew
	Broker Broker
	Log    *slog.Logger

	// Applied is told of each configuration that serves from now on, the first included.
	Applied func(ctx context.Context, c *config.Loaded, cause confighistory.Cause)
}

// Reloader keeps a broker at what its files say.
type Reloader struct {
	o       Options
	current atomic.Pointer[config.Loaded]
	files   watched
	demands chan demand
}

// demand asks for a reload now.
type demand struct {
	cause confighistory.Cause
	done  chan<- error // has room for the answer
}

// New makes one that has not looked yet.
func New(o Options) *Reloader {
	r := &Reloader{o: o, files: watched{names: o.Loaded.Watched()}, demands: make(chan demand)}
	if r.o.Applied == nil {
		r.o.Applied = func(context.Context, *config.Loaded, confighistory.Cause) {}
	}
	r.current.Store(o.Loaded)
	return r
}

// Current is the configuration in use.
func (r *Reloader) Current() *config.Loaded { return r.current.Load() }

// Run applies what has changed since the configuration was loaded, at once, and then whatever changes, and the whole anew whenever something
// comes from hangup. It returns nil after ctx ended.
func (r *Reloader) Run(ctx context.Context, hangup <-chan os.Signal) error {
	r.o.Applied(ctx, r.Current(), confighistory.Start)
	if c, err := r.read(); err != nil || !reflect.DeepEqual(c.File, r.Current().File) {
		_ = r.apply(ctx, c, err, confighistory.FileChange) // told
	}
	debug.FreeOSMemory() // what reading and judging took
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for looks := 1; ; looks++ {
		d := demand{cause: confighistory.FileChange, done: make(chan error, 1)}
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			d.cause = confighistory.Hangup
		case d = <-r.demands:
		case <-tick.C:
			if !r.files.changed(looks%deepEvery == 0) || !r.files.settle(ctx) {
				continue
			}
		}
		c, err := r.read()
		d.done <- r.apply(ctx, c, err, d.cause)
		debug.FreeOSMemory()
	}
}

// Now reads and applies the whole anew, and returns what was wrong with it. It needs Run.
func (r *Reloader) Now(ctx context.Context, cause confighistory.Cause) error {
	done := make(chan error, 1)
	select {
	case r.demands <- demand{cause, done}:
	case <-ctx.Done():
		return fmt.Errorf("reload: %w", ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("reload: %w", ctx.Err())
	}
}

// maxReads bounds how often a configuration is read that names other files each time.
const maxReads = 3

// read loads the configuration after it has looked at all its files, so that what changes meanwhile is seen by the next look.
func (r *Reloader) read() (c *config.Loaded, err error) {
	for range maxReads {
		r.files.look()
		c, err = r.o.Load()
		if c == nil || slices.Equal(c.Watched(), r.files.names) {
			break
		}
		r.files.names = c.Watched()
	}
	return c, err
}

// apply hands on what can be used, and tells of what can't, which it returns.
func (r *Reloader) apply(ctx context.Context, c *config.Loaded, err error, cause confighistory.Cause) error {
	if err == nil {
		err = fixed(r.Current().File, c.File)
	}
	if err != nil {
		r.o.Broker.RefuseReload(ctx, err)
		return err
	}
	if err := r.o.Broker.Reload(ctx, c.Config); err != nil {
		return err // told by the broker
	}
	c.LogWarnings(r.o.Log)
	r.current.Store(c)
	r.o.Applied(ctx, c, cause)
	return nil
}

// errFixed is what a key can't do that was read when the process started.
var errFixed = errors.New("want what it was at the start, got another value; it takes a restart")

// fixed refuses other values of what is opened once: listeners, the store, the journal, the keys that seal, the log. The operators' token is asked for each
// request.
func fixed(was, is config.File) error {
	var keys []string
	was.Admin.Token, is.Admin.Token = "", ""
	for _, k := range []struct {
		name    string
		was, is any
	}{
		{"listen", was.Web.Listen, is.Web.Listen}, {"tls", was.Web.TLS, is.Web.TLS}, {"trusted_proxies", was.Web.TrustedProxies, is.Web.TrustedProxies},
		{"admin", was.Admin, is.Admin}, {"store", was.Store, is.Store}, {"audit", was.Audit, is.Audit}, {"seal", was.Seal, is.Seal}, {"log", was.Log, is.Log},
	} {
		if !reflect.DeepEqual(k.was, k.is) {
			keys = append(keys, k.name)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(keys, ", "), errFixed)
}
