package main

import (
	"fmt"
	"log"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const displayUse = "http://terminology.hl7.org/CodeSystem/designation-usage|display"

// maxDefinition bounds the definitions of concepts that are kept: what is
// longer is an essay, and would be half of the file.
const maxDefinition = 240

// licensed are the code systems whose texts are not HL7's to give away. The
// value sets of the release that list codes of theirs keep the codes.
var licensed = map[string]bool{
	"http://snomed.info/sct": true, "http://loinc.org": true, "http://www.ama-assn.org/go/cpt": true,
	"http://hl7.org/fhir/sid/icd-10": true, "http://nucc.org/provider-taxonomy": true,
}

// knownOfConcept are the members of a concept: kept, or left out because they
// are comments for people.
var knownOfConcept = map[string]bool{
	"code": true, "display": true, "definition": true, "designation": true, "property": true, "concept": true,
	"extension": false, "id": false,
}

// standard are the properties that need no declaration, with their types
// (http://hl7.org/fhir/R4/codesystem-concept-properties.html).
var standard = map[string]string{
	"inactive": "boolean", "status": "code", "deprecationDate": "dateTime", "notSelectable": "boolean", "parent": "code", "child": "code",
}

// writeTerminology renders r4.txt of package terminology: every code system,
// then every value set, in the order of their URLs.
func writeTerminology(in *source) (string, error) {
	var b strings.Builder
	for _, url := range slices.Sorted(maps.Keys(in.systems)) {
		cs := in.systems[url]
		if cs.Content == "supplement" {
			log.Printf("%s is left out: it is a supplement", url)
			continue
		}
		if err := writeSystem(&b, cs); err != nil {
			return "", fmt.Errorf("%s: %w", url, err)
		}
	}
	for _, url := range slices.Sorted(maps.Keys(in.valueSets)) {
		vs := in.valueSets[url]
		if slices.ContainsFunc(vs.Compose.Include, func(i include) bool { return strings.HasPrefix(i.System, "#") }) {
			log.Printf("%s is left out: its code system is within itself", url)
			continue
		}
		if err := writeValueSet(&b, in, vs); err != nil {
			return "", fmt.Errorf("%s: %w", url, err)
		}
	}
	return b.String(), nil
}

func writeSystem(b *strings.Builder, cs *codeSystem) error {
	letterCase := ""
	if cs.CaseSensitive != nil {
		letterCase = strconv.FormatBool(*cs.CaseSensitive)
	}
	line(b, "S", cs.URL, tail(cs.ID, cs.URL), cs.Version, cs.Name, cs.Title, cs.Status, cs.Content, letterCase, cs.HierarchyMeaning, cs.ValueSet)
	if cs.Content == "not-present" {
		return nil
	}
	declared := maps.Clone(standard)
	for _, p := range cs.Property {
		line(b, "P", p.Code, p.Type, p.URI)
		declared[p.Code] = p.Type
	}
	return writeConcepts(b, cs.Concept, declared, 0)
}

func writeConcepts(b *strings.Builder, concepts []concept, declared map[string]string, depth int) error {
	if depth > 9 {
		return fmt.Errorf("concepts stand deeper than one digit can say")
	}
	for _, c := range concepts {
		display, definition := words(c.Display), words(c.Definition)
		switch {
		case len(definition) > maxDefinition:
			definition = ""
		case definition != "" && strings.EqualFold(definition, display):
			definition = "="
		}
		line(b, strconv.Itoa(depth), c.Code, display, definition)
		for _, p := range c.Property {
			text, typ := p.text()
			if text == "" || declared[p.Code] != typ {
				return fmt.Errorf("concept %s: the property %s is a %s, declared is %q", c.Code, p.Code, typ, declared[p.Code])
			}
			line(b, "=", p.Code, text)
		}
		writeDesignations(b, c.Designation)
		if err := writeConcepts(b, c.Concept, declared, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// text gives the value of a property and its type.
func (p property) text() (value, typ string) {
	switch {
	case p.ValueCode != "":
		return p.ValueCode, "code"
	case p.ValueString != "":
		return p.ValueString, "string"
	case p.ValueDateTime != "":
		return p.ValueDateTime, "dateTime"
	case p.ValueBoolean != nil:
		return strconv.FormatBool(*p.ValueBoolean), "boolean"
	}
	return "", "type that the index has no place for"
}

// words gives a text with single spaces between its words.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// tail gives an id, or nothing where it is the end of the URL.
func tail(id, url string) string {
	if id == url[strings.LastIndexByte(url, '/')+1:] {
		return ""
	}
	return id
}

// writeDesignations names the use only where it is not a display.
func writeDesignations(b *strings.Builder, list []designation) {
	for _, d := range list {
		use := d.Use.System + "|" + d.Use.Code
		if use == displayUse {
			use = ""
		}
		line(b, "~", d.Language, use, words(d.Value))
	}
}

func writeValueSet(b *strings.Builder, in *source, vs *valueSet) error {
	if vs.Compose.Inactive != nil && !*vs.Compose.Inactive {
		return fmt.Errorf("it leaves inactive codes out, which the index has no place for")
	}
	line(b, "V", vs.URL, tail(vs.ID, vs.URL), vs.Version, vs.Name, vs.Title, vs.Status)
	for _, part := range []struct {
		tag      string
		includes []include
	}{{"+", vs.Compose.Include}, {"-", vs.Compose.Exclude}} {
		for _, inc := range part.includes {
			cs := in.systems[inc.System]
			if cs != nil && inc.Version != "" && inc.Version != cs.Version && cs.Content == "complete" {
				log.Printf("%s asks for version %s of %s; the release has %s", vs.URL, inc.Version, inc.System, cs.Version)
				inc.Version = ""
			}
			line(b, part.tag, inc.System, inc.Version)
			for _, f := range inc.Filter {
				line(b, "F", f.Property, f.Op, f.Value)
			}
			for _, url := range inc.ValueSet {
				line(b, "U", url)
			}
			displays := cs.displays()
			for _, c := range inc.Concept {
				display := words(c.Display)
				if display == words(displays[c.Code]) || licensed[inc.System] {
					display = ""
				}
				line(b, "C", c.Code, display)
				if !licensed[inc.System] {
					writeDesignations(b, c.Designation)
				}
			}
		}
	}
	return nil
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
