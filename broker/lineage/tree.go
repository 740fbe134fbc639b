package lineage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
)

// Kind is what a node is.
type Kind string

// The kinds of node.
const (
	KindToken    Kind = "token"    // one of ours
	KindLogin    Kind = "login"    // what a person let a client have: a code, and the refresh family of it
	KindExternal Kind = "external" // no line here issued it: a token of somebody else
)

// State says whether a node is still good.
type State string

// The states.
const (
	StateLive    State = "live"
	StateExpired State = "expired"
	StateEnded   State = "ended" // of a login: by its client, by a replay, or by an operator
	StateRevoked State = "revoked"
	StateForeign State = "foreign" // not ours to judge
	StateUnknown State = "unknown" // of an ID token beside an access token: no line says when it expires
)

// Node is a token, a login, or a token of somebody else.
type Node struct {
	ID         string      `json:"id"` // jti, id of the grant, or the id by which lineages name an external token
	Kind       Kind        `json:"kind"`
	State      State       `json:"state"`
	RevokedBy  *Revocation `json:"revoked_by,omitempty"`
	TokenType  string      `json:"token_type,omitempty"`
	Grant      string      `json:"grant,omitempty"`
	ClientID   string      `json:"client_id,omitempty"`
	Subject    string      `json:"sub,omitempty"`
	Erased     bool        `json:"sub_erased,omitempty"`
	Upstream   string      `json:"upstream,omitempty"`
	Actors     []string    `json:"actors,omitempty"` // the current one first; "" is erased
	Audiences  []string    `json:"audiences,omitempty"`
	Scopes     []string    `json:"scopes,omitempty"`
	Rule       string      `json:"rule,omitempty"`
	AuditRules []string    `json:"audit_rules,omitempty"`
	Bound      bool        `json:"cnf,omitempty"` // to a key
	KeyID      string      `json:"kid,omitempty"`
	SessionID  string      `json:"sid,omitempty"`
	DecisionID string      `json:"decision_id,omitempty"`
	Issued     time.Time   `json:"issued_at,omitzero"`
	Expires    time.Time   `json:"expires_at,omitzero"`
	Parents    []string    `json:"parents,omitempty"` // the subject's first
}

// Revocation is what a node is dead by.
type Revocation struct {
	Kind      string `json:"kind"`
	ID        string `json:"id"`
	Inherited bool   `json:"inherited,omitempty"` // by an ancestor's name
}

// Query says what to read.
type Query struct {
	ID    string `json:"id"`
	Up    bool   `json:"up,omitempty"`    // only ancestors; neither Up nor Down is both
	Down  bool   `json:"down,omitempty"`  // only descendants
	Live  bool   `json:"live,omitempty"`  // of descendants only those that have not expired
	Limit int    `json:"limit,omitempty"` // of nodes [200] at most 5000
}

// Tree is a token with its ancestors and descendants.
type Tree struct {
	ID      string `json:"id"`    // that was asked for
	Nodes   []Node `json:"nodes"` // ancestors, the nearest first; then it, then descendants, the nearest first
	LeftOff int    `json:"left_off,omitempty"`
	// AtLeast: LeftOff counts the children of nodes in the tree, up to a bound; what is below them is not counted.
	AtLeast bool `json:"at_least,omitempty"`
}

const (
	defaultNodes = 200
	MaxNodes     = 5000 // of one tree
	maxCounted   = 100_000
)

// Tree reads the tree of an id. It wraps ErrUnknown if no line names it.
func (r *Reader) Tree(ctx context.Context, q Query) (Tree, error) {
	if q.Limit <= 0 {
		q.Limit = defaultNodes
	}
	g := growth{walk: r.walk(), q: q, seen: map[string]bool{q.ID: true}, tree: Tree{ID: q.ID}}
	if err := g.grow(ctx); err != nil {
		return Tree{}, fmt.Errorf("lineage: %w", err)
	}
	return g.tree, nil
}

// growth is a tree being read.
type growth struct {
	*walk
	q    Query
	seen map[string]bool
	tree Tree
}

func (g *growth) grow(ctx context.Context) error {
	e, err := g.origin(ctx, g.q.ID)
	if err != nil {
		return err
	}
	if e == nil { // an external token is known by its children alone
		err = g.children(ctx, g.q.ID, func(child *event.Event) bool { e = child; return false })
		if err == nil && e == nil {
			err = ErrUnknown
		}
	}
	if err != nil {
		return err
	}
	if !g.q.Down || g.q.Up {
		err = g.up(ctx, g.q.ID)
	}
	if err == nil {
		err = g.add(ctx, g.q.ID, e)
	}
	if err == nil && (g.q.Down || !g.q.Up) {
		err = g.down(ctx, g.q.ID)
	}
	return err
}

// up adds all ancestors: there are few.
func (g *growth) up(ctx context.Context, id string) error {
	for level, generation := []string{id}, 0; len(level) > 0; generation++ {
		if generation > maxDepth {
			return fmt.Errorf("more than %d generations above a token: not a lineage of ours", maxDepth)
		}
		var above []string
		for _, id := range level {
			e, err := g.origin(ctx, id)
			if err != nil {
				return err
			}
			if e == nil {
				continue
			}
			for _, parent := range e.Parents {
				if g.seen[parent] {
					continue
				}
				g.seen[parent] = true
				above = append(above, parent)
				if err := g.add(ctx, parent, e); err != nil {
					return err
				}
			}
		}
		level = above
	}
	return nil
}

// down adds descendants until there are as many nodes as asked for, and counts the children that it leaves off.
func (g *growth) down(ctx context.Context, id string) error {
	for queue := []string{id}; len(queue) > 0; queue = queue[1:] {
		var bad error
		err := g.children(ctx, queue[0], func(e *event.Event) bool {
			for _, child := range []string{e.TokenID, e.IDTokenID} {
				if child == "" || g.seen[child] || g.q.Live && !e.Expires.After(g.now) {
					continue
				}
				if len(g.tree.Nodes) >= g.q.Limit {
					g.tree.LeftOff++
					g.tree.AtLeast = true
					continue
				}
				g.seen[child] = true
				queue = append(queue, child)
				if bad = g.add(ctx, child, e); bad != nil {
					return false
				}
			}
			return g.tree.LeftOff < maxCounted
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		if g.tree.LeftOff >= maxCounted {
			return nil
		}
	}
	return nil
}

// add appends the node of an id. e is the line that issued it, or that of a child.
func (g *growth) add(ctx context.Context, id string, e *event.Event) error {
	var n Node
	var err error
	switch origin, lookErr := g.origin(ctx, id); {
	case lookErr != nil:
		return lookErr
	case origin == nil:
		n, err = g.foreign(ctx, id, e)
	default:
		n, err = g.node(ctx, id, origin)
	}
	if err != nil {
		return err
	}
	g.tree.Nodes = append(g.tree.Nodes, n)
	return nil
}

// foreign is a token of somebody else, as far as the line of its child tells.
func (g *growth) foreign(ctx context.Context, id string, child *event.Event) (n Node, err error) {
	n = Node{ID: id, Kind: KindExternal, State: StateForeign}
	i := slices.Index(child.Parents, id)
	n.Subject, n.Upstream, err = g.external(ctx, child, i)
	if err != nil {
		return n, err
	}
	k, err := g.known(ctx, id, 0)
	if err != nil {
		return n, err
	}
	k.facts.Subject, k.facts.Upstream = n.Subject, n.Upstream
	g.judge(&n, known{k.facts, child.Issued})
	n.Erased = n.Subject == "" && i == 0
	return n, nil
}

// node is a token or a login of ours.
func (g *growth) node(ctx context.Context, id string, e *event.Event) (Node, error) {
	n := Node{
		ID: id, Kind: KindToken, TokenType: e.TokenType, Grant: e.Grant, ClientID: e.ClientID, Upstream: e.Upstream, Audiences: e.Audiences, Scopes: e.Scopes,
		Rule: e.Rule, AuditRules: e.Audits, Bound: e.Bound, KeyID: e.KeyID, SessionID: e.SessionID, DecisionID: e.DecisionID,
		Issued: e.Issued.UTC(), Expires: e.Expires.UTC(), Parents: e.Parents, State: StateLive,
	}
	if id == e.IDTokenID { // the line is about the access token beside it: what it says of audience, scope and end is not this one's
		n.TokenType, n.Audiences, n.Scopes, n.Bound, n.KeyID = "id_token", list(e.ClientID), nil, false, ""
		n.State, n.Expires = StateUnknown, time.Time{}
	}
	var err error
	if n.Subject, err = g.subject(ctx, e.Subject); err != nil {
		return n, err
	}
	n.Erased = n.Subject == "" && e.Subject.MAC != ""
	for _, actor := range e.Actors {
		name, err := g.subject(ctx, actor)
		if err != nil {
			return n, err
		}
		n.Actors = append(n.Actors, name)
	}
	if e.Kind == event.KindLogin {
		n.Kind = KindLogin
		if err := g.judgeLogin(ctx, &n); err != nil {
			return n, err
		}
	} else if !n.Expires.IsZero() && !n.Expires.After(g.now) {
		n.State = StateExpired
	}
	k, err := g.known(ctx, id, 0)
	if err != nil {
		return n, err
	}
	g.judge(&n, k)
	return n, nil
}

// judgeLogin asks the store what has become of a grant. Its line tells only when its code expired.
func (g *growth) judgeLogin(ctx context.Context, n *Node) error {
	grant, err := g.o.Grants.Grant(ctx, n.ID)
	switch {
	case err == nil:
		n.Expires = grant.Expires.UTC()
	case errors.Is(err, session.ErrEnded):
		n.State, n.Expires = StateEnded, time.Time{}
	case errors.Is(err, session.ErrNone):
		n.State, n.Expires = StateExpired, time.Time{}
	default:
		return err
	}
	return nil
}

// judge holds a node against the revocations.
func (g *growth) judge(n *Node, k known) {
	if cause, dead := g.o.Revoked.Cause(k.facts, k.iat); dead {
		n.State, n.RevokedBy = StateRevoked, &Revocation{Kind: string(cause.Kind), ID: cause.ID,
			Inherited: cause.Inherited && n.Kind == KindToken && (cause.Kind != revoke.KindRule || cause.ID != n.Rule)}
	}
}
