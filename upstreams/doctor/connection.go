package doctor

import (
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fedbroker/upstreams/doctor/findings"
)

const (
	renewSoon  = 14 * 24 * time.Hour // less is left to a certificate than an automatic renewal leaves it
	minRSABits = 2048                // RFC 7518 §3.3, and for certificates the CA/Browser Forum's baseline requirements
)

// tls judges what a connection is protected by. That the chain and the name are good is proven by the connection itself.
func (x *examination) tls(u *url.URL, state *tls.ConnectionState) {
	if state == nil || len(state.PeerCertificates) == 0 {
		x.add(findings.Note, "tls.none", u.Host, "plain http on a loopback name: no TLS to judge")
		return
	}
	x.check(state.Version >= tls.VersionTLS13, findings.Note, "tls.version", u.Host, tls.VersionName(state.Version))
	leaf := state.PeerCertificates[0]
	left := leaf.NotAfter.Sub(x.Now())
	seen := fmt.Sprintf("%s by %s, until %s (%d days)", leaf.PublicKeyAlgorithm, or(leaf.Issuer.CommonName, leaf.Issuer.String()), day(leaf.NotAfter), left/(24*time.Hour))
	x.check(left >= renewSoon, findings.Warn, "tls.expiry", u.Host, seen)
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSABits {
		x.add(findings.Warn, "tls.key", u.Host, fmt.Sprintf("RSA, %d bits", key.N.BitLen()))
	}
}

// reading is one look at the provider's clock.
type reading struct {
	sent, received time.Time // by ours
	date, age      string    // header fields of the answer
}

// bounds are the least and the most by which the provider's clock is before ours. Date has whole seconds and was written between sent and received; a
// cache that answered says how long ago that was (RFC 9110 §6.6.1, RFC 9111 §5.1).
func (r reading) bounds() (least, most time.Duration, ok bool) {
	date, err := http.ParseTime(r.date)
	if err != nil {
		return 0, 0, false
	}
	resolution := time.Second
	if r.age != "" {
		seconds, err := strconv.ParseUint(strings.TrimSpace(r.age), 10, 31)
		if err != nil {
			return 0, 0, false
		}
		date, resolution = date.Add(time.Duration(seconds)*time.Second), 2*time.Second
	}
	return date.Sub(r.received), date.Add(resolution).Sub(r.sent), true
}

// clock judges the provider's clock by the narrowest of the readings.
func (x *examination) clock() {
	if len(x.clocks) == 0 {
		return
	}
	var least, most time.Duration
	known := false
	for _, r := range x.clocks {
		if low, high, ok := r.bounds(); ok && (!known || high-low < most-least) {
			least, most, known = low, high, true
		}
	}
	if !known {
		x.add(findings.Note, "clock.date", "Date", "no answer says what time it is there")
		return
	}
	off := time.Duration(0) // what is certain
	switch {
	case least > 0:
		off = least
	case most < 0:
		off = -most
	}
	leeway := *x.spec.Leeway
	middle, margin := (least+most)/2, (most-least)/2
	seen := fmt.Sprintf("%s ours, by %s ± %s", direction(middle), middle.Abs().Round(100*time.Millisecond), margin.Round(100*time.Millisecond))
	if off == 0 {
		seen = fmt.Sprintf("in step with ours, ± %s", margin.Round(100*time.Millisecond))
	}
	switch {
	case off > leeway:
		x.add(findings.Fail, "clock.skew", "clock", seen)
	case off > leeway/2:
		x.add(findings.Warn, "clock.skew", "clock", seen)
	default:
		x.add(findings.OK, "clock.skew", "clock", seen)
	}
}

func direction(d time.Duration) string {
	if d < 0 {
		return "behind"
	}
	return "ahead of"
}
