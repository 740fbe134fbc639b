package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The ladder of docs/ARCHITECTURE.md. A package imports only from lower rungs and, without a cycle, from its own top folder of the
// same rung. Tests may import anything.
var rungs = map[string]int{
	"store":                   0,
	"store/engines":           0,
	"store/journal":           0,
	"store/journal/index":     0,
	"store/storetest":         0,
	"mappers":                 0,
	"mappers/expr":            0,
	"mappers/library":         0,
	"mappers/nearest":         0,
	"mappers/printable":       0,
	"upstreams":               0,
	"upstreams/breaker":       0,
	"upstreams/history":       0,
	"upstreams/introspection": 0,
	"upstreams/jose":          0,
	"upstreams/keys/absence":  0,
	"upstreams/keys":          0,
	"upstreams/oauth2":        0,
	"upstreams/outbound":      0,
	"upstreams/pattern":       0,
	"upstreams/presets":       0,
	"upstreams/rp":            0,
	"upstreams/saml":          0,
	"upstreams/shape":         0,
	"upstreams/spec":          0,
	"upstreams/subject":       0,
	"upstreams/upstreamtest":  0,
	"upstreams/verify":        0,

	"upstreams/upstreamtest/client":   0,
	"upstreams/upstreamtest/oauthidp": 0,
	"upstreams/upstreamtest/page":     0,
	"upstreams/upstreamtest/samlidp":  0,
	"upstreams/upstreamtest/tokens":   0,
	"upstreams/upstreamtest/trouble":  0,

	"upstreams/doctor":          1, // it speaks to people: mappers/printable
	"upstreams/doctor/findings": 1,

	"broker/oauth":         1,
	"broker/event":         1,
	"broker/limit":         1,
	"broker/keyring":       2,
	"broker/keystore":      2,
	"broker/shapestore":    2,
	"broker/pin":           2,
	"broker/policy":        2,
	"broker/rules":         2,
	"broker/rules/spec":    2,
	"broker/settings":      3,
	"broker/revoke":        2,
	"broker/clients":       2,
	"broker/dpop":          2,
	"broker/record":        2,
	"broker/refusal":       2,
	"broker/release":       2,
	"broker/metadata":      2,
	"broker/token":         3,
	"broker/recheck":       3,
	"broker/session":       3,
	"broker/decision":      3,
	"broker/confighistory": 3,
	"broker/lineage":       3,
	"broker/policytest":    3,
	"broker/lint":          3,
	"broker/promotion":     3,
	"broker/drift":         4,
	"broker/explain":       4,
	"broker/grants":        4,
	"broker/login":         4,
	"broker/userinfo":      4,
	"broker/operator":      4,
	"broker/snapshot":      4,
	"broker":               5,
	"broker/web":           6,
	"broker/web/admin":     6,
	"broker/web/frame":     6,
	"broker/web/pages":     6,
	"cmd/fedbroker":        7,
	"cmd/fedbroker/config": 7,

	"cmd/fedbroker/config/strict": 7,
	"cmd/fedbroker/reload":        7,

	"cmd/fedbroker/demo":      7,
	"cmd/fedbroker/explainer": 7,
	"cmd/fedbroker/checkup":   7,
	"cmd/fedbroker/drawing":   7,
	"cmd/fedbroker/history":   7,
	"cmd/fedbroker/upkeep":    7,
	"cmd/fedbroker/trial":     7,
	"cmd/fedbroker/demo/app":  7,
}

// importers names the only packages that may import a restricted one.
var importers = map[string][]string{
	"store/engines":   {"cmd/fedbroker", "cmd/fedbroker/demo", "cmd/fedbroker/trial"},
	"store/storetest": {},
	// What tests a policy signs whatever a fixture says, if only with keys of its own.
	"broker/policytest": {"cmd/fedbroker/trial"},
	// upstreamtest is a test's and the demo's; it must never be reachable from serve.
	"upstreams/upstreamtest":          {"cmd/fedbroker/demo"},
	"upstreams/upstreamtest/client":   {"upstreams/upstreamtest"},
	"upstreams/upstreamtest/page":     {"upstreams/upstreamtest"},
	"upstreams/upstreamtest/tokens":   {"upstreams/upstreamtest", "upstreams/upstreamtest/trouble"},
	"upstreams/upstreamtest/trouble":  {},
	"upstreams/upstreamtest/oauthidp": {},
	"upstreams/upstreamtest/samlidp":  {},
}

// forbidden names what `go list -deps` of a package must not hold, so that the core stays free of transports and engines.
var forbidden = map[string][]string{
	"broker":                 {"go.etcd.io/bbolt", "github.com/labstack/echo/v4", "github.com/zitadel/oidc/v3/pkg/op"},
	"upstreams/upstreamtest": {"testing"},
	"broker/oauth":           {"fedbroker/store", "fedbroker/mappers", "fedbroker/upstreams"},
}

const (
	module          = "fedbroker"
	maxFileLines    = 400
	maxFuncLines    = 60
	maxPackageLines = 1500
	maxPackageFiles = 20
)

// topLevel is everything the repository may hold at its root, beside dot-files and dot-folders; bin is what `make build` leaves, ignored by git.
var topLevel = []string{"cmd", "broker", "mappers", "upstreams", "store", "examples", "docs", "go.mod", "go.sum", "Makefile", "README.md",
	"CHANGELOG.md", "SECURITY.md", "LICENSE", "NOTICE", "Dockerfile", "bin"}

const root = "../.."

type sourceFile struct {
	name  string
	lines int
	ast   *ast.File
	fset  *token.FileSet
}

// sources parses every non-test Go file of the repository, by package folder.
func sources(t *testing.T) map[string][]sourceFile {
	t.Helper()
	out := map[string][]sourceFile{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != root && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata" || otherModule(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(rel)
		out[dir] = append(out[dir], sourceFile{name: name, lines: bytes.Count(text, []byte("\n")), ast: file, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// otherModule says whether a module of its own begins here, such as that of an example, whose dependencies nobody else needs.
func otherModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func TestLayout_ImportsGoDownTheLadder(t *testing.T) {
	for dir, files := range sources(t) {
		rung, known := rungs[dir]
		if !known {
			t.Errorf("%s: not on the ladder; add it to the table and to docs/ARCHITECTURE.md", dir)
			continue
		}
		for _, file := range files {
			for _, spec := range file.ast.Imports {
				imported, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
				if !ours {
					continue
				}
				to, ok := rungs[imported]
				sameTop := topFolder(dir) == topFolder(imported)
				if !ok || to > rung || to == rung && !sameTop {
					t.Errorf("%s (rung %d) imports %s (rung %d)", file.name, rung, imported, to)
				}
				if allowed, restricted := importers[imported]; restricted && !slices.Contains(allowed, dir) {
					t.Errorf("%s imports %s, which only %v may", file.name, imported, allowed)
				}
			}
		}
	}
}

func topFolder(dir string) string { top, _, _ := strings.Cut(dir, "/"); return top }

func TestLayout_EveryPackageOfTheTableExists(t *testing.T) {
	found := sources(t)
	for dir := range rungs {
		if len(found[dir]) == 0 {
			t.Errorf("%s is on the ladder, but holds no Go file", dir)
		}
	}
}

func TestLayout_Sizes(t *testing.T) {
	for dir, files := range sources(t) {
		total := 0
		for _, file := range files {
			total += file.lines
			if file.lines > maxFileLines {
				t.Errorf("%s: %d lines, want at most %d", file.name, file.lines, maxFileLines)
			}
			for _, decl := range file.ast.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok {
					checkFunc(t, file, fn)
				}
			}
		}
		if total > maxPackageLines || len(files) > maxPackageFiles {
			t.Errorf("%s: %d lines in %d files, want at most %d in %d", dir, total, len(files), maxPackageLines, maxPackageFiles)
		}
	}
}

func checkFunc(t *testing.T, file sourceFile, fn *ast.FuncDecl) {
	t.Helper()
	lines := file.fset.Position(fn.End()).Line - file.fset.Position(fn.Pos()).Line + 1
	if lines > maxFuncLines {
		t.Errorf("%s: %s has %d lines, want at most %d", file.name, fn.Name.Name, lines, maxFuncLines)
	}
	if fn.Name.Name == "init" && fn.Recv == nil {
		t.Errorf("%s: init() is not allowed; construct in New", file.name)
	}
}

func TestLayout_NoPackageStateIsWritten(t *testing.T) {
	for _, files := range sources(t) {
		names := packageVars(files)
		for _, file := range files {
			ast.Inspect(file.ast, func(n ast.Node) bool {
				assign, ok := n.(*ast.AssignStmt)
				if !ok || assign.Tok == token.DEFINE {
					return true
				}
				for _, left := range assign.Lhs {
					if name := rootIdent(left); name != "" && names[name] && !shadowed(file, name, assign.Pos()) {
						t.Errorf("%s writes the package variable %s", file.fset.Position(assign.Pos()), name)
					}
				}
				return true
			})
		}
	}
}

func packageVars(files []sourceFile) map[string]bool {
	names := map[string]bool{}
	for _, file := range files {
		for _, decl := range file.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					names[name.Name] = name.Name != "_"
				}
			}
		}
	}
	return names
}

func rootIdent(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		default:
			return ""
		}
	}
}

// shadowed reports whether the function around pos declares name itself.
func shadowed(file sourceFile, name string, pos token.Pos) bool {
	found := false
	for _, decl := range file.ast.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || pos < fn.Pos() || pos > fn.End() {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.Field:
				for _, id := range x.Names {
					found = found || id.Name == name
				}
			case *ast.AssignStmt:
				for _, left := range x.Lhs {
					if id, ok := left.(*ast.Ident); ok && x.Tok == token.DEFINE {
						found = found || id.Name == name
					}
				}
			case *ast.ValueSpec:
				for _, id := range x.Names {
					found = found || id.Name == name
				}
			}
			return true
		})
	}
	return found
}

func TestLayout_CoreStaysFreeOfTransportsAndEngines(t *testing.T) {
	for dir, banned := range forbidden {
		out, err := exec.Command("go", "list", "-deps", module+"/"+dir).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", dir, err)
		}
		deps := strings.Fields(string(out))
		for _, b := range banned {
			if slices.ContainsFunc(deps, func(d string) bool { return d == b || strings.HasPrefix(d, module+"/") && strings.HasPrefix(d, b+"/") }) {
				t.Errorf("%s depends on %s", dir, b)
			}
		}
	}
}

func TestLayout_TopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
}

func TestLayout_PackageNamesSayWhatTheyHold(t *testing.T) {
	banned := []string{"util", "utils", "common", "helpers", "manager", "misc"}
	for dir := range sources(t) {
		if slices.Contains(banned, path.Base(dir)) {
			t.Errorf("%s: a package is a noun you can say before the dot", dir)
		}
	}
}
