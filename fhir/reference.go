package fhir

import "strings"

// Reference is a literal reference to a resource, taken apart.
type Reference struct {
	Type, ID, Version string
}

// String gives Type/ID.
func (r Reference) String() string { return r.Type + "/" + r.ID }

// ParseReference reads Type/id, Type/id/_history/v and the same below base
// (a URL such as https://host/baseR4). ok is false for anything else: a
// urn, a fragment, a conditional reference, another server.
func ParseReference(s, base string) (r Reference, ok bool) {
	if below, ok := strings.CutPrefix(s, strings.TrimSuffix(base, "/")); ok && base != "" {
		if path, ok := strings.CutPrefix(below, "/"); ok {
			s = path
		}
	}
	typ, id, _ := strings.Cut(s, "/")
	id, version, versioned := strings.Cut(id, "/_history/")
	if !validTypeName(typ) || !ValidID(id) || versioned && !ValidID(version) {
		return Reference{}, false
	}
	return Reference{typ, id, version}, true
}
