package grants

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/upstreams"
)

// fault spoils a request that is well in one way. Faults of one group cannot be had together.
type fault struct {
	name  string
	row   int // of P27's table
	group string
	spoil func(*world)
	want  string
}

// Rows of P27's table that a grant judges; form rules, credentials, grant types and durability are the pipeline's.
const (
	rowClient = 4 + iota
	rowParameters
	rowToken
	rowUnavailable
	rowTarget
	rowCondition
	rowScope
	rowReplay
)

func upstreamFault(r upstreams.Reason) func(*world) {
	return func(w *world) { w.verifyErr = &upstreams.Error{Reason: r, Upstream: "acme", Err: errors.New("cause")} }
}

var faults = []fault{
	{"no rule names the client", rowClient, "requester", func(w *world) { w.requester.ClientID = "stranger" }, "unauthorized_client grant_not_allowed"},
	{"a public client", rowClient, "requester", func(w *world) { w.requester = oauth.Requester{ClientID: "gateway", Public: true} }, "unauthorized_client grant_not_allowed"},

	{"subject_token missing", rowParameters, "token", func(w *world) { w.form["subject_token"] = []string{""} }, "invalid_request parameter"},
	{"subject_token_type missing", rowParameters, "type", func(w *world) { w.form.Del("subject_token_type") }, "invalid_request parameter"},
	{"subject_token_type unknown", rowParameters, "type", func(w *world) { w.form.Set("subject_token_type", "jwt") }, "invalid_request parameter"},
	{"requested_token_type not issued", rowParameters, "requested", func(w *world) { w.form.Set("requested_token_type", oauth.TypeSAML2) }, "invalid_request parameter"},
	{"actor_token without type", rowParameters, "actor", func(w *world) { w.form.Set("actor_token", w.token()) }, "invalid_request parameter"},
	{"resource malformed", rowParameters, "target", func(w *world) { w.form.Set("resource", "orders#x") }, "invalid_target target"},

	{"not a JWT", rowToken, "token", func(w *world) { w.form.Set("subject_token", "opaque") }, "invalid_request token"},
	{"class", rowToken, "header", func(w *world) { w.header["typ"] = "logout+jwt" }, "invalid_request token_class"},
	{"cnf", rowToken, "payload", func(w *world) { w.payload["cnf"] = map[string]any{"jkt": "x"} }, "invalid_request confirmation"},
	{"no upstream for it", rowToken, "payload", func(w *world) { w.payload["iss"] = "https://elsewhere.example" }, "invalid_request token_issuer"},
	{"actor token malformed", rowToken, "actor", func(w *world) {
		w.form.Set("actor_token", "opaque")
		w.form.Set("actor_token_type", oauth.TypeJWT)
	}, "invalid_request token"},

	{"keys not obtainable", rowUnavailable, "verify", upstreamFault(upstreams.ReasonUnavailable), "temporarily_unavailable keys_unavailable"},
	{"revocation index stale", rowUnavailable, "revoked", func(w *world) { w.revokedErr = revoke.ErrStale }, "temporarily_unavailable revocation_stale"},

	{"target out of reach", rowTarget, "target", func(w *world) { w.form.Set("audience", "payroll") }, "invalid_target target"},
	{"one target out of reach", rowTarget, "target", func(w *world) { w.form.Add("audience", "payroll") }, "invalid_target target"},
	{"no target, several in the rule", rowTarget, "target", func(w *world) { w.form.Del("audience") }, "invalid_target target"},

	{"require", rowCondition, "claims", func(w *world) { w.identity.Claims["blocked"] = true }, "invalid_request require"},
	{"a mapper fails", rowCondition, "claims", func(w *world) { w.identity.Claims["divide"] = int64(0) }, "invalid_request mapping"},
	{"when", rowCondition, "claims", func(w *world) { w.identity.Claims["dept"] = "Sales" }, "invalid_request condition"},
	{"an actor token", rowCondition, "actor", func(w *world) {
		w.actor, w.actorOwn = machineToken(w.t, "gateway", "gateway")
	}, "invalid_request actor"},
	{"act", rowCondition, "identity", func(w *world) { w.identity.Actors = []string{"acme|bot"} }, "invalid_request actor"},
	{"may_act", rowCondition, "identity", func(w *world) { w.identity.MayAct = map[string]any{"sub": "bot"} }, "invalid_request actor"},

	{"scope beyond", rowScope, "scope", func(w *world) { w.form.Set("scope", "orders.write") }, "invalid_scope scope"},
	{"scope malformed", rowScope, "scope", func(w *world) { w.form.Set("scope", "orders.read ") }, "invalid_scope scope"},

	{"single_use without jti", rowReplay, "jti", func(w *world) { w.identity.JTI = "" }, "invalid_request replay"},
}

func TestP27_EachRow(t *testing.T) {
	external(t).want("partner-orders")
	rows := map[int]bool{}
	for _, f := range faults {
		rows[f.row] = true
		t.Run(f.name, func(t *testing.T) {
			w := external(t)
			f.spoil(w)
			w.want(f.want)
		})
	}
	for row := rowClient; row <= rowReplay; row++ {
		if !rows[row] {
			t.Errorf("row %d has no case", row)
		}
	}
}

func TestP27_AnEarlierStepWins(t *testing.T) {
	pairs := 0
	for _, first := range faults {
		for _, then := range faults {
			if first.row >= then.row || first.group == then.group || first.group == "token" && then.group == "payload" {
				continue
			}
			pairs++
			t.Run(first.name+" before "+then.name, func(t *testing.T) {
				w := external(t)
				then.spoil(w)
				first.spoil(w)
				w.want(first.want)
			})
		}
	}
	if pairs < 100 {
		t.Errorf("only %d pairs", pairs)
	}
}

// What needs no key comes before 503: a stale set and a time that is over.
func TestP27_BadTokenBeforeStaleRevocations(t *testing.T) {
	w := external(t)
	w.identity.Expires = noon
	w.revokedErr = revoke.ErrStale
	w.want("invalid_request token_time")

	w = ours(t)
	w.payload["aud"] = "payroll"
	w.ownErr = oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale)
	w.want("invalid_request token_audience")
	if w.opened != 0 {
		t.Error("a token that is not meant for the requester was opened")
	}
}

// Nobody is asked about a token with too little life left, whether it or its origin ends.
func TestP27_TooLittleLifeBeforeVerification(t *testing.T) {
	for left, late := range map[time.Duration]bool{-time.Second: true, 4 * time.Second: true, 5 * time.Second: false} {
		end := noon.Add(left).Unix()
		w := external(t)
		w.payload["exp"] = end
		upstreamFault(upstreams.ReasonUnavailable)(w)
		if late {
			w.want("invalid_request token_time")
		} else {
			w.want("temporarily_unavailable keys_unavailable")
		}
		for _, claim := range []string{"exp", "origin_exp"} {
			w := ours(t)
			w.payload["exp"], w.payload["origin_exp"] = noon.Add(time.Hour).Unix(), noon.Add(time.Hour).Unix()
			w.payload[claim] = end
			w.ownErr = oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale)
			if late {
				w.want("invalid_request token_time")
			} else {
				w.want("temporarily_unavailable revocation_stale")
			}
		}
	}
	w := external(t)
	w.payload["exp"], w.payload["origin_exp"] = noon.Add(time.Hour).Unix(), noon.Unix() // an upstream's origin_exp means nothing here
	w.want("partner-orders")
}

func TestP27_OwnTokensTimeBeforeTarget(t *testing.T) {
	w := ours(t)
	w.own.Expires = noon
	w.form.Set("audience", "payroll")
	w.want("invalid_request token_time")
}

func TestP27_UpstreamsErrors(t *testing.T) {
	for reason, want := range map[upstreams.Reason]string{
		upstreams.ReasonPurpose:      "invalid_request token",
		upstreams.ReasonClass:        "invalid_request token_class",
		upstreams.ReasonIssuer:       "invalid_request token_issuer",
		upstreams.ReasonAudience:     "invalid_request token_audience",
		upstreams.ReasonTime:         "invalid_request token_time",
		upstreams.ReasonNonce:        "invalid_request token",
		upstreams.ReasonConfirmation: "invalid_request confirmation",
		upstreams.ReasonClaim:        "invalid_request token",
		upstreams.ReasonSubject:      "invalid_request token",
		upstreams.ReasonAlgorithm:    "invalid_request signature",
		upstreams.ReasonUnknownKey:   "invalid_request signature",
		upstreams.ReasonSignature:    "invalid_request signature",
		upstreams.ReasonUnavailable:  "temporarily_unavailable keys_unavailable",
	} {
		w := external(t)
		upstreamFault(reason)(w)
		w.want(want)
	}
	w := external(t)
	w.verifyErr = errors.New("not of the contract")
	w.want("server_error internal")
}

func TestP27_RetryAfterOfTheUpstream(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: oauth.DefaultRetryAfter, 42 * time.Second: 42 * time.Second} {
		w := external(t)
		w.verifyErr = fmt.Errorf("verify: %w", &upstreams.Error{Reason: upstreams.ReasonUnavailable, RetryAfter: given, Err: errors.New("down")})
		_, err := w.run()
		if e := oauth.AsError(err); e.HTTPStatus() != 503 || e.RetryAfter != want {
			t.Errorf("%v: got %d, %v", given, e.HTTPStatus(), e.RetryAfter)
		}
	}
}

func TestP26_RevokedOrStale(t *testing.T) {
	w := external(t)
	w.revokedErr = fmt.Errorf("subject: %w", revoke.ErrRevoked)
	w.want("invalid_request revoked")
	if want := (revoke.Facts{TokenID: "tok-ext", Subject: "acme|alice", Upstream: "acme"}); len(w.checked) != 1 || fmt.Sprint(w.checked[0]) != fmt.Sprint(want) {
		t.Errorf("checked %v", w.checked)
	}
	w.revokedErr = revoke.ErrStale
	w.want("temporarily_unavailable revocation_stale")
	w.revokedErr = errors.New("anything else") // never allow
	w.want("temporarily_unavailable revocation_stale")

	o := ours(t)
	o.ownErr = oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonRevoked)
	o.want("invalid_request revoked")
	o.ownErr = oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale)
	o.want("temporarily_unavailable revocation_stale")
}
