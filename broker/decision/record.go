// Package decision keeps what exchanges were decided on, sealed and for a day, so that a decision can be explained, or judged by another
// policy, after the fact. Nobody waits for it: what comes too fast is dropped and counted.
//
// A record holds what was verified of a token and is read by the protocol, a rule or a mapper, and never the token itself: nothing that is kept
// here lets anybody present anything (P47).
package decision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/mappers/expr"
)

// Record is one decision of the token endpoint and what it was taken on.
type Record struct {
	ID          string    `json:"decision_id"`
	At          time.Time `json:"at"`
	Grant       string    `json:"grant"` // configured name: token-exchange, jwt-bearer
	ClientID    string    `json:"client_id,omitempty"`
	Anonymous   bool      `json:"anonymous,omitempty"`
	Audiences   []string  `json:"audiences,omitempty"` // audience and resource, as requested
	Scope       string    `json:"scope,omitempty"`     // as requested
	TokenType   string    `json:"token_type,omitempty"`
	SubjectType string    `json:"subject_token_type,omitempty"` // as declared
	Subject     Token     `json:"subject"`
	Actor       *Token    `json:"actor,omitempty"`
	ActorType   string    `json:"actor_token_type,omitempty"`
	ProofKey    string    `json:"proof_key,omitempty"` // thumbprint of the DPoP key that was proven (RFC 7638)
	Code        string    `json:"code,omitempty"`      // error code; "" of an allowed request
	Reason      string    `json:"reason,omitempty"`
	Rule        string    `json:"rule,omitempty"`    // that decided
	Partial     []string  `json:"partial,omitempty"` // what is not here: PartSubject, …
}

// Token is what is kept of a verified token.
type Token struct {
	Own      bool   `json:"own,omitempty"`
	Upstream string `json:"upstream,omitempty"` // name; of an own token the one that it names
	TokenID  string `json:"token_id,omitempty"` // as lineage has it
	Typ      string `json:"typ,omitempty"`      // of the header, as jose.Unverified has it
	Opaque   bool   `json:"opaque,omitempty"`   // it was no JWT: its upstream introspected it (RFC 7662)
	Claims   Claims `json:"claims,omitempty"`
}

// What can be missing in a Record, as Partial names it: tokens that were not verified by the time of the refusal, and what cannot be kept.
const (
	PartSubject = "subject"
	PartActor   = "actor"
	PartRequest = "request" // its words are none that a request can rightly say, or too many
	PartClaims  = "claims"  // of tokens that were verified, and said too much
)

// Bounds of what is kept of a request's own words, in bytes: a stranger may have written them.
const (
	maxScope     = 2 << 10
	maxAudiences = 4 << 10
)

// types are those that a request may name; any other is a stranger's text.
var types = [...]string{
	"", oauth.TypeAccessToken, oauth.TypeRefreshToken, oauth.TypeIDToken, oauth.TypeSAML1, oauth.TypeSAML2, oauth.TypeJWT, oauth.TypeIDJAG,
}

// bound leaves out what cannot be kept, and says so.
func (r *Record) bound() {
	all := 0
	for _, a := range r.Audiences {
		all += len(a)
	}
	_, err := oauth.ParseScope(r.Scope)
	unfit := err != nil || len(r.Scope) > maxScope || all > maxAudiences
	for _, t := range [...]string{r.TokenType, r.SubjectType, r.ActorType} {
		unfit = unfit || !slices.Contains(types[:], t)
	}
	if unfit {
		r.Scope, r.Audiences, r.TokenType, r.SubjectType, r.ActorType = "", nil, "", "", ""
		r.Partial = append(r.Partial, PartRequest)
	}
}

// shed leaves out what the tokens of a record say that would be too large with it.
func (r *Record) shed() {
	r.Subject = Token{Own: r.Subject.Own, Upstream: r.Subject.Upstream, Opaque: r.Subject.Opaque}
	if r.Actor != nil {
		r.Actor = &Token{Own: r.Actor.Own, Upstream: r.Actor.Upstream, Opaque: r.Actor.Opaque}
	}
	r.Partial = append(r.Partial, PartClaims)
}

// Ending is how a request ended.
type Ending struct {
	Grant   string // configured name
	Rule    string // that decided
	Refusal *oauth.Error
	Known   bool // the client authenticated
}

// Of is the record of a request.
func Of(in *oauth.TokenRequest, e Ending) Record {
	r := Record{
		ID: in.DecisionID, At: in.Now, Grant: e.Grant, ClientID: in.Requester.ClientID, Anonymous: in.Requester.Anonymous,
		Audiences: in.Seen.Targets, Scope: in.Form.Get(oauth.ParamScope), TokenType: in.Form.Get(oauth.ParamRequestedTokenType),
		SubjectType: in.Form.Get(oauth.ParamSubjectTokenType), ActorType: in.Form.Get(oauth.ParamActorTokenType), ProofKey: in.Proof.Key, Rule: e.Rule,
	}
	r.bound()
	if e.Refusal != nil {
		r.Code, r.Reason = string(e.Refusal.Code), string(e.Refusal.Reason)
	}
	if in.Seen.Tokens == nil {
		r.Partial = append(r.Partial, PartSubject)
		return r
	}
	subject, actor := in.Seen.Tokens()
	r.Subject = kept(subject)
	if actor != nil {
		token := kept(actor)
		r.Actor = &token
	} else if in.Form.Has(oauth.ParamActorToken) {
		r.Partial = append(r.Partial, PartActor)
	}
	return r
}

func kept(t *oauth.SeenToken) Token {
	return Token{Own: t.Own, Upstream: t.Upstream, TokenID: t.TokenID, Typ: t.Typ, Opaque: t.Opaque, Claims: t.Claims}
}

// Whole tells whether the decision can be taken again: its tokens were verified, and are not such that only their upstream can tell what they say.
func (r Record) Whole() bool {
	return len(r.Partial) == 0 && !r.Subject.Opaque && (r.Actor == nil || !r.Actor.Opaque)
}

// Unverified are the tokens that were not verified by the time of the refusal: PartSubject, PartActor.
func (r Record) Unverified() (tokens []string) {
	for _, part := range r.Partial {
		if part == PartSubject || part == PartActor {
			tokens = append(tokens, part)
		}
	}
	return tokens
}

// Allowed tells whether a token was issued.
func (r Record) Allowed() bool { return r.Code == "" }

// protocol are the claims that the engine itself reads of every token; own those that it reads of our own, and nowhere else.
var (
	protocol = [...]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "act", "may_act", "cnf"}
	own      = [...]string{"client_id", "scope", "origin_exp", "upstream"}
)

// Keep returns those of a token's claims that may be kept: the protocol's and the ones that rules and mappers read (P47). The values are
// shared with claims, which must not be written from then on.
func Keep(claims map[string]any, isOwn bool, reads expr.Members) map[string]any {
	kept := make(map[string]any, len(protocol)+len(own)+len(reads.Names))
	names := slices.Concat(protocol[:], reads.Names)
	if isOwn {
		names = append(names, own[:]...)
	}
	if reads.All {
		names = nil
		for name := range claims {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if v, ok := claims[name]; ok && name != lineage {
			kept[name] = v
		}
	}
	return kept
}

// Protocol are the claims that the engine itself reads of every token.
func Protocol() []string { return protocol[:] }

// OfIDJAG are those that it reads of an ID-JAG beside them (P23).
func OfIDJAG() []string { return []string{"client_id", "scope", "resource"} }

// lineage names other tokens, sessions and people's: it is never kept.
const lineage = "lin"

// Claims are claims of a token, values as package mappers has them. In JSON they keep their Go types: a float64 of a whole number is written with
// its fraction.
type Claims map[string]any

// MarshalJSON writes the claims.
func (c Claims) MarshalJSON() ([]byte, error) { return json.Marshal(exact(map[string]any(c))) }

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Claims) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var plain map[string]any
	if err := decoder.Decode(&plain); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	*c, _ = native(plain).(map[string]any)
	return nil
}

// exact replaces floats that encoding/json would write as integers.
func exact(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e21 { // from there on encoding/json writes an exponent
			return json.Number(strconv.FormatFloat(v, 'f', 1, 64))
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = exact(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			out[name] = exact(e)
		}
		return out
	}
	return v
}

// native is the reverse: an integer that fits is int64, else uint64; another finite decimal float64; any other number stays as written.
func native(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		for i, e := range v {
			v[i] = native(e)
		}
	case map[string]any:
		for name, e := range v {
			v[name] = native(e)
		}
	}
	return v
}

func number(n json.Number) any {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return u
	}
	if strings.ContainsAny(string(n), ".eE") {
		if f, err := n.Float64(); err == nil {
			return f
		}
	}
	return n
}
