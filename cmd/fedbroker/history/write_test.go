package history

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fedbroker/cmd/fedbroker/config"
)

// files makes a folder with these, and returns the name of its main file.
func files(t *testing.T, all map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "fedbroker.yaml")
}

// found is every file of the folder.
func found(t *testing.T, main string) map[string]string {
	t.Helper()
	out, dir := map[string]string{}, filepath.Dir(main)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func planned(t *testing.T, main string, then []config.Text) plan {
	t.Helper()
	now, unread, err := config.Written(main)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(main, now, unread, then)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWrite_PutsBackAndKeepsWhatItReplaces(t *testing.T) {
	main := files(t, map[string]string{"fedbroker.yaml": "new", "upstreams.d/changed.yaml": "new", "upstreams.d/later.yaml": "later", "upstreams.d/same.yaml": "same", "upstreams.d/a.secret": "s"})
	p := planned(t, main, []config.Text{{Text: "old"}, {Name: "upstreams.d/changed.yaml", Text: "old"}, {Name: "upstreams.d/gone.yaml", Text: "gone"}, {Name: "upstreams.d/same.yaml", Text: "same"}})
	if err := p.carryOut(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"fedbroker.yaml": "old", "fedbroker.yaml" + Backup: "new", "upstreams.d/changed.yaml": "old", "upstreams.d/changed.yaml" + Backup: "new",
		"upstreams.d/gone.yaml": "gone", "upstreams.d/later.yaml" + Backup: "later", "upstreams.d/same.yaml": "same", "upstreams.d/a.secret": "s",
	}
	if got := found(t, main); !maps.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
	for name, mode := range map[string]fs.FileMode{"fedbroker.yaml": 0o640, "fedbroker.yaml" + Backup: 0o640, "upstreams.d/gone.yaml": 0o600} {
		if info, err := os.Stat(filepath.Join(filepath.Dir(main), name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: want mode %04o, got %v, %v", name, mode, info.Mode(), err)
		}
	}
	if again := planned(t, main, []config.Text{{Text: "old"}, {Name: "upstreams.d/changed.yaml", Text: "old"}, {Name: "upstreams.d/gone.yaml", Text: "gone"}, {Name: "upstreams.d/same.yaml", Text: "same"}}); !again.empty() {
		t.Errorf("want nothing more to do, got %+v", again)
	}
}

func TestWrite_MainFileAndFolderThatAreGone(t *testing.T) {
	main := files(t, map[string]string{"a.secret": "s"})
	if err := planned(t, main, []config.Text{{Text: "old"}, {Name: "upstreams.d/a.yaml", Text: "a"}}).carryOut(); err != nil {
		t.Fatal(err)
	}
	if want, got := map[string]string{"a.secret": "s", "fedbroker.yaml": "old", "upstreams.d/a.yaml": "a"}, found(t, main); !maps.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
}

// What fails in the middle leaves everything as it was.
func TestWrite_FailureUndoesWhatWasDone(t *testing.T) {
	main := files(t, map[string]string{"fedbroker.yaml": "new", "upstreams.d/b.yaml": "new", "upstreams.d/z.yaml/file": "in the way", "upstreams.d/y.yaml": "later"})
	before := found(t, main)
	p := planned(t, main, []config.Text{{Text: "old"}, {Name: "upstreams.d/a.yaml", Text: "a"}, {Name: "upstreams.d/b.yaml", Text: "old"}, {Name: "upstreams.d/z.yaml", Text: "z"}})
	if err := p.carryOut(); err == nil {
		t.Fatal("a folder was replaced by a file")
	}
	after := found(t, main)
	maps.DeleteFunc(after, func(name, _ string) bool { return strings.HasSuffix(name, Backup) }) // copies, which hurt nobody
	if !maps.Equal(after, before) {
		t.Errorf("want %v, got %v", before, after)
	}
}

func TestWrite_FollowsLinksAndRefusesMountedVolumes(t *testing.T) {
	main := files(t, map[string]string{"real/main.yaml": "new", "upstreams.d/..v1/a.yaml": "new"})
	dir := filepath.Dir(main)
	if err := errors.Join(os.Symlink("real/main.yaml", main), os.Symlink("..v1", filepath.Join(dir, "upstreams.d/..data")), os.Symlink("..data/a.yaml", filepath.Join(dir, "upstreams.d/a.yaml"))); err != nil {
		t.Fatal(err)
	}
	same := []config.Text{{Text: "old"}, {Name: "upstreams.d/a.yaml", Text: "new"}}
	if err := planned(t, main, same).carryOut(); err != nil {
		t.Fatal(err)
	}
	if got := found(t, main)["real/main.yaml"]; got != "old" {
		t.Errorf("want the link's target written, got %q", got)
	}
	if info, err := os.Lstat(main); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is gone: %v", err)
	}
	now, unread, err := config.Written(main)
	if err != nil {
		t.Fatal(err)
	}
	for name, then := range map[string][]config.Text{"changed": {{Text: "old"}, {Name: "upstreams.d/a.yaml", Text: "old"}}, "moved aside": {{Text: "old"}}} {
		if _, err := newPlan(main, now, unread, then); err == nil || !strings.Contains(err.Error(), "mounted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrite_UnreadableFragmentGoesAside(t *testing.T) {
	main := files(t, map[string]string{"fedbroker.yaml": "a", "upstreams.d/a.yaml": "a"})
	if err := os.Symlink("nowhere", filepath.Join(filepath.Dir(main), "upstreams.d/broken.yaml")); err != nil {
		t.Fatal(err)
	}
	p := planned(t, main, []config.Text{{Text: "a"}, {Name: "upstreams.d/a.yaml", Text: "a"}})
	if len(p.writes) != 0 || !slices.Equal(p.aside, []string{filepath.Join(filepath.Dir(main), "upstreams.d/broken.yaml")}) {
		t.Fatalf("got %+v", p)
	}
	if err := p.carryOut(); err != nil {
		t.Error(err)
	}
}

func TestWrite_LeavesNoPlaceButTheFolder(t *testing.T) {
	main := files(t, map[string]string{"fedbroker.yaml": "a"})
	for _, name := range []string{"../a.yaml", "a.yaml", "upstreams.d/../a.yaml", "upstreams.d/b/a.yaml", "/a.yaml", "upstreams.d/a.yaml/.."} {
		if p, err := newPlan(main, nil, nil, []config.Text{{Text: "a"}, {Name: name, Text: "x"}}); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
