// Package rp is the relying party's side of OpenID Connect: what is asked of an identity provider to sign a person in, and how its answers are
// read. It gives no verdict on an ID token: package upstreams has the one verifier.
package rp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"fedbroker/upstreams/outbound"
)

const (
	discoveryPath = "/.well-known/openid-configuration" // OpenID Connect Discovery §4
	maxDocument   = 256 << 10                           // bytes; real ones have 2 to 20 KiB
)

// Document is what is read of a discovery document (OpenID Connect Discovery §3).
type Document struct {
	Issuer                string `json:"issuer"`
	JWKSURI               string `json:"jwks_uri"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	UserInfoEndpoint      string `json:"userinfo_endpoint"`
	IssInResponse         bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
}

// DocumentError is a discovery document that can't be followed.
type DocumentError struct{ error }

// ErrorClass names it among the classes of fetches.
func (DocumentError) ErrorClass() string { return "discovery" }

func (e DocumentError) Unwrap() error { return e.error }

var (
	errOtherIssuer = errors.New("discovery document is another issuer's")
	errNoDocument  = errors.New("discovery document is not the JSON that it must be")
	errPlain       = errors.New("is http, and the issuer is not")
)

// Discover fetches the discovery document of an issuer, which must be the configured one byte for byte (§4.3). The endpoints in it are not
// judged yet: see CheckEndpoint.
func Discover(ctx context.Context, client *outbound.Client, issuer string, o outbound.Get) (Document, http.Header, error) {
	o.MaxBody = maxDocument
	body, header, err := client.GetJSON(ctx, strings.TrimSuffix(issuer, "/")+discoveryPath, o)
	if err != nil {
		return Document{}, nil, fmt.Errorf("discovery: %w", err)
	}
	var d Document
	if err := json.Unmarshal(body, &d); err != nil { // refuses repeated members and bad UTF-8, and compares names exactly
		return Document{}, nil, DocumentError{errNoDocument}
	}
	if d.Issuer != issuer {
		return Document{}, nil, DocumentError{errOtherIssuer}
	}
	return d, header, nil
}

// CheckEndpoint judges one address of a document: https, or what the issuer itself is (P43).
func CheckEndpoint(name, address, issuer string) error {
	if err := outbound.CheckURL(address); err != nil {
		return DocumentError{fmt.Errorf("%s: %w", name, err)}
	}
	if strings.HasPrefix(issuer, "https:") && !strings.HasPrefix(address, "https:") {
		return DocumentError{fmt.Errorf("%s %w", name, errPlain)}
	}
	return nil
}
