package policytest

import (
	"bytes"
	"cmp"
	"context"
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
	"fedbroker/upstreams"
)

// Engine judges exchanges as a broker does.
type Engine interface {
	// Upstream is a configured upstream, preset and defaults applied.
	Upstream(name string) (upstreams.Spec, bool)
	// Exchange judges a token exchange of this client; "" is nobody in particular. The error is an *oauth.Error.
	Exchange(ctx context.Context, clientID string, form oauth.Form, now time.Time) (policy.Authority, rules.Trace, error)
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
	Claims    map[string]any `json:"claims,omitempty"`   // of the token that leaves
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
	form, err := t.form(ctx, e, s, f.Subjects[t.Subject], now)
	if err != nil {
		return Outcome{}, err
	}
	a, trace, err := e.Exchange(ctx, t.Requester, form, now)
	var claims map[string]any
	if err == nil {
		claims, err = s.mint(a)
	}
	if err != nil {
		return refused(oauth.AsError(err), trace), nil
	}
	return Outcome{
		Decision: Allow, Rule: a.RuleID(), Sub: a.Subject(), Audiences: a.Audiences(), Scopes: a.Scopes(),
		Lifetime: a.Expires().Sub(now).String(), Claims: claims,
	}, nil
}

func refused(e *oauth.Error, trace rules.Trace) Outcome {
	o := Outcome{Decision: Deny, Reason: string(e.Reason), Error: string(e.Code)}
	if cause := e.Unwrap(); cause != nil {
		o.Cause = cause.Error()
	}
	if nearest, asked := trace.Nearest(); asked {
		o.Rule, o.Condition = nearest.Rule, string(nearest.Failed)
	}
	return o
}

// form is the request as the client would send it (RFC 8693 §2.1).
func (t Test) form(ctx context.Context, e Engine, s *Signer, subject Subject, now time.Time) (oauth.Form, error) {
	left := life
	if t.Life != nil {
		left = *t.Life
	}
	claims := map[string]any{"iat": now.Add(-age).Unix(), "exp": now.Add(left).Unix(), "jti": "test"}
	maps.Copy(claims, subject.Claims)
	maps.Copy(claims, t.Claims)
	var raw string
	var err error
	tokenType := oauth.TypeJWT
	if subject.Issued {
		tokenType = oauth.TypeAccessToken
		raw, err = s.own(t.Requester, subject.Upstream, claims)
	} else {
		up, _ := e.Upstream(subject.Upstream)
		raw, err = s.external(ctx, up, t.Requester, claims)
	}
	if err != nil {
		return nil, err
	}
	values := url.Values{oauth.ParamSubjectToken: {raw}, oauth.ParamSubjectTokenType: {tokenType}, oauth.ParamAudience: t.Audiences}
	if len(t.Scopes) > 0 {
		values.Set(oauth.ParamScope, strings.Join(t.Scopes, " "))
	}
	if t.TokenType != "" {
		values.Set(oauth.ParamRequestedTokenType, tokenTypes()[t.TokenType])
	}
	return oauth.ParseForm(values.Encode())
}

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
