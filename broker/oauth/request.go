package oauth

import (
	"context"
	"net/netip"
	"time"
)

// TokenRequest is one request to the token endpoint, past the form rules. The pipeline fills Requester once the client is known.
type TokenRequest struct {
	DecisionID  string
	GrantType   string // wire form
	Form        Form
	Credentials Credentials
	Requester   Requester
	Peer        netip.Addr
	Now         time.Time // the one clock reading that the whole request is judged by
	Seen        Seen      // what a grant learned before it answered
	DPoP        []string  // values of the header DPoP (RFC 9449 §4)
	Method, URL string    // what a proof has to name: the method, and the endpoint under our issuer
	Proof       Proof     // of possession, once it held
	// Redeem, where the grant sets it, spends what was presented, in one durable write, before anything is signed, and returns the refresh token
	// of the answer, "" for none. The error is an *oauth.Error.
	Redeem func(ctx context.Context) (refreshToken string, err error)
}

// Proof is a DPoP proof that held (RFC 9449 §4.3); its zero value is none.
type Proof struct {
	Key       string // SHA-256 thumbprint of the proven key (RFC 7638), as cnf.jkt has it
	TokenHash string // ath: of the token that it was made for, "" for none
}

// Proves tells whether the proof is of this key.
func (p Proof) Proves(key string) bool { return key != "" && p.Key == key }

// Seen is what a grant learned of a request, for the line that the journal keeps of it, also of a refusal. What is not verified is not in it.
type Seen struct {
	Upstream string   // name
	Subject  string   // the broker's subject
	TokenID  string   // of the subject token, as lineage names it
	Targets  []string // audience and resource as requested
	// Tokens is what may be kept of the tokens, once the subject's is verified; nil before. It is made when asked for, within the request.
	Tokens func() (subject, actor *SeenToken)
}

// SeenToken is a verified token as it may be kept.
type SeenToken struct {
	Own      bool
	Upstream string // name
	TokenID  string // as lineage names it
	Typ      string // of the header
	Opaque   bool   // it was introspected
	Claims   map[string]any
}

// Requester is who asks, authenticated; or nobody, if Anonymous.
type Requester struct {
	ClientID          string   // "" if anonymous
	Identifiers       []string // resource names that this client is
	Audiences, Scopes []string // the bounds of its own authority (client_credentials), not of an exchange
	Public            bool
	Anonymous         bool
	FullUpstream      bool   // its tokens name the upstream's issuer and subject, too (upstream_claim: full)
	CredentialTokenID string // jose token id of the assertion it authenticated by; "" if none
	Workload          Workload
}

// Workload is the upstream's token that a client authenticated by; zero for other methods. What comes of the request descends from it, too.
type Workload struct {
	TokenID, Subject, Upstream string // as lineage names them
	IssuedAt                   time.Time
}

// Is tells whether name is the requester's client id or one of its identifiers.
func (r Requester) Is(name string) bool {
	if r.Anonymous || name == "" {
		return false
	}
	if name == r.ClientID {
		return true
	}
	for _, id := range r.Identifiers {
		if name == id {
			return true
		}
	}
	return false
}

// TokenResponse is a successful answer (RFC 6749 §5.1, RFC 8693 §2.2.1). Scope is always stated, also when it is empty.
type TokenResponse struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type,omitempty"` // of a token exchange only
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Scope           string `json:"scope"`
	RefreshToken    string `json:"refresh_token,omitempty"`
	IDToken         string `json:"id_token,omitempty"` // OpenID Connect Core §3.1.3.3
	DPoPNonce       string `json:"-"`                  // for the next proof (RFC 9449 §8.2); "" for none
}
