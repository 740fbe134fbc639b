// Package demo shows the broker at work in one process on loopback: two partners' identity providers with login forms and a CI's, the broker on
// bbolt with its journal, a sample app and a sample API, and a walk over real HTTP through a login, both kinds of exchange and three refusals.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Options say how the demo shows itself.
type Options struct {
	Out   io.Writer
	Once  bool // end after the walk
	Color bool // the writer is a terminal that wants it
}

// Run walks through the demo. Unless once, it then goes on serving until ctx ends, so that every step can be repeated by hand.
func Run(ctx context.Context, o Options) (err error) {
	folder, err := os.MkdirTemp("", "fedbroker-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	h, err := open(ctx, folder)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, h.close()) }()
	p := printer{out: o.Out, color: o.Color}
	p.opening(h)
	if err := h.walkLogin(ctx, p); err != nil {
		return fmt.Errorf("demo: login: %w", err)
	}
	for i, s := range steps() {
		if err := h.walk(ctx, p, i+1, s); err != nil {
			return fmt.Errorf("demo: step %d: %w", i+1, err)
		}
	}
	if err := p.journal(h); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if o.Once {
		return nil
	}
	p.repeat(h, steps())
	select {
	case <-ctx.Done():
		return nil
	case <-h.ended:
		return nil // close tells why
	}
}
