package mappers

import (
	"maps"
	"slices"
)

// kind is what a file of this package offers to the table.
type kind struct {
	keys  []string // of Spec, that belong to it
	build func(b *builder) step
}

// kinds is the table of mapper kinds: a new one is a file and a line here.
var kinds = map[string]kind{
	"require": {keys: []string{"expression", "message"}, build: newRequire},
	"rename":  {keys: []string{"from", "to"}, build: newRename},
	"set":     {keys: []string{"claim", "value"}, build: newSet},
	"groups":  {keys: []string{"from", "keep", "rename", "prefix"}, build: newGroups},
	"lookup":  {keys: []string{"from", "to", "table", "default"}, build: newLookup},
	"cel":     {keys: []string{"claim", "expression"}, build: newCEL},
}

// Kinds returns the names of all mapper kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }
