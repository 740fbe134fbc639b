package broker

import (
	"context"

	"fedbroker/broker/keyring"
)

// Readiness says whether requests can be answered. An upstream that is down does not make the broker unready: others are not.
type Readiness struct {
	Ready     bool   `json:"ready"`
	Parts     []Part `json:"parts"`
	Upstreams []Part `json:"upstreams"`
}

// WithoutCauses is r for those who passed no lock: which part is not ready, and what is known of each upstream, but not why a part of our
// own fails, which names files.
func (r Readiness) WithoutCauses() Readiness {
	parts := make([]Part, len(r.Parts))
	for i, p := range r.Parts {
		parts[i] = Part{Name: p.Name, OK: p.OK}
	}
	r.Parts = parts
	return r
}

// Part is one thing that can be ready. Detail is one line for the operator.
type Part struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Ready looks at everything that an answer needs. It is cheap enough to be asked every second.
func (b *Broker) Ready(ctx context.Context) Readiness {
	s := b.snap.Load()
	r := Readiness{Ready: true, Parts: []Part{
		part("engine", b.engine.Ping(ctx)),
		part("journal", b.record.Journal.Err()),
		part("revocations", b.revoked.Fresh()),
		part("signing_keys", b.signs()),
	}, Upstreams: []Part{}}
	for _, p := range r.Parts {
		r.Ready = r.Ready && p.OK
	}
	r.Parts = append(r.Parts, b.reloads.part()) // what was refused keeps nothing from being answered by what was there before
	for _, u := range s.Upstreams.Ready() {
		r.Upstreams = append(r.Upstreams, Part{Name: u.Name, OK: u.OK, Detail: u.Detail})
	}
	return r
}

// signs: access tokens are what this broker issues, and ES256 signs them.
func (b *Broker) signs() error {
	_, err := b.keyring.Signing(keyring.ES256)
	return err
}

func part(name string, err error) Part {
	if err != nil {
		return Part{Name: name, Detail: err.Error()}
	}
	return Part{Name: name, OK: true}
}
