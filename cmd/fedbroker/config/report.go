package config

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"fedbroker/cmd/fedbroker/config/strict"
)

// report takes what is said of the configuration as a whole and files it with the file that it is about, whose lists begin at 0.
type report struct {
	main  string
	parts []part // the main file's first
	wrong []Problem
	odd   []Problem
}

// part is one file that was decoded, and which elements of the whole are its.
type part struct {
	file             string // "" for the main one
	upstreams, rules span
	*strict.Report
}

// span is the elements from ≤ i < to of a list.
type span struct{ from, to int }

// element is a reference to an upstream or a rule in a path or a text.
var element = regexp.MustCompile(`\b(upstreams|exchange)\[([0-9]+)\]`)

// owner is the file that has an element, and the reference as that file counts. It is the main file where nothing else has it.
func (r *report) owner(reference string) (at int, local string) {
	m := element.FindStringSubmatch(reference)
	i, err := strconv.Atoi(m[2])
	if err != nil {
		return 0, reference
	}
	for k := range r.parts {
		s := r.parts[k].upstreams
		if m[1] == "exchange" {
			s = r.parts[k].rules
		}
		if s.from <= i && i < s.to {
			return k, fmt.Sprintf("%s[%d]", m[1], i-s.from)
		}
	}
	return 0, reference
}

// local puts what is said of the whole into the words of one file.
func (r *report) local(path, format string, args []any) (at int, where, text string) {
	text = fmt.Sprintf(format, args...)
	if len(r.parts) < 2 {
		return 0, path, text
	}
	where = path
	if loc := element.FindStringIndex(path); loc != nil && loc[0] == 0 {
		at, where = r.owner(path[:loc[1]])
		where += path[loc[1]:]
	}
	return at, where, element.ReplaceAllStringFunc(text, func(reference string) string {
		other, name := r.owner(reference)
		if other != at {
			name += " of " + cmp.Or(r.parts[other].file, r.main)
		}
		return name
	})
}

// Bad adds a problem of meaning.
func (r *report) Bad(path, format string, args ...any) {
	at, where, text := r.local(path, format, args)
	r.parts[at].Bad(where, "%s", text)
}

// Warn adds what is odd, but no reason to refuse.
func (r *report) Warn(path, format string, args ...any) {
	at, where, text := r.local(path, format, args)
	r.parts[at].Warn(where, "%s", text)
}

// Problems are what is wrong: first the main file, then the others, each in the order of its lines.
func (r *report) Problems() []Problem { return r.all((*strict.Report).Problems, r.wrong) }

// Warnings are what is odd.
func (r *report) Warnings() []Problem { return r.all((*strict.Report).Warnings, r.odd) }

func (r *report) all(of func(*strict.Report) []Problem, others []Problem) []Problem {
	var out []Problem
	for _, p := range r.parts {
		for _, problem := range of(p.Report) {
			problem.File = p.file
			out = append(out, problem)
		}
	}
	return append(out, others...)
}

// files maps what the files name to a key that does.
func (r *report) files() map[string]string {
	out := map[string]string{}
	for _, p := range r.parts {
		for name, key := range p.Files() {
			if _, known := out[name]; !known {
				out[name] = key
			}
		}
	}
	return out
}
