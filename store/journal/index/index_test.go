package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/store/journal"
)

// names takes {"names":"a b c","until":"1"}: words by which the line is found, and hours.
func names(data []byte, name func([]byte)) (until time.Time) {
	_, rest, _ := bytes.Cut(data, []byte(`"names":"`))
	text, rest, _ := bytes.Cut(rest, []byte(`"`))
	for word := range bytes.FieldsSeq(text) {
		name(word)
	}
	if _, hours, found := bytes.Cut(rest, []byte(`"until":"`)); found {
		return hour(int(hours[0] - '0'))
	}
	return time.Time{}
}

func hour(n int) time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(n) * time.Hour) }

func line(words string) string { return fmt.Sprintf(`{"names":"%s"}`, words) }

// write appends lines to the journal in dir, whose segments take some five of them.
func write(t testing.TB, dir string, lines ...string) {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if _, err := j.Append(t.Context(), []byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// written makes a journal of n lines over several segments: line i has the names i<i>, mod<i%3> and all.
func written(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var lines []string
	for i := range n {
		lines = append(lines, line(fmt.Sprintf("i%d mod%d all", i, i%3)))
	}
	write(t, dir, lines...)
	return dir
}

func open(dir string) *Index { return New(Options{Dir: dir, Names: names, Scheme: "test-1"}) }

func found(t testing.TB, x *Index, name string) (seqs []uint64) {
	t.Helper()
	err := x.Find(t.Context(), name, time.Time{}, func(l journal.Line) bool { seqs = append(seqs, l.Seq); return true })
	if err != nil {
		t.Fatalf("find %q: %v", name, err)
	}
	return seqs
}

// wantAll holds x to what a journal by written has.
func wantAll(t testing.TB, x *Index, n int) {
	t.Helper()
	for i := range n {
		if got := found(t, x, fmt.Sprintf("i%d", i)); !slices.Equal(got, []uint64{uint64(i) + 1}) {
			t.Fatalf("i%d: lines %v", i, got)
		}
	}
	var every []uint64
	for i := range n {
		every = append(every, uint64(i)+1)
	}
	if got := found(t, x, "all"); !slices.Equal(got, every) {
		t.Fatalf("all: lines %v", got)
	}
	if got := found(t, x, "none"); got != nil {
		t.Fatalf("none: lines %v", got)
	}
}

func sealedFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFind_InFinishedSegmentsAndInTheOpenOne(t *testing.T) {
	dir := written(t, 40)
	x := open(dir)
	wantAll(t, x, 40)
	files := sealedFiles(t, dir)
	if list, err := journal.Segments(dir); err != nil || len(list) < 5 || len(files) != len(list)-1 {
		t.Fatalf("%d segments, %d files: %v", len(list), len(files), err)
	}
	wantAll(t, open(dir), 40) // another process, with the files that are there
	if left, err := filepath.Glob(filepath.Join(dir, "*new*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != ownerOnly {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestFind_EndsWhenToldTo(t *testing.T) {
	x, n := open(written(t, 40)), 0
	if err := x.Find(t.Context(), "all", time.Time{}, func(journal.Line) bool { n++; return n < 7 }); err != nil || n != 7 {
		t.Errorf("%d lines, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Find(ctx, "all", time.Time{}, func(journal.Line) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled look: %v", err)
	}
}

func TestFind_FollowsTheWriter(t *testing.T) {
	dir := t.TempDir()
	x := open(dir)
	if got := found(t, x, "a"); got != nil {
		t.Fatalf("in nothing: %v", got)
	}
	var want []uint64
	for i := range 30 { // over several segments, each of which is finished while x knows it as the open one
		write(t, dir, line("a b"))
		want = append(want, uint64(i)+1)
		if got := found(t, x, "a"); !slices.Equal(got, want) {
			t.Fatalf("after %d lines: %v", i+1, got)
		}
	}
}

// What a failed write left and its repair took away may have been seen; other lines then come in its place.
func TestFind_ForgetsLinesThatWereCutOff(t *testing.T) {
	for name, after := range map[string][]string{"nothing": nil, "fewer": {"x1"}, "others": {"x1", "x2", "x3"}, "a longer one": {"y1-" + strings.Repeat("y", 300)}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, line("kept"))
			list, err := journal.Segments(dir)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(list[0].Path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, line("gone"), line("gone"))
			x := open(dir)
			if got := found(t, x, "gone"); !slices.Equal(got, []uint64{2, 3}) {
				t.Fatalf("before: %v", got)
			}
			if err := os.Truncate(list[0].Path, info.Size()); err != nil {
				t.Fatal(err)
			}
			for _, word := range after {
				write(t, dir, line(word))
			}
			if got := found(t, x, "kept"); !slices.Equal(got, []uint64{1}) {
				t.Errorf("kept: %v", got)
			}
			for i, word := range after {
				if got := found(t, x, word); !slices.Equal(got, []uint64{uint64(i) + 2}) {
					t.Errorf("%s: %v", word, got)
				}
			}
			if got := found(t, x, "gone"); got != nil { // last: looking for it shows by itself that something is wrong
				t.Errorf("gone: %v", got)
			}
		})
	}
}

func TestFind_LeavesATornLineAlone(t *testing.T) {
	dir := written(t, 3)
	list, _ := journal.Segments(dir)
	f, err := os.OpenFile(list[0].Path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"v":1,"log":"torn`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	wantAll(t, open(dir), 3)
}

// A damaged file may cost a reading of its segment, and never a wrong answer: whatever byte is wrong, before it is opened or behind its back.
func TestFind_DamagedFileIsMadeAnew(t *testing.T) {
	dir := written(t, 40)
	wantAll(t, open(dir), 40)
	files := sealedFiles(t, dir)
	good, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(files[2])
	if err != nil {
		t.Fatal(err)
	}
	foreign := written(t, 40) // the same lines in another journal
	wantAll(t, open(foreign), 40)
	strange, err := os.ReadFile(sealedFiles(t, foreign)[1])
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		b := slices.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "half a header": good[:headerLen/2], "no pages": good[:headerLen], "truncated": good[:len(good)-1], "longer": append(slices.Clone(good), 0),
		"magic": flipped(0), "scheme": flipped(9), "first": flipped(23), "size": flipped(31), "until": flipped(39), "count": flipped(47), "hash": flipped(50),
		"checksum": flipped(headerLen - 1), "name of an entry": flipped(headerLen + 3), "offset of an entry": flipped(headerLen + 15),
		"zeroes behind the entries": flipped(headerLen + 4000), "checksum of a page": flipped(headerLen + pageEntries*entryLen),
		"of another segment": other, "of another journal": strange, "its pages are another's": slices.Concat(good[:headerLen], strange[headerLen:]),
	} {
		t.Run(name, func(t *testing.T) {
			warm := open(dir) // has loaded the good file
			wantAll(t, warm, 40)
			for who, x := range map[string]*Index{"new": open(dir), "warm": warm} {
				if err := os.WriteFile(files[1], bad, ownerOnly); err != nil {
					t.Fatal(err)
				}
				wantAll(t, x, 40)
				if again, err := os.ReadFile(files[1]); who == "new" && (err != nil || !bytes.Equal(again, good)) {
					t.Errorf("not made anew: %v", err)
				}
			}
			if err := os.WriteFile(files[1], good, ownerOnly); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A file that claims, with every checksum right, a name in a line that lacks it is not believed.
func TestFind_IsJudgedByTheLine(t *testing.T) {
	dir := written(t, 40)
	wantAll(t, open(dir), 40)
	list, _ := journal.Segments(dir)
	p := &sealed{segment: list[0], entries: []entry{{hash([]byte("forged")), 0}, {hash([]byte("i0")), 0}}}
	slices.SortFunc(p.entries, compare)
	head, finished, err := headOf(list, 0)
	if err != nil || !finished {
		t.Fatal(err)
	}
	info, err := os.Stat(list[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	p.size = info.Size()
	if err := p.write(head, "test-1"); err != nil {
		t.Fatal(err)
	}
	x := open(dir)
	if got := found(t, x, "forged"); got != nil {
		t.Errorf("forged: %v", got)
	}
	if got := found(t, x, "i0"); !slices.Equal(got, []uint64{1}) {
		t.Errorf("i0: %v", got)
	}
}

func TestFind_AnotherSchemeIsMadeAnew(t *testing.T) {
	dir := written(t, 40)
	wantAll(t, open(dir), 40)
	x := New(Options{Dir: dir, Scheme: "test-2", Names: func(data []byte, name func([]byte)) time.Time {
		return names(data, func(n []byte) { name(append([]byte("new-"), n...)) })
	}})
	if got := found(t, x, "new-i3"); !slices.Equal(got, []uint64{4}) {
		t.Errorf("by the new scheme: %v", got)
	}
}

// A segment that was altered is an error, not a find less; the change of its last line shows in the segment behind it alone.
func TestFind_SegmentThatBreaksTheChainIsAnError(t *testing.T) {
	for name, altered := range map[string]func(text []byte) []byte{
		"a line": func(text []byte) []byte { return bytes.Replace(text, []byte("all"), []byte("few"), 1) },
		"the last line": func(text []byte) []byte {
			at := bytes.LastIndex(text, []byte("all"))
			return slices.Concat(text[:at], []byte("few"), text[at+3:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, 40)
			list, _ := journal.Segments(dir)
			text, err := os.ReadFile(list[1].Path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(list[1].Path, altered(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := open(dir).Find(t.Context(), "all", time.Time{}, func(journal.Line) bool { return true }); err == nil {
				t.Error("an altered segment was indexed")
			}
		})
	}
}

func TestFind_WhereNoFileCanBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root writes where it may not: a folder in the file's place stands in for that")
	}
	dir := written(t, 40)
	list, _ := journal.Segments(dir)
	for _, s := range list {
		if err := os.MkdirAll(filepath.Join(sealedPath(s), "taken"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	wantAll(t, open(dir), 40)
}

func TestFind_ManyAtOnceBesideTheWriter(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	x := open(dir)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 25 {
				last := uint64(0)
				err := x.Find(t.Context(), "all", time.Time{}, func(l journal.Line) bool {
					if l.Seq != last+1 {
						t.Errorf("line %d after %d", l.Seq, last)
					}
					last = l.Seq
					return true
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		if _, err := j.Append(t.Context(), []byte(line("all"))); err != nil {
			t.Fatal(err)
		}
	}
	readers.Wait()
	if got := found(t, x, "all"); len(got) != 100 {
		t.Errorf("%d lines", len(got))
	}
}

func TestFind_LeavesOutWhatWasWrittenBefore(t *testing.T) {
	dir, at := t.TempDir(), hour(0)
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 1000, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if _, err := j.Append(t.Context(), []byte(line("all"))); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Hour)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	x := open(dir)
	for since := range 30 {
		var seqs []uint64
		if err := x.Find(t.Context(), "all", hour(since), func(l journal.Line) bool { seqs = append(seqs, l.Seq); return true }); err != nil {
			t.Fatal(err)
		}
		if len(seqs) < 30-since || seqs[len(seqs)-1] != 30 {
			t.Fatalf("since hour %d: %v", since, seqs)
		}
		if since == 29 && len(seqs) > 8 {
			t.Errorf("segments of the past were read: %v", seqs)
		}
	}
}

func TestAfter_LeavesOutSegmentsOfThePast(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		write(t, dir, fmt.Sprintf(`{"names":"n%d","until":"%d"}`, i, i/10))
	}
	seen := func(at time.Time) (seqs []uint64) {
		err := open(dir).After(t.Context(), at, func(l *journal.Line) error { seqs = append(seqs, l.Seq); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return seqs
	}
	all, some, last := seen(hour(0).Add(-time.Second)), seen(hour(1)), seen(hour(9))
	if len(all) != 30 {
		t.Errorf("all: %v", all)
	}
	for seq := uint64(21); seq <= 30; seq++ {
		if !slices.Contains(some, seq) {
			t.Errorf("line %d counts until after hour 1, and was left out: %v", seq, some)
		}
	}
	if slices.Contains(some, 5) || len(last) > 10 {
		t.Errorf("segments of the past were read: %v, %v", some, last)
	}
	enough := errors.New("enough")
	if err := open(dir).After(t.Context(), hour(0), func(*journal.Line) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

func BenchmarkFind(b *testing.B) {
	dir := b.TempDir()
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 4 << 20})
	if err != nil {
		b.Fatal(err)
	}
	const lines = 60_000
	for i := range lines {
		text := fmt.Sprintf(`{"names":"token%d parent%d","pad":"%s"}`, i, i/2, strings.Repeat("x", 500))
		for j.Queue([]byte(text)) != nil {
			if _, err := j.Append(b.Context(), []byte(`{}`)); err != nil { // waits until there is room
				b.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	x := open(dir)
	if got := found(b, x, "token7"); len(got) != 1 {
		b.Fatal(got)
	}
	b.Logf("%d lines over %d segments indexed in %v", lines, len(x.finished)+1, time.Since(begun).Round(time.Millisecond))
	i := 0
	for b.Loop() {
		if got := found(b, x, fmt.Sprintf("token%d", i%lines)); len(got) != 1 {
			b.Fatal(got)
		}
		i += 7919
	}
}
