package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/operator"
	"fedbroker/upstreams/shape"
)

// shapeOf is what is known of the tokens that acme's people exchange.
func (h *house) shapeOf(upstream string) operator.ClaimShape {
	h.t.Helper()
	d, err := h.broker.Operator().Drift(h.t.Context(), upstream)
	if err != nil {
		h.t.Fatal(err)
	}
	if len(d.Sources) == 0 {
		return operator.ClaimShape{}
	}
	return d.Sources[0]
}

// exchanging exchanges tokens of acme until n more have been looked at: all of them at first, then one in a while.
func (h *house) exchanging(n uint64, change func(map[string]any)) {
	h.t.Helper()
	known := h.shapeOf("acme")
	for tries := 0; h.shapeOf("acme").Tokens < known.Tokens+n; tries++ {
		if tries > 10*shape.Learn {
			h.t.Fatal("nobody looks at tokens")
		}
		if !known.Baseline.IsZero() {
			h.now.Add(1)
		}
		if a := h.do(call{path: "/token", form: exchangeForm(h.partner(change), "orders"), header: as("gateway")}); a.status != http.StatusOK {
			h.t.Fatalf("exchange: %d %s", a.status, a.raw)
		}
	}
}

// running has the broker's loops run, too.
func (h *house) running() *house {
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.broker.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
	return h
}

// soon waits for what the broker does beside its answers.
func (h *house) soon(what string, is func() bool) {
	h.t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	h.t.Fatalf("no %s", what)
}

func (h *house) metrics() string {
	w := httptest.NewRecorder()
	h.broker.Metrics().Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestClaimShape_AListThatBecomesAStringIsAnEventAMetricAndNamesTheRule(t *testing.T) {
	h := newHouse(t).running()
	asList := func(map[string]any) {}
	asText := func(c map[string]any) { c["roles"] = "eng-ord" }
	h.exchanging(shape.Learn, asList)
	if s := h.shapeOf("acme"); s.Source != "exchange" || s.Lacking != 0 || len(s.Changes) != 0 || s.Baseline.IsZero() {
		t.Fatalf("%+v", s)
	}
	h.exchanging(3, asText)
	const counted = `fedbroker_upstream_claim_shape_changes_total{change="retyped",upstream="acme"} 1`
	h.soon("metric", func() bool { return strings.Contains(h.metrics(), counted+"\n") })
	h.soon("log line", func() bool {
		return strings.Contains(h.log.text(), `"changes":["exchange roles: list of string → string"]`)
	})
	h.soon("journal line", func() bool {
		return slices.ContainsFunc(h.lines(), func(l map[string]any) bool {
			return l["kind"] == "upstream_claims" && l["outcome"] == "raised" && l["upstream"] == "acme" && slices.Equal(l["claims"].([]any), []any{"roles"})
		})
	})
	s := h.shapeOf("acme")
	if len(s.Changes) != 1 {
		t.Fatalf("%+v", s.Changes)
	}
	c := s.Changes[0]
	if c.Claim != "roles" || c.Change != shape.Retyped || c.Was != "list of string" || c.Is != "string" || c.Since.Before(begun) ||
		!slices.Equal(c.ReadBy, []string{"mappers[0] groups", "exchange partner-orders (subject.when, by principal.groups)"}) {
		t.Errorf("%+v", c)
	}

	if a, err := h.broker.Operator().AcceptShape(t.Context(), "acme"); err != nil || a.Changes != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := h.broker.Reload(t.Context(), h.config); err != nil {
		t.Fatal(err)
	}
	before := h.shapeOf("acme").Tokens
	h.exchanging(2, asText)
	if s := h.shapeOf("acme"); s.Tokens < before+2 {
		t.Errorf("a reload forgot what was learnt: %+v", s)
	}
	if s := h.shapeOf("acme"); len(s.Changes) != 0 {
		t.Errorf("accepted, and yet %+v", s.Changes)
	}
	if !slices.ContainsFunc(h.lines(), func(l map[string]any) bool { return l["kind"] == "upstream_accept" }) {
		t.Error("the journal does not say that it was accepted")
	}
	if got := strings.Count(h.log.text(), "claims of upstream changed"); got != 1 {
		t.Errorf("told %d times", got)
	}
	if _, err := h.broker.Operator().Drift(t.Context(), "nobody"); err == nil {
		t.Error("want an error for an upstream that is not configured")
	}
}

// Whoever can't sign for acme moves nothing, and nothing that a token says is told but names.
func TestClaimShape_ForgedTokensMoveNothing(t *testing.T) {
	h := newHouse(t).running()
	h.exchanging(shape.Learn, func(map[string]any) {})
	before := h.shapeOf("acme").Tokens
	for range 5 {
		h.now.Add(1)
		forged := h.partner(func(c map[string]any) { c["roles"], c["forged"] = 1, "x" })
		if a := h.do(call{path: "/token", form: exchangeForm(forged[:len(forged)-8]+"AAAAAAAA", "orders"), header: as("gateway")}); a.status == http.StatusOK {
			t.Fatal("a forged token passed")
		}
	}
	if s := h.shapeOf("acme"); s.Tokens != before || len(s.Changes) != 0 {
		t.Errorf("%+v", s)
	}
	h.exchanging(1, func(c map[string]any) {
		c["secret-project"] = map[string]any{"ada@acme.example": "s3cr3t-value", "n": "s3cr3t-value"}
	})
	h.soon("log line", func() bool { return strings.Contains(h.log.text(), "claims of upstream changed") })
	if all := h.log.text(); strings.Contains(all, "s3cr3t-value") || strings.Contains(all, "ada@") || !strings.Contains(all, "secret-project: nothing → object") {
		t.Error("the log holds more than names and types, or less")
	}
}
