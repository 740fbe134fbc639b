package operator

import (
	"context"
	"time"
)

// What ends the verification with known keys.
const (
	EndsByMaxStale = "max_stale"
	EndsByPin      = "pin"
)

// Outage is what an outage of an upstream that began now would mean, by the state of now.
type Outage struct {
	Upstream string    `json:"upstream"`
	State    string    `json:"state"`
	At       time.Time `json:"at"`
	// Survives is how long tokens under known keys verify on, in seconds; 0: they do not now.
	Survives int64       `json:"survives_seconds"`
	Until    time.Time   `json:"until,omitzero"`
	EndsBy   string      `json:"ends_by,omitempty"` // max_stale or pin
	Keys     []OutageKey `json:"keys"`
	// Issuers of a pattern that were met: what survives is as long as for the first of them.
	Issuers []IssuerOutage `json:"issuers,omitempty"`
	Restart bool           `json:"survives_restart"` // the keys are in the store
	Login   bool           `json:"login_stops"`      // nobody can log in from the first moment
	Opaque  bool           `json:"introspection_stops"`
}

// OutageKey is how long one key serves.
type OutageKey struct {
	KeyID  string    `json:"kid"`
	Until  time.Time `json:"until"`
	EndsBy string    `json:"ends_by"`
}

// IssuerOutage is how long the keys of one issuer of a pattern serve.
type IssuerOutage struct {
	Issuer string    `json:"issuer"`
	Until  time.Time `json:"until"`
}

// DrillOutage says what would happen if the upstream could not be reached from now on. It changes nothing and asks nobody.
func (o *Operator) DrillOutage(ctx context.Context, name string) (Outage, error) {
	u, err := o.Upstream(ctx, name)
	if err != nil {
		return Outage{}, err
	}
	now := o.o.Now()
	out := Outage{Upstream: name, State: u.State, At: now, Keys: []OutageKey{}}
	spec, _ := o.o.Upstreams().Effective(name)
	info, _ := o.o.Upstreams().Info(name)
	out.Login, out.Opaque = info.Login, spec.Introspection != nil
	if u.State == StateByIssuer {
		out.drillMet(u.Issuers)
		return out, nil
	}
	if u.State == StateKeyless {
		return out, nil
	}
	if spec.JWKSFile+spec.CertificatesFile != "" {
		return Outage{}, badAct("the keys of %s are in a file of yours: an outage does not touch them", name)
	}
	out.Restart = len(u.Keys) > 0
	for _, k := range u.Keys {
		key := OutageKey{KeyID: k.KeyID, Until: u.ServesUntil, EndsBy: EndsByMaxStale}
		if k.PinnedUntil.After(key.Until) {
			key.Until, key.EndsBy = k.PinnedUntil, EndsByPin
		}
		if !key.Until.After(now) {
			continue
		}
		out.Keys = append(out.Keys, key)
		if key.Until.After(out.Until) {
			out.Until, out.EndsBy = key.Until, key.EndsBy
		}
	}
	if len(out.Keys) > 0 {
		out.Survives = int64(out.Until.Sub(now) / time.Second)
	}
	return out, nil
}
