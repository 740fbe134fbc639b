package login

import (
	"slices"
	"strings"
)

// route is where a person without a fitting session goes: to an upstream, or to the chooser.
type route struct {
	upstream string  // "": the chooser
	wanted   string  // asked for by name or domain; "": nobody did
	byHint   bool    // login_hint's domain may tell: looked up only for who is not signed in
	choice   *Choice // the chooser
}

// possible are the upstreams at which people can sign in for the client.
func (v *visit) possible(a *asked) []Upstream {
	var out []Upstream
	for _, name := range v.Upstreams.Names() {
		if _, up, ok := v.Upstreams.Login(name); ok && a.client.Admits(name) {
			out = append(out, up)
		}
	}
	return out
}

// route chooses the upstream (P31). Nothing of it depends on whether a person exists: an address counts by its domain alone (P50).
func (v *visit) route(a *asked, possible []Upstream) (route, error) {
	r := route{choice: &Choice{ClientID: a.client.ID, Params: withoutChoice(a.params), Email: a.Email}}
	for _, up := range possible {
		r.choice.Upstreams = append(r.choice.Upstreams, Option{Name: up.Name, Display: up.Display})
	}
	if a.Choose {
		return r, nil
	}
	if slices.ContainsFunc(possible, func(up Upstream) bool { return up.Name == a.IDPHint }) && a.Email == "" {
		r.upstream, r.wanted = a.IDPHint, a.IDPHint
		return r, nil
	}
	if a.Email != "" {
		found, err := v.byDomain(a.Email, possible)
		if err != nil {
			return route{}, err
		}
		if r.upstream, r.wanted = found, found; found == "" {
			r.choice.Problem = ProblemDomain
		}
		return r, nil
	}
	if r.byHint = len(possible) > 1; !r.byHint {
		r.upstream = possible[0].Name
	}
	return r, nil
}

// byDomain finds the upstream that claims an address' domain. Each look-up counts against its sender: who may ask without end learns every
// partner.
func (v *visit) byDomain(address string, possible []Upstream) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 {
		return "", nil
	}
	if err := v.limited(v.Limits.Anonymous); err != nil {
		return "", err
	}
	domain := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(address[at+1:]), "."))
	for _, up := range possible {
		if slices.ContainsFunc(up.Domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
			return up.Name, nil
		}
	}
	return "", nil
}

// withoutChoice leaves out what the person is about to choose.
func withoutChoice(params [][2]string) [][2]string {
	return slices.DeleteFunc(slices.Clone(params), func(p [2]string) bool { return p[0] == "idp_hint" })
}
