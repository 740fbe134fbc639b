package admin

import (
	"context"
	"net/http"

	"fedbroker/broker/confighistory"
)

// Configs knows the configurations that were applied: whoever put the server together where the state is at hand, *Client where a server holds it.
type Configs interface {
	// ConfigLog lists them, the one applied last first.
	ConfigLog(ctx context.Context) ([]confighistory.Entry, error)
	// Config is one of them as it was written, by the first digits of its hash. It may hold secrets.
	Config(ctx context.Context, hash string) (KeptConfig, error)
	// RolledBack says that one was put back in its place, which the server then applies at once.
	RolledBack(ctx context.Context, hash string) error
}

// KeptConfig is a configuration that was applied.
type KeptConfig struct {
	Entry confighistory.Entry  `json:"entry"`
	Texts []confighistory.Text `json:"texts"`
}

const (
	pathConfigs    = "/v1/configs"
	pathConfig     = "/v1/configs/show"
	pathRolledBack = "/v1/configs/rolledback"
)

// configs adds what is kept of configurations, where anything is. What they hold is for the owner of the socket alone: who bears the operators' token may
// act, and is not to read the secrets of partners.
func (s *Server) configs(mux *http.ServeMux, owner bool) {
	if s.kept == nil {
		return
	}
	mux.Handle("GET "+pathConfigs, act(s, func(ctx context.Context, _ nothing) (any, error) { return s.kept.ConfigLog(ctx) }))
	if !owner {
		return
	}
	mux.Handle("POST "+pathConfig, act(s, func(ctx context.Context, in named) (any, error) { return s.kept.Config(ctx, in.Name) }))
	mux.Handle("POST "+pathRolledBack, slow(act(s, func(ctx context.Context, in named) (any, error) { return nothing{}, s.kept.RolledBack(ctx, in.Name) })))
}

// ConfigLog lists the configurations that were applied.
func (c *Client) ConfigLog(ctx context.Context) (all []confighistory.Entry, err error) {
	return all, c.call(ctx, http.MethodGet, pathConfigs, nil, &all)
}

// Config is one of them as it was written.
func (c *Client) Config(ctx context.Context, hash string) (k KeptConfig, err error) {
	return k, c.call(ctx, http.MethodPost, pathConfig, named{Name: hash}, &k)
}

// RolledBack says that one was put back in its place.
func (c *Client) RolledBack(ctx context.Context, hash string) error {
	return c.call(ctx, http.MethodPost, pathRolledBack, named{Name: hash}, nil)
}
