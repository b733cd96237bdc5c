// Package fhir holds FHIR R4 documents exactly as they were sent, and finds
// things in them.
//
// A Document keeps the bytes that came in: the order of keys, decimals such as
// 1.00, primitive extensions and elements that nobody has defined survive a
// round trip. One pass over the bytes checks the JSON (size, depth, duplicate
// keys, UTF-8) and builds an index; nodes are then reached without parsing
// again. Errors of the whole program are fhir.Error values and become
// OperationOutcomes.
//
// The package knows JSON and the general shape of R4 resources. It does not
// know XML, profiles, or where documents are kept.
package fhir
