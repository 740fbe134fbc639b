package broker

import (
	"fmt"
	"slices"

	"fedbroker/broker/settings"
	"fedbroker/broker/snapshot"
)

// What the configuration file says to the broker; see settings.
type (
	Config       = settings.Config
	UpstreamSpec = settings.UpstreamSpec
	SigningSpec  = settings.SigningSpec
	TokensSpec   = settings.TokensSpec
	SessionsSpec = settings.SessionsSpec

	ResourceServerSpec = settings.ResourceServerSpec
)

// Report takes one problem; see snapshot.
type Report = snapshot.Report

// Check judges and compiles the whole configuration without I/O. Either report may be nil.
func Check(c Config, bad, warn Report) {
	snapshot.Compile(c, snapshot.Parts{}, orSilent(bad), orSilent(warn))
}

// Unserved lists the keys and grant types of a configuration that are judged, but that nothing serves yet, one text each, sorted.
func Unserved(c Config) []string {
	var out []string
	for i, u := range c.Upstreams {
		for _, key := range u.Unserved() {
			out = append(out, fmt.Sprintf("upstreams[%d].%s", i, key))
		}
	}
	for i, cl := range c.Clients {
		for _, key := range cl.Unserved() {
			out = append(out, fmt.Sprintf("clients[%d].%s", i, key))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func orSilent(r Report) Report {
	if r == nil {
		return func(string, string, ...any) {}
	}
	return r
}
