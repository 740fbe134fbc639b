package presets_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
	"fedbroker/upstreams/presets"
	"fedbroker/upstreams/upstreamtest"
)

const gatewaySecret = "the-secret-of-gateway"

// unwritten is a journal that keeps nothing.
type unwritten struct{}

func (unwritten) Append(context.Context, []byte) (journal.Position, error) {
	return journal.Position{}, nil
}
func (unwritten) Queue([]byte) error { return nil }
func (unwritten) Err() error         { return nil }

// configured is a broker's configuration with one upstream of the preset, which is written as briefly as it can be, and one rule on it.
func configured(t *testing.T, g golden, when string) broker.Config {
	t.Helper()
	claims := g.claims(t, nil)
	spec := upstreams.Spec{Name: g.preset, Kind: g.found(t).Kind, Preset: g.preset}
	if g.found(t).Issuer+g.found(t).IssuerPattern == "" {
		spec.Issuer = claims["iss"].(string)
	}
	if spec.Kind == "oidc" {
		spec.ClientID, spec.ClientSecret = "broker-at-"+g.preset, "a-secret"
	}
	audience, one := claims["aud"].(string)
	if !one {
		audience = claims["aud"].([]any)[0].(string)
	}
	spec.Audiences = []upstreams.Audience{{Value: audience, Requesters: []string{"gateway"}}}
	if azp, other := claims["azp"].(string); other {
		spec.AuthorizedParties = []string{azp}
	}
	sum := sha256.Sum256([]byte(gatewaySecret))
	return broker.Config{
		Issuer:    "https://login.test",
		Upstreams: []broker.UpstreamSpec{{Spec: spec}},
		Clients:   []clients.Spec{{ID: "gateway", SecretSHA256: hex.EncodeToString(sum[:]), GrantTypes: []string{"token-exchange"}}},
		Exchange: []rules.Spec{{
			ID: "golden", Subject: &rules.SubjectSpec{Upstream: g.preset, When: when},
			Requester: &rules.RequesterSpec{Clients: []string{"gateway"}}, Grant: &rules.GrantSpec{Audiences: []string{"orders"}},
		}},
	}
}

// problems are the paths that Check reports.
func problems(c broker.Config) (paths []string) {
	broker.Check(c, func(path, _ string, _ ...any) { paths = append(paths, path) }, nil)
	return paths
}

func TestP29_SharedPresetsWantAnOwner(t *testing.T) {
	for _, g := range goldens {
		preset := g.found(t)
		if bad := problems(configured(t, g, g.pin)); bad != nil {
			t.Errorf("%s, %s: %v", g.preset, g.pin, bad)
		}
		var want []string
		if preset.Shared {
			want = []string{"exchange[0].subject.when"}
		}
		for _, when := range []string{"", `claims.sub.startsWith("x")`, `claims.aud == "x"`} {
			if bad := problems(configured(t, g, when)); !slices.Equal(bad, want) {
				t.Errorf("%s, %q: %v, want %v", g.preset, when, bad, want)
			}
		}
		for _, owner := range preset.OwnerClaims {
			pin := `claims["` + owner + `"] == "x"`
			if bad := problems(configured(t, g, pin)); bad != nil {
				t.Errorf("%s, %s: %v", g.preset, pin, bad)
			}
		}
	}
}

func TestP28_PresetsOfManyTenantsWantTheIssuerOfOne(t *testing.T) {
	for _, g := range goldens {
		c := configured(t, g, g.pin)
		own := c.Upstreams[0].Issuer != ""
		c.Upstreams[0].Issuer = ""
		if bad := problems(c); own != slices.Equal(bad, []string{"upstreams[0].issuer"}) || !own && bad != nil {
			t.Errorf("%s without issuer: %v", g.preset, bad)
		}
	}
}

// TestDocumentedRulesLoad takes the conditions that docs/presets.md shows: each preset has one, and it loads.
func TestDocumentedRulesLoad(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "presets.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## A rule for each")
	section, _, _ = strings.Cut(section, "## Worth knowing")
	shown := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| `(.+)` \\|$").FindAllStringSubmatch(section, -1) {
		shown[row[1]] = row[2]
	}
	for _, g := range goldens {
		if shown[g.preset] == "" {
			t.Errorf("%s: no rule is shown", g.preset)
		} else if bad := problems(configured(t, g, shown[g.preset])); bad != nil {
			t.Errorf("%s, %s: %v", g.preset, shown[g.preset], bad)
		}
	}
}

func TestPresetsFitOneKind(t *testing.T) {
	for _, g := range goldens {
		c := configured(t, g, g.pin)
		c.Upstreams[0].Kind = map[string]string{"jwt": "oidc", "oidc": "jwt"}[c.Upstreams[0].Kind]
		if bad := problems(c); !slices.Contains(bad, "upstreams[0].preset") {
			t.Errorf("%s as kind %s: %v", g.preset, c.Upstreams[0].Kind, bad)
		}
	}
}

// house is a broker whose one upstream has a golden token's preset and the keys of an IdP.
type house struct {
	*broker.Broker
	idp *upstreamtest.IdP
}

func newHouse(t *testing.T, idp *upstreamtest.IdP, g golden) house {
	t.Helper()
	c := configured(t, g, g.pin)
	c.Upstreams[0].JWKSURI, c.Upstreams[0].AllowPrivate = idp.JWKSURI(), []string{"127.0.0.1"}
	if g.found(t).IssuerPattern != "" { // whose issuers have no keys that a test could make
		c.Upstreams[0].Issuer = g.claims(t, nil)["iss"].(string)
	}
	engine, err := engines.Open("memory", engines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	sealer, err := store.NewSealer([]store.SealKey{{ID: "seal", Key: sha256.Sum256([]byte("seal"))}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(t.Context(), broker.Options{Config: c, Engine: engine, Journal: unwritten{}, Sealing: sealer})
	if err != nil {
		t.Fatal(err)
	}
	return house{b, idp}
}

// exchange swaps a token with this payload, issued now, and returns the sub of what comes of it.
func (h house) exchange(t *testing.T, payload []byte) (sub string, err error) {
	t.Helper()
	response, err := h.Token(t.Context(), &oauth.TokenRequest{
		DecisionID: rand.Text(), GrantType: oauth.GrantTokenExchange, Peer: netip.MustParseAddr("192.0.2.1"),
		Credentials: oauth.Credentials{Method: oauth.AuthSecretBasic, ClientID: "gateway", Secret: gatewaySecret},
		Form: oauth.Form{
			"grant_type": {oauth.GrantTokenExchange}, "subject_token": {h.idp.Sign(nil, upstreamtest.Raw(string(issuedNow(t, payload))))},
			"subject_token_type": {oauth.TypeJWT}, "audience": {"orders"},
		},
	})
	if err != nil {
		return "", err
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(response.AccessToken, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var issued struct{ Sub string }
	if err := json.Unmarshal(body, &issued); err != nil {
		t.Fatal(err)
	}
	return issued.Sub, nil
}

// issuedNow moves all times of the token, so that it is issued now.
func issuedNow(t *testing.T, payload []byte) []byte {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	issued := claims["iat"].(float64)
	moved := with{}
	for _, name := range []string{"iat", "nbf", "exp", "auth_time"} {
		if at, ok := claims[name].(float64); ok {
			moved[name] = time.Now().Unix() + int64(at-issued)
		}
	}
	return changed(t, payload, moved)
}

// TestP2_GoldenTokensAreExchanged takes each golden token through a whole broker: our sub is made of the ids that the preset names, a hostile variant gets nothing, and
// so does another owner.
func TestP2_GoldenTokensAreExchanged(t *testing.T) {
	idp := upstreamtest.Must(upstreamtest.Options{Algorithms: []string{"RS256"}})
	t.Cleanup(idp.Close)
	for _, g := range goldens {
		t.Run(g.file, func(t *testing.T) {
			h := newHouse(t, idp, g)
			if sub, err := h.exchange(t, g.text(t)); err != nil || sub != g.preset+"|"+g.subject {
				t.Errorf("sub %q, %v, want %s|%s", sub, err, g.preset, g.subject)
			}
			for what, changes := range g.hostile {
				sub, err := h.exchange(t, changed(t, g.text(t), changes))
				if denial, ok := errors.AsType[*oauth.Error](err); !ok || denial.Code != oauth.CodeInvalidRequest {
					t.Errorf("%s: sub %q, %v", what, sub, err)
				}
			}
		})
	}
}

func TestP29_AnotherOwnersTokenGetsNothing(t *testing.T) {
	idp := upstreamtest.Must(upstreamtest.Options{Algorithms: []string{"RS256"}})
	t.Cleanup(idp.Close)
	stranger := map[string]with{
		"buildkite": {"organization_id": "00000000-103e-4d28-97a1-3b8616a0994d"},
		"eks":       {"iss": "https://oidc.eks.eu-west-1.amazonaws.com/id/F9E8D7C6B5A4F9E8D7C6B5A4F9E8D7C6"},
		"entra-multitenant": {
			"tid": "6f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f", "iss": "https://login.microsoftonline.com/6f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f/v2.0",
		},
		"gke":             {"iss": "https://container.googleapis.com/v1/projects/stranger/locations/europe-west1/clusters/main"},
		"github-actions":  {"repository_owner_id": "999999"}, // repository, owner and sub by name are those of the golden token
		"gitlab":          {"namespace_id": "999"},
		"google":          {"hd": "stranger.example"},
		"terraform-cloud": {"terraform_organization_id": "org-stranger"},
	}
	for _, name := range presets.Names() {
		preset, _ := presets.Find(name)
		if !preset.Shared || preset.Kind == "oauth2" { // whose tokens nobody can exchange by what they say of themselves
			continue
		}
		g := goldens[slices.IndexFunc(goldens, func(g golden) bool { return g.preset == name })]
		if stranger[name] == nil {
			t.Errorf("%s: no stranger to try", name)
			continue
		}
		if sub, err := newHouse(t, idp, g).exchange(t, changed(t, g.text(t), stranger[name])); err == nil {
			t.Errorf("%s: a stranger became %s", name, sub)
		}
	}
}
