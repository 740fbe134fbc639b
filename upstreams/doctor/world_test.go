package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fedbroker/upstreams/doctor"
	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clinic is an identity provider and how it is examined.
type clinic struct {
	*testing.T
	*upstreamtest.IdP
	o doctor.Options
}

func newClinic(t *testing.T, o upstreamtest.Options) *clinic {
	t.Helper()
	idp := upstreamtest.Must(o)
	t.Cleanup(idp.Close)
	return &clinic{t, idp, doctor.Options{Issuer: idp.Issuer(), Timeout: 5 * time.Second}}
}

func (c *clinic) examine() findings.Report {
	c.Helper()
	return doctor.Examine(c.Context(), c.o)
}

// wants an examination to find id at a grade, with words among what was seen or is to be done.
func (c *clinic) wants(g findings.Grade, id string, words ...string) findings.Report {
	c.Helper()
	r := c.examine()
	wants(c.T, r, g, id, words...)
	return r
}

func wants(t *testing.T, r findings.Report, g findings.Grade, id string, words ...string) {
	t.Helper()
	var found []string
	for _, f := range r.Findings {
		if f.ID == id {
			text := f.About + " " + f.Seen + " " + f.Fix
			if f.Grade == g && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
				return
			}
			found = append(found, string(f.Grade)+": "+text)
		}
	}
	t.Errorf("want %s %s with %q, got %q; all: %v", g, id, words, found, summary(r))
}

// summary is the findings that are not good.
func summary(r findings.Report) (all []string) {
	for _, f := range r.Findings {
		if f.Grade != findings.OK {
			all = append(all, string(f.Grade)+" "+f.ID+" "+f.Seen)
		}
	}
	return all
}

// serving is a provider that answers as it is told, its issuer its own address.
func serving(t *testing.T, answers map[string]http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := answers[r.URL.Path]; answer != nil {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func caFile(t *testing.T, pem []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
