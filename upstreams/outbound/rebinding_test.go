package outbound

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// A name that leads to one address when it is first asked for, and to another later, is judged anew each time that it is dialled: what it was is not
// remembered, and what it is is not asked twice.
func TestP43_RebindingNamesAreJudgedAtEachDial(t *testing.T) {
	s := server(t, true, jsonBody(`{"a":1}`))
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, second := range []string{"169.254.169.254", "0.0.0.0", "224.0.0.1"} {
		var asked atomic.Int32
		c := client(t, Options{AllowPrivate: []string{"example.com"}, CAFile: caFile(t, s)})
		first, then := resolver("127.0.0.1"), resolver(second)
		c.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if asked.Add(1) <= 2 { // the questions of the first dial, for A and AAAA
				return first.Dial(ctx, network, address)
			}
			return then.Dial(ctx, network, address)
		}}
		if _, _, err := c.GetJSON(t.Context(), "https://example.com"+port, Get{}); err != nil {
			t.Fatalf("while the name is where it may be: %v", err)
		}
		c.Close() // the next request dials again
		_, _, err := c.GetJSON(t.Context(), "https://example.com"+port, Get{})
		if e := wantClass(t, err, ClassAddress); !strings.Contains(e.Error(), second) {
			t.Errorf("got %v, want the address that was dialled", e)
		}
	}
}
