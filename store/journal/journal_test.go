package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fedbroker/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.UnixMilli(1_900_000_000_123).UTC()

func fixedNow() time.Time { return epoch }

func openJournal(t *testing.T, o Options) *Journal {
	t.Helper()
	if o.Now == nil {
		o.Now = fixedNow
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func payload(i int) []byte { return fmt.Appendf(nil, `{"n":%d}`, i) }

func appendN(t *testing.T, j *Journal, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		at, err := j.Append(t.Context(), payload(i))
		if err != nil {
			t.Fatal(err)
		}
		if at.Seq != uint64(i) {
			t.Fatalf("line %d got sequence %d", i, at.Seq)
		}
	}
}

func closeJournal(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantLines checks that the journal holds payloads 1 to n, in order.
func wantLines(t *testing.T, dir string, n int) {
	t.Helper()
	seen := 0
	for l, err := range Scan(dir) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if l.Seq != uint64(seen) || !bytes.Equal(l.Data, payload(seen)) || l.Kind != KindEvent || !l.At.Equal(epoch) {
			t.Fatalf("line %d: %+v %s", seen, l, l.Data)
		}
	}
	if seen != n {
		t.Fatalf("%d lines, want %d", seen, n)
	}
	if h, err := Verify(dir); err != nil || h.Seq != uint64(n) {
		t.Fatalf("verify: %+v, %v", h, err)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func overwrite(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, segmentMode); err != nil {
		t.Fatal(err)
	}
}

func TestAppend_IsDurableChainedAndContinued(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "journal")
	j := openJournal(t, Options{Dir: dir})
	appendN(t, j, 1, 3)
	wantLines(t, dir, 3) // before Close: Append waited
	head := j.Head()
	closeJournal(t, j)

	j = openJournal(t, Options{Dir: dir})
	if j.Head() != head || j.Recovered() != 0 {
		t.Errorf("head %+v after opening, recovered %d, want %+v", j.Head(), j.Recovered(), head)
	}
	appendN(t, j, 4, 2)
	wantLines(t, dir, 5)
}

// TestLine_FormIsTheDocumentedOne holds the bytes: what is signed, anchored and searched outside this program.
func TestLine_FormIsTheDocumentedOne(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	appendN(t, j, 1, 2)
	lines := strings.Split(string(read(t, files(t, dir)[0])), "\n")
	first := fmt.Sprintf(`{"v":1,"log":"%s","seq":1,"prev":"%064d","at":1900000000123,"kind":"event","data":{"n":1}}`, j.Head().Log, 0)
	sum := sha256.Sum256([]byte(first))
	second := fmt.Sprintf(`{"v":1,"log":"%s","seq":2,"prev":"%s","at":1900000000123,"kind":"event","data":{"n":2}}`, j.Head().Log, hex.EncodeToString(sum[:]))
	if len(lines) != 3 || lines[0] != first || lines[1] != second || lines[2] != "" {
		t.Errorf("got\n%s\nwant\n%s\n%s", strings.Join(lines, "\n"), first, second)
	}
	if !json.Valid([]byte(lines[0])) {
		t.Error("a line is not JSON")
	}
}

func TestAppend_ManyCallersShareSyncs(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, SegmentBytes: 4096})
	const callers, each = 64, 20
	seen := make([]bool, callers*each+1)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for i := range each {
				at, err := j.Append(t.Context(), payload(i))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[at.Seq] {
					t.Errorf("sequence %d given twice", at.Seq)
				}
				seen[at.Seq] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	h, err := Verify(dir)
	if err != nil || h.Seq != callers*each || h != j.Head() {
		t.Errorf("verify: %+v, %v, head %+v", h, err, j.Head())
	}
	if n := len(files(t, dir)); n < 2 {
		t.Errorf("%d segments, want the journal to have rotated", n)
	}
}

func TestAppend_RefusesWhatIsNotOneObjectOnOneLine(t *testing.T) {
	j := openJournal(t, Options{Dir: t.TempDir()})
	for _, c := range []struct {
		name, payload string
		want          error
	}{
		{"empty", ``, store.ErrInvalid},
		{"an array", `[1]`, store.ErrInvalid},
		{"a line break", "{\"a\":\n1}", store.ErrInvalid},
		{"two objects", `{}{}`, store.ErrInvalid},
		{"the end of the line and a forged one", `{}}` + "\n" + `{"v":1}`, store.ErrInvalid},
		{"not JSON", `{"a"}`, store.ErrInvalid},
		{"a member twice", `{"a":1,"a":2}`, store.ErrInvalid},
		{"not UTF-8", "{\"a\":\"\xff\"}", store.ErrInvalid},
		{"too large", `{"a":"` + strings.Repeat("a", MaxPayload) + `"}`, store.ErrTooLarge},
	} {
		if _, err := j.Append(t.Context(), []byte(c.payload)); !errors.Is(err, c.want) {
			t.Errorf("%s: append: %v, want %v", c.name, err, c.want)
		}
		if err := j.Queue([]byte(c.payload)); !errors.Is(err, c.want) {
			t.Errorf("%s: queue: %v, want %v", c.name, err, c.want)
		}
	}
	appendN(t, j, 1, 1)
}

func TestOpen_CutsATornLastLine(t *testing.T) {
	for _, torn := range []string{`{`, `{"v":1,"log":"x`, "\x00\x00\x00", strings.Repeat("x", 100_000)} {
		dir := t.TempDir()
		j := openJournal(t, Options{Dir: dir})
		appendN(t, j, 1, 3)
		closeJournal(t, j)
		path := files(t, dir)[0]
		overwrite(t, path, append(read(t, path), torn...))
		wantLines(t, dir, 3) // readers pass over it

		j = openJournal(t, Options{Dir: dir})
		if j.Recovered() != int64(len(torn)) {
			t.Errorf("recovered %d bytes, want %d", j.Recovered(), len(torn))
		}
		if raw := read(t, path); !bytes.HasSuffix(raw, []byte("}\n")) {
			t.Error("the torn line is still there")
		}
		appendN(t, j, 4, 1)
		wantLines(t, dir, 4)
		closeJournal(t, j)
	}
}

func TestOpen_AfterACrashBetweenNewSegmentAndFirstLine(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	appendN(t, j, 1, 2)
	closeJournal(t, j)
	overwrite(t, segmentPath(dir, 3), nil)
	j = openJournal(t, Options{Dir: dir})
	appendN(t, j, 3, 1)
	wantLines(t, dir, 3)
	if n := len(files(t, dir)); n != 2 {
		t.Errorf("%d segments, want 2", n)
	}
}

// tampered are ways to alter three segments of several lines each; every one must be seen.
var tampered = []struct {
	name  string
	alter func(t *testing.T, dir string, segments []string)
}{
	{"a byte of a payload", func(t *testing.T, _ string, s []string) {
		overwrite(t, s[0], bytes.Replace(read(t, s[0]), []byte(`{"n":2}`), []byte(`{"n":9}`), 1))
	}},
	{"a line taken out", func(t *testing.T, _ string, s []string) {
		lines := bytes.SplitAfter(read(t, s[0]), []byte("\n"))
		overwrite(t, s[0], append(bytes.Clone(lines[0]), bytes.Join(lines[2:], nil)...))
	}},
	{"two lines exchanged", func(t *testing.T, _ string, s []string) {
		lines := bytes.SplitAfter(read(t, s[1]), []byte("\n"))
		lines[0], lines[1] = lines[1], lines[0]
		overwrite(t, s[1], bytes.Join(lines, nil))
	}},
	{"a segment taken out", func(t *testing.T, _ string, s []string) {
		if err := os.Remove(s[1]); err != nil {
			t.Fatal(err)
		}
	}},
	{"the end of a finished segment cut off", func(t *testing.T, _ string, s []string) {
		raw := read(t, s[1])
		overwrite(t, s[1], raw[:len(raw)-5])
	}},
	{"the beginning of a line behind a finished segment", func(t *testing.T, _ string, s []string) {
		overwrite(t, s[0], append(read(t, s[0]), `{"v":1`...))
	}},
	{"a line of another version", func(t *testing.T, _ string, s []string) {
		overwrite(t, s[2], bytes.Replace(read(t, s[2]), []byte(`{"v":1`), []byte(`{"v":2`), 1))
	}},
	{"a number written otherwise", func(t *testing.T, _ string, s []string) {
		raw := read(t, s[2])
		at := bytes.LastIndex(raw, []byte(`"at":`)) + len(`"at":`)
		overwrite(t, s[2], slices.Insert(raw, at, '0'))
	}},
	{"a segment renamed", func(t *testing.T, dir string, s []string) {
		if err := os.Rename(s[len(s)-1], segmentPath(dir, 999)); err != nil {
			t.Fatal(err)
		}
	}},
	{"a line of another log", func(t *testing.T, dir string, s []string) {
		raw := read(t, s[2])
		at := bytes.LastIndex(raw, []byte(`"log":"`)) + len(`"log":"`) // of the last line, whose hash no other states
		raw[at] ^= 1
		overwrite(t, s[2], raw)
	}},
	{"a foreign file with a segment's ending", func(t *testing.T, dir string, _ []string) {
		overwrite(t, filepath.Join(dir, "7.jsonl"), nil)
	}},
}

func TestOpenAndVerify_RefuseABrokenChain(t *testing.T) {
	for _, c := range tampered {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			j := openJournal(t, Options{Dir: dir, SegmentBytes: 400})
			appendN(t, j, 1, 8)
			closeJournal(t, j)
			s := files(t, dir)
			if len(s) < 3 {
				t.Fatalf("%d segments, want at least 3", len(s))
			}
			c.alter(t, dir, s)
			if _, err := Verify(dir); err == nil {
				t.Error("verify sees nothing")
			}
			if j, err := Open(Options{Dir: dir}); err == nil {
				t.Error("open sees nothing")
				closeJournal(t, j)
			}
		})
	}
}

func TestVerify_RefusesDataThatIsNotJSON(t *testing.T) {
	dir := t.TempDir()
	l := Line{Log: "x", Seq: 1, At: epoch, Kind: KindEvent, Data: []byte(`{"a":}`)}
	overwrite(t, segmentPath(dir, 1), append(l.append(nil), '\n'))
	if _, err := Verify(dir); err == nil {
		t.Error("verify sees nothing")
	}
}

func TestOpen_OneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	closeJournal(t, j)
	closeJournal(t, openJournal(t, Options{Dir: dir}))
}

func TestOpen_RefusesBadOptions(t *testing.T) {
	for _, o := range []Options{{}, {Dir: t.TempDir(), Durability: "sometimes"}} {
		if j, err := Open(o); err == nil {
			t.Errorf("%+v is accepted", o)
			closeJournal(t, j)
		}
	}
}

func TestClose_WritesWhatIsQueuedAndRefusesMore(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, Options{Dir: dir, Durability: Async})
	for i := range 100 {
		if at, err := j.Append(t.Context(), payload(i+1)); err != nil || at.Seq != 0 {
			t.Fatalf("append: %+v, %v", at, err)
		}
	}
	closeJournal(t, j)
	closeJournal(t, j)
	wantLines(t, dir, 100)
	if err := j.Queue(payload(1)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("queue after close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	waiting := openJournal(t, Options{Dir: dir})
	if _, err := waiting.Append(ctx, payload(1)); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("append with an ended context: %v", err)
	}
	closeJournal(t, waiting)
	if _, err := waiting.Append(t.Context(), payload(1)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("append after close: %v", err)
	}
}

// FuzzLine: whatever lies in a segment, reading it ends without a panic, and what is taken for a line is the one form of it.
func FuzzLine(f *testing.F) {
	good := Line{Log: "6b037101dcWcXDQ_CLJfCGde22CH1w", Seq: 7, Prev: sha256.Sum256(nil), At: epoch, Kind: KindEvent, Data: []byte(`{"a":"}"}`)}
	seeds := [][]byte{good.append(nil), []byte(`{"v":1,"log":"","seq":0,"prev":"","at":0,"kind":"","data":}`), []byte(`{"v":1,"log":"`), nil}
	var l Line
	if err := l.parse(seeds[0]); err != nil || l.Seq != good.Seq || !bytes.Equal(l.Data, good.Data) {
		f.Fatalf("the good seed: %+v, %v", l, err)
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l Line
		if err := l.parse(raw); err == nil && !bytes.Equal(l.append(nil), raw) {
			t.Errorf("%q is taken for %+v", raw, l)
		}
	})
}
