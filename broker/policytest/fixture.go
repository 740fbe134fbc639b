// Package policytest tests a policy by examples that stand beside it: what a token says, who asks for what, and what has to come of it.
//
// Nothing of the engine is imitated here. A fixture's claims are signed with keys of the test's own, which stand for the upstream's and for ours, and
// go through the broker's verification, mappers, rules and minting; what is compared is the token that comes out.
package policytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams/pattern"
)

// File is one file of fixtures.
type File struct {
	Now      string             `yaml:"now,omitempty"` // RFC 3339: when all of it happens [2030-01-02T12:00:00Z]
	Subjects map[string]Subject `yaml:"subjects"`      // tokens, by a name that tests call them by
	Tests    []Test             `yaml:"tests"`
}

// Subject is a token that stands for somebody, as subject or as actor: one of an upstream, or one of our own.
type Subject struct {
	Upstream string         `yaml:"upstream,omitempty"` // whose token it is; of an own one, the upstream that it says it comes of
	Issued   bool           `yaml:"issued,omitempty"`   // one of ours
	IDToken  bool           `yaml:"id_token,omitempty"` // of ours: an ID token, not an access token
	Typ      string         `yaml:"typ,omitempty"`      // of an upstream's: the header's typ [JWT]
	Bound    bool           `yaml:"bound,omitempty"`    // to the key that dpop proves
	Claims   map[string]any `yaml:"claims"`             // beside iss, which only an upstream of many issuers has here, and aud, iat, exp and jti, which have defaults
}

// Test is one exchange and what has to come of it.
type Test struct {
	Name      string         `yaml:"name"`
	Now       string         `yaml:"now,omitempty"`    // [the file's]
	Grant     string         `yaml:"grant,omitempty"`  // [token-exchange]; jwt-bearer: the subject is the assertion
	Subject   string         `yaml:"subject"`          // a name of subjects
	Actor     string         `yaml:"actor,omitempty"`  // a name of subjects: who acts
	Claims    map[string]any `yaml:"claims,omitempty"` // in place of the subject's; null takes one away
	DPoP      bool           `yaml:"dpop,omitempty"`   // the request proves a key: the one that bound tokens are bound to
	Life      *time.Duration `yaml:"life,omitempty"`   // what is left of the subject token [1h]
	Requester string         `yaml:"requester"`        // client id; absent: nobody in particular
	Audiences []string       `yaml:"audiences"`        // requested; absent: the rule's only one
	Scopes    []string       `yaml:"scopes,omitempty"` // requested; absent: all that rule and subject allow
	TokenType string         `yaml:"token_type,omitempty"`
	Expect    *Expect        `yaml:"expect"`
}

// Expect is what has to come of an exchange. What is absent is not looked at.
type Expect struct {
	Decision   string         `yaml:"decision"`            // allow or deny
	Rule       string         `yaml:"rule,omitempty"`      // that decided; required with allow, but of an ID-JAG, which no rule decides. With deny: the nearest
	Reason     string         `yaml:"reason,omitempty"`    // of a denial, as the log has it; required there
	Condition  string         `yaml:"condition,omitempty"` // of a denial: the first one that the nearest rule fails
	Error      string         `yaml:"error,omitempty"`     // of a denial: the code that the caller sees
	Sub        string         `yaml:"sub,omitempty"`
	Audiences  []string       `yaml:"audiences,omitempty"`
	Scopes     *[]string      `yaml:"scopes,omitempty"`
	Lifetime   *time.Duration `yaml:"lifetime,omitempty"`
	Act        *[]string      `yaml:"act,omitempty"`         // the sub of each actor, the current one first; []: nobody acts
	Bound      *bool          `yaml:"bound,omitempty"`       // the token that leaves is bound to the key that was proven
	Claims     map[string]any `yaml:"claims,omitempty"`      // of the token that leaves; null: absent
	OnlyClaims bool           `yaml:"only_claims,omitempty"` // it says nothing else but what every token of ours says
}

// The decisions.
const (
	Allow = "allow"
	Deny  = "deny"
)

// The grants that a test may be of, by their configured names.
const (
	grantExchange = "token-exchange"
	grantBearer   = "jwt-bearer"
)

// defaultNow is the same every day: what passes today passes tomorrow.
const defaultNow = "2030-01-02T12:00:00Z"

// Check reports everything that keeps a file from meaning something under the configuration of e, each with its path.
func (f File) Check(e Engine, bad func(path, format string, args ...any)) {
	checkNow("now", f.Now, bad)
	for _, name := range slices.Sorted(maps.Keys(f.Subjects)) {
		f.Subjects[name].check("subjects."+name, e, bad)
	}
	if len(f.Tests) == 0 {
		bad("tests", "want at least one, got none")
	}
	names := map[string]int{}
	for i, t := range f.Tests {
		at := fmt.Sprintf("tests[%d]", i)
		if first, twice := names[t.Name]; twice {
			bad(at+".name", "want each name once, got %q of tests[%d] again", t.Name, first)
		}
		names[t.Name] = i
		t.check(f, func(path, format string, args ...any) { bad(at+"."+path, format, args...) })
	}
}

func checkNow(path, text string, bad func(path, format string, args ...any)) {
	if _, err := time.Parse(time.RFC3339, text); text != "" && err != nil {
		bad(path, "want a time such as %s, got %q", defaultNow, text)
	}
}

func (s Subject) check(at string, e Engine, bad func(path, format string, args ...any)) {
	switch _, known := e.Upstream(s.Upstream); {
	case s.Upstream == "" && !s.Issued:
		bad(at, "want {upstream: NAME} or {issued: true}, got neither")
	case s.Upstream != "" && !known:
		bad(at+".upstream", "want a configured upstream, got %q", s.Upstream)
	case s.IDToken && !s.Issued:
		bad(at+".id_token", "want it with issued: true; an upstream's is what its typ and claims make it")
	case s.Typ != "" && s.Issued:
		bad(at+".typ", "want it of an upstream's token: what a token of ours is, id_token says")
	}
	up, _ := e.Upstream(s.Upstream)
	if issuer, text := s.Claims[claimIssuer].(string); up.IssuerPattern != "" && !s.Issued {
		if !text || !pattern.NewForm(up.IssuerPattern, up.Issuers).Matches(issuer) {
			bad(at+".claims."+claimIssuer, "want an issuer of %s, which stands for many, got %v", s.Upstream, s.Claims[claimIssuer])
		}
		return
	}
	checkClaims(at+".claims", s.Claims, bad)
}

// claimIssuer is RFC 7519 §4.1.1's. It is written of an upstream with an issuer_pattern alone.
const claimIssuer = "iss"

// checkClaims keeps a token at its issuer: whose it is, is what upstream and issued say.
func checkClaims(path string, claims map[string]any, bad func(path, format string, args ...any)) {
	if _, written := claims[claimIssuer]; written {
		bad(path+"."+claimIssuer, "want none: upstream or issued says whose token it is")
	}
}

func (t Test) check(f File, bad func(path, format string, args ...any)) {
	if t.Name == "" {
		bad("name", "want one that says what is tested, got none")
	}
	checkNow("now", t.Now, bad)
	if _, known := f.Subjects[t.Subject]; !known {
		bad("subject", "want a name of subjects, got %q", t.Subject)
	}
	if _, known := f.Subjects[t.Actor]; t.Actor != "" && !known {
		bad("actor", "want a name of subjects, got %q", t.Actor)
	}
	switch t.Grant {
	case "", grantExchange:
	case grantBearer:
		if t.Actor != "" {
			bad("actor", "want none: %s has no parameter for an actor (RFC 7523 §2.1)", grantBearer)
		}
		if t.TokenType != "" {
			bad("token_type", "want none: %s has no parameter for it (RFC 7523 §2.1)", grantBearer)
		}
	default:
		bad("grant", "want %s or %s, got %q", grantExchange, grantBearer, t.Grant)
	}
	checkClaims("claims", t.Claims, bad)
	if _, written := t.Claims["exp"]; written && t.Life != nil {
		bad("life", "want one of life and claims.exp, got both")
	}
	if _, known := tokenTypes()[t.TokenType]; !known {
		bad("token_type", "want one of %s, got %q", strings.Join(slices.Sorted(maps.Keys(tokenTypes()))[1:], ", "), t.TokenType)
	}
	if t.Expect == nil {
		bad("expect", "want {decision: allow, rule: …} or {decision: deny, reason: …}, got none")
		return
	}
	t.Expect.check(t.TokenType != oauth.ShortIDJAG, func(path, format string, args ...any) { bad("expect."+path, format, args...) })
}

// check wants enough to be said that no slip in the fixture passes for the refusal that was meant; byRule: a rule decides what is tested.
func (x Expect) check(byRule bool, bad func(path, format string, args ...any)) {
	denials := map[string]bool{"reason": x.Reason != "", "condition": x.Condition != "", "error": x.Error != ""}
	grants := map[string]bool{
		"sub": x.Sub != "", "audiences": x.Audiences != nil, "scopes": x.Scopes != nil, "lifetime": x.Lifetime != nil,
		"act": x.Act != nil, "bound": x.Bound != nil, "claims": x.Claims != nil, "only_claims": x.OnlyClaims,
	}
	misplaced := func(keys map[string]bool) {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if keys[key] {
				bad(key, "want none with decision %s", x.Decision)
			}
		}
	}
	switch x.Decision {
	case Allow:
		misplaced(denials)
		if x.Rule == "" && byRule {
			bad("rule", "want the rule that has to allow it, got none")
		}
	case Deny:
		misplaced(grants)
		if x.Reason == "" {
			bad("reason", "want the reason, such as %s, so that only the refusal that is meant passes, got none", oauth.ReasonCondition)
		}
	default:
		bad("decision", "want %s or %s, got %q", Allow, Deny, x.Decision)
	}
}

// tokenTypes are the requested token types by the names that a configuration has for them; "" leaves it to the rule.
func tokenTypes() map[string]string {
	return map[string]string{
		"": "", oauth.ShortAccessToken: oauth.TypeAccessToken, oauth.ShortJWT: oauth.TypeJWT, oauth.ShortIDToken: oauth.TypeIDToken,
		oauth.ShortIDJAG: oauth.TypeIDJAG,
	}
}
