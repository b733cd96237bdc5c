package ui

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
)

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)

// TraceOf is the trace id of a request: the one it came with (W3C
// traceparent), or a new one.
func TraceOf(r *http.Request) string {
	if m := traceparent.FindStringSubmatch(r.Header.Get("Traceparent")); m != nil {
		return m[1]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
