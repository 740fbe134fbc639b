package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"fedbroker/broker"
	"fedbroker/broker/lineage"
	"fedbroker/broker/operator"
)

// Client is the admin API over the unix socket of a running server.
type Client struct {
	http *http.Client
}

// maxAnswer bounds what a server may answer: the largest tree has some thousand nodes of a few KiB.
const maxAnswer = 32 << 20

// Dial finds the server at the socket. ErrNoServer: there is none, so that the caller may open the store itself.
func Dial(socket string) (*Client, error) {
	conn, err := dial(socket)
	if err != nil {
		return nil, err
	}
	return &Client{http: &http.Client{Timeout: slowTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}, conn.Close()
}

// Close frees the client's connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ready asks for the readiness of the server, with its detail.
func (c *Client) Ready(ctx context.Context) (r broker.Readiness, err error) {
	return r, c.call(ctx, http.MethodGet, pathReadiness, nil, &r)
}

// Keys lists the signing keys.
func (c *Client) Keys(ctx context.Context) (keys []operator.Key, err error) {
	return keys, c.call(ctx, http.MethodGet, pathKeys, nil, &keys)
}

// RotateKeys begins a rotation of the signing keys.
func (c *Client) RotateKeys(ctx context.Context) (keys []operator.Key, err error) {
	return keys, c.call(ctx, http.MethodPost, pathRotate, nothing{}, &keys)
}

// CompromiseKey takes a signing key out of use, with every token under it.
func (c *Client) CompromiseKey(ctx context.Context, kid string) (keys []operator.Key, err error) {
	return keys, c.call(ctx, http.MethodPost, pathCompromise, named{Name: kid}, &keys)
}

// Revoke revokes.
func (c *Client) Revoke(ctx context.Context, r operator.Revocation) error {
	return c.call(ctx, http.MethodPost, pathRevoke, r, nil)
}

// Touched counts the live tokens that a revocation would make inactive.
func (c *Client) Touched(ctx context.Context, r operator.Revocation) (t lineage.Touched, err error) {
	return t, c.call(ctx, http.MethodPost, pathTouched, r, &t)
}

// Lineage reads what a token was made from and what was made from it.
func (c *Client) Lineage(ctx context.Context, q lineage.Query) (t lineage.Tree, err error) {
	return t, c.call(ctx, http.MethodPost, pathLineage, q, &t)
}

// RebindUpstream binds an upstream's name to its configured issuer.
func (c *Client) RebindUpstream(ctx context.Context, name string) (b operator.Binding, err error) {
	return b, c.call(ctx, http.MethodPost, pathRebind, named{Name: name}, &b)
}

// Bindings lists which issuer each upstream's name is bound to.
func (c *Client) Bindings(ctx context.Context) (all []operator.Binding, err error) {
	return all, c.call(ctx, http.MethodGet, pathBindings, nil, &all)
}

// Sessions lists live sessions.
func (c *Client) Sessions(ctx context.Context, q operator.SessionQuery) (all []operator.Session, err error) {
	return all, c.call(ctx, http.MethodPost, pathSessions, q, &all)
}

// EndSessions ends sessions and returns their ids.
func (c *Client) EndSessions(ctx context.Context, which operator.SessionSelection) (ended []string, err error) {
	return ended, c.call(ctx, http.MethodPost, pathEnd, which, &ended)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, body)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	req.Header.Set("Content-Type", jsonType)
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return refused(res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// refused is the server's refusal; one of the operator's own mistakes is an *operator.ActError here, too.
func refused(status int, answer []byte) error {
	var p problem
	switch err := json.Unmarshal(answer, &p); {
	case err != nil || p.Error == "":
		return fmt.Errorf("admin: the server answered with status %d", status)
	case p.Detail != "":
		return &operator.ActError{Text: p.Detail}
	}
	return fmt.Errorf("admin: the server answered %s", p.Error)
}
