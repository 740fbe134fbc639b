package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
)

// ForClient decides what a client may have for itself (client_credentials): its own registration bounds it. The error is an
// *oauth.Error: invalid_target for an audience beyond it, or for none requested of several.
func (p *Policy) ForClient(q *oauth.Requester, targets []string, scopes string, proof oauth.Proof, now time.Time) (Decision, error) {
	if q.Public || q.Anonymous || q.ClientID == "" { // RFC 6749 §4.4: confidential clients only
		return Decision{}, oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed)
	}
	bound := &rules.Rule{Audiences: q.Audiences, TTL: p.TTL}
	for _, name := range q.Scopes {
		bound.Scopes = append(bound.Scopes, rules.Scope{Name: name})
	}
	if !bound.Covers(targets) {
		return Decision{}, oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget)
	}
	if len(targets) == 0 {
		targets = q.Audiences
	}
	return Decision{requester: q, scope: scopes, proof: proof, now: now, bound: bound, audiences: targets}, nil
}

// Combine makes the Authority of a decision: the meet of subject, requester, rule and request, never above any of them. It is the only
// maker of one. The error is an *oauth.Error: invalid_scope, or invalid_request for what the subject cannot give.
func Combine(d Decision) (Authority, error) {
	if d.bound == nil || d.requester == nil || len(d.audiences) == 0 {
		return Authority{}, errors.New("policy: a decision that nothing decided")
	}
	a := Authority{
		rule: d.bound.ID, tokenType: d.tokenType,
		audiences: slices.Clone(d.audiences),
		issued:    d.now.Truncate(time.Second),
		audits:    d.audits,
	}
	if d.requester.Anonymous {
		a.client = anonymousPrefix + d.bound.ID
	} else {
		a.client = d.requester.ClientID
	}
	if d.subject == nil {
		a.subject = d.requester.ClientID
	}
	for _, step := range [...]func(*Authority) error{d.constraint, d.lifetime, d.lineage, d.identity, d.credential, d.delegation, d.scopes, d.spend, d.idToken, d.idJAG} {
		if err := step(&a); err != nil {
			return Authority{}, err
		}
	}
	return a, nil
}

// anonymousPrefix cannot begin a client id: those hold no colon.
const anonymousPrefix = "anonymous:"

// scopes is the request within the image of the subject's scopes under the rule's map (P17). A scope that the subject lacks adds nothing. An ID
// token has no scopes, so neither has one that is issued, and what an ID-JAG may name is the resource server's list alone.
func (d Decision) scopes(a *Authority) error {
	requested, err := oauth.ParseScope(d.scope)
	if err != nil || d.tokenType == oauth.TypeIDToken {
		return err
	}
	allowed := make([]string, 0, len(d.bound.Scopes))
	for _, s := range d.bound.Scopes {
		if d.subject == nil || d.jag != nil || !d.subject.Own && !d.subject.Scoped || intersects(s.From, d.subject.Scopes) {
			allowed = append(allowed, s.Name)
		}
	}
	a.scopes = allowed
	deny := oauth.Deny(oauth.CodeInvalidScope, oauth.ReasonScope)
	if requested == nil {
		if len(allowed) == 0 && len(d.bound.Scopes) > 0 {
			return deny.Because(errors.New("nothing is left of the scopes"))
		}
		return nil
	}
	a.scopes = requested
	for _, name := range requested {
		if !slices.Contains(allowed, name) {
			return deny.Because(fmt.Errorf("scope %q is beyond rule or subject", name))
		}
	}
	return nil
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// lifetime is the shortest of ttl, subject and origin (P18). Whole seconds: exp is rounded down, never up.
func (d Decision) lifetime(a *Authority) error {
	a.expires = a.issued.Add(d.bound.TTL)
	s := d.subject
	if s == nil {
		a.origin = a.expires
		return nil
	}
	if err := s.Fresh(d.now); err != nil {
		return err
	}
	if s.Own || !d.bound.Outlive {
		a.expires = earlier(a.expires, s.Expires)
	}
	if d.actor != nil { // the actor's own token is above the result as much as the subject's
		if err := d.actor.Fresh(d.now); err != nil {
			return err
		}
		a.expires = earlier(a.expires, d.actor.Expires)
	}
	for _, ancestor := range [...]*rules.Subject{s, d.actor} {
		if ancestor == nil || !ancestor.Own {
			continue
		}
		origin := ancestor.OriginExpires // a chain begins with its first own token; no descendant passes that one's exp
		if origin.IsZero() {
			origin = ancestor.Expires
		}
		a.expires = earlier(a.expires, origin)
		if a.origin.IsZero() || origin.Before(a.origin) {
			a.origin = origin
		}
	}
	a.expires = a.expires.Truncate(time.Second)
	if a.origin.IsZero() {
		a.origin = a.expires
	}
	if left := a.expires.Sub(a.issued); left < rules.MinLife {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonTokenTime).Because(fmt.Errorf("the result would live %v, want at least %v", left, rules.MinLife))
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// identity carries over who the subject is and how it was authenticated; nothing of it is refreshed.
func (d Decision) identity(a *Authority) error {
	s := d.subject
	if d.login != nil {
		d.loginIdentity(a)
		return nil
	}
	if s == nil {
		return nil
	}
	if s.Sub == "" {
		return errors.New("policy: a subject without sub")
	}
	a.subject, a.acr, a.amr, a.authTime = s.Sub, s.ACR, slices.Clone(s.AMR), s.AuthTime
	a.upstream = UpstreamRef{Name: s.Upstream}
	if d.requester.FullUpstream { // P6
		a.upstream.Issuer, a.upstream.Subject = s.UpstreamIssuer, s.UpstreamSubject
	}
	a.claims = d.claims()
	return nil
}

// Claims of an address and of whether it is verified: never the one without the other.
const (
	claimEmail         = "email"
	claimEmailVerified = "email_verified"
)

// claims are those that the rule names, else those that a mapper made, without profile and e-mail claims (P8).
func (d Decision) claims() map[string]any {
	s, out := d.subject, map[string]any{}
	give := func(name string) {
		if v, ok := s.Principal[name]; ok && !mappers.Reserved(name) {
			out[name] = v
		}
	}
	switch {
	case !d.bound.MadeClaims:
		for _, name := range d.bound.Claims {
			give(name)
			if name == claimEmail { // an address that nobody vouches for says so (P5)
				give(claimEmailVerified)
			}
		}
	default:
		for _, name := range s.Made {
			if !mappers.ProfileClaim(name) {
				give(name)
			}
		}
	}
	return out
}

// lineage is all that a revocation of an ancestor can name: more ancestors than fit are refused, never cut.
func (d Decision) lineage(a *Authority) error {
	own := revoke.Lineage{}
	if a.rule != "" {
		own.Rules = []string{a.rule}
	}
	if d.subject == nil {
		a.lin = own
		return nil
	}
	a.lin = own
	for _, parent := range [...]*rules.Subject{d.subject, d.actor} {
		if parent == nil {
			continue
		}
		ancestry, err := parent.Facts.Ancestry(parent.IssuedAt)
		if err == nil {
			a.lin, err = revoke.Union(a.lin, ancestry)
		}
		if err != nil {
			return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonLineage).Because(err)
		}
		a.parents = append(a.parents, parent.Facts.TokenID)
	}
	return nil
}

// credential makes the workload that the requester is an ancestor: what revokes that workload, or its upstream, reaches all that it was given (P26).
func (d Decision) credential(a *Authority) error {
	w := d.requester.Workload
	if w.TokenID == "" {
		return nil
	}
	ancestry, err := revoke.Facts{TokenID: w.TokenID, Subject: w.Subject, Upstream: w.Upstream}.Ancestry(w.IssuedAt)
	if err == nil {
		a.lin, err = revoke.Union(a.lin, ancestry)
	}
	if err != nil {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonLineage).Because(err)
	}
	a.parents = append(slices.Clone(a.parents), w.TokenID)
	return nil
}

// constraint binds the result to the key that the requester proved. A bound subject never yields a bearer token (P25): the rules
// refused one without a proof already, and this is the last place to.
func (d Decision) constraint(a *Authority) error {
	a.key = d.proof.Key
	if s := d.subject; s != nil && s.Confirmed != "" && a.key == "" {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonConfirmation).Because(errors.New("a bound token would become a bearer token"))
	}
	if s := d.actor; s != nil && s.Confirmed != "" && s.Confirmed != a.key { // no rule takes an actor's token from another
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonConfirmation).Because(errors.New("the actor token is bound to another key"))
	}
	return nil
}

// delegation puts the actor before those that acted already (P20). The rules saw to it that there is one exactly where the rule is delegation.
func (d Decision) delegation(a *Authority) error {
	if d.subject == nil {
		return nil
	}
	switch {
	case (d.actor != nil) != d.bound.Delegation:
		return errors.New("policy: an actor under impersonation, or none under delegation")
	case d.actor != nil:
		a.act = &rules.Actor{Subject: d.actor.Sub, ClientID: d.actor.ClientID, Act: d.subject.Act}
		if !d.actor.Own {
			a.actFrom = d.actor.Upstream
		}
	case d.subject.Act != nil:
		return errors.New("policy: a chain of actors that impersonation would drop")
	}
	return nil
}

// spend is the one-shot value that has to be spent before a token is minted (P24); nothing is spent here.
func (d Decision) spend(a *Authority) error {
	s := d.subject
	if !d.bound.SingleUse && (s == nil || !s.Once) {
		return nil
	}
	if s.JTI == "" {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonReplay).Because(fmt.Errorf("rule %s: a single-use subject without jti", d.bound.ID))
	}
	a.once = Spend{Upstream: s.Upstream, Issuer: s.Issuer, JTI: s.JTI, Until: s.Expires.Add(d.leeway + spendMargin)}
	if s.Own { // of our own, iss alone says where it comes from
		a.once.Upstream = ""
	}
	return nil
}

// spendMargin covers the rounding of exp to whole seconds.
const spendMargin = time.Second
