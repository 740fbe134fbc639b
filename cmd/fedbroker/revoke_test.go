package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"fedbroker/broker/lineage"
	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

func TestRevocation_Asks(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, " YES \r\n": true, "n\n": false, "": false, "\n": false, "yep\n": false, "y": true} {
		var asked bytes.Buffer
		r := revocation{app: &app{in: strings.NewReader(answer), err: &asked}, kind: "client", id: "gateway"}
		if got := r.ask("12 live tokens"); got != want {
			t.Errorf("%q: %v", answer, got)
		}
		if !strings.Contains(asked.String(), "12 live tokens inactive") || !strings.Contains(asked.String(), "Revoke client gateway? [y/N]") {
			t.Errorf("asked %q", asked.String())
		}
	}
}

func TestOnTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.CreateTemp(t.TempDir(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if onTerminal(strings.NewReader("")) || onTerminal(null) || onTerminal(file) {
		t.Error("took for a terminal what is none")
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had here: %v", err)
	}
	defer terminal.Close()
	if !onTerminal(terminal) {
		t.Error("did not know a terminal")
	}
}

// keysAlone is an operator who knows the keys, and nothing else.
type keysAlone struct{ admin.Operator }

func (keysAlone) Keys(context.Context) ([]operator.Key, error) {
	return []operator.Key{{KeyID: "signs", State: "signing"}, {KeyID: "waits", State: "pending"}, {KeyID: "done", State: "retired"}, {KeyID: "dead", State: "compromised"}}, nil
}

// Revoking a key that signs would kill every token from then on at its birth: the way is its withdrawal.
func TestRevocation_KeyThatSignsIsWithdrawnInstead(t *testing.T) {
	for kid, want := range map[string]string{"signs": "keys rotate --compromised signs", "waits": "keys rotate --compromised waits", "unknown": "no signing key", "done": "", "dead": ""} {
		r := revocation{app: &app{}, kind: "kid", id: kid}
		err := r.refuse(t.Context(), keysAlone{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", kid, err)
		}
	}
	other := revocation{app: &app{}, kind: "client", id: "signs"}
	if err := other.refuse(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestLiving(t *testing.T) {
	for want, got := range map[string]string{
		"0 live tokens": living(lineage.Touched{}, nil), "1 live token": living(lineage.Touched{Tokens: 1}, nil),
		"at least 7 live tokens": living(lineage.Touched{Tokens: 7, AtLeast: true}, nil), "an unknown number of live tokens": living(lineage.Touched{}, errors.New("x")),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
