package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"

	"fedbroker/upstreams"
)

// lock is P47: what is neither health nor metrics is for who comes by the unix socket, whose file only the owner may open, or
// shows a certificate of the operators' CA, or bears the operators' token. With neither configured nobody comes in by TCP.
type lock struct {
	hosts []string                // lower case
	token func() upstreams.Secret // of now; "": there is none
	cas   *authorities            // nil: certificates are not asked for
}

func newLock(s Spec, token func() upstreams.Secret, cas *authorities) lock {
	l := lock{token: token, cas: cas}
	for _, h := range s.Hosts {
		l.hosts = append(l.hosts, strings.ToLower(h))
	}
	return l
}

// admit lets next see only an operator's requests.
func (l lock) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !l.knowsHost(r.Host): // a page whose name was rebound to this address still says its own name
			writeProblem(w, http.StatusForbidden, "host_not_allowed")
		case l.certified(r) || l.bears(r):
			next.ServeHTTP(w, r)
		case l.token() != "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="fedbroker admin"`)
			writeProblem(w, http.StatusUnauthorized, "unauthenticated")
		default:
			writeProblem(w, http.StatusForbidden, "unauthenticated")
		}
	})
}

func (l lock) knowsHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return slices.Contains(l.hosts, strings.ToLower(host))
}

// certified judges the certificate anew for each request: a connection may be older than the CA's withdrawal.
func (l lock) certified(r *http.Request) bool {
	return l.cas != nil && r.TLS != nil && l.cas.vouch(r.TLS.PeerCertificates)
}

func (l lock) bears(r *http.Request) bool {
	headers, wanted := r.Header["Authorization"], l.token().Reveal()
	if wanted == "" || len(headers) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	want, got := sha256.Sum256([]byte(wanted)), sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// jsonOnly refuses a body of any other type: no page can send JSON to another origin without asking it first, and it will not be
// answered, for there is no CORS here.
func jsonOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != jsonType {
				writeProblem(w, http.StatusUnsupportedMediaType, "not_json")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
