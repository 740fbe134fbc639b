package clients

import (
	"context"
	"fmt"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
)

// Workloads has the configured upstreams verify the tokens of workloads.
type Workloads struct {
	Upstreams interface {
		ByName(name string) (upstreams.Upstream, bool)
	}
}

// Verify implements Workload.
func (w Workloads) Verify(ctx context.Context, upstream string, t jose.Unverified, audience string, now time.Time) (upstreams.Identity, error) {
	up, ok := w.Upstreams.ByName(upstream)
	if !ok {
		return upstreams.Identity{}, fmt.Errorf("no upstream %s", upstream) // the registry names configured ones alone
	}
	return up.Verify(ctx, t, upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: audience, Now: now})
}
