package shape

import "time"

// maxTold bounds the claims that one Change names.
const maxTold = 16

// Change is what is told of claims that changed: names and types, as in "exchange groups: list of string → string".
type Change struct {
	Upstream string
	Kind     Kind
	Claims   []string // as Plainly has them, each once
	Details  []string // one for each change: the source, the claim, its types
	More     int      // changes beyond these
}

type toldKey struct {
	upstream string
	kind     Kind
}

// told is when one kind of change was told of last, and what has come since.
type told struct {
	at      time.Time
	waiting *Change // nil: nothing
}

// note adds a change to what is to be told. Only Run calls it, and tell.
func (s *Sentinel) note(w watched, c change) {
	key := toldKey{w.upstream, c.kind}
	t := s.told[key]
	if t == nil {
		t = &told{}
		s.told[key] = t
	}
	if t.waiting == nil {
		t.waiting = &Change{Upstream: w.upstream, Kind: c.kind}
	}
	t.waiting.add(w.source, c)
}

func (c *Change) add(source Source, one change) {
	if len(c.Details) == maxTold {
		c.More++
		return
	}
	name := Plainly(one.pointer)
	for _, known := range c.Claims {
		if known == name {
			name = ""
		}
	}
	if name != "" {
		c.Claims = append(c.Claims, name)
	}
	c.Details = append(c.Details, string(source)+" "+one.text())
}

func (c *change) text() string {
	name := Plainly(c.pointer)
	switch c.kind {
	case Retyped:
		return name + ": " + c.was.String() + " → " + c.is.String()
	case Vanished:
		return name + ": " + c.was.String() + " → nothing"
	case Returned:
		return name + ": " + c.is.String() + " again"
	}
	return name + ": nothing → " + c.is.String()
}

// tell tells of what may be told now, or of all.
func (s *Sentinel) tell(all bool) {
	now := s.o.Now()
	for key, t := range s.told {
		switch {
		case t.waiting != nil && (all || now.Sub(t.at) >= tellEvery):
			s.o.Tell(*t.waiting)
			t.waiting, t.at = nil, now
		case t.waiting == nil && now.Sub(t.at) >= tellEvery:
			delete(s.told, key)
		}
	}
}
