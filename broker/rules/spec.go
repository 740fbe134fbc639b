package rules

import (
	"fmt"
	"time"
)

// Spec is one entry of `exchange` as the configuration writes it. Rules are tried in file order; the first that applies decides.
type Spec struct {
	ID           string         `yaml:"id"`                      // ^[A-Za-z0-9._-]{1,64}$, unique
	Mode         string         `yaml:"mode,omitempty"`          // enforce (default), or audit: never grants
	BoundSubject string         `yaml:"bound_subject,omitempty"` // refuse (default) or accept a sender-constrained subject
	Subject      *SubjectSpec   `yaml:"subject"`                 // required
	Requester    *RequesterSpec `yaml:"requester"`               // required
	Actor        *ActorSpec     `yaml:"actor,omitempty"`         // none (default): impersonation; else delegation (P19)
	Grant        *GrantSpec     `yaml:"grant"`                   // required
}

// SubjectSpec selects subject tokens: an upstream's, or our own, of one upstream's people or of anyone.
type SubjectSpec struct {
	Upstream string `yaml:"upstream,omitempty"`
	Issued   bool   `yaml:"issued,omitempty"`
	When     string `yaml:"when,omitempty"` // CEL condition; absent: always
}

// RequesterSpec says who may ask: these clients, or anyone who holds the subject token.
type RequesterSpec struct {
	Clients       []string `yaml:"clients,omitempty"`
	PublicClients bool     `yaml:"public_clients,omitempty"`
	Anonymous     bool     `yaml:"anonymous,omitempty"`
}

// ActorSpec says who has to act for the subject: the requester itself by a token of its own, unless it selects an upstream's tokens, or ours.
type ActorSpec struct {
	Required bool   `yaml:"required"` // true: there is no optional actor
	Upstream string `yaml:"upstream,omitempty"`
	Issued   bool   `yaml:"issued,omitempty"`
	When     string `yaml:"when,omitempty"` // CEL condition; absent: always
}

// UnmarshalYAML reads the word none, or a mapping.
func (s *ActorSpec) UnmarshalYAML(construct func(any) error) error {
	var word string
	if construct(&word) == nil {
		if word != actorNone {
			return fmt.Errorf("want %s or {required: true}, got %q", actorNone, word)
		}
		return nil
	}
	type mapping ActorSpec // without this method
	return construct((*mapping)(s))
}

// MarshalYAML writes none where nobody acts.
func (s ActorSpec) MarshalYAML() (any, error) {
	if s == (ActorSpec{}) {
		return actorNone, nil
	}
	type mapping ActorSpec
	return mapping(s), nil
}

// GrantSpec is what a rule gives, at most.
type GrantSpec struct {
	Audiences      []string       `yaml:"audiences"` // required
	Scopes         []ScopeSpec    `yaml:"scopes,omitempty"`
	Claims         *[]string      `yaml:"claims,omitempty"` // absent: those a mapper made, never profile or e-mail claims; []: none
	TTL            *time.Duration `yaml:"ttl,omitempty"`
	TokenTypes     []string       `yaml:"token_types,omitempty"` // absent: access_token, jwt; the first is the default
	OutliveSubject bool           `yaml:"outlive_subject,omitempty"`
	SingleUse      bool           `yaml:"single_use,omitempty"`
}

// ScopeSpec is a scope that a rule can give: a plain name, or {name: …, from: […]}.
type ScopeSpec struct {
	Name string   `yaml:"name"`
	From []string `yaml:"from,omitempty"` // scopes of an own token, any of which is enough; absent: the same name
}

// UnmarshalYAML reads a plain name or a mapping.
func (s *ScopeSpec) UnmarshalYAML(construct func(any) error) error {
	if construct(&s.Name) == nil {
		return nil
	}
	type mapping ScopeSpec // without this method
	return construct((*mapping)(s))
}

// MarshalYAML writes a plain name where nothing else is said.
func (s ScopeSpec) MarshalYAML() (any, error) {
	if len(s.From) == 0 {
		return s.Name, nil
	}
	type mapping ScopeSpec
	return mapping(s), nil
}

// Values of the specs.
const (
	modeEnforce   = "enforce"
	modeAudit     = "audit"
	boundRefuse   = "refuse"
	boundAccept   = "accept"
	actorNone     = "none"
	minTTL        = MinLife        // less would be refused at once
	maxTTL        = 24 * time.Hour // what a signing key must outlive
	maxNameLength = 2048
)
