// Package terminology answers questions about codes: what a code means, whether
// it belongs to a code system or a value set, which codes a value set has, which
// code stands above another, and what a code is in another system.
//
//	t, err := terminology.New(terminology.Options{Documents: own})
//	set, err := t.Set("http://hl7.org/fhir/ValueSet/administrative-gender")
//	set.Contains("http://hl7.org/fhir/administrative-gender", "female") // In
//
// It knows the code systems and value sets of FHIR R4 (4.0.1) with the tables
// of HL7 v2 and v3 that R4 binds to, from an index that is written by the
// program in fhir/r4/gen, and those that Options add. A definition is read when
// it is first asked for, and a value set is worked out once. All of it may be
// used by many goroutines; what is handed out must not be changed.
//
// Codes of media types, languages, countries and currencies follow rules, or are
// known to golang.org/x/text: they can be checked and not be listed.
//
// HL7 publishes R4 under CC0. SNOMED CT, LOINC, ICD-10, CPT and the like belong
// to others and are not here: where the release lists codes of theirs, the
// codes are known and their displays are not.
//
// # Where it stops
//
// Where codes are not known the answer is Unknown and never Out: no code is
// called wrong because its system is not here. Definitions of concepts that are
// longer than 240 bytes are left out, as are comments and supplements. There is
// one version of each definition. What concept maps say only together with other
// facts is passed over.
package terminology
