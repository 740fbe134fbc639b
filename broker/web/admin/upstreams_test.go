package admin

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/operator"
	"fedbroker/upstreams/history"
	"fedbroker/upstreams/keys"
)

var someUpstream = operator.Upstream{
	Name: "acme", Kind: "oidc", Issuer: "https://acme.test", State: "stale", MaxStale: 86400, Alarms: []keys.Alarm{keys.AlarmHalfStale},
	Keys: []operator.UpstreamKey{{KeyID: "k1", Thumbprint: "t", FirstSeen: time.Unix(1_800_000_000, 0).UTC()}},
}

func (f *fakeOperator) Upstreams(context.Context) ([]operator.Upstream, error) {
	return []operator.Upstream{someUpstream}, f.act("upstreams")
}
func (f *fakeOperator) Upstream(_ context.Context, name string) (operator.Upstream, error) {
	return someUpstream, f.act("upstream %s", name)
}
func (f *fakeOperator) KeyHistory(_ context.Context, name string) (operator.KeyHistory, error) {
	return operator.KeyHistory{Upstream: name, Head: "h", Dropped: 3, Entries: []history.Entry{{At: 7, KeyID: "k1", Change: history.Added}}}, f.act("history of %s", name)
}
func (f *fakeOperator) RefreshUpstream(_ context.Context, name string) (operator.Upstream, error) {
	return someUpstream, f.act("refresh %s", name)
}
func (f *fakeOperator) PinKey(_ context.Context, p operator.Pin) (operator.Pinned, error) {
	return operator.Pinned{Upstream: p.Upstream, KeyID: p.KeyID}, f.act("pin %s %s %d", p.Upstream, p.KeyID, p.Seconds)
}
func (f *fakeOperator) DrillOutage(_ context.Context, name string) (operator.Outage, error) {
	return operator.Outage{Upstream: name, Survives: 22320, EndsBy: operator.EndsByMaxStale}, f.act("outage of %s", name)
}
func (f *fakeOperator) Drift(_ context.Context, name string) (operator.Drift, error) {
	return someDrift, f.act("drift of %s", name)
}
func (f *fakeOperator) AcceptShape(_ context.Context, name string) (operator.Accepted, error) {
	return operator.Accepted{Upstream: name, Changes: 2}, f.act("accept %s", name)
}

var someDrift = operator.Drift{Upstream: "acme", Sources: []operator.ClaimShape{{
	Source: "login", Tokens: 70, Last: time.Unix(1_800_000_000, 0).UTC(), Claims: []operator.Claim{{Claim: "groups", Types: "string", Percent: 98}},
	Changes: []operator.ClaimDrift{{Claim: "groups", Change: "retyped", Was: "list of string", Is: "string", ReadBy: []string{"mappers[0] groups"}}},
}}}

func TestUpstreams_OverTheSocket(t *testing.T) {
	p := run(t, Spec{Socket: filepath.Join(shortDir(t), "s")})
	c, err := Dial(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	all, err := c.Upstreams(ctx)
	keep(err)
	one, err := c.Upstream(ctx, "acme")
	keep(err)
	past, err := c.KeyHistory(ctx, "acme")
	keep(err)
	fresh, err := c.RefreshUpstream(ctx, "acme")
	keep(err)
	pinned, err := c.PinKey(ctx, operator.Pin{Upstream: "acme", KeyID: "k1", Seconds: 60})
	keep(err)
	outage, err := c.DrillOutage(ctx, "acme")
	keep(err)
	drift, err := c.Drift(ctx, "acme")
	keep(err)
	accepted, err := c.AcceptShape(ctx, "acme")
	keep(err)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || !reflect.DeepEqual(all[0], someUpstream) || !reflect.DeepEqual(one, someUpstream) || !reflect.DeepEqual(fresh, someUpstream) {
		t.Errorf("got %+v, %+v, %+v", all, one, fresh)
	}
	if !reflect.DeepEqual(drift, someDrift) || accepted.Changes != 2 {
		t.Errorf("got %+v, %+v", drift, accepted)
	}
	if past.Head != "h" || past.Dropped != 3 || len(past.Entries) != 1 || past.Entries[0].KeyID != "k1" || pinned.KeyID != "k1" || outage.Survives != 22320 {
		t.Errorf("got %+v, %+v, %+v", past, pinned, outage)
	}
	if want := []string{"upstreams", "upstream acme", "history of acme", "refresh acme", "pin acme k1 60", "outage of acme", "drift of acme", "accept acme"}; !slices.Equal(p.operator.did, want) {
		t.Errorf("the operator was asked to %v", p.operator.did)
	}
	p.operator.fail = &operator.ActError{Text: "pin k9 of acme: no"}
	if _, err := c.PinKey(ctx, operator.Pin{Upstream: "acme", KeyID: "k9", Seconds: 60}); err == nil || err.Error() != "pin k9 of acme: no" {
		t.Errorf("the operator's own mistake: %v", err)
	}
}

func TestP47_UpstreamsNeedTheToken(t *testing.T) {
	p := run(t, Spec{Listen: "127.0.0.1:0", Token: operatorToken})
	for _, a := range []ask{
		{method: http.MethodGet, path: pathUpstreams}, {path: pathUpstream}, {path: pathKeyHistory}, {path: pathRefresh}, {path: pathPin}, {path: pathOutage},
	} {
		if a.method == "" {
			a.method, a.body = http.MethodPost, `{"name":"acme"}`
		}
		a.header = bearer("wrong")
		if status, body, _ := p.do(t, a); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", a.path, status, body)
		}
	}
	if len(p.operator.did) != 0 {
		t.Errorf("the operator was asked to %v", p.operator.did)
	}
	for _, body := range []string{`{"upstream":"acme","kid":"k1","for_seconds":60,"force":true}`, `{"upstream":"acme","kid":"k1","for_seconds":"60"}`, `{"upstream":"a","upstream":"b"}`} {
		if status, _, _ := p.do(t, ask{method: http.MethodPost, path: pathPin, body: body, header: bearer(operatorToken)}); status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, status)
		}
	}
	body := `{"upstream":"acme","kid":"k1","for_seconds":60}`
	if status, answer, _ := p.do(t, ask{method: http.MethodPost, path: pathPin, body: body, header: bearer(operatorToken)}); status != http.StatusOK || !strings.Contains(answer, `"kid":"k1"`) {
		t.Errorf("with the token: %d %s", status, answer)
	}
}
