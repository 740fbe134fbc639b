package upstreamtest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// loginKnobs are what is wrong with logins. The functions are called without a lock, each with values of its own.
type loginKnobs struct {
	issUnannounced, issUnsent bool
	alterDiscovery            func(map[string]any)
	alterResponse             func(url.Values)
	alterIDToken              func(map[string]any)
	idTokenOptions            []SignOption
	alterToken                func(map[string]any)
	alterUserinfo             func(map[string]any)
	tokenTrouble              Trouble
	userinfoTrouble           Trouble
}

// Trouble is how an endpoint spoils an answer, after it did the work: a code is spent then. The zero value is none.
type Trouble struct {
	Status         int    // instead of the right one
	ContentType    string // instead of application/json
	Body           string // instead of the right one
	Truncate, Huge bool   // half of what was promised; 8 MiB of white space after it
}

// Token spoils the answers of the token endpoint; the zero Trouble restores them.
func (p *IdP) Token(t Trouble) { p.set(func(k *knobs) { k.tokenTrouble = t }) }

// Userinfo spoils the answers of the userinfo endpoint; the zero Trouble restores them.
func (p *IdP) Userinfo(t Trouble) { p.set(func(k *knobs) { k.userinfoTrouble = t }) }

// SlowToken is Slow for the token endpoint alone.
func (p *IdP) SlowToken() (release func()) { return p.slowAt(tokenPath) }

// SlowUserinfo is Slow for the userinfo endpoint alone.
func (p *IdP) SlowUserinfo() (release func()) { return p.slowAt(userinfoPath) }

// ResponseIss decides whether discovery announces iss in authorization responses, and whether it is sent (RFC 9207). Both are so
// at first.
func (p *IdP) ResponseIss(announced, sent bool) {
	p.set(func(k *knobs) { k.issUnannounced, k.issUnsent = !announced, !sent })
}

// AlterDiscovery changes the discovery document, after everything else; nil restores it.
func (p *IdP) AlterDiscovery(change func(document map[string]any)) {
	p.set(func(k *knobs) { k.alterDiscovery = change })
}

// AlterResponse changes the parameters of each authorization response: another state, code or iss; nil restores them.
func (p *IdP) AlterResponse(change func(params url.Values)) {
	p.set(func(k *knobs) { k.alterResponse = change })
}

// DenyAuthorization makes each authorization response that error, as if nobody could log in; an empty code ends that.
func (p *IdP) DenyAuthorization(code, description string) {
	if code == "" {
		p.AlterResponse(nil)
		return
	}
	p.AlterResponse(func(params url.Values) {
		params.Del("code")
		params.Set("error", code)
		params.Set("error_description", description)
	})
}

// AlterIDToken changes the claims of the ID tokens of logins, and how they are signed; nil without options restores them.
func (p *IdP) AlterIDToken(change func(claims map[string]any), options ...SignOption) {
	p.set(func(k *knobs) { k.alterIDToken, k.idTokenOptions = change, options })
}

// AlterToken changes the good answers of the token endpoint, ID token included; nil restores them.
func (p *IdP) AlterToken(change func(answer map[string]any)) {
	p.set(func(k *knobs) { k.alterToken = change })
}

// AlterUserinfo changes the good answers of the userinfo endpoint; nil restores them.
func (p *IdP) AlterUserinfo(change func(claims map[string]any)) {
	p.set(func(k *knobs) { k.alterUserinfo = change })
}

// With sets a claim, for the Alter methods.
func With(name string, value any) func(map[string]any) {
	return func(claims map[string]any) { claims[name] = value }
}

// Without takes claims away, for the Alter methods.
func Without(names ...string) func(map[string]any) {
	return func(claims map[string]any) {
		for _, name := range names {
			delete(claims, name)
		}
	}
}

// Requests are those that came to path, oldest first; an empty path: to any. Paths are without that of the issuer: /authorize,
// /login, /token, /userinfo, /logout. What is returned must not be changed.
func (p *IdP) Requests(path string) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requestsTo(path)
}

func (p *IdP) requestsTo(path string) []Request {
	return slices.DeleteFunc(slices.Clone(p.state.requests), func(r Request) bool { return path != "" && r.Path != path })
}

// WaitRequests returns when at least n requests have come to path, or with ctx's error.
func (p *IdP) WaitRequests(ctx context.Context, path string, n int) error {
	return p.wait(ctx, func() bool { return len(p.requestsTo(path)) >= n })
}

// wait returns when enough says so, which is asked with mu held at each request.
func (p *IdP) wait(ctx context.Context, enough func() bool) error {
	for {
		p.mu.Lock()
		done, changed := enough(), p.changed
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-p.stop:
			return errors.New("identity provider is closed")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answer is JSON with a status, spoiled by t.
func (p *IdP) answer(w http.ResponseWriter, t Trouble, status int, body map[string]any) {
	w.Header().Set("Cache-Control", "no-store")
	if t.Status != 0 {
		status = t.Status
	}
	text := mustJSON(body)
	if t.Body != "" {
		text = []byte(t.Body)
	}
	p.send(w, knobs{contentType: t.ContentType, truncate: t.Truncate, huge: t.Huge}, status, text)
}
