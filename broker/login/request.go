package login

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/dpop"
	"fedbroker/broker/oauth"
	"fedbroker/upstreams/jose"
)

// asked is an authorization request that is proven to be a registered app's, with a way back that is its own.
type asked struct {
	client *clients.Client
	Request
	params            [][2]string // the request, to be sent again
	scopes, audiences []string    // granted if the person signs in
	essentialACR      []string    // any of these is needed; nil: whatever
	hint              string      // subject that the app means; "": anybody
}

// Values of parameters (OpenID Connect Core §3.1.2.1, OAuth 2.0 Form Post Response Mode, RFC 7636 §4.3).
const (
	promptNone, promptLogin, promptConsent, promptSelect = "none", "login", "consent", "select_account"

	responseCode  = "code"
	modeQuery     = "query"
	modeFormPost  = "form_post"
	methodS256    = "S256"
	challengeSize = 43      // base64url of a SHA-256
	maxMaxAge     = 1 << 31 // seconds: more than any session lasts
)

// prove finds whose request it is. Until it returns, nobody may be sent anywhere (P33).
func (v *visit) prove(r Request) error {
	client, known := v.Clients.Lookup(r.ClientID)
	if !known {
		return fail(FailureUnknownClient, oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonClientCredentials).Because(errors.New("unknown client_id")))
	}
	v.event.ClientID = client.ID
	if !client.RedirectAllowed(r.RedirectURI) {
		return fail(FailureRedirect, oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonRedirect).Because(errors.New("redirect_uri is not registered")))
	}
	v.asked = &asked{client: client, Request: r, params: r.params()}
	return nil
}

// judge proves the request, then holds each parameter to what is served. What is wrong is told to the app.
func (v *visit) judge(r Request) error {
	if err := v.prove(r); err != nil {
		return err
	}
	for _, step := range [...]func(*visit, *asked) error{(*visit).judgeForm, (*visit).judgePrompt, (*visit).judgePKCE, (*visit).judgeScope, (*visit).judgeClaims, (*visit).judgeHint} {
		if err := step(v, v.asked); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) judgeForm(a *asked) error {
	switch {
	case a.HasRequestURI:
		return tell(oauth.CodeRequestURINotSupported, oauth.ReasonParameter, "request_uri")
	case a.HasRequest:
		return tell(oauth.CodeRequestNotSupported, oauth.ReasonParameter, "request object")
	case a.ResponseMode != "" && a.ResponseMode != modeQuery && a.ResponseMode != modeFormPost:
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "response_mode is not served")
	case a.ResponseType == "":
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "response_type is missing")
	case a.ResponseType != responseCode:
		return tell(oauth.CodeUnsupportedResponseType, oauth.ReasonParameter, "response_type is not code")
	case !a.client.MayUse(oauth.GrantAuthorizationCode):
		return tell(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed, "authorization_code")
	case a.MaxAge != nil && (*a.MaxAge < 0 || *a.MaxAge > maxMaxAge):
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "max_age is out of range")
	case a.DPoPKey != "" && !dpop.ValidThumbprint(a.DPoPKey): // RFC 9449 §10
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "dpop_jkt is not a thumbprint")
	}
	return nil
}

func (v *visit) judgePrompt(a *asked) error {
	for _, p := range a.Prompt {
		switch p {
		case promptNone, promptLogin, promptConsent, promptSelect: // consent: the operator has consented for configured clients (P36)
		default:
			return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "unknown prompt")
		}
	}
	if a.silent() && len(a.Prompt) > 1 {
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "prompt none beside another")
	}
	return nil
}

func (a *asked) silent() bool { return slices.Contains(a.Prompt, promptNone) }

// judgePKCE: S256 only; without a challenge only where the registration says so (P32).
func (v *visit) judgePKCE(a *asked) error {
	if a.CodeChallenge == "" && a.CodeChallengeMethod == "" && a.client.PKCEOptional() {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(a.CodeChallenge)
	if err != nil || len(a.CodeChallenge) != challengeSize || len(raw) == 0 || a.CodeChallengeMethod != methodS256 {
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "code_challenge with S256 is required")
	}
	return nil
}

// judgeScope leaves out what is unknown or not the client's (P33). Without a resource only the scopes of a login are left, and the audience
// is ours alone (P35).
func (v *visit) judgeScope(a *asked) error {
	scopes, err := oauth.ParseScope(a.Scope)
	if err != nil {
		return &failed{refusal: oauth.AsError(err)}
	}
	for _, resource := range a.Resources { // RFC 8707 §2.1
		if !oauth.ValidResource(resource) || !slices.Contains(a.client.Audiences, resource) {
			return tell(oauth.CodeInvalidTarget, oauth.ReasonTarget, "resource is beyond the client's audiences")
		}
	}
	a.audiences = oauth.Unique(a.Resources)
	for _, scope := range scopes {
		switch {
		case !slices.Contains(a.client.Scopes, scope):
		case len(a.audiences) == 0 && !v.Scopes.Known(scope):
		case scope == oauth.ScopeOfflineAccess && !a.client.MayUse(oauth.GrantRefreshToken): // P36
		default:
			a.scopes = append(a.scopes, scope)
		}
	}
	return nil
}

// judgeClaims reads the one member of the claims parameter that is served: an essential acr of the ID token (OpenID Connect Core §5.5.1.1).
// The rest is a wish, and scopes decide what is released.
func (v *visit) judgeClaims(a *asked) error {
	if required := a.client.Spec.RequireACR; required != "" {
		a.essentialACR = []string{required}
	}
	if a.Claims == "" {
		return nil
	}
	claims, err := jose.ParseClaims([]byte(a.Claims))
	if err != nil {
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "claims is not a JSON object")
	}
	of := claims.Map()
	for _, name := range [...]string{"id_token", "userinfo"} {
		if _, object := of[name].(map[string]any); of[name] != nil && !object {
			return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "claims."+name+" is not an object")
		}
	}
	id, _ := of["id_token"].(map[string]any)
	acr, _ := id["acr"].(map[string]any)
	if essential, _ := acr["essential"].(bool); !essential {
		return nil
	}
	values, _ := acr["values"].([]any)
	wanted := texts(append(values, acr["value"]))
	noString := func(v any) bool { _, ok := v.(string); return v != nil && !ok }
	if slices.ContainsFunc(append(values, acr["value"]), noString) { // it is essential to the app, and nobody can have it
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "the essential acr is not a string")
	}
	if required := a.client.Spec.RequireACR; required != "" && len(wanted) > 0 && !slices.Contains(wanted, required) {
		return tell(oauth.CodeUnmetAuthentication, oauth.ReasonAuthentication, "the acr asked for is not the one that the client needs")
	}
	switch {
	case a.essentialACR != nil: // the registration's is the narrower
	case len(wanted) > 0:
		a.essentialACR = wanted
	default:
		a.essentialACR = []string{} // essential without a value: any, but one
	}
	return nil
}

// meets tells whether an acr is enough.
func (a *asked) meets(acr string) bool {
	switch {
	case a.essentialACR == nil:
		return true
	case len(a.essentialACR) == 0:
		return acr != ""
	}
	return slices.Contains(a.essentialACR, acr)
}

// texts are those that say something: an empty one would be met by nothing.
func texts(list []any) (out []string) {
	for _, one := range list {
		if s, _ := one.(string); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// judgeHint opens id_token_hint: the app means the person of an ID token that we gave it.
func (v *visit) judgeHint(a *asked) error {
	if a.IDTokenHint == "" {
		return nil
	}
	hint, err := v.Tokens.OpenHint(a.IDTokenHint, v.now)
	if err != nil || hint.ClientID != a.client.ID || hint.Subject == "" {
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "id_token_hint is not an ID token of ours for this client")
	}
	a.hint = hint.Subject
	return nil
}

// maxAge is how old an authentication may be; ok is false where any age does. prompt=login is the strictest: none but a new one.
func (a *asked) maxAge() (age time.Duration, ok bool) {
	switch {
	case slices.Contains(a.Prompt, promptLogin):
		return 0, true
	case a.MaxAge != nil:
		return time.Duration(*a.MaxAge) * time.Second, true
	}
	return 0, false
}

// reply is the authorization response with iss (RFC 9207 §2).
func (a *asked) reply(issuer string, params ...[2]string) *Reply {
	if a.State != "" {
		params = append(params, [2]string{"state", a.State})
	}
	params = append(params, [2]string{"iss", issuer})
	return &Reply{RedirectURI: a.RedirectURI, Params: params, FormPost: a.ResponseMode == modeFormPost}
}

func (a *asked) refusal(code oauth.Code, issuer string) *Reply {
	return a.reply(issuer, [2]string{"error", string(code)}, [2]string{"error_description", code.Description()})
}

// params are the request as a browser would send it again. What was typed or chosen on our own page is not part of it.
func (r *Request) params() [][2]string {
	var out [][2]string
	for _, f := range r.fields() {
		if *f.text != "" {
			out = append(out, [2]string{f.name, *f.text})
		}
	}
	for _, l := range r.lists() {
		if len(*l.list) > 0 {
			out = append(out, [2]string{l.name, strings.Join(*l.list, " ")})
		}
	}
	for _, resource := range r.Resources {
		out = append(out, [2]string{"resource", resource})
	}
	if r.MaxAge != nil {
		out = append(out, [2]string{"max_age", strconv.FormatInt(*r.MaxAge, 10)})
	}
	return out
}

// fromParams is the inverse of params.
func fromParams(params [][2]string) Request {
	var r Request
	for _, p := range params {
		for _, f := range r.fields() {
			if f.name == p[0] {
				*f.text = p[1]
			}
		}
		for _, l := range r.lists() {
			if l.name == p[0] {
				*l.list = strings.Fields(p[1])
			}
		}
		switch p[0] {
		case "resource":
			r.Resources = append(r.Resources, p[1])
		case "max_age":
			if n, err := strconv.ParseInt(p[1], 10, 64); err == nil {
				r.MaxAge = &n
			}
		}
	}
	return r
}

type field struct {
	name string
	text *string
}

func (r *Request) fields() [14]field {
	return [...]field{
		{"client_id", &r.ClientID}, {"redirect_uri", &r.RedirectURI}, {"response_type", &r.ResponseType}, {"response_mode", &r.ResponseMode},
		{"scope", &r.Scope}, {"state", &r.State}, {"nonce", &r.Nonce}, {"login_hint", &r.LoginHint}, {"idp_hint", &r.IDPHint},
		{"id_token_hint", &r.IDTokenHint}, {"code_challenge", &r.CodeChallenge}, {"code_challenge_method", &r.CodeChallengeMethod}, {"claims", &r.Claims},
		{"dpop_jkt", &r.DPoPKey},
	}
}

type listField struct {
	name string
	list *[]string
}

func (r *Request) lists() [3]listField {
	return [...]listField{{"prompt", &r.Prompt}, {"acr_values", &r.ACRValues}, {"ui_locales", &r.UILocales}}
}
