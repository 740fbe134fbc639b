package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"fedbroker/cmd/fedbroker/demo/app"
)

// What the desk hands out: fresh subject tokens, so that a step can be repeated after the first one has expired or was spent.
const (
	deskCI      = "ci"
	deskBranch  = "ci-branch"
	deskPartner = "partner"
	deskOrders  = "orders"
)

const (
	mainBranch  = "refs/heads/main"
	otherBranch = "refs/heads/try-this"
)

// desk stands for the places where a CI job or a service finds its own token. It exists on loopback and in the demo only.
type desk struct {
	house    *house
	listener net.Listener
}

func (d *desk) url() string { return "http://" + d.listener.Addr().String() }

// token makes a fresh token of one of the desk's kinds.
func (d *desk) token(ctx context.Context, kind string) (string, error) {
	h := d.house
	switch kind {
	case deskCI:
		return h.ci.Sign(h.ci.GitHubClaims(h.issuer, "acme", "shop", mainBranch)), nil
	case deskBranch:
		return h.ci.Sign(h.ci.GitHubClaims(h.issuer, "acme", "shop", otherBranch)), nil
	case deskPartner:
		claims := h.acme.Claims("svc-reports", "gateway-at-acme")
		claims["department"] = "Sales"
		claims["realm"] = map[string]any{"roles": []string{"svc-ord", "staff"}}
		return h.acme.Sign(claims), nil
	case deskOrders:
		return d.ordersToken(ctx)
	}
	return "", fmt.Errorf("desk: no token %q", kind)
}

// ordersToken is a token of our own for the orders API: the result of the second step.
func (d *desk) ordersToken(ctx context.Context) (string, error) {
	subject, err := d.token(ctx, deskPartner)
	if err != nil {
		return "", err
	}
	got, err := d.house.exchange(ctx, steps()[1], subject)
	if err != nil {
		return "", err
	}
	if got.Error != "" {
		return "", fmt.Errorf("orders token: %s: %s", got.Error, d.house.log.reason(got.DecisionID))
	}
	return got.AccessToken, nil
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, err := d.token(r.Context(), r.URL.Path[1:])
	if r.Method != http.MethodGet || err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprint(w, token)
}

func (d *desk) run(ctx context.Context) error { return app.Serve(ctx, d, d.listener) }
