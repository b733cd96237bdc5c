// Package validate judges documents by the definitions of FHIR R4 and by
// profiles.
//
//	v := validate.New(validate.Options{})
//	err := v.AddProfile(structureDefinition)
//	issues := v.Validate(ctx, document, "http://example.org/StructureDefinition/visit")
//
// Validate walks the document once and asks the index of package r4: which
// elements there are, how often and of which types, the form of every
// primitive, required codes, references, contained resources, extensions and
// the safety of narrative. The rules that R4 and profiles write in FHIRPath
// are evaluated on the element that they stand on. Then each profile is laid
// over the document: those that were asked for, those that the resource names
// in meta.profile, those of extensions by their url, and those that a profile
// names for the types of its elements.
//
// An issue names the element by its FHIRPath, says what is wrong and how to
// mend it, and ends with the key of the rule and the profile that has it. It
// holds no value of the document.
//
// A Validator is used by many goroutines at once. Its work is bounded: a
// number of issues, a time, and the bounds of package fhirpath.
//
// # Where it stops
//
// Codes are judged only where all codes of a value set or a code system are
// known, as package terminology has them: value sets by Options.Terms, code
// systems by what Options.Code says of them. A reference is judged by its form and its type; whether its target exists is asked of
// Options.References. Rules that cannot be evaluated are in the list that
// Skipped gives, and a rule that fails on one document is a warning.
package validate
