package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fedbroker/broker"
	"fedbroker/broker/confighistory"
	"fedbroker/broker/rules"
	"fedbroker/cmd/fedbroker/config/strict"
)

// Folder holds the fragments of a configuration. It stands beside the main file.
const Folder = "upstreams.d"

const (
	fragmentSuffix = ".yaml"
	fixtureSuffix  = ".test.yaml" // of `fedbroker test`, which may stand beside the fragment that they are about
	otherSuffix    = ".yml"       // read by nobody, and easily meant

	maxFragments = 10_000
	maxTotal     = 16 << 20 // bytes of all files; one has strict.MaxFile at most
)

// fragment is what a file of the folder may hold: so a partner is one file, with its upstreams and the rules on them.
type fragment struct {
	Upstreams []broker.UpstreamSpec `yaml:"upstreams,omitempty"`
	Exchange  []rules.Spec          `yaml:"exchange,omitempty"`
}

// Text is one file of a configuration as it was written: upstreams.d/acme.yaml, or "" for the main file.
type Text = confighistory.Text

// source is a configuration that is to be judged.
type source struct {
	name   string   // of the main file; the others are called by their names beside it
	folder string   // absolute: where relative paths of the main file begin
	texts  []Text   // the main file's first, the others by name, which is the order in which they count
	unread []string // fragments that are there and can't be read
	wrong  []Problem
	odd    []Problem
}

// beside is how errors call another file of the configuration.
func (s source) beside(name string) string {
	return filepath.Join(filepath.Dir(s.name), filepath.FromSlash(name))
}

// absent says that there is no main file, and what to do about it.
type absent struct{ name string }

func (e *absent) Error() string {
	return fmt.Sprintf("there is no %s here: name yours with --config FILE, or begin with examples/quickstart/fedbroker.yaml; `fedbroker demo` needs none", e.name)
}

func (e *absent) Unwrap() error { return fs.ErrNotExist }

// gather reads the main file and the fragments. The error means that there is no main file to judge.
func gather(name string) (s source, err error) {
	s.name = name
	if s.folder, err = filepath.Abs(filepath.Dir(name)); err != nil {
		return s, fmt.Errorf("configuration: %w", err)
	}
	text, err := content(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, &absent{name}
	}
	if err != nil {
		return s, fmt.Errorf("configuration: %w", err)
	}
	s.texts = []Text{{Text: text}}
	s.fragments()
	return s, nil
}

// Written reads the files without judging them; unread are fragments that are there and can't be read. A main file that is not there is not among them.
func Written(name string) (texts []Text, unread []string, err error) {
	s, err := gather(name)
	if errors.Is(err, fs.ErrNotExist) {
		s.texts = []Text{{}}
		s.fragments()
		return s.texts[1:], s.unread, nil
	}
	if err == nil && len(s.wrong) > len(s.unread) {
		err = &Error{File: name, Problems: s.wrong}
	}
	return s.texts, s.unread, err
}

// fragments reads the folder's files. Those of a Kubernetes volume are links through hidden folders, which are followed and not listed.
func (s *source) fragments() {
	entries, err := os.ReadDir(s.beside(Folder))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		s.bad(Folder, "want a folder that can be read, got %v", strict.Reason(err))
		return
	}
	total := len(s.texts[0].Text)
	for _, entry := range entries { // by name
		name := Folder + "/" + entry.Name()
		switch base := entry.Name(); {
		case strings.HasPrefix(base, "."), strings.HasSuffix(base, fixtureSuffix):
			continue
		case strings.HasSuffix(base, otherSuffix):
			s.odd = append(s.odd, Problem{File: s.beside(name), Text: "not read: want a name that ends with " + fragmentSuffix})
			continue
		case !strings.HasSuffix(base, fragmentSuffix):
			continue
		}
		if len(s.texts) > maxFragments {
			s.bad(Folder, "want at most %d files, got more", maxFragments)
			return
		}
		text, err := regular(s.beside(name))
		if err != nil {
			s.bad(name, "want a file that can be read, got %v", strict.Reason(err))
			s.unread = append(s.unread, s.beside(name))
			continue
		}
		if total += len(text); total > maxTotal {
			s.bad(Folder, "want at most %d bytes in all files together, got more", maxTotal)
			return
		}
		s.texts = append(s.texts, Text{Name: name, Text: text})
	}
}

func (s *source) bad(name, format string, args ...any) {
	s.wrong = append(s.wrong, Problem{File: s.beside(name), Text: fmt.Sprintf(format, args...)})
}

// regular is the content of what is a file, and not a pipe that nobody writes to.
func regular(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("something else")
	}
	return content(name)
}

// content is a file's, or so much of it that it is seen to be too large.
func content(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, strict.MaxFile+1))
	return string(text), err
}

// decode fills the file from all texts. Each says what is wrong by its own lines; paths in it are relative to its own folder.
func (c *Loaded) decode(s source, o Options) (*report, *Problem) {
	r := &report{main: s.name, wrong: s.wrong, odd: s.odd}
	from := strict.Options{Folder: s.folder, LookupEnv: o.LookupEnv, MayLack: o.MayLack, Types: &strict.Types{}}
	for i, t := range s.texts {
		root, syntax := strict.Parse([]byte(t.Text))
		if syntax != nil && i == 0 {
			return nil, syntax
		}
		if syntax != nil {
			syntax.File = s.beside(t.Name)
			r.wrong = append(r.wrong, *syntax)
			continue
		}
		p := part{upstreams: span{from: len(c.Upstreams)}, rules: span{from: len(c.Exchange)}}
		if i == 0 {
			p.Report = strict.Decode(root, &c.File, from)
		} else {
			var f fragment
			from.Folder = filepath.Dir(filepath.Join(s.folder, filepath.FromSlash(t.Name)))
			p.file, p.Report = s.beside(t.Name), strict.Decode(root, &f, from)
			if len(root.Content) == 0 {
				p.Bad("", "want upstreams or exchange, got neither")
			}
			c.Upstreams, c.Exchange = append(c.Upstreams, f.Upstreams...), append(c.Exchange, f.Exchange...)
		}
		p.upstreams.to, p.rules.to = len(c.Upstreams), len(c.Exchange)
		r.parts = append(r.parts, p)
	}
	return r, nil
}
