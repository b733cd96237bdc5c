package subscription

import (
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Profile is the profile of Subscriptions to topics.
const Profile = backport + "backport-subscription"

// extensions are those of the backport to R4: where they stand, and their value.
var extensions = []struct{ url, on, value, slice, most string }{
	{extensionFilter, "Subscription.criteria", "string", "filterCriteria", "*"},
	{extensionHeartbeat, "Subscription.channel", "unsignedInt", "heartbeatPeriod", "1"},
	{extensionTimeout, "Subscription.channel", "unsignedInt", "timeout", "1"},
	{extensionMaxCount, "Subscription.channel", "positiveInt", "maxCount", "1"},
	{backport + "backport-channel-type", "Subscription.channel.type", "Coding", "customChannelType", "1"},
	{extensionContent, "Subscription.channel.payload", "code", "content", "1"},
}

type object = map[string]any

// Definitions gives the profile of Subscriptions to topics and its extensions,
// as the exchange judges by them. They are HL7's, in version 1.1.0, without
// their texts.
var Definitions = sync.OnceValue(func() []*fhir.Document {
	elements := []object{{"id": "Subscription", "path": "Subscription"}}
	var all []*fhir.Document
	sliced := map[string]bool{}
	for _, e := range extensions {
		all = append(all, definition(e.url, "Extension", "complex-type", object{"context": []object{{"type": "element", "expression": e.on}}}, []object{
			{"id": "Extension", "path": "Extension"},
			{"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
			{"id": "Extension.url", "path": "Extension.url", "fixedUri": e.url},
			{"id": "Extension.value[x]", "path": "Extension.value[x]", "type": []object{{"code": e.value}}},
		}))
		path := e.on + ".extension"
		if !sliced[path] {
			sliced[path] = true
			if e.slice == "content" {
				elements = append(elements, object{"id": e.on, "path": e.on, "min": 1})
			}
			elements = append(elements, object{"id": path, "path": path, "slicing": object{"discriminator": []object{{"type": "value", "path": "url"}}, "rules": "open"}})
		}
		slice := object{"id": path + ":" + e.slice, "path": path, "sliceName": e.slice, "max": e.most, "type": []object{{"code": "Extension", "profile": []string{e.url}}}}
		if e.slice == "content" {
			slice["min"] = 1
		}
		elements = append(elements, slice)
	}
	return append(all, definition(Profile, "Subscription", "resource", nil, elements))
})

func definition(url, typ, kind string, more object, elements []object) *fhir.Document {
	id := strings.TrimPrefix(url, backport)
	var name strings.Builder
	for part := range strings.SplitSeq(id, "-") {
		name.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	o := object{
		"resourceType": "StructureDefinition", "id": id, "url": url, "version": "1.1.0", "name": name.String(), "status": "active",
		"publisher": "Jumpa, after HL7's Subscriptions R5 Backport", "fhirVersion": "4.0.1", "kind": kind, "abstract": false, "type": typ,
		"baseDefinition": "http://hl7.org/fhir/StructureDefinition/" + typ, "derivation": "constraint", "differential": object{"element": elements},
	}
	for k, v := range more {
		o[k] = v
	}
	doc, err := fhir.Parse(fhir.Marshal(o))
	if err != nil {
		panic("subscription: " + err.Error()) // it is this package's own
	}
	return doc
}
