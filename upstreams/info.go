package upstreams

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/presets"
)

const claimIssuer = "iss" // RFC 7519 §4.1.1

// Info is what others need to know of an upstream, preset and defaults applied.
type Info struct {
	Name, Kind, Preset string
	Issuer             string              // empty for a pattern
	Login              bool                // people can log in at it
	Keyless            bool                // it publishes no key set
	ResponseMode       string              // of its authorization responses
	TrustPrompt        bool                // its word for prompt and max_age counts, without auth_time
	Exchange           bool                // its tokens may be exchanged: it has audiences (P11)
	Shared             bool                // rules on it must pin one of OwnerClaims (P29)
	OwnerClaims        []string            // claims with immutable ids of an owner
	ClaimTypes         map[string]string   // see presets.TypeString and its like
	Conditions         []presets.Condition // to hold before anything else is done with its claims
	EmailDomains       []string            // for whose addresses it may vouch (P5)
	EmailAny           bool                // it may vouch for every address
	Domains            []string            // for home-realm discovery
	DisplayName        string              // its name where none is written
	Leeway             time.Duration
	Algorithms         []string
}

// Info describes a configured upstream. It is the caller's own.
func (s *Set) Info(name string) (Info, bool) {
	m, ok := s.byName[name]
	if !ok {
		return Info{}, false
	}
	i := Info{
		Name: m.Upstream, Kind: m.spec.Kind, Preset: m.spec.Preset, Issuer: m.Issuer,
		Login: kinds[m.spec.Kind].Login, Keyless: kinds[m.spec.Kind].Keyless, ResponseMode: m.spec.ResponseMode, TrustPrompt: m.spec.TrustPrompt,
		Exchange: len(m.Audiences) > 0, Shared: m.shared(), OwnerClaims: slices.Clone(m.preset.OwnerClaims),
		ClaimTypes: maps.Clone(m.preset.ClaimTypes), Conditions: slices.Clone(m.preset.Conditions),
		EmailDomains: slices.Clone(m.spec.EmailDomains.Names), EmailAny: m.spec.EmailDomains.Any,
		Domains: slices.Clone(m.spec.Domains), DisplayName: m.spec.DisplayName,
		Leeway: m.Leeway, Algorithms: m.Algorithms.Names(),
	}
	if i.DisplayName == "" {
		i.DisplayName = m.Upstream
	}
	if m.ManyIssuers() && !slices.Contains(i.OwnerClaims, claimIssuer) { // each issuer is somebody's
		i.OwnerClaims = append(i.OwnerClaims, claimIssuer)
		if i.ClaimTypes == nil {
			i.ClaimTypes = map[string]string{}
		}
		i.ClaimTypes[claimIssuer] = presets.TypeString
	}
	return i, true
}

// shared says whether people who have nothing to do with each other get tokens of the same upstream.
func (m *member) shared() bool {
	if m.ManyIssuers() {
		return len(m.spec.Issuers) == 0
	}
	return m.preset.SharedAt(m.Issuer)
}

// Effective is a spec with its preset and all defaults applied: what could be written in its place.
func (s *Set) Effective(name string) (Spec, bool) {
	m, ok := s.byName[name]
	if !ok {
		return Spec{}, false
	}
	return m.spec.Without(kinds[m.spec.Kind].Foreign), true
}

// Issuers maps each name to the issuer, or pattern of issuers, that is pinned to it (P1).
func (s *Set) Issuers() map[string]string {
	pins := make(map[string]string, len(s.members))
	for _, m := range s.members {
		pins[m.Upstream] = m.Issuer
		if m.ManyIssuers() {
			pins[m.Upstream] = m.spec.IssuerPattern
		}
	}
	return pins
}

// Readiness says whether tokens of one upstream can be verified now.
type Readiness struct {
	Name   string
	OK     bool
	Detail string // one line for the operator
}

// Ready tells of each upstream, in file order, whether its tokens can be verified now. It waits for nothing.
func (s *Set) Ready() []Readiness {
	all := make([]Readiness, len(s.members))
	for i, m := range s.members {
		all[i] = Readiness{Name: m.Upstream, Detail: "keys are not loaded"}
		switch {
		case m.issuers != nil:
			all[i].OK, all[i].Detail = true, fmt.Sprintf("meets issuers as their tokens come: %d so far", len(m.issuers.Met()))
		case kinds[m.spec.Kind].Keyless:
			all[i].OK, all[i].Detail = true, "has no keys to verify by"
		case s.keys != nil:
			status := s.keys.Status(m.Upstream)
			all[i].OK, all[i].Detail = status.Usable(), readyDetail(status)
		}
		all[i].Detail += m.heldBack()
	}
	return all
}

func readyDetail(s keys.Status) string {
	if s.State == keys.StateNever {
		if s.LastError == "" {
			return "no keys yet"
		}
		return "no keys yet: " + s.LastError
	}
	detail := fmt.Sprintf("%s: %d keys, confirmed %s", s.State, s.Keys, s.Confirmed.UTC().Format(time.RFC3339))
	if s.LastError != "" {
		detail += ": " + s.LastError
	}
	return detail
}
