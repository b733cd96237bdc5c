package main

import (
	"fmt"
	"slices"
	"strings"
)

// writeSearch renders search.txt: every search parameter of the release,
// followed by its components when it is a composite.
func writeSearch(in *source) (string, error) {
	var b strings.Builder
	slices.SortFunc(in.searches, func(a, b *search) int { return strings.Compare(a.URL, b.URL) })
	for _, s := range in.searches {
		if s.Version != release {
			continue // Medplum's own version of a parameter, taken from R5
		}
		if (s.Type == "composite") != (len(s.Component) > 0) {
			return "", fmt.Errorf("%s: a composite without components", s.URL)
		}
		line(&b, "S", shorten(s.URL, searchURL), s.Code, s.Type, strings.Join(s.Base, ","), s.Expression,
			strings.Join(s.Target, ","), strings.Join(s.Comparator, ","), strings.Join(s.Modifier, ","))
		for _, c := range s.Component {
			line(&b, "C", shorten(c.Definition, searchURL), c.Expression)
		}
	}
	return b.String(), nil
}
