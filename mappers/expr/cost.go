package expr

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// bytesPerUnit is CEL's own price of looking at a string.
const bytesPerUnit = 10

// dispatchCost prices calls whose overload is found only at run time. CEL takes each for one unit, whatever its size; with claims that are
// dynamic by default that is most of them, and x + x could double without end.
type dispatchCost struct{}

// CallCost is part of cost.ActualCostEstimator. nil leaves the price to CEL.
func (dispatchCost) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	if overload != "" {
		return nil
	}
	price := uint64(1)
	if function == operators.In && len(args) == 2 {
		price += extent(args[1]) // one comparison with each element
	} else {
		for _, arg := range args {
			price += extent(arg) / bytesPerUnit
		}
		price += extent(result) / bytesPerUnit
	}
	return &price
}

// extent is a string's bytes, a list's elements.
func extent(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case traits.Lister:
		if n, ok := v.Size().(types.Int); ok && n > 0 {
			return uint64(n)
		}
	}
	return 0
}
