package outbound

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/upstreams/breaker"
)

func TestClient_WhatCountsAsAFailure(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    breaker.State
	}{
		{"200", jsonBody(`{}`), breaker.Closed},
		{"a refused code or token", status(http.StatusBadRequest), breaker.Closed},
		{"a refused client", status(http.StatusUnauthorized), breaker.Closed},
		{"too many requests", status(http.StatusTooManyRequests), breaker.Closed},
		{"its own fault", status(http.StatusInternalServerError), breaker.Closed},
		{"bad gateway", status(http.StatusBadGateway), breaker.Open},
		{"service unavailable", status(http.StatusServiceUnavailable), breaker.Open},
		{"gateway timeout", status(http.StatusGatewayTimeout), breaker.Open},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, breaker.Open},
		{"hangs up in the body", func(w http.ResponseWriter, _ *http.Request) {
			jsonBody(`{"a":`)(w, nil)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, breaker.Open},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			s := server(t, false, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); tt.handler(w, r) })
			b := breaker.New(breaker.Options{})
			c := client(t, Options{Loopback: true, Breaker: b})
			const calls = 30
			var last error
			for range calls {
				_, _, last = c.GetJSON(t.Context(), s.URL, Get{})
			}
			if got := b.Status().State; got != tt.want {
				t.Fatalf("want %s, got %s", tt.want, got)
			}
			if tt.want == breaker.Closed {
				if asked.Load() != calls {
					t.Errorf("want %d requests, got %d", calls, asked.Load())
				}
				return
			}
			if held := wantClass(t, last, ClassHeld); held.RetryAfter <= 0 {
				t.Error("want to know when to try again")
			}
			if asked.Load() >= calls/2 {
				t.Errorf("want no more requests when it is open, got %d", asked.Load())
			}
		})
	}
}

func TestClient_NobodyThereIsAFailureAndWhatWeWouldNotDialIsNone(t *testing.T) {
	gone := server(t, false, jsonBody(`{}`))
	gone.Close()
	for _, tt := range []struct {
		name, url string
		o         Options
		want      breaker.State
	}{
		{"nobody there", gone.URL, Options{Loopback: true}, breaker.Open},
		{"a private address", "https://10.0.0.1/", Options{}, breaker.Closed},
		{"no CA file", gone.URL, Options{Loopback: true, CAFile: "/nowhere/ca.pem"}, breaker.Closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := breaker.New(breaker.Options{})
			tt.o.Breaker = b
			c := client(t, tt.o)
			for range 30 {
				_, _, _ = c.GetJSON(t.Context(), tt.url, Get{})
			}
			if got := b.Status().State; got != tt.want {
				t.Errorf("want %s, got %s", tt.want, got)
			}
		})
	}
}

// A timeout of ours is a failure, a caller that leaves is none; either gives the place back.
func TestClient_HangingEndpoint(t *testing.T) {
	release := make(chan struct{})
	s := server(t, false, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	b := breaker.New(breaker.Options{Limit: 1})
	c := client(t, Options{Loopback: true, Breaker: b, Timeout: 20 * time.Millisecond})
	left, leave := context.WithCancel(t.Context())
	leave()
	for range 30 {
		_, _, err := c.GetJSON(left, s.URL, Get{})
		wantClass(t, err, ClassCanceled)
	}
	if got := b.Status().State; got != breaker.Closed {
		t.Errorf("want callers that leave to say nothing, got %s", got)
	}
	var last error
	for range 6 {
		_, _, last = c.GetJSON(t.Context(), s.URL, Get{})
	}
	wantClass(t, last, ClassHeld)
}
