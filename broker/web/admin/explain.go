package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/operator"
)

// Explainer says how decisions come about: whoever put the server together where the state is at hand, *Client where a server holds it.
type Explainer interface {
	// Explain judges a request of now, or one that was decided, by its id.
	Explain(ctx context.Context, r explain.Request) (explain.Explanation, error)
	// Decisions gives a page of those that are kept; see decision.Store.Page.
	Decisions(ctx context.Context, after string) ([]decision.Record, error)
}

const (
	pathExplain   = "/api/explain" // by POST: a token belongs in no log
	pathDecisions = "/api/decisions"
)

// after is the body of a request for a page.
type after struct {
	After string `json:"after,omitempty"` // id of the last one of the page before
}

// explaining adds what explains, where anything does.
func (s *Server) explaining(mux *http.ServeMux) {
	if s.explainer == nil {
		return
	}
	mux.Handle("POST "+pathExplain, slow(act(s, func(ctx context.Context, r explain.Request) (any, error) {
		e, err := s.explainer.Explain(ctx, r)
		return e, mistaken(err)
	})))
	mux.Handle("POST "+pathDecisions, slow(act(s, func(ctx context.Context, in after) (any, error) { return s.explainer.Decisions(ctx, in.After) })))
}

// mistaken tells the operator's mistakes, which are answered in full, from the server's.
func mistaken(err error) error {
	usage, misused := errors.AsType[*explain.UsageError](err)
	switch {
	case misused:
		return &operator.ActError{Text: usage.Text}
	case errors.Is(err, decision.ErrNone):
		return &operator.ActError{Text: err.Error()}
	}
	return err
}

// Explain asks how a decision comes about.
func (c *Client) Explain(ctx context.Context, r explain.Request) (e explain.Explanation, err error) {
	var answer json.RawMessage
	if err := c.call(ctx, http.MethodPost, pathExplain, r, &answer); err != nil {
		return e, err
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber() // claims hold numbers that no float64 does
	if err := decoder.Decode(&e); err != nil {
		return e, fmt.Errorf("admin: %w", err)
	}
	return e, nil
}

// Decisions reads a page of the decisions that are kept.
func (c *Client) Decisions(ctx context.Context, last string) (all []decision.Record, err error) {
	return all, c.call(ctx, http.MethodPost, pathDecisions, after{After: last}, &all)
}
