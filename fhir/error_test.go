package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestStatusAndCodeOfErrors(t *testing.T) {
	required := Errorf(CodeRequired, "Slot.start", "This element is missing.")
	warning := Warningf(CodeBusinessRule, "Slot", "Held outside.")
	for _, c := range []struct {
		name   string
		err    error
		code   Code
		status int
	}{
		{"structure", Errorf(CodeStructure, "", "x"), CodeStructure, 400},
		{"required", required, CodeRequired, 422},
		{"conflict", Errorf(CodeConflict, "", "x"), CodeConflict, 409},
		{"multiple matches", Errorf(CodeMultiple, "", "x"), CodeMultiple, 412},
		{"not found", Errorf(CodeNotFound, "", "x"), CodeNotFound, 404},
		{"deleted", Errorf(CodeDeleted, "", "x"), CodeDeleted, 410},
		{"login", Errorf(CodeLogin, "", "x"), CodeLogin, 401},
		{"forbidden", Errorf(CodeForbidden, "", "x"), CodeForbidden, 403},
		{"throttled", Errorf(CodeThrottled, "", "x"), CodeThrottled, 429},
		{"transient", Errorf(CodeTransient, "", "x"), CodeTransient, 503},
		{"exception", Errorf(CodeException, "", "x"), CodeException, 500},
		{"an unknown code", Errorf("odd", "", "x"), "odd", 500},
		{"with a status of its own", required.WithStatus(418), CodeRequired, 418},
		{"wrapped", fmt.Errorf("put: %w", required), CodeRequired, 422},
		{"issues, a warning first", Issues{warning, required}, CodeRequired, 422},
		{"wrapped issues", fmt.Errorf("put: %w", Issues{warning, required.WithStatus(400)}), CodeRequired, 400},
		{"issues, warnings only", Issues{warning}, CodeException, 500},
		{"none of ours", io.ErrUnexpectedEOF, CodeException, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			if CodeOf(c.err) != c.code || Status(c.err) != c.status {
				t.Errorf("code %s, status %d; want %s, %d", CodeOf(c.err), Status(c.err), c.code, c.status)
			}
		})
	}
	if required.Status != 0 {
		t.Error("WithStatus has changed the error itself")
	}
}

// Every code of the vocabulary has been given a status on purpose.
func TestEveryCodeHasAStatus(t *testing.T) {
	for _, code := range []Code{
		CodeInvalid, CodeStructure, CodeRequired, CodeValue, CodeInvariant, CodeCodeInvalid, CodeExtension, CodeNotSupported, CodeDuplicate,
		CodeMultiple, CodeNotFound, CodeDeleted, CodeTooLong, CodeTooCostly, CodeBusinessRule, CodeConflict, CodeLogin, CodeExpired,
		CodeForbidden, CodeThrottled, CodeTransient, CodeTimeout,
	} {
		if s := Status(Errorf(code, "", "x")); s < 400 || s == 500 {
			t.Errorf("%s answers %d", code, s)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("disk full")
	for _, c := range []struct {
		err  error
		want string
	}{
		{Errorf(CodeValue, "Slot.start", "Not a %s.", "date"), "value at Slot.start: Not a date."},
		{Errorf(CodeValue, "", "Not a date."), "value: Not a date."},
		{&Error{Code: CodeTransient, Diagnostics: "Later.", Err: cause}, "transient: Later.: disk full"},
		{Issues{Warningf(CodeValue, "", "Odd."), Errorf(CodeRequired, "", "Missing.")}, "required: Missing."},
		{Issues{Warningf(CodeValue, "", "Odd.")}, "value: Odd."},
		{Issues{}, "no issues"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if !errors.Is(&Error{Code: CodeTransient, Err: cause}, cause) {
		t.Error("the cause is lost")
	}
	if (Issues{Warningf(CodeValue, "", "Odd.")}).Err() != nil || (Issues{}).Err() != nil || Issues(nil).Err() != nil {
		t.Error("warnings are no error")
	}
	if (Issues{Warningf(CodeValue, "", "Odd."), Errorf(CodeRequired, "", "Missing.")}).Err() == nil {
		t.Error("an error among warnings is an error")
	}
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{
			"one error", Errorf(CodeRequired, "Slot.start", "This element is missing."),
			`[{"severity":"error","code":"required","diagnostics":"This element is missing.","expression":["Slot.start"]}]`,
		},
		{"without a place", Errorf(CodeStructure, "", "Not JSON."), `[{"severity":"error","code":"structure","diagnostics":"Not JSON."}]`},
		{
			"several", Issues{Warningf(CodeValue, "Slot.end", "Odd."), Errorf(CodeRequired, "", "Missing.")},
			`[{"severity":"warning","code":"value","diagnostics":"Odd.","expression":["Slot.end"]},{"severity":"error","code":"required","diagnostics":"Missing."}]`,
		},
		{"wrapped", fmt.Errorf("secret: %w", Errorf(CodeConflict, "", "Changed.")), `[{"severity":"error","code":"conflict","diagnostics":"Changed."}]`},
		{"nothing", Issues{}, `[{"severity":"information","code":"informational","diagnostics":"All is well."}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := `{"resourceType":"OperationOutcome","issue":` + c.want + `}`
			if got := string(Outcome(c.err, "trace-1")); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	t.Run("an unknown error shows nothing but the trace", func(t *testing.T) {
		for _, err := range []error{errors.New("token abc of Aminah"), fmt.Errorf("sql: %w", io.EOF)} {
			got := Outcome(err, "trace-1")
			if strings.Contains(string(got), "Aminah") || strings.Contains(string(got), "EOF") || !strings.Contains(string(got), "trace-1") || !json.Valid(got) {
				t.Errorf("shows %s", got)
			}
		}
	})
	t.Run("the cause is for the log only", func(t *testing.T) {
		if got := Outcome(&Error{Code: CodeTransient, Diagnostics: "Later.", Err: errors.New("10.0.0.1 refused")}, "t"); strings.Contains(string(got), "refused") {
			t.Errorf("shows %s", got)
		}
	})
	t.Run("an outcome is a document", func(t *testing.T) {
		if d, err := Parse(Outcome(Errorf(CodeValue, "", "\"<>&\u2028\x00"), "t")); err != nil || d.Type() != "OperationOutcome" {
			t.Errorf("%v", err)
		}
	})
}
