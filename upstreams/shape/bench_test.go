package shape

import (
	"testing"
	"time"

	"fedbroker/upstreams/jose"
)

const job = `{"iss":"https://token.actions.githubusercontent.com","sub":"repo:org/app:ref:refs/heads/main","aud":"https://login.example.com","exp":1800000300,"iat":1800000000,
"nbf":1800000000,"jti":"a","actor":"ada","actor_id":"1","base_ref":"","event_name":"push","head_ref":"","job_workflow_ref":"org/app/.github/workflows/x.yml@refs/heads/main",
"ref":"refs/heads/main","ref_type":"branch","repository":"org/app","repository_id":"2","repository_owner":"org","repository_owner_id":"3","run_attempt":"1","run_id":"4",
"run_number":"5","runner_environment":"github-hosted","sha":"6","workflow":"x","realm_access":{"roles":["a","b","c"]}}`

// BenchmarkLook is one token of a known shape, as one in ten a second is looked at.
func BenchmarkLook(b *testing.B) {
	parsed, err := jose.ParseClaims([]byte(job))
	if err != nil {
		b.Fatal(err)
	}
	c := Claims(parsed)
	var s Shape
	now := time.Unix(1_800_000_000, 0)
	for range Learn {
		s.Look(c, now)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Look(c, now)
	}
}

// BenchmarkObserve is what every token costs: nearly always the look at the clock that says that none is due.
func BenchmarkObserve(b *testing.B) {
	c, err := jose.ParseClaims([]byte(job))
	if err != nil {
		b.Fatal(err)
	}
	s := New(Options{Now: time.Now, Count: func(string, Kind) {}, Tell: func(Change) {}, Fail: func(string, error) {}})
	s.Observe("acme", "exchange", c)
	s.attend(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		s.Observe("acme", "exchange", c)
	}
}
