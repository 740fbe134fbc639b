package oauth

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// Credentials are what a client presented, unverified: at most one method, a client id alone being "none".
type Credentials struct {
	Method    string // Auth…; "" if the request names no client at all
	ClientID  string // beside an assertion it may be absent
	Secret    string
	Assertion string
}

// None tells that nothing in the request speaks of a client: the only kind of request that may be anonymous.
func (c Credentials) None() bool { return c.Method == "" }

// String never shows a secret.
func (c Credentials) String() string { return c.Method + " " + c.ClientID }

// GoString never shows a secret either.
func (c Credentials) GoString() string { return c.String() }

// FormCredentials reads client authentication from the values of the Authorization header and from the form (RFC 6749
// §2.3, RFC 7521 §4.2). Two authentications are an invalid_request, unreadable ones an invalid_client; either is an *Error.
func FormCredentials(authorization []string, f Form) (Credentials, error) {
	header, secret, assertion := len(authorization) > 0, f.Has(ParamClientSecret), f.Has(ParamClientAssertion) || f.Has(ParamClientAssertionType)
	if len(authorization) > 1 || header && (secret || assertion) || secret && assertion {
		return Credentials{}, Deny(CodeInvalidRequest, ReasonFormRules).Because(errors.New("more than one client authentication"))
	}
	id := f.Get(ParamClientID)
	switch {
	case header:
		return basicCredentials(authorization[0], id)
	case assertion:
		return assertionCredentials(f, id)
	case secret:
		return Credentials{Method: AuthSecretPost, ClientID: id, Secret: f.Get(ParamClientSecret)}, requireID(id)
	case id != "":
		return Credentials{Method: AuthNone, ClientID: id}, nil
	}
	return Credentials{}, nil
}

func badClient(cause string) *Error {
	return Deny(CodeInvalidClient, ReasonClientCredentials).Because(errors.New(cause))
}

func requireID(id string) error {
	if id == "" {
		return badClient("client_secret without client_id")
	}
	return nil
}

// basicCredentials reads RFC 6749 §2.3.1: id and secret are form-encoded before they become user and password. A client_id
// in the form beside it is no authentication, but it has to name the same client.
func basicCredentials(header, formID string) (Credentials, error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return Credentials{}, badClient("authorization scheme is not Basic")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return Credentials{}, badClient("basic credentials are not base64")
	}
	user, password, found := strings.Cut(string(raw), ":")
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if !found || errID != nil || errSecret != nil || id == "" || !clean(id) || !clean(secret) {
		return Credentials{}, badClient("basic credentials are malformed")
	}
	if formID != "" && formID != id {
		return Credentials{}, Deny(CodeInvalidRequest, ReasonFormRules).Because(errors.New("client_id differs from the Authorization header"))
	}
	return Credentials{Method: AuthSecretBasic, ClientID: id, Secret: secret}, nil
}

func assertionCredentials(f Form, id string) (Credentials, error) {
	if f.Get(ParamClientAssertionType) != AssertionJWTBearer || !f.Has(ParamClientAssertion) {
		return Credentials{}, badClient("client_assertion and its type do not fit")
	}
	return Credentials{Method: AuthPrivateKeyJWT, ClientID: id, Assertion: f.Get(ParamClientAssertion)}, nil
}
