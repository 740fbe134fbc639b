package storetest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
)

// The crash test starts this test binary again as a child that writes to an engine and a journal, kills it with SIGKILL at a
// random point, and holds what it finds to what the child had acknowledged through a pipe. It does not end with the machine
// losing power: what a kernel has taken survives a killed process.
const (
	envChild = "FEDBROKER_CRASH_CHILD" // the folder; set only for the child
	envRun   = "FEDBROKER_CRASH_RUN"   // the number of the run; set only for the child
	envRuns  = "FEDBROKER_CRASH_RUNS"  // how many runs [3]
	envSeed  = "FEDBROKER_CRASH_SEED"  // repeats the kill times of a run [random]

	crashWriters  = 8
	runsPerFolder = 10                    // crash upon crash in one folder, then a fresh one
	longestLife   = 80 * time.Millisecond // of a child, its start included: some die while they open
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envChild); dir != "" {
		fmt.Fprintln(os.Stderr, crashChild(dir, os.Getenv(envRun)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashChild writes until it is killed. Each line on its standard output is one thing that is acknowledged.
func crashChild(dir, run string) error {
	e, j, err := openBoth(dir)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range crashWriters {
		go func() { failed <- crashWriter(e, j, fmt.Sprintf("r%s-w%d-", run, w)) }()
	}
	return <-failed
}

// crashWriter makes codes, spends them together with their jti, tries to spend them again, and journals each spending.
func crashWriter(e store.Engine, j *journal.Journal, name string) error {
	ctx := context.Background()
	for i := 0; ; i++ {
		id := name + strconv.Itoa(i)
		revs, err := e.Commit(ctx, store.Put("codes", id, []byte("fresh"), store.Absent, time.Time{}))
		if err != nil {
			return err
		}
		if err := acknowledge("made", id); err != nil {
			return err
		}
		spend := []store.Op{
			store.Put("codes", id, []byte("spent"), store.Cond(revs[0]), time.Time{}),
			store.Put("jti", id, nil, store.Absent, time.Time{}),
		}
		if _, err := e.Commit(ctx, spend...); err != nil {
			return err
		}
		if err := acknowledge("spent", id); err != nil {
			return err
		}
		if _, err := e.Commit(ctx, spend...); !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("%s spent twice: %w", id, err)
		}
		at, err := j.Append(ctx, []byte(`{"id":"`+id+`"}`))
		if err != nil {
			return err
		}
		if err := acknowledge("line", strconv.FormatUint(at.Seq, 10)+" "+id); err != nil {
			return err
		}
	}
}

// acknowledge is one write of less than PIPE_BUF bytes: the parent sees all of it or nothing.
func acknowledge(what, of string) error {
	_, err := os.Stdout.WriteString(what + " " + of + "\n")
	return err
}

func openBoth(dir string) (store.Engine, *journal.Journal, error) {
	e, err := engines.Open("bbolt", engines.Options{Path: filepath.Join(dir, "db")})
	if err != nil {
		return nil, nil, err
	}
	const smallSegment = 32 << 10 // so that crashes meet rotations too
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, "journal"), SegmentBytes: smallSegment})
	if err != nil {
		return nil, nil, errors.Join(err, e.Close())
	}
	return e, j, nil
}

// acknowledged is what children have said, over all runs in one folder.
type acknowledged struct {
	made, spent []string
	lines       map[uint64]string // sequence → id
}

func TestCrash(t *testing.T) {
	runs, seed := crashOptions(t)
	t.Logf("%d runs, %s=%d", runs, envSeed, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var dir string
	var ack *acknowledged
	total, lines := 0, 0
	for run := range runs {
		if run%runsPerFolder == 0 {
			dir, ack = t.TempDir(), &acknowledged{lines: make(map[uint64]string)}
		}
		before, linesBefore := len(ack.spent), len(ack.lines)
		killOne(t, dir, run, time.Duration(random.Int64N(int64(longestLife))), ack)
		checkFolder(t, dir, run, ack)
		total, lines = total+len(ack.spent)-before, lines+len(ack.lines)-linesBefore
		if t.Failed() {
			t.Fatalf("run %d, %s=%d", run, envSeed, seed)
		}
	}
	t.Logf("%d acknowledged spendings, %d acknowledged lines", total, lines)
	if total == 0 || lines == 0 {
		t.Error("no child lived long enough to acknowledge anything: nothing was tested")
	}
}

func crashOptions(t *testing.T) (runs int, seed uint64) {
	runs, seed = 3, rand.Uint64()
	var err error
	if text := os.Getenv(envRuns); text != "" {
		if runs, err = strconv.Atoi(text); err != nil || runs < 1 {
			t.Fatalf("%s=%q: want a number of runs", envRuns, text)
		}
	}
	if text := os.Getenv(envSeed); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", envSeed, err)
		}
	}
	return runs, seed
}

// killOne runs a child for the given time. In every second run the time begins with the first acknowledgement, so that there is
// something to lose; in the others with the process, so that some die while they open or recover.
func killOne(t *testing.T, dir string, run int, life time.Duration, ack *acknowledged) {
	t.Helper()
	const hung = 30 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), hung)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), envChild+"="+dir, envRun+"="+strconv.Itoa(run))
	var complaint bytes.Buffer
	child.Stderr = &complaint
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { time.AfterFunc(life, func() { _ = child.Process.Kill() }) })
	if run%2 != 0 {
		kill()
	}
	ack.read(t, out, kill)
	if err := child.Wait(); err == nil || complaint.Len() > 0 || ctx.Err() != nil {
		t.Fatalf("run %d: the child ended by itself, or hung: %v\n%s", run, err, complaint.String())
	}
}

// read takes acknowledgements until the child is dead, and calls heard at each.
func (a *acknowledged) read(t *testing.T, out io.Reader, heard func()) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		heard()
		word := strings.Fields(lines.Text())
		switch {
		case len(word) == 2 && word[0] == "made":
			a.made = append(a.made, word[1])
		case len(word) == 2 && word[0] == "spent":
			a.spent = append(a.spent, word[1])
		case len(word) == 3 && word[0] == "line":
			seq, err := strconv.ParseUint(word[1], 10, 64)
			if err != nil || a.lines[seq] != "" {
				t.Errorf("acknowledgement %q: %v, or a sequence number given twice", lines.Text(), err)
			}
			a.lines[seq] = word[2]
		default:
			t.Errorf("acknowledgement %q", lines.Text())
		}
	}
}

// checkFolder opens what the dead child left, as the next process would.
func checkFolder(t *testing.T, dir string, run int, ack *acknowledged) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "journal")); err == nil {
		if _, err := journal.Verify(filepath.Join(dir, "journal")); err != nil {
			t.Errorf("run %d: before recovery: %v", run, err)
		}
	}
	e, j, err := openBoth(dir)
	if err != nil {
		t.Errorf("run %d: %v", run, err)
		return
	}
	defer e.Close()
	defer j.Close()
	checkEngine(t, e, ack)
	checkJournal(t, filepath.Join(dir, "journal"), j.Head(), ack)
}

func checkEngine(t *testing.T, e store.Engine, ack *acknowledged) {
	codes, jti := scanAll(t, e, "codes"), scanAll(t, e, "jti")
	for _, id := range ack.made {
		if codes[id] == "" {
			t.Errorf("%s was made and is gone", id)
		}
	}
	for _, id := range ack.spent {
		_, err := e.Commit(t.Context(), store.Put("jti", id, nil, store.Absent, time.Time{}))
		if codes[id] != "spent" || !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s was spent and is %q; spending it again: %v", id, codes[id], err)
		}
	}
	for id, state := range codes {
		if _, spent := jti[id]; spent != (state == "spent") {
			t.Errorf("half a commit: code %s is %s, its jti spent: %v", id, state, spent)
		}
	}
}

func scanAll(t *testing.T, e store.Engine, bucket string) map[string]string {
	found := make(map[string]string)
	for r := (store.Range{Limit: store.MaxScan}); ; {
		recs, err := e.Scan(t.Context(), bucket, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			found[rec.Key], r.After = string(rec.Value), rec.Key
		}
		if len(recs) < r.Limit {
			return found
		}
	}
}

func checkJournal(t *testing.T, dir string, head journal.Head, ack *acknowledged) {
	missing := len(ack.lines)
	for l, err := range journal.Scan(dir) {
		if err != nil {
			t.Error(err)
			return
		}
		if id := ack.lines[l.Seq]; id != "" {
			missing--
			if string(l.Data) != `{"id":"`+id+`"}` {
				t.Errorf("line %d was acknowledged for %s and holds %s", l.Seq, id, l.Data)
			}
		}
	}
	if missing != 0 {
		t.Errorf("%d acknowledged lines are missing", missing)
	}
	if verified, err := journal.Verify(dir); err != nil || verified.Seq != head.Seq || verified.Hash != head.Hash {
		t.Errorf("verify: %+v, %v, want %+v", verified, err, head)
	}
}
