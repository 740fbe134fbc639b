package expr

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// stringsVersion is the first version of CEL's string extension whose functions account for their cost.
const stringsVersion = 5

// variables in the order of their Vars bits.
var variables = [...]struct {
	vars Vars
	name string
	typ  *cel.Type
}{
	{Claims, "claims", cel.MapType(cel.StringType, cel.DynType)},
	{Principal, "principal", cel.MapType(cel.StringType, cel.DynType)},
	{Scopes, "scopes", cel.ListType(cel.StringType)},
	{Actor, "actor", cel.MapType(cel.StringType, cel.DynType)},
	{Request, "request", cel.MapType(cel.StringType, cel.DynType)},
}

// NewEnv builds the environment for these options.
func NewEnv(o Options) (*Env, error) {
	opts := []cel.EnvOption{
		cel.CustomTypeAdapter(adapter{}),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxDepth),
		ext.Strings(ext.StringsVersion(stringsVersion)),
		listHelper(), strHelper(),
	}
	for _, v := range variables {
		if o.Vars == 0 || o.Vars&v.vars != 0 {
			opts = append(opts, cel.Variable(v.name, v.typ))
		}
	}
	declared := qualifiedTypes(o.ClaimTypes)
	maps.Copy(declared, qualifiedRequest(o.RequestTypes))
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		opts = append(opts, cel.Variable(name, declared[name].cel()))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("expression environment: %w", err)
	}
	return &Env{options: o, cel: env}, nil
}

// qualifiedTypes names each declared claim as CEL's checker does: a variable "claims.x" wins over member x of the variable claims, which
// is how a member of a map gets a type of its own.
func qualifiedTypes(declared map[string]Type) map[string]Type { return qualified("claims", declared) }

func qualifiedRequest(declared map[string]Type) map[string]Type {
	return qualified("request", declared)
}

func qualified(variable string, declared map[string]Type) map[string]Type {
	out := make(map[string]Type, len(declared))
	for name, t := range declared {
		if t != Dyn {
			out[qualifiedName(variable, name)] = t
		}
	}
	return out
}

var identifier = regexp.MustCompile(`^(?:[A-Za-z_][A-Za-z0-9_]*)$`)

// qualifiedName sets names that are no identifiers apart by "@", which no expression can hold: the claim "kubernetes.io" is
// claims["kubernetes.io"] and never claims.kubernetes.io.
func qualifiedName(variable, member string) string {
	if identifier.MatchString(member) {
		return variable + "." + member
	}
	return variable + ".@" + member
}

func (t Type) cel() *cel.Type {
	switch t {
	case Bool:
		return cel.BoolType
	case Int:
		return cel.IntType
	case Double:
		return cel.DoubleType
	case String:
		return cel.StringType
	case StringList:
		return cel.ListType(cel.StringType)
	case Map:
		return cel.MapType(cel.StringType, cel.DynType)
	default:
		return cel.DynType
	}
}

// holds says whether a claim's value is of the declared type.
func (t Type) holds(v any) bool {
	ok := true
	switch t {
	case Bool:
		_, ok = v.(bool)
	case Int:
		_, ok = v.(int64)
	case Double:
		_, ok = v.(float64)
	case String:
		_, ok = v.(string)
	case StringList:
		var list []any
		list, ok = v.([]any)
		ok = ok && !slices.ContainsFunc(list, func(e any) bool { _, isString := e.(string); return !isString })
	case Map:
		_, ok = v.(map[string]any)
	}
	return ok
}

// listHelper is list(x): a string becomes a list of one, a list stays what it is. Identity providers send one group as a string and two as
// a list (RFC 7519 §4.1.3 allows the same of aud).
func listHelper() cel.EnvOption {
	elem := cel.TypeParamType("T")
	return cel.Function("list",
		cel.Overload("list_string", []*cel.Type{cel.StringType}, cel.ListType(cel.StringType),
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				return types.NewRefValList(adapter{}, []ref.Val{v})
			})),
		cel.Overload("list_list", []*cel.Type{cel.ListType(elem)}, cel.ListType(elem),
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v })))
}

// strHelper is str(x): true and "true", 5 and "5" compare as one. A float64 has no one text and is no argument of it.
func strHelper() cel.EnvOption {
	text := func(v ref.Val) ref.Val { return v.ConvertToType(types.StringType) }
	var overloads []cel.FunctionOpt
	for _, t := range []*cel.Type{cel.StringType, cel.BoolType, cel.IntType, cel.UintType} {
		overloads = append(overloads, cel.Overload("str_"+t.String(), []*cel.Type{t}, cel.StringType, cel.UnaryBinding(text)))
	}
	return cel.Function("str", overloads...)
}

// oneLine folds CEL's drawing of the place into one line: a configuration problem is one line.
func oneLine(err error) error {
	lines := strings.Split(err.Error(), "\n")
	kept := lines[:0]
	for _, l := range lines {
		if !strings.HasPrefix(l, " | ") {
			kept = append(kept, strings.TrimPrefix(l, "ERROR: "))
		}
	}
	return errors.New(strings.Join(kept, "; "))
}
