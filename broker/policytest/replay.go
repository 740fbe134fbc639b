package policytest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"fedbroker/broker/decision"
	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/upstreams"
)

// Side is one of two configurations that are compared, and what makes tokens for it.
type Side struct {
	Engine Engine
	Signer *Signer
}

// Kind is how a decision under the new configuration differs from that under the old one.
type Kind string

// The kinds, the most telling first.
const (
	NewlyAllows     Kind = "newly_allows"
	NewlyDenies     Kind = "newly_denies"
	AllowsOtherwise Kind = "allows_otherwise" // by another rule, or another token comes of it
	DeniesOtherwise Kind = "denies_otherwise" // the caller sees another code
	Same            Kind = "same"
	CannotTell      Kind = "cannot_tell"
)

// Kinds are all of them, in the order in which they are reported.
func Kinds() []Kind {
	return []Kind{NewlyAllows, NewlyDenies, AllowsOtherwise, DeniesOtherwise, Same, CannotTell}
}

// Difference is one decision under both configurations.
type Difference struct {
	Kind Kind    `json:"change"`
	Old  Outcome `json:"old,omitzero"`
	New  Outcome `json:"new,omitzero"`
	Why  string  `json:"why,omitempty"` // of CannotTell
	// Drifted: the old configuration does not decide it as it was decided then, so that it may have been another's.
	Drifted bool `json:"drifted,omitempty"`
}

// differ compares two outcomes. Of the claims those that are new with every token say nothing.
func differ(was, is Outcome) Difference {
	d := Difference{Kind: Same, Old: was, New: is}
	switch {
	case was.Decision == Deny && is.Decision == Allow:
		d.Kind = NewlyAllows
	case was.Decision == Allow && is.Decision == Deny:
		d.Kind = NewlyDenies
	case was.Decision == Deny && was.Error != is.Error:
		d.Kind = DeniesOtherwise
	case was.Decision == Allow && was.essence() != is.essence():
		d.Kind = AllowsOtherwise
	}
	return d
}

// essence is all of an outcome that two configurations can make another.
func (o Outcome) essence() string {
	o.Claims = maps.Clone(o.Claims)
	maps.DeleteFunc(o.Claims, func(name string, _ any) bool { return name == "jti" || name == "lin" })
	o.Audiences, o.Scopes = slices.Sorted(slices.Values(o.Audiences)), slices.Sorted(slices.Values(o.Scopes))
	o.Audits = nil
	return shown(o)
}

// Compare carries out the tests of a file under both configurations. What a test expects is not looked at. Of a file that means nothing under one of
// them nothing can be told.
func Compare(ctx context.Context, was, is Side, f File) ([]Difference, error) {
	out := make([]Difference, len(f.Tests))
	for _, side := range []struct {
		Side
		name string
	}{{was, "old"}, {is, "new"}} {
		if why := f.unfit(side.Engine); why != "" {
			for i := range out {
				out[i] = Difference{Kind: CannotTell, Why: fmt.Sprintf("under the %s configuration the fixture means nothing: %s", side.name, why)}
			}
			return out, nil
		}
	}
	for i, t := range f.Tests {
		before, err := outcome(ctx, was.Engine, was.Signer, f, t)
		if err != nil {
			return nil, fmt.Errorf("tests[%d]: %w", i, err)
		}
		after, err := outcome(ctx, is.Engine, is.Signer, f, t)
		if err != nil {
			return nil, fmt.Errorf("tests[%d]: %w", i, err)
		}
		out[i] = differ(before, after)
	}
	return out, nil
}

// unfit is the first thing that keeps a file from meaning something.
func (f File) unfit(e Engine) (why string) {
	f.Check(e, func(path, format string, args ...any) {
		if why == "" {
			why = path + ": " + fmt.Sprintf(format, args...)
		}
	})
	return why
}

// Replay judges a recorded decision by both configurations. What no configuration can repeat (signatures, revocations, a jti that was spent) is not
// judged: a token that was verified then is taken to be good. The error is a fault of the testing.
func Replay(ctx context.Context, was, is Side, r decision.Record) (Difference, error) {
	cannot := func(why string) (Difference, error) { return Difference{Kind: CannotTell, Why: why}, nil }
	switch {
	case len(r.Unverified()) > 0:
		return cannot("it was denied before the " + strings.Join(r.Unverified(), " and the ") + " token was verified")
	case len(r.Partial) > 0:
		return cannot("what the request or its tokens said was too much to be kept")
	case r.Subject.Opaque || r.Actor != nil && r.Actor.Opaque:
		return cannot("an introspected token says what it says only to its upstream")
	case !r.Allowed() && beyond[oauth.Reason(r.Reason)]:
		return cannot("it was denied for " + r.Reason + ", which no configuration decides")
	}
	before, _, err := was.replay(ctx, was, r)
	if err != nil {
		return Difference{}, err
	}
	after, trace, err := is.replay(ctx, was, r)
	if err != nil {
		return Difference{}, err
	}
	if lacking := lacks(was.Engine, is.Engine, r, after, trace); len(lacking) > 0 {
		return cannot("the new configuration reads " + strings.Join(lacking, ", ") + ", which the record lacks")
	}
	d := differ(before, after)
	d.Drifted = r.Allowed() != (before.Decision == Allow) || r.Allowed() && r.Rule != before.Rule
	return d, nil
}

// beyond are reasons that have nothing to do with the configuration.
var beyond = map[oauth.Reason]bool{
	oauth.ReasonReplay: true, oauth.ReasonRevoked: true, oauth.ReasonRevocationStale: true, oauth.ReasonKeysUnavailable: true, oauth.ReasonSignature: true,
	oauth.ReasonNotDurable: true, oauth.ReasonRateLimit: true, oauth.ReasonUnavailable: true, oauth.ReasonInternal: true,
}

// replay takes the decision again.
func (s Side) replay(ctx context.Context, was Side, r decision.Record) (Outcome, rules.Trace, error) {
	in, err := s.request(ctx, was, r)
	if err != nil {
		return Outcome{}, rules.Trace{}, err
	}
	got, trace := judge(ctx, s.Engine, s.Signer, r.ClientID, in)
	return got, trace, nil
}

// Request makes the request of a decision again, with tokens that say what those of then said.
func (s Side) Request(ctx context.Context, r decision.Record) (oauth.TokenRequest, error) {
	return s.request(ctx, s, r)
}

func (s Side) request(ctx context.Context, was Side, r decision.Record) (in oauth.TokenRequest, err error) {
	in.Now = r.At
	in.GrantType, _ = oauth.GrantType(r.Grant)
	subject, err := s.present(ctx, was, r.Subject)
	if err != nil {
		return in, err
	}
	values := url.Values{oauth.ParamAudience: r.Audiences}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set(oauth.ParamScope, r.Scope)
	set(oauth.ParamRequestedTokenType, r.TokenType)
	if in.GrantType == oauth.GrantJWTBearer {
		set(oauth.ParamAssertion, subject)
	} else {
		set(oauth.ParamSubjectToken, subject)
		set(oauth.ParamSubjectTokenType, cmp.Or(r.SubjectType, declared(r.Subject)))
	}
	if r.Actor != nil {
		actor, err := s.present(ctx, was, *r.Actor)
		if err != nil {
			return in, err
		}
		set(oauth.ParamActorToken, actor)
		set(oauth.ParamActorTokenType, cmp.Or(r.ActorType, declared(*r.Actor)))
	}
	if r.ProofKey != "" {
		in.Proof = proof(subject, boundTo(r.Subject, r.ProofKey))
		in.Proof.Key = r.ProofKey
	}
	if in.Form, err = oauth.ParseForm(values.Encode()); err != nil {
		return in, fmt.Errorf("decision %s: %w", r.ID, err)
	}
	return in, nil
}

func declared(t decision.Token) string {
	if !t.Own || strings.EqualFold(t.Typ, "JWT") {
		return Subject{Issued: t.Own, IDToken: t.Own}.declared()
	}
	return oauth.TypeAccessToken
}

func boundTo(t decision.Token, key string) bool {
	cnf, _ := t.Claims["cnf"].(map[string]any)
	return cnf["jkt"] == key
}

// present signs what a token said. That of an upstream which the configuration does not know is signed as the old one's: nobody will take it, or
// somebody under another name.
func (s Side) present(ctx context.Context, was Side, t decision.Token) (string, error) {
	claims, err := plain(t)
	if err != nil {
		return "", err
	}
	if t.Own {
		if _, there := claims["lin"]; !there { // never recorded, always there
			claims["lin"] = map[string]any{}
			if !strings.EqualFold(t.Typ, "at+jwt") {
				claims["lin"] = loginLineage()
			}
		}
		return sign(s.Signer.keys, keyring.ES256, t.Typ, claims)
	}
	up, known := s.Engine.Upstream(t.Upstream)
	if !known {
		if up, known = was.Engine.Upstream(t.Upstream); !known {
			up = upstreams.Spec{Algorithms: []string{keyring.ES256}}
		}
	}
	k, alg, err := s.Signer.of(ctx, up)
	if err != nil {
		return "", err
	}
	return sign(k, alg, t.Typ, claims)
}

// plain are the claims with numbers as they were written.
func plain(t decision.Token) (map[string]any, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	var out struct{ Claims map[string]any }
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	if out.Claims == nil {
		out.Claims = map[string]any{}
	}
	return out.Claims, nil
}

// lacks are claims that the new decision stands on, and that the record lacks because the old configuration did not read them.
func lacks(was, is Engine, r decision.Record, after Outcome, trace rules.Trace) (names []string) {
	asked, mapped := conditions(trace), after.Decision == Allow || after.Reason == string(oauth.ReasonRequire) || after.Reason == string(oauth.ReasonMapping)
	if len(asked) == 0 && !mapped { // what was refused before anything was read is refused whatever it is
		return nil
	}
	for _, t := range []*decision.Token{&r.Subject, r.Actor} {
		if t == nil {
			continue
		}
		before, reads := was.Reads(t.Upstream, t.Own), is.ReadsBy(t.Upstream, t.Own, asked)
		if reads.All && !before.All {
			names = append(names, "all claims")
		}
		for _, name := range reads.Names {
			if _, recorded := t.Claims[name]; !recorded && !slices.Contains(before.Names, name) && !before.All && !slices.Contains(decision.Protocol(), name) {
				names = append(names, "claim "+name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// conditions are the rules of which a condition was asked, up to the one that decided.
func conditions(trace rules.Trace) (ids []string) {
	for _, r := range trace.Rules {
		switch r.Failed {
		case rules.ConditionWhen, rules.ConditionActor, rules.ConditionMode, rules.ConditionNone:
			ids = append(ids, r.Rule)
		}
	}
	return ids
}
