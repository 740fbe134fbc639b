// Package shape knows what the claims of an upstream's tokens are called and of which JSON types they are, and tells when that changes: an IdP
// that changes the form of its tokens does so without notice, and what reads them then fails or, worse, does not. It keeps names and types, never
// a value.
package shape

import (
	"maps"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
)

const (
	// Learn is how many tokens make a baseline, before which nothing is a change.
	Learn = 50
	// Absent is how many tokens in a row have to lack a claim that usually comes before it has vanished.
	Absent = 50

	maxNames   = 128          // of one shape, all told
	maxStars   = 8            // of these kept for names that are not kept by themselves
	maxMembers = 16           // of one object; one that has more is a map, whose names say nothing of its shape
	maxName    = 64           // bytes
	maxDepth   = 3            // levels: /resource_access/wiki/roles
	maxLooked  = 4 * maxNames // names that are looked at in one token
	fewest     = 4            // members of an object that can be told to be a map by how seldom each comes
	window     = 1 << 10
	star       = "*" // stands for all members of an object that are not kept by name
)

// Claims are what a Shape looks at; jose.Claims are such, and Map.
type Claims interface {
	// Walk tells of each claim, and to the depth of members of objects, a parent before its members; see jose.Claims.Walk.
	Walk(depth int, visit func(level int, name []byte, t jose.Types))
}

// Shape is what is known of the claims of one sort of tokens. Its size is bounded, whatever comes. It is not safe for concurrent use.
type Shape struct {
	Tokens uint64           `json:"tokens"` // looked at
	Since  time.Time        `json:"since"`
	Last   time.Time        `json:"last"`
	Learnt time.Time        `json:"learnt,omitzero"` // when the baseline was made, or last accepted; zero: it is being learnt
	Names  map[string]*Name `json:"names"`           // by JSON pointer (RFC 6901); "/*" and "/map/*" stand for what has no name of its own

	now     time.Time
	looked  int               // names of the token so far
	path    []byte            // of the claim that is looked at
	ends    [maxDepth + 1]int // of the path, by level
	above   [maxDepth]*Name   // the claims that it is a member of, by level
	changes []change          // that the look brought
	visit   func(int, []byte, jose.Types)
}

// Name is what is known of one claim.
type Name struct {
	Types  jose.Types `json:"types"`  // all that it is known to come as
	Recent jose.Types `json:"recent"` // in the last Learn tokens and, Former, in those before
	Former jose.Types `json:"former"`
	Seen   uint32     `json:"seen"`            // in how many tokens, of how many; both halved again and again
	Of     uint32     `json:"of"`              // of a member: of those that have what it is a member of
	Missed uint32     `json:"missed,omitzero"` // since it came last
	First  time.Time  `json:"first"`
	Last   time.Time  `json:"last"`

	// What has changed since the baseline.
	Appeared time.Time  `json:"appeared,omitzero"`
	Vanished time.Time  `json:"vanished,omitzero"` // and it has not come since
	Retyped  time.Time  `json:"retyped,omitzero"`
	Was      jose.Types `json:"was,omitzero"` // before it was retyped
	Is       jose.Types `json:"is,omitzero"`  // what it was retyped to

	parent *Name
	at     uint64 // the token that it came in last
	object uint64 // the token that it came in last as an object
}

// change is one that a look found.
type change struct {
	kind    Kind
	pointer string
	was, is jose.Types
}

// Look takes in the claims of one token.
func (s *Shape) Look(c Claims, now time.Time) {
	s.begin(now)
	c.Walk(maxDepth, s.visit)
	for pointer, n := range s.Names {
		s.missing(pointer, n)
	}
	if s.Tokens%Learn == 0 {
		for _, n := range s.Names {
			n.Former, n.Recent = n.Recent, 0
		}
	}
	if s.Learnt.IsZero() && s.Tokens >= Learn {
		s.foldMaps()
		s.Learnt = s.now
	}
}

func (s *Shape) begin(now time.Time) {
	if s.visit == nil {
		s.visit = s.claim
		s.adopt()
	}
	s.now = now.UTC().Truncate(time.Second)
	if s.Since.IsZero() {
		s.Since = s.now
	}
	s.Last, s.looked = s.now, 0
	s.Tokens++
}

// adopt makes of what was loaded what it was before it was saved.
func (s *Shape) adopt() {
	if s.Names == nil {
		s.Names = map[string]*Name{}
	}
	for _, pointer := range slices.Sorted(maps.Keys(s.Names)) { // what is above comes first
		n, above := s.Names[pointer], parentOf(pointer)
		if n.parent = s.Names[above]; n.parent == nil && above != "" {
			delete(s.Names, pointer)
		}
	}
}

// claim takes in one claim, or one member of the last one on the level above.
func (s *Shape) claim(level int, name []byte, t jose.Types) {
	if s.looked++; s.looked > maxLooked {
		return
	}
	var parent *Name
	if level > 1 {
		if parent = s.above[level-1]; parent == nil {
			s.hide(level)
			return
		}
	}
	s.path = append(s.path[:s.ends[level-1]], '/')
	if plain(name) {
		s.path = appendEscaped(s.path, name)
	} else {
		s.path = append(s.path, star...)
	}
	n := s.Names[string(s.path)]
	if n == nil {
		n = s.unknown(level, parent, t)
	}
	if s.ends[level] = len(s.path); level < maxDepth {
		s.above[level] = n
	}
	if n != nil {
		s.seen(n, t)
	}
}

// hide lets nothing be kept below level.
func (s *Shape) hide(level int) {
	if level < maxDepth {
		s.above[level] = nil
	}
}

// unknown finds the place of what has no name yet: one of its own, if there is room, or that of all others beside it, to which the path then leads.
func (s *Shape) unknown(level int, parent *Name, t jose.Types) *Name {
	beside := s.ends[level-1] + 1 // where its name begins in the path
	others := string(s.path[:beside]) + star
	members := 0
	if level > 1 {
		members = s.members(parent)
	}
	folded := members == 1 && s.Names[others] != nil
	if own := string(s.path); own != others && !folded {
		if len(s.Names) < maxNames-maxStars && (level == 1 || members < maxMembers) {
			return s.add(own, parent, t, true)
		}
		if level > 1 {
			s.fold(parent, others)
		}
	}
	s.path = append(s.path[:beside], star...)
	if n := s.Names[others]; n != nil || len(s.Names) >= maxNames {
		return n
	}
	return s.add(others, parent, t, true)
}

func (s *Shape) members(parent *Name) (n int) {
	for _, m := range s.Names {
		if m.parent == parent {
			n++
		}
	}
	return n
}

// fold forgets the names of an object's members and all below them: from now on others stands for them.
func (s *Shape) fold(object *Name, others string) {
	var types, recent jose.Types
	for pointer, n := range s.Names {
		if n.parent == object {
			types, recent = types|n.Types, recent|n.Recent
		}
		if n.within(object) {
			delete(s.Names, pointer)
		}
	}
	n := s.add(others, object, types, false)
	n.Types, n.Recent, n.at, n.Last, n.Seen, n.Of = types, recent, s.Tokens, s.now, object.Seen, object.Of
}

func (n *Name) within(object *Name) bool {
	for up := n.parent; up != nil; up = up.parent {
		if up == object {
			return true
		}
	}
	return false
}

// foldMaps forgets the names of members that vary from token to token: they are no part of a shape, and can be names of people.
func (s *Shape) foldMaps() {
	members, usual := map[*Name]int{}, map[*Name]int{}
	for _, n := range s.Names {
		members[n.parent]++
		if n.parent != nil && uint64(n.Seen)*2 > uint64(n.parent.Seen) {
			usual[n.parent]++
		}
	}
	for object, n := range members {
		if object == nil || n < fewest || usual[object] > 0 {
			continue
		}
		if pointer := s.pointerOf(object); pointer != "" { // else it went with what it was a member of
			s.fold(object, pointer+"/"+star)
		}
	}
}

func (s *Shape) pointerOf(n *Name) string {
	for pointer, other := range s.Names {
		if other == n {
			return pointer
		}
	}
	return ""
}

// add begins to know a claim. A member that comes with what it is a member of is no news beside it.
func (s *Shape) add(pointer string, parent *Name, t jose.Types, news bool) *Name {
	n := &Name{First: s.now, parent: parent}
	s.Names[pointer] = n
	if news && !s.Learnt.IsZero() && (parent == nil || !parent.Appeared.Equal(s.now) && !parent.Retyped.Equal(s.now)) {
		n.Appeared = s.now
		s.changes = append(s.changes, change{kind: Appeared, pointer: pointer, is: t})
	}
	return n
}

// seen takes in that a claim came, of types t.
func (s *Shape) seen(n *Name, t jose.Types) {
	if t == jose.TypeObject {
		n.object = s.Tokens
	}
	if n.at != s.Tokens { // else it stands for several
		s.came(n)
	}
	n.Recent |= t
	if s.known(n, t) {
		n.Types |= t
		return
	}
	if n.Retyped.IsZero() {
		n.Retyped, n.Was = s.now, n.Types
	}
	n.Is |= t
	s.changes = append(s.changes, change{kind: Retyped, pointer: string(s.path), was: n.Types, is: t})
	n.Types |= t
}

// known tells whether a claim of these types is no news: what an empty list would have held is learnt when one comes that is not empty.
func (s *Shape) known(n *Name, t jose.Types) bool {
	if s.Learnt.IsZero() || n.Types == 0 || t&^n.Types == 0 {
		return true
	}
	return t&jose.TypeList != 0 && n.Types&jose.TypeList != 0 && n.Types.Elements() == 0
}

func (s *Shape) came(n *Name) {
	of := uint64(n.Of) + 1
	if n.Vanished.IsZero() {
		of += uint64(n.Missed)
	} else {
		n.Vanished = time.Time{}
		s.changes = append(s.changes, change{kind: Returned, pointer: string(s.path), is: n.Types})
	}
	n.Seen++
	for of >= window {
		of, n.Seen = of/2, (n.Seen+1)/2
	}
	n.Of, n.Missed, n.at, n.Last = uint32(of), 0, s.Tokens, s.now
}

// missing takes in that a claim did not come, if that could be expected.
func (s *Shape) missing(pointer string, n *Name) {
	if n.at == s.Tokens || n.parent != nil && n.parent.object != s.Tokens {
		return
	}
	if n.Missed++; n.Missed != Absent || s.Learnt.IsZero() || strings.HasSuffix(pointer, "/"+star) || !n.usual() {
		return
	}
	n.Vanished = s.now
	s.changes = append(s.changes, change{kind: Vanished, pointer: pointer, was: n.Types})
}

// usual tells whether the claim came in nearly all tokens, for long enough to tell: with one in twenty missing, fifty in a row do so by chance once in 10^65.
func (n *Name) usual() bool { return n.Of >= Learn && uint64(n.Seen)*20 >= uint64(n.Of)*19 }

// Accept makes what comes now the baseline. Before there is one it does nothing.
func (s *Shape) Accept(now time.Time) {
	if s.Learnt.IsZero() {
		return
	}
	for pointer, n := range s.Names {
		present := n.Recent | n.Former
		if !n.Vanished.IsZero() || present == 0 && !n.Appeared.IsZero() { // gone, or it came but now and then
			delete(s.Names, pointer) // and what is below it: see adopt
			continue
		}
		if present != 0 {
			n.Types = present
		}
		n.Appeared, n.Retyped, n.Was, n.Is = time.Time{}, time.Time{}, 0, 0
	}
	s.Learnt, s.changes = now.UTC().Truncate(time.Second), nil
	s.adopt()
}
