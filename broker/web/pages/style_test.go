package pages_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	minText    = 4.5 // WCAG 2.2 section 1.4.3
	minControl = 3.0 // WCAG 2.2 section 1.4.11: borders of fields, the focus ring
)

var variable = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)

// style is the style that a page carries.
func style(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(string(render(t)["chooser"].HTML), "<style>")
	text, _, found := strings.Cut(rest, "</style>")
	if !found {
		t.Fatal("no style in the page")
	}
	return text
}

// schemes reads the colours of the light and of the dark scheme.
func schemes(t *testing.T) map[string]map[string]float64 {
	t.Helper()
	light, rest, _ := strings.Cut(style(t), "@media (prefers-color-scheme: dark)")
	dark, _, _ := strings.Cut(rest, "*, ::before")
	out := map[string]map[string]float64{"light": {}, "dark": {}}
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			out[scheme][m[1]] = luminance(t, m[2])
		}
	}
	if len(out["light"]) == 0 || len(out["light"]) != len(out["dark"]) {
		t.Fatalf("%d colours in light, %d in dark", len(out["light"]), len(out["dark"]))
	}
	return out
}

// luminance is relative luminance as WCAG 2.2 defines it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func TestStyle_ContrastInBothSchemes(t *testing.T) {
	for scheme, colour := range schemes(t) {
		for _, pair := range []struct {
			front, back string
			min         float64
		}{
			{"text", "page", minText}, {"text", "card", minText}, {"text", "tint", minText}, {"muted", "page", minText}, {"muted", "card", minText},
			{"on-accent", "accent", minText}, {"on-accent", "accent-strong", minText}, {"accent", "tint", minText}, {"alert", "alert-tint", minText},
			{"edge", "card", minControl}, {"accent", "card", minControl}, {"accent", "page", minControl}, {"alert", "card", minControl},
		} {
			front, back := colour[pair.front], colour[pair.back]
			if ratio := (max(front, back) + 0.05) / (min(front, back) + 0.05); ratio < pair.min {
				t.Errorf("%s: %s on %s has %.2f, want %.1f", scheme, pair.front, pair.back, ratio, pair.min)
			}
		}
	}
}

func TestStyle_HeedsWhatPeopleAskTheirBrowserFor(t *testing.T) {
	text := style(t)
	for _, want := range []string{"prefers-color-scheme: dark", "prefers-reduced-motion: reduce", "forced-colors: active", "@media print", ":focus-visible"} {
		if !strings.Contains(text, want) {
			t.Errorf("the style has no %s", want)
		}
	}
}
