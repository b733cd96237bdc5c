package main

import (
	"slices"
	"strings"
)

// writeTexts renders texts.txt: for every element its short text, and why it is
// a modifier. An element that says the same as the one of the base type that it
// repeats is left out.
func writeTexts(in *source) (string, error) {
	type text struct{ base, short, reason string }
	texts := map[string]text{}
	var paths []string
	for _, s := range in.structures {
		if s.FHIRVersion != release || s.Kind == "logical" {
			continue
		}
		for i, raw := range s.Snapshot.Element {
			e, err := decode(raw)
			if err != nil {
				return "", err
			}
			path := e.Path
			if i == 0 || s.Derivation == "constraint" {
				path = s.Name + strings.TrimPrefix(path, strings.SplitN(path, ".", 2)[0])
			}
			if _, ok := texts[path]; !ok {
				paths = append(paths, path)
				texts[path] = text{e.Base.Path, strings.TrimSpace(e.Short), strings.TrimSpace(e.IsModifierReason)}
			}
		}
	}
	slices.Sort(paths)
	var b strings.Builder
	for _, path := range paths {
		t := texts[path]
		if base, ok := texts[t.base]; ok && t.base != path && base.short == t.short && base.reason == t.reason {
			continue
		}
		line(&b, path, t.short, t.reason)
	}
	return b.String(), nil
}
