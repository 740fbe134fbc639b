package rules

import (
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

// input is what conditions see of the request. No rule has an actor, so no condition may name one.
func (j *judge) input() expr.Input {
	s := j.in.Subject
	in := expr.Input{Claims: s.Claims, Principal: s.Principal, Scopes: s.Scopes}
	if j.readsRequest {
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
