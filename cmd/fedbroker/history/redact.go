package history

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"fedbroker/cmd/fedbroker/config/strict"
)

var (
	// secretKeys end so. A key that names the file of a secret ends with _file.
	secretKeys = regexp.MustCompile(`(?i)(secret|sha256|token|key|password|passphrase|credentials?)$`)
	// reference is a value that is nothing but variables, which hold no secret here.
	reference = regexp.MustCompile(`^["']?(\$\{[A-Za-z_][A-Za-z0-9_]*\})+["']?$`)
	// commented is a key of a secret in a comment, with what follows it.
	commented = regexp.MustCompile(`(?i)(#.*(?:secret|sha256|token|key|password|passphrase|credentials?)["']?\s*[:=]).*`)
	// foreign are characters after which a line of YAML is not what is a line here.
	foreign = regexp.MustCompile("\x00|\u0085|\u2028|\u2029|\r[^\n]|\r$")
	// indent is the beginning of the line of the next key.
	indent = regexp.MustCompile(`\n[ \t]*(?:- *)*$`)
)

// redactor takes secrets out of texts. Equal secrets get equal numbers, so that a change shows.
type redactor struct{ numbers map[string]int }

func newRedactor() redactor { return redactor{map[string]int{}} }

// hidden stands for a secret.
func (r redactor) hidden(value string) string {
	n, known := r.numbers[value]
	if !known {
		n = len(r.numbers) + 1
		r.numbers[value] = n
	}
	return fmt.Sprintf("(redacted %d)", n)
}

// mark is where a key or a value begins: a line, and a byte of the whole text. Of a secret it has the value.
type mark struct {
	line, at int
	secret   *yaml.Node
}

// text is a file of a configuration without its secrets. What can't be read as one is left out whole.
func (r redactor) text(text string) string {
	root, problem := strict.Parse([]byte(text))
	if problem != nil || !utf8.ValidString(text) || foreign.MatchString(text) {
		return "(no plain YAML: not shown) " + r.hidden(text) + "\n"
	}
	d := document{text: text, starts: lineStarts(text)}
	d.walk(root, false)
	slices.SortStableFunc(d.marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	var out strings.Builder
	done := 0
	for i, m := range d.marks {
		if m.secret == nil || m.at < done {
			continue
		}
		from, to := d.extent(i)
		from = max(from, done)
		out.WriteString(text[done:from])
		if value := text[from:to]; reference.MatchString(value) {
			out.WriteString(value)
		} else {
			out.WriteString(r.hidden(value))
		}
		done = to
	}
	out.WriteString(text[done:])
	return commented.ReplaceAllString(out.String(), "$1 (redacted)")
}

// document is a text, and the places of its keys and values.
type document struct {
	text   string
	starts []int // of its lines
	marks  []mark
	last   mark // that was found, and its column
	column int
}

// walk marks where every key and value begins. A secret is whatever is below the key of one, and what an alias there stands for.
func (d *document) walk(n *yaml.Node, secret bool) {
	m := d.find(min(max(n.Line, 1), len(d.starts))-1, n.Column)
	if secret && n.Kind == yaml.ScalarNode {
		m.secret = n
	}
	d.marks = append(d.marks, m)
	if secret && n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.ScalarNode {
		d.walk(n.Alias, true)
	}
	for i, child := range n.Content {
		below := secret
		if n.Kind == yaml.MappingNode {
			below = i%2 == 1 && (secret || secretKeys.MatchString(n.Content[i-1].Value))
		}
		d.walk(child, below)
	}
}

// find is the place of a column, counted in characters. It goes on from the place that was found last, where it can.
func (d *document) find(line, column int) mark {
	if d.last.line != line || column < d.column || d.column == 0 {
		d.last, d.column = mark{line: line, at: d.starts[line]}, 1
	}
	for ; d.column < column && d.last.at < len(d.text) && d.text[d.last.at] != '\n'; d.column++ {
		_, size := utf8.DecodeRuneInString(d.text[d.last.at:])
		d.last.at += size
	}
	return d.last
}

// extent is where a secret begins and ends. One that does not stand there as its value is has its whole lines taken, up to what comes next.
func (d *document) extent(i int) (from, to int) {
	m := d.marks[i]
	rest := d.text[m.at:]
	for _, quote := range []string{`"`, `'`, ""} {
		if whole := quote + m.secret.Value + quote; whole != "" && strings.HasPrefix(rest, whole) {
			return m.at, m.at + len(whole)
		}
	}
	to = len(d.text)
	for _, next := range d.marks[i+1:] {
		if next.at > m.at {
			to = next.at
			break
		}
	}
	if tail := indent.FindString(d.text[m.at:to]); tail != "" {
		to -= len(tail)
	}
	return d.starts[m.line], to
}

func lineStarts(text string) []int {
	starts := []int{0}
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}
