package page

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
)

// maxPage is more than any of these pages has, in bytes.
const maxPage = 1 << 20

var (
	formPattern   = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	hiddenPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// SentTo reads where an answer sends the browser: by redirect, or by its form, with the hidden fields. It closes the body,
// and reads this package's pages only.
func SentTo(resp *http.Response) (target string, form url.Values, err error) {
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 3 {
		location, err := resp.Location()
		if err != nil {
			return "", nil, err
		}
		return location.String(), nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return "", nil, err
	}
	found := formPattern.FindSubmatch(body)
	if resp.StatusCode != http.StatusOK || found == nil {
		return "", nil, fmt.Errorf("identity provider shows a page: %s: %s", resp.Status, title(body))
	}
	action, err := resp.Request.URL.Parse(html.UnescapeString(string(found[1])))
	if err != nil {
		return "", nil, err
	}
	form = url.Values{}
	for _, field := range hiddenPattern.FindAllSubmatch(body, -1) {
		form.Add(html.UnescapeString(string(field[1])), html.UnescapeString(string(field[2])))
	}
	return action.String(), form, nil
}

var titlePattern = regexp.MustCompile(`<title>([^<]*)</title>`)

func title(body []byte) string {
	if found := titlePattern.FindSubmatch(body); found != nil {
		return html.UnescapeString(string(found[1]))
	}
	return ""
}
