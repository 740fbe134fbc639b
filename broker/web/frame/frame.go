// Package frame is zitadel/oidc's op as far as it is let in: it types requests. It judges nothing, and nothing that it says is seen by anybody
// (docs/adr/0008-op-frame.md).
package frame

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"github.com/zitadel/schema"

	"fedbroker/broker/oauth"
)

// Frame types requests. Its errors are invalid_request *oauth.Error.
type Frame struct{ op http.Handler }

// The paths inside the frame; no request outside chooses one.
const (
	frameAuthorize  = "/authorize"
	frameUserInfo   = "/userinfo"
	frameEndSession = "/logout"
)

// What op types, name by name: its decoder would take Client_ID for client_id as well.
var (
	authorizeNames = [...]string{
		"scope", "response_type", "client_id", "redirect_uri", "state", "nonce", "response_mode", "display", "prompt", "max_age", "ui_locales",
		"id_token_hint", "login_hint", "acr_values", "code_challenge", "code_challenge_method",
	}
	userInfoNames   = [...]string{"access_token"}
	endSessionNames = [...]string{"id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"}
)

// New makes a Frame.
func New() Frame {
	decoder := schema.NewDecoder()
	decoder.IgnoreUnknownKeys(true)
	return Frame{op: op.RegisterServer(&taker{}, op.Endpoints{
		Authorization: op.NewEndpoint(frameAuthorize), Userinfo: op.NewEndpoint(frameUserInfo), EndSession: op.NewEndpoint(frameEndSession),
	}, op.WithServerCORSOptions(nil), op.WithDecoder(silent{decoder}))}
}

// Authorize types an authorization request (OpenID Connect Core §3.1.2.1).
func (f Frame) Authorize(form oauth.Form) (*oidc.AuthRequest, error) {
	return typed[oidc.AuthRequest](f, frameAuthorize, form, authorizeNames[:], "")
}

// UserInfo types a request for claims (OpenID Connect Core §5.3.1). It takes the token from the header, if it is not "", else from the form.
func (f Frame) UserInfo(form oauth.Form, authorization string) (*oidc.UserInfoRequest, error) {
	return typed[oidc.UserInfoRequest](f, frameUserInfo, form, userInfoNames[:], authorization)
}

// EndSession types a request to sign out (OpenID Connect RP-Initiated Logout §2).
func (f Frame) EndSession(form oauth.Form) (*oidc.EndSessionRequest, error) {
	return typed[oidc.EndSessionRequest](f, frameEndSession, form, endSessionNames[:], "")
}

// typed shows op a request of our making that holds the named parameters and nothing else, and returns what op made of them.
// Every error is an invalid_request *oauth.Error.
func typed[T any](f Frame, path string, form oauth.Form, names []string, authorization string) (*T, error) {
	values := url.Values{}
	for name, all := range form {
		if slices.Contains(names, name) {
			values[name] = all
		}
	}
	var slot any
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, Header: http.Header{}, Form: values, PostForm: url.Values{}}).
		WithContext(context.WithValue(context.Background(), slotKey{}, &slot))
	if authorization != "" {
		r.Header.Set(echo.HeaderAuthorization, authorization)
	}
	f.op.ServeHTTP(nowhere{}, r)
	request, taken := slot.(*T)
	if _, failed := values[undecodable]; failed || !taken {
		return nil, oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonParameter).Because(errors.New("a parameter is not of its type"))
	}
	return request, nil
}

// EndSessionNames are the parameters that EndSession looks at.
func EndSessionNames() []string { return slices.Clone(endSessionNames[:]) }

// slotKey is where a request's context says to put what op typed.
type slotKey struct{}

// taker is the Server behind op: each method puts the typed request aside. None ever fails, since op logs errors, to slog's default
// logger, and answers with their texts.
type taker struct{ op.UnimplementedServer }

func take(ctx context.Context, request any) {
	if slot, ok := ctx.Value(slotKey{}).(*any); ok {
		*slot = request
	}
}

// VerifyAuthRequest is where op hands over an authorization request before it judges anything of it. What op goes on to judge, by its
// looser rules, is a request and a client of our making that pass.
func (*taker) VerifyAuthRequest(ctx context.Context, r *op.Request[oidc.AuthRequest]) (*op.ClientRequest[oidc.AuthRequest], error) {
	take(ctx, r.Data)
	decoy := oidc.AuthRequest{Scopes: []string{oidc.ScopeOpenID}, ResponseType: oidc.ResponseTypeCode, RedirectURI: decoyURI}
	return &op.ClientRequest[oidc.AuthRequest]{Request: &op.Request[oidc.AuthRequest]{Data: &decoy}, Client: decoyClient{}}, nil
}

// Authorize implements op.Server.
func (*taker) Authorize(context.Context, *op.ClientRequest[oidc.AuthRequest]) (*op.Redirect, error) {
	return op.NewRedirect(decoyURI), nil
}

// UserInfo implements op.Server.
func (*taker) UserInfo(ctx context.Context, r *op.Request[oidc.UserInfoRequest]) (*op.Response, error) {
	take(ctx, r.Data)
	return op.NewResponse(nil), nil
}

// EndSession implements op.Server.
func (*taker) EndSession(ctx context.Context, r *op.Request[oidc.EndSessionRequest]) (*op.Redirect, error) {
	take(ctx, r.Data)
	return op.NewRedirect(decoyURI), nil
}

// decoyURI leads nowhere (RFC 6761 §6.4) and is never followed.
const decoyURI = "https://decoy.invalid/"

// decoyClient is the client of the request that op judges. What it does not define, op does not ask for.
type decoyClient struct{ op.Client }

func (decoyClient) RedirectURIs() []string              { return []string{decoyURI} }
func (decoyClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (decoyClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

// undecodable marks a form that could not be decoded. The form rules let no request have a parameter of that name.
const undecodable = "\x00"

// silent is op's decoder, but it never fails: op would log the error, which quotes the request, and answer with it.
type silent struct{ decoder *schema.Decoder }

// Decode implements httphelper.Decoder.
func (s silent) Decode(request any, form map[string][]string) error {
	if err := s.decoder.Decode(request, form); err != nil {
		form[undecodable] = nil
	}
	return nil
}

// nowhere is where op writes to.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
