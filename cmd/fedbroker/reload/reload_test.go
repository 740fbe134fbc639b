package reload_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/confighistory"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/reload"
)

const (
	text = `issuer: https://login.example.com
seal: {key_file: seal.key}
clients:
  - {id: batch, secret_file: batch.secret, grant_types: [client_credentials], audiences: [orders], scopes: [orders.read]}
`
	more = text + `  - {id: late, secret_file: late.secret, grant_types: [client_credentials], audiences: [orders], scopes: [orders.read]}
`
	seal      = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherSeal = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

// told is a broker that remembers what it was told.
type told struct {
	mu      sync.Mutex
	applied []broker.Config
	refused []error
}

func (b *told) Reload(_ context.Context, c broker.Config) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.applied = append(b.applied, c)
	return nil
}

func (b *told) RefuseReload(_ context.Context, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = append(b.refused, err)
}

// house is a folder with a configuration, and what keeps a broker at it.
type house struct {
	t      *testing.T
	dir    string
	broker told
	anew   *reload.Reloader
	hangup chan os.Signal
	mu     sync.Mutex
	causes []confighistory.Cause // of what serves, in turn
}

// newHouse runs in a bubble of synctest; late is what happens between the loading and the running.
func newHouse(t *testing.T, late func(*house)) *house {
	h := &house{t: t, dir: t.TempDir(), hangup: make(chan os.Signal)}
	for name, content := range map[string]string{"fedbroker.yaml": text, "seal.key": seal, "batch.secret": "secret-number-one", "late.secret": "secret-of-the-late-one"} {
		h.write(name, content)
	}
	h.run(late)
	return h
}

func (h *house) run(late func(*house)) {
	load := func() (*config.Loaded, error) {
		return config.Load(filepath.Join(h.dir, "fedbroker.yaml"), config.Options{})
	}
	c, err := load()
	if err != nil {
		h.t.Fatal(err)
	}
	h.anew = reload.New(reload.Options{Loaded: c, Load: load, Broker: &h.broker, Log: slog.New(slog.DiscardHandler), Applied: h.applied})
	if late != nil {
		late(h)
	}
	ctx, stop := context.WithCancel(h.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.anew.Run(ctx, h.hangup) }()
	h.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
	synctest.Wait()
}

func (h *house) applied(_ context.Context, _ *config.Loaded, cause confighistory.Cause) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.causes = append(h.causes, cause)
}

func (h *house) write(name, content string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// after waits for d, and says how many configurations were applied and refused so far.
func (h *house) after(d time.Duration) (applied, refused int) {
	time.Sleep(d)
	synctest.Wait()
	h.broker.mu.Lock()
	defer h.broker.mu.Unlock()
	return len(h.broker.applied), len(h.broker.refused)
}

func (h *house) want(d time.Duration, applied, refused int) {
	h.t.Helper()
	if a, r := h.after(d); a != applied || r != refused {
		h.t.Fatalf("want %d applied and %d refused, got %d and %d; the last refusal: %v", applied, refused, a, r, h.lastRefused())
	}
}

// lastApplied and lastRefused read under the lock that the reloader writes under: synctest orders what goroutines do in its time, but a pause is no
// happens-before from the one that looked to the one that acts next.
func (h *house) lastApplied() broker.Config {
	h.broker.mu.Lock()
	defer h.broker.mu.Unlock()
	return h.broker.applied[len(h.broker.applied)-1]
}

func (h *house) lastRefused() error {
	h.broker.mu.Lock()
	defer h.broker.mu.Unlock()
	if len(h.broker.refused) == 0 {
		return nil
	}
	return h.broker.refused[len(h.broker.refused)-1]
}

func TestReload_ChangedFileIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.want(time.Minute, 0, 0)
		h.write("fedbroker.yaml", more)
		h.want(2*time.Second, 1, 0)
		if got := h.anew.Current().Clients; len(got) != 2 || len(h.lastApplied().Clients) != 2 {
			t.Errorf("got %d clients", len(got))
		}
		h.want(time.Minute, 1, 0)
		h.write("late.secret", "another-secret-of-the-late-one") // a file that came with the new configuration
		h.want(2*time.Second, 2, 0)
	})
}

func TestReload_RotatedSecretIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		before := h.anew.Current().Clients[0].SecretSHA256
		h.write("batch.secret", "secret-number-two-is-longer")
		h.want(2*time.Second, 1, 0)
		if got := h.lastApplied().Clients[0].SecretSHA256; got == before || got == "" {
			t.Errorf("want another hash than %s, got %s", before, got)
		}
	})
}

// A volume of Kubernetes: every file is a link through ..data, which is renamed over.
func TestReload_SwappedLinksAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, dir: t.TempDir(), hangup: make(chan os.Signal)}
		for version, content := range map[string]string{"v1": text, "v2": more} {
			if err := os.Mkdir(filepath.Join(h.dir, version), 0o700); err != nil {
				t.Fatal(err)
			}
			h.write(version+"/fedbroker.yaml", content)
		}
		for name, content := range map[string]string{"seal.key": seal, "batch.secret": "secret-number-one", "late.secret": "secret-of-the-late-one"} {
			h.write(name, content)
		}
		link := func(target, name string) {
			if err := os.Symlink(target, filepath.Join(h.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		link("v1", "..data")
		link("..data/fedbroker.yaml", "fedbroker.yaml")
		h.run(nil)
		link("v2", "..data_tmp")
		if err := os.Rename(filepath.Join(h.dir, "..data_tmp"), filepath.Join(h.dir, "..data")); err != nil {
			t.Fatal(err)
		}
		h.want(2*time.Second, 1, 0)
		if got := h.anew.Current().Clients; len(got) != 2 {
			t.Errorf("got %d clients", len(got))
		}
	})
}

func TestReload_BadFileKeepsTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		before := h.anew.Current()
		for i, bad := range []string{"issuer: [", strings.Replace(text, "grant_types", "grant_type", 1)} {
			h.write("fedbroker.yaml", bad)
			h.want(2*time.Second, 0, i+1)
		}
		if err := h.lastRefused(); !strings.Contains(err.Error(), "fedbroker.yaml:4: clients[0].grant_type: unknown key") {
			t.Errorf("got %v", err)
		}
		if err := os.Remove(filepath.Join(h.dir, "batch.secret")); err != nil {
			t.Fatal(err)
		}
		h.want(2*time.Second, 0, 3)
		if h.anew.Current() != before {
			t.Error("a refused configuration is in use")
		}
		h.write("fedbroker.yaml", text)
		h.write("batch.secret", "secret-number-one")
		h.want(2*time.Second, 1, 3)
	})
}

func TestReload_WhatIsOpenedOnceTakesARestart(t *testing.T) {
	for key, content := range map[string]string{
		"listen":          text + "listen: 127.0.0.1:1\n",
		"trusted_proxies": text + "trusted_proxies: [10.0.0.0/8]\n",
		"admin":           text + "admin: {socket: other.sock}\n",
		"store":           text + "store: {path: other.db}\nadmin: {socket: fedbroker.sock}\n",
		"audit":           text + "audit: {dir: elsewhere}\n",
		"seal":            strings.Replace(text, "{key_file", "{id: other, key_file", 1),
		"log":             text + "log: {level: debug}\n",
	} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, nil)
				h.write("fedbroker.yaml", content)
				h.want(2*time.Second, 0, 1)
				if err := h.lastRefused(); !strings.HasPrefix(err.Error(), key+": ") {
					t.Errorf("want an error of %s, got %v", key, err)
				}
			})
		})
	}
}

func TestReload_RotatedOperatorsTokenIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(h *house) { h.write("admin.token", "the-operators-first-token") })
		h.write("fedbroker.yaml", text+"admin: {token_file: admin.token}\n")
		h.want(2*time.Second, 1, 0)
		h.write("admin.token", "the-operators-second-token")
		h.want(2*time.Second, 2, 0)
		if got := h.anew.Current().Admin.Token.Reveal(); got != "the-operators-second-token" {
			t.Errorf("got %q", got)
		}
	})
}

func TestReload_TellsWhatServesAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.write("fedbroker.yaml", more)
		h.want(2*time.Second, 1, 0)
		h.hangup <- os.Interrupt
		h.want(0, 2, 0)
		h.write("fedbroker.yaml", "issuer: [")
		if err := h.anew.Now(t.Context(), confighistory.Rollback); err == nil || !strings.Contains(err.Error(), "fedbroker.yaml:2: ") {
			t.Errorf("what is wrong: %v", err)
		}
		h.write("fedbroker.yaml", text)
		if err := h.anew.Now(t.Context(), confighistory.Rollback); err != nil || len(h.anew.Current().Clients) != 1 {
			t.Errorf("want it applied when Now returns: %v", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if want := []confighistory.Cause{confighistory.Start, confighistory.FileChange, confighistory.Hangup, confighistory.Rollback}; !slices.Equal(h.causes, want) {
			t.Errorf("want %v, got %v", want, h.causes)
		}
	})
}

func TestReload_NowEndsWithItsContext(t *testing.T) {
	c, err := config.Load("../config/testdata/example.yaml", config.Options{MayLack: true})
	if c == nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := reload.New(reload.Options{Loaded: c}).Now(ctx, confighistory.Rollback); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing runs: %v", err)
	}
}

func TestReload_HangupReadsAnewWithoutAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.hangup <- os.Interrupt
		h.want(0, 1, 0)
	})
}

func TestP45_SealKeyFileIsNotWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.write("seal.key", otherSeal+"\n")
		h.want(time.Minute, 0, 0)
		h.hangup <- os.Interrupt
		h.want(0, 0, 1)
		if err := h.lastRefused(); !strings.HasPrefix(err.Error(), "seal: ") || strings.Contains(err.Error(), otherSeal) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReload_BurstIsOneChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		time.Sleep(950 * time.Millisecond)
		for i := range 20 { // over the next look
			h.write("fedbroker.yaml", text+strings.Repeat("#", i)+"\n")
			time.Sleep(100 * time.Millisecond)
		}
		h.want(time.Second, 1, 0)
	})
}

func TestReload_ContentsCountWhereTimesDoNotTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		name := filepath.Join(h.dir, "batch.secret")
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		h.write("batch.secret", "secret-number-two")
		if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		h.want(11*time.Second, 1, 0)
	})
}

func TestReload_WhatChangedWhileTheBrokerStartedIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newHouse(t, func(h *house) { h.write("fedbroker.yaml", more) }).want(0, 1, 0)
		newHouse(t, nil).want(0, 0, 0)
	})
}

const (
	fragment = `upstreams:
  - {name: acme, kind: jwt, issuer: https://acme.example, jwks_file: acme.json, audiences: [https://login.example.com]}
`
	noKeys = `{"keys":[]}`
)

func (h *house) mkdir(name string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Join(h.dir, name), 0o700); err != nil {
		h.t.Fatal(err)
	}
}

func TestReload_FragmentsComeChangeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.mkdir("upstreams.d")
		h.want(2*time.Second, 1, 0) // the folder
		h.write("upstreams.d/acme.json", noKeys)
		h.write("upstreams.d/acme.yaml", fragment)
		h.want(2*time.Second, 2, 0)
		if got := h.lastApplied().Upstreams; len(got) != 1 || got[0].Name != "acme" {
			t.Fatalf("want the fragment's upstream, got %v", got)
		}
		h.write("upstreams.d/acme.yaml", strings.Replace(fragment, "kind: jwt,", "kind: jwt, display_name: Acme,", 1))
		h.want(2*time.Second, 3, 0)
		if got := h.lastApplied().Upstreams[0].DisplayName; got != "Acme" {
			t.Errorf("want the changed fragment, got %q", got)
		}
		h.write("upstreams.d/acme.json", noKeys+"\n") // what a fragment names
		h.want(2*time.Second, 4, 0)
		if err := os.Remove(filepath.Join(h.dir, "upstreams.d", "acme.yaml")); err != nil {
			t.Fatal(err)
		}
		h.want(2*time.Second, 5, 0)
		if got := h.lastApplied().Upstreams; len(got) != 0 {
			t.Errorf("want no upstream, got %v", got)
		}
	})
}

func TestReload_BadFragmentKeepsTheLastGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.mkdir("upstreams.d")
		h.write("upstreams.d/acme.json", noKeys)
		h.write("upstreams.d/acme.yaml", fragment)
		h.want(2*time.Second, 1, 0)
		good := h.anew.Current()
		h.write("upstreams.d/globex.yaml", "upstreams: [")
		h.want(2*time.Second, 1, 1)
		if err := h.lastRefused(); !strings.Contains(err.Error(), "upstreams.d/globex.yaml:2: want YAML") {
			t.Errorf("got %v", err)
		}
		h.write("upstreams.d/globex.yaml", strings.ReplaceAll(fragment, "acme.example", "globex.example"))
		h.want(2*time.Second, 1, 2) // another acme
		if h.anew.Current() != good {
			t.Error("a refused configuration is in use")
		}
		h.write("upstreams.d/globex.yaml", strings.ReplaceAll(strings.ReplaceAll(fragment, "acme", "globex"), "globex.json", "acme.json"))
		h.want(2*time.Second, 2, 2)
	})
}

// The folder itself is a volume of Kubernetes: its files are links through ..data, which is renamed over, so that no link changes.
func TestReload_SwappedVolumeOfFragmentsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, dir: t.TempDir(), hangup: make(chan os.Signal)}
		for name, content := range map[string]string{"fedbroker.yaml": text, "seal.key": seal, "batch.secret": "secret-number-one"} {
			h.write(name, content)
		}
		for version, content := range map[string]string{"..v1": fragment, "..v2": strings.Replace(fragment, "kind: jwt,", "kind: jwt, display_name: Acme,", 1)} {
			h.mkdir("upstreams.d/" + version)
			h.write("upstreams.d/"+version+"/acme.yaml", content)
			h.write("upstreams.d/"+version+"/acme.json", noKeys)
		}
		link := func(target, name string) {
			if err := os.Symlink(target, filepath.Join(h.dir, "upstreams.d", name)); err != nil {
				t.Fatal(err)
			}
		}
		link("..v1", "..data")
		link("..data/acme.yaml", "acme.yaml")
		link("..data/acme.json", "acme.json")
		h.run(nil)
		link("..v2", "..data_tmp")
		if err := os.Rename(filepath.Join(h.dir, "upstreams.d", "..data_tmp"), filepath.Join(h.dir, "upstreams.d", "..data")); err != nil {
			t.Fatal(err)
		}
		h.want(2*time.Second, 1, 0)
		if got := h.lastApplied().Upstreams; len(got) != 1 || got[0].DisplayName != "Acme" {
			t.Errorf("want the second version's fragment, got %v", got)
		}
	})
}
