package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"fedbroker/cmd/fedbroker/config"
)

const (
	// Backup ends the name of what a rollback took the place of. No fragment ends so.
	Backup  = ".before-rollback"
	staged  = ".rollback-new"
	newMode = fs.FileMode(0o600)
)

// plan is what a rollback does to the files.
type plan struct {
	folder string // of fragments
	writes []write
	aside  []string // files that did not exist then
}

// write is one file that gets another text.
type write struct {
	path   string // links followed
	text   string
	before *string // its text now; nil: there is none
}

// newPlan compares the files with a configuration that was applied.
func newPlan(main string, now []config.Text, unread []string, then []config.Text) (p plan, err error) {
	p.folder = filepath.Join(filepath.Dir(main), config.Folder)
	place := func(name string) string {
		if name == "" {
			return main
		}
		return filepath.Join(filepath.Dir(main), filepath.FromSlash(name))
	}
	is, was := byName(now), byName(then)
	for _, t := range then {
		if t.Name != "" && t.Name != config.Folder+"/"+path.Base(t.Name) {
			return p, fmt.Errorf("rollback: %q is no place of a fragment", t.Name)
		}
		text, there := is[t.Name]
		if there && text == t.Text {
			continue
		}
		w := write{path: place(t.Name), text: t.Text}
		if there {
			w.before = &text
		}
		p.writes = append(p.writes, w)
	}
	for _, t := range now {
		if _, kept := was[t.Name]; !kept {
			p.aside = append(p.aside, place(t.Name))
		}
	}
	for _, name := range unread {
		if rel := config.Folder + "/" + filepath.Base(name); was[rel] == "" {
			p.aside = append(p.aside, name)
		}
	}
	for i, w := range p.writes {
		if p.writes[i].path, err = resolved(w.path); err != nil {
			return p, err
		}
	}
	for _, name := range p.aside {
		if _, err := resolved(name); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p plan) empty() bool { return len(p.writes)+len(p.aside) == 0 }

// resolved follows links, and refuses what a mounted volume of Kubernetes holds: whoever made it would write it again.
func resolved(name string) (string, error) {
	target, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		return name, nil
	}
	if err != nil {
		return "", fmt.Errorf("rollback: %w", err)
	}
	if target, err = filepath.Abs(target); err != nil {
		return "", fmt.Errorf("rollback: %w", err)
	}
	if strings.Contains(filepath.ToSlash(target), "/..") {
		return "", fmt.Errorf("%s comes from a volume that is mounted (%s): put it back where that is made; nothing was written", name, target)
	}
	return target, nil
}

// carryOut stages every text, keeps what it replaces, and then moves all in place: what fails leaves the files as they were.
func (p plan) carryOut() (err error) {
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	if err := p.makeFolder(); err != nil {
		return err
	}
	for _, w := range p.writes {
		undo = append(undo, func() error { return gone(os.Remove(w.path + staged)) })
		if err := stage(w.path+staged, w.text, w.path); err != nil {
			return err
		}
		if w.before == nil {
			continue
		}
		if err := stage(w.path+Backup, *w.before, w.path); err != nil {
			return err
		}
	}
	for _, w := range p.writes {
		if err := os.Rename(w.path+staged, w.path); err != nil {
			return fmt.Errorf("rollback: %w", err)
		}
		undo = append(undo, func() error {
			if w.before == nil {
				return os.Remove(w.path)
			}
			return os.Rename(w.path+Backup, w.path)
		})
	}
	for _, name := range p.aside {
		if err := os.Rename(name, name+Backup); err != nil {
			return fmt.Errorf("rollback: %w", err)
		}
		undo = append(undo, func() error { return os.Rename(name+Backup, name) })
	}
	return nil
}

// makeFolder makes that of fragments, as who owns the one around it would.
func (p plan) makeFolder() error {
	around, err := os.Stat(filepath.Dir(p.folder))
	if err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	if err := os.Mkdir(p.folder, around.Mode().Perm()); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	return own(p.folder, around)
}

// stage writes a file beside its place, safely on disk, for who may read what is at like or, where nothing is, for who owns the folder.
func stage(name, text, like string) (err error) {
	if err := gone(os.Remove(name)); err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	mode := newMode
	info, err := os.Stat(like)
	if err == nil {
		mode = info.Mode().Perm()
	} else if info, err = os.Stat(filepath.Dir(like)); err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, newMode)
	if err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close(), own(name, info)); err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	return nil
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
