// Package fhirxml turns FHIR documents into FHIR XML and back, losing nothing
// on the way, so that a system that speaks XML can use the exchange.
//
// Encode writes a document with its elements in the order of R4's definitions
// (package r4). Decode reads XML into a document that is stored like any other.
// What JSON and XML write differently is put right by the definitions: lists
// and single values, values as attributes, ids and extensions of primitives,
// narrative as markup, resources inside resources. Decimals keep their digits
// and a narrative keeps its bytes; what is lost is what neither format gives a
// meaning: comments and white space between elements, the order of elements of
// different names, and members that hold nothing (null, [] and {}).
//
// Neither direction guesses or leaves anything out silently. An element that
// R4 does not define has no place in FHIR XML, and is refused with its place;
// so are a value that JSON or XML cannot write and a list where R4 has one
// value. Three common slips of JSON senders read the same in XML and come back
// put right: a single value where a list belongs, a list of one where a single
// value belongs, and a text where a number or boolean belongs. A narrative
// without its namespace, or with HTML's named characters, is given what XML
// needs.
//
// Decode is made for input from anybody. It accepts UTF-8 only, and no document
// type, entity or processing instruction; size, depth, attributes and the
// number of parts are bounded. It is strict about namespaces, and about
// well-formedness as XML 1.0 has it.
//
// The package stops at form. Whether a required element is there, a code is
// known or a narrative is harmless is for a validator to say, as with JSON.
package fhirxml
