package source

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Error is an answer of the exchange that refuses a request. Find it with
// errors.As; requests that got no answer give other errors.
type Error struct {
	Status int     // of HTTP
	Issues []Issue // at least one
}

// Issue is one issue of the exchange's OperationOutcome.
type Issue struct {
	Severity    string   // fatal, error, warning or information
	Code        string   // FHIR issue type, such as business-rule
	Diagnostics string   // a sentence that a nurse can read
	Expression  []string // FHIRPath of the elements at fault
}

// Error implements error: the status and the first issue.
func (e *Error) Error() string {
	is := e.Issues[0]
	if is.Diagnostics == "" {
		return fmt.Sprintf("the exchange answered %d (%s)", e.Status, is.Code)
	}
	return fmt.Sprintf("the exchange answered %d (%s): %s", e.Status, is.Code, is.Diagnostics)
}

// maxIssues bounds what is kept of an answer.
const maxIssues = 100

// refusal reads an OperationOutcome, or the error of a token endpoint
// (RFC 6749 5.2). A body that is neither is not shown: a proxy wrote it.
func refusal(status int, body []byte) *Error {
	e := &Error{Status: status}
	if doc, err := fhir.Parse(body); err == nil && doc.Type() == "OperationOutcome" {
		for n := range doc.All("issue") {
			if len(e.Issues) == maxIssues {
				break
			}
			is := Issue{Severity: n.Get("severity").String(), Code: n.Get("code").String(), Diagnostics: n.Get("diagnostics").String()}
			if is.Diagnostics == "" {
				is.Diagnostics = n.Get("details").Get("text").String()
			}
			for x := range n.All("expression") {
				is.Expression = append(is.Expression, x.String())
			}
			e.Issues = append(e.Issues, is)
		}
	}
	var oauth struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if len(e.Issues) == 0 && json.Unmarshal(body, &oauth) == nil && oauth.Error != "" {
		e.Issues = []Issue{{Severity: "error", Code: oauth.Error, Diagnostics: oauth.Description}}
	}
	if len(e.Issues) == 0 {
		e.Issues = []Issue{{Severity: "error", Code: codeOf(status), Diagnostics: http.StatusText(status)}}
	}
	return e
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return string(fhir.CodeLogin)
	case http.StatusForbidden:
		return string(fhir.CodeForbidden)
	case http.StatusNotFound:
		return string(fhir.CodeNotFound)
	case http.StatusTooManyRequests:
		return string(fhir.CodeThrottled)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return string(fhir.CodeTransient)
	}
	return string(fhir.CodeException)
}
