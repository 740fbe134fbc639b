package confighistory_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/confighistory"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// desk is a history on an engine, and the time that it thinks it is.
type desk struct {
	*confighistory.Store
	t      *testing.T
	engine store.Engine
	sealer *store.Sealer
	now    time.Time
}

func newDesk(t *testing.T, kind, path string) *desk {
	t.Helper()
	engine, err := engines.Open(kind, engines.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	sealer, err := store.NewSealer([]store.SealKey{{Key: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, engine: engine, sealer: sealer, now: time.Unix(1_800_000_000, 0).UTC()}
	if d.Store, err = confighistory.Open(engine, sealer, func() time.Time { return d.now }); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) apply(texts []confighistory.Text, cause confighistory.Cause) confighistory.Entry {
	d.t.Helper()
	d.now = d.now.Add(time.Minute)
	e, err := d.Add(d.t.Context(), texts, cause, "v1")
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

func (d *desk) list() []confighistory.Entry {
	d.t.Helper()
	all, err := d.List(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func numbered(i int) []confighistory.Text {
	return []confighistory.Text{{Text: fmt.Sprintf("issuer: https://a.example\nleeway: %ds\n", i)}, {Name: "upstreams.d/a.yaml", Text: "upstreams: []\n"}}
}

func TestHistory_TheTwentyFirstDropsTheFirst(t *testing.T) {
	d := newDesk(t, "memory", "")
	if got := d.list(); len(got) != 0 {
		t.Fatalf("want nothing yet, got %v", got)
	}
	var hashes []string
	for i := range confighistory.Kept + 1 {
		hashes = append(hashes, d.apply(numbered(i), confighistory.FileChange).Hash)
	}
	all := d.list()
	if len(all) != confighistory.Kept || all[0].Hash != hashes[confighistory.Kept] || all[len(all)-1].Hash != hashes[1] {
		t.Fatalf("want %d, the newest first, the first gone; got %d", confighistory.Kept, len(all))
	}
	if _, _, err := d.Get(t.Context(), hashes[0]); !errors.Is(err, confighistory.ErrNone) {
		t.Errorf("the first: want ErrNone, got %v", err)
	}
	e, texts, err := d.Get(t.Context(), hashes[7][:12])
	if err != nil || e.Hash != hashes[7] || len(texts) != 2 || texts[0] != numbered(7)[0] || texts[1] != numbered(7)[1] {
		t.Errorf("got %v, %v, %v", e, texts, err)
	}
}

func TestHistory_AppliedAgainIsTheSameEntry(t *testing.T) {
	d := newDesk(t, "memory", "")
	first := d.apply(numbered(1), confighistory.Start)
	second := d.apply(numbered(2), confighistory.Hangup)
	again := d.apply(numbered(1), confighistory.Rollback)
	all := d.list()
	if len(all) != 2 || all[0] != again || all[1] != second {
		t.Fatalf("want the one applied again first, got %+v", all)
	}
	if again.Hash != first.Hash || again.First != first.First || !again.Last.After(second.Last) || again.Cause != confighistory.Rollback || again.Changes != first.Changes {
		t.Errorf("want it as it was, with time and cause of now: %+v", again)
	}
	for i := range confighistory.Kept - 1 { // it is not the first to go
		d.apply(numbered(10+i), confighistory.FileChange)
	}
	if _, _, err := d.Get(t.Context(), again.Hash); err != nil {
		t.Errorf("the one applied again: %v", err)
	}
	if _, _, err := d.Get(t.Context(), second.Hash); !errors.Is(err, confighistory.ErrNone) {
		t.Errorf("the one that was applied longest ago: %v", err)
	}
}

func TestHistory_SaysWhatChanged(t *testing.T) {
	d := newDesk(t, "memory", "")
	for _, c := range []struct {
		texts []confighistory.Text
		want  string
	}{
		{[]confighistory.Text{{Text: "a\nb\n"}}, "the first of 1 files"},
		{[]confighistory.Text{{Text: "a\nc\nd\n"}, {Name: "upstreams.d/x.yaml", Text: "x"}}, "main file +2 -1, upstreams.d/x.yaml new"},
		{[]confighistory.Text{{Text: "a\nc\nd\n"}}, "upstreams.d/x.yaml gone"},
		{[]confighistory.Text{{Text: "c\na\nd\n"}}, "main file +0 -0"},
	} {
		if got := d.apply(c.texts, confighistory.FileChange).Changes; got != c.want {
			t.Errorf("want %q, got %q", c.want, got)
		}
	}
}

func TestHistory_HashParts(t *testing.T) {
	texts := []confighistory.Text{{Text: "ab"}, {Name: "upstreams.d/a.yaml", Text: "c"}}
	for name, other := range map[string][]confighistory.Text{
		"another text":         {{Text: "ax"}, texts[1]},
		"another border":       {{Text: "a"}, {Name: "b" + texts[1].Name, Text: "c"}},
		"another name":         {texts[0], {Name: "upstreams.d/b.yaml", Text: "c"}},
		"without the fragment": {texts[0]},
		"an empty file more":   {texts[0], texts[1], {Name: "upstreams.d/z.yaml"}},
	} {
		if confighistory.Hash(other) == confighistory.Hash(texts) {
			t.Errorf("%s: the same hash", name)
		}
	}
	if got := confighistory.Hash([]confighistory.Text{}); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("got %s", got)
	}
}

func TestHistory_FindWantsOneAndEnoughOfIt(t *testing.T) {
	all := []confighistory.Entry{{Hash: "abcd11"}, {Hash: "abcd22"}, {Hash: "ffff00"}}
	for prefix, want := range map[string]error{"ffff": nil, "abcd1": nil, "abcd": confighistory.ErrAmbiguous, "fff": confighistory.ErrNone, "": confighistory.ErrNone, "0000": confighistory.ErrNone} {
		if _, err := confighistory.Find(all, prefix); !errors.Is(err, want) {
			t.Errorf("%q: want %v, got %v", prefix, want, err)
		}
	}
}

// noise does not compress.
func noise(bytes int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var out strings.Builder
	for out.Len() < bytes {
		fmt.Fprintf(&out, "%016x", random.Uint64())
	}
	return out.String()
}

func TestHistory_LargeOnesAreInPiecesAndTooLargeOnesAreNotKept(t *testing.T) {
	d := newDesk(t, "memory", "")
	large := []confighistory.Text{{Text: noise(1 << 20)}}
	if e := d.apply(large, confighistory.Start); e.Chunks < 2 {
		t.Errorf("want pieces, got %d", e.Chunks)
	} else if _, texts, err := d.Get(t.Context(), e.Hash); err != nil || texts[0] != large[0] {
		t.Errorf("a large one does not come back: %v", err)
	}
	for name, texts := range map[string][]confighistory.Text{"too large": {{Text: noise(9 << 20)}}, "no UTF-8": {{Text: "a\xff"}}} {
		e := d.apply(texts, confighistory.FileChange)
		if _, _, err := d.Get(t.Context(), e.Hash); e.Chunks != 0 || !errors.Is(err, confighistory.ErrNotKept) || d.list()[0] != e {
			t.Errorf("%s: want it listed and not kept, got %+v, %v", name, e, err)
		}
	}
	if e := d.apply(numbered(1), confighistory.FileChange); e.Chunks != 1 || e.Changes != "2 files; those before can't be read" {
		t.Errorf("after one that is not kept: %+v", e)
	}
}

func TestP45_HistoryIsSealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	d := newDesk(t, "bbolt", path)
	const marker = "marker-of-a-secret"
	d.apply([]confighistory.Text{{Text: "seal: {key: " + marker + "}\n"}, {Name: "upstreams.d/marked-partner.yaml", Text: marker}}, confighistory.Start)
	records, err := d.engine.Scan(t.Context(), "config_history", store.Range{Limit: store.MaxScan})
	if err != nil || len(records) != 2 {
		t.Fatalf("want the list and one piece, got %d records, %v", len(records), err)
	}
	for _, record := range records {
		var written struct{ D struct{ Box []byte } }
		if err := json.Unmarshal(record.Value, &written); err != nil {
			t.Fatal(err)
		}
		box := written.D.Box
		plain, err := d.sealer.Open(t.Context(), "config_history", record.Key, box)
		if err != nil || len(plain) == 0 || bytes.Contains(box, plain[:8]) {
			t.Errorf("%s is not sealed: %v", record.Key, err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{marker, "marked-partner"} {
		if bytes.Contains(raw, []byte(hidden)) {
			t.Errorf("the store's file holds %q", hidden)
		}
	}
}
