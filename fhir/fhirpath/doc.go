// Package fhirpath evaluates FHIRPath, the language in which FHIR writes its
// constraints and search parameters, over documents of package fhir.
//
// An expression is compiled once and evaluated by many goroutines:
//
//	e, err := fhirpath.Compile("identifier.where(system = 'http://x').value")
//	values, err := e.Evaluate(ctx, document.Root(), fhirpath.Options{})
//
// It is FHIRPath 2.0 (normative release 1) with what FHIR R4 adds: extension(),
// hasValue(), getValue(), resolve(), memberOf(), subsumes(), subsumedBy(),
// conformsTo(), checkModifiers(), htmlChecks(), %resource, %rootResource, %ucum,
// %sct, %loinc, %vs-… and %ext-…; and the string functions trim, split, join,
// encode, decode, escape, unescape, lastIndexOf and matchesFull of the draft
// that follows. Elements are read where they lie, nothing is copied. The
// extensions of primitives (_status) are seen, choice elements are found by
// their short name (value for valueQuantity).
//
// Types come from a Model; R4 is built in. Numbers are exact decimals; dates
// and times of different precision give an empty result where that is the
// answer; quantities are converted by the units of UCUM that clinical records
// use.
//
// # Limits
//
// Length and depth of an expression, the steps of an evaluation, the size of
// collections and of text are bounded, a context stops an evaluation, and
// regular expressions are those of RE2, which take no more time than the text
// is long (no look-ahead, no back-references). An Error has a place in the
// expression and nothing of the document.
//
// # Where it stops
//
// The package does not fetch, and knows no profiles, value sets or code
// systems: resolve(), conformsTo() and memberOf() ask the Resolver, Profiles
// and Terminology of the Options, and elementDefinition() and slice() are
// refused. as() on several values keeps those of the type, as R4's own
// constraints expect. exp(), ln(), log() and broken powers are computed in
// floating point, to eight decimals. Elements that a type does not have are
// found by their name in the document unless Options.Strict is set. Units
// outside of the table, and temperatures other than kelvin, are comparable
// only with themselves.
package fhirpath
