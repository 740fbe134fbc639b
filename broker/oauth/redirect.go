package oauth

import (
	"net/url"
	"strings"
)

// AddQuery adds parameters, in their order, to a URI whose own query it keeps (RFC 6749 §3.1.2).
func AddQuery(uri string, params [][2]string) string {
	separator := "?"
	if _, query, has := strings.Cut(uri, "?"); has {
		if separator = "&"; query == "" || strings.HasSuffix(query, "&") {
			separator = ""
		}
	}
	return uri + separator + EncodeQuery(params)
}

// EncodeQuery is the query of parameters, in their order.
func EncodeQuery(params [][2]string) string {
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p[0]) + "=" + url.QueryEscape(p[1]))
	}
	return b.String()
}
