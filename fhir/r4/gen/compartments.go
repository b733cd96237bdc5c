package main

import (
	"slices"
	"strings"
)

// writeCompartments renders compartments.txt: every compartment of the
// release, followed by the types of its members with the parameters that lead
// to it.
func writeCompartments(in *source) string {
	var b strings.Builder
	slices.SortFunc(in.compartments, func(a, b *compartment) int { return strings.Compare(a.Code, b.Code) })
	for _, c := range in.compartments {
		line(&b, "C", c.Code, c.URL)
		for _, r := range c.Resource {
			if len(r.Param) > 0 {
				line(&b, "M", r.Code, strings.Join(r.Param, ","))
			}
		}
	}
	return b.String()
}
