package lint

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// maxNodes is how large a pattern may be to be looked into: the work grows with the cube of it. No pattern that people read has as many.
const maxNodes = 200

// patternWitnesses are hostile texts that a regular expression (RE2) admits, the most telling first, and each of them does match.
func patternWitnesses(of, pattern string, refNamed bool) []string {
	matcher, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || len(nodes(tree)) > maxNodes {
		return nil
	}
	var out []string
	repeated := map[*syntax.Regexp]bool{}
	for _, node := range nodes(tree) {
		if node.Op == syntax.OpStar || node.Op == syntax.OpPlus || node.Op == syntax.OpRepeat {
			repeated[node.Sub[0]] = true
		}
		if repeated[node] && (node.Op == syntax.OpAnyChar || node.Op == syntax.OpAnyCharNotNL) {
			continue // the wildcard was judged as a whole
		}
		for _, candidate := range hostile(of, tree, node, refNamed) {
			if matcher.MatchString(candidate) {
				out = append(out, candidate)
				break
			}
		}
	}
	if matcher.MatchString("") {
		out = append(out, "")
	}
	return out
}

// nodes are all of a syntax tree, outermost first.
func nodes(re *syntax.Regexp) []*syntax.Regexp {
	all := []*syntax.Regexp{re}
	for _, sub := range re.Sub {
		all = append(all, nodes(sub)...)
	}
	return all
}

// hostile are texts that a tree admits because of one node.
func hostile(of string, tree, node *syntax.Regexp, refNamed bool) []string {
	var fill []string
	s := sample{focus: node}
	if !s.add(tree) || s.at < 0 {
		return nil
	}
	front, back := string(s.out[:s.at]), string(s.out[s.at:])
	written := s.at == 0 || s.literal[s.at-1] // what is before the node is so by the pattern's letter
	switch node.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL: // acme.example, whose dot was to be one
		if written && s.at > 0 && s.at < len(s.out) && s.literal[s.at] && isWord(s.out[s.at-1]) && isWord(s.out[s.at]) {
			fill = []string{"x"}
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		if inner := node.Sub[0]; written && node.Max != 1 && isClass(inner) {
			fill = fillers(of, front, back, inner, refNamed)
		}
	case syntax.OpLiteral:
		fill = folded(node)
	case syntax.OpCharClass: // [A-z] holds six characters that are no letters
		if admits(node, 'A') && admits(node, 'z') && admits(node, '[') && admits(node, '`') && !admits(node, ' ') {
			fill = []string{"["}
		}
	}
	out := make([]string, len(fill))
	for i, f := range fill {
		out[i] = front + f + back
	}
	return out
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// fillers are what somebody else's name makes of a wildcard, if it can hold any.
func fillers(of, front, back string, class *syntax.Regexp, refNamed bool) []string {
	crosses := admits(class, '/') || admits(class, ':')
	switch {
	case !admits(class, 'e'): // digits name no stranger
		return nil
	case front == "" && back == "":
		return []string{evil}
	case front == "" && crosses:
		return trimmed(before(of, back), "", back)
	case front == "":
		return nil
	case !endsName(of, front):
		tails := trimmed(after(of, front, ""), front, "")
		return slices.DeleteFunc(tails, func(tail string) bool { return back != "" && strings.Contains(tail, ":") })
	case crosses && back == "" && !refNamed && strings.HasPrefix(front, "repo:"):
		switch _, repository, _ := strings.Cut(front, "/"); {
		case !strings.Contains(repository, ":"):
			return []string{"x:pull_request"}
		case strings.Index(repository, ":") == len(repository)-1:
			return []string{"pull_request"}
		}
		return nil
	case crosses && back != "" && !strings.Contains(separators+joints+"@", back[:1]):
		return trimmed(before(of, back), "", back)
	default:
		return nil
	}
}

func trimmed(all []string, front, back string) []string {
	for i, text := range all {
		all[i] = strings.TrimSuffix(strings.TrimPrefix(text, front), back)
	}
	return all
}

// folded are spellings of a literal under (?i) that hold a character which is none of ASCII: U+212A is a K, and U+017F an s.
func folded(node *syntax.Regexp) []string {
	if node.Flags&syntax.FoldCase == 0 {
		return nil
	}
	for i, r := range node.Rune {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			if r <= unicode.MaxASCII && f > unicode.MaxASCII {
				return []string{strings.ToLower(string(node.Rune[:i])) + string(f) + strings.ToLower(string(node.Rune[i+1:]))}
			}
		}
	}
	return nil
}

// maxSample bounds a text that is made to match: {1000} within {1000} is a million.
const maxSample = 4096

// maxSteps bounds the work for it, where repetitions of nothing stand within each other.
const maxSteps = 1 << 16

// sample makes a text that a tree admits, and leaves out one node, at whose place something else is to stand.
type sample struct {
	focus   *syntax.Regexp // nil: nothing is left out
	at      int            // its place in out; -1: not met
	out     []rune
	literal []bool // of each rune: the pattern holds it as it is
	begun   bool
	steps   int // nodes that add was asked for
}

// add appends what re admits; false if that is nothing, or too much.
func (s *sample) add(re *syntax.Regexp) bool {
	if !s.begun {
		s.begun, s.at = true, -1
	}
	if s.steps++; s.steps > maxSteps {
		return false
	}
	if re == s.focus {
		if s.at < 0 {
			s.at = len(s.out)
		}
		return true
	}
	switch re.Op {
	case syntax.OpNoMatch:
		return false
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			s.put(r, true)
		}
	case syntax.OpCharClass:
		r, ok := pick(re)
		if !ok {
			return false
		}
		s.put(r, false)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.put('x', false)
	case syntax.OpAlternate:
		return s.either(re.Sub)
	case syntax.OpRepeat:
		for range max(re.Min, min(1, max(re.Max, -re.Max))) {
			if !s.add(re.Sub[0]) {
				return false
			}
		}
	case syntax.OpConcat, syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		for _, sub := range re.Sub {
			if !s.add(sub) {
				return false
			}
		}
	}
	return len(s.out) <= maxSample
}

func (s *sample) put(r rune, literal bool) {
	s.out, s.literal = append(s.out, r), append(s.literal, literal)
}

// either adds the alternative that leads to the focus, or else the first that admits anything. What one that does not had added is taken back: each
// node is visited once, however deep they stand.
func (s *sample) either(all []*syntax.Regexp) bool {
	for _, re := range all {
		if s.focus != nil && slices.Contains(nodes(re), s.focus) {
			return s.add(re)
		}
	}
	before := len(s.out)
	for _, re := range all {
		if s.add(re) {
			return true
		}
		s.out, s.literal = s.out[:before], s.literal[:before]
	}
	return false
}

// isClass tells whether a node is one character of several.
func isClass(re *syntax.Regexp) bool {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	return re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL || re.Op == syntax.OpCharClass
}

// admits tells whether a node that isClass holds a character.
func admits(re *syntax.Regexp, r rune) bool {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpCharClass {
		return true
	}
	for i := 0; i+1 < len(re.Rune); i += 2 {
		if re.Rune[i] <= r && r <= re.Rune[i+1] {
			return true
		}
	}
	return false
}

// pick is a plain character of a class.
func pick(class *syntax.Regexp) (rune, bool) {
	for _, r := range "xa0X/" {
		if admits(class, r) {
			return r, true
		}
	}
	if len(class.Rune) == 0 {
		return 0, false
	}
	return class.Rune[0], true
}
