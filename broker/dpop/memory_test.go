package dpop

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/broker/oauth"
)

func TestP25_AProofServesOnce(t *testing.T) {
	c, p := newChecker(t), newProver(t)
	proof := p.proof(nil, nil)
	for i, want := range []oauth.Code{"", oauth.CodeInvalidDPoPProof, oauth.CodeInvalidDPoPProof} {
		w := Want{Method: "POST", URL: endpoint, Now: noon.Add(time.Duration(i) * time.Second)}
		if _, err := c.Check([]string{proof}, w); code(err) != want {
			t.Errorf("use %d: %v, want %q", i+1, err, want)
		}
	}
}

// A signature can be written in more ways than one, and claims, too: it is the jti that is spent.
func TestP25_AnotherProofWithTheSameJTIIsTheSame(t *testing.T) {
	c, p := newChecker(t), newProver(t)
	for i, wanted := range []oauth.Code{"", oauth.CodeInvalidDPoPProof} {
		if _, err := c.Check([]string{p.proof(nil, members{"jti": "once", "x": i, "htu": []string{endpoint, endpoint + "?"}[i]})}, want()); code(err) != wanted {
			t.Errorf("use %d: %v, want %q", i+1, err, wanted)
		}
	}
}

// RFC 9449 §11.1: a jti is one key's, at one address.
func TestP25_AJTIIsRememberedPerKeyAndAddress(t *testing.T) {
	c, p, other := newChecker(t), newProver(t), newProver(t)
	userinfo := want()
	userinfo.URL = "https://login.example.com/userinfo"
	for name, one := range map[string]struct {
		proof string
		w     Want
	}{
		"one":             {p.proof(nil, members{"jti": "j"}), want()},
		"another key":     {other.proof(nil, members{"jti": "j"}), want()},
		"another address": {p.proof(nil, members{"jti": "j", "htu": userinfo.URL}), userinfo},
		"another jti":     {p.proof(nil, members{"jti": "k"}), want()},
	} {
		if _, err := c.Check([]string{one.proof}, one.w); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A proof is remembered for as long as any clock within the leeway lets it pass.
func TestP25_ProofsAreRememberedUntilTheyAreTooOld(t *testing.T) {
	p := newProver(t)
	for first := -leeway; first <= maxAge+leeway; first += 10 * time.Second { // after iat
		for _, other := range []time.Duration{0, time.Second, 45 * time.Second, 89 * time.Second, 119 * time.Second} { // when the memory's sets began
			c := newChecker(t)
			at := func(d time.Duration) Want { return Want{Method: "POST", URL: endpoint, Now: noon.Add(d)} }
			if _, err := c.Check([]string{p.proof(nil, members{"iat": noon.Add(first - other).Unix()})}, at(first-other)); err != nil {
				t.Fatal(err)
			}
			proof := p.proof(nil, nil)
			if _, err := c.Check([]string{proof}, at(first)); err != nil {
				t.Fatal(err)
			}
			for again := first; again <= maxAge+leeway; again += 5 * time.Second {
				_, _ = c.Check([]string{p.proof(nil, members{"iat": noon.Add(again).Unix()})}, at(again)) // others keep coming
				if _, err := c.Check([]string{proof}, at(again)); code(err) != oauth.CodeInvalidDPoPProof {
					t.Fatalf("first %v, again %v after iat: %v", first, again, err)
				}
			}
		}
	}
}

// What is too old makes room; before that nothing does.
func TestP25_AFullMemoryRefusesAndForgetsNothing(t *testing.T) {
	c, p := newChecker(t, func(o *Options) { o.Capacity = 2 }), newProver(t)
	proofs := []string{p.proof(nil, nil), p.proof(nil, nil)}
	for _, proof := range proofs {
		if _, err := c.Check([]string{proof}, want()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Check([]string{p.proof(nil, nil)}, want())
	if e := oauth.AsError(err); e.Code != oauth.CodeTemporarilyUnavailable || e.RetryAfter == 0 {
		t.Errorf("a third: %v", err)
	}
	for _, proof := range proofs {
		if _, err := c.Check([]string{proof}, want()); code(err) != oauth.CodeInvalidDPoPProof {
			t.Errorf("one of the first again: %v", err)
		}
	}
	later := want()
	later.Now = noon.Add(2 * (maxAge + 2*leeway))
	if _, err := c.Check([]string{p.proof(nil, members{"iat": later.Now.Unix()})}, later); err != nil {
		t.Errorf("after two spans: %v", err)
	}
}

func TestP25_AProofThatIsRefusedIsNotSpent(t *testing.T) {
	c, p := newChecker(t), newProver(t)
	proof, elsewhere := p.proof(nil, nil), want()
	elsewhere.Method = "GET"
	if _, err := c.Check([]string{proof}, elsewhere); code(err) != oauth.CodeInvalidDPoPProof {
		t.Fatal(err)
	}
	if _, err := c.Check([]string{proof}, want()); err != nil {
		t.Error(err)
	}
}

func TestP25_OneOfManyAtOnceWins(t *testing.T) {
	const callers = 16
	c, proof := newChecker(t), newProver(t).proof(nil, nil)
	var held atomic.Int32
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := c.Check([]string{proof}, want()); err == nil {
				held.Add(1)
			}
		})
	}
	all.Wait()
	if held.Load() != 1 {
		t.Errorf("%d held", held.Load())
	}
}

// Whoever proves nothing else can fill no memory but that of their like, and a proof that one memory has is used for the other, too.
func TestP25_StrangersFillTheirOwnMemory(t *testing.T) {
	c, p := newChecker(t, func(o *Options) { o.Capacity = 4 }), newProver(t)
	nobody := want()
	nobody.Nobody = true
	theirs := p.proof(nil, nil)
	if _, err := c.Check([]string{theirs}, nobody); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Check([]string{p.proof(nil, nil)}, nobody); code(err) != oauth.CodeTemporarilyUnavailable {
		t.Errorf("their second: %v", err)
	}
	ours := p.proof(nil, nil)
	if _, err := c.Check([]string{ours}, want()); err != nil {
		t.Errorf("a client's, while theirs is full: %v", err)
	}
	if _, err := c.Check([]string{theirs}, want()); code(err) != oauth.CodeInvalidDPoPProof {
		t.Errorf("theirs by a client: %v", err)
	}
	if _, err := c.Check([]string{ours}, nobody); code(err) != oauth.CodeInvalidDPoPProof {
		t.Errorf("a client's by nobody: %v", err)
	}
}

// Who brings a proof by one memory while another brings it by the other is not taken beside them.
func TestP25_OneProofByBothMemoriesAtOnceServesOnce(t *testing.T) {
	const marks = 1 << 16
	c := newChecker(t)
	taken := make([]atomic.Int32, marks)
	var all sync.WaitGroup
	for _, nobody := range []bool{false, true} {
		all.Go(func() {
			for i := range taken {
				if c.remember(mark{byte(i), byte(i >> 8)}, Want{Now: noon, Nobody: nobody}) == added {
					taken[i].Add(1)
				}
			}
		})
	}
	all.Wait()
	for i := range taken {
		if taken[i].Load() > 1 {
			t.Fatalf("mark %d was taken by both", i)
		}
	}
}
