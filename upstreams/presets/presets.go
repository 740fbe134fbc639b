// Package presets knows what is true of well-known issuers: where they are, how they sign, what their claims are called and typed, and
// which of them name an owner that can't be taken over.
package presets

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// The types of claims that a preset declares.
const (
	TypeBool       = "bool"
	TypeInt        = "int"
	TypeDouble     = "double"
	TypeString     = "string"
	TypeStringList = "strings"
	TypeMap        = "map"
)

// Preset is what is known of one issuer, or of one kind of software that issues.
type Preset struct {
	Name   string
	Kind   string // the kind of upstream that it is for
	Issuer string // empty: each installation has its own
	// IssuerPattern is the form of the issuers of all installations, which serve everyone; beside it there is no Issuer.
	IssuerPattern string
	Algorithms    []string          // that it signs with
	Subject       []string          // claims that make the subject; empty: sub
	ClaimTypes    map[string]string // type of each claim that is not registered in RFC 7519
	OwnerClaims   []string          // claims with immutable ids of an owner
	Shared        bool              // everyone can have tokens of Issuer: rules must pin an owner
	SharedHosts   []string          // that issue for everyone, beside Issuer's
	Conditions    []Condition       // that each of its tokens must meet before it is mapped

	// Of Issuer's logins, where no discovery document says it.
	Endpoints       Endpoints
	AuthMethod      string            // how clients authenticate there
	CredentialHosts []string          // beside Issuer's
	Scopes          []string          // to ask for
	Standard        map[string]string // claim of OpenID Connect Core §5.1 → what Issuer calls it
}

// Endpoints are where an OAuth 2.0 provider is asked.
type Endpoints struct{ Authorization, Token, UserInfo, Emails string }

// Condition is a CEL expression over claims, and what to tell the operator when it does not hold.
type Condition struct {
	Expression string
	Message    string
}

// SharedAt says whether everyone can have tokens of issuer. Software that shares its public instance only, such as GitLab, is
// not shared where it is run by oneself.
func (p Preset) SharedAt(issuer string) bool {
	if !p.Shared {
		return false
	}
	ours, err := url.Parse(p.Issuer)
	if err != nil {
		return true
	}
	theirs, err := url.Parse(issuer)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(slices.Concat(p.SharedHosts, []string{ours.Hostname()}), func(host string) bool {
		return strings.EqualFold(theirs.Hostname(), host)
	})
}

// table is every preset by its name: a new one is a file and a line here.
var table = map[string]func() Preset{
	"buildkite":         buildkite,
	"circleci":          circleci,
	"eks":               eks,
	"entra":             entra,
	"entra-multitenant": entraMultitenant,
	"github":            github,
	"github-actions":    githubActions,
	"gitlab":            gitlab,
	"gke":               gke,
	"google":            google,
	"kubernetes":        kubernetes,
	"okta":              okta,
	"spiffe":            spiffe,
	"terraform-cloud":   terraformCloud,
}

// Find returns the preset called name. It is the caller's own.
func Find(name string) (Preset, bool) {
	build, ok := table[name]
	if !ok {
		return Preset{}, false
	}
	p := build()
	p.Name = name
	return p, true
}

// Names lists all presets in order.
func Names() []string { return slices.Sorted(maps.Keys(table)) }

// typed gives every name the type.
func typed(types map[string]string, typ string, names ...string) {
	for _, n := range names {
		types[n] = typ
	}
}

// person types the claims of people that OpenID Connect Core §2 and §5.1 define.
func person() map[string]string {
	types := map[string]string{"auth_time": TypeInt, "updated_at": TypeInt, "email_verified": TypeBool, "amr": TypeStringList}
	typed(types, TypeString,
		"acr", "at_hash", "azp", "c_hash", "email", "family_name", "given_name", "locale", "middle_name", "name", "nickname", "nonce", "picture",
		"preferred_username", "profile", "sid", "zoneinfo",
	)
	return types
}
