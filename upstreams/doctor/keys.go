package doctor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
)

const (
	usualExponent = 65537
	manyKeys      = 16             // more are a rotation that forgets its past
	longFresh     = 24 * time.Hour // what this broker holds to at most
	shortFresh    = time.Minute    // and at least
)

// keys fetches a key set and judges it. algorithms are those of the provider's that the broker accepts; nil: it says nothing of them.
func (x *examination) keys(ctx context.Context, uri string, algorithms []string) {
	a, ok := x.get(ctx, "key set", uri, jose.MaxKeySet)
	if !ok {
		return
	}
	x.freshness(a.header)
	x.keySet(a.body, algorithms)
}

// keysOfFile judges the keys that the configuration has in a file.
func (x *examination) keysOfFile(ctx context.Context) {
	x.unchecked("the network: jwks_file has the keys, and nothing is fetched")
	got, err := keys.FileSource(x.spec.JWKSFile)(ctx)
	if err != nil {
		x.add(findings.Fail, "keys.file", "jwks_file", err.Error())
		return
	}
	x.keySet(got.Set, nil)
}

// freshness judges for how long an answer may be used.
func (x *examination) freshness(h http.Header) {
	control := strings.Join(h.Values("Cache-Control"), ", ")
	fresh := keys.Freshness(h)
	switch {
	case fresh == 0:
		x.add(findings.Note, "keys.cache", "key set", or(control, "no Cache-Control"))
	case fresh <= shortFresh:
		x.add(findings.Note, "keys.cache_short", "key set", control)
	case fresh >= longFresh:
		x.add(findings.Warn, "keys.cache_long", "key set", control)
	default:
		x.add(findings.OK, "keys.cache", "key set", control)
	}
	x.check(h.Get("ETag") != "", findings.Note, "keys.etag", "key set", or(h.Get("ETag"), "no ETag"))
}

// entry is one entry of a key set, as it is written.
type entry struct {
	jose.Claims
	label string
}

func (e entry) text(name string) string {
	value, _ := e.String(name)
	return value
}

// keySet judges a key set: first as the broker reads it, then what is written there beside what the broker reads.
func (x *examination) keySet(set []byte, algorithms []string) {
	usable, skipped, err := jose.ParseKeySet(set)
	entries, whole := entriesOf(set)
	seen := fmt.Sprintf("%s, %d usable", several(len(entries)), len(usable))
	switch {
	case err != nil && len(skipped) == 0:
		x.add(findings.Fail, "keys.usable", "key set", err.Error())
		return
	case err != nil:
		x.add(findings.Fail, "keys.usable", "key set", seen)
	default:
		x.add(findings.OK, "keys.usable", "key set", seen)
	}
	if len(usable) > manyKeys {
		x.add(findings.Note, "keys.many", "key set", seen)
	}
	x.skipped(skipped, entries)
	if whole {
		x.secrets(entries)
	}
	x.hygiene(entries)
	x.identified(usable)
	x.strength(usable)
	if len(algorithms) > 0 && len(usable) > 0 {
		var fitting []string
		for _, alg := range algorithms {
			if slices.ContainsFunc(usable, func(k jose.Key) bool { return fits(k, alg) }) {
				fitting = append(fitting, alg)
			}
		}
		x.check(len(fitting) > 0, findings.Fail, "keys.algorithm", "key set", list("no key for "+strings.Join(algorithms, ", "), "keys for ", fitting))
	}
}

// entriesOf takes a set apart as ParseKeySet does. An entry that is no JSON object without repeated members is left out: the broker skips it, and says so.
func entriesOf(set []byte) (entries []entry, ok bool) {
	var outer map[string]json.RawMessage
	var raw []json.RawMessage
	if json.Unmarshal(set, &outer) != nil || json.Unmarshal(outer["keys"], &raw) != nil {
		return nil, false
	}
	for i, r := range raw {
		e := entry{label: fmt.Sprintf("keys[%d]", i)}
		if claims, err := jose.ParseClaims(r); err == nil {
			e.Claims = claims
			if kid := e.text("kid"); kid != "" {
				e.label += " " + kid
			}
		}
		entries = append(entries, e)
	}
	return entries, true
}

// skipped tells which keys verify nothing. Those for encryption are nobody's fault.
func (x *examination) skipped(skipped []error, entries []entry) {
	var odd, encrypting []string
	for _, err := range skipped {
		var i int
		if n, _ := fmt.Sscanf(err.Error(), "keys[%d]", &i); n == 1 && i < len(entries) && entries[i].text("use") == "enc" {
			encrypting = append(encrypting, entries[i].label)
			continue
		}
		odd = append(odd, err.Error())
	}
	if len(odd) > 0 {
		x.add(findings.Warn, "keys.skipped", several(len(odd)), strings.Join(odd, "; "))
	}
	if len(encrypting) > 0 {
		x.add(findings.Note, "keys.encryption", several(len(encrypting)), strings.Join(encrypting, ", "))
	}
}

// several counts keys.
func several(n int) string {
	if n == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", n)
}

// told adds one finding for all the keys that it is about.
func (x *examination) told(g findings.Grade, id string, labels []string) {
	if len(labels) > 0 {
		x.add(g, id, several(len(labels)), strings.Join(labels, ", "))
	}
}

// secrets looks for what must never be published.
func (x *examination) secrets(entries []entry) {
	var private, symmetric []string
	for _, e := range entries {
		switch {
		case e.text("kty") == "oct", e.Has("k"):
			symmetric = append(symmetric, e.label)
		case slices.ContainsFunc([]string{"d", "p", "q", "dp", "dq", "qi", "oth"}, e.Has):
			private = append(private, e.label)
		}
	}
	x.told(findings.Fail, "keys.private", private)
	x.told(findings.Fail, "keys.symmetric", symmetric)
	if len(private)+len(symmetric) == 0 {
		x.add(findings.OK, "keys.private", "key set", "public keys alone")
	}
}

// hygiene judges what is written of keys beside the keys.
func (x *examination) hygiene(entries []entry) {
	var useless, noAlg, both, foreign []string
	encrypts := slices.ContainsFunc(entries, func(e entry) bool { return e.text("use") == "enc" })
	for _, e := range entries {
		if !e.Has("kty") {
			continue // no key: told with the skipped
		}
		if encrypts && !e.Has("use") {
			useless = append(useless, e.label)
		}
		if !e.Has("alg") {
			noAlg = append(noAlg, e.label)
		}
		if e.Has("use") && e.Has("key_ops") {
			both = append(both, e.label)
		}
		if e.Has("x5c") && !certified(e) {
			foreign = append(foreign, e.label)
		}
	}
	x.told(findings.Warn, "keys.use", useless)
	x.told(findings.Note, "keys.alg", noAlg)
	x.told(findings.Note, "keys.use_and_ops", both)
	x.told(findings.Warn, "keys.x5c", foreign)
}

// certified says whether the first certificate of x5c is of the key beside it (RFC 7517 §4.7).
func certified(e entry) bool {
	chain, err := e.StringList("x5c")
	if err != nil || len(chain) == 0 {
		return false
	}
	der, err := base64.StdEncoding.DecodeString(chain[0])
	if err != nil {
		return false
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	is := func(name string, number []byte) bool {
		value, err := base64.RawURLEncoding.DecodeString(e.text(name))
		return err == nil && bytes.Equal(bytes.TrimLeft(value, "\x00"), bytes.TrimLeft(number, "\x00"))
	}
	switch public := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		return is("n", public.N.Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 0x04 ‖ x ‖ y
		return err == nil && is("x", point[1:1+len(point)/2]) && is("y", point[1+len(point)/2:])
	case ed25519.PublicKey:
		return is("x", public)
	}
	return false
}

// identified wants each usable key to be told from the others.
func (x *examination) identified(usable []jose.Key) {
	count := map[string]int{}
	for _, k := range usable {
		count[k.ID]++
	}
	if n := count[""]; n > 0 {
		g := findings.Note
		if len(usable) > 1 {
			g = findings.Warn
		}
		x.add(g, "keys.kid", "key set", fmt.Sprintf("%d of %s without kid", n, several(len(usable))))
	}
	var twice []string
	for _, k := range usable {
		if count[k.ID] > 1 && k.ID != "" && !slices.Contains(twice, k.ID) {
			twice = append(twice, k.ID)
		}
	}
	x.told(findings.Warn, "keys.kid_unique", twice)
	if len(usable) > 0 && count[""] == 0 && len(twice) == 0 {
		x.add(findings.OK, "keys.kid", "key set", "each key has its own kid")
	}
}

// strength judges keys that the broker takes. Those that are too weak are among the skipped.
func (x *examination) strength(usable []jose.Key) {
	var kinds, odd []string
	for _, k := range usable {
		kinds = append(kinds, kindOf(k))
		if public, ok := k.Public.(*rsa.PublicKey); ok && public.E < usualExponent {
			odd = append(odd, or(k.ID, "without kid"))
		}
	}
	slices.Sort(kinds)
	if len(kinds) > 0 {
		x.add(findings.OK, "keys.strength", "key set", strings.Join(slices.Compact(kinds), ", "))
	}
	x.told(findings.Warn, "keys.exponent", odd)
}

func kindOf(k jose.Key) string {
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", public.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + public.Params().Name
	}
	return "Ed25519"
}

// fits says whether a key can verify signatures of an algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
func fits(k jose.Key, alg string) bool {
	if k.Alg != "" && k.Alg != alg {
		return false
	}
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[public.Params().Name] == alg
	}
	return alg == "EdDSA" || alg == "Ed25519"
}
