package outbound

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestP43_SpecialAddressesAreRefused(t *testing.T) {
	c := client(t, Options{})
	for kind, addrs := range map[string][]string{
		"loopback":              {"127.0.0.1", "127.255.255.254", "::1"},
		"private":               {"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"},
		"link-local":            {"169.254.169.254", "fe80::1", "fe80::1%eth0"},
		"carrier-grade NAT":     {"100.64.0.1", "100.127.255.255"},
		"unique local":          {"fc00::1", "fd12:3456::1"},
		"multicast":             {"224.0.0.1", "239.255.255.255", "ff02::1"},
		"unspecified":           {"0.0.0.0", "0.1.2.3", "::"},
		"broadcast":             {"255.255.255.255"},
		"reserved":              {"240.0.0.1"},
		"benchmark":             {"198.18.0.1", "198.19.255.255"},
		"documentation":         {"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"},
		"NAT64":                 {"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"},
		"6to4":                  {"2002:7f00:1::1", "2002:0a00:0001::"},
		"Teredo":                {"2001::1"},
		"protocol assignment":   {"192.0.0.1", "2001:2::1"},
		"6to4 relay":            {"192.88.99.1"},
		"not globally routed":   {"100::1", "fec0::1", "4000::1", "5f00::1", "::7f00:1"},
		"IPv4-mapped":           {"::ffff:8.8.8.8"},
		"loopback, mapped":      {"::ffff:127.0.0.1"},
		"link-local, mapped":    {"::ffff:169.254.169.254"},
		"private, mapped":       {"::ffff:10.0.0.1"},
		"unspecified, mapped":   {"::ffff:0.0.0.0"},
		"carrier-grade NAT, v6": {"::ffff:100.64.0.1"},
	} {
		for _, addr := range addrs {
			got := c.judge("idp.example", netip.MustParseAddr(addr))
			if want, _, _ := strings.Cut(kind, ","); got != want {
				t.Errorf("%s: got %q, want %q", addr, got, want)
			}
		}
	}
	for _, addr := range []string{"8.8.8.8", "1.1.1.1", "172.32.0.1", "172.15.255.255", "100.63.255.255", "100.128.0.1", "192.167.255.255", "223.255.255.255",
		"2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"} {
		if got := c.judge("idp.example", netip.MustParseAddr(addr)); got != "" {
			t.Errorf("%s is public: got %q", addr, got)
		}
	}
}

func TestP43_AllowPrivateIsForThatHostOnly(t *testing.T) {
	c := client(t, Options{AllowPrivate: []string{"IdP.internal.", "10.0.0.1", "[fd00::1]", "169.254.1.1", "0.0.0.0"}})
	for _, tc := range []struct {
		host, addr string
		refused    bool
	}{
		{"idp.internal", "10.9.9.9", false},
		{"idp.internal", "127.0.0.1", false},
		{"idp.internal", "fd00::7", false},
		{"idp.internal", "::ffff:10.0.0.1", false},
		{"idp.internal", "169.254.169.254", true}, // a name never leads to link-local
		{"idp.internal", "::ffff:169.254.169.254", true},
		{"idp.internal", "64:ff9b::a9fe:a9fe", true},
		{"idp.internal", "0.0.0.0", true},
		{"idp.internal", "224.0.0.1", true},
		{"other.internal", "10.9.9.9", true},
		{"other.internal", "10.0.0.1", true}, // the address is allowed where the URL says it
		{"sub.idp.internal", "10.9.9.9", true},
		{"10.0.0.1", "10.0.0.1", false},
		{"10.0.0.2", "10.0.0.2", true},
		{"fd00::1", "fd00::1", false},
		{"fd00::2", "fd00::2", true},
		{"169.254.1.1", "169.254.1.1", false},
		{"169.254.169.254", "169.254.169.254", true},
		{"0.0.0.0", "0.0.0.0", true},
	} {
		if got := c.judge(tc.host, netip.MustParseAddr(tc.addr)); (got != "") != tc.refused {
			t.Errorf("%s at %s: got %q", tc.host, tc.addr, got)
		}
	}
}

func TestP43_LoopbackIssuersImplyLoopbackOnly(t *testing.T) {
	c := client(t, Options{Loopback: true})
	for host, addrs := range map[string]map[string]bool{
		"127.0.0.1":    {"127.0.0.1": true},
		"::1":          {"::1": true},
		"localhost":    {"127.0.0.1": true, "::1": true, "10.0.0.1": false, "169.254.169.254": false},
		"idp.example":  {"127.0.0.1": false, "::1": false},
		"10.0.0.1":     {"10.0.0.1": false},
		"127.0.0.2":    {"127.0.0.2": false},
		"a.localhost":  {"127.0.0.1": false},
		"localhost.cc": {"127.0.0.1": false},
	} {
		for addr, ok := range addrs {
			if got := c.judge(host, netip.MustParseAddr(addr)); (got == "") != ok {
				t.Errorf("%s at %s: got %q", host, addr, got)
			}
		}
	}
}

func TestP43_TheAddressDialledIsJudgedAfterDNS(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"} {
		c := client(t, Options{})
		c.resolver = resolver(addr)
		_, _, err := c.GetJSON(t.Context(), "https://public.example/jwks", Get{})
		if e := wantClass(t, err, ClassAddress); !strings.Contains(e.Error(), addr) || e.Host != "public.example" {
			t.Errorf("got %v", e)
		}
	}
}

func TestP43_AllowPrivateAdmitsWhatTheNameResolvesTo(t *testing.T) {
	s := server(t, true, jsonBody(`{"a":1}`))
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	c := client(t, Options{AllowPrivate: []string{"example.com"}, CAFile: caFile(t, s)}) // httptest's certificate names it
	c.resolver = resolver("127.0.0.1")
	if body, _, err := c.GetJSON(t.Context(), "https://example.com"+port, Get{}); err != nil || string(body) != `{"a":1}` {
		t.Fatalf("got %q, %v", body, err)
	}
	c = client(t, Options{AllowPrivate: []string{"other.example"}, CAFile: caFile(t, s)})
	c.resolver = resolver("127.0.0.1")
	_, _, err := c.GetJSON(t.Context(), "https://example.com"+port, Get{})
	wantClass(t, err, ClassAddress)
}

func TestP43_LoopbackIsRefusedWithoutException(t *testing.T) {
	var asked atomic.Bool
	s := server(t, false, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	for _, u := range []string{s.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)} {
		_, _, err := client(t, Options{}).GetJSON(t.Context(), u, Get{})
		wantClass(t, err, ClassAddress)
	}
	if asked.Load() {
		t.Error("connected")
	}
}

func TestP43_HTTPSOrHTTPOnLoopbackNames(t *testing.T) {
	for raw, ok := range map[string]bool{
		"https://idp.example":          true,
		"https://idp.example:8443/a?b": true,
		"HTTPS://idp.example":          true,
		"https://10.0.0.1":             true, // the address is judged when dialled
		"http://127.0.0.1:80":          true,
		"http://[::1]:80/x":            true,
		"http://localhost":             true,
		"http://LOCALHOST":             true,
		"http://idp.example":           false,
		"http://127.0.0.2":             false,
		"http://localhost.evil.com":    false,
		"http://127.0.0.1.evil.com":    false,
		"http://a.localhost":           false,
		"http://127.1":                 false,
		"http://0x7f000001":            false,
		"http://2130706433":            false,
		"http://[::ffff:127.0.0.1]":    false,
		"http://0.0.0.0":               false,
		"ftp://idp.example":            false,
		"file:///etc/passwd":           false,
		"//idp.example":                false,
		"idp.example":                  false,
		"":                             false,
		"https://":                     false,
		"https://:443":                 false,
		"https://u:p@idp.example":      false,
		"https://u@idp.example":        false,
		"https://idp.example#f":        false,
		"https://idp.example/#":        false,
		"https://idp.example:port":     false,
		"http://127.0.0.1@evil.com":    false,
		"https://idp.example/\n":       false,
	} {
		if err := CheckURL(raw); (err == nil) != ok {
			t.Errorf("%q: got %v", raw, err)
		}
	}
	// Also where a library made the URL.
	c := local(t)
	for _, raw := range []string{"http://idp.example/", "https://u:secret@127.0.0.1/"} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.HTTP().Do(&http.Request{Method: http.MethodGet, URL: u})
		wantClass(t, err, ClassURL)
	}
}
