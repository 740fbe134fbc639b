package keys

import (
	"net/http"
	"sync"
	"time"
)

const (
	maxKept = 64 << 10 // bytes of the largest document that is kept to be confirmed
	maxTag  = 256      // bytes of the longest entity tag
)

// Kept is the newest document that came from somewhere, with its entity tag, so that the next fetch may be answered "304 Not Modified" (RFC 9110
// §13.1.2). What is kept is judged again like anything that came. The zero value is empty. It is safe for concurrent use.
type Kept struct {
	mu       sync.Mutex
	uri, tag string
	body     []byte
	fresh    time.Duration
}

// Tag is what to send as If-None-Match; empty: nothing.
func (k *Kept) Tag(uri string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.uri != uri {
		return ""
	}
	return k.tag
}

// Settle takes an answer from uri and returns the document and how long it may be used (see Freshness). A nil body is a 304, which confirms the document
// that was kept; where that does not say how long it may be used, what was said last holds (RFC 9111 §3.2).
func (k *Kept) Settle(uri string, body []byte, h http.Header) ([]byte, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fresh := Freshness(h)
	if body == nil {
		if k.uri != uri {
			return nil, 0
		}
		if fresh != 0 {
			k.fresh = fresh
		}
		return k.body, k.fresh
	}
	k.uri, k.tag, k.body, k.fresh = "", "", nil, 0
	if tag := h.Get("ETag"); tag != "" && len(tag) <= maxTag && len(body) <= maxKept {
		k.uri, k.tag, k.body, k.fresh = uri, tag, body, fresh
	}
	return body, fresh
}
