package expr

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// view shows a map to CEL without copying it. It hides an e-mail address that is not verified, and gives an error for a member whose
// numbers cannot be compared exactly.
type view struct {
	m         map[string]any
	inexact   []string // members with a number that no CEL number holds exactly; nearly always empty
	hideEmail bool
}

var _ traits.Mapper = (*view)(nil)

func (v *view) hidden(name string) bool {
	if !v.hideEmail || name != "email" {
		return false
	}
	verified, _ := v.m["email_verified"].(bool)
	return !verified
}

// find returns the member, or an error value.
func (v *view) find(name string) (ref.Val, bool) {
	value, found := v.m[name]
	if !found || v.hidden(name) {
		return nil, false
	}
	if slices.Contains(v.inexact, name) {
		return types.NewErr("%s: a number that cannot be compared exactly", name), true
	}
	return adapter{}.NativeToValue(value), true
}

// whole is the map as a plain CEL map, for the rare expression that uses it as one; no program that does so runs on an inexact map.
func (v *view) whole() traits.Mapper { return types.NewStringInterfaceMap(adapter{}, v.shown()) }

// shown is the map without what is hidden.
func (v *view) shown() map[string]any {
	if _, found := v.m["email"]; !found || !v.hidden("email") {
		return v.m
	}
	m := maps.Clone(v.m)
	delete(m, "email")
	return m
}

// Find is part of traits.Mapper.
func (v *view) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	return v.find(string(name))
}

// Get is part of traits.Indexer.
func (v *view) Get(key ref.Val) ref.Val {
	value, found := v.Find(key)
	if !found {
		return types.NewErr("no such key: %v", key)
	}
	return value
}

// Contains is part of traits.Container.
func (v *view) Contains(key ref.Val) ref.Val {
	_, found := v.Find(key)
	return types.Bool(found)
}

// Size is part of traits.Sizer.
func (v *view) Size() ref.Val { return v.whole().Size() }

// Iterator is part of traits.Iterable. Names come in order, so that a result can never depend on a map's.
func (v *view) Iterator() traits.Iterator {
	names := make([]string, 0, len(v.m))
	for name := range v.m {
		if !v.hidden(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return types.NewStringList(adapter{}, names).Iterator()
}

// Equal is part of ref.Val.
func (v *view) Equal(other ref.Val) ref.Val {
	if o, ok := other.(*view); ok {
		other = o.whole()
	}
	return v.whole().Equal(other)
}

// ConvertToType is part of ref.Val.
func (v *view) ConvertToType(t ref.Type) ref.Val { return v.whole().ConvertToType(t) }

// ConvertToNative is part of ref.Val.
func (v *view) ConvertToNative(t reflect.Type) (any, error) { return v.whole().ConvertToNative(t) }

// Type is part of ref.Val.
func (v *view) Type() ref.Type { return types.MapType }

// Value is part of ref.Val.
func (v *view) Value() any { return v.whole().Value() }

// adapter is CEL's own but for maps: they are shown as views, whose order is the order of their names.
type adapter struct{}

// NativeToValue is part of types.Adapter.
func (adapter) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case map[string]any:
		return &view{m: v}
	case []any:
		return types.NewDynamicList(adapter{}, v)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// native turns a result into a JSON value, within the bounds that an input has.
func native(v ref.Val) (any, error) {
	left := maxInput
	return nativeValue(v, 1, &left)
}

func nativeValue(v ref.Val, depth int, left *int) (any, error) {
	if *left -= perValue; *left < 0 || depth > maxDepth {
		return nil, fmt.Errorf("result larger than %d bytes or deeper than %d levels", maxInput, maxDepth)
	}
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if uint64(v) <= math.MaxInt64 {
			return int64(v), nil
		}
		return uint64(v), nil
	case types.Double:
		if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, nil
		}
	case types.String:
		*left -= len(v)
		return string(v), nil
	case traits.Lister:
		return nativeList(v, depth, left)
	case traits.Mapper:
		return nativeMap(v, depth, left)
	}
	return nil, fmt.Errorf("want a JSON value, got %s", v.Type().TypeName())
}

func nativeList(list traits.Lister, depth int, left *int) (any, error) {
	out := []any{}
	for it := list.Iterator(); it.HasNext() == types.True; {
		e, err := nativeValue(it.Next(), depth+1, left)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func nativeMap(m traits.Mapper, depth int, left *int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("want an object, got a map with a key of type %s", key.Type().TypeName())
		}
		*left -= len(name)
		e, err := nativeValue(m.Get(key), depth+1, left)
		if err != nil {
			return nil, err
		}
		out[string(name)] = e
	}
	return out, nil
}
