package api

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/internal/library"
)

// terminologyStatement is a TerminologyCapabilities as this exchange writes it.
type terminologyStatement struct {
	ResourceType   string               `json:"resourceType"`
	ID             string               `json:"id"`
	URL            string               `json:"url"`
	Version        string               `json:"version,omitempty"`
	Name           string               `json:"name"`
	Title          string               `json:"title"`
	Status         string               `json:"status"`
	Date           string               `json:"date"`
	Publisher      string               `json:"publisher"`
	Description    string               `json:"description"`
	Kind           string               `json:"kind"`
	Software       software             `json:"software"`
	Implementation implementation       `json:"implementation"`
	LockedDate     bool                 `json:"lockedDate"`
	CodeSystem     []statedSystem       `json:"codeSystem"`
	Expansion      statedExpansion      `json:"expansion"`
	CodeSearch     string               `json:"codeSearch"`
	ValidateCode   statedCodeValidation `json:"validateCode"`
}

type statedSystem struct {
	URI         string          `json:"uri"`
	Version     []statedVersion `json:"version,omitempty"`
	Subsumption bool            `json:"subsumption"`
}

type statedVersion struct {
	Code          string   `json:"code"`
	IsDefault     bool     `json:"isDefault"`
	Compositional bool     `json:"compositional"`
	Property      []string `json:"property,omitempty"`
}

type statedExpansion struct {
	Hierarchical bool              `json:"hierarchical"`
	Paging       bool              `json:"paging"`
	Incomplete   bool              `json:"incomplete"`
	Parameter    []statedParameter `json:"parameter"`
	TextFilter   string            `json:"textFilter"`
}

type statedParameter struct {
	Name          string `json:"name"`
	Documentation string `json:"documentation"`
}

type statedCodeValidation struct {
	Translations bool `json:"translations"`
}

// TerminologyStatements gives the TerminologyCapabilities as a resource that
// can be searched.
func (f *FHIR) TerminologyStatements() []library.Item {
	return []library.Item{{ID: statementID, Make: func() any { return f.describeTerms() }}}
}

// describeTerms says which code systems the exchange knows and what can be
// asked of them, made from those systems and from the operations.
func (f *FHIR) describeTerms() *terminologyStatement {
	t := &terminologyStatement{
		ResourceType: "TerminologyCapabilities", ID: statementID, URL: f.baseURL() + "/TerminologyCapabilities/" + statementID, Version: f.version,
		Name: "JumpaTerminology", Title: "Terminology of Jumpa", Status: "active", Date: fhir.FormatDateTime(f.started), Publisher: "Jumpa",
		Description: "The code systems whose codes this exchange knows: those of MY Core, and those of FHIR R4 with the tables of HL7 v2 and v3 that it binds to.",
		Kind:        "instance", Software: software{"Jumpa", f.version},
		Implementation: implementation{"Health information exchange for virtual consultations", f.baseURL()},
		Expansion:      statedExpansion{Hierarchical: true, Paging: true},
		CodeSearch:     "explicit",
	}
	for cs := range f.terms.CodeSystems() {
		if len(cs.Concepts) > 0 {
			t.CodeSystem = append(t.CodeSystem, stated(cs))
		}
	}
	slices.SortFunc(t.CodeSystem, func(a, b statedSystem) int { return strings.Compare(a.URI, b.URI) })
	for _, p := range operationOf("$expand", "ValueSet").params {
		if p.use != "in" {
			continue
		}
		t.Expansion.Parameter = append(t.Expansion.Parameter, statedParameter{p.name, p.says})
		if p.name == "filter" {
			t.Expansion.TextFilter = p.says
		}
	}
	return t
}

func stated(cs *terminology.CodeSystem) statedSystem {
	s := statedSystem{URI: cs.URL, Subsumption: true}
	if cs.Version != "" {
		v := statedVersion{Code: cs.Version, IsDefault: true}
		for _, p := range cs.Properties {
			v.Property = append(v.Property, p.Code)
		}
		s.Version = []statedVersion{v}
	}
	return s
}
