package lint

import (
	"fmt"
	"strings"
)

// contradiction tells why a condition can't hold together with facts, which are known of every request; "" if it might.
func (c *condition) contradiction(facts []test) string {
	why := ""
	for _, way := range c.ways {
		found := clash(way, facts)
		if found == "" {
			return ""
		}
		if why == "" {
			why = found
		}
	}
	switch {
	case len(c.ways) == 0:
		return "it is false"
	case len(c.ways) > 1:
		return "in no way: " + why + ", and so on"
	default:
		return why
	}
}

// clash names tests of which not all can hold.
func clash(way, facts []test) string {
	for i, t := range way {
		if t.within != nil && !t.not && strings.Contains(t.text, ".exists") {
			if why := t.within.contradiction(nil); why != "" {
				return why
			}
		}
		for _, o := range way[:i] {
			if o.text == t.text && o.not != t.not {
				return fmt.Sprintf("%s and %s", o.written(), t.written())
			}
		}
		if t.op == oneOf && !t.not {
			if why := t.unmet(way, facts); why != "" {
				return why
			}
		}
		for _, o := range way[:i] {
			if t.apart(o) {
				return fmt.Sprintf("%s and %s", o.written(), t.written())
			}
		}
	}
	return ""
}

// unmet looks for a value of t that all the others admit.
func (t test) unmet(way, facts []test) string {
	var against []string
	for _, v := range t.values {
		refused := ""
		for _, o := range way {
			if o.of == t.of && !o.admits(v) {
				refused = o.written()
				break
			}
		}
		for _, o := range facts {
			if refused == "" && o.of == t.of && !o.admits(v) {
				refused = o.text
			}
		}
		if refused == "" {
			return ""
		}
		against = append(against, refused)
	}
	return fmt.Sprintf("%s and %s", t.written(), against[0])
}

// apart tells of two tests of one text that no text passes both.
func (t test) apart(o test) bool {
	if t.of == "" || t.of != o.of || t.not || o.not || t.op != o.op {
		return false
	}
	a, b := t.literal, o.literal
	switch t.op {
	case prefix:
		return !strings.HasPrefix(a, b) && !strings.HasPrefix(b, a)
	case suffix:
		return !strings.HasSuffix(a, b) && !strings.HasSuffix(b, a)
	default:
		return false
	}
}

// implies tells whether d holds whenever c does; false may also mean that it can't be told.
func (c *condition) implies(d *condition) bool {
	if d.source == c.source {
		return true
	}
	for _, way := range c.ways {
		if !impliedBy(d.ways, way) {
			return false
		}
	}
	return true
}

func impliedBy(ways [][]test, given []test) bool {
	for _, way := range ways {
		all := true
		for _, t := range way {
			all = all && t.impliedBy(given)
		}
		if all {
			return true
		}
	}
	return false
}

func (t test) impliedBy(given []test) bool {
	for _, g := range given {
		if g.text == t.text && g.not == t.not {
			return true
		}
		if t.of == "" || g.of != t.of || g.not {
			continue
		}
		switch {
		case g.op == oneOf:
			all := true
			for _, v := range g.values {
				all = all && t.admits(v)
			}
			if all {
				return true
			}
		case t.not:
		case t.op == prefix && g.op == prefix && strings.HasPrefix(g.literal, t.literal),
			t.op == suffix && g.op == suffix && strings.HasSuffix(g.literal, t.literal),
			t.op == contains && (g.op == prefix || g.op == suffix || g.op == contains) && strings.Contains(g.literal, t.literal):
			return true
		}
	}
	return false
}
