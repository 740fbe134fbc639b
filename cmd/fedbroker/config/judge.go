package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"fedbroker/broker"
	"fedbroker/broker/lint"
	"fedbroker/cmd/fedbroker/config/strict"
	"fedbroker/store"
	"fedbroker/store/journal"
)

// engineKinds are the engines that a file may name; the command line opens them.
func engineKinds() []string { return []string{"bbolt", "memory"} }

// judge reports what is wrong in meaning: each package judges its own specs, and the seal, the store and the log are judged here.
func (c *Loaded) judge(r *report) {
	c.judgeSeal(r)
	if !slices.Contains(engineKinds(), c.Store.Engine) {
		r.Bad("store.engine", "want one of %s, got %q", strings.Join(engineKinds(), ", "), c.Store.Engine)
	}
	if c.Store.Engine == "memory" {
		r.Warn("store.engine", "nothing outlives the process: keys, revocations and single use are forgotten at its end")
	}
	if d := c.Audit.Durability; d != journal.Wait && d != journal.Async {
		r.Bad("audit.durability", "want %s or %s, got %q", journal.Wait, journal.Async, d)
	}
	if _, known := levels()[c.Log.Level]; !known {
		r.Bad("log.level", "want debug, info, warn or error, got %q", c.Log.Level)
	}
	if f := c.Log.Format; f != "json" && f != "text" {
		r.Bad("log.format", "want json or text, got %q", f)
	}
	c.Web.Check(c.Issuer, r.Bad)
	c.Audit.Check(func(path, format string, args ...any) { r.Bad(strict.Join("audit", path), format, args...) })
	c.Admin.Check(func(path, format string, args ...any) { r.Bad(strict.Join("admin", path), format, args...) })
	broker.Check(c.Config, r.Bad, r.Warn)
	if len(r.Problems()) == 0 {
		lint.Policy(c.Config, r.Warn)
	}
}

// levels are what a file calls the levels of the log.
func levels() map[string]slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
}

// LogLevel is the least level that is logged.
func (c *Loaded) LogLevel() slog.Level { return levels()[c.Log.Level] }

// Sealer seals with the first key and opens with all.
func (c *Loaded) Sealer() (*store.Sealer, error) {
	sealer, err := store.NewSealer(c.seal)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealer, nil
}

func (c *Loaded) judgeSeal(r *report) {
	const how = "`fedbroker secret --seal` prints one"
	if c.Seal == nil {
		r.Bad("seal", "want key_file or keys, got nothing; %s", how)
		return
	}
	single := c.Seal.Key != "" || c.Seal.ID != ""
	if single && len(c.Seal.Keys) > 0 {
		r.Bad("seal.keys", "want one of key_file and keys, got both")
		return
	}
	specs, at := c.Seal.Keys, func(i int) string { return fmt.Sprintf("seal.keys[%d]", i) }
	if len(specs) == 0 {
		specs, at = []SealKeySpec{c.Seal.SealKeySpec}, func(int) string { return "seal" }
	}
	ids := map[string]int{}
	for i, spec := range specs {
		path := at(i)
		if spec.Key == "" {
			r.Bad(strict.Join(path, "key"), "want a key of 32 bytes in key_file, got none; %s", how)
			continue
		}
		key, err := store.ParseSealKey(spec.Key.Reveal())
		if err != nil {
			r.Bad(strict.Join(path, "key"), "want 32 bytes as base64 or hex, got something else; %s", how)
			continue
		}
		id := spec.ID
		if id == "" {
			id = store.SealKeyID(key)
		}
		if first, twice := ids[id]; twice {
			r.Bad(path, "want each seal key once, got id %s at %s already", id, at(first))
			continue
		}
		ids[id] = i
		c.seal = append(c.seal, store.SealKey{ID: id, Key: key})
	}
	if len(c.seal) > 0 {
		if _, err := store.NewSealer(c.seal); err != nil {
			r.Bad("seal", "%v", err)
		}
	}
}
