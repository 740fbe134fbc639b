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
