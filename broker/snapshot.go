package broker

import (
	"maps"
	"slices"

	"fedbroker/broker/grants"
	"fedbroker/broker/login"
	"fedbroker/broker/metadata"
	"fedbroker/broker/snapshot"
)

// served is a snapshot with what needs the broker's state: what a request takes once.
type served struct {
	*snapshot.Snapshot
	grants   map[string]grants.Grant // by wire name
	login    *login.Service
	metadata metadata.Document
}

// complete adds what needs the broker's state.
func (b *Broker) complete(s *served) error {
	logins, err := b.completeLogins(s)
	if err != nil {
		return err
	}
	s.grants = grants.Table(grants.Deps{
		Issuer: s.Config.Issuer, Policy: s.Policy, Upstreams: s.Upstreams, Chains: s.Chains, Own: b.opener, Revoked: b.revoked, Logins: logins,
		SubjectClaims: s.subjectClaims,
	})
	s.metadata, err = metadata.New(metadata.Options{
		Issuer: s.Config.Issuer, Algorithms: s.Config.Signing.Algorithms, Grants: slices.Collect(maps.Keys(s.grants)),
		Scopes: s.Scopes.Names(), Claims: s.Scopes.AllClaims(), IDJAG: len(s.Config.ResourceServers) > 0,
	})
	return err
}

// subjectClaims are the claims that name an upstream's subjects.
func (s *served) subjectClaims(upstream string) []string {
	spec, _ := s.Upstreams.Effective(upstream)
	return spec.Subject
}
