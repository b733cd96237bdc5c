package api

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/library"
)

// operation is one operation, as its OperationDefinition says it. Where it can
// be called (on the system, a type, one record) stands in the routes.
type operation struct {
	name   string   // as it is called, such as $validate
	id     string   // of its OperationDefinition
	url    string   // of its OperationDefinition; HL7's for the id when empty
	types  []string // that have it; nil for all
	title  string
	says   string
	params []parameter
}

// parameter is what goes into an operation or comes out.
type parameter struct {
	use, name, occurs, typ string // in or out, its name, such as 0..1, its type or "" when it has parts
	says                   string
	parts                  []parameter
}

// operations holds every operation there is. One name may have several
// definitions, for different types.
var operations = []operation{
	{
		name: "$validate", id: "Resource-validate", title: "Validate a resource",
		says: "Says whether a resource is well formed, meets R4, the profiles that are named and the rules of MY Core, and whether it could be created, updated or deleted. Nothing is changed.",
		params: []parameter{
			{use: "in", name: "resource", occurs: "0..1", typ: "Resource", says: "The resource to judge. It may be left out for a record at its own address, and when the mode is delete."},
			{use: "in", name: "mode", occurs: "0..1", typ: "code", says: "What is meant to be done: create, update or delete. The mode profile judges by the profiles alone."},
			{use: "in", name: "profile", occurs: "0..*", typ: "uri", says: "Profiles to judge by, beside those that the resource names itself."},
			{use: "out", name: "return", occurs: "1..1", typ: "OperationOutcome", says: "The faults that were found; no error among them says that the resource is valid."},
		},
	},
	{
		name: "$meta", id: "Resource-meta", title: "The meta of a record",
		says: "Gives the profiles, tags and security labels of a record or of one of its versions, without the record; of a type or of the system, those that are in use among the records that the caller may see.",
		params: []parameter{
			{use: "out", name: "return", occurs: "1..1", typ: "Meta", says: "The meta of the record."},
		},
	},
	{
		name: "$meta-add", id: "Resource-meta-add", title: "Add labels to a record",
		says: "Adds profiles, tags and security labels to a record or to one of its versions. No new version is made. Tags and security labels are known by system and code, and none comes in twice.",
		params: []parameter{
			{use: "in", name: "meta", occurs: "1..1", typ: "Meta", says: "The profiles, tags and security labels to add."},
			{use: "out", name: "return", occurs: "1..1", typ: "Meta", says: "The meta of the record as it is then."},
		},
	},
	{
		name: "$meta-delete", id: "Resource-meta-delete", title: "Take labels from a record",
		says: "Takes profiles, tags and security labels from a record or from one of its versions; those that it has not are passed over. No new version is made.",
		params: []parameter{
			{use: "in", name: "meta", occurs: "1..1", typ: "Meta", says: "The profiles, tags and security labels to take away."},
			{use: "out", name: "return", occurs: "1..1", typ: "Meta", says: "The meta of the record as it is then."},
		},
	},
	{
		name: "$book", id: "Appointment-book", url: bookURL + "Appointment-book", types: []string{"Appointment"}, title: "Book a place in a slot",
		says:   bookSays,
		params: bookParams,
	},
	{
		name: "$book", id: "Slot-book", url: bookURL + "Slot-book", types: []string{"Slot"}, title: "Book a place in this slot",
		says:   bookSays,
		params: bookParams,
	},
	{
		name: "$everything", id: "Patient-everything", types: []string{"Patient"}, title: "The record of a patient",
		says: "Gives a patient and all records that refer to the patient, as far as the caller may see them, with what those refer to.",
		params: append([]parameter{
			{use: "in", name: "start", occurs: "0..1", typ: "date", says: "Only records of care on this day or later; those without a date of care are among them."},
			{use: "in", name: "end", occurs: "0..1", typ: "date", says: "Only records of care on this day or earlier."},
		}, everythingParams...),
	},
	{
		name: "$everything", id: "Encounter-everything", types: []string{"Encounter"}, title: "The record of an encounter",
		says:   "Gives an encounter and all records that refer to it, as far as the caller may see them, with what those refer to.",
		params: everythingParams,
	},
	{
		name: "$status", id: "backport-subscription-status", url: backport + "backport-subscription-status", types: []string{"Subscription"}, title: "The state of Subscriptions",
		says: "Tells of one Subscription, or of all that the caller may see, how it is and how many events it has had.",
		params: []parameter{
			{use: "in", name: "id", occurs: "0..*", typ: "id", says: "Only Subscriptions with these ids; passed over for one Subscription."},
			{use: "in", name: "status", occurs: "0..*", typ: "code", says: "Only Subscriptions with these statuses; passed over for one Subscription."},
			{use: "out", name: "return", occurs: "1..1", typ: "Bundle", says: "A searchset Bundle with Parameters for each Subscription."},
		},
	},
	{
		name: "$events", id: "backport-subscription-events", url: backport + "backport-subscription-events", types: []string{"Subscription"}, title: "The events of a Subscription",
		says: "Gives events that a Subscription has had in the last 72 hours, whether they were delivered or not: a hundred at most, and no more than fit with their content. Ask again from the number after the last.",
		params: []parameter{
			{use: "in", name: "eventsSinceNumber", occurs: "0..1", typ: "string", says: "The first event number."},
			{use: "in", name: "eventsUntilNumber", occurs: "0..1", typ: "string", says: "The last event number."},
			{use: "in", name: "content", occurs: "0..1", typ: "code", says: "empty, id-only or full-resource; as the Subscription has it when left out."},
			{use: "out", name: "return", occurs: "1..1", typ: "Bundle", says: "A notification Bundle of type history."},
		},
	},
	{
		name: "$get-ws-binding-token", id: "backport-subscription-get-ws-binding-token", url: backport + "backport-subscription-get-ws-binding-token",
		types: []string{"Subscription"}, title: "A token to listen on a websocket",
		says: "Gives a token, good for five minutes, with which a websocket is bound to Subscriptions whose channel is a websocket.",
		params: []parameter{
			{use: "in", name: "id", occurs: "0..*", typ: "id", says: "The Subscriptions to listen to; all that the caller may see when left out."},
			{use: "out", name: "token", occurs: "1..1", typ: "string", says: "What to send after bind-with-token."},
			{use: "out", name: "expiration", occurs: "1..1", typ: "dateTime", says: "Until when the token can be used."},
			{use: "out", name: "subscription", occurs: "0..*", typ: "string", says: "The ids of the Subscriptions that the token is for."},
			{use: "out", name: "websocket-url", occurs: "1..1", typ: "url", says: "Where the websocket is opened."},
		},
	},
	{
		name: "$lookup", id: "CodeSystem-lookup", types: []string{"CodeSystem"}, title: "What a code means",
		says: "Gives what is known of a code: its display, designations and properties.",
		params: []parameter{
			{use: "in", name: "code", occurs: "0..1", typ: "code", says: "The code, with its system."},
			{use: "in", name: "system", occurs: "0..1", typ: "uri", says: "The code system."},
			{use: "in", name: "version", occurs: "0..1", typ: "string", says: "The version of the code system, when it matters."},
			{use: "in", name: "coding", occurs: "0..1", typ: "Coding", says: "The code as a Coding, in place of code and system."},
			{use: "in", name: "displayLanguage", occurs: "0..1", typ: "code", says: "The language of the display, where there is one."},
			{use: "in", name: "property", occurs: "0..*", typ: "code", says: "The properties to give: designation, definition, parent, child, those of the code system, lang.X; all when none is named."},
			{use: "out", name: "name", occurs: "1..1", typ: "string", says: "The name of the code system."},
			{use: "out", name: "version", occurs: "0..1", typ: "string", says: "The version that is known."},
			{use: "out", name: "display", occurs: "1..1", typ: "string", says: "The display of the code."},
			{use: "out", name: "designation", occurs: "0..*", says: "Other texts for the code.", parts: []parameter{
				{use: "out", name: "language", occurs: "0..1", typ: "code"}, {use: "out", name: "use", occurs: "0..1", typ: "Coding"}, {use: "out", name: "value", occurs: "1..1", typ: "string"},
			}},
			{use: "out", name: "property", occurs: "0..*", says: "Properties of the code.", parts: []parameter{
				{use: "out", name: "code", occurs: "1..1", typ: "code"}, {use: "out", name: "value", occurs: "0..1", typ: "Element"}, {use: "out", name: "description", occurs: "0..1", typ: "string"},
			}},
		},
	},
	{
		name: "$validate-code", id: "CodeSystem-validate-code", types: []string{"CodeSystem"}, title: "Whether a code is of a code system",
		says: "Says whether a code system has a code. An error says that the code system is not known here.",
		params: slices.Concat([]parameter{
			{use: "in", name: "url", occurs: "0..1", typ: "uri", says: "The code system; not needed at its own address."},
			{use: "in", name: "codeSystem", occurs: "0..1", typ: "CodeSystem", says: "The code system itself, in place of its url."},
			{use: "in", name: "version", occurs: "0..1", typ: "string", says: "The version of the code system, when it matters."},
		}, checkParams),
	},
	{
		name: "$validate-code", id: "ValueSet-validate-code", types: []string{"ValueSet"}, title: "Whether a code is in a value set",
		says: "Says whether a value set has a code. An error says that its codes are not known here.",
		params: slices.Concat([]parameter{
			{use: "in", name: "url", occurs: "0..1", typ: "uri", says: "The value set; not needed at its own address."},
			{use: "in", name: "context", occurs: "0..1", typ: "uri", says: "In place of the url: an element that R4 binds to the value set, as http://hl7.org/fhir/StructureDefinition/Patient#Patient.gender."},
			{use: "in", name: "valueSet", occurs: "0..1", typ: "ValueSet", says: "The value set itself, in place of its url."},
			{use: "in", name: "valueSetVersion", occurs: "0..1", typ: "string", says: "The version of the value set, when it matters."},
			{use: "in", name: "system", occurs: "0..1", typ: "uri", says: "The system of the code. Without it the value set must have the code in one system alone."},
			{use: "in", name: "systemVersion", occurs: "0..1", typ: "string", says: "The version of the system, when it matters."},
		}, checkParams),
	},
	{
		name: "$subsumes", id: "CodeSystem-subsumes", types: []string{"CodeSystem"}, title: "Which of two codes stands above the other",
		says: "Says how two codes of a code system stand to each other in its hierarchy.",
		params: []parameter{
			{use: "in", name: "codeA", occurs: "0..1", typ: "code", says: "One code."},
			{use: "in", name: "codeB", occurs: "0..1", typ: "code", says: "The other code."},
			{use: "in", name: "system", occurs: "0..1", typ: "uri", says: "The code system; not needed at its own address."},
			{use: "in", name: "version", occurs: "0..1", typ: "string", says: "The version of the code system, when it matters."},
			{use: "in", name: "codingA", occurs: "0..1", typ: "Coding", says: "One code with its system."},
			{use: "in", name: "codingB", occurs: "0..1", typ: "Coding", says: "The other code with its system."},
			{use: "out", name: "outcome", occurs: "1..1", typ: "code", says: "equivalent, subsumes, subsumed-by or not-subsumed."},
		},
	},
	{
		name: "$translate", id: "ConceptMap-translate", types: []string{"ConceptMap"}, title: "What a code is in another code system",
		says: "Says what a code is in another code system, by a concept map: one of R4, one that the caller may read, or one that is sent along.",
		params: []parameter{
			{use: "in", name: "url", occurs: "0..1", typ: "uri", says: "The concept map; not needed at its own address."},
			{use: "in", name: "conceptMap", occurs: "0..1", typ: "ConceptMap", says: "The concept map itself, in place of its url."},
			{use: "in", name: "conceptMapVersion", occurs: "0..1", typ: "string", says: "The version of the concept map, when it matters."},
			{use: "in", name: "source", occurs: "0..1", typ: "uri", says: "In place of a concept map: the value set that one of R4 leads from."},
			{use: "in", name: "target", occurs: "0..1", typ: "uri", says: "In place of a concept map: the value set that one of R4 leads to."},
			{use: "in", name: "code", occurs: "0..1", typ: "code", says: "The code, with its system."},
			{use: "in", name: "system", occurs: "0..1", typ: "uri", says: "The system of the code."},
			{use: "in", name: "version", occurs: "0..1", typ: "string", says: "The version of the system."},
			{use: "in", name: "coding", occurs: "0..1", typ: "Coding", says: "The code as a Coding."},
			{use: "in", name: "codeableConcept", occurs: "0..1", typ: "CodeableConcept", says: "Several codes for one thing."},
			{use: "in", name: "targetsystem", occurs: "0..1", typ: "uri", says: "The system to translate to; all that the map leads to when it is not named."},
			{use: "in", name: "reverse", occurs: "0..1", typ: "boolean", says: "Whether to ask what leads to the code."},
			{use: "out", name: "result", occurs: "1..1", typ: "boolean", says: "Whether the code is something in the other system."},
			{use: "out", name: "message", occurs: "0..1", typ: "string", says: "Why it is nothing there."},
			{use: "out", name: "match", occurs: "0..*", says: "What it is, or that it is nothing.", parts: []parameter{
				{use: "out", name: "equivalence", occurs: "0..1", typ: "code"}, {use: "out", name: "concept", occurs: "0..1", typ: "Coding"}, {use: "out", name: "source", occurs: "0..1", typ: "uri"},
			}},
		},
	},
	{
		name: "$expand", id: "ValueSet-expand", types: []string{"ValueSet"}, title: "The codes of a value set",
		says: "Lists the codes of a value set, all of them or a page. An error says that they are not known here or too many.",
		params: []parameter{
			{use: "in", name: "url", occurs: "0..1", typ: "uri", says: "The value set; not needed at its own address."},
			{use: "in", name: "context", occurs: "0..1", typ: "uri", says: "In place of the url: an element that R4 binds to the value set, as http://hl7.org/fhir/StructureDefinition/Patient#Patient.gender."},
			{use: "in", name: "valueSet", occurs: "0..1", typ: "ValueSet", says: "The value set itself, in place of its url."},
			{use: "in", name: "valueSetVersion", occurs: "0..1", typ: "string", says: "The version of the value set, when it matters."},
			{use: "in", name: "filter", occurs: "0..1", typ: "string", says: "Words of which each must be part of the code, its display or one of its designations."},
			{use: "in", name: "offset", occurs: "0..1", typ: "integer", says: "How many codes to pass over."},
			{use: "in", name: "count", occurs: "0..1", typ: "integer", says: "How many codes to give at most; 0 for their number alone."},
			{use: "in", name: "includeDesignations", occurs: "0..1", typ: "boolean", says: "Give all designations."},
			{use: "in", name: "designation", occurs: "0..*", typ: "string", says: "Give the designations in these languages."},
			{use: "in", name: "includeDefinition", occurs: "0..1", typ: "boolean", says: "Give the definition of the value set too."},
			{use: "in", name: "activeOnly", occurs: "0..1", typ: "boolean", says: "Leave codes out that are no longer in use."},
			{use: "in", name: "excludeNested", occurs: "0..1", typ: "boolean", says: "When false, and the whole value set is asked for, codes stand below those that they belong to."},
			{use: "in", name: "excludeNotForUI", occurs: "0..1", typ: "boolean", says: "Leave codes out that only group others."},
			{use: "in", name: "displayLanguage", occurs: "0..1", typ: "code", says: "The language of displays, where there is one."},
			{use: "in", name: "exclude-system", occurs: "0..*", typ: "canonical", says: "Leave the codes of these systems out."},
			{use: "in", name: "system-version", occurs: "0..*", typ: "canonical", says: "The version of a system, which must be the one that is known."},
			{use: "in", name: "check-system-version", occurs: "0..*", typ: "canonical", says: "The same."},
			{use: "in", name: "force-system-version", occurs: "0..*", typ: "canonical", says: "The same."},
			{use: "out", name: "return", occurs: "1..1", typ: "ValueSet", says: "The value set with its expansion."},
		},
	},
}

var checkParams = []parameter{
	{use: "in", name: "code", occurs: "0..1", typ: "code", says: "The code."},
	{use: "in", name: "display", occurs: "0..1", typ: "string", says: "The display that goes with the code; one that does not belong to it makes the result false."},
	{use: "in", name: "coding", occurs: "0..1", typ: "Coding", says: "The code as a Coding."},
	{use: "in", name: "codeableConcept", occurs: "0..1", typ: "CodeableConcept", says: "Several codes for one thing, of which one suffices."},
	{use: "in", name: "abstract", occurs: "0..1", typ: "boolean", says: "Whether a code that only groups others will do."},
	{use: "in", name: "displayLanguage", occurs: "0..1", typ: "code", says: "The language of the display that is given back."},
	{use: "out", name: "result", occurs: "1..1", typ: "boolean", says: "Whether the code is valid."},
	{use: "out", name: "message", occurs: "0..1", typ: "string", says: "What is wrong, or what to know of the code."},
	{use: "out", name: "display", occurs: "0..1", typ: "string", says: "The display of the code."},
	{use: "out", name: "code", occurs: "0..1", typ: "code", says: "The code that was found."},
	{use: "out", name: "system", occurs: "0..1", typ: "uri", says: "The system that it was found in, spelt as its definition spells it."},
	{use: "out", name: "version", occurs: "0..1", typ: "string", says: "The version of that system."},
	{use: "out", name: "inactive", occurs: "0..1", typ: "boolean", says: "True for a code that is no longer in use."},
}

// backport begins the addresses of the operations of the Subscriptions R5
// Backport.
const backport = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/"

// $book is no operation of R4.
const (
	bookURL  = "https://github.com/jumpa-hie/jumpa/OperationDefinition/"
	bookSays = "Makes an Appointment for a patient in a Slot, in one transaction: of those who want the last place one gets it, and the others are refused with status 409."
)

var bookParams = []parameter{
	{use: "in", name: "slot", occurs: "0..1", typ: "Reference", says: "The Slot; it may be left out when the address names it."},
	{use: "in", name: "patient", occurs: "1..1", typ: "Reference", says: "The Patient, as Patient/id or by a condition that exactly one patient meets, such as Patient?identifier=system|value."},
	{use: "in", name: "status", occurs: "0..1", typ: "code", says: "booked, the default, or pending. Both take a place."},
	{use: "in", name: "reason", occurs: "0..*", typ: "CodeableConcept", says: "Why the appointment is made."},
	{use: "in", name: "description", occurs: "0..1", typ: "string", says: "What stands in a list of appointments."},
	{use: "in", name: "comment", occurs: "0..1", typ: "string", says: "A note to those who hold the appointment."},
	{use: "in", name: "participant", occurs: "0..*", typ: "Reference", says: "Whoever takes part beside the patient and the actors of the Schedule."},
	{use: "in", name: "supporting-information", occurs: "0..*", typ: "Reference", says: "Records that belong to the appointment."},
	{use: "in", name: "identifier", occurs: "0..*", typ: "Identifier", says: "Identifiers of the appointment. The session token of a group is taken from the Slot or its Schedule."},
	{use: "out", name: "return", occurs: "1..1", typ: "Appointment", says: "The Appointment, with times, codes and participants of the Slot, its Schedule and the HealthcareService."},
}

// parameterOf finds what may go in, by its name.
func parameterOf(params []parameter, name string) *parameter {
	i := slices.IndexFunc(params, func(p parameter) bool { return p.use == "in" && p.name == name })
	if i < 0 {
		return nil
	}
	return &params[i]
}

// single tells whether a parameter may be given once at most.
func (p *parameter) single() bool { return strings.HasSuffix(p.occurs, "..1") }

var everythingParams = []parameter{
	{use: "in", name: "_since", occurs: "0..1", typ: "instant", says: "Only records that were changed at this time or later."},
	{use: "in", name: "_type", occurs: "0..*", typ: "code", says: "Only records of these types."},
	{use: "in", name: "_count", occurs: "0..1", typ: "integer", says: "How many records a page has at most."},
	{use: "out", name: "return", occurs: "1..1", typ: "Bundle", says: "A searchset Bundle, with a link to its next page."},
}

// operationOf gives the operation of a type by name, nil when it has none.
// typ is "" on the system.
func operationOf(name, typ string) *operation {
	i := slices.IndexFunc(operations, func(o operation) bool {
		return o.name == name && (o.types == nil || typ == "" || slices.Contains(o.types, typ))
	})
	if i < 0 {
		return nil
	}
	return &operations[i]
}

// hasOperation tells whether a type has what an interaction names. All have
// what is no operation.
func hasOperation(interaction, typ string) bool {
	return !strings.HasPrefix(interaction, "$") || operationOf(interaction, typ) != nil
}

func (o *operation) definition() string {
	return cmp.Or(o.url, "http://hl7.org/fhir/OperationDefinition/"+o.id)
}

// Operations gives the OperationDefinitions, made of the operations and of the
// routes that lead to them.
func Operations() []library.Item {
	var all []library.Item
	for i := range operations {
		o := &operations[i]
		all = append(all, library.Item{ID: o.id, Make: func() any { return o.describe() }})
	}
	return all
}

type operationDefinition struct {
	ResourceType string                `json:"resourceType"`
	ID           string                `json:"id"`
	URL          string                `json:"url"`
	Name         string                `json:"name"`
	Title        string                `json:"title"`
	Status       string                `json:"status"`
	Kind         string                `json:"kind"`
	Publisher    string                `json:"publisher"`
	Description  string                `json:"description"`
	AffectsState bool                  `json:"affectsState"`
	Code         string                `json:"code"`
	Resource     []string              `json:"resource"`
	System       bool                  `json:"system"`
	Type         bool                  `json:"type"`
	Instance     bool                  `json:"instance"`
	Parameter    []operationParameters `json:"parameter,omitempty"`
}

type operationParameters struct {
	Name          string                `json:"name"`
	Use           string                `json:"use"`
	Min           int                   `json:"min"`
	Max           string                `json:"max"`
	Documentation string                `json:"documentation,omitempty"`
	Type          string                `json:"type,omitempty"`
	Part          []operationParameters `json:"part,omitempty"`
}

func (o *operation) describe() operationDefinition {
	d := operationDefinition{
		ResourceType: "OperationDefinition", ID: o.id, URL: o.definition(), Name: capitalized(o.id), Title: o.title, Status: "active",
		Kind: "operation", Publisher: "Jumpa", Description: o.says, Code: strings.TrimPrefix(o.name, "$"), Resource: o.types,
		AffectsState: changes(o.name, routes), Parameter: described(o.params),
	}
	if o.types == nil {
		d.Resource = []string{"Resource"}
	}
	for _, rt := range routes {
		for _, m := range rt.methods {
			if m.interaction != o.name {
				continue
			}
			if of, _, _ := strings.Cut(rt.pattern[1:], "/"); r4.IsResource(of) && !slices.Contains(o.types, of) {
				continue // of another definition with this name
			}
			switch strings.Count(rt.pattern, "/") {
			case 1:
				d.System = true
			case 2:
				d.Type = true
			default:
				d.Instance = true
			}
		}
	}
	return d
}

// changes tells whether an operation changes records, as its routes say.
func changes(name string, routes []fhirRoute) bool {
	for _, rt := range routes {
		for _, m := range rt.methods {
			if m.interaction == name && m.action != auth.Read && m.action != auth.Search && m.action != auth.Ask {
				return true
			}
		}
	}
	return false
}

// capitalized makes a name of an id: Resource-meta-add is ResourceMetaAdd.
func capitalized(id string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(id, "-") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

func described(params []parameter) []operationParameters {
	var all []operationParameters
	for _, p := range params {
		low, high, _ := strings.Cut(p.occurs, "..")
		d := operationParameters{Name: p.name, Use: p.use, Max: high, Documentation: p.says, Type: p.typ, Part: described(p.parts)}
		if low != "0" {
			d.Min = 1
		}
		all = append(all, d)
	}
	return all
}
