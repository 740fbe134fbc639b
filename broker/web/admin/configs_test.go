package admin

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/confighistory"
	"fedbroker/broker/operator"
)

// fakeConfigs knows one configuration, whose hash begins with abcd.
type fakeConfigs struct{ back []string }

var keptOne = KeptConfig{
	Entry: confighistory.Entry{Hash: "abcd", First: time.Unix(1_800_000_000, 0).UTC(), Last: time.Unix(1_800_000_060, 0).UTC(), Cause: confighistory.Start, Version: "v1", Files: 1, Bytes: 3, Changes: "x", Chunks: 1},
	Texts: []confighistory.Text{{Text: "marker-of-a-secret"}, {Name: "upstreams.d/a.yaml", Text: "b"}},
}

func (f *fakeConfigs) ConfigLog(context.Context) ([]confighistory.Entry, error) {
	return []confighistory.Entry{keptOne.Entry}, nil
}

func (f *fakeConfigs) Config(_ context.Context, hash string) (KeptConfig, error) {
	if hash != "abcd" {
		return KeptConfig{}, &operator.ActError{Text: "no such configuration is kept"}
	}
	return keptOne, nil
}

func (f *fakeConfigs) RolledBack(_ context.Context, hash string) error {
	f.back = append(f.back, hash)
	return nil
}

func TestConfigs_ThroughTheSocket(t *testing.T) {
	configs := &fakeConfigs{}
	spec := Spec{Socket: filepath.Join(shortDir(t), "a.sock")}
	stop := runConfigs(t, spec, configs).stop
	client, err := Dial(spec.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if all, err := client.ConfigLog(t.Context()); err != nil || len(all) != 1 || all[0] != keptOne.Entry {
		t.Errorf("log: %v, %v", all, err)
	}
	if k, err := client.Config(t.Context(), "abcd"); err != nil || !reflect.DeepEqual(k, keptOne) {
		t.Errorf("show: %v, %v", k, err)
	}
	if _, err := client.Config(t.Context(), "0000"); err == nil || err.Error() != "no such configuration is kept" {
		t.Errorf("show: %v", err)
	} else if _, told := errors.AsType[*operator.ActError](err); !told {
		t.Errorf("show: want the operator's own mistake, got %T", err)
	}
	if err := client.RolledBack(t.Context(), "abcd"); err != nil {
		t.Error(err)
	}
	stop()
	if !reflect.DeepEqual(configs.back, []string{"abcd"}) {
		t.Errorf("rolled back: %v", configs.back)
	}
}

// What a configuration holds is not for who bears the operators' token.
func TestP47_ConfigurationsAreReadByTheSocketAlone(t *testing.T) {
	configs := &fakeConfigs{}
	p := runConfigs(t, Spec{Listen: "127.0.0.1:0", Token: operatorToken}, configs)
	bearer := bearer(operatorToken)
	bearer.Set("Content-Type", jsonType)
	if status, body, _ := p.do(t, ask{path: pathConfigs, header: bearer}); status != http.StatusOK || !strings.Contains(body, "abcd") {
		t.Errorf("log: %d %s", status, body)
	}
	if status, _, _ := p.do(t, ask{path: pathConfigs}); status != http.StatusUnauthorized {
		t.Errorf("log without the token: %d", status)
	}
	for _, path := range []string{pathConfig, pathRolledBack} {
		if status, body, _ := p.do(t, ask{method: http.MethodPost, path: path, body: `{"name":"abcd"}`, header: bearer}); status != http.StatusNotFound || strings.Contains(body, "marker") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	p.stop()
	if len(configs.back) != 0 {
		t.Error("rolled back by the token")
	}
}
