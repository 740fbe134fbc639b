// Package pin binds the names of upstreams to their issuers, over restarts: a name that is used again for another issuer never
// inherits anyone's subjects (P1).
package pin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fedbroker/store"
)

// Error refuses a start: the name belongs to another issuer, whose subjects it would inherit (P1).
type Error struct{ Name, Pinned, Configured string }

func (e *Error) Error() string {
	return fmt.Sprintf("upstream %s is bound to issuer %s, and the configuration says %s; if its subjects shall go over to the new issuer: fedbroker upstreams rebind %s",
		e.Name, e.Pinned, e.Configured, e.Name)
}

// record binds an upstream's name to an issuer. It stays when the upstream leaves the configuration.
type record struct {
	Issuer string    `json:"issuer"`
	Since  time.Time `json:"since"`
}

const bucket = "upstream_pins"

// Binding is the issuer that an upstream's name is bound to.
type Binding struct {
	Name   string `json:"name"`
	Issuer string `json:"issuer"`
	Was    string `json:"was,omitempty"` // before it was rebound
}

// Pins is the table of pins.
type Pins struct {
	engine store.Engine
	table  *store.Table[record]
	now    func() time.Time
}

// New keeps pins in e.
func New(e store.Engine, now func() time.Time) (*Pins, error) {
	table, err := store.NewTable[record](e, store.TableOptions[record]{Bucket: bucket, Version: 1})
	if err != nil {
		return nil, fmt.Errorf("pins: %w", err)
	}
	return &Pins{engine: e, table: table, now: now}, nil
}

// Hold pins what is new and refuses what differs, all of it at once. What it refuses pins nothing, not even what is new beside it: that may be
// as wrong.
func (p *Pins) Hold(ctx context.Context, issuers map[string]string) error {
	all, err := p.All(ctx)
	if err != nil {
		return err
	}
	pinned := make(map[string]string, len(all))
	for _, b := range all {
		pinned[b.Name] = b.Issuer
	}
	var unknown []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(issuers)) {
		was, known := pinned[name]
		switch {
		case !known:
			unknown = append(unknown, name)
		case was != issuers[name]:
			errs = append(errs, &Error{Name: name, Pinned: was, Configured: issuers[name]})
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for some := range slices.Chunk(unknown, store.MaxOps) {
		if err := p.holdSome(ctx, some, issuers); err == nil {
			continue
		}
		for _, name := range some { // each says what is wrong with it
			errs = append(errs, p.holdOne(ctx, name, issuers[name]))
		}
	}
	return errors.Join(errs...)
}

// holdSome pins several names in one commit.
func (p *Pins) holdSome(ctx context.Context, names []string, issuers map[string]string) error {
	var ops []store.Op
	for _, name := range names {
		one, err := p.table.PutOps(ctx, name, record{Issuer: issuers[name], Since: p.now()}, store.Absent, time.Time{})
		if err != nil {
			return err
		}
		ops = append(ops, one...)
	}
	_, err := p.engine.Commit(ctx, ops...)
	return err
}

func (p *Pins) holdOne(ctx context.Context, name, issuer string) error {
	_, err := p.table.Put(ctx, name, record{Issuer: issuer, Since: p.now()}, store.Absent, time.Time{})
	if err == nil {
		return nil
	}
	if !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("pin of upstream %s: %w", name, err)
	}
	held, err := p.table.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("pin of upstream %s: %w", name, err)
	}
	if held.Value.Issuer != issuer {
		return &Error{Name: name, Pinned: held.Value.Issuer, Configured: issuer}
	}
	return nil
}

// Rebind binds the name to issuer, whatever it was bound to.
func (p *Pins) Rebind(ctx context.Context, name, issuer string) (Binding, error) {
	b := Binding{Name: name, Issuer: issuer}
	held, err := p.table.Get(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Binding{}, fmt.Errorf("pin of upstream %s: %w", name, err)
	}
	b.Was = held.Value.Issuer
	if b.Was == issuer {
		return b, nil
	}
	cond := store.Cond(held.Rev) // of no record it is 0, which is store.Absent
	if _, err := p.table.Put(ctx, name, record{Issuer: issuer, Since: p.now()}, cond, time.Time{}); err != nil {
		return Binding{}, fmt.Errorf("pin of upstream %s: %w", name, err)
	}
	return b, nil
}

// All lists the pins by name.
func (p *Pins) All(ctx context.Context) ([]Binding, error) {
	var out []Binding
	for after := ""; ; {
		rows, err := p.table.Scan(ctx, store.Range{After: after, Limit: store.MaxScan})
		if err != nil {
			return nil, fmt.Errorf("pins: %w", err)
		}
		for _, row := range rows {
			out = append(out, Binding{Name: row.Key, Issuer: row.Value.Issuer})
			after = row.Key
		}
		if len(rows) < store.MaxScan {
			return out, nil
		}
	}
}
