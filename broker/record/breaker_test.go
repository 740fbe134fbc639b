package record

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/event"
	"fedbroker/upstreams"
)

func TestBreakerChange_JournalLogAndMetricTellTheSame(t *testing.T) {
	var written lines
	var log bytes.Buffer
	metrics := event.NewMetrics()
	r := Recorder{Journal: &written, Log: slog.New(slog.NewJSONHandler(&log, nil)), Metrics: metrics, Now: time.Now}
	for _, open := range []bool{true, false} {
		log.Reset()
		r.BreakerChange(upstreams.BreakerChange{Upstream: "acme", Endpoint: upstreams.EndpointToken, Open: open})
		want := map[bool][3]string{
			true:  {`"outcome":"raised"`, `"level":"WARN"`, `fedbroker_upstream_breaker_open_bool{endpoint="token",upstream="acme"} 1`},
			false: {`"outcome":"cleared"`, `"level":"INFO"`, `fedbroker_upstream_breaker_open_bool{endpoint="token",upstream="acme"} 0`},
		}[open]
		line := written.queued[len(written.queued)-1]
		if !strings.Contains(line, `"kind":"upstream_breaker",`+want[0]) || !strings.Contains(line, `"upstream":"acme","target":{"kind":"endpoint","id":"token"}`) {
			t.Errorf("journal %s", line)
		}
		if text := log.String(); !strings.Contains(text, want[1]) || !strings.Contains(text, `"msg":"breaker of upstream"`) {
			t.Errorf("log %s", text)
		}
		answer := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(answer.Body.String(), want[2]) {
			t.Errorf("want metric %s", want[2])
		}
	}
}
