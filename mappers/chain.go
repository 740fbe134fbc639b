package mappers

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"fedbroker/mappers/expr"
)

// Chain is the compiled pipeline of one upstream, or of one client. It is immutable and safe for concurrent use.
type Chain struct {
	client   bool
	unfit    bool // it did not compile
	steps    []step
	email    emailRule
	targets  map[string]bool   // claims that its steps may make
	prefixes map[string]string // by owned claim
}

// Result is what a chain makes of an identity's claims.
type Result struct {
	Principal Claims   // what is issued and what policy reads as principal; an address that is not verified is in it, marked so
	View      Claims   // the input as policy must read it as claims: email absent unless verified, email_verified enforced
	Made      []string // claims that a mapper made, sorted
}

// The stages of a chain that are not steps, as traces and errors name them.
const (
	stageInput   = "input"
	stageProfile = "profile"
	stagePrefix  = "prefix"
)

var errUnfit = errors.New("the chain did not compile")

// Run maps verified claims, which it does not write. tr may be nil, which costs nothing. The error is a *RefusedError (a require step does
// not hold) or a *StepError (a step has no result for these claims).
func (c *Chain) Run(claims Claims, tr *Trace) (Result, error) {
	if c.unfit {
		return Result{}, &StepError{Index: -1, Kind: stageInput, Err: errUnfit}
	}
	r := Result{View: c.email.view(claims), Principal: make(Claims, len(c.targets)+len(profile))}
	a, err := expr.NewActivation(expr.Input{Claims: r.View, Principal: r.Principal})
	if err != nil {
		return Result{}, &StepError{Index: -1, Kind: stageInput, Err: err}
	}
	for i := range c.steps {
		before := tr.before(r.Principal)
		err := c.step(i, a, r.View, r.Principal)
		tr.after(i, c.steps[i].kind, before, r.Principal, err)
		if err != nil {
			return Result{}, err
		}
	}
	r.Made = slices.Sorted(maps.Keys(r.Principal))
	before := tr.before(r.Principal)
	c.pass(claims, r.View, r.Principal)
	tr.after(-1, stageProfile, before, r.Principal, nil)
	before = tr.before(r.Principal)
	err = c.prefix(r.Principal)
	tr.after(-1, stagePrefix, before, r.Principal, err)
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// step runs one step and holds what it made to the rules.
func (c *Chain) step(i int, a *expr.Activation, view, out Claims) error {
	s := &c.steps[i]
	var err error
	if m, ok := s.mapper.(inActivation); ok {
		err = m.mapIn(a, out)
	} else {
		err = s.mapper.Map(view, out)
	}
	if err == nil && len(out) > 0 {
		err = c.allowed(out)
	}
	if err == nil && s.target != "" {
		err = a.Changed(s.target)
	}
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return refused
	}
	if err != nil {
		return &StepError{Index: i, Kind: s.kind, Err: err}
	}
	if s.target == claimEmail || s.target == claimEmailVerified {
		c.email.settle(view, out)
	}
	return nil
}

// allowed holds a step to the claims that the chain may make: names are checked at load, and no step may find others at run time.
func (c *Chain) allowed(out Claims) error {
	for name := range out {
		if !c.targets[name] {
			return fmt.Errorf("a claim that the chain may not make: %q", name)
		}
	}
	return nil
}

// pass lets the standard claims through, where no mapper made them and their type is the standard's; of a principal it lets all through.
// The address comes from the claims, since an unverified one is issued, too; what is said of it comes from the view.
func (c *Chain) pass(claims, view, out Claims) {
	put := func(name string, v any) {
		if _, made := out[name]; !made {
			out[name] = v
		}
	}
	if verified, ok := view[claimEmailVerified]; ok {
		put(claimEmailVerified, verified)
	}
	if c.client {
		for name, v := range claims {
			put(name, v)
		}
		return
	}
	for i := range profile {
		if v, ok := claims[profile[i].name]; ok {
			if v, ok = profile[i].fits(v); ok {
				put(profile[i].name, v)
			}
		}
	}
}

// prefix marks the values of owned claims with their owner, whichever step made them, so that no mapper can forget it.
func (c *Chain) prefix(out Claims) error {
	for _, claim := range owned {
		v, made := out[claim]
		if !made || c.client {
			continue
		}
		list, err := names(v)
		if err != nil {
			return &StepError{Index: -1, Kind: stagePrefix, Err: fmt.Errorf("%s: %w", claim, err)}
		}
		prefixed := make([]any, len(list))
		for i, e := range list {
			prefixed[i] = c.prefixes[claim] + e.(string) // names returns strings only
		}
		out[claim] = prefixed
	}
	return nil
}
