package lint

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

var patterns = []string{
	"^(repo:acme/.*)$", "^(a|b+|c{2,3})$", "^(?:[^/]+/x)$", "^((?i)kim)$", "^(?s:.)$", `^(\x{10FFFF})$`, `^(\pL{3}[[:^alpha:]])$`, "^()$", "^(|a)$", "^(a.b)$", "^((a|b)*c?)$",
	`^([A-z]+)$`, "^(x{0})$", "^(.{3,})$", `^([^\x00-\x{10FFFE}])$`,
}

// FuzzPatternWitnesses: what is said to be admitted is, and a text is found for whatever admits one.
func FuzzPatternWitnesses(f *testing.F) {
	if len(patterns) == 0 {
		f.Fatal("no seeds")
	}
	for _, p := range patterns {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		matcher, err := regexp.Compile(pattern)
		if err != nil || len(pattern) > maxSample {
			t.Skip()
		}
		for _, of := range []string{"claims.sub", "groups"} {
			for _, witness := range patternWitnesses(of, pattern, false) {
				if !matcher.MatchString(witness) {
					t.Errorf("%q is said to admit %q", pattern, witness)
				}
			}
		}
		tree, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		s := sample{}
		if ok := s.add(tree); ok && !looksAround(tree) && !matcher.MatchString(string(s.out)) {
			t.Errorf("%q does not admit its sample %q", pattern, string(s.out))
		}
	})
}

// looksAround tells whether a pattern asks for more than its own characters.
func looksAround(tree *syntax.Regexp) bool {
	return slices.ContainsFunc(nodes(tree), func(re *syntax.Regexp) bool {
		switch re.Op {
		case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
			return true
		default:
			return false
		}
	})
}

// The samples of patterns as rules write them match, anchors and all.
func TestSample_Matches(t *testing.T) {
	for _, pattern := range patterns {
		tree, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		s := sample{}
		if !s.add(tree) || !regexp.MustCompile(pattern).MatchString(string(s.out)) {
			t.Errorf("%q: the sample %q does not match", pattern, string(s.out))
		}
	}
}

func TestSample_GivesUp(t *testing.T) {
	for _, pattern := range []string{`[^\x00-\x{10FFFF}]`, `(?:(?:x{10}){10}){10}(?:(?:x{10}){10}){10}(?:(?:x{10}){10}){10}(?:(?:x{10}){10}){10}(?:(?:x{10}){10}){10}`} {
		tree, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if s := (sample{}); s.add(tree) {
			t.Errorf("%q: want no sample, got one of %d characters", pattern, len(s.out))
		}
	}
}

// However deep alternatives stand, each node is looked at once: a pattern of 300 bytes must not hang whoever checks a configuration. The second
// pattern's innermost alternative admits nothing, so that each of those around it is given up in turn.
func TestSample_DeepAlternativesTakeAStepForEachNode(t *testing.T) {
	for _, innermost := range []string{"a", `[^\x00-\x{10FFFF}]`} {
		p := innermost
		for range 40 {
			p = "(x" + p + "|.b)"
		}
		tree, err := syntax.Parse(p, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		s := sample{}
		if want := len(nodes(tree)); !s.add(tree) || s.steps > want {
			t.Errorf("%q innermost: a sample %q in %d steps, want one in at most %d", innermost, string(s.out), s.steps, want)
		}
	}
}

// A pattern of more nodes than anybody writes is not looked into at all.
func TestWitness_IntoNoVastPattern(t *testing.T) {
	vast := strings.Repeat("[ab]c", maxNodes)
	if got := patternWitnesses("claims.sub", vast+".*", false); len(got) > 0 {
		t.Errorf("got %d witnesses", len(got))
	}
	if got := patternWitnesses("claims.sub", "^.*$", false); len(got) == 0 {
		t.Error("none of a short one")
	}
}
