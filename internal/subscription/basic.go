package subscription

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// fromR5 begins the extensions that carry elements of R5's SubscriptionTopic
// in R4.
const fromR5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."

// Basic gives the topic as R4 can say it: a Basic resource with the elements of
// R5's SubscriptionTopic as extensions. base is the FHIR base URL.
func (t Topic) Basic(base string) []byte {
	type value = map[string]any
	trigger := []any{
		value{"url": "description", "valueMarkdown": t.sentence()},
		value{"url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/" + t.Resource},
		value{"url": "supportedInteraction", "valueCode": "create"},
		value{"url": "supportedInteraction", "valueCode": "update"},
	}
	shape := []any{value{"url": "resource", "valueUri": t.Resource}}
	for _, typ := range t.Include {
		shape = append(shape, value{"url": "include", "valueString": t.Resource + ":" + strings.ToLower(typ)})
	}
	return fhir.Marshal(struct {
		ResourceType      string  `json:"resourceType"`
		ID                string  `json:"id"`
		Extension         []value `json:"extension"`
		ModifierExtension []value `json:"modifierExtension"`
		Code              any     `json:"code"`
	}{
		"Basic", t.ID(),
		[]value{
			{"url": fromR5 + "url", "valueUri": Canonical(base, t.ID())},
			{"url": fromR5 + "title", "valueString": t.Title},
			{"url": fromR5 + "description", "valueMarkdown": t.sentence()},
			{"url": fromR5 + "resourceTrigger", "extension": trigger},
			{"url": fromR5 + "canFilterBy", "extension": []any{
				value{"url": "description", "valueMarkdown": "Every search parameter of " + t.Resource + " that looks at the record alone."},
				value{"url": "resource", "valueUri": t.Resource},
			}},
			{"url": fromR5 + "notificationShape", "extension": shape},
		},
		[]value{{"url": fromR5 + "status", "valueCode": "active"}},
		value{"coding": []any{value{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}}},
	})
}

// sentence says what is announced.
func (t Topic) sentence() string {
	var all []string
	for _, c := range t.Criteria {
		all = append(all, c.Element+" is "+strings.Join(c.Any, ", "))
	}
	text := "A record of type " + t.Resource + " is new, or newly meets: " + strings.Join(all, "; ")
	if len(t.Changes) > 0 {
		text += "; or one of these has changed: " + strings.Join(t.Changes, ", ")
	}
	if len(t.Recipients) > 0 {
		text += ". Told are the organisations to which these refer, or to which the record belongs to which they refer: " + strings.Join(t.Recipients, ", ")
	}
	if t.ByOthers {
		text += ". What the organisation that is told has done itself is left out"
	}
	return text + "."
}
