package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"fedbroker/broker/confighistory"
	"fedbroker/broker/web/admin"
)

// applied asks the script's server what was applied.
func applied(ts *testscript.TestScript) []confighistory.Entry {
	client, err := admin.Dial(ts.MkAbs("fedbroker.sock"))
	ts.Check(err)
	defer client.Close()
	all, err := client.ConfigLog(context.Background())
	ts.Check(err)
	return all
}

// awaitLog COUNT TEXT waits until so many configurations were applied, the last of which changed that. The server looks once a second.
func awaitLog(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		all := applied(ts)
		if len(all) == want && all[0].Changes != "" && containsMatch(all[0].Changes, args[1]) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("want %d applied, the last with %q, got %+v", want, args[1], all)
		}
	}
}

func containsMatch(text, want string) bool {
	return strings.Contains(text, strings.ReplaceAll(want, `\+`, "+"))
}

// keepHashes puts the hashes of the last two into FIRST and SECOND.
func keepHashes(ts *testscript.TestScript, _ bool, _ []string) {
	all := applied(ts)
	if len(all) != 2 {
		ts.Fatalf("want 2 configurations, got %d", len(all))
	}
	ts.Setenv("SECOND", all[0].Hash[:12])
	ts.Setenv("FIRST", all[1].Hash[:12])
}

// wantSealed TEXT wants it in no file of the store and the journal.
func wantSealed(ts *testscript.TestScript, _ bool, args []string) {
	seen := 0
	for _, name := range kept(ts) {
		text, err := os.ReadFile(name)
		ts.Check(err)
		seen += len(text)
		if bytes.Contains(text, []byte(args[0])) {
			ts.Fatalf("%s holds %q", name, args[0])
		}
	}
	if seen == 0 {
		ts.Fatalf("nothing was read")
	}
}

// wantJournalled KIND wants an event of it that was done.
func wantJournalled(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range kept(ts) {
		text, err := os.ReadFile(name)
		ts.Check(err)
		for line := range bytes.Lines(text) {
			var e struct{ Kind, Outcome string }
			at := bytes.Index(line, []byte(`{"kind":`))
			if at >= 0 && json.NewDecoder(bytes.NewReader(line[at:])).Decode(&e) == nil && e.Kind == args[0] && e.Outcome == "done" {
				return
			}
		}
	}
	ts.Fatalf("the journal has no %s", args[0])
}

// kept are the files of the script's store and journal.
func kept(ts *testscript.TestScript) (names []string) {
	names = append(names, ts.MkAbs("fedbroker.db"))
	ts.Check(filepath.WalkDir(ts.MkAbs("journal"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	}))
	return names
}
