package pages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fedbroker/broker/web/pages"
)

// folderEnv names a folder that TestWriteSamples writes every sample to, to be looked at in a browser.
const folderEnv = "FEDBROKER_PAGES"

type sample struct {
	name string
	page func(*pages.Pages) (pages.Page, error)
}

var (
	when   = time.Date(2026, 11, 23, 9, 41, 0, 0, time.UTC)
	params = [][2]string{{"client_id", "portal"}, {"state", "af0ifjsldkj"}, {"scope", "openid profile"}}
)

const (
	decision = "X4QJ7ZC2M6W3KTN5RBVYAHDPGE"
	appURL   = "https://portal.example.com/cb?state=a&iss=b"
)

// samples is every page in every shape.
func samples() []sample {
	chooser := func(d pages.Chooser) func(*pages.Pages) (pages.Page, error) {
		return func(p *pages.Pages) (pages.Page, error) { return p.Chooser(d) }
	}
	three := []pages.Option{option("acme", "Acme Robotics"), option("globex", "Globex"), option("initech", "Initech GmbH & Co. KG")}
	long := append([]pages.Option{
		option("long", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"),
		option("words", "The Royal Society for the Prevention of Unnecessarily Long Organisation Names, Northern Division"),
		option("hebrew", "האוניברסיטה העברית בירושלים"), option("arabic", "شركة الاتصالات (المحدودة)"), option("plain", ""),
	}, three...)
	var thirty []pages.Option
	for i := range 10 {
		for j, display := range []string{"Acme Robotics", "Globex", "Initech GmbH & Co. KG"} {
			thirty = append(thirty, option(fmt.Sprintf("u%d-%d", i, j), fmt.Sprintf("%s %d", display, i+1)))
		}
	}
	problem := "We don’t know an organisation for that address. Check it for a typing mistake, or choose from the list."
	out := []sample{
		{"chooser", chooser(pages.Chooser{App: "Partner Portal", Options: three, Action: "/login", Params: params})},
		{"chooser-list", chooser(pages.Chooser{App: "Partner Portal", Options: three})},
		{"chooser-email", chooser(pages.Chooser{Action: "/login", Params: params})},
		{"chooser-problem", chooser(pages.Chooser{App: "Partner Portal", Options: three, Action: "/login", Params: params, Email: "mira@exmaple.org", Problem: problem})},
		{"chooser-long", chooser(pages.Chooser{App: "Supplier Onboarding and Compliance Documentation Workspace (Staging)", Options: long, Action: "/login"})},
		{"chooser-thirty", chooser(pages.Chooser{App: "Partner Portal", Options: thirty, Action: "/login", ReturnTo: appURL})},
		{"chooser-thirty-problem", chooser(pages.Chooser{App: "Partner Portal", Options: thirty, Action: "/login", Email: "mira@exmaple.org", Problem: problem})},
		{"signout", func(p *pages.Pages) (pages.Page, error) {
			return p.SignOutAsk(pages.SignOutAsk{App: "Partner Portal", Action: "/logout", Params: params, ReturnTo: appURL})
		}},
		{"signedout", func(p *pages.Pages) (pages.Page, error) {
			return p.SignedOut(pages.SignedOut{App: "Partner Portal", Href: appURL})
		}},
		{"signedout-nowhere", func(p *pages.Pages) (pages.Page, error) { return p.SignedOut(pages.SignedOut{}) }},
		{"formpost", func(p *pages.Pages) (pages.Page, error) {
			return p.FormPost(pages.FormPost{App: "Partner Portal", Action: appURL, Params: params})
		}},
		{"startagain", func(p *pages.Pages) (pages.Page, error) {
			return p.StartAgain(pages.StartAgain{App: "Partner Portal", Href: "/authorize?client_id=portal"})
		}},
		{"startagain-nowhere", func(p *pages.Pages) (pages.Page, error) { return p.StartAgain(pages.StartAgain{}) }},
		{"failure-form", func(p *pages.Pages) (pages.Page, error) {
			return p.Failure(pages.Failure{Kind: pages.KindDenied, App: "Partner Portal", Upstream: "Acme Robotics", DecisionID: decision, When: when,
				Back: &pages.Back{URL: appURL, Params: params, Post: true}, RetryHref: "/authorize?client_id=portal"})
		}},
	}
	for _, kind := range pages.Kinds() {
		out = append(out, sample{"failure-" + kind, func(p *pages.Pages) (pages.Page, error) {
			return p.Failure(pages.Failure{Kind: kind, App: "Partner Portal", Upstream: "Acme Robotics", DecisionID: decision, When: when,
				Back: &pages.Back{URL: appURL}, RetryHref: "/authorize?client_id=portal"})
		}}, sample{"failure-" + kind + "-bare", func(p *pages.Pages) (pages.Page, error) {
			return p.Failure(pages.Failure{Kind: kind, DecisionID: decision})
		}})
	}
	return out
}

func option(name, display string) pages.Option {
	return pages.Option{Name: name, Display: display, Href: "/authorize?client_id=portal&idp_hint=" + name}
}

func open(t *testing.T) *pages.Pages {
	t.Helper()
	p, err := pages.New(pages.Options{Site: "id.corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWriteSamples(t *testing.T) {
	folder := os.Getenv(folderEnv)
	if folder == "" {
		t.Skip(folderEnv + " names no folder to write to")
	}
	p := open(t)
	for _, s := range samples() {
		page, err := s.page(p)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		for suffix, content := range map[string][]byte{".html": page.HTML, ".csp": []byte(page.CSP)} {
			if err := os.WriteFile(filepath.Join(folder, s.name+suffix), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
