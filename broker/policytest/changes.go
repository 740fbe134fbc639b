package policytest

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// Changes are what two configurations have differently.
type Changes struct {
	Rules     []Entry `json:"rules"`
	Upstreams []Entry `json:"upstreams"`
	Clients   []Entry `json:"clients"`
	Others    []Key   `json:"others"` // of what else decides
}

// Entry is one rule, upstream or client.
type Entry struct {
	Name   string   `json:"name"`   // id of a rule or client, name of an upstream
	Change string   `json:"change"` // one of the words below
	Keys   []Key    `json:"keys,omitempty"`
	Rules  []string `json:"rules,omitempty"` // of the new configuration, that stand on it
}

// The words for what became of an entry. A rule that moved is now before or after others than it was: which one decides may be another.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
	Moved   = "moved"
)

// Key is one value of a configuration, by its path.
type Key struct {
	Path string `json:"path"`
	Old  any    `json:"old,omitempty"` // absent: nil
	New  any    `json:"new,omitempty"`
}

// None tells whether there is no change at all.
func (c Changes) None() bool {
	return len(c.Rules)+len(c.Upstreams)+len(c.Clients)+len(c.Others) == 0
}

// Sections of a configuration.
const (
	sectionRules     = "exchange"
	sectionUpstreams = "upstreams"
	sectionClients   = "clients"
)

// deciding are the other sections that decisions and tokens stand on; where a broker listens and what it writes to are not among them.
var deciding = [...]string{"issuer", "leeway", "tokens", "scopes", "resource_servers", "dpop"}

// Between compares two configurations as YAML has them, every default written and every secret redacted.
func Between(was, is any) Changes {
	a, b := mapping(was), mapping(is)
	stand := standing(b[sectionRules])
	c := Changes{
		Rules:     entries(a[sectionRules], b[sectionRules], "id", nil, true),
		Upstreams: entries(a[sectionUpstreams], b[sectionUpstreams], "name", stand["upstream"], false),
		Clients:   entries(a[sectionClients], b[sectionClients], "id", stand["client"], false),
		Others:    []Key{},
	}
	for _, section := range deciding {
		c.Others = append(c.Others, keysBetween(section, a[section], b[section])...)
	}
	return c
}

// standing are the rules that name an upstream or a client.
func standing(section any) map[string]map[string][]string {
	out := map[string]map[string][]string{"upstream": {}, "client": {}}
	for _, e := range sequence(section) {
		rule := mapping(e)
		id, _ := rule["id"].(string)
		for _, part := range []string{"subject", "actor"} {
			if name, ok := mapping(rule[part])["upstream"].(string); ok && !slices.Contains(out["upstream"][name], id) {
				out["upstream"][name] = append(out["upstream"][name], id)
			}
		}
		for _, c := range sequence(mapping(rule["requester"])["clients"]) {
			if name, ok := c.(string); ok {
				out["client"][name] = append(out["client"][name], id)
			}
		}
	}
	return out
}

// entries compares two lists whose members have names; ordered: which is before which has a meaning. The order is the new one's, what is gone
// at its end.
func entries(was, is any, name string, stand map[string][]string, ordered bool) []Entry {
	old, out := map[string]map[string]any{}, []Entry{}
	var oldNames, newNames []string
	for _, e := range sequence(was) {
		m := mapping(e)
		id, _ := m[name].(string)
		old[id], oldNames = m, append(oldNames, id)
	}
	for _, e := range sequence(is) {
		id, _ := mapping(e)[name].(string)
		newNames = append(newNames, id)
	}
	moved, there := map[string]bool{}, map[string]bool{}
	if ordered {
		moved = outOfOrder(oldNames, newNames)
	}
	for _, e := range sequence(is) {
		m := mapping(e)
		id, _ := m[name].(string)
		before, known := old[id]
		there[id] = true
		entry := Entry{Name: id, Change: Changed, Rules: stand[id]}
		switch entry.Keys = keysBetween("", before, m); {
		case !known:
			entry.Change, entry.Keys = Added, nil
		case len(entry.Keys) == 0 && moved[id]:
			entry.Change = Moved
		case len(entry.Keys) == 0:
			continue
		}
		out = append(out, entry)
		if entry.Change == Changed && moved[id] {
			out = append(out, Entry{Name: id, Change: Moved})
		}
	}
	for _, id := range oldNames {
		if !there[id] {
			out = append(out, Entry{Name: id, Change: Removed})
		}
	}
	return out
}

// outOfOrder are the fewest names of both lists without which the order of the others is the same.
func outOfOrder(was, is []string) map[string]bool {
	place := map[string]int{}
	for i, name := range was {
		place[name] = i + 1
	}
	var ends []int // index in is of the last of the best run of each length
	previous, moved := make([]int, len(is)), map[string]bool{}
	for i, name := range is {
		at := place[name]
		if at == 0 {
			continue
		}
		moved[name] = true
		n := sort.Search(len(ends), func(k int) bool { return place[is[ends[k]]] >= at })
		if previous[i] = -1; n > 0 {
			previous[i] = ends[n-1]
		}
		if n == len(ends) {
			ends = append(ends, i)
		} else {
			ends[n] = i
		}
	}
	if len(ends) > 0 {
		for i := ends[len(ends)-1]; i >= 0; i = previous[i] {
			delete(moved, is[i])
		}
	}
	return moved
}

// keysBetween are the values that differ, by their paths. Lists of as many mappings are compared one by one.
func keysBetween(path string, was, is any) []Key {
	a, isMap := was.(map[string]any)
	b, alike := is.(map[string]any)
	if isMap && alike {
		var out []Key
		for _, name := range slices.Sorted(maps.Keys(union(a, b))) {
			out = append(out, keysBetween(strings.TrimPrefix(path+"."+name, "."), a[name], b[name])...)
		}
		return out
	}
	x, y := sequence(was), sequence(is)
	if len(x) == len(y) && len(x) > 0 && mapping(x[0]) != nil && mapping(y[0]) != nil {
		var out []Key
		for i := range x {
			out = append(out, keysBetween(fmt.Sprintf("%s[%d]", path, i), x[i], y[i])...)
		}
		return out
	}
	if shown(was) == shown(is) {
		return nil
	}
	return []Key{{path, was, is}}
}

func union(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]any{}
	}
	maps.Copy(out, b)
	return out
}

func mapping(v any) map[string]any { m, _ := v.(map[string]any); return m }

func sequence(v any) []any { s, _ := v.([]any); return s }
