package keys

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
)

const (
	// What an upstream says of its keys' freshness is held between these.
	minFresh     = time.Minute
	maxFresh     = 24 * time.Hour
	defaultFresh = 10 * time.Minute // where it says nothing

	// staticPoll is how often a file is looked at.
	staticPoll = 10 * time.Second
)

// Source fetches a key set. It bounds what it reads; ctx bounds its time.
type Source func(ctx context.Context) (Fetched, error)

// Fetched is a key set as it came, unjudged.
type Fetched struct {
	Set       []byte
	FreshFor  time.Duration // see Freshness; zero: 10 minutes
	Discovery Discovery
	Warning   error // the set counts, though something on the way to it was not as it should be
}

// Discovery is how a key set was found.
type Discovery struct{ Issuer, JWKSURI string }

// FileSource reads a JWK Set file. It is for an Upstream that is Static.
func FileSource(path string) Source {
	return func(context.Context) (Fetched, error) {
		f, err := os.Open(path)
		if err != nil {
			return Fetched{}, fmt.Errorf("key set file: %w", err)
		}
		defer func() { _ = f.Close() }()
		set, err := io.ReadAll(io.LimitReader(f, jose.MaxKeySet+1))
		if err != nil {
			return Fetched{}, fmt.Errorf("key set file: %w", err)
		}
		return Fetched{Set: set}, nil
	}
}

// interval is the time from one fetch to the next: nine tenths of what the upstream allows, and of half of max_stale, so that a refresh comes before
// the one ends and the other raises an alarm.
func (u Upstream) interval(fresh time.Duration) time.Duration {
	if u.Static {
		return staticPoll
	}
	if fresh <= 0 {
		fresh = defaultFresh
	}
	fresh = min(max(fresh, minFresh), maxFresh, u.MaxStale/2)
	return max(fresh/10*9, minRetry)
}

// Freshness is how long an answer may be used (RFC 9111 §4.2): max-age less Age, between 1 minute and 24 hours; the minimum for no-store, no-cache and
// what can't be read; zero where the answer says nothing. We are a private cache: s-maxage is not for us.
func Freshness(h http.Header) time.Duration {
	fresh := time.Duration(0)
	for _, directive := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, arg, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			age, ok := seconds(strings.Trim(arg, `"`))
			if !ok || fresh != 0 { // repeated or unreadable: stale (RFC 9111 §4.2.1)
				return minFresh
			}
			fresh = max(age, 1)
		}
	}
	if fresh == 0 {
		return 0
	}
	if age, ok := seconds(h.Get("Age")); ok {
		fresh -= age
	}
	return min(max(fresh, minFresh), maxFresh)
}

// seconds reads delta-seconds (RFC 9111 §1.2.2); what overflows is a very long time.
func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		long := s != "" && strings.Trim(s, "0123456789") == ""
		return maxFresh, long
	}
	return time.Duration(n) * time.Second, true
}
