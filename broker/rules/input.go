package rules

import (
	"maps"

	"fedbroker/broker/oauth"
	"fedbroker/mappers/expr"
)

// Members of `request` in a condition: what the request asks for, validated.
const (
	requestClient    = "client_id"  // "" if anonymous
	requestAudiences = "audiences"  // audience and resource, one list
	requestScopes    = "scopes"     // [] if none, or if malformed
	requestTokenType = "token_type" // identifier; "" if none
)

func requestTypes() map[string]expr.Type {
	return map[string]expr.Type{
		requestClient:    expr.String,
		requestAudiences: expr.StringList,
		requestScopes:    expr.StringList,
		requestTokenType: expr.String,
	}
}

// input is what conditions see of the request. actor is the current actor alone, never those before it (RFC 8693 §4.1).
func (j *judge) input() expr.Input {
	s := j.in.Subject
	in := expr.Input{Claims: s.Claims, Principal: s.Principal, Scopes: s.Scopes}
	if j.in.Actor != nil {
		in.Actor = j.in.Actor.asActor()
	}
	if j.set.readsRequest {
		scopes, err := oauth.ParseScope(j.in.Scope)
		if err != nil { // Combine refuses it; nothing here may read it
			scopes = nil
		}
		in.Request = map[string]any{
			requestClient:    j.in.Requester.ClientID,
			requestAudiences: values(j.in.Targets),
			requestScopes:    values(scopes),
			requestTokenType: j.in.TokenType,
		}
	}
	return in
}

func values(names []string) []any {
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// asActor is what conditions see of an actor: of a token of ours its claims, of another's the principal, and in either case sub and upstream
// as our own tokens have them.
func (s *Subject) asActor() map[string]any {
	if s.Own {
		return s.Claims
	}
	out := make(map[string]any, len(s.Principal)+2)
	maps.Copy(out, s.Principal)
	out["sub"], out["upstream"] = s.Sub, map[string]any{"name": s.Upstream}
	return out
}
