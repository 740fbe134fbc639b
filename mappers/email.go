package mappers

import (
	"maps"
	"strings"
)

const (
	claimEmail         = "email"
	claimEmailVerified = "email_verified"
)

// emailRule says for which addresses an upstream may vouch.
type emailRule struct {
	any     bool
	domains []string // lower-case, ASCII
}

func newEmailRule(o Options, bad func(path, format string, args ...any)) emailRule {
	r := emailRule{any: o.EmailAny || o.Client}
	for i, domain := range o.EmailDomains {
		if !validDomain(domain) {
			bad(indexed("email_domains", i), "want a domain name in ASCII (xn--… for others), got %q", domain)
		}
		r.domains = append(r.domains, strings.ToLower(domain))
	}
	return r
}

func validDomain(domain string) bool {
	if domain == "" || len(domain) > 253 || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, "..") {
		return false
	}
	for i := range len(domain) {
		c := lowerASCII(domain[i])
		if (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// vouches says whether the upstream may vouch for the address: exactly one "@", and a domain that is one of its own, byte for byte but for
// ASCII case. Anything that another reader could take for another address (a second "@", a space, a domain beyond ASCII) is not vouched for.
func (r emailRule) vouches(address string) bool {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || !validDomain(domain) || strings.ContainsFunc(local, func(c rune) bool { return c <= ' ' || c == 0x7F }) {
		return false
	}
	if r.any {
		return true
	}
	for _, d := range r.domains {
		if equalASCIIFold(d, domain) {
			return true
		}
	}
	return false
}

// view returns the claims as mappers and expressions must see them: email_verified enforced and a bool, email absent unless verified.
// It returns the claims themselves where that is how they are.
func (r emailRule) view(claims Claims) Claims {
	address, hasAddress := claims[claimEmail]
	said, hasSaid := claims[claimEmailVerified]
	if !hasAddress && !hasSaid {
		return claims
	}
	t, isText := address.(string)
	told, _ := boolean(said)
	verified := told == true && isText && r.vouches(t)
	if verified && said == true {
		return claims
	}
	v := maps.Clone(claims)
	v[claimEmailVerified] = verified
	if !verified {
		delete(v, claimEmail)
	}
	return v
}

// settle holds what a step made of the two claims to the rule: a mapper may take verification away and never give it, and what the
// upstream verified is its own address, not the one that a mapper puts in its place.
func (emailRule) settle(view, out Claims) {
	verified := view[claimEmailVerified] == true
	if made, ok := out[claimEmailVerified]; ok {
		b, _ := boolean(made)
		verified = verified && b == true
	}
	if made, ok := out[claimEmail]; ok {
		m, isText := made.(string)
		theirs, _ := view[claimEmail].(string)
		verified = verified && isText && m == theirs
	}
	out[claimEmailVerified] = verified
}
