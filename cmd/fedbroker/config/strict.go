package config

import "reflect"

// Strict fills into, a pointer to a struct, from the text of another YAML file, as strictly as a configuration is read. judge reports what is wrong in
// meaning, each with its path. line is where a path stands; the error is an *Error that holds everything that is wrong.
func Strict(name string, text []byte, o Options, into any, judge func(bad func(path, format string, args ...any))) (line func(path string) int, err error) {
	root, syntax := parse(text)
	if syntax != nil {
		return nil, &Error{File: name, Problems: []Problem{*syntax}}
	}
	d := &decoder{report: newReport(), lookup: o.LookupEnv}
	d.value("", root, reflect.ValueOf(into).Elem())
	judge(d.bad)
	if len(d.problems) > 0 {
		return nil, &Error{File: name, Problems: ordered(d.problems)}
	}
	return func(path string) int { return d.locate(path, "").Line }, nil
}
