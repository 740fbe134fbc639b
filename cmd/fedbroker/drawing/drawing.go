// Package drawing draws lineages as text.
package drawing

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"fedbroker/broker/lineage"
)

// drawing is a tree on its way to paper. A token made from two others stands under both, but is drawn whole only once.
type drawing struct {
	w        io.Writer
	tree     lineage.Tree
	children map[string][]*lineage.Node
	drawn    map[string]bool
}

// Tree draws a lineage from its beginnings down: each token with what it says and whether it is still good.
func Tree(w io.Writer, tree lineage.Tree) {
	d := drawing{w, tree, make(map[string][]*lineage.Node), make(map[string]bool)}
	known := func(id string) bool {
		return slices.ContainsFunc(tree.Nodes, func(n lineage.Node) bool { return n.ID == id })
	}
	var roots []*lineage.Node
	for i := range tree.Nodes {
		n := &tree.Nodes[i]
		parents := slices.DeleteFunc(slices.Clone(n.Parents), func(id string) bool { return !known(id) })
		for _, id := range parents {
			d.children[id] = append(d.children[id], n)
		}
		if len(parents) == 0 {
			roots = append(roots, n)
		}
	}
	for _, n := range roots {
		d.node(n, "", "")
	}
	switch {
	case tree.LeftOff > 0 && tree.AtLeast:
		fmt.Fprintf(w, "… and at least %d more, left off: --live or a larger --limit shows more\n", tree.LeftOff)
	case tree.LeftOff > 0:
		fmt.Fprintf(w, "… and %d more, left off: --live or a larger --limit shows more\n", tree.LeftOff)
	}
}

// node draws n, its first line behind first, all that follows behind rest.
func (d *drawing) node(n *lineage.Node, first, rest string) {
	again := d.drawn[n.ID]
	d.drawn[n.ID] = true
	title := titleOf(n)
	if n.ID == d.tree.ID {
		title += "   ◀ asked for"
	}
	if again {
		fmt.Fprintf(d.w, "%s%s %s (drawn above)\n", first, nameOf(n), n.ID)
		return
	}
	fmt.Fprintf(d.w, "%s%s\n", first, title)
	children := d.children[n.ID]
	bar := "   "
	if len(children) > 0 {
		bar = "│  "
	}
	for _, line := range factsOf(n) {
		fmt.Fprintf(d.w, "%s%s%s\n", rest, bar, line)
	}
	for i, child := range children {
		if i == len(children)-1 {
			d.node(child, rest+"└─ ", rest+"   ")
		} else {
			d.node(child, rest+"├─ ", rest+"│  ")
		}
	}
}

func nameOf(n *lineage.Node) string {
	switch {
	case n.Kind == lineage.KindExternal:
		return "external token"
	case n.Kind == lineage.KindLogin:
		return "login"
	case n.TokenType == "":
		return "token"
	}
	return n.TokenType
}

func titleOf(n *lineage.Node) string {
	title := nameOf(n) + " " + n.ID
	switch n.State {
	case lineage.StateForeign:
		return title
	case lineage.StateLive:
		title += "  LIVE"
		if !n.Expires.IsZero() {
			title += " until " + moment(n.Expires)
		}
	case lineage.StateExpired:
		title += "  expired"
		if !n.Expires.IsZero() {
			title += " " + moment(n.Expires)
		}
	case lineage.StateRevoked:
		title += "  REVOKED by "
		if n.RevokedBy.Inherited {
			title += "an ancestor's "
		}
		title += n.RevokedBy.Kind + " " + n.RevokedBy.ID
	default:
		title += "  " + string(n.State)
	}
	return title
}

// factsOf are the lines below a node's title: who, for what, and how.
func factsOf(n *lineage.Node) (lines []string) {
	line := func(parts ...string) {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		if len(parts) > 0 {
			lines = append(lines, strings.Join(parts, " · "))
		}
	}
	fact := func(name, value string) string {
		if value == "" {
			return ""
		}
		return name + " " + value
	}
	subject := n.Subject
	if n.Erased {
		subject = "(erased)"
	}
	actors := slices.Clone(n.Actors)
	for i := range actors {
		if actors[i] == "" {
			actors[i] = "(erased)"
		}
	}
	line(fact("sub", subject), fact("upstream", n.Upstream), fact("actor", strings.Join(actors, ", acting for ")))
	line(fact("client", n.ClientID), fact("aud", strings.Join(n.Audiences, " ")), fact("scope", strings.Join(n.Scopes, " ")), map[bool]string{true: "bound to a key"}[n.Bound])
	if !n.Issued.IsZero() {
		line(fact("issued", moment(n.Issued)), fact("by", n.Grant), fact("rule", n.Rule), fact("sid", n.SessionID), fact("kid", n.KeyID))
	}
	return lines
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
