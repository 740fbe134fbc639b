package jose_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fedbroker/upstreams/jose"
)

const (
	goodHeader  = `{"alg":"ES256","kid":"k1"}`
	goodPayload = `{"iss":"https://idp.example","aud":"a","sub":"s","exp":1900000000,"iat":1800000000}`
)

// parts makes an unsigned token of texts.
func parts(header, payload string) string {
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64(make([]byte, 64))
}

func wantMalformed(t *testing.T, raw string) {
	t.Helper()
	_, err := jose.Parse(raw)
	if !errors.Is(err, jose.ErrMalformed) {
		t.Fatalf("got %v, want ErrMalformed", err)
	}
	if len(err.Error()) > 200 {
		t.Errorf("error text of %d bytes", len(err.Error()))
	}
}

func TestP14_CompactFormOnly(t *testing.T) {
	good := es256(goodPayload)
	parse(t, good)
	for name, raw := range map[string]string{
		"empty":              "",
		"one part":           "abc",
		"two parts":          good[:strings.LastIndex(good, ".")],
		"four parts":         good + ".abc",
		"five parts (JWE)":   good + ".abc.def",
		"JSON serialization": `{"payload":"e30","protected":"e30","signature":""}`,
		"leading space":      " " + good,
		"trailing newline":   good + "\n",
		"Bearer":             "Bearer " + good,
		"only dots":          "..",
	} {
		t.Run(name, func(t *testing.T) { wantMalformed(t, raw) })
	}
}

func TestP14_LengthIsJudgedFirst(t *testing.T) {
	wantMalformed(t, strings.Repeat("a", 10<<20))
	wantMalformed(t, parts(goodHeader, `{"a":"`+strings.Repeat("x", jose.MaxToken)+`"}`))
}

func TestP14_MillionDotsDoNotAllocate(t *testing.T) {
	for _, n := range []int{jose.MaxToken, 1e6} {
		dots := strings.Repeat(".", n)
		var before error
		allocs := testing.AllocsPerRun(10, func() { _, before = jose.Parse(dots) })
		if before == nil {
			t.Fatal("accepted")
		}
		if allocs > 12 { // a few for the error, none for the dots
			t.Errorf("%d dots: %v allocations", n, allocs)
		}
	}
}

func TestP14_Base64URLIsStrict(t *testing.T) {
	good := es256(goodPayload)
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	last := signature[len(signature)-1]
	for name, raw := range map[string]string{
		"padding":                  head + "." + payload + "." + signature + "==",
		"standard alphabet +":      head + "." + payload + ".+" + signature[1:],
		"standard alphabet /":      head + "." + payload + "./" + signature[1:],
		"newline in the header":    head[:4] + "\n" + head[4:] + "." + rest,
		"newline in the payload":   head + "." + payload[:4] + "\n" + payload[4:] + "." + signature,
		"newline in the signature": head + "." + payload + "." + signature[:4] + "\n" + signature[4:],
		"carriage return":          head + "." + payload + "." + signature[:4] + "\r" + signature[4:],
		"space":                    head + "." + payload + "." + signature[:4] + " " + signature[4:],
		"percent":                  head + "." + payload + "." + signature + "%3D",
		"set trailing bits":        head + "." + payload + "." + signature[:len(signature)-1] + string(last+1),
		"impossible length":        head + "." + payload + "." + signature + "AAA",
		"NUL":                      head + "." + payload + ".\x00" + signature[1:],
		"not ASCII":                head + "." + payload + ".é" + signature[2:],
	} {
		t.Run(name, func(t *testing.T) { wantMalformed(t, raw) })
	}
}

func TestP14_DuplicateMemberRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"header":              parts(`{"alg":"ES256","alg":"ES256"}`, goodPayload),
		"header, unread":      parts(`{"alg":"ES256","x":{"a":1,"a":1}}`, goodPayload),
		"payload":             parts(goodHeader, `{"iss":"a","iss":"b"}`),
		"payload, escaped":    parts(goodHeader, `{"iss":"a","\u0069ss":"b"}`),
		"payload, same value": parts(goodHeader, `{"x":1,"x":1}`),
		"payload, deep":       parts(goodHeader, `{"x":[{"y":{"z":1,"a":2,"z":3}}]}`),
		"payload, many":       parts(goodHeader, `{`+many(40)+`"n7":0}`),
	} {
		t.Run(name, func(t *testing.T) { wantMalformed(t, raw) })
	}
	parse(t, parts(goodHeader, `{`+many(40)+`"m":{"n7":0}}`)) // one name on two levels is no repetition
}

func many(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `"n%d":%d,`, i, i)
	}
	return s.String()
}

func TestP14_OneObjectOfValidJSON(t *testing.T) {
	for name, text := range map[string]string{
		"empty":               ``,
		"list":                `[]`,
		"null":                `null`,
		"string":              `"a"`,
		"cut off":             `{"a":1`,
		"trailing comma":      `{"a":1,}`,
		"comment":             `{"a":1/**/}`,
		"two objects":         `{"a":1}{"b":2}`,
		"trailing garbage":    `{"a":1}x`,
		"byte order mark":     "\ufeff" + `{"a":1}`,
		"NaN":                 `{"a":NaN}`,
		"leading zero":        `{"a":01}`,
		"plus":                `{"a":+1}`,
		"single quotes":       `{'a':1}`,
		"name without quotes": `{a:1}`,
		"name not a string":   `{1:1}`,
		"raw control":         "{\"a\":\"\x01\"}",
		"trailing NUL":        "{\"a\":1}\x00",
	} {
		t.Run(name, func(t *testing.T) {
			wantMalformed(t, parts(goodHeader, text))
			wantMalformed(t, parts(text, goodPayload))
		})
	}
	parse(t, parts(" {\"alg\" : \"ES256\"}\r\n", "\t"+goodPayload+"\n"))
}

func TestP14_BadUTF8Refused(t *testing.T) {
	for name, raw := range map[string]string{
		"value":            parts(goodHeader, "{\"sub\":\"a\xff\"}"),
		"unread, deep":     parts(goodHeader, "{\"x\":[{\"y\":\"\xc3\x28\"}]}"),
		"name":             parts(goodHeader, "{\"a\xfe\":1}"),
		"header":           parts("{\"alg\":\"ES256\",\"x\":\"\xff\"}", goodPayload),
		"overlong":         parts(goodHeader, "{\"sub\":\"\xc0\xaf\"}"),
		"surrogate":        parts(goodHeader, "{\"sub\":\"\xed\xa0\x80\"}"),
		"lone \\ud800":     parts(goodHeader, `{"sub":"\ud800"}`),
		"swapped \\u pair": parts(goodHeader, `{"sub":"\udc00\ud800"}`),
	} {
		t.Run(name, func(t *testing.T) { wantMalformed(t, raw) })
	}
	parse(t, parts(goodHeader, `{"sub":"\ud83d\ude00 é"}`))
}

func TestP14_MemberNamesAreExact(t *testing.T) {
	u := parse(t, parts(goodHeader, `{"ISS":"https://evil.example","Iss":"x","AUD":"a","Cnf":{},"EVENTS":{}}`))
	if u.UnverifiedIssuer() != "" || u.UnverifiedAudience() != nil {
		t.Errorf("got iss %q and aud %q from other names", u.UnverifiedIssuer(), u.UnverifiedAudience())
	}
	if u.Has(jose.MarkerConfirmation) || u.Class() != jose.ClassJWT {
		t.Error("a marker by another name counts")
	}
	wantMalformed(t, parts(`{"ALG":"ES256"}`, goodPayload))
	u = parse(t, parts(goodHeader, `{"\u0069ss":"https://idp.example"}`))
	if u.UnverifiedIssuer() != issuer {
		t.Errorf("an escaped name is the same name: got iss %q", u.UnverifiedIssuer())
	}
}

func TestP14_DepthIsBounded(t *testing.T) {
	nested := func(n int, open, end string) string { return strings.Repeat(open, n) + "1" + strings.Repeat(end, n) }
	parse(t, parts(goodHeader, `{"a":`+nested(31, "[", "]")+`}`))
	parse(t, parts(goodHeader, `{"a":"`+strings.Repeat("[{\\\"", 500)+`"}`)) // inside a string nothing nests
	wantMalformed(t, parts(goodHeader, `{"a":`+nested(32, "[", "]")+`}`))
	wantMalformed(t, parts(goodHeader, `{"a":`+nested(32, `{"b":`, "}")+`}`))
	wantMalformed(t, parts(goodHeader, `{"a":`+nested(5000, "[", "]")+`}`))
	wantMalformed(t, parts(`{"alg":"ES256","a":`+nested(40, "[", "]")+`}`, goodPayload))
}

func TestP14_CritRefusedWhateverItLists(t *testing.T) {
	for _, crit := range []string{`["exp"]`, `["b64"]`, `[]`, `null`, `"x"`, `["https://x.example/y"]`} {
		wantMalformed(t, compact(`{"alg":"ES256","kid":"k1","crit":`+crit+`,"b64":true,"exp":1}`, goodPayload, "ES256", testKeys().p256))
	}
}

func TestP14_EncryptionCompressionAndUnencodedRefused(t *testing.T) {
	for _, member := range []string{`"zip":"DEF"`, `"enc":"A256GCM"`, `"b64":false`, `"b64":true`} {
		wantMalformed(t, compact(`{"alg":"ES256","kid":"k1",`+member+`}`, goodPayload, "ES256", testKeys().p256))
	}
}

func TestP14_HeaderMembersHaveTheirTypes(t *testing.T) {
	for _, header := range []string{`{}`, `{"alg":""}`, `{"alg":null}`, `{"alg":256}`, `{"alg":["ES256"]}`,
		`{"alg":"ES256","kid":1}`, `{"alg":"ES256","kid":null}`, `{"alg":"ES256","typ":["JWT"]}`} {
		wantMalformed(t, parts(header, goodPayload))
	}
}

func TestP14_IssuerAndAudienceHaveTheirTypes(t *testing.T) {
	for _, payload := range []string{`{"iss":1}`, `{"iss":null}`, `{"iss":["a"]}`, `{"aud":1}`, `{"aud":null}`, `{"aud":{}}`, `{"aud":["a",1]}`,
		`{"aud":["a",null]}`, `{"aud":[["a"]]}`} {
		wantMalformed(t, parts(goodHeader, payload))
	}
	for payload, want := range map[string][]string{`{"aud":"a"}`: {"a"}, `{"aud":["a","b"]}`: {"a", "b"}, `{"aud":[]}`: {}} {
		if got := parse(t, parts(goodHeader, payload)).UnverifiedAudience(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", payload, got, want)
		}
	}
}

func TestP14_ErrorsQuoteNothing(t *testing.T) {
	const secret = "hunter2"
	for _, raw := range []string{
		parts(goodHeader, `{"`+secret+`":1,"`+secret+`":2}`),
		parts(goodHeader, `{"iss":{"`+secret+`":1}}`),
		parts(goodHeader, `{"a":"`+secret),
		parts(goodHeader, `{"`+secret+`\ud800":1}`),
		parts(`{"alg":"ES256","crit":["`+secret+`"]}`, goodPayload),
		secret + "." + secret + "." + secret + "\n",
	} {
		if _, err := jose.Parse(raw); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
}

func TestP14_HashIsOfTheSigningInput(t *testing.T) {
	a, b := es256(goodPayload), es256(goodPayload)
	if a == b {
		t.Fatal("ECDSA signatures repeat")
	}
	ua, ub := parse(t, a), parse(t, b)
	if ua.Hash() != ub.Hash() || ua.TokenID() != ub.TokenID() {
		t.Error("another signature of the same content is another token")
	}
	other := parse(t, es256(strings.Replace(goodPayload, `"s"`, `"t"`, 1)))
	if ua.Hash() == other.Hash() || ua.TokenID() == other.TokenID() {
		t.Error("two contents, one name")
	}
	if len(ua.TokenID()) != 22 {
		t.Errorf("token id %q", ua.TokenID())
	}
}
