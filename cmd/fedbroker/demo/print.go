package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"fedbroker/cmd/fedbroker/demo/app"
	"fedbroker/store/journal"
)

// Columns of a table of claims: together with the space between them at most 100 wide.
const (
	nameWidth  = 19
	valueWidth = 37
	between    = "  "
)

// printer writes for people.
type printer struct {
	out   io.Writer
	color bool
}

// Styles (ECMA-48 §8.3.117), used on terminals only.
const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "31"
)

func (p printer) style(style, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (p printer) line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

func (p printer) opening(h *house) {
	p.line("%s", p.style(bold, "fedbroker demo: many identity providers, and one issuer that our apps and services trust"))
	p.line("")
	for _, part := range [][2]string{
		{"sample app: open this", h.app.URL()}, {"Acme's identity provider", h.acme.Issuer()}, {"Globex's identity provider", h.globex.Issuer()},
		{"CI's identity provider", h.ci.Issuer()}, {"fedbroker", h.issuer},
	} {
		p.line("  %-29s %s", part[0], part[1])
	}
}

// login is a step of a person.
func (p printer) login(title, story string) {
	p.line("\n%s", p.style(green+";"+bold, "·  "+title))
	p.line("   %s", wrap(story, 94, "   "))
}

func (p printer) step(number int, s step) {
	style := green
	if s.want != "" {
		style = red
	}
	p.line("\n%s", p.style(style+";"+bold, fmt.Sprintf("%d  %s", number, s.title)))
	p.line("   %s", s.story)
	who := s.client
	if who == "" {
		who = "nobody in particular (anonymous)"
	}
	p.line("   %s", p.style(dim, fmt.Sprintf("asked by %s, for %s, scope %s", who, s.target, s.scope)))
}

// shown are the claims worth comparing, in this order; whatever a mapper made follows them.
var shown = [...]string{"iss", "sub", "aud", "scope", "client_id", "upstream"}

// hidden are claims that say nothing to a reader of the demo, or that only CI's token has.
var hidden = [...]string{"iat", "nbf", "exp", "jti", "lin", "origin_exp", "auth_time", "nonce", "sid", "at_hash", "azp"}

func (p printer) exchange(before, after map[string]any) {
	p.line("")
	p.row(bold, "claim", "before: what came", "after: what left")
	names := slices.Clone(shown[:])
	for _, claims := range []map[string]any{after, {"repository_owner_id": nil, "ref": nil, "realm": nil, "department": nil}} {
		var more []string
		for name := range claims {
			_, either := before[name]
			if _, made := after[name]; (either || made) && !slices.Contains(names, name) && !slices.Contains(hidden[:], name) {
				more = append(more, name)
			}
		}
		slices.Sort(more)
		names = append(names, more...)
	}
	for _, name := range names {
		if old, new := app.Text(before[name]), app.Text(after[name]); old != "" || new != "" {
			p.row("", name, old, new)
		}
	}
	p.row("", "lifetime", lifetime(before), lifetime(after))
}

func (p printer) row(style, name, before, after string) {
	line := "   " + fit(name, nameWidth) + between + fit(before, valueWidth) + between + cut(after, valueWidth)
	if style != "" {
		line = p.style(style, line)
	}
	p.line("%s", strings.TrimRight(line, " "))
}

func (p printer) refusal(got answer, reason string) {
	p.line("")
	indent := strings.Repeat(" ", 23)
	p.line("   the caller reads    %d %s, decision %s", got.status, got.Error, got.DecisionID)
	p.line("%s%s", indent, got.Description)
	p.line("   the operator reads  %s", wrap(reason, 75, indent))
}

// journal shows that all of it is on record.
func (p printer) journal(h *house) error {
	head, err := journal.Verify(h.journalDir)
	if err != nil {
		return err
	}
	p.line("\n%s", p.style(bold, fmt.Sprintf("Journal: %d lines, hash-chained, verified from the first to the last", head.Seq)))
	return nil
}

// repeat prints each step as a command that can be pasted. The desk's tokens are fresh each time.
func (p printer) repeat(h *house, steps []step) {
	p.line("\n%s", p.style(bold, "Everything keeps running until Ctrl-C. Open the sample app: "+h.app.URL()))
	p.line("Sign in as ada or alan at Acme, or as grace at Globex; no password is asked.")
	p.line("\n%s", p.style(bold, "The exchanges by hand:"))
	for i, s := range steps {
		p.line("\n%s", p.style(dim, fmt.Sprintf("# %d  %s", i+1, s.title)))
		p.line("%s", h.curl(s))
	}
	p.line("\n%s", p.style(dim, "# what verifiers fetch"))
	p.line("curl -s %s/jwks", h.issuer)
}

// curl is the step as a command line.
func (h *house) curl(s step) string {
	form := s.form("")
	lines := []string{"curl -s " + h.issuer + "/token"}
	if s.client != "" {
		lines = append(lines, "-u "+s.client+":"+h.secrets[s.client])
	}
	for _, name := range []string{"grant_type", "subject_token_type", "audience", "scope"} {
		lines = append(lines, "-d "+name+"="+form.Get(name))
	}
	lines = append(lines, `-d subject_token="$(curl -s `+h.desk.url()+"/"+s.subject+`)"`)
	return strings.Join(lines, " \\\n  ")
}

func lifetime(claims map[string]any) string {
	from, err1 := number(claims["iat"])
	to, err2 := number(claims["exp"])
	if err1 != nil || err2 != nil {
		return ""
	}
	seconds := to - from
	if seconds%60 == 0 {
		return fmt.Sprintf("%d min", seconds/60)
	}
	return fmt.Sprintf("%d s", seconds)
}

func number(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("want a number, got %T", v)
	}
	return n.Int64()
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

func fit(s string, width int) string {
	s = cut(s, width)
	return s + strings.Repeat(" ", width-utf8.RuneCountInString(s))
}

// wrap breaks a text at spaces; lines after the first begin with indent.
func wrap(s string, width int, indent string) string {
	var out strings.Builder
	column := 0
	for i, word := range strings.Fields(s) {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+length > width:
			out.WriteString("\n" + indent)
			column = 0
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += length
	}
	return out.String()
}
