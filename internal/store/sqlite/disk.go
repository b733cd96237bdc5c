package sqlite

import (
	"errors"

	"modernc.org/sqlite"

	"github.com/jumpa-hie/jumpa/fhir"
)

// The results of SQLite, without their details, after which it may have rolled
// back the whole transaction by itself (https://www.sqlite.org/lang_transaction.html).
const (
	resultMask      = 0xff
	resultBusy      = 5
	resultNoMemory  = 7
	resultInterrupt = 9
	resultIO        = 10
	resultFull      = 13
)

func result(err error) int {
	var known *sqlite.Error
	if !errors.As(err, &known) {
		return 0
	}
	return known.Code() & resultMask
}

// told notes an error that may have ended the transaction.
func (c *conn) told(err error) error {
	switch result(err) {
	case resultBusy, resultNoMemory, resultInterrupt, resultIO, resultFull:
		c.lost = err
	}
	return err
}

// passing makes an error of the disk one that is nobody's fault: whoever sends
// the request again later may succeed.
func passing(err error) error {
	var said *fhir.Error
	var list fhir.Issues
	if err == nil || errors.As(err, &said) || errors.As(err, &list) {
		return err
	}
	switch result(err) {
	case resultIO, resultFull:
		return &fhir.Error{Code: fhir.CodeTransient, Diagnostics: "The disk of the exchange is full or does not answer; try again later.", Err: err}
	}
	if errors.Is(err, errClosed) {
		return &fhir.Error{Code: fhir.CodeTransient, Diagnostics: "The exchange is stopping; try again.", Err: err}
	}
	return err
}
