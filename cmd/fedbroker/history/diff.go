package history

import (
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"fedbroker/cmd/fedbroker/config"
)

// nowhere is the name of a file that one side does not have.
const nowhere = "/dev/null"

// differences is a unified diff of two configurations, file by file, without their secrets: "" where they are the same. main is what the main file is called.
func differences(main string, before, after []config.Text) string {
	was, is := byName(before), byName(after)
	names := slices.Sorted(maps.Keys(was))
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if _, both := was[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	r := newRedactor()
	var out strings.Builder
	for _, name := range names {
		oldText, had := was[name]
		newText, has := is[name]
		if oldText == newText && had == has {
			continue
		}
		shown := name
		if name == "" {
			shown = main
		}
		side := func(there bool, text, prefix string) (string, []byte) {
			if !there {
				return nowhere, nil
			}
			return prefix + shown, []byte(r.text(text))
		}
		oldName, oldLines := side(had, oldText, "a/")
		newName, newLines := side(has, newText, "b/")
		out.Write(diff.Diff(oldName, oldLines, newName, newLines))
	}
	return out.String()
}

func byName(texts []config.Text) map[string]string {
	out := make(map[string]string, len(texts))
	for _, t := range texts {
		out[t.Name] = t.Text
	}
	return out
}
