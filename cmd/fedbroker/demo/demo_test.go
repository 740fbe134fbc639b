package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"fedbroker/broker/oauth"
)

func TestSteps_BothKindsOfExchangeAndThreeRefusals(t *testing.T) {
	issued, own, refused := 0, 0, map[oauth.Code]bool{}
	for _, s := range steps() {
		switch {
		case s.want != "":
			refused[s.want] = true
		case s.subject == deskOrders:
			own++
		default:
			issued++
		}
	}
	if issued != 2 || own != 1 || len(refused) != 3 {
		t.Errorf("want two external exchanges, one of our own token and three kinds of refusal, got %d, %d and %v", issued, own, refused)
	}
}

// A walk that turns out otherwise than told is an error, not a story.
func TestWalk_OtherThanTold(t *testing.T) {
	h, err := open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	s := steps()[0]
	s.want = oauth.CodeInvalidTarget
	var out bytes.Buffer
	if err := h.walk(t.Context(), printer{out: &out}, 1, s); err == nil || out.Len() > 0 {
		t.Errorf("want an error and no output, got %v and %q", err, out.String())
	}
	s = steps()[3]
	s.want = ""
	if err := h.walk(t.Context(), printer{out: &out}, 4, s); err == nil || !strings.Contains(err.Error(), "condition") {
		t.Errorf("want an error with the operator's reason, got %v", err)
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelAt{text: "/jwks", cancel: cancel}
	if err := Run(ctx, Options{Out: out, Color: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\x1b[") {
		t.Error("want colour where it is wanted")
	}
}

// cancelAt cancels once a text has been written.
type cancelAt struct {
	bytes.Buffer
	text   string
	cancel func()
}

func (c *cancelAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

func TestPrint_FitsItsColumns(t *testing.T) {
	long := strings.Repeat("ä", 200)
	if got := utf8.RuneCountInString(fit(long, valueWidth)); got != valueWidth {
		t.Errorf("fit: want %d columns, got %d", valueWidth, got)
	}
	if got := fit("a", 3); got != "a  " {
		t.Errorf("fit: want padding, got %q", got)
	}
	if got := wrap("one two three", 7, "> "); got != "one two\n> three" {
		t.Errorf("wrap: got %q", got)
	}
	if total := 3 + nameWidth + 2*(len(between)+valueWidth); total > 100 {
		t.Errorf("want at most 100 columns, got %d", total)
	}
	for seconds, want := range map[string]string{"300": "5 min", "299": "299 s"} {
		if got := lifetime(map[string]any{"iat": json.Number("0"), "exp": json.Number(seconds)}); got != want {
			t.Errorf("lifetime: want %q, got %q", want, got)
		}
	}
}
