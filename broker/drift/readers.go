// Package drift says what of a configuration reads a claim of an upstream's tokens: its verification, mappers, scopes, clients and rules, directly
// or by what a mapper makes of it.
package drift

import (
	"fmt"
	"maps"
	"slices"

	"fedbroker/broker/snapshot"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams"
)

// protocol are the claims that verification itself reads (RFC 7519 §4.1, OpenID Connect Core 1.0 §2, RFC 7662 §2.2, RFC 7800 §3.1, RFC 8693 §4).
var protocol = []string{"act", "active", "aud", "auth_time", "azp", "client_id", "cnf", "exp", "iat", "iss", "jti", "may_act", "nbf", "nonce", "sid", "token_type"}

// Readers are those of the claims of one upstream.
type Readers struct {
	name     string
	upstream upstreams.Spec
	chain    *mappers.Chain
	presets  int  // steps of the chain that are the preset's conditions
	login    bool // people log in there
	snap     *snapshot.Snapshot
}

// Of are the readers of an upstream's claims under a configuration.
func Of(s *snapshot.Snapshot, upstream string) (Readers, bool) {
	spec, known := s.Upstreams.Effective(upstream)
	chain := s.Chains[upstream]
	info, _ := s.Upstreams.Info(upstream)
	return Readers{name: upstream, upstream: spec, chain: chain, presets: len(info.Conditions), login: info.Login, snap: s}, known && chain != nil
}

// Find names what reads a claim, or a member of one, in the order in which it is read: as the configuration calls it, as in "mappers[1] groups",
// "exchange partner-orders (subject.when, by principal.groups)". path is the claim and the members below it.
func (r Readers) Find(path []string) []string {
	var found []string
	add := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	r.verification(path[0], add)
	made := r.mapping(path, add)
	for _, rule := range r.snap.Policy.Readers() {
		mine := rule.Upstream == r.name || rule.Own && rule.Upstream == ""
		if !mine {
			continue
		}
		if !rule.Own && rule.Claims.Has(path[0]) {
			add("exchange %s (%s)", rule.Rule, rule.Part)
			continue
		}
		if name, reads := first(rule.Principal, made); reads && rule.Own {
			add("exchange %s (%s, by %s of our tokens)", rule.Rule, rule.Part, name)
		} else if reads {
			add("exchange %s (%s, by principal.%s)", rule.Rule, rule.Part, name)
		}
	}
	if r.login {
		r.release(made, add)
	}
	return found
}

func (r Readers) verification(claim string, add func(string, ...any)) {
	if slices.Contains(protocol, claim) {
		add("verification")
	}
	if subject := r.upstream.Subject; slices.Contains(subject, claim) || len(subject) == 0 && claim == "sub" {
		add("subject")
	}
	if claim == "acr" && len(r.upstream.ACRMap) > 0 {
		add("acr_map")
	}
	if claim == "amr" && len(r.upstream.AMRMap) > 0 {
		add("amr_map")
	}
	if claim == "email" || claim == "email_verified" {
		add("email_domains")
	}
}

// mapping names the steps that read the claim or what others make of it, and returns what of the principal it gets into.
func (r Readers) mapping(path []string, add func(string, ...any)) map[string]bool {
	made := map[string]bool{}
	for i, step := range r.chain.Readers() {
		reads := step.Claims.Has(path[0]) && overlap(step.Path, path[1:])
		if _, indirectly := first(step.Made, made); !reads && !indirectly {
			continue
		}
		if i < r.presets {
			add("preset %s, condition %d", r.upstream.Preset, i+1)
		} else {
			add("mappers[%d] %s", i-r.presets, step.Kind)
		}
		if step.Makes != "" {
			made[step.Makes] = true
		}
	}
	if r.chain.Passes(path[0]) {
		made[path[0]] = true
	}
	return made
}

// overlap tells whether one path leads to what the other does, or to a part of it. A "*" in that of what changed is any member.
func overlap(read, changed []string) bool {
	n := min(len(read), len(changed))
	return slices.EqualFunc(read[:n], changed[:n], func(r, c string) bool { return r == c || c == "*" })
}

// release names the scopes and the clients' own mappers that take what was made.
func (r Readers) release(made map[string]bool, add func(string, ...any)) {
	for _, scope := range r.snap.Scopes.Names() {
		if slices.ContainsFunc(r.snap.Scopes.Claims(scope), func(claim string) bool { return made[claim] }) {
			add("scope %s", scope)
		}
	}
	for _, c := range r.snap.Clients.All() {
		if c.Chain == nil || !c.Admits(r.name) {
			continue
		}
		for i, step := range c.Chain.Readers() {
			if _, reads := first(step.Claims, made); reads {
				add("client %s, mappers[%d] %s", c.ID, i, step.Kind)
			}
		}
	}
}

// first is the first of the names that the members have, in order.
func first(m expr.Members, names map[string]bool) (string, bool) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if m.Has(name) {
			return name, true
		}
	}
	return "", false
}
