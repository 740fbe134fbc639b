package policytest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/token"
	"fedbroker/store"
	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
)

// Signer makes the tokens of a test: with keys that it makes for itself, never with a broker's, so that none of them is good anywhere else.
type Signer struct {
	Own     *token.Opener // opens our tokens, as this signer makes them
	Revoked *revoke.Set   // nothing is
	o       SignerOptions
	minter  *token.Minter
	keys    *keyring.Keyring // ours
	sealing store.Sealing

	mu        sync.Mutex // of what follows
	engines   []store.Engine
	upstreams map[string]*keyring.Keyring // by algorithm
}

// SignerOptions describe a Signer. Issuer and Engine are required.
type SignerOptions struct {
	Issuer string
	Leeway time.Duration                // of our own tokens
	Engine func() (store.Engine, error) // makes an empty store that nothing else uses, and that is forgotten
}

// NewSigner makes one for a broker of that issuer.
func NewSigner(ctx context.Context, o SignerOptions) (*Signer, error) {
	var seal [32]byte
	rand.Read(seal[:])
	sealing, err := store.NewSealer([]store.SealKey{{Key: seal}})
	if err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	s := &Signer{o: o, sealing: sealing, upstreams: map[string]*keyring.Keyring{}}
	if s.keys, err = s.keyring(ctx, keyring.ES256); err != nil {
		return nil, err
	}
	empty, err := s.open()
	if err != nil {
		return nil, err
	}
	const always = 365 * 24 * time.Hour // nobody follows the store, and nobody writes it
	if s.Revoked, err = revoke.Open(ctx, revoke.Options{Engine: empty, MaxStale: always}); err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	if s.Own, err = token.NewOpener(token.OpenerOptions{Issuer: o.Issuer, Keyring: s.keys, Revoked: s.Revoked, Leeway: o.Leeway}); err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	s.minter = token.NewMinter(token.MinterOptions{Issuer: o.Issuer, Keyring: s.keys})
	return s, nil
}

// open opens an engine that Close closes.
func (s *Signer) open() (store.Engine, error) {
	engine, err := s.o.Engine()
	if err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	s.engines = append(s.engines, engine)
	return engine, nil
}

// Close forgets every key.
func (s *Signer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, engine := range s.engines {
		errs = append(errs, engine.Close())
	}
	return errors.Join(errs...)
}

// keyring makes one with one key.
func (s *Signer) keyring(ctx context.Context, alg string) (*keyring.Keyring, error) {
	engine, err := s.open()
	if err != nil {
		return nil, err
	}
	k, err := keyring.Open(ctx, keyring.Options{Engine: engine, Sealing: s.sealing, Algorithms: []string{alg}})
	if err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	return k, nil
}

// of is what signs for an upstream: by the first of its algorithms, since RSA keys take long to make, one key for all that share it.
func (s *Signer) of(ctx context.Context, up upstreams.Spec) (*keyring.Keyring, string, error) {
	if len(up.Algorithms) == 0 {
		return nil, "", errors.New("policy test: the upstream signs nothing, and opaque tokens are not for fixtures")
	}
	alg := up.Algorithms[0]
	for _, quick := range []string{keyring.ES256, keyring.EdDSA, keyring.ES384} {
		if slices.Contains(up.Algorithms, quick) {
			alg = quick
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.upstreams[alg]; k != nil {
		return k, alg, nil
	}
	k, err := s.keyring(ctx, alg)
	if err == nil {
		s.upstreams[alg] = k
	}
	return k, alg, err
}

// Keys is where the keys of an upstream come from: from here.
func (s *Signer) Keys(up upstreams.Spec) keys.Source {
	return func(ctx context.Context) (keys.Fetched, error) {
		k, _, err := s.of(ctx, up)
		if err != nil {
			return keys.Fetched{}, err
		}
		set, _, _ := k.JWKS()
		return keys.Fetched{Set: set}, nil
	}
}

// Defaults of a subject token's times.
const (
	age  = time.Minute // since it was issued
	life = time.Hour   // until it expires
)

// token signs a subject's token with these claims. A claim that is nil is left out.
func (s *Signer) token(ctx context.Context, e Engine, subject Subject, requester string, claims map[string]any) (string, error) {
	if subject.Bound {
		claims["cnf"] = map[string]any{"jkt": provenKey}
	}
	if !subject.Issued {
		up, _ := e.Upstream(subject.Upstream)
		return s.external(ctx, up, requester, cmp.Or(subject.Typ, "JWT"), claims)
	}
	return s.own(requester, subject, claims)
}

// external signs a token of an upstream: by default it names the first audience that is open to the requester, or the first of all where none is.
func (s *Signer) external(ctx context.Context, up upstreams.Spec, requester, typ string, claims map[string]any) (string, error) {
	k, alg, err := s.of(ctx, up)
	if err != nil {
		return "", err
	}
	full := map[string]any{"iss": up.Issuer}
	if len(up.Audiences) > 0 {
		open := slices.IndexFunc(up.Audiences, func(a upstreams.Audience) bool { return a.Admits(requester) })
		full["aud"] = up.Audiences[max(open, 0)].Value
	}
	maps.Copy(full, claims)
	return sign(k, alg, typ, full)
}

// own signs a token of ours: by default it is the requester's to present, and names no ancestor.
func (s *Signer) own(requester string, subject Subject, claims map[string]any) (string, error) {
	full := map[string]any{"iss": s.o.Issuer, "aud": requester, "client_id": requester, "origin_exp": claims["exp"], "lin": map[string]any{}}
	typ := "at+jwt"
	if subject.IDToken { // OpenID Connect Core §2
		typ = "JWT"
		delete(full, "client_id")
		full["azp"], full["lin"] = requester, loginLineage()
	}
	if subject.Upstream != "" {
		full["upstream"] = map[string]any{"name": subject.Upstream}
	}
	maps.Copy(full, claims)
	return sign(s.keys, keyring.ES256, typ, full)
}

// loginLineage is that of what a login gave (P23).
func loginLineage() map[string]any { return map[string]any{"fam": []string{"test"}} }

// sign makes the compact serialization (RFC 7515 §7.1). A claim that is nil is left out.
func sign(k *keyring.Keyring, alg, typ string, claims map[string]any) (string, error) {
	key, err := k.Signing(alg)
	if err != nil {
		return "", fmt.Errorf("policy test: %w", err)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	header := map[string]string{"alg": alg, "kid": key.ID, "typ": typ}
	if typ == "" {
		delete(header, "typ")
	}
	head, err := plainJSON(header)
	if err != nil {
		return "", err
	}
	payload, err := plainJSON(claims)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	input := b64.EncodeToString(head) + "." + b64.EncodeToString(payload)
	signature, err := key.AppendSignature(nil, []byte(input))
	if err != nil {
		return "", fmt.Errorf("policy test: %w", err)
	}
	return input + "." + b64.EncodeToString(signature), nil
}

// plainJSON writes a value as issuers do: names in order, and & for &.
func plainJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("policy test: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// mint makes the token of an authority and reads what it says. The error is an *oauth.Error where the broker would refuse, too.
func (s *Signer) mint(a policy.Authority) (map[string]any, error) {
	draft, err := s.minter.Prepare(a)
	if err != nil {
		return nil, oauth.AsError(err)
	}
	minted, err := draft.Sign()
	if err != nil {
		return nil, oauth.AsError(err)
	}
	return payload(minted.Raw)
}
