package fhirpath

import (
	"fmt"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Error says why an expression cannot be compiled or evaluated. It never holds
// anything of the document. errors.As finds a *fhir.Error in it.
type Error struct {
	Code    fhir.Code // invalid, not-supported, too-costly or exception
	Offset  int       // where in the expression, in bytes from 0
	Message string
	Err     error // the cause: a context's end, or what a Resolver, Terminology or Profiles answered
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("fhirpath: at %d: %s", e.Offset, e.Message)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// As gives the error in the vocabulary of the program.
func (e *Error) As(target any) bool {
	t, ok := target.(**fhir.Error)
	if ok {
		*t = fhir.Errorf(e.Code, "", "The FHIRPath expression cannot be used (at %d): %s.", e.Offset, e.Message)
		(*t).Err = e.Err
	}
	return ok
}
