//go:build interop

package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

// interopRobot is a service that signs its own assertions (RFC 7523 §2.1), as x/oauth2 makes them.
func interopRobot(t *testing.T, provider *oidc.Provider, subject string) *jwt.Config {
	t.Helper()
	prefix := filepath.Join(os.Getenv("WORK"), "robot")
	key, err := os.ReadFile(prefix + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(prefix + ".private.jwk")
	if err != nil {
		t.Fatal(err)
	}
	var about struct {
		ID string `json:"kid"`
	}
	if err := json.Unmarshal(private, &about); err != nil {
		t.Fatal(err)
	}
	return &jwt.Config{Email: "https://robot.example", Subject: subject, PrivateKey: key, PrivateKeyID: about.ID, TokenURL: provider.Endpoint().TokenURL}
}

func TestInteropXOAuth2JWTIsGranted(t *testing.T) {
	provider, _ := interopProvider(t)
	token, err := interopRobot(t, provider, "night-shift").TokenSource(t.Context()).Token()
	if err != nil {
		t.Fatalf("jwt-bearer: %v", err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: interopAPI}).Verify(t.Context(), token.AccessToken)
	if err != nil {
		t.Fatalf("go-oidc refuses our token: %v", err)
	}
	var claims struct {
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
	}
	if err := verified.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if verified.Subject != "robot|night-shift" || claims.ClientID != "anonymous:robot-orders" || claims.Scope != "orders.read" || token.RefreshToken != "" {
		t.Errorf("sub %q, claims %+v, refresh token %t", verified.Subject, claims, token.RefreshToken != "")
	}
}

func TestInteropXOAuth2JWTShowsADenial(t *testing.T) {
	provider, _ := interopProvider(t)
	stranger := interopRobot(t, provider, "day-shift")
	elsewhere := interopRobot(t, provider, "night-shift")
	elsewhere.Audience = "https://elsewhere.example"
	for what, config := range map[string]*jwt.Config{"another subject": stranger, "another audience": elsewhere} {
		_, err := config.TokenSource(t.Context()).Token()
		refused, ok := errors.AsType[*oauth2.RetrieveError](err)
		if !ok {
			t.Errorf("%s: got %v, want a RetrieveError", what, err)
			continue
		}
		var body struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(refused.Body, &body); err != nil || refused.Response.StatusCode != http.StatusBadRequest || body.Error != "invalid_grant" {
			t.Errorf("%s: got %d %s, want 400 invalid_grant", what, refused.Response.StatusCode, refused.Body)
		}
	}
}
