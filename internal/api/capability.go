package api

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/library"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/mycore"
)

// statementID is the id of the CapabilityStatement of this exchange.
const statementID = "exchange"

// metadata answers GET [base]/metadata, without a token.
func (f *FHIR) metadata(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	part, _, err := shapeOf(values)
	if err != nil {
		return err
	}
	s, err := f.statement(values.Get("mode"))
	if err != nil {
		return err
	}
	if !part.all() {
		s = tagged(part.of(s.body))
	}
	w.Header().Set("ETag", s.tag)
	if matchesTag(r.Header.Get("If-None-Match"), s.tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeBody(w, http.StatusOK, s.body)
}

// taggedBody is an answer and its ETag, which is the same in every format.
type taggedBody struct {
	body []byte
	tag  string
}

func tagged(body []byte) taggedBody {
	sum := sha256.Sum256(body)
	return taggedBody{body, `W/"` + hex.EncodeToString(sum[:8]) + `"`}
}

// matchesTag reads If-None-Match.
func matchesTag(header, tag string) bool {
	for given := range strings.SplitSeq(header, ",") {
		if given = strings.TrimSpace(given); given == "*" || strings.TrimPrefix(given, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// statement gives what one mode of the metadata asks for. The statements are
// made once, and anew when the base changes.
func (f *FHIR) statement(mode string) (taggedBody, error) {
	f.capability.Lock()
	defer f.capability.Unlock()
	if base := f.baseURL(); f.capability.bodies == nil || f.capability.base != base {
		full := fhir.Marshal(f.describeAll())
		doc, err := fhir.ParseWithin(full, answerLimits)
		if err != nil {
			return taggedBody{}, err
		}
		f.capability.base = base
		f.capability.bodies = map[string]taggedBody{"": tagged(full), "full": tagged(full), "normative": tagged(normative(nil, doc.Root(), ""))}
	}
	if mode == "terminology" && f.terms != nil && f.capability.bodies[mode].body == nil {
		f.capability.bodies[mode] = tagged(fhir.Marshal(f.describeTerms()))
	}
	if s, ok := f.capability.bodies[mode]; ok {
		return s, nil
	}
	return taggedBody{}, fhir.Errorf(fhir.CodeInvalid, "", "The mode of the metadata is full, normative or terminology.")
}

// Statements gives the CapabilityStatement as a resource that can be searched.
func (f *FHIR) Statements() []library.Item {
	return []library.Item{{ID: statementID, Make: func() any { return f.describeAll() }}}
}

// describeAll makes the statement from what the handlers work by: the routes,
// the policy, the operations and the search parameters.
func (f *FHIR) describeAll() *capabilityStatement {
	rest := capabilityOfRest{
		Mode: "server", Security: f.security(), SearchParam: searchParamsOfAll(),
		Documentation: "A search gives a page at a time, with links to the next. What it does not know it ignores and says so; under Prefer: handling=strict it refuses it. " +
			"Answers are shaped by _summary, _elements, _sort, _count, _total, _include and _revinclude. Bodies and answers may be compressed with gzip.",
	}
	if f.subs != nil {
		rest.Extension = []extension{{URL: extensionSocket, ValueURI: f.socketURL()}}
	}
	for _, rt := range f.routes {
		if strings.Contains(rt.pattern, "{type}") {
			continue
		}
		for _, m := range rt.methods {
			switch {
			case strings.HasPrefix(m.interaction, "$"):
				rest.Operation = appendOnce(rest.Operation, operationOf(m.interaction, "").capability())
			case m.interaction == "transaction": // a batch comes to the same address
				rest.Interaction = appendOnce(appendOnce(rest.Interaction, interaction{"transaction"}), interaction{"batch"})
			case systemInteractions[m.interaction]:
				rest.Interaction = appendOnce(rest.Interaction, interaction{m.interaction})
			}
		}
	}
	included, profiles := revIncludes(), supportedProfiles()
	for _, typ := range search.Types() {
		if c := f.describeType(typ); len(c.Interaction) > 0 {
			if c.SupportedProfile = profiles[typ]; c.can("search-type") && search.Stored(typ) {
				c.SearchRevInclude = append([]string{search.Any}, included[typ]...)
			}
			f.describeSubscriptions(&c)
			rest.Resource = append(rest.Resource, c)
		}
	}
	if slices.ContainsFunc(f.routes, func(rt fhirRoute) bool { return strings.Contains(rt.pattern, "{member}") }) {
		for _, c := range r4.Compartments() {
			rest.Compartment = append(rest.Compartment, c.URL)
		}
	}
	return &capabilityStatement{
		ResourceType: "CapabilityStatement", ID: statementID, URL: f.baseURL() + "/CapabilityStatement/" + statementID, Version: f.version,
		Name: "JumpaExchange", Title: "Jumpa, a health information exchange for virtual consultations", Status: "active",
		Date: fhir.FormatDateTime(f.started), Publisher: "Jumpa",
		Description:  "What this exchange can do, made from what is implemented: FHIR R4 and MY Core, for virtual consultations.",
		Jurisdiction: []concept{{Coding: []coding{{System: "urn:iso:std:iso:3166", Code: "MY", Display: "Malaysia"}}}},
		Kind:         "instance", Software: software{"Jumpa", f.version},
		Implementation: implementation{"Health information exchange for virtual consultations", f.baseURL()},
		FHIRVersion:    "4.0.1", Format: []string{mediaFHIR, "json", mediaXML, "xml"},
		PatchFormat: []string{mediaJSONPatch, mediaFHIR, mediaXML},
		Rest:        []capabilityOfRest{rest},
	}
}

// systemInteractions are the interactions with the whole system that a
// statement has words for.
var systemInteractions = map[string]bool{"batch": true, "search-system": true, "history-system": true}

func appendOnce[T comparable](all []T, one T) []T {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// everything is a client with every scope: what the policy still refuses to it
// is refused to all.
var everything = auth.Principal{Kind: auth.Client, ID: "any", Organization: "any", Scopes: []string{"system/*.cruds"}}

// derived says what can be done with a resource that is not stored.
var derived = map[string]bool{"read": true, "search-type": true}

func (f *FHIR) describeType(typ string) capabilityOfType {
	c := capabilityOfType{
		Type: typ, Profile: "http://hl7.org/fhir/StructureDefinition/" + typ, Versioning: "no-version",
		ConditionalRead: "full-support", ConditionalDelete: "not-supported", ReferencePolicy: []string{"literal", "logical"},
	}
	seen := make(map[string]bool)
	for _, rt := range f.routes {
		if !strings.HasPrefix(rt.pattern, "/{type}") && !strings.HasPrefix(rt.pattern, "/"+typ+"/") {
			continue
		}
		for _, m := range rt.methods {
			if _, err := auth.Allow(everything, m.action, typ); err != nil || seen[m.interaction] || !hasOperation(m.interaction, typ) ||
				!search.Stored(typ) && !derived[m.interaction] {
				continue
			}
			seen[m.interaction] = true
			switch {
			case typeInteractions[m.interaction]:
				c.Interaction = append(c.Interaction, interaction{m.interaction})
			case strings.HasPrefix(m.interaction, "$"):
				c.Operation = append(c.Operation, operationOf(m.interaction, typ).capability())
			}
		}
	}
	c.UpdateCreate, c.ConditionalCreate, c.ConditionalUpdate = seen["update"] && seen["create"], seen["create"], seen[conditionalUpdate]
	if seen[conditionalDelete] {
		c.ConditionalDelete = "single"
	}
	switch {
	case seen["update"]:
		c.Versioning, c.ReadHistory = "versioned-update", true
	case seen["vread"]:
		c.Versioning, c.ReadHistory = "versioned", true
	}
	for _, code := range search.Codes(typ) {
		c.SearchParam = append(c.SearchParam, searchParamOf(typ, code))
	}
	if includes := (search.Include{Type: typ, Param: search.Any}).References(); len(includes) > 0 && seen["search-type"] && search.Stored(typ) {
		c.SearchInclude = []string{search.Any, typ + ":" + search.Any}
		for _, p := range includes {
			c.SearchInclude = append(c.SearchInclude, typ+":"+p.Code)
		}
	}
	return c
}

// typeInteractions are the interactions with a type that a statement has words
// for.
var typeInteractions = map[string]bool{
	"read": true, "vread": true, "update": true, "patch": true, "delete": true, "history-instance": true, "history-type": true, "create": true, "search-type": true,
}

func (o *operation) capability() operationOfType {
	return operationOfType{o.name[1:], o.definition(), o.says}
}

func searchParamOf(typ, code string) searchParam {
	d, _ := search.DefinitionOf(typ, code)
	p := searchParam{Name: code, Definition: d.URL, Type: d.Type}
	if len(d.Modifiers) > 0 {
		p.Documentation = "Modifiers: " + strings.Join(d.Modifiers, ", ") + "."
	}
	return p
}

// searchParamsOfAll gives the parameters that all stored types have.
func searchParamsOfAll() []searchParam {
	var all []searchParam
	for _, code := range search.Codes("Basic") {
		if d, _ := search.DefinitionOf("Basic", code); slices.Contains(d.Base, "Resource") {
			all = append(all, searchParamOf("Basic", code))
		}
	}
	return all
}

// revIncludes gives for each type the references that lead to it by name. All
// those that may lead anywhere can be asked for too.
func revIncludes() map[string][]string {
	included := make(map[string][]string)
	for _, typ := range search.Types() {
		for _, p := range (search.Include{Type: typ, Param: search.Any}).References() {
			if !search.Stored(typ) {
				continue
			}
			for _, target := range p.Target {
				included[target] = append(included[target], typ+":"+p.Code)
			}
		}
	}
	return included
}

// supportedProfiles gives MY Core's profiles of each type.
func supportedProfiles() map[string][]string {
	profiles := make(map[string][]string)
	for _, doc := range mycore.Definitions() {
		if doc.Type() == "StructureDefinition" && doc.Get("kind").Is("resource") {
			typ := doc.Get("type").String()
			profiles[typ] = append(profiles[typ], doc.Get("url").String())
		}
	}
	for typ := range maps.Keys(profiles) {
		slices.Sort(profiles[typ])
		profiles[typ] = slices.Compact(profiles[typ])
	}
	return profiles
}

func (f *FHIR) security() capabilitySecurity {
	return capabilitySecurity{
		CORS: len(f.origins) > 0,
		Service: []concept{{
			Coding: []coding{{"http://terminology.hl7.org/CodeSystem/restful-security-service", "SMART-on-FHIR", "SMART-on-FHIR"}},
			Text:   "OAuth2 client credentials with SMART backend scopes (system/Type.cruds), as .well-known/smart-configuration says",
		}},
		Description: "Every request but this one needs a bearer token. A system sees the records of its organisation, those granted to it, the directory, and the definitions by which the exchange works.",
	}
}
