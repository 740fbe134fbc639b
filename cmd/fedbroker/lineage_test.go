package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/lineage"
	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

func TestDrawTree(t *testing.T) {
	at := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	until := at.Add(10 * time.Minute)
	tree := lineage.Tree{ID: "B", LeftOff: 3, AtLeast: true, Nodes: []lineage.Node{
		{ID: "A", Kind: lineage.KindToken, State: lineage.StateLive, TokenType: "access_token", ClientID: "gateway", Subject: "acme|ada", Upstream: "acme", Audiences: []string{"orders"}, Scopes: []string{"orders.read"},
			Rule: "partner-orders", Grant: "token-exchange", KeyID: "K", Issued: at, Expires: until, Parents: []string{"E"}},
		{ID: "F", Kind: lineage.KindExternal, State: lineage.StateForeign, Subject: "ci|job", Upstream: "ci"},
		{ID: "E", Kind: lineage.KindExternal, State: lineage.StateForeign, Erased: true, Upstream: "acme"},
		{ID: "B", Kind: lineage.KindToken, State: lineage.StateRevoked, TokenType: "access_token", ClientID: "orders-api", Subject: "acme|ada", Upstream: "acme", Actors: []string{"ci|job", ""}, Bound: true,
			RevokedBy: &lineage.Revocation{Kind: "rule", ID: "partner-orders", Inherited: true}, Issued: at, Expires: until, Parents: []string{"A", "F"}},
		{ID: "C", Kind: lineage.KindToken, State: lineage.StateExpired, TokenType: "id_token", Expires: at, Parents: []string{"B"}},
		{ID: "D", Kind: lineage.KindToken, State: lineage.StateLive, TokenType: "jwt", Parents: []string{"B", "elsewhere"}},
	}}
	var out bytes.Buffer
	drawTree(&out, tree)
	want := `external token F
│  sub ci|job · upstream ci
└─ access_token B  REVOKED by an ancestor's rule partner-orders   ◀ asked for
   │  sub acme|ada · upstream acme · actor ci|job, acting for (erased)
   │  client orders-api · bound to a key
   │  issued 2030-01-02T12:00:00Z
   ├─ id_token C  expired 2030-01-02T12:00:00Z
   └─ jwt D  LIVE
external token E
│  sub (erased) · upstream acme
└─ access_token A  LIVE until 2030-01-02T12:10:00Z
   │  sub acme|ada · upstream acme
   │  client gateway · aud orders · scope orders.read
   │  issued 2030-01-02T12:00:00Z · by token-exchange · rule partner-orders · kid K
   └─ access_token B (drawn above)
… and at least 3 more, left off: --live or a larger --limit shows more
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A server that answers with a circle does not keep the drawing from ending.
func TestDrawTree_EndsInACircle(t *testing.T) {
	var out bytes.Buffer
	drawTree(&out, lineage.Tree{ID: "B", Nodes: []lineage.Node{
		{ID: "A", Kind: lineage.KindToken, State: lineage.StateLive}, {ID: "B", Kind: lineage.KindToken, State: lineage.StateLive, Parents: []string{"A", "C"}},
		{ID: "C", Kind: lineage.KindToken, State: lineage.StateLive, Parents: []string{"B"}},
	}})
	if got := strings.Count(out.String(), "(drawn above)"); got != 1 {
		t.Errorf("%s", out.String())
	}
}

func TestRevocation_Asks(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, " YES \r\n": true, "n\n": false, "": false, "\n": false, "yep\n": false, "y": true} {
		var asked bytes.Buffer
		r := revocation{app: &app{in: strings.NewReader(answer), err: &asked}, kind: "client", id: "gateway"}
		if got := r.ask("12 live tokens"); got != want {
			t.Errorf("%q: %v", answer, got)
		}
		if !strings.Contains(asked.String(), "12 live tokens inactive") || !strings.Contains(asked.String(), "Revoke client gateway? [y/N]") {
			t.Errorf("asked %q", asked.String())
		}
	}
}

func TestOnTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.CreateTemp(t.TempDir(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if onTerminal(strings.NewReader("")) || onTerminal(null) || onTerminal(file) {
		t.Error("took for a terminal what is none")
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had here: %v", err)
	}
	defer terminal.Close()
	if !onTerminal(terminal) {
		t.Error("did not know a terminal")
	}
}

// keysAlone is an operator who knows the keys, and nothing else.
type keysAlone struct{ admin.Operator }

func (keysAlone) Keys(context.Context) ([]operator.Key, error) {
	return []operator.Key{{KeyID: "signs", State: "signing"}, {KeyID: "waits", State: "pending"}, {KeyID: "done", State: "retired"}, {KeyID: "dead", State: "compromised"}}, nil
}

// Revoking a key that signs would kill every token from then on at its birth: the way is its withdrawal.
func TestRevocation_KeyThatSignsIsWithdrawnInstead(t *testing.T) {
	for kid, want := range map[string]string{"signs": "keys rotate --compromised signs", "waits": "keys rotate --compromised waits", "unknown": "no signing key", "done": "", "dead": ""} {
		r := revocation{app: &app{}, kind: "kid", id: kid}
		err := r.refuse(t.Context(), keysAlone{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", kid, err)
		}
	}
	other := revocation{app: &app{}, kind: "client", id: "signs"}
	if err := other.refuse(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestLiving(t *testing.T) {
	for want, got := range map[string]string{
		"0 live tokens": living(lineage.Touched{}, nil), "1 live token": living(lineage.Touched{Tokens: 1}, nil),
		"at least 7 live tokens": living(lineage.Touched{Tokens: 7, AtLeast: true}, nil), "an unknown number of live tokens": living(lineage.Touched{}, errors.New("x")),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
