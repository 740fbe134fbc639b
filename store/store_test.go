package store

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewKey_BeginsWithTimeAndIsNew(t *testing.T) {
	at := time.Unix(0x6b000001, 999)
	one, two := NewKey(at), NewKey(at)
	if !strings.HasPrefix(one, "6b000001") || len(one) != keyLen || one == two {
		t.Errorf("keys %q and %q", one, two)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(one[8:]); err != nil || len(raw) != keyRandomBytes {
		t.Errorf("random part of %q: %d bytes, %v", one, len(raw), err)
	}
	if later := NewKey(at.Add(time.Second)); later <= one {
		t.Errorf("%q does not sort after %q", later, one)
	}
	if err := CheckName("codes", one); err != nil {
		t.Error(err)
	}
}

func TestTimeLed(t *testing.T) {
	for key, want := range map[string]bool{
		NewKey(time.Unix(1_900_000_000, 0)):  true,
		HashKey("a"):                         false,
		"6b00000G" + strings.Repeat("a", 22): false,
		"6b000001":                           false,
		"":                                   false,
	} {
		if TimeLed(key) != want {
			t.Errorf("TimeLed(%q) = %v, want %v", key, !want, want)
		}
	}
}

func TestHashKey_KeepsPartsApart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		parts := rapid.SliceOfN(rapid.StringN(0, 3, -1), 0, 4)
		a, b := parts.Draw(rt, "a"), parts.Draw(rt, "b")
		if same := HashKey(a...) == HashKey(b...); same != slices.Equal(a, b) {
			rt.Fatalf("HashKey(%q) == HashKey(%q): %v", a, b, same)
		}
	})
	if err := CheckName("jti", HashKey("acme", "https://idp.acme.example", "\x00 é")); err != nil {
		t.Error(err)
	}
}

func key32(b byte) (k [32]byte) {
	for i := range k {
		k[i] = b
	}
	return k
}

func newTestSealer(t *testing.T, keys ...SealKey) *Sealer {
	t.Helper()
	s, err := NewSealer(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestP45_FirstKeySealsAllKeysOpen(t *testing.T) {
	old, fresh := SealKey{ID: "old", Key: key32(1)}, SealKey{Key: key32(2)}
	before := newTestSealer(t, old)
	after := newTestSealer(t, fresh, old)
	for _, s := range []*Sealer{before, after} {
		sealed, err := s.Seal(t.Context(), "keyring", "current", []byte("secret"))
		if err != nil || strings.Contains(string(sealed), "secret") {
			t.Fatalf("seal: %q, %v", sealed, err)
		}
		if plain, err := after.Open(t.Context(), "keyring", "current", sealed); err != nil || string(plain) != "secret" {
			t.Errorf("open: %q, %v", plain, err)
		}
	}
	sealed, _ := after.Seal(t.Context(), "keyring", "current", nil)
	_, err := before.Open(t.Context(), "keyring", "current", sealed)
	var missing *MissingSealKeyError
	if !errors.As(err, &missing) || missing.ID != SealKeyID(fresh.Key) || missing.Known || !strings.Contains(err.Error(), missing.ID) {
		t.Errorf("sealed by the first key of the new list: %v", err)
	}
}

func TestP45_SealedForOneBucketKeyAndKeyID(t *testing.T) {
	s := newTestSealer(t, SealKey{ID: "k1", Key: key32(1)}, SealKey{ID: "k2", Key: key32(1)})
	sealed, err := s.Seal(t.Context(), "keyring", "current", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	renamed := []byte(strings.Replace(string(sealed), "k1", "k2", 1))
	flipped := slices.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name, bucket, key string
		sealed            []byte
		missing           bool // the error names the key
	}{
		{"another bucket", "keyrings", "current", sealed, true},
		{"another key", "keyring", "next", sealed, true},
		{"boundary moved", "keyringc", "urrent", sealed, true},
		{"another key id with the same key", "keyring", "current", renamed, true},
		{"altered", "keyring", "current", flipped, true},
		{"cut", "keyring", "current", sealed[:10], true},
		{"cut in the id", "keyring", "current", sealed[:3], false},
		{"another form", "keyring", "current", append([]byte{9}, sealed[1:]...), false},
		{"empty", "keyring", "current", nil, false},
	} {
		plain, err := s.Open(t.Context(), c.bucket, c.key, c.sealed)
		var missing *MissingSealKeyError
		if err == nil || plain != nil || errors.As(err, &missing) != c.missing {
			t.Errorf("%s: opened %q, %v", c.name, plain, err)
		}
	}
}

func TestP45_WrongKeyUnderAKnownIDIsNamed(t *testing.T) {
	sealed, err := newTestSealer(t, SealKey{ID: "main", Key: key32(1)}).Seal(t.Context(), "keyring", "current", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = newTestSealer(t, SealKey{ID: "main", Key: key32(2)}).Open(t.Context(), "keyring", "current", sealed)
	var missing *MissingSealKeyError
	if !errors.As(err, &missing) || missing.ID != "main" || !missing.Known {
		t.Errorf("got %v", err)
	}
}

func TestNewSealer_Refuses(t *testing.T) {
	for name, keys := range map[string][]SealKey{
		"no key":                   nil,
		"one id twice":             {{ID: "a", Key: key32(1)}, {ID: "a", Key: key32(2)}},
		"one key twice, unnamed":   {{Key: key32(1)}, {Key: key32(1)}},
		"an id longer than a byte": {{ID: strings.Repeat("a", 256), Key: key32(1)}},
	} {
		if _, err := NewSealer(keys); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestParseSealKey(t *testing.T) {
	want := key32(0xfb) // its base64 uses both special characters of either alphabet
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(want[:]),
		base64.RawStdEncoding.EncodeToString(want[:]),
		base64.URLEncoding.EncodeToString(want[:]),
		base64.RawURLEncoding.EncodeToString(want[:]),
		hex.EncodeToString(want[:]),
		strings.ToUpper(hex.EncodeToString(want[:])),
		" \t" + base64.StdEncoding.EncodeToString(want[:]) + "\r\n",
	} {
		if got, err := ParseSealKey(text); err != nil || got != want {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "secret", base64.StdEncoding.EncodeToString(want[:31]), base64.StdEncoding.EncodeToString(append(want[:], 1)), hex.EncodeToString(want[:31])} {
		if _, err := ParseSealKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got := SealKeyID(key32(0)); got != "66687aad" { // SHA-256 of 32 zero bytes begins so
		t.Errorf("id %q", got)
	}
}

func TestSealKey_NeverShows(t *testing.T) {
	k := SealKey{ID: "main", Key: key32('K')}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "key", k, "keys", []SealKey{k})
	j, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%x", "%d", "%s"} {
		fmt.Fprintf(&b, verb, k)
		fmt.Fprintf(&b, verb, []any{k, &k})
	}
	b.Write(j)
	for _, secret := range []string{"KKKK", "75 75", "75,75", "4b4b", "0x4b"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%q in %s", secret, b.String())
		}
	}
}
