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
	if base != "" {
		s = strings.TrimPrefix(s, strings.TrimSuffix(base, "/")+"/")
	}
	parts := strings.Split(s, "/")
	switch {
	case len(parts) == 2:
	case len(parts) == 4 && parts[2] == "_history" && ValidID(parts[3]):
		r.Version = parts[3]
	default:
		return Reference{}, false
	}
	if !validTypeName(parts[0]) || !ValidID(parts[1]) {
		return Reference{}, false
	}
	r.Type, r.ID = parts[0], parts[1]
	return r, true
}
