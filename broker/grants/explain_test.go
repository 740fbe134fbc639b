package grants

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/oauth"
)

// Every way to be refused leaves a trace whose last step is the one that refuses, by the error that is answered; where rules were asked, or one
// step speaks for all of them, the nearest is the one that the request is about, with what it saw, what it wanted, and what would admit it.
func TestTrace_EveryRefusalNamesItsStepAndRule(t *testing.T) {
	steps := map[int]string{
		rowClient: "requester", rowParameters: "parameters", rowUnavailable: "verification", rowTarget: "target", rowScope: "authority", rowReplay: "authority",
	}
	special := map[string]string{
		"not a JWT": "tokens", "class": "tokens", "cnf": "tokens", "actor token malformed": "tokens", "require": "mapping", "a mapper fails": "mapping",
	}
	failed := map[string]string{
		"no rule names the client": "requester", "a public client": "requester", "target out of reach": "audience", "one target out of reach": "audience",
		"no target, several in the rule": "audience", "when": "when", "an actor token": "actor", "act": "actor", "may_act": "actor",
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			w := external(t)
			w.trace = &Trace{}
			f.spoil(w)
			w.want(f.want)
			want := steps[f.row]
			if f.row == rowToken {
				want = "verification"
			}
			if f.row == rowCondition {
				want = "rules"
			}
			if s, ok := special[f.name]; ok {
				want = s
			}
			last := w.trace.Steps[len(w.trace.Steps)-1]
			if last.Name != want || last.Err == nil {
				t.Errorf("got step %s: %v, want %s", last.Name, last.Err, want)
			}
			if e := oauth.AsError(last.Err); fmt.Sprintf("%s %s", e.Code, e.Reason) != f.want {
				t.Errorf("the step says %v", last.Err)
			}
			nearest, asked := w.trace.Policy.Nearest()
			condition := failed[f.name]
			if asked != (condition != "" || f.row >= rowScope) {
				t.Fatalf("rules asked: %t, nearest %+v", asked, nearest)
			}
			if !asked {
				return
			}
			if string(nearest.Failed) != condition || (condition != "requester" && nearest.Rule != "partner-orders") {
				t.Errorf("nearest %s fails %q, want partner-orders and %q", nearest.Rule, nearest.Failed, condition)
			}
			if condition != "" && (nearest.Saw == "" || nearest.Wanted == "" || nearest.Change == "") {
				t.Errorf("nothing is said of it: %+v", nearest)
			}
		})
	}
}

// Being traced changes no outcome.
func TestTrace_ChangesNothing(t *testing.T) {
	for _, f := range faults {
		plain, traced := external(t), external(t)
		traced.trace = &Trace{}
		f.spoil(plain)
		f.spoil(traced)
		if a, b := plain.outcome(), traced.outcome(); a != b {
			t.Errorf("%s: %s untraced, %s traced", f.name, a, b)
		}
	}
}

// P47: of a verified token what rules, mappers and the protocol read is kept, and nothing else; of one that did not verify, nothing.
func TestP47_KeptOfTokens(t *testing.T) {
	w := external(t)
	for name, v := range map[string]any{"exp": noon.Add(time.Hour).Unix(), "jti": "j1", "ssn": "1", "dept": "R&D"} {
		w.payload[name] = v
	}
	w.want("partner-orders")
	if w.seen.Tokens == nil {
		t.Fatal("nothing is kept of a token that verified")
	}
	subject, actor := w.seen.Tokens()
	text, err := json.Marshal(subject.Claims)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"aud":"gateway-at-acme","dept":"R\u0026D","exp":` + fmt.Sprint(noon.Add(time.Hour).Unix()) + `,"iss":"` + acmeIssuer + `","jti":"j1","name":"Alice","sub":"alice"}`; string(text) != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
	if subject.Own || subject.Upstream != "acme" || subject.TokenID != "tok-ext" || actor != nil {
		t.Errorf("got %+v, %v", subject, actor)
	}

	o := ours(t)
	o.own.Claims["phone_number"] = "123"
	o.want("own-billing")
	subject, _ = o.seen.Tokens()
	if text, err = json.Marshal(subject.Claims); err != nil || strings.Contains(string(text), "lin") || strings.Contains(string(text), "phone") || !strings.Contains(string(text), `"tenant":"acme"`) {
		t.Errorf("ours: got %s, %v", text, err)
	}
	if !subject.Own || subject.Typ != "at+jwt" {
		t.Errorf("ours: got %+v", subject)
	}

	bad := external(t)
	upstreamFault("signature")(bad)
	if bad.outcome(); bad.seen.Tokens != nil {
		t.Error("of a token that did not verify something would be kept")
	}
}

// Of an ID-JAG what bounds its result is read, too (P23), so that it is kept.
func TestP47_KeptOfAnIDJAG(t *testing.T) {
	w := bearing(t)
	w.text = "- {id: jag, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [orders.read]}}\n"
	w.header["typ"], w.payload["client_id"], w.payload["scope"], w.payload["ssn"] = "oauth-id-jag+jwt", "gateway", "orders.read", "1"
	w.identity.ClientID, w.identity.Scopes = "gateway", []string{"orders.read"}
	w.want("jag")
	subject, _ := w.seen.Tokens()
	if subject.Typ != "oauth-id-jag+jwt" || subject.Claims["client_id"] != "gateway" || subject.Claims["scope"] != "orders.read" || subject.Claims["ssn"] != nil {
		t.Errorf("got %+v", subject)
	}
	plain := external(t)
	plain.payload["client_id"] = "gateway"
	plain.want("partner-orders")
	if subject, _ = plain.seen.Tokens(); subject.Claims["client_id"] != nil {
		t.Errorf("of another token: got %+v", subject)
	}
}

// A verified actor is kept beside its subject.
func TestP47_KeptOfAnActor(t *testing.T) {
	w := external(t)
	w.text = "- {id: delegated, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true}, grant: {audiences: [orders]}}\n"
	w.actor, w.actorOwn = machineToken(w.t, "gateway", "gateway")
	w.want("delegated")
	if _, actor := w.seen.Tokens(); actor == nil || !actor.Own || actor.Claims["sub"] != "gateway" {
		t.Errorf("got %+v", actor)
	}
}
