package policytest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/rules"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams"
)

// Engine judges exchanges as a broker does.
type Engine interface {
	// Upstream is a configured upstream, preset and defaults applied.
	Upstream(name string) (upstreams.Spec, bool)
	// Token judges a request of this client to the token endpoint; "" is nobody in particular. The error is an *oauth.Error.
	Token(ctx context.Context, clientID string, in oauth.TokenRequest) (policy.Authority, rules.Trace, error)
	// Reads are the claims that rules and mappers read of an upstream's tokens, or of our own.
	Reads(upstream string, own bool) expr.Members
	// ReadsBy are those that mappers and the rules of these ids read.
	ReadsBy(upstream string, own bool, ids []string) expr.Members
}

// Outcome is what came of an exchange.
type Outcome struct {
	Decision  string         `json:"decision"`            // allow or deny
	Rule      string         `json:"rule,omitempty"`      // that decided; of a denial the nearest, if any was asked
	Reason    string         `json:"reason,omitempty"`    // of a denial
	Condition string         `json:"condition,omitempty"` // of a denial: the first one that the nearest rule fails
	Error     string         `json:"error,omitempty"`     // of a denial: the code that the caller sees
	Cause     string         `json:"cause,omitempty"`     // of a denial, for the operator
	Sub       string         `json:"sub,omitempty"`
	Audiences []string       `json:"audiences,omitempty"`
	Scopes    []string       `json:"scopes,omitempty"`
	Lifetime  string         `json:"lifetime,omitempty"` // such as 15m0s
	Act       []string       `json:"act,omitempty"`      // the sub of each actor, the current one first
	Bound     bool           `json:"bound,omitempty"`    // to the key that was proven
	Audits    []string       `json:"audit_rules,omitempty"`
	Claims    map[string]any `json:"claims,omitempty"` // of the token that leaves
}

// Result is one test and how it ended.
type Result struct {
	Name       string     `json:"name"`
	Passed     bool       `json:"passed"`
	Mismatches []Mismatch `json:"mismatches,omitempty"` // in the order of Expect's keys
	Got        Outcome    `json:"got"`
}

// Run carries out the tests of a file that Check had nothing to say of, in order. The error is a fault of the testing.
func Run(ctx context.Context, e Engine, s *Signer, f File) ([]Result, error) {
	results := make([]Result, len(f.Tests))
	for i, t := range f.Tests {
		got, err := outcome(ctx, e, s, f, t)
		if err != nil {
			return nil, fmt.Errorf("tests[%d]: %w", i, err)
		}
		mismatches := t.Expect.compare(got)
		results[i] = Result{Name: t.Name, Passed: len(mismatches) == 0, Mismatches: mismatches, Got: got}
	}
	return results, nil
}

func outcome(ctx context.Context, e Engine, s *Signer, f File, t Test) (Outcome, error) {
	now, err := time.Parse(time.RFC3339, cmp.Or(t.Now, f.Now, defaultNow))
	if err != nil {
		return Outcome{}, fmt.Errorf("policy test: %w", err)
	}
	in, err := t.request(ctx, e, s, f, now)
	if err != nil {
		return Outcome{}, err
	}
	got, _ := judge(ctx, e, s, t.Requester, in)
	return got, nil
}

// judge carries out one request, minting included.
func judge(ctx context.Context, e Engine, s *Signer, requester string, in oauth.TokenRequest) (Outcome, rules.Trace) {
	a, trace, err := e.Token(ctx, requester, in)
	var claims map[string]any
	if err == nil {
		claims, err = s.mint(a)
	}
	if err != nil {
		return refused(oauth.AsError(err), trace), trace
	}
	o := Outcome{
		Decision: Allow, Rule: a.RuleID(), Sub: a.Subject(), Audiences: a.Audiences(), Scopes: a.Scopes(), Audits: a.Audits(),
		Lifetime: a.Expires().Sub(in.Now).String(), Bound: a.Confirmed() != "", Claims: claims,
	}
	for actor := a.Act(); actor != nil; actor = actor.Act {
		o.Act = append(o.Act, actor.Subject)
	}
	return o, trace
}

func refused(e *oauth.Error, trace rules.Trace) Outcome {
	o := Outcome{Decision: Deny, Reason: string(e.Reason), Error: string(e.Code), Audits: e.Audits}
	if cause := e.Unwrap(); cause != nil {
		o.Cause = cause.Error()
	}
	if nearest, asked := trace.Nearest(); asked {
		o.Rule, o.Condition = nearest.Rule, string(nearest.Failed)
	}
	return o
}

// request is what the client would send (RFC 8693 §2.1, RFC 7523 §2.1), past its authentication and its proof.
func (t Test) request(ctx context.Context, e Engine, s *Signer, f File, now time.Time) (in oauth.TokenRequest, err error) {
	left := life
	if t.Life != nil {
		left = *t.Life
	}
	claims := map[string]any{"iat": now.Add(-age).Unix(), "exp": now.Add(left).Unix(), "jti": "test"}
	subject := f.Subjects[t.Subject]
	maps.Copy(claims, subject.Claims)
	maps.Copy(claims, t.Claims)
	raw, err := s.token(ctx, e, subject, t.Requester, claims)
	if err != nil {
		return in, err
	}
	values := url.Values{oauth.ParamAudience: t.Audiences}
	in = oauth.TokenRequest{GrantType: oauth.GrantTokenExchange, Now: now}
	if t.Grant == grantBearer {
		in.GrantType = oauth.GrantJWTBearer
		values.Set(oauth.ParamAssertion, raw)
	} else {
		values.Set(oauth.ParamSubjectToken, raw)
		values.Set(oauth.ParamSubjectTokenType, subject.declared())
	}
	if t.Actor != "" {
		actor := f.Subjects[t.Actor]
		claims := map[string]any{"iat": now.Add(-age).Unix(), "exp": now.Add(life).Unix(), "jti": "actor"}
		maps.Copy(claims, actor.Claims)
		by, err := s.token(ctx, e, actor, t.Requester, claims)
		if err != nil {
			return in, err
		}
		values.Set(oauth.ParamActorToken, by)
		values.Set(oauth.ParamActorTokenType, actor.declared())
	}
	if t.DPoP {
		in.Proof = proof(raw, subject.Bound)
	}
	if len(t.Scopes) > 0 {
		values.Set(oauth.ParamScope, strings.Join(t.Scopes, " "))
	}
	if t.TokenType != "" {
		values.Set(oauth.ParamRequestedTokenType, tokenTypes()[t.TokenType])
	}
	in.Form, err = oauth.ParseForm(values.Encode())
	return in, err
}

// declared is what a request calls the token.
func (s Subject) declared() string {
	switch {
	case s.Issued && s.IDToken:
		return oauth.TypeIDToken
	case s.Issued:
		return oauth.TypeAccessToken
	default:
		return oauth.TypeJWT
	}
}

// proof is what a DPoP proof comes to; ath only where a bound token is presented with it (RFC 9449 §4.2, §7.1).
func proof(raw string, bound bool) oauth.Proof {
	p := oauth.Proof{Key: provenKey}
	if bound {
		sum := sha256.Sum256([]byte(raw))
		p.TokenHash = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return p
}

// provenKey stands for the thumbprint of the one key that tests prove (RFC 7638): nothing here is signed with it.
const provenKey = "dGhlLWtleS10aGF0LXRoZS10ZXN0cy1wcm92ZS1iaW4"

// payload reads the claims of a token that was made here, numbers as they are written.
func payload(raw string) (map[string]any, error) {
	_, rest, _ := strings.Cut(raw, ".")
	part, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	return claims, nil
}
