// Package r4 knows what FHIR R4 (4.0.1) says about resources: which elements a
// type has, in what order, how often and of which type, which value sets they
// are bound to, which rules hold, which search parameters exist, and what
// belongs to a patient or another compartment.
//
// The definitions are data: four text files made from HL7's own release by
// the program in gen (go generate), embedded, and read at the first question
// that needs them, a few milliseconds each. All that is handed out is shared
// by everyone and must not be changed; it may be read by many goroutines.
//
//	t, _ := r4.LookupType("Observation")
//	el, typ, _ := t.Element("valueQuantity")  // el.Name is "value", typ is "Quantity"
//	el, _, _ = t.Element("component.code")    // el.Binding, el.Constraints, …
//
// HL7 publishes the release under CC0. Two expressions that R4 has wrong are the
// corrected ones of later releases (app-4 of Appointment, tim-9 of Timing). Of
// the texts for people there is the short one of each element; descriptions,
// mappings and examples are left out, as are the logical type MetadataResource,
// fixed values and patterns (no base definition has any) and the modifiers of
// search parameters (the release lists none).
//
// The package stops at facts. It does not validate, evaluates no expression,
// and knows no profile but those that R4 itself puts on its data types
// (SimpleQuantity, MoneyQuantity). The codes of value sets are in package
// terminology.
package r4

//go:generate go run ./gen .
