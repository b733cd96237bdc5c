package postgres

import (
	"context"
	"errors"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Away tells that the server could not be reached, or was gone in the middle:
// what was asked for may be asked again.
func Away(err error) bool { return lost(err) || errors.Is(err, ErrUnknown) }

// passing makes an error that is the fault of nobody's request one that tells
// so: whoever sends the request again, where that is safe, may succeed. What a
// caller's transaction has said itself stays as it is.
func passing(err error) error {
	var said *fhir.Error
	var list fhir.Issues
	text := ""
	switch {
	case err == nil, errors.As(err, &said), errors.As(err, &list):
	case errors.Is(err, ErrUnknown):
		text = "The database was lost while this was stored: it may have been stored or not. Send it again where that is safe."
	case lost(err), errors.Is(err, errClosed):
		text = "The database does not answer at the moment; try again."
	case retryable(err), errors.Is(err, errBusy), is(err, "57014"), errors.Is(err, context.DeadlineExceeded):
		text = "The database is busy at the moment; try again."
	}
	if text == "" {
		return err
	}
	return &fhir.Error{Code: fhir.CodeTransient, Diagnostics: text, Err: err}
}
