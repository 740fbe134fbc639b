package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// inProcess runs one command line without a process of its own.
func inProcess(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestHelp_EveryCommandHasOneLineAndAnExample(t *testing.T) {
	seen := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if len(cmd.Commands()) > 0 && cmd.HasParent() {
			return // a group shows what it holds
		}
		seen++
		path := strings.Fields(cmd.CommandPath())[1:]
		code, out, errOut := inProcess(t, append(path, "--help")...)
		if code != exitDone || errOut != "" {
			t.Errorf("%s --help: exit code %d, %s", cmd.CommandPath(), code, errOut)
		}
		if !strings.Contains(out, "Examples:\n  fedbroker "+strings.Join(path, " ")) {
			t.Errorf("%s --help: no example of it:\n%s", cmd.CommandPath(), out)
		}
		if len(cmd.Short) == 0 || len(cmd.Short) > 110 || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: want one line without a full stop, got %q", cmd.CommandPath(), cmd.Short)
		}
		if lines := strings.Count(out, "\n"); lines > 40 {
			t.Errorf("%s --help: want at most 40 lines, got %d", cmd.CommandPath(), lines)
		}
	}
	visit(newRoot(&app{}))
	if seen < 12 {
		t.Errorf("want at least 12 commands, got %d", seen)
	}
}

func TestRun_Misuse(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"explode"}, `unknown command "explode"`},
		{"unknown command of a group", []string{"keys", "explode"}, `unknown command "explode"`},
		{"unknown kind", []string{"revoke", "person", "x"}, `unknown command "person"`},
		{"too many arguments", []string{"serve", "extra"}, `unknown command "extra"`},
		{"too few arguments", []string{"revoke", "token"}, "accepts 1 arg(s), received 0"},
		{"no name", []string{"upstreams", "rebind"}, "accepts 1 arg(s), received 0"},
		{"unknown flag", []string{"check", "--outputt", "json"}, "unknown flag: --outputt"},
		{"unknown form", []string{"check", "--output", "yaml"}, `--output: want text or json, got "yaml"`},
		{"no file for serve", []string{"serve", "--config", "nowhere.yaml"}, "there is no nowhere.yaml here: name yours with --config FILE"},
		{"no file for check", []string{"check", "--config", "nowhere.yaml"}, "`fedbroker demo` needs none"},
		{"no file for a command on state", []string{"keys", "list", "--config", "nowhere.yaml"}, "there is no nowhere.yaml here"},
		{"a folder", []string{"check", "--config", "testdata"}, "configuration: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := inProcess(t, tt.args...)
			if code != exitUsage || !strings.Contains(errOut, tt.want) || out != "" {
				t.Errorf("want exit code %d and %q, got %d, %q and %q", exitUsage, tt.want, code, errOut, out)
			}
		})
	}
}
