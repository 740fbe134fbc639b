package findings

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"fedbroker/mappers/printable"
)

// TextOptions say how a report is written.
type TextOptions struct {
	Color   bool // for a terminal
	Snippet bool // with what an issuer that nobody configured would need in the configuration
}

const heading = 7 // columns: the grade, or what a line is

// colors of a terminal (ECMA-48 §8.3.117), by grade.
var colors = map[Grade]string{Fail: "31", Warn: "33", Note: "36", OK: "32"}

// Text writes a report for people: the grade, then what is to be mended, worst first, then what is good in a line each.
func (r *Report) Text(w io.Writer, o TextOptions) error {
	p := printer{color: o.Color}
	worst := OK
	for _, g := range grades {
		if r.Counts[g] > 0 && g != Note {
			worst = g
			break
		}
	}
	p.row(p.in(colors[worst]+";1", "GRADE "+r.Overall), len("GRADE "+r.Overall), subject(r))
	p.row("", 0, fmt.Sprintf("%d failed, %d warned of, %d to note, %d good; at %s", r.Counts[Fail], r.Counts[Warn], r.Counts[Note], r.Counts[OK], r.Time.Format("2006-01-02T15:04:05Z")))
	for _, f := range r.Findings {
		if f.Grade == OK {
			continue
		}
		p.b.WriteByte('\n')
		p.row(p.in(colors[f.Grade], strings.ToUpper(string(f.Grade))), len(f.Grade), p.in("1", f.ID)+"  "+f.About+": "+f.Seen)
		p.row("  want", len("  want"), f.Want+" ("+f.Source+")")
		p.row("  fix", len("  fix"), f.Fix)
	}
	p.good(r)
	p.rest(r, o)
	_, err := io.WriteString(w, p.b.String())
	return err
}

func subject(r *Report) string {
	text := cmp.Or(r.Issuer, "no issuer") + " (kind " + r.Kind + ")"
	if r.Upstream != "" {
		text = r.Upstream + ": " + text
	}
	return text
}

// good lists what needs no mending, in columns.
func (p *printer) good(r *Report) {
	ids, abouts := 0, 0
	for _, f := range r.Findings {
		if f.Grade == OK {
			ids, abouts = max(ids, len(f.ID)), max(abouts, len([]rune(f.About)))
		}
	}
	if ids > 0 {
		p.b.WriteByte('\n')
	}
	for _, f := range r.Findings {
		if f.Grade == OK {
			p.row(p.in(colors[OK], string(OK)), len(OK), fmt.Sprintf("%-*s  %-*s  %s", ids, f.ID, min(abouts, maxAbout), f.About, f.Seen))
		}
	}
}

// maxAbout is the widest column of what findings are about.
const maxAbout = 48

func (p *printer) rest(r *Report, o TextOptions) {
	if len(r.Unchecked) > 0 {
		p.b.WriteByte('\n')
	}
	for _, u := range r.Unchecked {
		p.row("-", 1, "not checked: "+u)
	}
	if g := r.Registration; g != nil {
		p.b.WriteString("\nregister there:\n")
		for _, line := range [...]struct{ name, value string }{
			{"redirect URI", g.RedirectURI}, {"entity id", g.EntityID}, {"response type", g.ResponseType}, {"client authentication", g.AuthMethod},
			{"scopes", strings.Join(g.Scopes, " ")},
		} {
			if line.value != "" {
				fmt.Fprintf(&p.b, "  %-22s %s\n", line.name, printable.Text(line.value))
			}
		}
	}
	if o.Snippet && r.Snippet != "" {
		p.b.WriteString("\nfor the configuration file:\n" + r.Snippet)
	}
}

type printer struct {
	b     strings.Builder
	color bool
}

// row writes a heading of that width, and a text.
func (p *printer) row(head string, width int, text string) {
	p.b.WriteString(head + strings.Repeat(" ", max(heading-width, 0)+1) + text + "\n")
}

func (p *printer) in(color, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
