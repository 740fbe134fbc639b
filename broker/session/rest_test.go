package session_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/session"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// buckets is every bucket that the package writes to.
var buckets = []string{"sessions", "sessions_by_subject", "sessions_by_upstream", "grants", "login_attempts"}

func (h *house) records() (all []store.Record) {
	h.t.Helper()
	for _, bucket := range buckets {
		recs, err := h.engine.Scan(h.t.Context(), bucket, store.Range{Limit: store.MaxScan})
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, recs...)
	}
	return all
}

func TestAtRest_NoSecretAndNoClaim(t *testing.T) {
	h := newHouse(t)
	person := ada()
	person.Principal["email"] = "ada@acme.example"
	b := h.begin("the-attempt", person, nil, session.Grant{Offline: true, Claims: map[string]any{"email": "ada@acme.example"}})
	refresh := h.redeem(b.code)
	secret := func(handle string) string { return handle[strings.LastIndex(handle, ".")+1:] }
	records := h.records()
	if len(records) != len(buckets) {
		t.Fatalf("%d records", len(records))
	}
	for _, rec := range records {
		for name, text := range map[string]string{
			"cookie": secret(b.cookie), "code": secret(b.code), "refresh token": secret(refresh), "claim": "ada@acme.example", "attempt": "the-attempt",
		} {
			for form, hidden := range map[string]string{"plain": text, "base64": base64.StdEncoding.EncodeToString([]byte(text))} {
				if strings.Contains(rec.Key+string(rec.Value), hidden) {
					t.Errorf("%s, %s, is in record %s", name, form, rec.Key)
				}
			}
		}
	}
	sum := sha256.Sum256([]byte(secret(b.code)))
	rec, err := h.engine.Get(t.Context(), "grants", b.grant.ID)
	if err != nil || !bytes.Contains(rec.Value, []byte(base64.StdEncoding.EncodeToString(sum[:]))) {
		t.Errorf("the code's SHA-256 is not in its record: %v", err)
	}
}

// Whoever reads the file makes no refresh token of what it holds.
func TestAtRest_FamilySecretIsSealed(t *testing.T) {
	h := newHouse(t)
	b := h.begin("1", ada(), nil, session.Grant{Offline: true})
	refresh := h.redeem(b.code)
	rec, err := h.engine.Get(t.Context(), "grants", b.grant.ID)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Data struct {
			Family []byte `json:"family"`
		} `json:"d"`
	}
	if err := json.Unmarshal(rec.Value, &kept); err != nil || len(kept.Data.Family) <= sha256.Size {
		t.Fatalf("%d bytes, %v", len(kept.Data.Family), err)
	}
	for i := range len(kept.Data.Family) - sha256.Size + 1 {
		mac := hmac.New(sha256.New, kept.Data.Family[i:i+sha256.Size])
		mac.Write([]byte("1"))
		if strings.HasSuffix(refresh, base64.RawURLEncoding.EncodeToString(mac.Sum(nil))) {
			t.Error("made of the record")
		}
	}
}

func TestAtRest_SweepFreesAllOnceItIsOver(t *testing.T) {
	for _, kind := range engines.Kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, on(t, kind))
			h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
			bound := h.redeem(h.begin("2", ada(), nil, session.Grant{SessionBound: true}).code)
			h.begin("3", ada(), nil, session.Grant{})
			h.pass(idle / 2)
			h.rotate(bound)
			h.pass(ttl) // of what ends with a session only the used code's family could be left
			if _, err := h.engine.Sweep(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
			if left := h.records(); len(left) != 1 {
				t.Errorf("%d records, want the offline family alone", len(left))
			}
			h.pass(refreshIdle)
			if _, err := h.engine.Sweep(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
			if left := h.records(); len(left) != 0 {
				t.Errorf("%d records are left", len(left))
			}
		})
	}
}

// A seal key that is missing and a record of another version are an operator's mistakes: nothing is served, and nothing is taken for gone.
func TestUnreadable_IsNeitherServedNorGone(t *testing.T) {
	h := newHouse(t)
	b, c := h.begin("1", ada(), nil, session.Grant{Offline: true}), h.begin("2", ada(), nil, session.Grant{})
	refresh := h.redeem(b.code)
	stranger := newHouse(t, func(o *session.Options) { o.Engine, o.Now = h.engine, h.clock })
	use := map[string]func(*house) error{
		"session": func(h *house) error { _, err := h.Session(t.Context(), b.cookie); return err },
		"code":    func(h *house) error { _, err := h.Code(t.Context(), c.code); return err },
		"refresh": func(h *house) error { _, err := h.Refresh(t.Context(), refresh); return err },
		"grant":   func(h *house) error { _, err := h.Grant(t.Context(), b.grant.ID); return err },
		"end":     func(h *house) error { return h.End(t.Context(), b.session.ID) },
	}
	for name, f := range use {
		if _, missing := errors.AsType[*store.MissingSealKeyError](f(stranger)); !missing {
			t.Errorf("%s under another seal key: %v", name, f(stranger))
		}
	}
	for _, bucket := range []string{"sessions", "grants"} {
		recs, err := h.engine.Scan(t.Context(), bucket, store.Range{Limit: 10})
		if err != nil || len(recs) == 0 {
			t.Fatalf("%d, %v", len(recs), err)
		}
		for _, rec := range recs {
			later := bytes.Replace(rec.Value, []byte(`"v":1`), []byte(`"v":2`), 1)
			if _, err := h.engine.Commit(t.Context(), store.Put(bucket, rec.Key, later, store.Cond(rec.Rev), rec.Expires)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, f := range use {
		if err := f(h); err == nil || errors.Is(err, session.ErrNone) || errors.Is(err, session.ErrSpent) {
			t.Errorf("%s of another version: %v", name, err)
		}
	}
}

// counted is an engine that counts reads.
type counted struct {
	store.Engine
	gets int
}

func (e *counted) Get(ctx context.Context, bucket, key string) (store.Record, error) {
	e.gets++
	return e.Engine.Get(ctx, bucket, key)
}

func TestHandles_WhatIsNoneCostsNothing(t *testing.T) {
	e := &counted{}
	h := newHouse(t, func(o *session.Options) { e.Engine, o.Engine = o.Engine, e })
	b := h.begin("1", ada(), nil, session.Grant{Offline: true})
	refresh := h.redeem(b.code)
	id, mac := b.grant.ID, refresh[strings.LastIndex(refresh, ".")+1:]
	e.gets = 0
	for name, handle := range map[string]string{
		"empty": "", "id alone": id, "no key": "." + mac, "short key": id[1:] + "." + mac, "no time": "g" + id[1:] + ".1." + mac, "capitals": "AB" + id[2:] + ".1." + mac,
		"a space in the key": id[:20] + " " + id[21:] + ".1." + mac, "long": id + ".1." + mac + strings.Repeat("A", 1<<20), "dots": strings.Repeat(".", 1<<20),
	} {
		_, err1 := h.Session(t.Context(), handle)
		_, err2 := h.Code(t.Context(), handle)
		_, err3 := h.Refresh(t.Context(), handle)
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, session.ErrNone) || strings.Contains(err.Error(), mac) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, token := range map[string]string{
		"no generation": id + "." + mac, "generation 0": id + ".0." + mac, "-1": id + ".-1." + mac, "signed": id + ".+1." + mac, "padded": id + ".01." + mac,
		"huge": id + "." + strings.Repeat("9", 30) + "." + mac, "MAC in other words": id + ".1." + mac + "=", "a dot more": refresh + ".", "the code": b.code,
	} {
		if _, err := h.Refresh(t.Context(), token); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e.gets != 0 {
		t.Errorf("%d reads", e.gets)
	}
	for name, token := range map[string]string{"cut": refresh[:len(refresh)-4], "another generation's": id + ".2." + mac, "of no generation": id + ".1."} {
		if _, err := h.Refresh(t.Context(), token); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBegin_WritesNothingThatCouldNotBeRead(t *testing.T) {
	h := newHouse(t)
	person, deep := ada(), any("")
	for range 100 {
		deep = []any{deep}
	}
	person.Principal["deep"] = deep
	if _, _, _, _, err := h.Begin(t.Context(), "1", h.clock().Add(time.Minute), person, nil, session.Grant{}); err == nil {
		t.Error("written")
	}
	if left := h.records(); len(left) != 0 {
		t.Errorf("%d records", len(left))
	}
}

func TestEnd_AnyNumber(t *testing.T) {
	h := newHouse(t)
	sids := []string{"", "nobody", strings.Repeat("x", 5000)}
	for i := range 50 { // three ops each: more than one commit holds
		sids = append(sids, h.begin(strconv.Itoa(i), ada(), nil, session.Grant{}).session.ID)
	}
	if err := h.End(t.Context(), sids...); err != nil {
		t.Fatal(err)
	}
	if left, err := h.All(t.Context(), "", 100); err != nil || len(left) != 0 {
		t.Errorf("%d left, %v", len(left), err)
	}
	if err := h.End(t.Context()); err != nil {
		t.Errorf("nobody: %v", err)
	}
}

func TestSessions_ListedInPages(t *testing.T) {
	h := newHouse(t)
	var want []string
	for range 5 {
		h.pass(time.Second) // keys begin with time: the order is that of beginning
		want = append(want, h.begin(h.clock().String(), ada(), nil, session.Grant{}).session.ID)
	}
	for name, page := range map[string]func(after string) ([]session.Session, error){
		"all":        func(after string) ([]session.Session, error) { return h.All(t.Context(), after, 2) },
		"by subject": func(after string) ([]session.Session, error) { return h.BySubject(t.Context(), "acme|ada", after, 2) },
		"by upstream": func(after string) ([]session.Session, error) {
			return h.ByUpstream(t.Context(), "acme", "idp-1", after, 2)
		},
	} {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			found, err := page(after)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range found {
				got = append(got, s.ID)
			}
			if len(found) < 2 {
				break
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestSession_FormerKeepsTheNewest(t *testing.T) {
	h := newHouse(t)
	var sids []string
	b := h.begin("0", ada(), nil, session.Grant{})
	for range 12 {
		sids = append(sids, b.session.ID)
		b = h.begin(b.session.ID, ada(), &b.session, session.Grant{})
	}
	got, err := h.Session(t.Context(), b.cookie)
	if err != nil || strings.Join(got.Former, " ") != strings.Join(sids[4:], " ") {
		t.Errorf("%v of %v, %v", got.Former, sids, err)
	}
}

func TestGrant_KeepsWhatWasGranted(t *testing.T) {
	h := newHouse(t)
	person := ada()
	person.ACR, person.AMR, person.AuthTime = "high", []string{"pwd", "otp"}, time.Unix(1_799_999_990, 0).UTC()
	g := session.Grant{
		ClientID: "wiki", Subject: person.Subject, Upstream: "acme", UpstreamIssuer: "https://acme.example", UpstreamSubject: "ada", AuthTime: person.AuthTime,
		ACR: person.ACR, AMR: person.AMR, RedirectURI: "https://wiki.example/cb", Challenge: "c", Nonce: "n", Scopes: []string{"openid"},
		Audiences: []string{"orders"}, Claims: map[string]any{"n": int64(9007199254740993)}, SessionBound: true,
	}
	b := h.begin("1", person, nil, g)
	got, err := h.Grant(t.Context(), b.grant.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != b.grant.ID || got.SessionID != b.session.ID || got.ClientID != "wiki" || got.RedirectURI != g.RedirectURI || got.Challenge != "c" || got.Nonce != "n" ||
		!got.AuthTime.Equal(g.AuthTime) || got.ACR != "high" || len(got.AMR) != 2 || got.Claims["n"] != int64(9007199254740993) || got.Audiences[0] != "orders" ||
		!got.Since.Equal(b.session.Created) || !got.SessionBound || got.Offline || got.UpstreamSubject != "ada" || got.Scopes[0] != "openid" {
		t.Errorf("%+v", got)
	}
	for name, id := range map[string]string{"session's": b.session.ID, "empty": "", "long": strings.Repeat("a", 5000), "strange": "6b49d200/../..\x00aaaaaaaaaaaaaaaa"} {
		if _, err := h.Grant(t.Context(), id); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if until := h.Over(); until.Before(b.grant.CodeExpires.Add(keep)) { // a code that is spent at its very end gives tokens that live so long
		t.Error("a revocation would be forgotten before the last token has expired")
	}
}

// A session that a browser's later ones push out is over: nobody could sign out of it any more.
func TestP39_SessionsThatFallOutOfFormerAreOver(t *testing.T) {
	h := newHouse(t)
	var all []begun
	var last *session.Session
	for i := range 11 {
		b := h.begin(fmt.Sprint("attempt ", i), ada(), last, session.Grant{SessionBound: true})
		all, last = append(all, b), &b.session
	}
	if len(last.Former) != 8 {
		t.Errorf("%d former sessions", len(last.Former))
	}
	for i, b := range all {
		_, err := h.SessionByID(t.Context(), b.session.ID)
		if over := i < 2; errors.Is(err, session.ErrNone) != over {
			t.Errorf("session %d of 11: %v", i, err)
		}
	}
	if kept, over := session.Succeed(last, "acme|bob"); kept != nil || len(over) != 9 {
		t.Errorf("for another person: %v, %v", kept, over)
	}
}
