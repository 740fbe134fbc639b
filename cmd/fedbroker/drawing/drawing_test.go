package drawing

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/lineage"
)

func TestTree(t *testing.T) {
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
	Tree(&out, tree)
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
func TestTree_EndsInACircle(t *testing.T) {
	var out bytes.Buffer
	Tree(&out, lineage.Tree{ID: "B", Nodes: []lineage.Node{
		{ID: "A", Kind: lineage.KindToken, State: lineage.StateLive}, {ID: "B", Kind: lineage.KindToken, State: lineage.StateLive, Parents: []string{"A", "C"}},
		{ID: "C", Kind: lineage.KindToken, State: lineage.StateLive, Parents: []string{"B"}},
	}})
	if got := strings.Count(out.String(), "(drawn above)"); got != 1 {
		t.Errorf("%s", out.String())
	}
}
