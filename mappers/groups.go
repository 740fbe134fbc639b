package mappers

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	claimGroups = "groups"
	maxPattern  = 1 << 10 // bytes of one keep pattern
	maxPatterns = 100
	maxPrefix   = 64 // bytes
)

// groups makes the claim groups of a string or a list: it keeps, then renames. The prefix comes at the end of the chain.
type groups struct {
	from   source
	keep   *regexp.Regexp // nil keeps all
	rename map[string]string
}

func newGroups(b *builder) step {
	from := b.spec.From
	if from == "" {
		from = claimGroups
	}
	if b.client && !OwnedClaim(from) {
		b.bad("from", "want one of %s in a client's mappers, got %q", strings.Join(owned[:], ", "), from)
	}
	m := &groups{from: b.source("from", from), keep: b.keep(), rename: b.spec.Rename}
	for _, old := range slices.Sorted(maps.Keys(m.rename)) {
		if old == "" || m.rename[old] == "" {
			b.bad("rename", "want names that are not empty, got %q: %q", old, m.rename[old])
		}
	}
	b.prefix()
	return step{mapper: m, target: b.target("kind", claimGroups), reads: m.from.reads()}
}

// keep compiles all patterns into one. Each is compiled by itself first, so that none can close the group around it.
func (b *builder) keep() *regexp.Regexp {
	if b.spec.Keep == nil {
		return nil
	}
	if n := len(b.spec.Keep); n == 0 || n > maxPatterns {
		b.bad("keep", "want 1 to %d patterns, got %d", maxPatterns, n)
		return nil
	}
	var parts []string
	for i, p := range b.spec.Keep {
		if p == "" || len(p) > maxPattern {
			b.bad(indexed("keep", i), "want 1 to %d bytes, got %d", maxPattern, len(p))
		} else if _, err := regexp.Compile(p); err != nil {
			b.bad(indexed("keep", i), "want a regular expression (RE2), got %q: %v", p, err)
		} else {
			parts = append(parts, "(?:"+p+")")
		}
	}
	all, err := regexp.Compile("^(?:" + strings.Join(parts, "|") + ")$")
	if err != nil {
		b.bad("keep", "want regular expressions that are small enough together, got %v", err)
	}
	return all
}

func (b *builder) prefix() {
	p := b.spec.Prefix
	switch {
	case p == nil:
	case b.client:
		b.bad("prefix", "want none in a client's mappers: groups have their upstream's prefix already")
	case len(*p) > maxPrefix || strings.ContainsFunc(*p, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }):
		b.bad("prefix", "want at most %d printable bytes without spaces, got %q", maxPrefix, *p)
	case b.groupsPrefix != nil && *b.groupsPrefix != *p:
		b.bad("prefix", "want one prefix for all groups of an upstream, got %q after %q", *p, *b.groupsPrefix)
	default:
		b.groupsPrefix = p
	}
}

// Map makes nothing if the source is absent, and an empty list if nothing of it is kept.
func (m *groups) Map(in, out Claims) error {
	v, ok := m.from.find(in, out)
	if !ok {
		return nil
	}
	all, err := names(v)
	if err != nil {
		return err
	}
	kept := make([]any, 0, len(all))
	for _, e := range all {
		name := e.(string) // names returns strings only
		if m.keep != nil && !m.keep.MatchString(name) {
			continue
		}
		if renamed, ok := m.rename[name]; ok {
			e = renamed
		}
		kept = append(kept, e)
	}
	out[claimGroups], err = distinct(kept) // two names may be renamed to one
	return err
}
