package spec

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/presets"
)

// ClaimSubject is the claim that is the subject unless another is configured (RFC 7519 §4.1.2).
const ClaimSubject = "sub"

const (
	defaultMaxStale = 24 * time.Hour

	typAccess = "at+jwt" // RFC 9068 §2.1
)

// How we authenticate at an upstream's token endpoint (OpenID Connect Core §9).
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
)

// How an upstream answers an authorization request (OAuth 2.0 Multiple Response Types §2.1, Form Post Response Mode).
const (
	ResponseQuery    = "query"
	ResponseFormPost = "form_post"
)

// ScopeOpenID makes an authorization request one of OpenID Connect (Core §3.1.2.1).
const ScopeOpenID = "openid"

// withDefaults is the spec with its preset and all defaults applied. What is written counts, also when it is empty.
func (s Upstream) withDefaults(preset presets.Preset, kind Kind, leeway time.Duration) Upstream {
	if s.Issuer == "" && s.IssuerPattern == "" {
		s.Issuer, s.IssuerPattern = preset.Issuer, preset.IssuerPattern
	}
	if len(s.Algorithms) == 0 {
		s.Algorithms = preset.Algorithms
	}
	if len(s.Algorithms) == 0 {
		s.Algorithms = jose.DefaultAlgorithms().Names()
	}
	if len(s.Subject) == 0 {
		s.Subject = preset.Subject
	}
	if len(s.Subject) == 0 {
		s.Subject = Claims{ClaimSubject}
	}
	if s.AcceptTyp == nil {
		s.AcceptTyp = &[]string{typAccess}
	}
	if s.Leeway == nil {
		s.Leeway = &leeway
	}
	if s.MaxStale == nil {
		maxStale := defaultMaxStale
		s.MaxStale = &maxStale
	}
	if s.EmailDomains == nil {
		s.EmailDomains = &EmailDomains{Names: s.Domains}
	}
	if kind.Login {
		s = s.withLoginDefaults(preset, kind)
	}
	return s
}

func (s Upstream) withLoginDefaults(preset presets.Preset, kind Kind) Upstream {
	if s.AuthMethod == "" {
		s.AuthMethod = preset.AuthMethod
	}
	if s.AuthMethod == "" {
		s.AuthMethod = AuthBasic
		if s.PrivateKeyFile != "" {
			s.AuthMethod = AuthPrivateKey
		}
	}
	if s.ResponseMode == "" {
		s.ResponseMode = ResponseQuery
	}
	if s.Issuer == preset.Issuer {
		s = s.withEndpoints(preset)
	}
	if s.Scopes == nil {
		s.Scopes = preset.Scopes
	}
	if s.Scopes == nil {
		s.Scopes = kind.Scopes
		if s.Refresh { // OpenID Connect Core §11
			s.Scopes = append(slices.Clone(s.Scopes), scopeOffline)
		}
	}
	return s
}

// withEndpoints takes what is not written from the preset. It is for the preset's own issuer: an installation of one's own has its own endpoints, and must not
// send people, codes and secrets to the public one's.
func (s Upstream) withEndpoints(preset presets.Preset) Upstream {
	emails := preset.Endpoints.Emails
	if s.Scopes != nil && slices.ContainsFunc(preset.Scopes, func(scope string) bool { return !slices.Contains(s.Scopes, scope) }) {
		emails = "" // who asks for less would be refused there
	}
	for _, e := range [...]struct {
		written *string
		known   string
	}{
		{&s.AuthorizationEndpoint, preset.Endpoints.Authorization}, {&s.TokenEndpoint, preset.Endpoints.Token},
		{&s.UserInfoEndpoint, preset.Endpoints.UserInfo}, {&s.EmailsEndpoint, emails},
	} {
		if *e.written == "" {
			*e.written = e.known
		}
	}
	if s.CredentialHosts == nil {
		s.CredentialHosts = preset.CredentialHosts
	}
	return s
}

// scopeOffline asks for a refresh token (OpenID Connect Core §11).
const scopeOffline = "offline_access"

// unserved are the keys that are judged and that nothing reads yet.
var unserved = []string{"linking"}

// Unserved lists the keys that are present and judged but that nothing serves, sorted: what they ask for does not happen.
func (s Upstream) Unserved() []string {
	var keys []string
	for _, key := range s.present() {
		if slices.Contains(unserved, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// present lists the keys whose values are not zero, sorted.
func (s Upstream) present() []string {
	var keys []string
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Without is s but for some keys: what means nothing to its kind is no part of what it comes to.
func (s Upstream) Without(keys []string) Upstream {
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		if key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); slices.Contains(keys, key) {
			v.Field(i).SetZero()
		}
	}
	return s
}

// SpeaksFor lists the issuers of the upstream's tokens: one, the listed ones of a pattern, or the pattern itself.
func (s Upstream) SpeaksFor() []string {
	switch {
	case s.IssuerPattern == "":
		return []string{s.Issuer}
	case len(s.Issuers) > 0:
		return s.Issuers
	}
	return []string{s.IssuerPattern}
}
