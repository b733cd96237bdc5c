package api

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// capabilityStatement is a CapabilityStatement as this exchange writes it.
type capabilityStatement struct {
	ResourceType   string             `json:"resourceType"`
	ID             string             `json:"id"`
	URL            string             `json:"url"`
	Version        string             `json:"version,omitempty"`
	Name           string             `json:"name"`
	Title          string             `json:"title"`
	Status         string             `json:"status"`
	Date           string             `json:"date"`
	Publisher      string             `json:"publisher"`
	Description    string             `json:"description"`
	Jurisdiction   []concept          `json:"jurisdiction"`
	Kind           string             `json:"kind"`
	Software       software           `json:"software"`
	Implementation implementation     `json:"implementation"`
	FHIRVersion    string             `json:"fhirVersion"`
	Format         []string           `json:"format"`
	PatchFormat    []string           `json:"patchFormat"`
	Rest           []capabilityOfRest `json:"rest"`
}

type software struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type implementation struct {
	Description string `json:"description"`
	URL         string `json:"url"`
}

type capabilityOfRest struct {
	Extension     []extension        `json:"extension,omitempty"`
	Mode          string             `json:"mode"`
	Documentation string             `json:"documentation"`
	Security      capabilitySecurity `json:"security"`
	Resource      []capabilityOfType `json:"resource"`
	Interaction   []interaction      `json:"interaction"`
	SearchParam   []searchParam      `json:"searchParam"`
	Operation     []operationOfType  `json:"operation,omitempty"`
	Compartment   []string           `json:"compartment,omitempty"`
}

type capabilitySecurity struct {
	CORS        bool      `json:"cors"`
	Service     []concept `json:"service"`
	Description string    `json:"description"`
}

type extension struct {
	URL            string `json:"url"`
	ValueURI       string `json:"valueUri,omitempty"`
	ValueCanonical string `json:"valueCanonical,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding"`
	Text   string   `json:"text,omitempty"`
}

type coding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type interaction struct {
	Code string `json:"code"`
}

type capabilityOfType struct {
	Extension         []extension       `json:"extension,omitempty"`
	Type              string            `json:"type"`
	Profile           string            `json:"profile"`
	SupportedProfile  []string          `json:"supportedProfile,omitempty"`
	Interaction       []interaction     `json:"interaction"`
	Versioning        string            `json:"versioning"`
	ReadHistory       bool              `json:"readHistory"`
	UpdateCreate      bool              `json:"updateCreate"`
	ConditionalCreate bool              `json:"conditionalCreate"`
	ConditionalRead   string            `json:"conditionalRead"`
	ConditionalUpdate bool              `json:"conditionalUpdate"`
	ConditionalDelete string            `json:"conditionalDelete"`
	ReferencePolicy   []string          `json:"referencePolicy"`
	SearchInclude     []string          `json:"searchInclude,omitempty"`
	SearchRevInclude  []string          `json:"searchRevInclude,omitempty"`
	SearchParam       []searchParam     `json:"searchParam,omitempty"`
	Operation         []operationOfType `json:"operation,omitempty"`
}

// can tells whether the type has an interaction.
func (c capabilityOfType) can(code string) bool {
	for _, i := range c.Interaction {
		if i.Code == code {
			return true
		}
	}
	return false
}

type operationOfType struct {
	Name          string `json:"name"`
	Definition    string `json:"definition"`
	Documentation string `json:"documentation"`
}

type searchParam struct {
	Name          string `json:"name"`
	Definition    string `json:"definition"`
	Type          string `json:"type"`
	Documentation string `json:"documentation,omitempty"`
}

// trialUse are the elements of a CapabilityStatement that R4 has for trial use:
// all others are normative.
var trialUse = map[string]bool{
	"rest.security": true, "rest.resource.supportedProfile": true, "rest.resource.versioning": true, "rest.resource.readHistory": true,
	"rest.resource.updateCreate": true, "rest.resource.conditionalCreate": true, "rest.resource.conditionalRead": true,
	"rest.resource.conditionalUpdate": true, "rest.resource.conditionalDelete": true, "rest.resource.referencePolicy": true,
	"rest.resource.searchInclude": true, "rest.resource.searchRevInclude": true,
}

// normative writes a part of a statement without what is for trial use.
func normative(to []byte, n fhir.Node, path string) []byte {
	switch n.Kind() {
	case fhir.Object:
		to = append(to, '{')
		start := len(to)
		for c := range n.Children() {
			below := strings.TrimPrefix(path+"."+c.Name(), ".")
			if trialUse[below] {
				continue
			}
			if len(to) > start {
				to = append(to, ',')
			}
			to = normative(append(append(to, fhir.Marshal(c.Name())...), ':'), c, below)
		}
		return append(to, '}')
	case fhir.Array:
		to = append(to, '[')
		start := len(to)
		for c := range n.Children() {
			if len(to) > start {
				to = append(to, ',')
			}
			to = normative(to, c, path)
		}
		return append(to, ']')
	}
	return append(to, n.Raw()...)
}
