// Package strict reads YAML into structs and writes structs as YAML, and knows no key of ours. It refuses what is unknown, twice there or of
// another kind, expands environment variables, takes secrets from the files that are named, and reports everything at once, each with its path
// and line.
package strict

import (
	"os"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Options say where values come from.
type Options struct {
	Folder    string                           // where relative paths begin
	LookupEnv func(name string) (string, bool) // [of this process]
	MayLack   bool                             // a file that is not there is worth a warning only
	Types     *Types                           // shared by decodings of many files; may be nil
}

// Decode fills into, a pointer to a struct, from what Parse gave.
func Decode(root *yaml.Node, into any, o Options) *Report {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Types == nil {
		o.Types = &Types{}
	}
	d := &decoder{Report: newReport(), sources: files{o}, known: o.Types}
	d.value("", root, reflect.ValueOf(into).Elem())
	return d.Report
}

// Read is Decode of the text of a file, and judge reports what is wrong in meaning, each with its path. line is where a path stands; the error is
// an *Error that holds everything that is wrong.
func Read(name string, text []byte, o Options, into any, judge func(bad func(path, format string, args ...any))) (line func(path string) int, err error) {
	root, syntax := Parse(text)
	if syntax != nil {
		return nil, &Error{File: name, Problems: []Problem{*syntax}}
	}
	r := Decode(root, into, o)
	judge(r.Bad)
	if problems := r.Problems(); len(problems) > 0 {
		return nil, &Error{File: name, Problems: problems}
	}
	return r.Line, nil
}
