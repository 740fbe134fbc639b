package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/pattern"
)

// MetIssuer is one issuer of an upstream that stands for many, as it was met since the server started.
type MetIssuer struct {
	Issuer      string    `json:"issuer"`
	State       string    `json:"state"` // never, ok, stale, expired
	Keys        int       `json:"keys"`
	Since       time.Time `json:"met_at"`
	Verified    time.Time `json:"verified_at,omitzero"` // the newest token of it
	Confirmed   time.Time `json:"confirmed_at,omitzero"`
	ServesUntil time.Time `json:"serves_until,omitzero"` // if no fetch succeeds from now on
	LastError   string    `json:"last_error,omitempty"`  // its class
}

// metIssuers says how the issuers of a pattern do. They are as many as the pattern remembers.
func (o *Operator) metIssuers(ctx context.Context, met []pattern.Met) ([]MetIssuer, error) {
	all := make([]MetIssuer, 0, len(met))
	for _, m := range met {
		i, err := o.o.UpstreamKeys.Inspect(ctx, m.Key)
		if errors.Is(err, keys.ErrNotRegistered) {
			continue // it has made room meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", m.Issuer, err)
		}
		all = append(all, MetIssuer{
			Issuer: m.Issuer, State: string(i.State), Keys: len(i.Set), Since: m.Since, Verified: m.Verified, Confirmed: i.Confirmed,
			ServesUntil: i.ServesUntil, LastError: i.LastError,
		})
	}
	return all, nil
}

// refreshMet fetches the keys of all issuers that were met, one after the other. Where a fetch fails, that is in the issuer's LastError.
func (o *Operator) refreshMet(ctx context.Context, met []pattern.Met) error {
	for _, m := range met {
		_ = o.o.UpstreamKeys.Refresh(ctx, m.Key)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// drillMet fills in what an outage of all issuers that were met would mean: it ends with the first of them.
func (out *Outage) drillMet(met []MetIssuer) {
	for _, m := range met {
		if !m.ServesUntil.After(out.At) {
			continue
		}
		out.Issuers = append(out.Issuers, IssuerOutage{Issuer: m.Issuer, Until: m.ServesUntil})
		if out.Until.IsZero() || m.ServesUntil.Before(out.Until) {
			out.Until, out.EndsBy = m.ServesUntil, EndsByMaxStale
			out.Survives = int64(m.ServesUntil.Sub(out.At) / time.Second)
		}
	}
}
