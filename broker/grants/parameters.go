package grants

import (
	"fmt"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams/jose"
)

// parameters are those of an exchange request (RFC 8693 §2.1).
type parameters struct {
	subjectToken, subjectType string
	actorToken, actorType     string
	requestedType             string // "" leaves it to the rule
	targets                   []string
	resources                 []string // of the targets, those asked for as resource
}

func readParameters(f oauth.Form) (parameters, error) {
	p := parameters{
		subjectToken: f.Get(oauth.ParamSubjectToken), subjectType: f.Get(oauth.ParamSubjectTokenType),
		actorToken: f.Get(oauth.ParamActorToken), actorType: f.Get(oauth.ParamActorTokenType),
		requestedType: f.Get(oauth.ParamRequestedTokenType),
	}
	bad := func(format string, args ...any) (parameters, error) {
		return parameters{}, invalid(oauth.ReasonParameter, fmt.Errorf(format, args...))
	}
	switch {
	case p.subjectToken == "":
		return bad("%s is missing", oauth.ParamSubjectToken)
	case p.subjectType == "":
		return bad("%s is missing", oauth.ParamSubjectTokenType)
	case !accepted(p.subjectType):
		return bad("%s is not accepted", oauth.ParamSubjectTokenType)
	case (p.actorToken == "") != (p.actorType == ""): // each demands the other (RFC 8693 §2.1)
		return bad("%s and %s need each other", oauth.ParamActorToken, oauth.ParamActorTokenType)
	case p.actorType != "" && !accepted(p.actorType):
		return bad("%s is not accepted", oauth.ParamActorTokenType)
	case !issued(p.requestedType):
		return bad("%s is not issued", oauth.ParamRequestedTokenType)
	}
	var err error
	p.targets, err = oauth.Targets(f)
	p.resources = f.All(oauth.ParamResource)
	return p, err
}

// accepted tells the token types that may be presented: JWTs, by three names, and SAML assertions. A refresh token never is a subject (P9).
func accepted(tokenType string) bool { return tokenType == oauth.TypeSAML2 || namesJWT(tokenType) }

func namesJWT(tokenType string) bool {
	switch tokenType {
	case oauth.TypeAccessToken, oauth.TypeJWT, oauth.TypeIDToken:
		return true
	}
	return false
}

// issued tells the token types that may be asked for.
func issued(tokenType string) bool {
	switch tokenType {
	case "", oauth.TypeAccessToken, oauth.TypeJWT, oauth.TypeIDToken, oauth.TypeIDJAG:
		return true
	}
	return false
}

// agrees tells whether a token may be called what the request calls it (P9). The name never picks a path: it can only be wrong. Which typ
// an upstream's tokens may have is the upstream's.
func agrees(declared string, t jose.Unverified, own bool) bool {
	class := t.Class()
	switch {
	case own && class == jose.ClassAccessToken:
		return declared == oauth.TypeAccessToken || declared == oauth.TypeJWT
	case own && class == jose.ClassJWT:
		return declared == oauth.TypeIDToken
	case own:
		return false
	case class == jose.ClassAccessToken:
		return declared == oauth.TypeAccessToken || declared == oauth.TypeJWT
	case class == jose.ClassJWT || class == jose.ClassOther:
		return namesJWT(declared)
	default: // logout tokens, proofs, security events, id-jags: never a subject
		return false
	}
}
