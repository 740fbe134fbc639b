package decision

import "time"

// Spec is what the configuration says of the decisions that are kept (P47).
type Spec struct {
	TraceTTL *time.Duration `yaml:"trace_ttl,omitempty"` // how long each is; 0s: none is [24h]
}

const (
	defaultTraceTTL = 24 * time.Hour
	maxTraceTTL     = 30 * 24 * time.Hour // it is no archive: that is the journal's work, which holds no claims
)

// WithDefaults fills what is absent.
func (s Spec) WithDefaults() Spec {
	if s.TraceTTL == nil {
		ttl := defaultTraceTTL
		s.TraceTTL = &ttl
	}
	return s
}

// Check reports what is wrong.
func (s Spec) Check(bad func(path, format string, args ...any)) {
	if ttl := *s.WithDefaults().TraceTTL; ttl < 0 || ttl > maxTraceTTL {
		bad("trace_ttl", "want 0s to %v, got %v", maxTraceTTL, ttl)
	}
}
