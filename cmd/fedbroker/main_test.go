package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A process that does not say what is awaited within this time hangs.
const patience = 30 * time.Second

// noSleep keeps processes that are built with the race detector from waiting a second at their end for reports of other threads.
const noSleep = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	os.Setenv("GORACE", noSleep)
	testscript.Main(m, map[string]func(){"fedbroker": main})
}

const (
	testSealKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	testSecret  = "correct-horse-battery-staple"
)

const testConfig = `issuer: http://127.0.0.1:8443
listen: 127.0.0.1:0
seal: {key_file: seal.key}
clients:
  - {id: batch, secret_file: batch.secret, grant_types: [client_credentials], audiences: [orders], scopes: [orders.read]}
`

// configFolder holds what serve needs.
func configFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"fedbroker.yaml": testConfig, "seal.key": testSealKey, "batch.secret": testSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// server is a broker in a process of its own.
type server struct {
	cmd    *exec.Cmd
	url    string
	ended  chan struct{} // closed when its standard error has ended
	mu     sync.Mutex
	stderr bytes.Buffer
}

// startServer returns once the broker says that it serves.
func startServer(dir string, env ...string) (*server, error) {
	s := &server{cmd: exec.Command("fedbroker", "serve", "--config", filepath.Join(dir, "fedbroker.yaml")), ended: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), env...)
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	serving := make(chan string, 1)
	go s.follow(pipe, serving)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case addr := <-serving:
		s.url = "http://" + addr
		return s, nil
	case <-s.ended:
		return nil, errors.Join(errors.New("serve ended: "+s.log()), s.cmd.Wait())
	case <-ctx.Done():
		_ = s.cmd.Process.Kill()
		return nil, errors.New("serve never said that it serves: " + s.log())
	}
}

func (s *server) follow(pipe io.Reader, serving chan<- string) {
	defer close(s.ended)
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		s.mu.Lock()
		s.stderr.Write(append(lines.Bytes(), '\n'))
		s.mu.Unlock()
		var line struct{ Msg, Listen string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			serving <- line.Listen
		}
	}
}

func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// end sends a signal and returns the exit code, -1 for one that a signal ended.
func (s *server) end(signal os.Signal) int {
	_ = s.cmd.Process.Signal(signal)
	<-s.ended
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

func mustStart(t testing.TB, dir string) *server {
	t.Helper()
	s, err := startServer(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	return s
}

// token asks for one by client_credentials.
func (s *server) token(t testing.TB) (status int, body map[string]any) {
	t.Helper()
	return s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}})
}

func (s *server) post(t testing.TB, path string, form url.Values) (status int, body map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("batch", testSecret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// kids are the ids of the published keys.
func (s *server) kids(t testing.TB) []string {
	t.Helper()
	response, err := http.Get(s.url + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var set struct{ Keys []struct{ Kid string } }
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// active asks whether a token is good, as the client that it was issued to.
func (s *server) active(t testing.TB, token string) bool {
	t.Helper()
	status, body := s.post(t, "/introspect", url.Values{"token": {token}})
	if status != http.StatusOK {
		t.Fatalf("introspection: want 200, got %d %v", status, body)
	}
	active, _ := body["active"].(bool)
	return active
}

// fedbroker runs one command to its end.
func fedbroker(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "fedbroker", args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// held is the server of one script.
type held struct{ *server }

// TestScripts runs testdata/script. Beside testscript's own commands there are `serve`, which starts a server on fedbroker.yaml, `terminate`, which ends
// it by SIGTERM and wants it to end well, and `exit CODE args…`, which runs fedbroker and wants that exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values[held{}] = &held{}
			env.Setenv("GORACE", noSleep)
			for name, text := range map[string]string{"seal.key": testSealKey, "batch.secret": testSecret, "fedbroker.yaml": testConfig} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"awaitlog": awaitLog, "hashes": keepHashes, "sealed": wantSealed, "journalled": wantJournalled,
			"serve": func(ts *testscript.TestScript, _ bool, _ []string) {
				s, err := startServer(ts.MkAbs("."))
				ts.Check(err)
				ts.Value(held{}).(*held).server = s
				ts.Defer(func() { s.end(syscall.SIGKILL) })
			},
			"terminate": func(ts *testscript.TestScript, _ bool, _ []string) {
				s := ts.Value(held{}).(*held).server
				if code := s.end(syscall.SIGTERM); code != exitDone {
					ts.Fatalf("serve: want exit code %d, got %d: %s", exitDone, code, s.log())
				}
			},
			"exit": func(ts *testscript.TestScript, _ bool, args []string) {
				got := exitDone
				if failed, ok := errors.AsType[*exec.ExitError](ts.Exec("fedbroker", args[1:]...)); ok {
					got = failed.ExitCode()
				}
				if strconv.Itoa(got) != args[0] {
					ts.Fatalf("want exit code %s, got %d", args[0], got)
				}
			},
		},
	})
}
