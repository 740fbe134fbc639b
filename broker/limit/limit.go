// Package limit bounds how often one caller may ask: a bucket of tokens for each client, address or subject (P49).
package limit

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Names of the limits, in the configuration and as label values.
const (
	Client    = "client"
	Address   = "address"
	Subject   = "subject"
	Anonymous = "anonymous"
)

const (
	maxRate     = 1_000_000
	burstFactor = 10      // P49
	limiterKeys = 1 << 16 // per limit; beyond it the one that was quiet longest begins anew
)

// Spec holds rates as N/s, with a burst of 10 N.
type Spec struct {
	Client    string `yaml:"client,omitempty"`    // [off] token requests of one client
	Address   string `yaml:"address,omitempty"`   // [off] requests from one address, before anything is verified
	Subject   string `yaml:"subject,omitempty"`   // [off] tokens for one subject
	Anonymous string `yaml:"anonymous,omitempty"` // [10/s] token requests of nobody from one address, before a signature is verified
}

// DefaultAnonymous is the one limit that is on unless written otherwise.
const DefaultAnonymous = "10/s"

// Check reports rates that are none; paths are the limits' names.
func (s Spec) Check(bad func(path, format string, args ...any)) {
	for _, l := range []struct{ name, text string }{{Client, s.Client}, {Address, s.Address}, {Subject, s.Subject}, {Anonymous, s.Anonymous}} {
		if _, ok := parse(l.text); l.text != "" && !ok {
			bad(l.name, "want N/s with N from 1 to %d, got %q", maxRate, l.text)
		}
	}
}

// parse reads N/s.
func parse(text string) (perSecond int, ok bool) {
	digits, found := strings.CutSuffix(text, "/s")
	n, err := strconv.Atoi(digits)
	return n, found && err == nil && n >= 1 && n <= maxRate
}

// Limiter holds one bucket for each key; a nil Limiter lets everything pass.
type Limiter struct {
	Name    string
	rate    rate.Limit
	burst   int
	buckets *lru.Cache[string, *rate.Limiter]
}

// New makes a limiter of a rate that Check accepted; of "" it is nil.
func New(name, text string) *Limiter {
	n, ok := parse(text)
	if !ok {
		return nil
	}
	buckets, err := lru.New[string, *rate.Limiter](limiterKeys)
	if err != nil {
		return nil // fails only without capacity
	}
	return &Limiter{Name: name, rate: rate.Limit(n), burst: burstFactor * n, buckets: buckets}
}

// Take is zero where the key may go on, else how long it has to wait.
func (l *Limiter) Take(key string, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	bucket, known := l.buckets.Get(key)
	if !known {
		bucket = rate.NewLimiter(l.rate, l.burst)
		if other, lost, _ := l.buckets.PeekOrAdd(key, bucket); lost {
			bucket = other
		}
	}
	r := bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now) // who is refused pays nothing
	}
	return wait
}

// AddressKey is what one caller cannot change at will: an IPv4 address, the /64 of an IPv6 one.
func AddressKey(a netip.Addr) string {
	const subnet = 64
	if a.Is6() {
		if p, err := a.Prefix(subnet); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// Set is the four limits.
type Set struct{ Client, Address, Subject, Anonymous *Limiter }

// NewSet makes those that the spec switches on.
func NewSet(s Spec) Set {
	return Set{
		Client:    New(Client, s.Client),
		Address:   New(Address, s.Address),
		Subject:   New(Subject, s.Subject),
		Anonymous: New(Anonymous, s.Anonymous),
	}
}
