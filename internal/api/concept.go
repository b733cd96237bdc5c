package api

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

type rawJSON = json.RawMessage

// outParameter is a parameter of an answer.
type outParameter struct {
	Name         string         `json:"name"`
	ValueString  string         `json:"valueString,omitempty"`
	ValueCode    string         `json:"valueCode,omitempty"`
	ValueURI     string         `json:"valueUri,omitempty"`
	ValueBoolean *bool          `json:"valueBoolean,omitempty"`
	ValueInteger *int           `json:"valueInteger,omitempty"`
	ValueCoding  *outCoding     `json:"valueCoding,omitempty"`
	Part         []outParameter `json:"part,omitempty"`

	as    string // the name of a value whose type a code system decides
	typed any
}

// MarshalJSON implements json.Marshaler.
func (p outParameter) MarshalJSON() ([]byte, error) {
	if p.as != "" {
		return json.Marshal(map[string]any{"name": p.Name, p.as: p.typed})
	}
	type plain outParameter
	return json.Marshal(plain(p))
}

func parametersBody(list []outParameter) []byte {
	return fhir.Marshal(struct {
		ResourceType string         `json:"resourceType"`
		Parameter    []outParameter `json:"parameter"`
	}{"Parameters", list})
}

// verdictParameters says what became of a check.
func verdictParameters(v terminology.Verdict) []outParameter {
	list := []outParameter{{Name: "result", ValueBoolean: &v.Result}}
	if v.Message != "" {
		list = append(list, outParameter{Name: "message", ValueString: v.Message})
	}
	if v.Coding.Display != "" {
		list = append(list, outParameter{Name: "display", ValueString: v.Coding.Display})
	}
	if v.Coding.Code != "" {
		list = append(list, outParameter{Name: "code", ValueCode: v.Coding.Code}, outParameter{Name: "system", ValueURI: v.Coding.System})
	}
	if v.Coding.Version != "" {
		list = append(list, outParameter{Name: "version", ValueString: v.Coding.Version})
	}
	if v.Inactive {
		list = append(list, outParameter{Name: "inactive", ValueBoolean: &v.Inactive})
	}
	return list
}

// describeConcept says what is known of a concept. wanted names the
// properties, none for all.
func describeConcept(cs *terminology.CodeSystem, c *terminology.Concept, wanted []string, language string) []outParameter {
	list := []outParameter{{Name: "name", ValueString: cmp.Or(cs.Title, cs.Name, cs.URL)}}
	if cs.Version != "" {
		list = append(list, outParameter{Name: "version", ValueString: cs.Version})
	}
	list = append(list, outParameter{Name: "display", ValueString: cmp.Or(c.DisplayIn(language), c.Code)})
	asked := func(name string) bool { return len(wanted) == 0 || slices.Contains(wanted, name) }
	for _, d := range c.Designations {
		if asked("designation") || d.Language != "" && slices.Contains(wanted, "lang."+d.Language) {
			list = append(list, designationParameter(d))
		}
	}
	property := func(code, as string, value any, description string) {
		if !asked(code) {
			return
		}
		parts := []outParameter{{Name: "code", ValueCode: code}, {Name: "value", typed: value, as: as}}
		if description != "" {
			parts = append(parts, outParameter{Name: "description", ValueString: description})
		}
		list = append(list, outParameter{Name: "property", Part: parts})
	}
	if c.Definition != "" {
		property("definition", "valueString", c.Definition, "")
	}
	if c.Inactive || slices.Contains(wanted, "inactive") {
		property("inactive", "valueBoolean", c.Inactive, "")
	}
	for _, p := range c.Parents {
		property("parent", "valueCode", p.Code, p.Display)
	}
	for _, p := range c.Children {
		property("child", "valueCode", p.Code, p.Display)
	}
	for _, p := range c.Properties {
		if !slices.Contains([]string{"parent", "child", "inactive", "definition"}, p.Code) {
			as, value := p.Typed()
			property(p.Code, as, value, "")
		}
	}
	return list
}

func designationParameter(d terminology.Designation) outParameter {
	p := outParameter{Name: "designation"}
	if d.Language != "" {
		p.Part = append(p.Part, outParameter{Name: "language", ValueCode: d.Language})
	}
	if use := useOf(d); use != nil {
		p.Part = append(p.Part, outParameter{Name: "use", ValueCoding: use})
	}
	p.Part = append(p.Part, outParameter{Name: "value", ValueString: d.Value})
	return p
}
