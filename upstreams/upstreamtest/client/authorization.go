package client

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The response modes (OAuth 2.0 Form Post Response Mode §2).
const (
	ModeQuery    = "query"
	ModeFormPost = "form_post"
)

const challengeLen = 43 // base64url of SHA-256, characters (RFC 7636 §4.2)

// Problem is the error that the response to an authorization request has when it can't be served; an empty code: none. The redirect URI is
// checked before.
func (c Client) Problem(params url.Values) (code, description string) {
	get := params.Get
	for _, all := range params {
		if len(all) > 1 {
			return "invalid_request", "a parameter is repeated"
		}
	}
	prompt := strings.Fields(get("prompt"))
	_, badAge := strconv.ParseUint(get("max_age"), 10, 31)
	switch {
	case get("response_type") != "code":
		return "unsupported_response_type", "only code"
	case !slices.Contains([]string{"", ModeQuery, ModeFormPost}, get("response_mode")):
		return "invalid_request", "response_mode is query or form_post"
	case !slices.Contains(strings.Fields(get("scope")), "openid"):
		return "invalid_scope", "openid is missing"
	case get("code_challenge") == "" && (c.AuthMethod == MethodNone || params.Has("code_challenge_method")),
		get("code_challenge") != "" && (get("code_challenge_method") != "S256" || len(get("code_challenge")) != challengeLen):
		return "invalid_request", "the code challenge is not one of S256"
	case slices.Contains(prompt, "none") && len(prompt) > 1:
		return "invalid_request", "prompt none stands alone"
	case params.Has("max_age") && badAge != nil:
		return "invalid_request", "max_age is no number of seconds"
	case params.Has("request"):
		return "request_not_supported", "no request objects"
	case params.Has("request_uri"):
		return "request_uri_not_supported", "no request objects"
	}
	return "", ""
}
