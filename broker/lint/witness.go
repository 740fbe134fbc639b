package lint

import (
	"strings"
)

// Names in a hostile subject.
const (
	evil       = "evil"
	evilDomain = "evil.example"
)

// wide finds, among the ways in which a condition holds, each test of a text that admits more than whoever wrote it can have meant, and a
// text that shows it: one that the test admits, and so do all others on the same claim.
func (c *condition) wide(found func(t test, witness string, way []test)) {
	seen := map[string]bool{}
	for _, way := range c.ways {
		for _, t := range way {
			if t.within != nil {
				t.within.wide(found)
			}
			if t.not || t.of == "" || seen[t.text] {
				continue
			}
			if witness, ok := t.witness(way); ok {
				seen[t.text] = true
				found(t, witness, way)
			}
		}
	}
}

// witness returns a hostile text that the test admits, and every other test on the same claim.
func (t test) witness(way []test) (string, bool) {
	for _, candidate := range t.candidates(way) {
		admitted := true
		for _, o := range way {
			admitted = admitted && (o.of != t.of || o.admits(candidate))
		}
		if admitted {
			return candidate, true
		}
	}
	return "", false
}

// candidates are hostile texts that the test might admit, the most telling first.
func (t test) candidates(way []test) []string {
	front, back := "", "" // what others on the same claim want at its ends
	for _, o := range way {
		if o.of != t.of || o.not {
			continue
		}
		if o.op == prefix && len(o.literal) > len(front) {
			front = o.literal
		}
		if o.op == suffix && len(o.literal) > len(back) {
			back = o.literal
		}
	}
	switch t.op {
	case prefix:
		return after(t.of, t.literal, back)
	case suffix:
		return before(t.of, t.literal)
	case contains:
		return around(t.literal, front, back)
	case matches:
		return patternWitnesses(t.of, t.literal, namesRef(way))
	default:
		return nil
	}
}

// after are texts that begin with literal and go on into somebody else's name; none if it ends where a name ends.
func after(of, literal, back string) []string {
	if endsName(of, literal) {
		return nil
	}
	var tails []string
	switch {
	case literal == "":
		tails = []string{evil}
	case strings.HasSuffix(literal, "@"):
		tails = []string{evilDomain}
	case ofRepository(literal) && !strings.Contains(literal, "/"):
		tails = []string{"-evil/x:ref:refs/heads/main", "-evil/x"}
		if strings.HasSuffix(literal, ":") {
			tails = []string{"evil/x:ref:refs/heads/main", "evil/x"}
		}
	case ofRepository(literal) && strings.Count(literal, ":") == 1:
		tails = []string{"-evil:ref:refs/heads/main"}
	case strings.HasPrefix(literal, "system:serviceaccount:") && strings.Count(literal, ":") == 2:
		tails = []string{"-evil:default"}
	}
	tails = append(tails, "-evil", evil, ".evil")
	var out []string
	for _, tail := range tails {
		if back == "" || strings.HasSuffix(tail, back) {
			out = append(out, literal+tail)
		} else if !strings.Contains(tail, ":") {
			out = append(out, literal+tail+back)
		}
	}
	return out
}

// before are texts that end with literal and begin with somebody else's name.
func before(of, literal string) []string {
	var heads []string
	switch {
	case literal == "":
		heads = []string{""}
	case strings.IndexByte("@.", literal[0]) >= 0: // what is before is within what is named
		return nil
	case !strings.HasPrefix(of, "claims."):
	case strings.HasPrefix(literal, ":ref:") || strings.HasPrefix(literal, ":environment:") || strings.HasPrefix(literal, ":pull_request"):
		heads = []string{"repo:evil/x"}
	case literal[0] == '/' && strings.Contains(literal, ":"):
		heads = []string{"repo:evil"}
	case literal[0] == ':':
		heads = []string{"system:serviceaccount:evil"}
	case literal[0] == '/' && (strings.HasSuffix(of, ".ref") || strings.HasSuffix(of, ".ref_path")):
		heads = []string{"refs/heads/evil"}
	case strings.Contains(literal, "@"):
		heads = []string{"evil-"}
	}
	heads = append(heads, evil, "evil-", "evil/")
	out := make([]string, len(heads))
	for i, head := range heads {
		out[i] = head + literal
	}
	return out
}

// around are texts that hold literal somewhere in somebody else's name.
func around(literal, front, back string) []string {
	heads := []string{"repo:evil/", "evil-", evil, "evil/"}
	if front != "" {
		heads = []string{front + evil, front + "evil/"}
	}
	var out []string
	for _, head := range heads {
		for _, tail := range []string{"-evil", evil, "/evil"} {
			out = append(out, head+literal+tail+back)
		}
	}
	return out
}

// separators end a name in the subjects, addresses and paths of every issuer that we know; joints do in some, and are part of names in others.
const (
	separators = "/:|#=,; "
	joints     = "-_."
)

// endsName tells whether a name is over at the end of a text, so that what follows is within what it names.
func endsName(of, text string) bool {
	if text == "" {
		return false
	}
	last := text[len(text)-1:]
	segment := text[strings.LastIndexAny(text, "/:")+1:]
	switch {
	case ofRepository(text) && !strings.Contains(text, "/"): // the owner has still to be named, in whole
		return false
	case strings.Contains(separators, last):
		return true
	case strings.Contains(joints, last):
		return true
	case last == "@":
		return strings.HasSuffix(of, "email") // whose domain is held to its upstream already
	default:
		return strings.HasPrefix(text, "refs/tags/") && segment == "v" // version tags
	}
}

// ofRepository tells whether a text begins as the subjects of CI jobs do: a repository's or project's path, and what it runs.
func ofRepository(text string) bool {
	return strings.HasPrefix(text, "repo:") || strings.HasPrefix(text, "project_path:")
}

// refClaims say what a CI job runs on, or where it is approved to run.
var refClaims = map[string]bool{
	"claims.ref": true, "claims.ref_path": true, "claims.ref_protected": true, "claims.environment": true, "claims.event_name": true,
	"claims.job_workflow_ref": true, "claims.workflow_ref": true, "claims.build_branch": true,
}

// namesRef tells whether the tests hold one of refClaims to literals.
func namesRef(way []test) bool {
	for _, t := range way {
		if refClaims[t.of] && t.op == oneOf && !t.not {
			return true
		}
	}
	return false
}
