package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
)

// lock is P47: what is neither health nor metrics is for who comes by the unix socket, whose file only the owner may open, or
// shows a certificate of the operators' CA, or bears the operators' token. With neither configured nobody comes in by TCP.
type lock struct {
	hosts  []string // lower case
	token  [sha256.Size]byte
	bearer bool // token is set
	mutual bool // certificates are asked for
}

func newLock(s Spec) lock {
	l := lock{mutual: s.ClientCAFile != ""}
	for _, h := range s.Hosts {
		l.hosts = append(l.hosts, strings.ToLower(h))
	}
	if token := s.Token.Reveal(); token != "" {
		l.token, l.bearer = sha256.Sum256([]byte(token)), true
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
		case l.bearer:
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

func (l lock) certified(r *http.Request) bool {
	return l.mutual && r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}

func (l lock) bears(r *http.Request) bool {
	headers := r.Header["Authorization"]
	if !l.bearer || len(headers) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	sum := sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], l.token[:]) == 1
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
