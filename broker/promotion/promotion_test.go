package promotion_test

import (
	"bytes"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/promotion"
	"fedbroker/store/journal"
)

var began = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// lines are a journal of these events, a minute apart.
func lines(events ...event.Event) iter.Seq2[journal.Line, error] {
	return func(yield func(journal.Line, error) bool) {
		for i, e := range events {
			l := journal.Line{Seq: uint64(i + 1), At: began.Add(time.Duration(i) * time.Minute), Kind: journal.KindEvent, Data: e.AppendJSON(nil)}
			if !yield(l, nil) {
				return
			}
		}
	}
}

func denied(id, client string, audits ...string) event.Event {
	return event.Event{Kind: event.KindToken, Outcome: event.OutcomeDenied, DecisionID: id, Code: oauth.CodeInvalidRequest, Reason: oauth.ReasonCondition, ClientID: client, Upstream: "acme", Audits: audits}
}

func allowed(id, client, rule string, audits ...string) event.Event {
	return event.Event{Kind: event.KindToken, Outcome: event.OutcomeDone, DecisionID: id, ClientID: client, Upstream: "acme", Rule: rule, Audits: audits}
}

func read(t *testing.T, o promotion.Options, events ...event.Event) promotion.Report {
	t.Helper()
	r, err := promotion.Read(lines(events...), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRead_Printed(t *testing.T) {
	r := read(t, promotion.Options{Rules: []string{"next", "idle", "second"}},
		denied("d1", "gateway", "next"),
		denied("d2", "batch", "next", "second"),
		denied("d3", "gateway", "next"),
		denied("d4", "gateway"),
		allowed("d5", "gateway", "orders", "next"),
		allowed("d6", "gateway", "other", "gone"),
		event.Event{Kind: event.KindLogin, Outcome: event.OutcomeDone, Audits: []string{"next"}},
	)
	var out bytes.Buffer
	r.Print(&out)
	const want = `6 token requests

next: enforced, it newly allows 3 requests of 2 clients, and decides 1 in place of others
  denied now             3  by client: gateway 2, batch 1
                            by upstream: acme 3
                            first 2030-01-02T12:00:00Z, last 2030-01-02T12:02:00Z
                            decisions: d1 d2 d3
  allowed now by orders  1  by client: gateway 1
                            by upstream: acme 1
                            first 2030-01-02T12:04:00Z, last 2030-01-02T12:04:00Z
                            decisions: d5

idle: nothing came that it would decide: there is no telling what it does

second: enforced, it newly allows 1 request of 1 client, and decides nothing in place of others
  denied now   1  by client: batch 1
                  by upstream: acme 1
                  first 2030-01-02T12:01:00Z, last 2030-01-02T12:01:00Z
                  decisions: d2
  behind next  1  which is tried out, too, and would decide these first

gone: not in mode audit any more
  allowed now by other  1  by client: gateway 1
                           by upstream: acme 1
                           first 2030-01-02T12:05:00Z, last 2030-01-02T12:05:00Z
                           decisions: d6
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestRead_AllowsNobodyMore(t *testing.T) {
	r := read(t, promotion.Options{Rules: []string{"next"}}, allowed("d1", "gateway", "a", "next"), allowed("d2", "gateway", "b", "next"), allowed("d3", "gateway", "b", "next"))
	if got := r.Rules[0]; got.Verdict != "enforced, it allows nobody more, and decides 3 requests in place of others" || got.Takes[0].Rule != "b" || got.Takes[1].Rule != "a" {
		t.Errorf("got %+v", got)
	}
}

func TestRead_Since(t *testing.T) {
	r := read(t, promotion.Options{Rules: []string{"next"}, Since: began.Add(time.Minute)}, denied("d1", "gateway", "next"), denied("d2", "gateway", "next"))
	if r.Decisions != 1 || r.Rules[0].Decided != 1 || r.Rules[0].Allows.Samples[0] != "d2" {
		t.Errorf("want the later one alone, got %+v", r)
	}
}

// However many there are, the report stays short: the newest are the ones that can still be explained.
func TestRead_SamplesAreFew(t *testing.T) {
	var all []event.Event
	for _, id := range strings.Fields("a b c d e f g") {
		all = append(all, denied(id, "gateway", "next"))
	}
	if got := read(t, promotion.Options{Rules: []string{"next"}}, all...).Rules[0].Allows; got.Count != 7 || strings.Join(got.Samples, "") != "cdefg" {
		t.Errorf("got %+v", got)
	}
}

func TestReport_Only(t *testing.T) {
	r := read(t, promotion.Options{Rules: []string{"a", "b"}})
	if one, known := r.Only("b"); !known || len(one.Rules) != 1 || one.Rules[0].ID != "b" {
		t.Errorf("got %+v, %t", one, known)
	}
	if _, known := r.Only("c"); known || len(r.Rules) != 2 {
		t.Error("want nothing known of c, and the report left as it is")
	}
}

func TestRead_BrokenJournal(t *testing.T) {
	broken := errors.New("the chain is broken")
	if _, err := promotion.Read(func(yield func(journal.Line, error) bool) { yield(journal.Line{}, broken) }, promotion.Options{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := promotion.Read(func(yield func(journal.Line, error) bool) {
		yield(journal.Line{Seq: 7, Kind: journal.KindEvent, Data: []byte("{")}, nil)
	}, promotion.Options{}); err == nil || !strings.HasPrefix(err.Error(), "line 7: ") {
		t.Errorf("got %v", err)
	}
}
