package explain

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams/jose"
)

// Request is what is to be explained: a decision that was taken, by its id alone, or a request of now.
type Request struct {
	DecisionID       string    `json:"decision_id,omitempty"`
	Grant            string    `json:"grant,omitempty"`     // token-exchange (default) or jwt-bearer
	Requester        string    `json:"requester,omitempty"` // a client's id; "" is nobody in particular
	SubjectToken     string    `json:"subject_token,omitempty"`
	SubjectTokenType string    `json:"subject_token_type,omitempty"` // "": what the token is
	ActorToken       string    `json:"actor_token,omitempty"`
	ActorTokenType   string    `json:"actor_token_type,omitempty"` // "": what the token is
	Audiences        []string  `json:"audience,omitempty"`
	Resources        []string  `json:"resource,omitempty"`
	Scope            string    `json:"scope,omitempty"`
	TokenType        string    `json:"requested_token_type,omitempty"`
	DPoP             bool      `json:"dpop,omitempty"` // a proof by the key that the subject token is bound to came along
	At               time.Time `json:"at,omitzero"`    // absent: now

	Proof oauth.Proof `json:"-"` // that came along, of a decision
}

// Proven is the proof of possession that came along, taken as one that holds.
func (r Request) Proven() oauth.Proof {
	if !r.DPoP {
		return r.Proof
	}
	claims, _ := payload(r.SubjectToken)
	cnf, _ := claims["cnf"].(map[string]any)
	key, _ := cnf["jkt"].(string)
	if key == "" {
		return r.Proof
	}
	hash := sha256.Sum256([]byte(r.SubjectToken))
	return oauth.Proof{Key: key, TokenHash: base64.RawURLEncoding.EncodeToString(hash[:])} // RFC 9449 §4.2
}

// Format redacts the tokens under every verb.
func (r Request) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "a request to explain") }

// LogValue redacts the tokens.
func (Request) LogValue() slog.Value { return slog.StringValue("a request to explain") }

const (
	grantExchange  = "token-exchange"
	grantJWTBearer = "jwt-bearer"
)

func (r Request) grant() string {
	if r.Grant == "" {
		return grantExchange
	}
	return r.Grant
}

// GrantType is the grant on the wire.
func (r Request) GrantType() string {
	wire, _ := oauth.GrantType(r.grant())
	return wire
}

// UsageError says what is wrong with a Request.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

func misused(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Check refuses what no request of the token endpoint could be. The error is a *UsageError.
func (r Request) Check() error {
	if r.DecisionID != "" {
		if r.SubjectToken != "" || r.ActorToken != "" {
			return misused("want a decision's id or a token, got both")
		}
		return nil
	}
	switch {
	case r.SubjectToken == "":
		return misused("want a subject token or a decision's id, got neither")
	case r.grant() != grantExchange && r.grant() != grantJWTBearer:
		return misused("grant: want %s or %s, got %q", grantExchange, grantJWTBearer, r.Grant)
	}
	for _, t := range []string{r.SubjectTokenType, r.ActorTokenType, r.TokenType} {
		if t != "" && !slices.Contains(tokenTypes(), long(t)) {
			return misused("token type: want access_token, jwt, id_token or id-jag, got %q", t)
		}
	}
	return nil
}

func tokenTypes() []string {
	return []string{oauth.TypeAccessToken, oauth.TypeJWT, oauth.TypeIDToken, oauth.TypeIDJAG}
}

const typePrefix = "urn:ietf:params:oauth:token-type:"

// long is a token type identifier of either form.
func long(name string) string {
	if name == "" || strings.HasPrefix(name, "urn:") {
		return name
	}
	return typePrefix + name
}

// Form is the request as a client would send it. The error is a *UsageError, or an *oauth.Error of the form rules.
func (r Request) Form(ourIssuer string) (oauth.Form, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	values := url.Values{oauth.ParamAudience: r.Audiences, oauth.ParamResource: r.Resources, oauth.ParamScope: {r.Scope}}
	if r.grant() == grantJWTBearer {
		values.Set(oauth.ParamAssertion, r.SubjectToken)
		return oauth.ParseForm(values.Encode())
	}
	values.Set(oauth.ParamSubjectToken, r.SubjectToken)
	values.Set(oauth.ParamSubjectTokenType, declared(r.SubjectTokenType, r.SubjectToken, ourIssuer))
	values.Set(oauth.ParamRequestedTokenType, long(r.TokenType))
	if r.ActorToken != "" {
		values.Set(oauth.ParamActorToken, r.ActorToken)
		values.Set(oauth.ParamActorTokenType, declared(r.ActorTokenType, r.ActorToken, ourIssuer))
	}
	return oauth.ParseForm(values.Encode())
}

// declared is the type that a client would declare a token to be of, where nobody says.
func declared(said, raw, ourIssuer string) string {
	if said != "" {
		return long(said)
	}
	t, err := jose.Parse(raw)
	switch {
	case err != nil && strings.Count(raw, ".") != 2, err == nil && t.Class() == jose.ClassAccessToken:
		return oauth.TypeAccessToken
	case err == nil && t.UnverifiedIssuer() == ourIssuer && t.Class() == jose.ClassJWT:
		return oauth.TypeIDToken
	}
	return oauth.TypeJWT
}

// RequestOf is a request of a client to the token endpoint, as one to explain.
func RequestOf(clientID string, in oauth.TokenRequest) Request {
	grant, _ := oauth.GrantName(in.GrantType)
	r := Request{
		Grant: grant, Requester: clientID, SubjectToken: in.Form.Get(oauth.ParamSubjectToken), SubjectTokenType: in.Form.Get(oauth.ParamSubjectTokenType),
		ActorToken: in.Form.Get(oauth.ParamActorToken), ActorTokenType: in.Form.Get(oauth.ParamActorTokenType),
		Audiences: in.Form.All(oauth.ParamAudience), Resources: in.Form.All(oauth.ParamResource), Scope: in.Form.Get(oauth.ParamScope),
		TokenType: in.Form.Get(oauth.ParamRequestedTokenType), At: in.Now, Proof: in.Proof,
	}
	if grant == grantJWTBearer {
		r.SubjectToken = in.Form.Get(oauth.ParamAssertion)
	}
	return r
}
