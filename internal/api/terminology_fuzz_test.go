package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Whatever Parameters say, a question about codes has an answer or an error of
// the caller.
func FuzzTerminologyParameters(f *testing.F) {
	f.Add(asking("url", "valueUri", genderSet, "code", "valueCode", "male", "system", "valueUri", genderSystem))
	f.Add(asking("coding", "valueCoding", `{"system":"`+actCode+`","code":"AMB"}`, "property", "valueCode", "parent", "abstract", "valueBoolean", "true"))
	f.Add(asking("codingA", "valueCoding", `{"system":"`+actCode+`","code":"AMB"}`, "codingB", "valueCoding", `{"code":"IMP"}`))
	f.Add(asking("valueSet", "resource", `{"resourceType":"ValueSet","compose":{"include":[{"system":"`+genderSystem+`"}]}}`, "count", "valueInteger", "2", "filter", "valueString", "e"))
	f.Add(asking("codeSystem", "resource", `{"resourceType":"CodeSystem","content":"complete","concept":[{"code":"a"}]}`, "codeableConcept", "valueCodeableConcept", `{"coding":[{"code":"a"},{}]}`))
	f.Add(`{"resourceType":"Parameters","parameter":[{},{"name":"code"},{"name":"coding","valueCoding":"x"},{"valueCode":1}]}`)
	f.Add(asking("conceptMap", "resource", `{"resourceType":"ConceptMap","group":[{"element":[{"code":"a","target":[{"code":"b"}]}]}]}`, "code", "valueCode", "b", "reverse", "valueBoolean", "true"))
	s := newServer(f)
	f.Fuzz(func(t *testing.T, body string) {
		for _, operation := range []string{"CodeSystem/$lookup", "CodeSystem/$validate-code", "CodeSystem/$subsumes", "ValueSet/$expand", "ValueSet/$validate-code", "ConceptMap/$translate"} {
			w := s.do(hospital, http.MethodPost, Root+"/"+operation, body, nil)
			if w.Code >= http.StatusInternalServerError {
				t.Fatalf("%s: %d %s", operation, w.Code, w.Body)
			}
			if _, err := fhir.ParseWithin(w.Body.Bytes(), answerLimits); err != nil {
				t.Fatalf("%s: %v: %s", operation, err, w.Body)
			}
			if w.Code >= http.StatusBadRequest && !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
				t.Fatalf("%s: %d %s", operation, w.Code, w.Body)
			}
		}
	})
}
