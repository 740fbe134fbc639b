// Package config reads the configuration file: strict YAML into the specs of the packages that it configures. It expands environment variables,
// reads the file twins of secrets, resolves relative paths, and reports everything that is wrong at once, each with its path and line. It also
// writes the effective configuration and the JSON Schema of the file, from the same structs.
package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"fedbroker/broker"
	"fedbroker/broker/decision"
	"fedbroker/broker/web"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config/strict"
	"fedbroker/store"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
)

// File is everything that the configuration file may hold.
type File struct {
	broker.Config `yaml:",inline"`
	Web           web.Spec   `yaml:",inline"`
	Admin         admin.Spec `yaml:"admin,omitempty"`
	Store         StoreSpec  `yaml:"store,omitempty"`
	Audit         AuditSpec  `yaml:"audit,omitempty"`
	Seal          *SealSpec  `yaml:"seal"` // required
	Log           LogSpec    `yaml:"log,omitempty"`
}

// StoreSpec names the engine and where it keeps its file.
type StoreSpec struct {
	Engine string `yaml:"engine,omitempty"` // [bbolt]
	Path   string `yaml:"path,omitempty"`   // [fedbroker.db]
}

// AuditSpec configures the journal.
type AuditSpec struct {
	Dir           string             `yaml:"dir,omitempty"`        // [journal]
	Durability    journal.Durability `yaml:"durability,omitempty"` // [wait]
	decision.Spec `yaml:",inline"`
}

// SealSpec holds the keys that seal private keys at rest: one, or a list whose first seals and all of which open (P45).
type SealSpec struct {
	SealKeySpec `yaml:",inline"`
	Keys        []SealKeySpec `yaml:"keys,omitempty"`
}

// SealKeySpec is one key of 32 random bytes as base64 or hex. Without an id it is named after its SHA-256.
type SealKeySpec struct {
	ID  string           `yaml:"id,omitempty"`
	Key upstreams.Secret `yaml:"key,omitempty"`
}

// LogSpec says what is logged and how.
type LogSpec struct {
	Level  string `yaml:"level,omitempty"`  // debug, info, warn, error [info]
	Format string `yaml:"format,omitempty"` // json, text [json]
}

// Loaded is a configuration that can be used.
type Loaded struct {
	File
	Name     string    // of the file
	Warnings []Problem // in the order of their lines
	seal     []store.SealKey
	source   source
	files    map[string]string // that it names → a key that does
}

// What is wrong with a file; see strict.
type (
	Problem = strict.Problem
	Error   = strict.Error
)

// Options say where a configuration comes from.
type Options struct {
	LookupEnv func(name string) (string, bool) // nil: of this process
	MayLack   bool                             // judge where secrets and certificates are not: a file that is not there is a warning
}

// Load reads and judges the file of that name, with the fragments in the folder beside it. An *Error holds everything that is wrong with them;
// another error means that there is no file to judge.
func Load(name string, o Options) (*Loaded, error) {
	s, err := gather(name)
	if err != nil {
		return nil, err
	}
	return judge(s, o)
}

// Read judges the text of a file, without fragments. Relative paths in it begin at folder; name is what errors call it. Beside an *Error the result
// may hold warnings.
func Read(name, folder string, text []byte, o Options) (*Loaded, error) {
	return judge(source{name: name, folder: folder, texts: []Text{{Text: string(text)}}}, o)
}

// Judge judges texts as Load would if they were the files; see Loaded.Texts.
func Judge(name string, texts []Text, o Options) (*Loaded, error) {
	folder, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return judge(source{name: name, folder: folder, texts: texts}, o)
}

func judge(s source, o Options) (*Loaded, error) {
	c := &Loaded{Name: s.name, source: s}
	r, syntax := c.decode(s, o)
	c.withDefaults(strict.Options{Folder: s.folder})
	if syntax != nil {
		return c, &Error{File: s.name, Problems: []Problem{*syntax}}
	}
	c.judge(r)
	c.Warnings, c.files = r.Warnings(), r.files()
	problems := r.Problems()
	if len(problems) > 0 && o.MayLack { // told with the rest, so that all mistakes come at once
		o.MayLack = false
		return judge(s, o)
	}
	if len(problems) > 0 {
		return c, &Error{File: s.name, Problems: problems}
	}
	return c, nil
}

// Texts are the files as they were written, the main one first, then the fragments by name.
func (c *Loaded) Texts() []Text { return slices.Clone(c.source.texts) }

// Files lists the files that make the configuration, the main one first.
func (c *Loaded) Files() []string {
	names := []string{c.Name}
	for _, t := range c.source.texts[1:] {
		names = append(names, c.source.beside(t.Name))
	}
	return names
}

// Watched lists what the configuration is made of: its files, the folder of fragments, whether there is one or not, and the files that they name, but for
// seal keys: those are read at the start alone.
func (c *Loaded) Watched() []string {
	names := append(c.Files(), c.source.beside(Folder))
	names = append(names, c.source.unread...)
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		if key := c.files[name]; key != "seal" && !strings.HasPrefix(key, "seal.") {
			names = append(names, name)
		}
	}
	return names
}

// LogWarnings tells what is odd.
func (c *Loaded) LogWarnings(log *slog.Logger) {
	for _, w := range c.Warnings {
		log.Warn("configuration", slog.String("file", cmp.Or(w.File, c.Name)), slog.Int("line", w.Line), slog.String("path", w.Path), slog.String("text", w.Text))
	}
}

// withDefaults fills what the packages that own their specs can't: paths are relative to the file's folder.
func (c *Loaded) withDefaults(f strict.Options) {
	c.Store.Engine = cmp.Or(c.Store.Engine, "bbolt")
	c.Store.Path = cmp.Or(c.Store.Path, f.Absolute("fedbroker.db"))
	c.Audit.Dir = cmp.Or(c.Audit.Dir, f.Absolute("journal"))
	c.Audit.Durability = cmp.Or(c.Audit.Durability, journal.Wait)
	c.Audit.Spec = c.Audit.Spec.WithDefaults()
	c.Log.Level = cmp.Or(c.Log.Level, "info")
	c.Log.Format = cmp.Or(c.Log.Format, "json")
	c.Admin.Socket = cmp.Or(c.Admin.Socket, filepath.Join(filepath.Dir(c.Store.Path), "fedbroker.sock"))
	c.Web = c.Web.WithDefaults()
	c.Admin = c.Admin.WithDefaults()
}

// Effective is the configuration with defaults written, presets applied and secrets redacted: as YAML that the decoder accepts, and as maps, lists
// and scalars.
func (c *Loaded) Effective() (text []byte, value any, err error) {
	node := strict.Node(c.effective())
	text, err = yaml.Dump(node, yaml.WithIndent(2), yaml.WithCompactSeqIndent(false), yaml.WithLineWidth(-1))
	if err == nil {
		err = node.Load(&value)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("effective configuration: %w", err)
	}
	return text, value, nil
}

func (c *Loaded) effective() File {
	file := c.File
	file.Config = file.Config.WithDefaults()
	file.Upstreams = slices.Clone(c.Upstreams)
	var specs []upstreams.Spec
	for _, u := range c.Upstreams {
		specs = append(specs, u.Spec)
	}
	// Compiled without keys it holds nothing to close, and what is wrong was reported before.
	set := upstreams.NewSet(upstreams.Options{Specs: specs, OurIssuer: c.Issuer, DefaultLeeway: file.Leeway}, func(string, string, ...any) {})
	for i, u := range c.Upstreams {
		if spec, ok := set.Effective(u.Name); ok {
			file.Upstreams[i].Spec = spec
		}
	}
	return file
}
