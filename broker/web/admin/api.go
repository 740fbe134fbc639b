package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	strict "github.com/go-json-experiment/json"

	"fedbroker/broker/event"
	"fedbroker/broker/lineage"
	"fedbroker/broker/operator"
	"fedbroker/store"
)

// Operator is what an operator may do to a broker's state: *operator.Operator where the state is at hand, *Client where a server
// holds it.
type Operator interface {
	Keys(ctx context.Context) ([]operator.Key, error)
	RotateKeys(ctx context.Context) ([]operator.Key, error)
	CompromiseKey(ctx context.Context, kid string) ([]operator.Key, error)
	Revoke(ctx context.Context, r operator.Revocation) error
	Touched(ctx context.Context, r operator.Revocation) (lineage.Touched, error)
	Lineage(ctx context.Context, q lineage.Query) (lineage.Tree, error)
	RebindUpstream(ctx context.Context, name string) (operator.Binding, error)
	Bindings(ctx context.Context) ([]operator.Binding, error)
	Sessions(ctx context.Context, q operator.SessionQuery) ([]operator.Session, error)
	EndSessions(ctx context.Context, which operator.SessionSelection) ([]string, error)
	UpstreamOperator
}

const (
	jsonType = "application/json"
	maxBody  = 64 << 10

	slowTimeout = 10 * time.Minute

	pathReadiness  = "/v1/readiness"
	pathKeys       = "/v1/keys"
	pathRotate     = "/v1/keys/rotate"
	pathCompromise = "/v1/keys/compromise"
	pathRevoke     = "/v1/revocations"
	pathTouched    = "/v1/revocations/touched"
	pathLineage    = "/v1/lineage" // by POST: its answer may take a reading of the whole journal, and no cache is to hold it
	pathBindings   = "/v1/upstreams"
	pathRebind     = "/v1/upstreams/rebind"
	pathSessions   = "/v1/sessions/list" // by POST: whom one looks for belongs in no log
	pathEnd        = "/v1/sessions/end"
)

// named is the body of an act on one thing.
type named struct {
	Name string `json:"name"`
}

// nothing is the body of an act that needs no words: {}.
type nothing struct{}

// api is the operator's part, behind the lock. owner says that whoever asks may open the socket.
func (s *Server) api(owner bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+pathReadiness, act(s, func(ctx context.Context, _ nothing) (any, error) { return s.ready(ctx), nil }))
	mux.Handle("GET "+pathKeys, act(s, func(ctx context.Context, _ nothing) (any, error) { return s.operator.Keys(ctx) }))
	mux.Handle("POST "+pathRotate, act(s, func(ctx context.Context, _ nothing) (any, error) { return s.operator.RotateKeys(ctx) }))
	mux.Handle("POST "+pathCompromise, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.CompromiseKey(ctx, in.Name) }))
	mux.Handle("POST "+pathRevoke, act(s, func(ctx context.Context, in operator.Revocation) (any, error) {
		return nothing{}, s.operator.Revoke(ctx, in)
	}))
	mux.Handle("POST "+pathTouched, slow(act(s, func(ctx context.Context, in operator.Revocation) (any, error) { return s.operator.Touched(ctx, in) })))
	mux.Handle("POST "+pathLineage, slow(act(s, func(ctx context.Context, q lineage.Query) (any, error) { return s.operator.Lineage(ctx, q) })))
	mux.Handle("GET "+pathBindings, act(s, func(ctx context.Context, _ nothing) (any, error) { return s.operator.Bindings(ctx) }))
	mux.Handle("POST "+pathRebind, act(s, func(ctx context.Context, in named) (any, error) { return s.operator.RebindUpstream(ctx, in.Name) }))
	mux.Handle("POST "+pathSessions, act(s, func(ctx context.Context, q operator.SessionQuery) (any, error) { return s.operator.Sessions(ctx, q) }))
	mux.Handle("POST "+pathEnd, act(s, func(ctx context.Context, which operator.SessionSelection) (any, error) {
		return s.operator.EndSessions(ctx, which)
	}))
	s.explaining(mux)
	s.upstreams(mux)
	s.configs(mux, owner)
	return jsonOnly(mux)
}

// act reads the body into In, strictly, does the act and writes what it returns.
func act[In any](s *Server, do func(context.Context, In) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		if r.Method == http.MethodPost {
			// Strictly: no unknown or repeated member, no other case, nothing behind the one object.
			if err := strict.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxBody), &in, strict.RejectUnknownMembers(true)); err != nil {
				writeProblem(w, http.StatusBadRequest, "malformed_body")
				return
			}
		}
		out, err := do(r.Context(), in)
		if err != nil {
			s.writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, out)
	})
}

// slow gives an act that may have to read a large journal for the first time longer than others to answer.
func slow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowTimeout)) // where there is none to set, none ends it
		next.ServeHTTP(w, r)
	})
}

// problem is the body of an error. Detail is there only where the operator's own input is at fault.
type problem struct {
	Error  string `json:"error"`
	Detail string `json:"detail,omitempty"`
}

func (s *Server) writeError(w http.ResponseWriter, err error) {
	if mistake, ok := errors.AsType[*operator.ActError](err); ok {
		writeJSON(w, http.StatusUnprocessableEntity, problem{Error: "refused", Detail: mistake.Text})
		return
	}
	s.log.Error("operator's request failed", event.AttrError, err)
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
		writeProblem(w, http.StatusServiceUnavailable, "unavailable")
		return
	}
	writeProblem(w, http.StatusInternalServerError, "internal")
}

func writeProblem(w http.ResponseWriter, status int, name string) {
	writeJSON(w, status, problem{Error: name})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal"}`)
	}
	h := w.Header()
	h.Set("Content-Type", jsonType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone; there is nobody to tell
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
