package expr

import "testing"

func BenchmarkNewEnv(b *testing.B) {
	for b.Loop() {
		if _, err := NewEnv(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHolds(b *testing.B) {
	p, err := Compile(`claims.repository_owner_id == "123456" && claims.ref == "refs/heads/main"`, Options{ClaimTypes: map[string]Type{"repository_owner_id": String}})
	if err != nil {
		b.Fatal(err)
	}
	in := Input{Claims: map[string]any{"repository_owner_id": "123456", "ref": "refs/heads/main", "iat": int64(5)}}
	b.ReportAllocs()
	for b.Loop() {
		a, err := NewActivation(in)
		if err != nil {
			b.Fatal(err)
		}
		if ok, err := p.Holds(a); !ok {
			b.Fatal(err)
		}
	}
}
