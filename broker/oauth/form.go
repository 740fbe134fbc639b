package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxParameters bounds what one form may hold; the longest real request has about fifteen, audiences apart.
const maxParameters = 64

// Form holds the parameters of a request, each without a value left out (RFC 6749 §3.1) and none repeated but audience
// and resource (RFC 8693 §2.1).
type Form map[string][]string

// Get returns the value of a parameter, "" if absent.
func (f Form) Get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// All returns every value of a parameter, in order.
func (f Form) All(name string) []string { return f[name] }

// Has tells whether the parameter was sent with a value.
func (f Form) Has(name string) bool { return len(f[name]) > 0 }

// ParseForm reads an application/x-www-form-urlencoded body strictly. Every error is an invalid_request *Error.
func ParseForm(body string) (Form, error) {
	refuse := Deny(CodeInvalidRequest, ReasonFormRules)
	if strings.Count(body, "&") >= maxParameters {
		return nil, refuse.Because(fmt.Errorf("more than %d parameters", maxParameters))
	}
	// url.ParseQuery refuses semicolons and broken percent-encoding.
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, refuse.Because(errors.New("body is not a form")) // its error quotes the input
	}
	form := make(Form, len(values))
	for name, all := range values {
		if len(all) > 1 && name != ParamAudience && name != ParamResource {
			return nil, refuse.Because(errors.New("repeated parameter"))
		}
		if !clean(name) {
			return nil, refuse.Because(errors.New("parameter name is not clean UTF-8"))
		}
		for _, v := range all {
			if !clean(v) {
				return nil, refuse.Because(errors.New("parameter value is not clean UTF-8"))
			}
			if v != "" {
				form[name] = append(form[name], v)
			}
		}
	}
	return form, nil
}

// clean: valid UTF-8 without NUL (RFC 6749 Appendix B, A: VSCHAR, UNICODECHARNOCRLF).
func clean(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
