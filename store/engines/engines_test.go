package engines

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fedbroker/store"
	"fedbroker/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEngines(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, now func() time.Time) store.Engine {
				return openAt(t, kind, filepath.Join(t.TempDir(), "db"), now)
			})
		})
	}
}

func openAt(t *testing.T, kind, path string, now func() time.Time) store.Engine {
	t.Helper()
	e, err := Open(kind, Options{Path: path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func TestOpen_UnknownKindNamesTheKnown(t *testing.T) {
	_, err := Open("postgress", Options{})
	if err == nil || !strings.Contains(err.Error(), `"postgress"`) || !strings.Contains(err.Error(), "bbolt, memory") {
		t.Errorf("got %v", err)
	}
}
