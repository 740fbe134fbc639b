package login

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json" // writes & and < as they are: a cookie has no room to waste

	"fedbroker/broker/oauth"
	"fedbroker/store"
	"fedbroker/upstreams"
)

// attempt is one way to an identity provider and back. It lives in the browser that began it, sealed (P30).
type attempt struct {
	Purpose  string      `json:"purpose"`
	Upstream string      `json:"upstream"`
	Issuer   string      `json:"issuer"` // the upstream's, when the attempt began
	Nonce    string      `json:"nonce"`
	Verifier string      `json:"verifier"`
	Begun    time.Time   `json:"begun"`
	Params   [][2]string `json:"params"` // the app's request

	id string // the state at the provider, and the cookie's name
}

const (
	purposeLogin  = "login"
	bucketAttempt = "login_attempt"

	attemptLife  = 10 * time.Minute
	maxAttempts  = 8        // the newest live
	maxSealed    = 3800     // bytes of one cookie's value: browsers keep 4096 with its name and attributes
	maxSealedAll = 12 << 10 // bytes of all, so that servers still read the header
	secretSize   = 32
)

func secret() string {
	var b [secretSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (a *attempt) ends() time.Time { return a.Begun.Add(attemptLife) }

// start is the attempt as the provider is asked, and as its answer is held against.
func (a *attempt) start(issuer string, now time.Time, r *asked) upstreams.Attempt {
	s := upstreams.Attempt{
		State: a.id, Nonce: a.Nonce, Verifier: a.Verifier, RedirectURI: issuer + "/callback/" + a.Upstream, LoginHint: r.LoginHint,
		ACRValues: oauth.Unique(slices.Concat(r.essentialACR, r.ACRValues)), UILocales: r.UILocales, Now: now,
	}
	for _, p := range r.Prompt {
		if p == promptLogin || p == promptSelect {
			s.Prompt = append(s.Prompt, p)
		}
	}
	if age, limited := r.maxAge(); limited {
		s.MaxAge = &age
	}
	return s
}

// seal makes the attempt this browser's, and drops those that are too many, too long in sum, or nothing.
func (v *visit) seal(ctx context.Context, a *attempt, b Browser, crossSite bool) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "the request is not UTF-8")
	}
	sealed, err := v.Sealing.Seal(ctx, bucketAttempt, a.id, plain)
	if err != nil {
		return fmt.Errorf("attempt: %w", err)
	}
	value := base64.RawURLEncoding.EncodeToString(sealed)
	if len(value) > maxSealed {
		return tell(oauth.CodeInvalidRequest, oauth.ReasonParameter, "the request is too long to be kept in the browser")
	}
	_, drop := v.living(ctx, b, maxAttempts-1, maxSealedAll-len(value))
	v.answer.Attempt = &SetAttempt{ID: a.id, Value: value, CrossSite: crossSite, Drop: drop}
	return nil
}

// living are the browser's newest attempts, newest first, and the ids of the rest: too old, too many, or none of ours.
func (v *visit) living(ctx context.Context, b Browser, most, bytes int) (live []*attempt, drop []string) {
	sizes := map[string]int{}
	for _, sealed := range b.Attempts {
		a, err := v.open(ctx, sealed)
		if err != nil || !v.now.Before(a.ends()) || sizes[a.id] > 0 {
			drop = append(drop, sealed.ID)
			continue
		}
		live, sizes[a.id] = append(live, a), len(sealed.Value)
	}
	slices.SortStableFunc(live, func(a, b *attempt) int { return b.Begun.Compare(a.Begun) })
	for i, a := range live {
		if bytes -= sizes[a.id]; i >= most || bytes < 0 {
			for _, old := range live[i:] {
				drop = append(drop, old.id)
			}
			return live[:i], drop
		}
	}
	return live, drop
}

var errAttempt = errors.New("not an attempt of ours")

// open opens what seal sealed for this very id.
func (v *visit) open(ctx context.Context, s Sealed) (*attempt, error) {
	if !store.TimeLed(s.ID) || len(s.Value) > maxSealed {
		return nil, errAttempt
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(s.Value)
	if err != nil {
		return nil, errAttempt
	}
	plain, err := v.Sealing.Open(ctx, bucketAttempt, s.ID, sealed)
	if err != nil {
		return nil, fmt.Errorf("attempt: %w", err)
	}
	a := &attempt{id: s.ID}
	if err := json.Unmarshal(plain, a); err != nil || a.Purpose != purposeLogin {
		return nil, errAttempt
	}
	return a, nil
}

// attemptOf finds the attempt that an answer belongs to.
func (v *visit) attemptOf(ctx context.Context, c *Callback) (*attempt, error) {
	states := c.Params[ParamState]
	if len(states) != 1 || states[0] == "" {
		return nil, noAttempt(FailureOtherBrowser, "no single state in the answer")
	}
	at := slices.IndexFunc(c.Browser.Attempts, func(s Sealed) bool { return s.ID == states[0] })
	if at < 0 {
		return nil, noAttempt(FailureOtherBrowser, "no cookie of this browser for this state")
	}
	a, err := v.open(ctx, c.Browser.Attempts[at])
	if err != nil {
		return nil, noAttempt(FailureOtherBrowser, "the cookie is not one of ours")
	}
	if err := v.judge(fromParams(a.Params)); err != nil { // the configuration may be another by now
		return nil, err
	}
	v.event.Upstream = a.Upstream
	live, drop := v.living(ctx, c.Browser, maxAttempts, maxSealedAll)
	if len(drop) > 0 {
		v.answer.Attempt = &SetAttempt{Drop: drop}
	}
	if !slices.ContainsFunc(live, func(l *attempt) bool { return l.id == a.id }) {
		return nil, noAttempt(FailureExpired, "too old, or pushed out by newer attempts")
	}
	if a.Upstream != c.Upstream {
		return nil, noAttempt(FailureWrongUpstream, "the answer came to another upstream's address")
	}
	return a, nil
}

// noAttempt: nothing of the answer is used. The app learns no more than that it did not work.
func noAttempt(kind FailureKind, cause string) error {
	refusal := oauth.Deny(oauth.CodeServerError, oauth.ReasonAttempt).Because(errors.New(cause))
	refusal.Status = oauth.CodeInvalidRequest.Status() // the fault is not ours
	return failRetry(kind, refusal)
}
