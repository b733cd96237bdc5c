package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Code is a FHIR issue type, the one vocabulary of errors in this program
// (http://hl7.org/fhir/R4/valueset-issue-type.html).
type Code string

// The issue types that the exchange uses.
const (
	CodeInvalid       Code = "invalid"
	CodeStructure     Code = "structure"
	CodeRequired      Code = "required"
	CodeValue         Code = "value"
	CodeInvariant     Code = "invariant"
	CodeCodeInvalid   Code = "code-invalid"
	CodeExtension     Code = "extension"
	CodeNotSupported  Code = "not-supported"
	CodeDuplicate     Code = "duplicate"
	CodeMultiple      Code = "multiple-matches"
	CodeNotFound      Code = "not-found"
	CodeDeleted       Code = "deleted"
	CodeTooLong       Code = "too-long"
	CodeTooCostly     Code = "too-costly"
	CodeBusinessRule  Code = "business-rule"
	CodeConflict      Code = "conflict"
	CodeLogin         Code = "login"
	CodeExpired       Code = "expired"
	CodeForbidden     Code = "forbidden"
	CodeThrottled     Code = "throttled"
	CodeTransient     Code = "transient"
	CodeTimeout       Code = "timeout"
	CodeException     Code = "exception"
	CodeInformational Code = "informational"
)

// statusOf gives the HTTP status that a code stands for.
var statusOf = map[Code]int{
	CodeInvalid:      http.StatusBadRequest,
	CodeStructure:    http.StatusBadRequest,
	CodeNotSupported: http.StatusBadRequest,
	CodeRequired:     http.StatusUnprocessableEntity,
	CodeValue:        http.StatusUnprocessableEntity,
	CodeInvariant:    http.StatusUnprocessableEntity,
	CodeCodeInvalid:  http.StatusUnprocessableEntity,
	CodeExtension:    http.StatusUnprocessableEntity,
	CodeBusinessRule: http.StatusUnprocessableEntity,
	CodeDuplicate:    http.StatusConflict,
	CodeConflict:     http.StatusConflict,
	CodeMultiple:     http.StatusPreconditionFailed,
	CodeNotFound:     http.StatusNotFound,
	CodeDeleted:      http.StatusGone,
	CodeTooLong:      http.StatusRequestEntityTooLarge,
	CodeTooCostly:    http.StatusRequestEntityTooLarge,
	CodeLogin:        http.StatusUnauthorized,
	CodeExpired:      http.StatusUnauthorized,
	CodeForbidden:    http.StatusForbidden,
	CodeThrottled:    http.StatusTooManyRequests,
	CodeTransient:    http.StatusServiceUnavailable,
	CodeTimeout:      http.StatusServiceUnavailable,
}

// Severity of an issue. The zero value is an error.
type Severity string

// The severities of an issue.
const (
	SeverityError       Severity = "error"
	SeverityWarning     Severity = "warning"
	SeverityInformation Severity = "information"
)

// Error is one issue of an OperationOutcome. Diagnostics is a sentence that a
// nurse can read; it never holds a token, a name or an identity number.
// Expression is the FHIRPath of the element at fault ("" when there is none).
// Status overrides the HTTP status that Code stands for (0: no override).
// Err is the cause, for the log of the operator only.
type Error struct {
	Code        Code
	Severity    Severity
	Status      int
	Expression  string
	Diagnostics string
	Err         error
}

// Errorf makes an error of the given code; expression may be empty.
func Errorf(code Code, expression, format string, args ...any) *Error {
	return &Error{Code: code, Expression: expression, Diagnostics: fmt.Sprintf(format, args...)}
}

// Warningf makes a warning: an issue that does not refuse the request.
func Warningf(code Code, expression, format string, args ...any) *Error {
	return &Error{Code: code, Severity: SeverityWarning, Expression: expression, Diagnostics: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Expression != "" {
		b.WriteString(" at ")
		b.WriteString(e.Expression)
	}
	b.WriteString(": ")
	b.WriteString(e.Diagnostics)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithStatus returns a copy that answers with the given HTTP status.
func (e *Error) WithStatus(status int) *Error {
	c := *e
	c.Status = status
	return &c
}

// Issues is several issues at once, in the order in which they were found.
type Issues []*Error

// Error implements error: the first error of the list.
func (is Issues) Error() string {
	for _, i := range is {
		if i.Severity == "" || i.Severity == SeverityError {
			return i.Error()
		}
	}
	if len(is) > 0 {
		return is[0].Error()
	}
	return "no issues"
}

// Err gives the list as an error when at least one issue is an error, else nil.
func (is Issues) Err() error {
	for _, i := range is {
		if i.Severity == "" || i.Severity == SeverityError {
			return is
		}
	}
	return nil
}

// CodeOf gives the FHIR code of an error; exception when the error is none of ours.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var is Issues
	if errors.As(err, &is) {
		for _, i := range is {
			if i.Severity == "" || i.Severity == SeverityError {
				return i.Code
			}
		}
	}
	return CodeException
}

// Status gives the HTTP status that an error stands for.
func Status(err error) int {
	var e *Error
	var is Issues
	switch {
	case errors.As(err, &e):
	case errors.As(err, &is):
		for _, i := range is {
			if i.Severity == "" || i.Severity == SeverityError {
				e = i
				break
			}
		}
	}
	if e == nil {
		return http.StatusInternalServerError
	}
	if e.Status != 0 {
		return e.Status
	}
	if s, ok := statusOf[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

type outcomeIssue struct {
	Severity    Severity `json:"severity"`
	Code        Code     `json:"code"`
	Diagnostics string   `json:"diagnostics"`
	Expression  []string `json:"expression,omitempty"`
}

type outcome struct {
	ResourceType string         `json:"resourceType"`
	Issue        []outcomeIssue `json:"issue"`
}

// Outcome renders an OperationOutcome. An error that is not a fhir.Error shows
// nothing of itself but the trace id, so that no detail leaks to the caller.
func Outcome(err error, traceID string) []byte {
	var list Issues
	var one *Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = Issues{one}
	default:
		list = Issues{Errorf(CodeException, "", "The exchange could not do this because of a fault of its own. Quote this number to the operator: %s", traceID)}
	}
	o := outcome{ResourceType: "OperationOutcome", Issue: []outcomeIssue{}}
	for _, e := range list {
		oi := outcomeIssue{Severity: e.Severity, Code: e.Code, Diagnostics: e.Diagnostics}
		if oi.Severity == "" {
			oi.Severity = SeverityError
		}
		if e.Expression != "" {
			oi.Expression = []string{e.Expression}
		}
		o.Issue = append(o.Issue, oi)
	}
	if len(o.Issue) == 0 {
		o.Issue = append(o.Issue, outcomeIssue{Severity: SeverityInformation, Code: CodeInformational, Diagnostics: "All is well."})
	}
	b, _ := json.Marshal(o) // strings only: cannot fail
	return b
}
