package auth

import (
	"sync/atomic"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Refusals counts attempts to sign in that were refused.
type Refusals struct {
	Wrong     uint64 // credentials that are not right
	Throttled uint64 // too many attempts
}

// refusals counts on the way out.
type refusals struct{ wrong, throttled atomic.Uint64 }

func (r *refusals) note(err error) {
	switch fhir.CodeOf(err) {
	case fhir.CodeLogin:
		r.wrong.Add(1)
	case fhir.CodeThrottled:
		r.throttled.Add(1)
	}
}

func (r *refusals) counted() Refusals { return Refusals{r.wrong.Load(), r.throttled.Load()} }

// Refusals tells how often people were refused.
func (b *Browsers) Refusals() Refusals { return b.refusals.counted() }

// Refusals tells how often systems were refused.
func (t *Tokens) Refusals() Refusals { return t.refusals.counted() }
