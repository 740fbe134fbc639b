package session_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/session"
	"fedbroker/store"
)

// bonded is ada, signed in at a provider that is asked again.
func (h *house) bonded() begun {
	h.t.Helper()
	person := ada()
	person.Principal["email"] = "ada@acme.example"
	person.Renewal, person.RenewalNonce = "the-providers-token", "the-nonce"
	return h.begin("1", person, nil, session.Grant{Offline: true})
}

func (h *house) bond(sid string) session.Bond {
	h.t.Helper()
	b, err := h.Bond(h.t.Context(), sid)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func TestP45_ABondIsSealedAtRest(t *testing.T) {
	h := newHouse(t)
	sid := h.bonded().session.ID
	if b := h.bond(sid); b.Token.Reveal() != "the-providers-token" || b.Nonce != "the-nonce" || b.Principal["email"] != "ada@acme.example" {
		t.Fatalf("%+v", b)
	}
	records, err := h.engine.Scan(t.Context(), "login_bonds", store.Range{Limit: store.MaxScan})
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, secret := range []string{"the-providers-token", "ada@acme.example"} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(string(records[0].Value), form) {
				t.Errorf("%s can be read", secret)
			}
		}
	}
}

func TestBond_OfTwoWhoLookedOneWrites(t *testing.T) {
	h := newHouse(t)
	sid := h.bonded().session.ID
	first, second := h.bond(sid), h.bond(sid)
	first.Token, first.Principal = "next", map[string]any{"email": "ada@new.example"}
	if _, err := h.Rebind(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second.Token = "other"
	if _, err := h.Rebind(t.Context(), second); !errors.Is(err, session.ErrSpent) {
		t.Errorf("the slower one: %v", err)
	}
	if b := h.bond(sid); b.Token != "next" {
		t.Errorf("token %q", b.Token.Reveal())
	}
	if s, err := h.SessionByID(t.Context(), sid); err != nil || s.Principal["email"] != "ada@new.example" {
		t.Errorf("the session has %v, %v", s.Principal, err)
	}
}

func TestBond_OutlivesTheSessionAndEndsOnce(t *testing.T) {
	h := newHouse(t)
	sid := h.bonded().session.ID
	if err := h.End(t.Context(), sid); err != nil {
		t.Fatal(err)
	}
	looked := h.bond(sid) // offline families are asked about by it
	if _, err := h.Rebind(t.Context(), looked); err != nil {
		t.Errorf("without a session: %v", err)
	}
	looked = h.bond(sid)
	for range 2 {
		if err := h.Unbind(t.Context(), sid); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Bond(t.Context(), sid); !errors.Is(err, session.ErrNone) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := h.Rebind(t.Context(), looked); !errors.Is(err, session.ErrSpent) {
		t.Errorf("an answer that comes late brings it back: %v", err)
	}
}

func TestBond_OnlyOfLoginsThatAreAskedAboutAndNotForEver(t *testing.T) {
	h := newHouse(t)
	sid := h.begin("1", ada(), nil, session.Grant{Offline: true}).session.ID
	if _, err := h.Bond(t.Context(), sid); !errors.Is(err, session.ErrNone) {
		t.Errorf("nothing to ask by: %v", err)
	}
	h = newHouse(t)
	sid = h.bonded().session.ID
	h.pass(ttl + refreshTTL)
	h.bond(sid)
	h.pass(time.Minute + keep + time.Second)
	if _, err := h.Bond(t.Context(), sid); !errors.Is(err, session.ErrNone) {
		t.Errorf("after the last family can have ended: %v", err)
	}
}
