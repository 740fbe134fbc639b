package rp

import (
	"crypto/subtle"
	"net/url"
)

// maxCode is the length of the longest code that is taken, in bytes: real ones have up to 2 KiB.
const maxCode = 8 << 10

// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2).
const (
	paramCode        = "code"
	paramState       = "state"
	paramIssuer      = "iss"
	paramError       = "error"
	paramDescription = "error_description"
)

// Response is an authorization response to one attempt.
type Response struct {
	params url.Values
	issuer bool // it says whose answer it is
}

// Response judges what can be judged without the provider's document: nothing is repeated, the state is the attempt's, and an iss is the
// configured issuer, whether or not the provider promises to send one. Every error is an *Error of KindResponse.
func (c *Client) Response(a Attempt, params url.Values) (Response, error) {
	if !a.complete() {
		return Response{}, fault(KindResponse, "the attempt lacks state, nonce, verifier or redirect URI")
	}
	for _, values := range params {
		if len(values) != 1 {
			return Response{}, fault(KindResponse, "a parameter is repeated") // RFC 6749 §3.1
		}
	}
	if subtle.ConstantTimeCompare([]byte(params.Get(paramState)), []byte(a.State)) != 1 {
		return Response{}, fault(KindResponse, "state is not the attempt's")
	}
	r := Response{params: params, issuer: params.Has(paramIssuer)}
	if r.issuer && params.Get(paramIssuer) != c.o.Issuer {
		return Response{}, fault(KindResponse, "iss is another issuer")
	}
	return r, nil
}

// Code is what the response brings. A provider that promises iss must keep its word, in errors too, or an attacker could leave it out
// (RFC 9207 §2.4). Errors are of KindResponse, or what the provider answered: KindDenied, or KindUnavailable.
func (r Response) Code(doc Document) (string, error) {
	code, failed := r.params.Get(paramCode), r.params.Get(paramError)
	switch {
	case doc.ResponseIssuer && !r.issuer:
		return "", fault(KindResponse, "iss is missing, and the provider says that it sends it")
	case r.params.Has(paramError) && r.params.Has(paramCode):
		return "", fault(KindResponse, "a code and an error at once")
	case failed != "":
		return "", answered(KindDenied, failed, described(r.params.Get(paramDescription)))
	case code == "":
		return "", fault(KindResponse, "neither a code nor an error")
	case len(code) > maxCode || !visible(code):
		return "", fault(KindResponse, "the code is not one")
	}
	return code, nil
}

// visible says whether s has only characters of 0x20–0x7E (RFC 6749 appendix A).
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
