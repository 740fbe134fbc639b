package library_test

import (
	"testing"

	"fedbroker/mappers/expr"
	"fedbroker/mappers/library"
)

func compiled(t *testing.T, l *library.Library, o expr.Options, source string) *expr.Program {
	t.Helper()
	shelf, err := l.Shelf(o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := shelf.Compile(source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLibrary_SharesWhatMeansTheSameAndNothingElse(t *testing.T) {
	const source = `claims.s == claims.t`
	typed := func(name string, of expr.Type) map[string]expr.Type { return map[string]expr.Type{name: of} }
	plain := expr.Options{Vars: expr.Claims, ClaimTypes: typed("s", expr.String)}
	for _, tt := range []struct {
		name   string
		o      expr.Options
		source string
		shared bool
	}{
		{"the same", expr.Options{Vars: expr.Claims, ClaimTypes: typed("s", expr.String)}, source, true},
		{"another text", plain, source + " ", false},
		{"other variables", expr.Options{Vars: expr.Claims | expr.Principal, ClaimTypes: plain.ClaimTypes}, source, false},
		{"any value", expr.Options{Vars: expr.Claims, Value: true, ClaimTypes: plain.ClaimTypes}, source, false},
		{"another type", expr.Options{Vars: expr.Claims, ClaimTypes: typed("s", expr.Int)}, source, false},
		{"another claim", expr.Options{Vars: expr.Claims, ClaimTypes: typed("t", expr.String)}, source, false},
		{"no declared claim", expr.Options{Vars: expr.Claims}, source, false},
		{"a declared request", expr.Options{Vars: expr.Claims, ClaimTypes: plain.ClaimTypes, RequestTypes: map[string]expr.Type{}}, source, false},
		{"a member declared of request instead", expr.Options{Vars: expr.Claims, RequestTypes: typed("s", expr.String)}, source, false},
		{"a name that looks like two", expr.Options{Vars: expr.Claims, ClaimTypes: typed(`s":4 "t`, expr.String)}, source, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := library.New()
			first := compiled(t, l, plain, source)
			if second := compiled(t, l, tt.o, tt.source); (first == second) != tt.shared {
				t.Errorf("want shared %v, got %v", tt.shared, first == second)
			}
			if other := compiled(t, library.New(), plain, source); other == first {
				t.Error("want nothing shared between two libraries")
			}
		})
	}
}

func TestLibrary_WhatIsWrongIsToldEachTime(t *testing.T) {
	shelf, err := library.New().Shelf(expr.Options{Vars: expr.Claims})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := shelf.Compile(`claims.a ==`); err == nil {
			t.Error("want an error")
		}
	}
}

func TestLibrary_NilSharesNothing(t *testing.T) {
	var l *library.Library
	o := expr.Options{Vars: expr.Claims}
	first, second := compiled(t, l, o, `true`), compiled(t, l, o, `true`)
	if first == second {
		t.Error("want two programs")
	}
}
