package clients

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/mappers"
)

// Options describe a Registry. Issuer is required; without Keys or Spend, clients with keys can be judged but not authenticated, nor can
// those with an assertion without Issuers, Workload or Revoked.
type Options struct {
	Specs      []Spec
	Issuer     string
	Upstreams  map[string][]string // the audiences that each upstream's tokens are exchanged for, by its name; nil: not judged
	Algorithms []string            // signing.algorithms; nil: not judged
	Leeway     time.Duration       // how far a client's clock may be off (P12)
	Keys       Keys
	Spend      *revoke.Spender
	Issuers    map[string]string // each upstream's issuer, or pattern of issuers, by its name
	Workload   Workload
	Revoked    Revocations // whether a workload, or its upstream, is
}

// Client is a registered client. It is not to be written to.
type Client struct {
	ID            string
	Public        bool
	GrantTypes    []string // wire form
	Identifiers   []string // resource names that it is
	Audiences     []string
	Scopes        []string
	Upstreams     []string       // nil: all
	FullUpstream  bool           // its tokens name the upstream's issuer and subject, too (P6)
	LegacyAud     bool           // its assertions may name the token URL (P37)
	Chain         *mappers.Chain // its own mappers, on the way out; nil: none
	Spec          Spec           // with defaults
	methods       []string
	secret        [32]byte // SHA-256; of a client that has none, random
	assertionKeys string   // the name of its key set; "" if it has none
}

// MayUse tells whether the client is registered for a grant type, in wire form.
func (c *Client) MayUse(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// Registry is the clients of one configuration.
type Registry struct {
	issuer  string
	leeway  time.Duration
	keys    Keys
	spend   *revoke.Spender
	clients map[string]*Client
	order   []*Client
	nobody  *Client // stands for every client that does not exist, so that looking takes as long

	workload  Workload
	revoked   Revocations
	workloads map[origin]*workloads
}

// NewRegistry judges the specs and reports each problem to bad and each warning to warn, with paths such as
// clients[2].redirect_uris[0]. A registry of which anything was reported to bad is not to be used.
func NewRegistry(o Options, bad, warn func(path, format string, args ...any)) *Registry {
	if bad == nil {
		bad = func(string, string, ...any) {}
	}
	if warn == nil {
		warn = func(string, string, ...any) {}
	}
	r := &Registry{
		issuer: o.Issuer, leeway: o.Leeway, keys: o.Keys, spend: o.Spend, clients: make(map[string]*Client, len(o.Specs)), nobody: &Client{},
		workload: o.Workload, revoked: o.Revoked, workloads: map[origin]*workloads{},
	}
	_, _ = rand.Read(r.nobody.secret[:])
	for i := range o.Specs {
		at := func(to report) report {
			return func(path, format string, args ...any) { to(fmt.Sprintf("clients[%d].%s", i, path), format, args...) }
		}
		s := o.Specs[i]
		o.judge(&s, at(bad), at(warn))
		if r.clients[s.ID] != nil {
			at(bad)("id", "%q is the id of another client", s.ID)
			continue
		}
		c := newClient(s)
		r.clients[s.ID] = c
		r.order = append(r.order, c)
		if err := r.register(c); err != nil {
			at(bad)("jwks_uri", "%v", err)
		}
		if issuer := o.Issuers[c.workloadUpstream()]; s.Assertion != nil && issuer != "" {
			r.addWorkload(c, issuer, at(bad))
		}
	}
	r.judgeIdentifiers(&o, bad)
	return r
}

// judgeIdentifiers: a name stands for one client alone, or a token for one would be taken from another (P11).
func (r *Registry) judgeIdentifiers(o *Options, bad report) {
	owner := make(map[string]int)
	for i := range o.Specs {
		for j, name := range o.Specs[i].Identifiers {
			path := fmt.Sprintf("clients[%d].identifiers[%d]", i, j)
			if first, taken := owner[name]; taken && first != i {
				bad(path, "%q is an identifier of clients[%d]", name, first)
			}
			owner[name] = i
			if r.clients[name] != nil {
				bad(path, "%q is the id of a client", name)
			}
		}
	}
}

func newClient(s Spec) *Client {
	s = s.WithDefaults()
	c := &Client{
		ID: s.ID, Public: s.Public, Identifiers: s.Identifiers, Audiences: s.Audiences, Scopes: s.Scopes, Upstreams: s.Upstreams,
		FullUpstream: s.UpstreamClaim == upstreamFull, LegacyAud: s.AssertionAud == assertionLegacy, Spec: s, Chain: compileMappers(&s),
	}
	for _, name := range s.GrantTypes {
		if wire, ok := oauth.GrantType(name); ok {
			c.GrantTypes = append(c.GrantTypes, wire)
		}
	}
	_, _ = rand.Read(c.secret[:])
	switch {
	case s.AuthMethod != "":
		c.methods = []string{s.AuthMethod}
	case s.SecretSHA256 != "":
		c.methods = []string{oauth.AuthSecretBasic, oauth.AuthSecretPost}
	}
	if raw, err := hex.DecodeString(s.SecretSHA256); err == nil && len(raw) == len(c.secret) {
		copy(c.secret[:], raw)
	}
	if s.JWKSURI != "" || s.JWKSFile != "" {
		c.assertionKeys = keySetPrefix + s.ID
	}
	return c
}

// Lookup finds a client by its id.
func (r *Registry) Lookup(id string) (*Client, bool) {
	c, ok := r.clients[id]
	return c, ok
}

// KeySets names the key sets that the registry keeps with its Keys.
func (r *Registry) KeySets() []string {
	var names []string
	for _, c := range r.order {
		if c.assertionKeys != "" {
			names = append(names, c.assertionKeys)
		}
	}
	return names
}

// All returns the clients in the order of the configuration.
func (r *Registry) All() []*Client { return slices.Clone(r.order) }
