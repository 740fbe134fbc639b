package jose

import (
	"math/bits"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Types is a set of JSON types; where it has TypeList, it also has the types of the list's elements.
type Types uint16

// The types.
const (
	TypeNull Types = 1 << iota
	TypeBool
	TypeNumber
	TypeString
	TypeObject
	TypeList

	elementShift = iota // an element's types lie above a value's
)

const valueTypes = 1<<elementShift - 1

// typeNames are the words for the types, in the order of their bits.
var typeNames = [elementShift]string{"null", "bool", "number", "string", "object", "list"}

// ListOf is the type of a list of elements of types t.
func ListOf(t Types) Types { return TypeList | t&valueTypes<<elementShift }

// Elements are the types of a list's elements.
func (t Types) Elements() Types { return t >> elementShift & valueTypes }

// String is for people, as in "string or list of number and string".
func (t Types) String() string {
	if t == 0 {
		return "nothing"
	}
	words := (t & (valueTypes &^ TypeList)).words()
	if t&TypeList != 0 {
		list := typeNames[elementShift-1]
		if elements := t.Elements().words(); len(elements) > 0 {
			list += " of " + strings.Join(elements, " and ")
		}
		words = append(words, list)
	}
	return strings.Join(words, " or ")
}

func (t Types) words() (words []string) {
	for ; t != 0; t &= t - 1 {
		words = append(words, typeNames[bits.TrailingZeros16(uint16(t))])
	}
	return words
}

// Walk tells of every claim, selected or not, and of the members of objects down to a depth of levels, how it is called and of which types it is,
// a parent before its members; the claims themselves are on level 1. It makes no Go value of any of them. The name is only lent to visit.
func (c Claims) Walk(depth int, visit func(level int, name []byte, t Types)) {
	for _, m := range c.members {
		visitMember(m, 1, depth, visit)
	}
}

func visitMember(m member, level, depth int, visit func(level int, name []byte, t Types)) {
	t := typesOf(m.value)
	visit(level, m.name, t)
	if t != TypeObject || level >= depth {
		return
	}
	for i := skipSpace(m.value, 1); m.value[i] != '}'; {
		inner, next, _ := memberAt(m.value, i) // checked already
		visitMember(inner, level+1, depth, visit)
		i = next
	}
}

// typesOf is the type of a checked JSON value, and of the elements of a list.
func typesOf(v jsontext.Value) Types {
	if v[0] != '[' {
		return typeOf(v[0])
	}
	var elements Types
	for i := skipSpace(v, 1); v[i] != ']'; {
		elements |= typeOf(v[i])
		if i = skipSpace(v, skipValue(v, i)); v[i] == ',' {
			i = skipSpace(v, i+1)
		}
	}
	return ListOf(elements)
}

// typeOf is the type of a JSON value that begins with c.
func typeOf(c byte) Types {
	switch c {
	case 'n':
		return TypeNull
	case 't', 'f':
		return TypeBool
	case '"':
		return TypeString
	case '{':
		return TypeObject
	case '[':
		return TypeList
	}
	return TypeNumber
}
