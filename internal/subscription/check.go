package subscription

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Set is a checked list of topics.
type Set struct{ topics []Topic }

// Bounds of a list of topics, and of each one.
const (
	maxTopics = 100
	maxList   = 50  // entries of each list of a topic
	maxText   = 250 // characters of an entry, a title, an element or a value
)

// New checks topics and makes a Set of them. The error is a fhir.Error that
// names the topic and the field at fault.
func New(topics []Topic) (*Set, error) {
	switch {
	case len(topics) == 0:
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "There must be a topic.")
	case len(topics) > maxTopics:
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "There may be %d topics at most.", maxTopics)
	}
	for i, t := range topics {
		if err := t.check(); err != nil {
			return nil, err
		}
		for _, other := range topics[:i] {
			if t.meetsName(other) || t.ID() == other.ID() {
				return nil, fhir.Errorf(fhir.CodeInvalid, "name", "Topic %q: name may be, for some organisation, that of the topic %q.", t.Name, other.Name)
			}
		}
	}
	return &Set{topics: slices.Clone(topics)}, nil
}

var (
	topicName = regexp.MustCompile(`^[a-zA-Z0-9.-]{1,64}$`)
	element   = regexp.MustCompile(`^[a-zA-Z]+(\.[a-zA-Z]+)*$`)
	eventType = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,150}$`)
)

// provided are the types of which the exchange itself knows the organisation
// that provides the service, as long as they are about virtual consultation.
var provided = []string{"Encounter", "Appointment", "Schedule", "Slot", "HealthcareService"}

// check gives the first mistake. Each sentence begins with the field at fault.
func (t Topic) check() error {
	perOrganization := strings.Count(t.Name, Organization)
	name := strings.ReplaceAll(t.Name, Organization, "")
	known := slices.Contains(provided, t.Resource)
	for _, rule := range []struct {
		broken bool
		field  string
		says   string
	}{
		{!topicName.MatchString(name) || t.ID() == "" || perOrganization > 1, "name", "must hold up to 64 letters, digits, '.' and '-', and may hold one " + Organization},
		{tooLong(t.Title), "title", fmt.Sprintf("may have %d characters at most", maxText)},
		{!slices.Contains([]Category{Internal, Affiliate, Public}, t.Category), "category", "must be internal, affiliate or public"},
		{!slices.Contains([]Payload{Empty, IDOnly, FullResource}, t.Payload), "payload", "must be empty, id-only or full-resource"},
		{t.Category != Public && perOrganization == 0, "name", "may do without " + Organization + " in a public topic only"},
		{t.Category == Public && perOrganization > 0, "name", "may not hold " + Organization + " in a public topic, which is one for all"},
		{t.Category == Public && t.Payload == FullResource, "payload", "may not be full-resource in a public topic, which carries no whole records"},
		{t.Category == Public && len(t.Include) > 0, "include", "must be empty in a public topic, which tells of nothing but the record announced"},
		{t.Category == Public && t.ByOthers, "byOthers", "must be false in a public topic, which all read"},
		{t.Category == Public && len(t.Recipients) > 0, "recipients", "must be empty in a public topic, which all read"},
		{!announced(t.Resource), "resource", "must be a type of FHIR R4 whose records the exchange keeps"},
		{len(t.Include) > maxList || slices.ContainsFunc(t.Include, func(s string) bool { return !announced(s) }), "include", "must name types of FHIR R4 whose records the exchange keeps"},
		{t.Category != Public && !known && len(t.Recipients) == 0, "recipients", "must name the elements that refer to the organisations that are told, such as performer"},
		{known && len(t.Recipients) > 0, "recipients", "must be empty: of this type the organisation that provides the service is told"},
		{len(t.Recipients) > maxList, "recipients", fmt.Sprintf("may have %d entries at most", maxList)},
		{len(t.Criteria) == 0, "criteria", "must hold a criterion"},
		{len(t.Criteria) > maxList, "criteria", fmt.Sprintf("may have %d entries at most", maxList)},
		{len(t.Changes) > maxList, "changes", fmt.Sprintf("may have %d entries at most", maxList)},
		{!eventType.MatchString(strings.ReplaceAll(t.EventType, Status, "")), "eventType", "may hold letters, digits, '.', '_', '-' and " + Status},
	} {
		if rule.broken {
			return t.bad(rule.field, rule.says)
		}
	}
	return t.checkElements()
}

// checkElements sees that elements exist, and can hold what is looked for.
func (t Topic) checkElements() error {
	for _, path := range t.Recipients {
		if t.typeAt(path) != "Reference" {
			return t.bad("recipients", fmt.Sprintf("holds %q, which is no reference of %s", cut(path), t.Resource))
		}
	}
	for _, path := range t.Changes {
		if t.typeAt(path) == "" {
			return t.bad("changes", fmt.Sprintf("holds %q, which is no element of %s", cut(path), t.Resource))
		}
	}
	for _, c := range t.Criteria {
		switch typ := t.typeAt(c.Element); {
		case typ == "":
			return t.bad("criteria", fmt.Sprintf("holds the element %q, which is none of %s", cut(c.Element), t.Resource))
		case typ != "Coding" && typ != "CodeableConcept" && !r4.IsPrimitive(typ):
			return t.bad("criteria", fmt.Sprintf("holds the element %q, which is neither a text nor a code; name one within it", c.Element))
		case len(c.Any) == 0 || len(c.Any) > maxList || slices.Contains(c.Any, "") || slices.ContainsFunc(c.Any, tooLong):
			return t.bad("criteria", fmt.Sprintf("needs 1 to %d values for the element %q, of %d characters at most", maxList, c.Element, maxText))
		}
	}
	return nil
}

func (t Topic) bad(field, says string) error {
	return fhir.Errorf(fhir.CodeInvalid, field, "Topic %q: %s %s.", cut(t.Name), field, says)
}

func tooLong(s string) bool { return utf8.RuneCountInString(s) > maxText }

// cut gives as much of a text as an error should show.
func cut(s string) string {
	if tooLong(s) {
		return string([]rune(s)[:maxText]) + "…"
	}
	return s
}

// announced tells whether there may be topics about the records of a type.
// Subscriptions are not told to others.
func announced(typ string) bool {
	return search.TypeNamed(typ) && search.Stored(typ) && typ != "Subscription"
}

// typeAt gives the type of the element of the topic's resource at a dotted
// path; "" when there is none.
func (t Topic) typeAt(path string) string {
	resource, ok := r4.LookupType(t.Resource)
	if !ok || len(path) > maxText || !element.MatchString(path) {
		return ""
	}
	at, typ := resource.Root, ""
	for step := range strings.SplitSeq(path, ".") {
		child, is, ok := at.Child(step)
		if !ok || is == "" {
			return ""
		}
		at, typ = child.Content(is), is
	}
	return typ
}

// meetsName tells whether two topics can have the same name on the broker,
// each for some organisation.
func (t Topic) meetsName(other Topic) bool {
	before, after, perOrganization := strings.Cut(t.Name, Organization)
	otherBefore, otherAfter, both := strings.Cut(other.Name, Organization)
	if !perOrganization || !both {
		return t.owns(other.Name) || other.owns(t.Name)
	}
	return (strings.HasPrefix(before, otherBefore) || strings.HasPrefix(otherBefore, before)) &&
		(strings.HasSuffix(after, otherAfter) || strings.HasSuffix(otherAfter, after))
}

// Consultations tells whether the topics announce that the Encounter of a
// virtual consultation is there and that its status changes: source systems
// wait for both.
func (s *Set) Consultations() bool {
	for _, kind := range []string{"VCI", "VCE"} {
		encounter := func(status string) *fhir.Document {
			code := func(system, code string) object { return object{"system": system, "code": code} }
			doc, err := fhir.Parse(fhir.Marshal(object{
				"resourceType": "Encounter", "id": "sample", "status": status, "class": code(mycore.SystemEncounterClass, mycore.ClassVirtual),
				"serviceType": object{"coding": []object{code(mycore.SystemServiceType, kind)}}, "serviceProvider": object{"reference": "Organization/sample"},
			}))
			if err != nil {
				panic("subscription: " + err.Error()) // it is this package's own
			}
			return doc
		}
		arrived, started := encounter("arrived"), encounter("in-progress")
		for _, c := range []Change{{After: arrived}, {Before: arrived, After: started}} {
			c.Provider = "sample"
			if len(s.Match(c)) == 0 {
				return false
			}
		}
	}
	return true
}
