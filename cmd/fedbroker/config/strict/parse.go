package strict

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	MaxFile  = 1 << 20 // bytes of a file; ten thousand rules fit
	maxDepth = 32      // nested collections; the deepest key of ours is 8 below the top, a mapper's value may add to it
	maxNodes = 200_000 // values visited, aliases followed: a small file can't unfold into a large one
)

// Parse reads one YAML document that is a mapping. What it returns as an error has no path yet.
func Parse(text []byte) (*yaml.Node, *Problem) {
	if len(text) > MaxFile {
		return nil, &Problem{Text: fmt.Sprintf("want at most %d bytes, got %d", MaxFile, len(text))}
	}
	var document yaml.Node
	limits := loaderlimits.New(loaderlimits.DepthValue(maxDepth))
	if err := yaml.Load(text, &document, yaml.WithPlugin(limits)); err != nil {
		return nil, syntaxProblem(err)
	}
	if root := document.Content[0]; root.Kind != yaml.MappingNode {
		return nil, &Problem{Line: 1, Text: "want keys and values (issuer: …), got " + kindOf(root)}
	}
	return document.Content[0], nil
}

// syntaxProblem turns the parser's error into one of ours. The parser quotes nothing of the file but the names of anchors and directives, and a
// secret that begins with * looks like an anchor: so that message is ours.
func syntaxProblem(err error) *Problem {
	load, ok := errors.AsType[*yaml.LoadError](err)
	switch {
	case strings.Contains(err.Error(), "no documents in stream"):
		return &Problem{Line: 1, Text: "want keys and values (issuer: …), got nothing"}
	case strings.Contains(err.Error(), "found multiple"):
		return &Problem{Text: "want one document, got a second one after ---"}
	case !ok:
		return &Problem{Text: "want YAML: it can't be read"}
	case strings.Contains(load.Message, "anchor"):
		return &Problem{Line: load.Mark.Line, Column: load.Mark.Column, Text: "want YAML: a value that begins with * names an anchor (&) that is not there; quote it if it is text"}
	case strings.Contains(load.Message, "tag") || strings.Contains(load.Message, "directive"):
		return &Problem{Line: load.Mark.Line, Column: load.Mark.Column, Text: "want plain YAML without tags and directives; quote a value that begins with ! or %"}
	}
	text := "want YAML: " + load.Message
	if load.ContextMsg != "" {
		text += " (" + load.ContextMsg + ")"
	}
	return &Problem{Line: load.Mark.Line, Column: load.Mark.Column, Text: text}
}
