package upstreams

import (
	"slices"

	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/spec"
)

// judgePairs reports what upstreams can't have in common. Only those are compared that have something in common: among ten thousand partners that is next to
// nobody.
func judgePairs(specs []Spec, s *Set, bad func(path, format string, args ...any)) {
	domains, met := map[string]int{}, meetings{first: map[meeting][]int{}}
	for i := range specs {
		for k, d := range specs[i].Domains {
			if first, taken := domains[d]; taken && first != i {
				bad(spec.At(spec.At("upstreams", i)+".domains", k), "want a domain of one upstream, got %q of upstreams[%d]", d, first)
			} else {
				domains[d] = i
			}
		}
		for _, k := range met.with(i, s.byName[specs[i].Name]) {
			if specs[k].Name != specs[i].Name { // else that is the problem
				judgePair(specs, s, k, i, bad)
				judgeKeyFile(specs, k, i, bad)
				judgeTokenEndpoint(s, specs[k].Name, specs[i].Name, spec.At("upstreams", i), bad)
			}
		}
	}
}

// meeting is something by which two upstreams may be in each other's way: an audience at an issuer, a key file, or a token endpoint; the rest is empty.
type meeting struct{ issuer, audience, keyFile, endpoint string }

// meetings are the upstreams so far, by what others may have in common with them.
type meetings struct {
	first    map[meeting][]int
	patterns []int // of issuers: they may overlap with anything
	all      []int
}

// with returns those before i that have something in common with it, in their order, and remembers i.
func (m *meetings) with(i int, u *member) []int {
	found := slices.Clone(m.patterns)
	if u.spec.IssuerPattern != "" && len(u.spec.Issuers) == 0 {
		found = slices.Clone(m.all)
		m.patterns = append(m.patterns, i)
	}
	for _, place := range places(u.spec) {
		found = append(found, m.first[place]...)
		m.first[place] = append(m.first[place], i)
	}
	m.all = append(m.all, i)
	slices.Sort(found)
	return slices.DeleteFunc(slices.Compact(found), func(k int) bool { return k == i })
}

// places are all that an upstream has which it may have in common with another.
func places(u Spec) (all []meeting) {
	audiences := []string{u.LoginAudience()}
	for _, a := range u.Audiences {
		audiences = append(audiences, a.Value)
	}
	for _, issuer := range u.SpeaksFor() {
		for _, audience := range audiences {
			all = append(all, meeting{issuer: issuer, audience: audience})
		}
	}
	if u.PrivateKeyFile != "" {
		all = append(all, meeting{keyFile: u.PrivateKeyFile})
	}
	if u.TokenEndpoint != "" {
		all = append(all, meeting{endpoint: rp.NormalEndpoint(u.TokenEndpoint)})
	}
	return all
}

// judgeKeyFile reports a private key that two upstreams would share: what proves us to one must prove nothing to another (P37).
func judgeKeyFile(specs []Spec, first, second int, bad func(path, format string, args ...any)) {
	if file := specs[second].PrivateKeyFile; file != "" && file == specs[first].PrivateKeyFile {
		bad(spec.At("upstreams", second)+".private_key_file", "want a key of its own, not that of upstreams[%d]", first)
	}
}

// judgeTokenEndpoint reports one that the configuration gives to two issuers (P37). What discovery says is judged at each login.
func judgeTokenEndpoint(s *Set, first, second, path string, bad func(path, format string, args ...any)) {
	a, b := s.byName[first], s.byName[second]
	if a.Issuer != b.Issuer && rp.SameEndpoint(a.spec.TokenEndpoint, b.spec.TokenEndpoint) {
		bad(path+".token_endpoint", "want one of its own, not that of upstream %s, which has another issuer", first)
	}
}

// judgePair reports audiences by which two upstreams of one issuer could be taken for each other (P10), or a login for an exchange (P11).
func judgePair(specs []Spec, s *Set, first, second int, bad func(path, format string, args ...any)) {
	a, b := s.byName[specs[first].Name], s.byName[specs[second].Name]
	if !canShareIssuer(a.spec, b.spec) {
		return
	}
	for i, audience := range specs[second].Audiences {
		path := spec.At(spec.At("upstreams", second)+".audiences", i)
		if a.Exchanges(audience.Value) {
			bad(path, "want an audience that upstreams[%d], which can have the same issuer, does not have, got %q", first, audience.Value)
		}
		if audience.Value != "" && audience.Value == a.LoginAudience {
			bad(path, "want another value than client_id of upstreams[%d], which has the same issuer", first)
		}
	}
	for i, audience := range specs[first].Audiences {
		if audience.Value != "" && audience.Value == b.LoginAudience {
			bad(spec.At(spec.At("upstreams", first)+".audiences", i), "want another value than client_id of upstreams[%d], which has the same issuer", second)
		}
	}
}

func canShareIssuer(a, b Spec) bool {
	for _, x := range a.SpeaksFor() {
		for _, y := range b.SpeaksFor() {
			if x != "" && spec.Overlap(x, y) {
				return true
			}
		}
	}
	return false
}
