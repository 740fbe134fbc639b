// Package spec is what the configuration file says of one exchange rule: its keys, and the values that are words.
package spec

import (
	"fmt"
	"time"
)

// Rule is one entry of `exchange` as the configuration writes it. Rules are tried in file order; the first that applies decides.
type Rule struct {
	ID           string     `yaml:"id"`                      // ^[A-Za-z0-9._-]{1,64}$, unique
	Mode         string     `yaml:"mode,omitempty"`          // enforce (default), or audit: never grants
	BoundSubject string     `yaml:"bound_subject,omitempty"` // refuse (default) or accept a sender-constrained subject
	Subject      *Subject   `yaml:"subject"`                 // required
	Requester    *Requester `yaml:"requester"`               // required
	Actor        *Actor     `yaml:"actor,omitempty"`         // none (default): impersonation; else delegation (P19)
	Grant        *Grant     `yaml:"grant"`                   // required
}

// Subject selects subject tokens: an upstream's, or our own, of one upstream's people or of anyone.
type Subject struct {
	Upstream string `yaml:"upstream,omitempty"`
	Issued   bool   `yaml:"issued,omitempty"`
	When     string `yaml:"when,omitempty"` // CEL condition; absent: always
}

// Requester says who may ask: these clients, or anyone who holds the subject token.
type Requester struct {
	Clients       []string `yaml:"clients,omitempty"`
	PublicClients bool     `yaml:"public_clients,omitempty"`
	Anonymous     bool     `yaml:"anonymous,omitempty"`
}

// Actor says who has to act for the subject: the requester itself by a token of its own, unless it selects an upstream's tokens, or ours.
type Actor struct {
	Required bool   `yaml:"required"` // true: there is no optional actor
	Upstream string `yaml:"upstream,omitempty"`
	Issued   bool   `yaml:"issued,omitempty"`
	When     string `yaml:"when,omitempty"` // CEL condition; absent: always
}

// UnmarshalYAML reads the word none, or a mapping.
func (s *Actor) UnmarshalYAML(construct func(any) error) error {
	var word string
	if construct(&word) == nil {
		if word != ActorNone {
			return fmt.Errorf("want %s or {required: true}, got %q", ActorNone, word)
		}
		return nil
	}
	type mapping Actor // without this method
	return construct((*mapping)(s))
}

// MarshalYAML writes none where nobody acts.
func (s Actor) MarshalYAML() (any, error) {
	if s == (Actor{}) {
		return ActorNone, nil
	}
	type mapping Actor
	return mapping(s), nil
}

// Grant is what a rule gives, at most.
type Grant struct {
	Audiences      []string       `yaml:"audiences"` // required
	Scopes         []Scope        `yaml:"scopes,omitempty"`
	Claims         *[]string      `yaml:"claims,omitempty"` // absent: those a mapper made, never profile or e-mail claims; []: none
	TTL            *time.Duration `yaml:"ttl,omitempty"`
	TokenTypes     []string       `yaml:"token_types,omitempty"` // absent: access_token, jwt; the first is the default
	OutliveSubject bool           `yaml:"outlive_subject,omitempty"`
	SingleUse      bool           `yaml:"single_use,omitempty"`
}

// Scope is a scope that a rule can give: a plain name, or {name: …, from: […]}.
type Scope struct {
	Name string   `yaml:"name"`
	From []string `yaml:"from,omitempty"` // scopes of an own token, any of which is enough; absent: the same name
}

// UnmarshalYAML reads a plain name or a mapping.
func (s *Scope) UnmarshalYAML(construct func(any) error) error {
	if construct(&s.Name) == nil {
		return nil
	}
	type mapping Scope // without this method
	return construct((*mapping)(s))
}

// MarshalYAML writes a plain name where nothing else is said.
func (s Scope) MarshalYAML() (any, error) {
	if len(s.From) == 0 {
		return s.Name, nil
	}
	type mapping Scope
	return mapping(s), nil
}

// Values of the specs.
const (
	ModeEnforce = "enforce"
	ModeAudit   = "audit"
	BoundRefuse = "refuse"
	BoundAccept = "accept"
	ActorNone   = "none"
)
