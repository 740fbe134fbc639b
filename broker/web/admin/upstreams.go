package admin

import (
	"context"
	"net/http"

	"fedbroker/broker/operator"
)

// UpstreamOperator is what an operator sees and does of upstreams.
type UpstreamOperator interface {
	Upstreams(ctx context.Context) ([]operator.Upstream, error)
	Upstream(ctx context.Context, name string) (operator.Upstream, error)
	KeyHistory(ctx context.Context, name string) (operator.KeyHistory, error)
	RefreshUpstream(ctx context.Context, name string) (operator.Upstream, error)
	PinKey(ctx context.Context, p operator.Pin) (operator.Pinned, error)
	DrillOutage(ctx context.Context, name string) (operator.Outage, error)
	Drift(ctx context.Context, name string) (operator.Drift, error)
	AcceptShape(ctx context.Context, name string) (operator.Accepted, error)
}

const (
	pathUpstreams  = "/v1/upstreams/states"
	pathUpstream   = "/v1/upstreams/show"
	pathKeyHistory = "/v1/upstreams/history"
	pathRefresh    = "/v1/upstreams/refresh"
	pathPin        = "/v1/upstreams/pin"
	pathOutage     = "/v1/drills/outage"
	pathDrift      = "/v1/upstreams/drift"
	pathAccept     = "/v1/upstreams/drift/accept"
)

// upstreams adds the upstreams' part of the API.
func (s *Server) upstreams(mux *http.ServeMux) {
	mux.Handle("GET "+pathUpstreams, act(s, func(ctx context.Context, _ nothing) (any, error) { return s.operator.Upstreams(ctx) }))
	mux.Handle("POST "+pathUpstream, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.Upstream(ctx, in.Name) }))
	mux.Handle("POST "+pathKeyHistory, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.KeyHistory(ctx, in.Name) }))
	mux.Handle("POST "+pathRefresh, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.RefreshUpstream(ctx, in.Name) }))
	mux.Handle("POST "+pathPin, act(s, func(ctx context.Context, p operator.Pin) (any, error) { return s.operator.PinKey(ctx, p) }))
	mux.Handle("POST "+pathOutage, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.DrillOutage(ctx, in.Name) }))
	mux.Handle("POST "+pathDrift, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.Drift(ctx, in.Name) }))
	mux.Handle("POST "+pathAccept, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.AcceptShape(ctx, in.Name) }))
}

// Upstreams says how every upstream does.
func (c *Client) Upstreams(ctx context.Context) (all []operator.Upstream, err error) {
	return all, c.call(ctx, http.MethodGet, pathUpstreams, nil, &all)
}

// Upstream says how one upstream does.
func (c *Client) Upstream(ctx context.Context, name string) (u operator.Upstream, err error) {
	return u, c.call(ctx, http.MethodPost, pathUpstream, named{Name: name}, &u)
}

// KeyHistory says what became of an upstream's keys.
func (c *Client) KeyHistory(ctx context.Context, name string) (h operator.KeyHistory, err error) {
	return h, c.call(ctx, http.MethodPost, pathKeyHistory, named{Name: name}, &h)
}

// RefreshUpstream fetches an upstream's keys.
func (c *Client) RefreshUpstream(ctx context.Context, name string) (u operator.Upstream, err error) {
	return u, c.call(ctx, http.MethodPost, pathRefresh, named{Name: name}, &u)
}

// PinKey pins an upstream's key, or lifts its pin.
func (c *Client) PinKey(ctx context.Context, p operator.Pin) (out operator.Pinned, err error) {
	return out, c.call(ctx, http.MethodPost, pathPin, p, &out)
}

// DrillOutage says what an outage of the upstream would mean.
func (c *Client) DrillOutage(ctx context.Context, name string) (out operator.Outage, err error) {
	return out, c.call(ctx, http.MethodPost, pathOutage, named{Name: name}, &out)
}

// Drift says how the claims of an upstream's tokens look and what has changed.
func (c *Client) Drift(ctx context.Context, name string) (d operator.Drift, err error) {
	return d, c.call(ctx, http.MethodPost, pathDrift, named{Name: name}, &d)
}

// AcceptShape makes the claims as they come now the baseline.
func (c *Client) AcceptShape(ctx context.Context, name string) (out operator.Accepted, err error) {
	return out, c.call(ctx, http.MethodPost, pathAccept, named{Name: name}, &out)
}
