package presets_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/presets"
)

// with is what to change in a golden claim set: another value, or none where it is nil.
type with map[string]any

// golden is the claim set of a token as a real issuer sends it, in testdata: its form, with ids and names of nobody.
type golden struct {
	file, preset string
	pin          string          // condition of a rule that pins an owner
	subject      string          // what follows the upstream's name in our sub (P2)
	hostile      map[string]with // what makes it a token that the preset's conditions refuse, by what is wrong with it
}

// goldens are all of them. Each comment names where the form is from.
var goldens = []golden{
	// GitHub Docs, "OpenID Connect reference", with the sub of repositories from before 15 July 2026.
	{file: "github-actions.json", preset: "github-actions", pin: `claims.repository_owner_id == "123456"`,
		subject: "repo:octo-org/octo-repo:ref:refs/heads/main", hostile: map[string]with{
			"no repository_id": {"repository_id": nil}, "empty owner id": {"repository_owner_id": ""}, "owner id that is a number": {"repository_owner_id": 123456},
		}},
	// The same, section "Immutable subject claims".
	{file: "github-actions-immutable.json", preset: "github-actions", pin: `claims.repository_owner_id == "123456"`,
		subject: "repo:octo-org@123456/octo-repo@456789:environment:production", hostile: map[string]with{"no owner id": {"repository_owner_id": nil}}},
	// GitLab Docs, "OpenID Connect (OIDC) Authentication Using ID Tokens", "Token payload".
	{file: "gitlab.json", preset: "gitlab", pin: `claims.namespace_id in ["72", "73"]`,
		subject: "project_path:my-group/my-project:ref_type:branch:ref:main", hostile: map[string]with{
			"no project_id": {"project_id": nil}, "empty namespace_id": {"namespace_id": ""}, "project_id that is a number": {"project_id": 20},
		}},
	// Kubernetes Docs, "Managing Service Accounts", "Schema for service account private claims".
	{file: "kubernetes.json", preset: "kubernetes", pin: `claims["kubernetes.io"].namespace == "payments"`,
		subject: "system:serviceaccount:payments:orders", hostile: map[string]with{
			"a token from a secret":         {"kubernetes.io": nil, "kubernetes.io/serviceaccount/namespace": "payments"},
			"another account than it names": {"sub": "system:serviceaccount:kube-system:admin"},
			"another one of the namespace": {"kubernetes.io": map[string]any{
				"namespace": "payments", "serviceaccount": map[string]any{"name": "refunds", "uid": "24ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
			}},
			"a node": {"sub": "system:node:node-1"},
		}},
	// Amazon EKS Docs, "Learn how EKS Pod Identity grants pods access to AWS services" and "IAM roles for service accounts": a cluster's token with its issuer.
	{file: "eks.json", preset: "eks", pin: `claims.iss == "https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9"`,
		subject: "system:serviceaccount:payments:orders", hostile: map[string]with{
			"another account than it names": {"sub": "system:serviceaccount:kube-system:admin"}, "a node": {"sub": "system:node:node-1"},
		}},
	// Google Kubernetes Engine Docs, "Authenticate to Google Cloud APIs from GKE workloads": a cluster's token with its issuer.
	{file: "gke.json", preset: "gke", pin: `claims.iss in ["https://container.googleapis.com/v1/projects/partner-orders/locations/europe-west1/clusters/main"]`,
		subject: "system:serviceaccount:payments:orders", hostile: map[string]with{
			"another account than it names": {"sub": "system:serviceaccount:kube-system:admin"}, "a node": {"sub": "system:node:node-1"},
		}},
	// Microsoft Learn, "Access token claims reference", version 2.0, of an application.
	{file: "entra-multitenant.json", preset: "entra-multitenant", pin: `claims.tid == "5f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f"`,
		subject: "5f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f/0b1c2d3e-4f5a-4b6c-9d7e-8f9a0b1c2d3e", hostile: map[string]with{
			"a private account": {
				"tid": "9188040d-6c67-4c5b-b112-36a304b66dad", "iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
			},
			"another tenant": {"tid": "6f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f"}, "no tenant": {"tid": nil}, "an empty tenant": {"tid": ""},
		}},
	// Buildkite Docs, "buildkite-agent oidc", with jti and null as in rubygems/rubygems.org#5412, and both optional ids.
	{file: "buildkite.json", preset: "buildkite", pin: `claims.organization_id == "f892efa9-103e-4d28-97a1-3b8616a0994d"`,
		subject: "f892efa9-103e-4d28-97a1-3b8616a0994d/0184990a-4782-42b5-afc1-16715b10b1f0", hostile: map[string]with{
			"ids not asked for": {"organization_id": nil, "pipeline_id": nil}, "no pipeline_id": {"pipeline_id": nil}, "an empty organization_id": {"organization_id": ""},
		}},
	// CircleCI Docs, "Using OpenID Connect tokens in jobs", CIRCLE_OIDC_TOKEN, with an audience of one's own.
	{file: "circleci.json", preset: "circleci", pin: `claims["oidc.circleci.com/project-id"] == "3c7f0a52-6f4e-4f53-8f0a-91f7d7a6a0b1"`,
		subject: "3c7f0a52-6f4e-4f53-8f0a-91f7d7a6a0b1", hostile: map[string]with{
			"a shell in the job":            {"oidc.circleci.com/ssh-rerun": true},
			"ssh-rerun that is text":        {"oidc.circleci.com/ssh-rerun": "false"},
			"another project than it names": {"oidc.circleci.com/project-id": "4d8f0a52-6f4e-4f53-8f0a-91f7d7a6a0b1"},
			"no project":                    {"oidc.circleci.com/project-id": nil},
		}},
	// The same, CIRCLE_OIDC_TOKEN_V2.
	{file: "circleci-v2.json", preset: "circleci", pin: `claims["oidc.circleci.com/vcs-origin"] == "github.com/organization-123/repo-1"`,
		subject: "3c7f0a52-6f4e-4f53-8f0a-91f7d7a6a0b1", hostile: map[string]with{"a shell in the job": {"oidc.circleci.com/ssh-rerun": true}}},
	// HashiCorp Developer, "Workload identity", "Token specification".
	{file: "terraform-cloud.json", preset: "terraform-cloud", pin: `claims.terraform_organization_id == "org-GRNbCjYNpBB6NEBH" && claims.terraform_run_phase == "apply"`,
		subject: "org-GRNbCjYNpBB6NEBH/ws-mbsd5E3Ktt5Rg2Xm/apply", hostile: map[string]with{
			"a plan that says apply": {"sub": "organization:my-org:project:Default Project:workspace:my-workspace:run_phase:plan"},
			"a stack's":              {"terraform_workspace_id": nil, "terraform_stack_id": "st-mbsd5E3Ktt5Rg2Xm"},
			"a name for an id":       {"terraform_organization_id": "my-org"},
		}},
	// Google Identity, "OpenID Connect", "An ID token's payload".
	{file: "google.json", preset: "google", pin: `claims.hd == "partner.example"`,
		subject: "110169484474386276334", hostile: map[string]with{
			"a private account":           {"hd": nil, "email": "sample.person@gmail.com"},
			"a service account of anyone": {"hd": nil, "email": "x@project.iam.gserviceaccount.com", "name": nil},
			"empty hd":                    {"hd": ""},
		}},
	// Microsoft Learn, "ID token claims reference", version 2.0.
	{file: "entra.json", preset: "entra", pin: `"Orders.Reader" in claims.roles`,
		subject: "5f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f/0b1c2d3e-4f5a-4b6c-9d7e-8f9a0b1c2d3e", hostile: map[string]with{
			"a private account": {
				"tid": "9188040d-6c67-4c5b-b112-36a304b66dad", "iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
			},
			"another tenant":    {"tid": "6f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f"},
			"no tenant":         {"tid": nil},
			"an empty tenant":   {"tid": ""},
			"no object":         {"oid": nil},
			"an application":    {"sub": "0b1c2d3e-4f5a-4b6c-9d7e-8f9a0b1c2d3e"},
			"one that says so":  {"idtyp": "app"},
			"a device's, maybe": {"idtyp": "device"},
		}},
	// Okta Developer, "OpenID Connect & OAuth 2.0 API", "ID token payload".
	{file: "okta.json", preset: "okta", pin: `"Orders" in claims.groups`, subject: "00uid4BxXw6I6TV4m0g3", hostile: map[string]with{
		"an access token whose subject is a login": {"cid": "0oabkvBLDEKCNXBGYUAS", "uid": "00uid4BxXw6I6TV4m0g3", "sub": "sample.person@partner.example"},
	}},
	// The same, "Access token payload", of a custom authorization server whose sub is user.id.
	{file: "okta-access-token.json", preset: "okta", pin: `"openid" in claims.scp`, subject: "00uid4BxXw6I6TV4m0g3", hostile: map[string]with{
		"the default subject, a login": {"sub": "sample.person@partner.example"},
		"an application":               {"sub": "0oabkvBLDEKCNXBGYUAS", "uid": nil},
	}},
	// SPIFFE, "The JWT SPIFFE Verifiable Identity Document", with iss and iat as SPIRE sends them.
	{file: "spiffe.json", preset: "spiffe", pin: `claims.sub.startsWith("spiffe://partner.example/ns/payments/")`,
		subject: "spiffe://partner.example/ns/payments/sa/orders", hostile: map[string]with{
			"no SPIFFE ID":          {"sub": "orders"},
			"the trust domain":      {"sub": "spiffe://partner.example"},
			"a path that climbs":    {"sub": "spiffe://partner.example/ns/payments/../admin"},
			"an empty part":         {"sub": "spiffe://partner.example/ns//orders"},
			"a trust domain's port": {"sub": "spiffe://partner.example:443/ns/payments"},
			"two audiences":         {"aud": []string{"https://login.example.com", "https://other.example"}},
		}},
}

// profiles are what the userinfo endpoint of a provider without ID tokens answers. They are taken through a whole broker by its logins' tests.
var profiles = []golden{
	// GitHub Docs, "REST API endpoints for users", "Get the authenticated user", with public and private profile information.
	{file: "github.json", preset: "github", subject: "583231", hostile: map[string]with{
		"an organisation": {"type": "Organization"}, "a bot": {"type": "Bot"}, "nobody says what": {"type": nil},
	}},
}

// everyGolden are tokens and profiles.
func everyGolden() []golden { return slices.Concat(goldens, profiles) }

// dropped are members of real profiles that do not become claims.
var dropped = map[string][]string{"github": {"updated_at"}}

// registered are claims that a preset need not declare: RFC 7519 §4.1 types them.
var registered = []string{"aud", "exp", "iat", "iss", "jti", "nbf", "sub"}

// untyped are claims of real tokens that no single type describes.
var untyped = map[string][]string{"gitlab": {"user_identities"}}

// nullable are claims that a real token holds as null where there is nothing to say. Expressions that read them then have no result.
var nullable = map[string][]string{
	"buildkite": {"build_tag", "step_key"}, "github": {"bio", "company", "email", "hireable", "twitter_username"},
}

var exprTypes = map[string]expr.Type{
	presets.TypeBool: expr.Bool, presets.TypeInt: expr.Int, presets.TypeDouble: expr.Double, presets.TypeString: expr.String,
	presets.TypeStringList: expr.StringList, presets.TypeMap: expr.Map,
}

// text is the claim set as it stands in the file.
func (g golden) text(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", g.file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims parses what is in the file, with changes, as the payload of a token is parsed: strictly (P14).
func (g golden) claims(t *testing.T, changes with) map[string]any {
	t.Helper()
	payload := g.text(t)
	if changes != nil {
		payload = changed(t, payload, changes)
	}
	encode := base64.RawURLEncoding.EncodeToString
	token, err := jose.Parse(encode([]byte(`{"alg":"RS256","kid":"k","typ":"JWT"}`)) + "." + encode(payload) + "." + encode([]byte("unsigned")))
	if err != nil {
		t.Fatalf("%s: %v", g.file, err)
	}
	var members map[string]any
	if err := json.Unmarshal(payload, &members); err != nil {
		t.Fatal(err)
	}
	for name := range members {
		members[name] = token.UnverifiedClaims().Value(name)
	}
	return members
}

func changed(t *testing.T, payload []byte, changes with) []byte {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (g golden) found(t *testing.T) presets.Preset {
	t.Helper()
	p, ok := presets.Find(g.preset)
	if !ok || p.Name != g.preset {
		t.Fatalf("no preset %s", g.preset)
	}
	return p
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return presets.TypeBool
	case int64:
		return presets.TypeInt
	case string:
		return presets.TypeString
	case map[string]any:
		return presets.TypeMap
	case []any:
		if slices.ContainsFunc(v, func(e any) bool { _, is := e.(string); return !is }) {
			return "list"
		}
		return presets.TypeStringList
	}
	return "?"
}

// refusedBy returns the messages of the conditions that do not hold for the claims.
func refusedBy(t *testing.T, p presets.Preset, claims map[string]any) (messages []string) {
	t.Helper()
	types := map[string]expr.Type{}
	for claim, typ := range p.ClaimTypes {
		types[claim] = exprTypes[typ]
	}
	activation, err := expr.NewActivation(expr.Input{Claims: claims, Principal: map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Conditions {
		program, err := expr.Compile(c.Expression, expr.Options{Vars: expr.Claims, ClaimTypes: mappers.ViewTypes(types)})
		if err != nil {
			t.Fatalf("%s: %v", c.Expression, err)
		}
		if holds, err := program.Holds(activation); err != nil || !holds {
			messages = append(messages, c.Message)
		}
	}
	return messages
}

func TestEveryPresetHasAGoldenToken(t *testing.T) {
	for _, name := range presets.Names() {
		if !slices.ContainsFunc(everyGolden(), func(g golden) bool { return g.preset == name }) {
			t.Errorf("%s has none", name)
		}
	}
	for _, g := range everyGolden() {
		if len(g.hostile) == 0 {
			t.Errorf("%s has no hostile variant", g.file)
		}
	}
}

func TestGoldenTokensHaveTheDeclaredClaims(t *testing.T) {
	for _, g := range everyGolden() {
		t.Run(g.file, func(t *testing.T) {
			preset, claims := g.found(t), g.claims(t, nil)
			for claim, value := range claims {
				if slices.Contains(registered, claim) || slices.Contains(untyped[g.preset], claim) || slices.Contains(dropped[g.preset], claim) {
					continue
				}
				got := typeOf(value)
				if null := value == nil && slices.Contains(nullable[g.preset], claim); preset.ClaimTypes[claim] != got && !null {
					t.Errorf("%s: declared %q, sent %q", claim, preset.ClaimTypes[claim], got)
				}
			}
			if iss, signed := claims["iss"]; signed && preset.Issuer != "" && iss != preset.Issuer {
				t.Errorf("issuer %v", claims["iss"])
			}
		})
	}
}

func TestConditionsHoldForGoldenTokensAndForNoHostileOne(t *testing.T) {
	for _, g := range everyGolden() {
		preset := g.found(t)
		if refused := refusedBy(t, preset, g.claims(t, nil)); refused != nil {
			t.Errorf("%s: %v", g.file, refused)
		}
		for what, changes := range g.hostile {
			if refusedBy(t, preset, g.claims(t, changes)) == nil {
				t.Errorf("%s: %s is let through", g.file, what)
			}
		}
	}
}

func TestEachConditionRefusesWhatNoOtherDoes(t *testing.T) {
	for _, name := range presets.Names() {
		preset, _ := presets.Find(name)
		alone := map[string]bool{}
		for _, g := range everyGolden() {
			for _, changes := range g.hostile {
				if refused := refusedBy(t, preset, g.claims(t, changes)); g.preset == name && len(refused) == 1 {
					alone[refused[0]] = true
				}
			}
		}
		for _, c := range preset.Conditions {
			if !alone[c.Message] {
				t.Errorf("%s: nothing is refused by %q alone", name, c.Message)
			}
		}
	}
}
