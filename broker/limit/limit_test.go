package limit_test

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/broker/limit"
)

var start = time.Unix(1_800_000_000, 0)

func TestP49_BurstIsTenTimesTheRate(t *testing.T) {
	l := limit.New(limit.Client, "2/s")
	for i := range 20 {
		if wait := l.Take("a", start); wait != 0 {
			t.Fatalf("request %d waits %v", i, wait)
		}
	}
	if wait := l.Take("a", start); wait != 500*time.Millisecond {
		t.Errorf("beyond the burst: %v, want the time of one token", wait)
	}
	if wait := l.Take("b", start); wait != 0 {
		t.Errorf("another key waits %v", wait)
	}
}

func TestTake_WhoIsRefusedPaysNothing(t *testing.T) {
	l := limit.New(limit.Client, "1/s")
	for range 100 {
		l.Take("a", start)
	}
	if wait := l.Take("a", start.Add(time.Second)); wait != 0 {
		t.Errorf("after 90 refusals and a second: %v", wait)
	}
	if wait := l.Take("a", start.Add(time.Second)); wait != time.Second {
		t.Errorf("the next: %v", wait)
	}
}

func TestTake_ManyAtOnceGetNoMoreThanTheBurst(t *testing.T) {
	l := limit.New(limit.Client, "1/s")
	var passed atomic.Int64
	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			if l.Take("a", start) == 0 {
				passed.Add(1)
			}
		})
	}
	callers.Wait()
	if passed.Load() != 10 {
		t.Errorf("%d passed, want 10", passed.Load())
	}
}

func TestNew_OffUnlessWritten(t *testing.T) {
	s := limit.NewSet(limit.Spec{Anonymous: limit.DefaultAnonymous})
	if s.Client != nil || s.Address != nil || s.Subject != nil || s.Anonymous == nil {
		t.Errorf("%+v", s)
	}
	if wait := s.Client.Take("a", start); wait != 0 {
		t.Errorf("no limit: %v", wait)
	}
}

func TestTake_KeysAreBounded(t *testing.T) {
	l := limit.New(limit.Address, "1/s")
	for range 11 {
		l.Take("old", start)
	}
	for i := range 1 << 16 {
		l.Take(strconv.Itoa(i), start)
	}
	if wait := l.Take("old", start); wait != 0 {
		t.Errorf("the quietest key was kept: %v", wait)
	}
}

func TestAddressKey(t *testing.T) {
	key := func(s string) string { return limit.AddressKey(netip.MustParseAddr(s)) }
	if key("2001:db8:1:2::1") != key("2001:db8:1:2:ffff::9") {
		t.Error("one /64 has two keys")
	}
	if key("2001:db8:1:2::1") == key("2001:db8:1:3::1") {
		t.Error("two /64 have one key")
	}
	if key("192.0.2.1") == key("192.0.2.2") {
		t.Error("two IPv4 addresses have one key")
	}
	if limit.AddressKey(netip.Addr{}) == "" {
		t.Error("an address that is not known has no key")
	}
}

func TestCheck(t *testing.T) {
	var bad []string
	limit.Spec{Client: "10", Address: "x/s", Subject: "1000001/s", Anonymous: "-1/s"}.Check(func(path, _ string, _ ...any) { bad = append(bad, path) })
	if want := []string{"client", "address", "subject", "anonymous"}; !slices.Equal(bad, want) {
		t.Errorf("got %v, want %v", bad, want)
	}
	limit.Spec{Client: "1/s", Anonymous: "1000000/s"}.Check(func(path, format string, args ...any) { t.Errorf(path+": "+format, args...) })
}
