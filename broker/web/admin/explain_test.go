package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/operator"
)

// fakeExplainer records what it was asked.
type fakeExplainer struct {
	asked []explain.Request
	after string
	fail  error
}

func explanation() explain.Explanation {
	return explain.Explanation{
		DecisionID: "d1", At: time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC), Grant: "token-exchange",
		Subject: &explain.Token{Class: "jwt", Claims: decision.Claims{"whole": 1.0, "big": uint64(1 << 63), "n": int64(5)},
			Mapping: []explain.Mapping{{Step: "mappers[0]", Kind: "set", Changes: []explain.Change{{Claim: "n", After: int64(9007199254740993)}}}}},
		Steps: []explain.Step{}, Rules: []explain.Rule{{ID: "r", Path: "exchange[0]", Kind: explain.Impersonation}}, Outcome: explain.Outcome{Decision: explain.Allow, Rule: "r"},
	}
}

func (f *fakeExplainer) Explain(_ context.Context, r explain.Request) (explain.Explanation, error) {
	f.asked = append(f.asked, r)
	return explanation(), f.fail
}

func (f *fakeExplainer) Decisions(_ context.Context, after string) ([]decision.Record, error) {
	f.after = after
	return []decision.Record{{ID: "d2", At: time.Unix(1_900_000_000, 0).UTC(), Subject: decision.Token{Claims: decision.Claims{"whole": 1.0}}}}, f.fail
}

// runExplaining runs a plane that explains, or one that does not, and logs to log.
func runExplaining(t *testing.T, x Explainer, log io.Writer) (p *plane) {
	t.Helper()
	s := &Server{
		operator: &fakeOperator{}, explainer: x, metrics: http.NotFoundHandler(), ready: func(context.Context) broker.Readiness { return broker.Readiness{} },
	}
	spec := Spec{Listen: "127.0.0.1:0", Token: operatorToken, Socket: filepath.Join(shortDir(t), "s")}
	if err := s.open(Options{Spec: spec, Logger: slog.New(slog.NewTextHandler(log, nil))}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &plane{socket: spec.Socket, url: "http://" + s.Addr().String()}
}

// P47: what explains holds claims, so it is behind the lock like all that an operator may do.
func TestP47_ExplainNeedsTheToken(t *testing.T) {
	x := &fakeExplainer{}
	p := runExplaining(t, x, io.Discard)
	for _, path := range []string{pathExplain, pathDecisions} {
		a := ask{method: http.MethodPost, path: path, body: "{}", header: http.Header{"Content-Type": {"application/json"}}}
		if status, body, _ := p.do(t, a); status != http.StatusUnauthorized || path == pathExplain && len(x.asked) != 0 {
			t.Errorf("%s without the token: %d %s", path, status, body)
		}
		a.header = bearer(operatorToken)
		a.header.Set("Content-Type", "text/plain")
		if status, body, _ := p.do(t, a); status != http.StatusUnsupportedMediaType {
			t.Errorf("%s as text: %d %s", path, status, body)
		}
		a.header, a.host = bearer(operatorToken), "rebound.evil.test"
		if status, body, _ := p.do(t, a); status != http.StatusForbidden {
			t.Errorf("%s at another host: %d %s", path, status, body)
		}
		a.host = ""
		if status, body, h := p.do(t, a); status != http.StatusOK || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s with the token: %d %s", path, status, body)
		}
		a.method = http.MethodGet
		if status, body, _ := p.do(t, a); status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
}

func TestExplain_BodiesAreStrict(t *testing.T) {
	x := &fakeExplainer{}
	p := runExplaining(t, x, io.Discard)
	for body, want := range map[string]int{
		`{"subject_token":"t","audience":["a"],"resource":["https://r"],"scope":"s","requester":"c","at":"2030-01-02T12:00:00Z"}`: http.StatusOK,
		`{"decision_id":"d"}`:                                      http.StatusOK,
		`{"decision_id":"d","decision_id":"e"}`:                    http.StatusBadRequest,
		`{"Decision_ID":"d"}`:                                      http.StatusBadRequest,
		`{"decision_id":"d","proof":{"Key":"k"}}`:                  http.StatusBadRequest, // a proof is never taken on somebody's word
		`{"subject_token":"` + strings.Repeat("x", maxBody) + `"}`: http.StatusBadRequest,
	} {
		if status, answer, _ := p.do(t, ask{method: http.MethodPost, path: pathExplain, body: body, header: bearer(operatorToken)}); status != want {
			t.Errorf("%.60s: %d %s, want %d", body, status, answer, want)
		}
	}
	if len(x.asked) != 2 {
		t.Errorf("asked %d times", len(x.asked))
	}
}

// The operator's mistakes are answered in full, the server's are not; neither the answer nor the log holds a token.
func TestExplain_Errors(t *testing.T) {
	var log strings.Builder
	x := &fakeExplainer{}
	p := runExplaining(t, x, &log)
	const token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
	for _, c := range []struct {
		fail   error
		status int
		body   string
	}{
		{&explain.UsageError{Text: "want a subject token"}, http.StatusUnprocessableEntity, `{"error":"refused","detail":"want a subject token"}`},
		{fmt.Errorf("decision d: %w", decision.ErrNone), http.StatusUnprocessableEntity, `{"error":"refused","detail":"decision d: ` + decision.ErrNone.Error() + `"}`},
		{errors.New("the store is on fire"), http.StatusInternalServerError, `{"error":"internal"}`},
	} {
		x.fail = c.fail
		status, body, _ := p.do(t, ask{method: http.MethodPost, path: pathExplain, body: `{"subject_token":"` + token + `"}`, header: bearer(operatorToken)})
		if status != c.status || body != c.body || strings.Contains(log.String(), "eyJ") {
			t.Errorf("%v: %d %s; log %s", c.fail, status, body, log.String())
		}
	}
}

// Over the socket numbers stay what they are: a client that prints an explanation prints what the server meant.
func TestClient_Explain(t *testing.T) {
	x := &fakeExplainer{}
	p := runExplaining(t, x, io.Discard)
	c, err := Dial(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := explain.Request{Requester: "c", SubjectToken: "t", Audiences: []string{"a"}, At: time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)}
	e, err := c.Explain(t.Context(), r)
	if got := fmt.Sprint(e.Subject.Mapping[0].Changes[0].After); got != "9007199254740993" { // no float64 holds it
		t.Errorf("a claim that a mapper made: got %s", got)
	}
	e.Subject.Mapping = explanation().Subject.Mapping
	if err != nil || !reflect.DeepEqual(e, explanation()) || !reflect.DeepEqual(x.asked, []explain.Request{r}) {
		t.Errorf("got %+v, %v, asked %d", e, err, len(x.asked))
	}
	all, err := c.Decisions(t.Context(), "d1")
	if err != nil || x.after != "d1" || len(all) != 1 || all[0].Subject.Claims["whole"] != 1.0 {
		t.Errorf("got %v, %v after %q", all, err, x.after)
	}
	x.fail = &explain.UsageError{Text: "no"}
	if _, err := c.Explain(t.Context(), r); err == nil {
		t.Error("no error")
	} else if mistake, ok := errors.AsType[*operator.ActError](err); !ok || mistake.Text != "no" {
		t.Errorf("got %v", err)
	}
}

func TestExplain_NotServedWithoutAnExplainer(t *testing.T) {
	p := runExplaining(t, nil, io.Discard)
	if status, body, _ := p.do(t, ask{method: http.MethodPost, path: pathExplain, body: "{}", header: bearer(operatorToken)}); status != http.StatusNotFound {
		t.Errorf("%d %s", status, body)
	}
}
