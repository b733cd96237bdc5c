package main

import (
	"log"
	"maps"
	"slices"
	"strings"
)

type conceptMap struct {
	URL, ID, Version, Name, Title, Status                  string
	SourceURI, SourceCanonical, TargetURI, TargetCanonical string

	Group []struct {
		Source, SourceVersion, Target, TargetVersion string

		Element []struct {
			Code   string
			Target []struct {
				Code, Equivalence string
				DependsOn         []struct{ Property string }
			}
		}
		Unmapped *struct{ Mode, Code, Display string }
	}
}

// writeConceptMaps renders the part of r4.txt that translates codes. Targets
// that hold only together with other facts are left out, as are products.
func writeConceptMaps(in *source) string {
	var b strings.Builder
	for _, url := range slices.Sorted(maps.Keys(in.conceptMaps)) {
		m := in.conceptMaps[url]
		if m.goesOn() {
			log.Printf("%s is left out: it goes on in another map", url)
			continue
		}
		line(&b, "M", m.URL, tail(m.ID, m.URL), m.Version, m.Name, m.Title, m.Status, m.SourceURI+m.SourceCanonical, m.TargetURI+m.TargetCanonical)
		for _, g := range m.Group {
			line(&b, "G", g.Source, g.SourceVersion, g.Target, g.TargetVersion)
			for _, e := range g.Element {
				line(&b, "E", e.Code)
				for _, t := range e.Target {
					if len(t.DependsOn) == 0 {
						line(&b, "T", t.Code, t.Equivalence)
					}
				}
			}
			if u := g.Unmapped; u != nil {
				line(&b, "W", u.Mode, u.Code, words(u.Display))
			}
		}
	}
	return b.String()
}

// goesOn tells whether a map names another one for what it does not have.
func (m *conceptMap) goesOn() bool {
	for _, g := range m.Group {
		if g.Unmapped != nil && g.Unmapped.Mode == "other-map" {
			return true
		}
	}
	return false
}
