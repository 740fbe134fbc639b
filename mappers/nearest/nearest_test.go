package nearest_test

import (
	"strings"
	"testing"

	"fedbroker/mappers/nearest"
)

func TestWord(t *testing.T) {
	known := []string{"issuer", "listen", "upstreams", "clients"}
	for word, want := range map[string]string{
		"isuer": "issuer", "lsiten": "listen", "upstream": "upstreams", "client": "clients", "issuer": "issuer",
		"planet": "", "": "", strings.Repeat("issuer", 20): "",
	} {
		if got, ok := nearest.Word(word, known); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %t, want %q", word, got, ok, want)
		}
	}
}

func TestName(t *testing.T) {
	known := []string{"repository_owner_id", "repository", "ref", "groups"}
	for word, want := range map[string]string{"group": "groups", "repository_owner": "repository_owner_id", "repo": "repository", "re": "", "xyz": "", "": ""} {
		if got, ok := nearest.Name(word, known); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
