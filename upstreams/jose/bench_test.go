package jose_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"fedbroker/upstreams/jose"
)

// githubPayload has the shape and size of a token of GitHub Actions.
const githubPayload = `{"jti":"6f3b2c1e-9d0a-4a52-8a38-8f0c1f7f9b11","sub":"repo:octo-org/octo-repo:environment:prod","environment":"prod",` +
	`"aud":"https://login.example.com","ref":"refs/heads/main","sha":"4f1d2c3b5a69788796a5b4c3d2e1f00112233445","repository":"octo-org/octo-repo",` +
	`"repository_owner":"octo-org","actor_id":"12","repository_visibility":"private","repository_id":"74","repository_owner_id":"65",` +
	`"run_id":"1234567890","run_number":"10","run_attempt":"2","runner_environment":"github-hosted","actor":"octocat","workflow":"example-workflow",` +
	`"head_ref":"","base_ref":"","event_name":"workflow_dispatch","ref_type":"branch",` +
	`"job_workflow_ref":"octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main","iss":"https://token.actions.githubusercontent.com",` +
	`"nbf":1800000000,"exp":1800000900,"iat":1800000300}`

// BenchmarkToken is everything that the hot path does with a token; BenchmarkBareES256 the signature alone. The difference is the
// price of this package.
func BenchmarkToken(b *testing.B) {
	raw := es256(githubPayload)
	keys := []jose.Key{must(jose.NewKey("k1", "", testKeys().p256.Public()))}
	algs := jose.DefaultAlgorithms()
	want := jose.NewSelection("repository_owner_id", "ref", "repository", "environment")
	b.ReportAllocs()
	for b.Loop() {
		u, err := jose.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		v, err := u.Verify(keys, algs)
		if err != nil {
			b.Fatal(err)
		}
		c, err := v.Claims(want)
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"exp", "iat", "nbf"} {
			if _, err := c.Time(name); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	raw := es256(githubPayload)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareES256(b *testing.B) {
	raw := es256(githubPayload)
	end := strings.LastIndexByte(raw, '.')
	digest := sha256.Sum256([]byte(raw[:end]))
	sig := must(base64.RawURLEncoding.DecodeString(raw[end+1:]))
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	for b.Loop() {
		if !ecdsa.Verify(&testKeys().p256.PublicKey, digest[:], r, s) {
			b.Fatal("bad signature")
		}
	}
}
