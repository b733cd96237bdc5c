package main

import (
	"encoding/json"
	"fmt"
	"log"
	"slices"
	"strings"
)

type code struct{ system, code, display string }

// writeValueSets renders valuesets.txt: the codes of every value set to which
// an element is bound with strength required, unless the packages do not hold
// all of its codes; those are named on the standard error output.
func writeValueSets(in *source) (string, error) {
	var b strings.Builder
	urls, err := required(in)
	if err != nil {
		return "", err
	}
	for _, url := range urls {
		codes, err := in.expand(url, 0)
		if err != nil {
			log.Printf("%s is left out: %v", url, err)
			continue
		}
		line(&b, "V", url)
		system := ""
		for _, c := range codes {
			if c.system != system {
				system = c.system
				line(&b, "Y", system)
			}
			display := c.display
			if display == c.code {
				display = ""
			}
			line(&b, "", c.code, display)
		}
	}
	return b.String(), nil
}

func required(in *source) ([]string, error) {
	seen := map[string]bool{}
	for _, s := range in.structures {
		if s.FHIRVersion != release || s.Kind == "logical" {
			continue
		}
		for _, e := range s.Snapshot.Element {
			var binding struct{ Strength, ValueSet string }
			if raw, ok := e["binding"]; ok {
				if err := json.Unmarshal(raw, &binding); err != nil {
					return nil, err
				}
			}
			if url, _, _ := strings.Cut(binding.ValueSet, "|"); binding.Strength == "required" && url != "" {
				seen[url] = true
			}
		}
	}
	urls := make([]string, 0, len(seen))
	for url := range seen {
		urls = append(urls, url)
	}
	slices.Sort(urls)
	return urls, nil
}

func (in *source) expand(url string, depth int) ([]code, error) {
	vs := in.valueSets[url]
	switch {
	case vs == nil:
		return nil, fmt.Errorf("%s is not in the packages", url)
	case depth > 8:
		return nil, fmt.Errorf("%s is nested too deep", url)
	case len(vs.Compose.Include) == 0:
		return nil, fmt.Errorf("it includes nothing")
	}
	var codes []code
	have := map[[2]string]bool{}
	for _, inc := range vs.Compose.Include {
		found, err := in.include(inc, depth)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if k := [2]string{c.system, c.code}; !have[k] {
				have[k] = true
				codes = append(codes, c)
			}
		}
	}
	for _, exc := range vs.Compose.Exclude {
		found, err := in.include(exc, depth)
		if err != nil {
			return nil, err
		}
		codes = slices.DeleteFunc(codes, func(c code) bool {
			return slices.ContainsFunc(found, func(f code) bool { return f.system == c.system && f.code == c.code })
		})
	}
	return codes, nil
}

func (in *source) include(inc include, depth int) ([]code, error) {
	switch {
	case len(inc.ValueSet) > 1 || len(inc.ValueSet) == 1 && inc.System != "":
		return nil, fmt.Errorf("it intersects value sets")
	case len(inc.ValueSet) == 1:
		return in.expand(inc.ValueSet[0], depth+1)
	}
	cs := in.systems[inc.System]
	if len(inc.Concept) > 0 {
		displays := cs.displays()
		var codes []code
		for _, c := range inc.Concept {
			if c.Display == "" {
				c.Display = displays[c.Code]
			}
			codes = append(codes, code{inc.System, c.Code, c.Display})
		}
		return codes, nil
	}
	if cs == nil || cs.Content != "complete" {
		return nil, fmt.Errorf("the code system %s is not in the packages", inc.System)
	}
	var codes []code
	add := func(c concept) bool {
		codes = append(codes, code{inc.System, c.Code, c.Display})
		return true
	}
	if len(inc.Filter) == 0 {
		walk(cs.Concept, add)
		return codes, nil
	}
	if len(inc.Filter) > 1 || inc.Filter[0].Property != "concept" {
		return nil, fmt.Errorf("it filters by %v", inc.Filter)
	}
	f := inc.Filter[0]
	walk(cs.Concept, func(c concept) bool {
		if c.Code != f.Value {
			return true
		}
		switch f.Op {
		case "is-a":
			walk([]concept{c}, add)
		case "descendent-of":
			walk(c.Concept, add)
		}
		return false
	})
	if len(codes) == 0 {
		return nil, fmt.Errorf("the filter %v finds nothing", f)
	}
	return codes, nil
}

// walk visits concepts and, where visit says so, what stands below them.
func walk(concepts []concept, visit func(concept) bool) {
	for _, c := range concepts {
		if visit(c) {
			walk(c.Concept, visit)
		}
	}
}

// displays gives the display of each code; a code system that is not there has
// none.
func (cs *codeSystem) displays() map[string]string {
	all := map[string]string{}
	if cs != nil {
		walk(cs.Concept, func(c concept) bool { all[c.Code] = c.Display; return true })
	}
	return all
}
