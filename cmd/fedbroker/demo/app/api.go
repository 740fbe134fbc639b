package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// API is a resource server that knows one issuer and one audience, and nobody's identity provider.
type API struct {
	Issuer, Audience, Scope string
	Listener                net.Listener // closed by Run
}

// URL is where the API is.
func (s *API) URL() string { return "http://" + s.Listener.Addr().String() + "/orders" }

// Run serves the API until ctx ends.
func (s *API) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", s.orders)
	return Serve(ctx, mux, s.Listener)
}

// orders answers who may read them.
func (s *API) orders(w http.ResponseWriter, r *http.Request) {
	claims, err := s.verify(r.Context(), r.Header.Get("Authorization"))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	body := map[string]any{"orders": []string{"4711: 12 gaskets", "4712: 1 pump"}, "for": claims["sub"], "asked_by": claims["client_id"]}
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750 §3
		w.WriteHeader(http.StatusUnauthorized)
		body = map[string]any{"error": "invalid_token", "cause": err.Error()} // a real API would keep the cause to its log
	}
	_ = json.NewEncoder(w).Encode(body)
}

// verify is what RFC 9068 §4 asks of a resource server.
func (s *API) verify(ctx context.Context, authorization string) (map[string]any, error) {
	raw, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return nil, errors.New("want a bearer token")
	}
	header, _, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	if header["typ"] != "at+jwt" {
		return nil, errors.New("not an access token")
	}
	provider, err := oidc.NewProvider(ctx, s.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	token, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: s.Audience}).Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return nil, err
	}
	scope, _ := claims["scope"].(string)
	for name := range strings.FieldsSeq(scope) {
		if name == s.Scope {
			return claims, nil
		}
	}
	return nil, fmt.Errorf("want scope %s", s.Scope)
}

// Decode shows a JWT's header and claims; it verifies nothing.
func Decode(raw string) (header, claims map[string]any, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, nil, errors.New("want a JWT, got something else")
	}
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, nil, fmt.Errorf("JWT: %w", err)
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil {
			return nil, nil, fmt.Errorf("JWT: %w", err)
		}
	}
	return header, claims, nil
}

// call is one call of the API, and the token that it was made with.
type call struct {
	token  string
	status int
	body   string
}

const (
	grantExchange  = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeToken      = "urn:ietf:params:oauth:token-type:access_token"
	maxAnswer      = 64 << 10
	contentForm    = "application/x-www-form-urlencoded"
	headerType     = "Content-Type"
	headerAuthorit = "Authorization"
)

// callAPI swaps the login's access token, which is good at the broker alone, for one that the API takes (RFC 8693 §2.1), and calls it.
func (a *App) callAPI(ctx context.Context, v *visitor) error {
	_, config, err := a.oauth(ctx)
	if err != nil {
		return err
	}
	form := url.Values{
		"grant_type": {grantExchange}, "subject_token": {v.person.tokens.AccessToken}, "subject_token_type": {typeToken}, "audience": {a.o.Audience},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, config.Endpoint.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set(headerType, contentForm)
	request.SetBasicAuth(url.QueryEscape(a.o.ClientID), url.QueryEscape(a.o.Secret))
	status, body, err := a.ask(request)
	if err != nil {
		return err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
		DecisionID  string `json:"decision_id"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		return fmt.Errorf("exchange: %d %s: %s (decision %s)", status, answer.Error, answer.Description, answer.DecisionID)
	}
	if request, err = http.NewRequestWithContext(ctx, http.MethodGet, a.o.API, nil); err != nil {
		return err
	}
	request.Header.Set(headerAuthorit, "Bearer "+answer.AccessToken)
	if status, body, err = a.ask(request); err != nil {
		return err
	}
	v.person.call = &call{token: answer.AccessToken, status: status, body: body}
	return nil
}

func (a *App) ask(request *http.Request) (status int, body string, err error) {
	response, err := a.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, string(text), err
}
