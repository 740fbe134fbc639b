package history_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams/history"
)

var start = time.Unix(1_800_000_000, 0)

func one(kid string, change history.Change) []history.Entry {
	return []history.Entry{{KeyID: kid, Thumbprint: "t-" + kid, Change: change}}
}

func three() history.Log {
	var l history.Log
	l.Append("acme", start, one("k1", history.Added))
	l.Append("acme", start.Add(time.Hour), append(one("k2", history.Added), one("k3", history.Added)...))
	return l
}

func TestP44_HistoryHoldsAsWritten(t *testing.T) {
	l := three()
	if err := l.Verify("acme"); err != nil || len(l.Entries) != 3 || l.Head == "" {
		t.Fatalf("%+v, %v", l, err)
	}
	if !l.Entries[2].Time().Equal(start.Add(time.Hour)) || l.Entries[1].Previous == l.Entries[2].Previous {
		t.Errorf("%+v", l.Entries)
	}
	if err := (history.Log{}).Verify("acme"); err != nil {
		t.Errorf("an empty one: %v", err)
	}
}

func TestP44_HistoryShowsEveryTampering(t *testing.T) {
	for name, tamper := range map[string]func(*history.Log){
		"time":                  func(l *history.Log) { l.Entries[0].At++ },
		"kid":                   func(l *history.Log) { l.Entries[1].KeyID = "k9" },
		"thumbprint":            func(l *history.Log) { l.Entries[2].Thumbprint = "x" },
		"change":                func(l *history.Log) { l.Entries[0].Change = history.Removed },
		"first taken out":       func(l *history.Log) { l.Entries = l.Entries[1:] },
		"middle taken out":      func(l *history.Log) { l.Entries = slices.Delete(l.Entries, 1, 2) },
		"last taken out":        func(l *history.Log) { l.Entries = l.Entries[:2] },
		"all taken out":         func(l *history.Log) { l.Entries = nil },
		"order":                 func(l *history.Log) { l.Entries[1], l.Entries[2] = l.Entries[2], l.Entries[1] },
		"head":                  func(l *history.Log) { l.Head = l.Entries[2].Previous },
		"first, said to be cut": func(l *history.Log) { l.Entries, l.Dropped = l.Entries[2:], 0 },
	} {
		l := three()
		tamper(&l)
		if err := l.Verify("acme"); !errors.Is(err, history.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l := three(); !errors.Is(l.Verify("zeta"), history.ErrBroken) {
		t.Error("another upstream's passes")
	}
}

func TestP44_HistoryIsBoundedAndKeepsItsHead(t *testing.T) {
	var l history.Log
	worst := strings.Repeat("~", 64)
	for range history.Limit + 500 {
		l.Append("acme", start, []history.Entry{{KeyID: worst, Thumbprint: strings.Repeat("x", 43), Change: history.Removed}})
	}
	if len(l.Entries) != history.Limit || l.Dropped != 500 {
		t.Fatalf("%d entries, %d dropped", len(l.Entries), l.Dropped)
	}
	if err := l.Verify("acme"); err != nil {
		t.Error(err)
	}
	raw, err := json.Marshal(l)
	const record = 256 << 10 // the engine's limit of a value
	if err != nil || len(raw) > record-1024 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestP44_CompareTellsAddedRemovedAndChanged(t *testing.T) {
	key := func(text string) history.Key {
		kid, thumbprint, _ := strings.Cut(text, "/")
		return history.Key{ID: kid, Thumbprint: thumbprint}
	}
	set := func(text string) (keys []history.Key) {
		for _, k := range strings.Fields(text) {
			keys = append(keys, key(k))
		}
		return keys
	}
	for _, tc := range []struct{ name, before, after, want string }{
		{"first", "", "a/1 b/2", "added a/1, added b/2"},
		{"same", "a/1 b/2", "b/2 a/1", ""},
		{"rotation", "a/1 b/2", "b/2 c/3", "added c/3, removed a/1"},
		{"reused kid", "a/1", "a/2", "changed a/2"},
		{"reused kid beside the old one", "a/1", "a/1 a/2", "added a/2"},
		{"no kid", "/1", "/2", "added /2, removed /1"},
		{"same key under another kid", "a/1", "b/1", "added b/1, removed a/1"},
		{"one of two of a kid", "a/1 a/2", "a/3 a/2", "changed a/3"},
	} {
		var got []string
		for _, e := range history.Compare(set(tc.before), set(tc.after)) {
			got = append(got, fmt.Sprintf("%s %s/%s", e.Change, e.KeyID, e.Thumbprint))
		}
		if text := strings.Join(got, ", "); text != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, text, tc.want)
		}
	}
}

func TestP44_AKidOfAStrangerIsBoundedAndPlain(t *testing.T) {
	for kid, want := range map[string]string{
		"\x1b[31mred\nnext": "?[31mred?next", `a"b\c<d>&`: "a?b?c?d??", strings.Repeat("x", 1000): strings.Repeat("x", 64), "ключ": "????",
	} {
		if got := history.Compare(nil, []history.Key{{ID: kid}})[0].KeyID; got != want {
			t.Errorf("%q: got %q", kid, got)
		}
	}
}
