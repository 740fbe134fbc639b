package operator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/revoke"
	"fedbroker/upstreams/shape"
)

// Shapes is what is known of the names and types of upstreams' claims; *shape.Sentinel has it.
type Shapes interface {
	Shapes(ctx context.Context, upstream string) ([]shape.Sourced, error)
	Accept(ctx context.Context, upstream string) (settled int, err error)
	Forget(ctx context.Context, upstream string) error
}

// Drift is how the claims of one upstream's tokens look, and what of that is not as it was: names and types, never values.
type Drift struct {
	Upstream string       `json:"upstream"`
	Sources  []ClaimShape `json:"sources"` // by source; empty: no token has verified yet
}

// ClaimShape is the shape of one sort of tokens.
type ClaimShape struct {
	Source   string       `json:"source"`                   // login, exchange, actor, client, grant, introspection; with a class of token behind a colon
	Tokens   uint64       `json:"tokens"`                   // looked at
	Lacking  uint64       `json:"tokens_lacking,omitempty"` // for a baseline
	Baseline time.Time    `json:"baseline_at,omitzero"`     // when it was learnt, or accepted last
	Last     time.Time    `json:"last_at"`
	Claims   []Claim      `json:"claims"`
	Changes  []ClaimDrift `json:"changes"` // since the baseline, the oldest first
}

// Claim is one claim as it comes now.
type Claim struct {
	Claim   string    `json:"claim"`   // by name; a member by JSON pointer (RFC 6901); * for all those that are not told apart
	Types   string    `json:"types"`   // as in "string or list of string"
	Percent int       `json:"percent"` // of the latest tokens, of a member of those with what it is a member of
	Last    time.Time `json:"last_at"`
}

// ClaimDrift is one difference from the baseline.
type ClaimDrift struct {
	Claim  string     `json:"claim"`
	Change shape.Kind `json:"change"` // appeared, vanished, retyped
	Was    string     `json:"was,omitempty"`
	Is     string     `json:"is,omitempty"`
	Since  time.Time  `json:"since"`
	Last   time.Time  `json:"last_at"` // when the claim came last
	ReadBy []string   `json:"read_by"` // parts of the configuration, as it calls them
}

// Accepted is how many differences an operator accepted.
type Accepted struct {
	Upstream string `json:"upstream"`
	Changes  int    `json:"changes"`
}

// Drift says how the claims of an upstream's tokens look and what has changed, with what reads it.
func (o *Operator) Drift(ctx context.Context, name string) (Drift, error) {
	readers, known := o.o.Readers(name)
	if !known {
		return Drift{}, noUpstream(name)
	}
	all, err := o.o.Shapes.Shapes(ctx, name)
	if err != nil {
		return Drift{}, fmt.Errorf("upstream %s: %w", name, err)
	}
	out := Drift{Upstream: name, Sources: []ClaimShape{}}
	for _, s := range all {
		one := ClaimShape{Source: string(s.Source), Tokens: s.Tokens, Baseline: s.Learnt, Last: s.Last, Claims: claimsOf(s.Shape), Changes: []ClaimDrift{}}
		if s.Learnt.IsZero() {
			one.Lacking = shape.Learn - min(s.Tokens, shape.Learn)
		}
		for _, d := range s.Drifts() {
			change := ClaimDrift{Claim: shape.Plainly(d.Pointer), Change: d.Kind, Since: d.Since, Last: d.Last, ReadBy: append([]string{}, readers.Find(shape.Path(d.Pointer))...)}
			if d.Kind != shape.Appeared {
				change.Was = d.Was.String()
			}
			if d.Kind != shape.Vanished {
				change.Is = d.Is.String()
			}
			one.Changes = append(one.Changes, change)
		}
		out.Sources = append(out.Sources, one)
	}
	return out, nil
}

func claimsOf(s shape.Shape) []Claim {
	all := []Claim{}
	for _, pointer := range slices.Sorted(maps.Keys(s.Names)) {
		n := s.Names[pointer]
		all = append(all, Claim{
			Claim: shape.Plainly(pointer), Types: n.Types.String(), Percent: int(100 * uint64(n.Seen) / max(uint64(n.Of)+uint64(n.Missed), 1)), Last: n.Last,
		})
	}
	slices.SortFunc(all, func(a, b Claim) int { return cmp.Compare(a.Claim, b.Claim) })
	return all
}

// AcceptShape makes the claims as they come now the baseline from which an upstream's drift is told.
func (o *Operator) AcceptShape(ctx context.Context, name string) (Accepted, error) {
	if _, known := o.o.Issuers()[name]; !known {
		return Accepted{}, noUpstream(name)
	}
	n, err := o.o.Shapes.Accept(ctx, name)
	if err != nil {
		return Accepted{}, fmt.Errorf("upstream %s: %w", name, err)
	}
	out := Accepted{Upstream: name, Changes: n}
	if n == 0 {
		return out, nil
	}
	return out, o.done(ctx, event.Event{Kind: event.KindUpstreamAccept, Upstream: name, Target: event.Target{Kind: string(revoke.KindUpstream), ID: name}})
}
