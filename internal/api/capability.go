package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
)

// metadata answers GET [base]/metadata, without a token.
func (f *FHIR) metadata(w http.ResponseWriter, r *http.Request) error {
	body, tag := f.statement()
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeBody(w, http.StatusOK, body)
}

// statement gives the CapabilityStatement, made anew when the base changes.
func (f *FHIR) statement() (body []byte, tag string) {
	f.capability.Lock()
	defer f.capability.Unlock()
	if base := f.baseURL(); f.capability.body == nil || f.capability.base != base {
		f.capability.base = base
		f.capability.body = fhir.Marshal(f.describeAll())
		sum := sha256.Sum256(f.capability.body)
		f.capability.tag = `W/"` + hex.EncodeToString(sum[:8]) + `"` // the same in every format
	}
	return f.capability.body, f.capability.tag
}

type capabilityStatement struct {
	ResourceType   string             `json:"resourceType"`
	Status         string             `json:"status"`
	Date           string             `json:"date"`
	Publisher      string             `json:"publisher"`
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
	Mode        string             `json:"mode"`
	Security    capabilitySecurity `json:"security"`
	Resource    []capabilityOfType `json:"resource"`
	Interaction []interaction      `json:"interaction"`
}

type capabilitySecurity struct {
	Extension   []extension `json:"extension"`
	Service     []concept   `json:"service"`
	Description string      `json:"description"`
}

type extension struct {
	URL       string      `json:"url"`
	ValueURI  string      `json:"valueUri,omitempty"`
	Extension []extension `json:"extension,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding"`
	Text   string   `json:"text"`
}

type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

type interaction struct {
	Code string `json:"code"`
}

type capabilityOfType struct {
	Type              string            `json:"type"`
	Interaction       []interaction     `json:"interaction"`
	Versioning        string            `json:"versioning"`
	ReadHistory       bool              `json:"readHistory"`
	UpdateCreate      bool              `json:"updateCreate"`
	ConditionalCreate bool              `json:"conditionalCreate"`
	ConditionalRead   string            `json:"conditionalRead"`
	ConditionalUpdate bool              `json:"conditionalUpdate"`
	ConditionalDelete string            `json:"conditionalDelete"`
	SearchInclude     []string          `json:"searchInclude,omitempty"`
	SearchRevInclude  []string          `json:"searchRevInclude,omitempty"`
	SearchParam       []searchParam     `json:"searchParam"`
	Operation         []operationOfType `json:"operation,omitempty"`
}

type operationOfType struct {
	Name       string `json:"name"`
	Definition string `json:"definition"`
}

type searchParam struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func (f *FHIR) describeAll() capabilityStatement {
	rest := capabilityOfRest{Mode: "server", Security: f.security()}
	included := revIncludes()
	for _, typ := range search.Types() {
		if c := f.describeType(typ); len(c.Interaction) > 0 {
			c.SearchRevInclude = included[typ]
			rest.Resource = append(rest.Resource, c)
		}
	}
	rest.Interaction = []interaction{{"transaction"}, {"batch"}, {"history-system"}} // the first two at one address
	return capabilityStatement{
		ResourceType: "CapabilityStatement", Status: "active", Date: fhir.FormatDateTime(f.started),
		Publisher: "Jumpa", Kind: "instance", Software: software{"Jumpa", f.version},
		Implementation: implementation{"Health information exchange for virtual consultations", f.baseURL()},
		FHIRVersion:    "4.0.1", Format: []string{mediaFHIR, "json", mediaXML, "xml"},
		PatchFormat: []string{mediaJSONPatch, mediaFHIR, mediaXML},
		Rest:        []capabilityOfRest{rest},
	}
}

// everything is a client with every scope: what the policy still refuses to it
// is refused to all.
var everything = auth.Principal{Kind: auth.Client, ID: "any", Organization: "any", Scopes: []string{"system/*.cruds"}}

// derived says what can be done with a resource that is not stored.
var derived = map[string]bool{"read": true, "search-type": true}

func (f *FHIR) describeType(typ string) capabilityOfType {
	c := capabilityOfType{Type: typ, Versioning: "no-version", ConditionalRead: "full-support"}
	seen := make(map[string]bool)
	for _, rt := range f.routes {
		if !strings.HasPrefix(rt.pattern, "/{type}") {
			continue
		}
		for _, m := range rt.methods {
			if _, err := auth.Allow(everything, m.action, typ); err != nil || seen[m.interaction] || !hasOperation(m.interaction, typ) ||
				!search.Stored(typ) && !derived[m.interaction] {
				continue
			}
			seen[m.interaction] = true
			switch {
			case strings.HasPrefix(m.interaction, "conditional"):
			case strings.HasPrefix(m.interaction, "$"):
				c.Operation = append(c.Operation, operationOfType{m.interaction[1:], operationOf(m.interaction, typ).definition()})
			default:
				c.Interaction = append(c.Interaction, interaction{m.interaction})
			}
		}
	}
	c.UpdateCreate, c.ConditionalCreate, c.ConditionalUpdate = seen["update"] && seen["create"], seen["create"], seen[conditionalUpdate]
	if c.ConditionalDelete = "not-supported"; seen[conditionalDelete] {
		c.ConditionalDelete = "single"
	}
	if search.Stored(typ) {
		c.Versioning, c.ReadHistory = "versioned-update", true
		c.SearchParam = []searchParam{{"_id", "token"}, {"_lastUpdated", "date"}}
	}
	for _, p := range search.Params(typ) {
		c.SearchParam = append(c.SearchParam, searchParam{p.Code, p.Type()})
		if p.Kind == search.Reference {
			c.SearchInclude = append(c.SearchInclude, typ+":"+p.Code)
		}
	}
	return c
}

// revIncludes gives for each type the references that lead to it by name.
func revIncludes() map[string][]string {
	included := make(map[string][]string)
	for _, typ := range search.Types() {
		for _, p := range search.Params(typ) {
			for _, target := range p.Target {
				if named[typ] {
					included[target] = append(included[target], typ+":"+p.Code)
				}
			}
		}
	}
	return included
}

// named are the types whose references are worth naming: those of a
// consultation. All others can be asked for too.
var named = map[string]bool{
	"Appointment": true, "Encounter": true, "HealthcareService": true, "Location": true, "Organization": true,
	"OrganizationAffiliation": true, "Patient": true, "PractitionerRole": true, "RelatedPerson": true,
	"Schedule": true, "Slot": true,
}

func (f *FHIR) security() capabilitySecurity {
	origin := strings.TrimSuffix(f.baseURL(), Root)
	return capabilitySecurity{
		Extension: []extension{{
			URL:       "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
			Extension: []extension{{URL: "token", ValueURI: origin + "/auth/token"}},
		}},
		Service: []concept{{
			Coding: []coding{{"http://terminology.hl7.org/CodeSystem/restful-security-service", "SMART-on-FHIR"}},
			Text:   "OAuth2 client credentials with SMART backend scopes (system/Type.cruds)",
		}},
		Description: "Every request but this one needs a bearer token. A system sees the records of its organisation, those granted to it, and the directory.",
	}
}
