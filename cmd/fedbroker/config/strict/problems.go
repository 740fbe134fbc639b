package strict

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Problem is one thing that is wrong, or odd, with a configuration file.
type Problem struct {
	File   string `json:"file,omitempty"` // "": the file that the others of the same list are about
	Line   int    `json:"line,omitempty"` // in the file, from 1; 0: the file as a whole
	Column int    `json:"-"`
	Path   string `json:"path,omitempty"` // such as upstreams[2].leeway; "" with a syntax error
	Text   string `json:"text"`           // such as "want 0s to 2m0s, got 1h0m0s"; never holds a secret
	want   string // the kind of value that was wanted, where the problem is that it is of another kind
}

// String is "path: text", or the text alone where there is no path.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Error is everything that is wrong with a file, in the order of its lines.
type Error struct {
	File     string
	Problems []Problem
}

// Error lists the problems one a line, each as "file:line: path: text".
func (e *Error) Error() string { return Render(e.File, e.Problems) }

// Render lists problems one a line, each as "file:line: path: text".
func Render(file string, problems []Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		at := cmp.Or(p.File, file)
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, p.Line)
		}
		lines[i] = at + ": " + p.String()
	}
	return strings.Join(lines, "\n")
}

// place is where a value stands in the file.
type place struct{ line, column int }

// Report collects problems and knows where each path was written.
type Report struct {
	places   map[string]place
	written  map[string]string // a key that was filled from its twin → the twin's path
	judged   map[string]bool   // paths that have a structural problem: what follows from it is not reported again
	problems []Problem
	warnings []Problem
	files    map[string]string // that were looked at → the path of the first key that names it
}

func newReport() *Report {
	return &Report{places: map[string]place{}, written: map[string]string{}, judged: map[string]bool{}, files: map[string]string{}}
}

// Problems are what is wrong, in the order of their lines.
func (r *Report) Problems() []Problem { return ordered(r.problems) }

// Warnings are what is odd, in the order of their lines.
func (r *Report) Warnings() []Problem { return ordered(r.warnings) }

// Files maps the files that were looked at to a key that names each.
func (r *Report) Files() map[string]string { return maps.Clone(r.files) }

// Line is where a path, or the nearest thing around it, stands.
func (r *Report) Line(path string) int { return r.locate(path, "").Line }

func (r *Report) read(path, name string) {
	if _, known := r.files[name]; !known {
		r.files[name] = path
	}
}

// structural adds a problem of form at a path, and keeps later judgements of the same value quiet.
func (r *Report) structural(path string, at place, format string, args ...any) {
	r.judged[path] = true
	r.problems = append(r.problems, Problem{Line: at.line, Column: at.column, Path: path, Text: fmt.Sprintf(format, args...)})
}

// Bad adds a problem of meaning; its line is that of the path or of the nearest thing around it that was written.
func (r *Report) Bad(path, format string, args ...any) {
	for outer := path; outer != ""; outer = parent(outer) {
		if r.judged[outer] {
			return
		}
	}
	r.problems = append(r.problems, r.locate(path, fmt.Sprintf(format, args...)))
}

// Warn adds what is odd, but no reason to refuse.
func (r *Report) Warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, r.locate(path, fmt.Sprintf(format, args...)))
}

func (r *Report) locate(path, text string) Problem {
	if twin, ok := r.written[path]; ok {
		path = twin
	}
	for outer := path; outer != ""; outer = parent(outer) {
		if at, ok := r.places[outer]; ok {
			return Problem{Line: at.line, Column: at.column, Path: path, Text: text}
		}
	}
	return Problem{Path: path, Text: text}
}

// parent is the path without its last step: a.b[2].c → a.b[2] → a.b → a → "".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// ordered sorts by place and then by words, and drops what was said twice.
func ordered(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(problems)
}
