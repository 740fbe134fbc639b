package event

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fedbroker/broker/oauth"
)

// Every metric of the broker, by name. Label values are from closed sets or from the configuration, never from a request.
const (
	nameTokenRequests      = "fedbroker_token_requests_total"           // grant, code
	nameTokenSeconds       = "fedbroker_token_request_seconds"          // grant
	nameTokenDenials       = "fedbroker_token_denials_total"            // grant, reason
	nameTokenIssued        = "fedbroker_token_issued_total"             // upstream, rule
	nameIntrospections     = "fedbroker_introspection_requests_total"   // code
	nameRevocations        = "fedbroker_revocation_requests_total"      // code
	nameLogins             = "fedbroker_login_requests_total"           // upstream, code: one for each answer to an app
	nameLoginDenials       = "fedbroker_login_denials_total"            // upstream, reason
	nameLogouts            = "fedbroker_logout_requests_total"          // code
	nameUserInfos          = "fedbroker_userinfo_requests_total"        // code
	nameRevocationRecords  = "fedbroker_revocation_records_count"       // gauge
	nameOperatorActs       = "fedbroker_operator_acts_total"            // kind, outcome
	nameLimitRefusals      = "fedbroker_limit_refusals_total"           // limit
	nameHTTPRequests       = "fedbroker_http_requests_total"            // route, status
	nameHTTPSeconds        = "fedbroker_http_request_seconds"           // route
	namePanics             = "fedbroker_broker_panics_total"            // recovered panics
	nameKeyFetchSeconds    = "fedbroker_upstream_key_fetch_seconds"     // upstream, outcome
	nameUpstreamAlarm      = "fedbroker_upstream_alarm_bool"            // upstream, alarm; gauge
	nameUpstreamBreaker    = "fedbroker_upstream_breaker_open_bool"     // upstream, endpoint: token, userinfo, introspection; gauge
	nameKeyChanges         = "fedbroker_upstream_key_changes_total"     // upstream, change: added, removed, changed
	nameReloads            = "fedbroker_config_reloads_total"           // outcome: done, error
	nameUpstreamReady      = "fedbroker_upstream_ready_bool"            // upstream; gauge
	namePartReady          = "fedbroker_broker_part_ready_bool"         // part; gauge
	nameJournalSeconds     = "fedbroker_journal_append_seconds"         // outcome
	nameJournalLost        = "fedbroker_journal_refusals_dropped_total" // lines of refusals that found the queue full
	nameDecisionsLost      = "fedbroker_decision_records_dropped_total" // decisions that are not kept to be explained
	nameEngineSwept        = "fedbroker_engine_records_swept_total"     // expired records freed
	nameEngineSweepSeconds = "fedbroker_engine_sweep_seconds"           // outcome

	nameClaimChanges = "fedbroker_upstream_claim_shape_changes_total" // upstream, change: appeared, vanished, retyped, returned
)

// Outcomes of something that works or does not.
const (
	ok     = "ok"
	failed = "failed"
	other  = "other" // what a request named and no closed set holds
	none   = "none"  // what a request did not reach or does not have
)

// Metrics is the broker's registry and everything in it.
type Metrics struct {
	registry *prometheus.Registry

	tokenRequests, tokenDenials, tokenIssued  *prometheus.CounterVec
	tokenSeconds                              *prometheus.HistogramVec
	introspections, revocations, operatorActs *prometheus.CounterVec
	logins, loginDenials, logouts, userInfos  *prometheus.CounterVec
	limitRefusals, httpRequests               *prometheus.CounterVec
	httpSeconds, keyFetch, journal, sweep     *prometheus.HistogramVec
	panics, journalLost, decisionsLost, swept prometheus.Counter
	upstreamReady, upstreamAlarm, partReady   *prometheus.GaugeVec
	upstreamBreaker                           *prometheus.GaugeVec
	keyChanges, claimChanges, reloads         *prometheus.CounterVec
}

// NewMetrics is a registry with all of the broker's metrics, and the Go runtime's and the process's own.
func NewMetrics() *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{registry: r}
	m.tokenRequests = m.counters(nameTokenRequests, "Requests to the token endpoint, by grant type and answer.", "grant", "code")
	m.tokenDenials = m.counters(nameTokenDenials, "Refused requests to the token endpoint, by grant type and reason.", "grant", "reason")
	m.tokenIssued = m.counters(nameTokenIssued, "Tokens issued, by the subject's upstream and the rule.", "upstream", "rule")
	m.tokenSeconds = m.histograms(nameTokenSeconds, "Time to answer a request to the token endpoint.", "grant")
	m.introspections = m.counters(nameIntrospections, "Introspection requests, by answer.", "code")
	m.revocations = m.counters(nameRevocations, "Revocation requests of clients, by answer.", "code")
	m.logins = m.counters(nameLogins, "Answers to authorization requests, by upstream and code.", "upstream", "code")
	m.loginDenials = m.counters(nameLoginDenials, "Logins that gave an app nothing, by upstream and reason.", "upstream", "reason")
	m.logouts = m.counters(nameLogouts, "Logout requests, by answer.", "code")
	m.userInfos = m.counters(nameUserInfos, "UserInfo requests, by answer.", "code")
	m.operatorActs = m.counters(nameOperatorActs, "Acts of operators.", "kind", "outcome")
	m.limitRefusals = m.counters(nameLimitRefusals, "Requests refused by a limit.", "limit")
	m.httpRequests = m.counters(nameHTTPRequests, "Requests to the public listener, by route and status.", "route", "status")
	m.httpSeconds = m.histograms(nameHTTPSeconds, "Time to answer a request to the public listener.", "route")
	m.keyFetch = m.histograms(nameKeyFetchSeconds, "Time to fetch an upstream's keys.", "upstream", "outcome")
	m.journal = m.histograms(nameJournalSeconds, "Time until a line of the journal is durable.", "outcome")
	m.sweep = m.histograms(nameEngineSweepSeconds, "Time to sweep expired records.", "outcome")
	m.panics = m.counter(namePanics, "Panics that a request caused and that were caught.")
	m.journalLost = m.counter(nameJournalLost, "Lines of refusals dropped because too many were queued.")
	m.decisionsLost = m.counter(nameDecisionsLost, "Decisions that were not kept to be explained later, because there were too many.")
	m.swept = m.counter(nameEngineSwept, "Expired records freed.")
	m.upstreamReady = m.gauges(nameUpstreamReady, "1 if tokens of the upstream can be verified now.", "upstream")
	m.upstreamAlarm = m.gauges(nameUpstreamAlarm, "1 while an alarm about an upstream is raised; of one with many issuers, how many of them raise it.", "upstream", "alarm")
	m.upstreamBreaker = m.gauges(nameUpstreamBreaker, "1 while an endpoint of an upstream is not asked, but by probes.", "upstream", "endpoint")
	m.keyChanges = m.counters(nameKeyChanges, "Changes of upstreams' key sets.", "upstream", "change")
	m.claimChanges = m.counters(nameClaimChanges, "Changes of the names and types of the claims in upstreams' tokens.", "upstream", "change")
	m.reloads = m.counters(nameReloads, "Configurations applied at run time (done), or refused and the one before kept (error).", "outcome")
	m.partReady = m.gauges(namePartReady, "1 if the part of the broker works now: engine, journal, revocations, signing_keys, configuration.", "part")
	return m
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

// histograms have buckets from 0.1 ms, where a token in process lies, to 10 s, where every timeout of ours has struck.
func (m *Metrics) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	buckets := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}

// Revocations makes the number of records in the revocation set a gauge; call it once.
func (m *Metrics) Revocations(count func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: nameRevocationRecords, Help: "Records in the revocation set."},
		func() float64 { return float64(count()) }))
}

// Handler serves the registry in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Observe counts an event.
func (m *Metrics) Observe(e *Event) {
	code := string(e.Code)
	if code == "" {
		code = ok
	}
	switch e.Kind {
	case KindRequest: // counted by route and status
	case KindToken:
		m.observeToken(e, code)
	case KindIntrospection:
		m.introspections.WithLabelValues(code).Inc()
	case KindLogin:
		m.observeLogin(e, code)
	case KindLogout:
		m.logouts.WithLabelValues(code).Inc()
	case KindUserInfo:
		m.userInfos.WithLabelValues(code).Inc()
	case KindUpstreamKeys, KindUpstreamClaims: // counted by change
	case KindConfigReload:
		m.reloads.WithLabelValues(string(e.Outcome)).Inc()
	case KindUpstreamAlarm:
		m.upstreamAlarm.WithLabelValues(e.Upstream, e.Target.ID).Add(2*truth(e.Outcome == OutcomeRaised) - 1) // each is raised once and cleared once, by issuer
	case KindUpstreamBreaker:
		m.upstreamBreaker.WithLabelValues(e.Upstream, e.Target.ID).Set(truth(e.Outcome == OutcomeRaised))
	case KindRevocation:
		m.revocations.WithLabelValues(code).Inc()
	default:
		m.operatorActs.WithLabelValues(string(e.Kind), string(e.Outcome)).Inc()
	}
}

// observeLogin relies on Event.Upstream being a configured name.
func (m *Metrics) observeLogin(e *Event, code string) {
	m.logins.WithLabelValues(or(e.Upstream, none), code).Inc()
	if e.Outcome != OutcomeDone {
		m.loginDenials.WithLabelValues(or(e.Upstream, none), string(or(e.Reason, oauth.ReasonInternal))).Inc()
	}
}

func (m *Metrics) observeToken(e *Event, code string) {
	grant := or(e.Grant, other)
	m.tokenRequests.WithLabelValues(grant, code).Inc()
	m.tokenSeconds.WithLabelValues(grant).Observe(e.Duration.Seconds())
	if e.Outcome == OutcomeDone {
		m.tokenIssued.WithLabelValues(or(e.Upstream, none), or(e.Rule, none)).Inc()
		return
	}
	m.tokenDenials.WithLabelValues(grant, string(or(e.Reason, oauth.ReasonInternal))).Inc()
}

func or[S ~string](s, instead S) S {
	if s == "" {
		return instead
	}
	return s
}

// HTTP counts an answered request of the public listener. The route is a registered path, "other" for any else.
func (m *Metrics) HTTP(route string, status int, took time.Duration) {
	m.httpRequests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.httpSeconds.WithLabelValues(route).Observe(took.Seconds())
}

// Limit counts a request refused by the limit of that name.
func (m *Metrics) Limit(name string) { m.limitRefusals.WithLabelValues(name).Inc() }

// Panic counts a caught panic.
func (m *Metrics) Panic() { m.panics.Inc() }

// KeyFetch counts a fetch of an upstream's keys; class is ok or a class of error, of a closed set.
func (m *Metrics) KeyFetch(upstream, class string, took time.Duration) {
	m.keyFetch.WithLabelValues(upstream, class).Observe(took.Seconds())
}

// KeyChange counts a change of an upstream's key set, of a closed set of changes.
func (m *Metrics) KeyChange(upstream, change string) {
	m.keyChanges.WithLabelValues(upstream, change).Inc()
}

// ClaimChange counts a change of the shape of an upstream's claims, of a closed set of changes.
func (m *Metrics) ClaimChange(upstream, change string) {
	m.claimChanges.WithLabelValues(upstream, change).Inc()
}

// Upstream says whether tokens of an upstream can be verified now.
func (m *Metrics) Upstream(name string, ready bool) {
	m.upstreamReady.WithLabelValues(name).Set(truth(ready))
}

// ForgetUpstream drops the gauge of an upstream that is configured no more.
func (m *Metrics) ForgetUpstream(name string) { m.upstreamReady.DeleteLabelValues(name) }

// Part says whether a part of the broker works now.
func (m *Metrics) Part(name string, ready bool) {
	m.partReady.WithLabelValues(name).Set(truth(ready))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Journal counts a line that an answer waited for.
func (m *Metrics) Journal(err error, took time.Duration) {
	m.journal.WithLabelValues(outcome(err)).Observe(took.Seconds())
}

// DecisionsDropped counts decisions that cannot be explained later.
func (m *Metrics) DecisionsDropped(n int) { m.decisionsLost.Add(float64(n)) }

// JournalDropped counts a refusal's line that found no room in the queue.
func (m *Metrics) JournalDropped() { m.journalLost.Inc() }

// Sweep counts one sweep of the engine.
func (m *Metrics) Sweep(removed int, err error, took time.Duration) {
	m.swept.Add(float64(removed))
	m.sweep.WithLabelValues(outcome(err)).Observe(took.Seconds())
}

func outcome(err error) string {
	if err != nil {
		return failed
	}
	return ok
}
