package room

import (
	"errors"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

// Short names of the protocol's codes.
const (
	codeInvalid     = signal.CodeInvalid
	codeExpired     = signal.CodeExpired
	codeNotAdmitted = signal.CodeNotAdmitted
	codeRemoved     = signal.CodeRemoved
	codeEnded       = signal.CodeEnded
	codeFull        = signal.CodeFull
	codeUnavailable = signal.CodeUnavailable
	codeForbidden   = signal.CodeForbidden
	codeNotNow      = signal.CodeNotNow
)

// reasons are the sentences of the refusals; the page has them in four
// languages under the same codes.
var reasons = map[string]string{
	codeInvalid:     "These credentials do not open this room.",
	codeExpired:     "These credentials are too old. Please join again from the appointment.",
	codeNotAdmitted: "The call is not open for you now.",
	codeRemoved:     "You were removed from this call.",
	codeEnded:       "This call has ended.",
	codeFull:        "This call is full.",
	codeUnavailable: "The call room cannot serve you now. Please try again in a moment.",
	codeForbidden:   "Only the practitioner may do this.",
	codeNotNow:      "This cannot be done now.",
}

// refused is an error that carries a code of the protocol.
type refused struct {
	code   string
	reason string
}

func (e *refused) Error() string { return e.reason }

func refusal(code string) *refused { return &refused{code: code, reason: reasons[code]} }

// asRefusal turns any error into what a participant may read of it.
func asRefusal(err error) *refused {
	var r *refused
	if errors.As(err, &r) {
		return r
	}
	return refusal(codeUnavailable)
}

// fromAdmission shows the sentence of the Admission, made for people, under
// code. An unknown error shows nothing of itself.
func fromAdmission(code string, err error) *refused {
	var e *fhir.Error
	if !errors.As(err, &e) {
		return refusal(codeUnavailable)
	}
	switch e.Code {
	case fhir.CodeTransient, fhir.CodeTimeout, fhir.CodeException:
		return refusal(codeUnavailable)
	}
	return &refused{code: code, reason: e.Diagnostics}
}
