package dpop

import "testing"

func TestP25_AddressesAreComparedInTheirNormalForm(t *testing.T) {
	for _, c := range []struct{ section, text, want string }{
		{"RFC 3986 §6.2.2.1", "HTTPS://Login.EXAMPLE.com/Token", "https://login.example.com/Token"},
		{"RFC 3986 §6.2.2.1", "https://h/%c3%bc", "https://h/%C3%BC"},
		{"RFC 3986 §6.2.2.2", "https://h/%7Ea%2Db%5F", "https://h/~a-b_"},
		{"RFC 3986 §6.2.2.2", "https://h/a%2Fb", "https://h/a%2Fb"},
		{"RFC 3986 §6.2.2.2", "https://h/%2525", "https://h/%2525"},
		{"RFC 3986 §6.2.2.3", "https://h/a/./b/../c", "https://h/a/c"},
		{"RFC 3986 §6.2.2.3", "https://h/../../a", "https://h/a"},
		{"RFC 3986 §6.2.2.3", "https://h/a/..", "https://h/"},
		{"RFC 3986 §6.2.2.3", "https://h/a/.", "https://h/a/"},
		{"RFC 3986 §6.2.2.3", "https://h/%2e%2E/a", "https://h/a"},
		{"RFC 3986 §6.2.2.3", "https://h/a//b/.c/..d", "https://h/a//b/.c/..d"},
		{"RFC 3986 §6.2.3", "https://h", "https://h/"},
		{"RFC 3986 §6.2.3", "https://h:443/a", "https://h/a"},
		{"RFC 3986 §6.2.3", "https://h:/a", "https://h/a"},
		{"RFC 3986 §6.2.3", "http://h:80", "http://h/"},
		{"RFC 3986 §6.2.3", "http://h:443/", "http://h:443/"},
		{"RFC 3986 §6.2.3", "https://[::1]:443/a", "https://[::1]/a"},
		{"RFC 3986 §6.2.3", "https://[::443]/a", "https://[::443]/a"},
		{"RFC 3986 §6.2.3", "https://h/a/", "https://h/a/"},
		{"RFC 9449 §4.3", "https://h/a?b=c#d", "https://h/a"},
		{"none", "", ""},
		{"none", "/token", ""},
		{"none", "h/token", ""},
		{"none", "ftp://h/", ""},
		{"none", "https:///a", ""},
		{"none", "https://:443/a", ""},
		{"none", "https:h", ""},
		{"none", "https://user@h/", ""},
		{"none", "https://h/ü", ""},
		{"none", "https://%68/", ""},
		{"none", "https://%80", ""},
		{"none", "https://[fe80::1%25eth0]/", ""},
		{"none", "https://h/a b", ""},
		{"none", "https://h/%zz", ""},
		{"none", "https://h:port/", ""},
		{"none", "https://\u212a/", ""}, // the Kelvin sign, which is k in lower case
	} {
		got, err := normalURL(c.text)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q is %q, %v, want %q", c.section, c.text, got, err, c.want)
		}
	}
}
