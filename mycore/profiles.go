package mycore

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Line is one of the lines of MY Core's profiles. They have the same URLs and
// differ in their version.
type Line string

// The lines: the published package, and the guide's later artefacts.
const (
	Line100  Line = "1.0.0"
	Line2024 Line = "2024"
)

// Lines are all lines, the one to use when nobody says which comes last.
var Lines = []Line{Line100, Line2024}

//go:embed profiles.txt
var profilesText string

// The kinds of entries of profiles.txt.
const (
	profileEntry   = "profile"
	virtualEntry   = "virtual"
	extensionEntry = "extension"
	valueSetEntry  = "valueset"
)

// entry is one definition of profiles.txt.
type entry struct {
	kind, name string
	on         []string // the base of a virtual profile, the contexts of an extension, the system and codes of a value set
	elements   []*element
}

// element is what an entry says of one element. The first of an entry is its
// root, with the path "".
type element struct {
	line            Line   // "" for every line
	path            string // with the names of slices, below the type
	min, max        string
	types           []string
	extension       string
	slicing         []string // kind of the discriminator, path, rules
	strength, codes string
	fixed, short    string
	rules           []constraint
}

type constraint struct{ key, severity, human, expression string }

var entries = sync.OnceValue(func() []*entry {
	list, err := readEntries(profilesText)
	if err != nil {
		panic("mycore: profiles.txt: " + err.Error()) // the text is this package's own
	}
	return list
})

func readEntries(text string) (list []*entry, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \r\n")
		switch {
		case line == "" || line[0] == '#':
			continue
		case strings.Contains(line, "\t"):
			if len(list) == 0 {
				return nil, fmt.Errorf("an element stands before all entries: %q", line)
			}
			err = list[len(list)-1].read(line)
		default:
			f := strings.Fields(line)
			if len(f) < 2 {
				return nil, fmt.Errorf("an entry without a name: %q", line)
			}
			e := &entry{kind: f[0], name: f[1], on: slices.DeleteFunc(f[2:], func(s string) bool { return s == "on" })}
			e.elements = []*element{{}}
			list = append(list, e)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q", err, line)
		}
	}
	return list, nil
}

// read takes a line below the entry: an element, or a rule of the last one.
func (e *entry) read(line string) error {
	mark, rest, _ := strings.Cut(line, "\t")
	rest = strings.TrimSpace(rest)
	if rest[0] == '!' || rest[0] == '?' {
		last := e.elements[len(e.elements)-1]
		key, rule, _ := strings.Cut(strings.TrimSpace(rest[1:]), " ")
		human, expression, ok := strings.Cut(rule, " | ")
		if !ok {
			return fmt.Errorf("a rule without an expression")
		}
		severity := "error"
		if rest[0] == '?' {
			severity = "warning"
		}
		last.rules = append(last.rules, constraint{key, severity, human + ".", expression})
		return nil
	}
	el := &element{line: Line(mark)}
	rest, el.short, _ = strings.Cut(strings.TrimSuffix(rest, `"`), `"`)
	words := strings.Fields(rest)
	el.path, words = words[0], words[1:]
	for len(words) > 0 {
		n := el.take(words)
		if n == 0 {
			return fmt.Errorf("the item %q is not understood", words[0])
		}
		words = words[n:]
	}
	e.elements = append(e.elements, el)
	return nil
}

// take reads one item and tells how many words it has.
func (el *element) take(words []string) int {
	low, high, isRange := strings.Cut(words[0], "..")
	switch {
	case isRange:
		el.min, el.max = low, high
		return 1
	case len(words) < 2:
		return 0
	}
	switch words[0] {
	case "type":
		el.types = strings.Split(words[1], "|")
	case "ext":
		el.extension = canonical("StructureDefinition", words[1])
	case "required", "extensible", "preferred", "example":
		el.strength, el.codes = words[0], canonical("ValueSet", words[1])
	case "=":
		el.fixed = address(words[1])
	case "slices":
		n := 1
		for n < len(words) && (n < 3 || slices.Contains([]string{"open", "closed", "openAtEnd", "ordered"}, words[n])) {
			n++
		}
		el.slicing = words[1:n]
		return n
	default:
		return 0
	}
	return 2
}

// own is where the definitions begin that are the exchange's and not MY Core's.
const own = "https://github.com/jumpa-hie/jumpa/"

// canonical gives the URL of a definition by its name.
func canonical(kind, name string) string {
	if short, ok := strings.CutPrefix(name, "r4/"); ok {
		return "http://hl7.org/fhir/" + kind + "/" + short
	}
	if strings.HasPrefix(name, "vc-") {
		return own + kind + "/" + name
	}
	return Root + kind + "/" + name + "-my-core"
}

// address gives the system that a short form stands for.
func address(s string) string {
	kind, name, ok := strings.Cut(s, "/")
	switch {
	case ok && kind == "sid":
		return Root + s
	case ok && kind == "cs":
		return Root + "CodeSystem/" + name + "-my-core"
	case ok && kind == "r4":
		return "http://hl7.org/fhir/" + name
	}
	return s
}

// definitions makes the resources of an entry: one, or one for each line.
func (e *entry) definitions() []object {
	switch e.kind {
	case valueSetEntry:
		include := object{"system": address(e.on[0])}
		if e.on[1] != "*" {
			var concepts []object
			for _, code := range e.on[1:] {
				concepts = append(concepts, object{"code": code})
			}
			include["concept"] = concepts
		}
		return []object{described("ValueSet", canonical("ValueSet", e.name), Version, object{"compose": object{"include": []object{include}}})}
	case extensionEntry:
		url := canonical("StructureDefinition", e.name)
		return []object{described("StructureDefinition", url, Version, structure("Extension", "complex-type", structureOf("Extension"), e.extension(url), e.on))}
	case virtualEntry:
		base, typ := structureOf(e.on[0]), e.on[0]
		if strings.HasPrefix(typ, "vc-") {
			base, typ = canonical("StructureDefinition", typ), "Encounter"
		}
		return []object{described("StructureDefinition", VirtualProfile(e.name), Version, structure(typ, "resource", base, differential(typ, e.elements, ""), nil))}
	}
	var list []object
	for _, line := range Lines {
		o := described("StructureDefinition", Profile(e.name), string(line), structure(e.name, "resource", structureOf(e.name), differential(e.name, e.elements, line), nil))
		if line != Lines[len(Lines)-1] {
			o["id"] = o["id"].(string) + "-" + string(line)
		}
		list = append(list, o)
	}
	return list
}

func structureOf(typ string) string { return "http://hl7.org/fhir/StructureDefinition/" + typ }

// structure is what all StructureDefinitions of this package have.
func structure(typ, kind, base string, elements []object, contexts []string) object {
	o := object{
		"fhirVersion": "4.0.1", "kind": kind, "abstract": false, "type": typ,
		"baseDefinition": base, "derivation": "constraint", "differential": object{"element": elements},
	}
	var list []object
	for _, c := range contexts {
		list = append(list, object{"type": "element", "expression": c})
	}
	if list != nil {
		o["context"] = list
	}
	return o
}

// differential gives the elements of a line as ElementDefinitions.
func differential(typ string, elements []*element, line Line) (list []object) {
	for _, el := range elements {
		if el.line == "" || el.line == line {
			list = append(list, el.definition(typ))
		}
	}
	return list
}

func (el *element) definition(typ string) object {
	id := typ
	if el.path != "" {
		id += "." + el.path
	}
	var names []string
	slice := ""
	for step := range strings.SplitSeq(id, ".") {
		step, slice, _ = strings.Cut(step, ":")
		names = append(names, step)
	}
	path := strings.Join(names, ".")
	o := object{"id": id, "path": path}
	set := func(name string, value any, there bool) {
		if there {
			o[name] = value
		}
	}
	low, _ := strconv.Atoi(el.min)
	set("sliceName", slice, slice != "")
	set("slicing", el.slices(), el.slicing != nil)
	set("short", el.short, el.short != "")
	set("min", low, el.min != "" && (low > 0 || slice != ""))
	set("max", el.max, el.max != "" && (el.max != "*" || slice != ""))
	set("type", el.typesOf(), el.types != nil || el.extension != "")
	if el.fixed != "" {
		o[typedName("fixed", primitiveAt(path))] = el.fixed
	}
	var rules []object
	for _, r := range el.rules {
		rules = append(rules, object{"key": r.key, "severity": r.severity, "human": r.human, "expression": r.expression})
	}
	set("constraint", rules, rules != nil)
	set("binding", object{"strength": el.strength, "valueSet": el.codes}, el.strength != "")
	return o
}

func (el *element) slices() object {
	if el.slicing == nil {
		return nil
	}
	o := object{"rules": "open", "discriminator": []object{{"type": el.slicing[0], "path": el.slicing[1]}}}
	for _, word := range el.slicing[2:] {
		if word == "ordered" {
			o["ordered"] = true
		} else {
			o["rules"] = word
		}
	}
	return o
}

func (el *element) typesOf() (list []object) {
	if el.extension != "" {
		return []object{{"code": "Extension", "profile": []string{el.extension}}}
	}
	for _, t := range el.types {
		code, targets, _ := strings.Cut(strings.TrimSuffix(t, ")"), "(")
		ref := object{"code": code}
		var urls []string
		for target := range strings.SplitSeq(targets, ",") {
			switch {
			case target == "":
			case strings.HasSuffix(target, "-my-core"):
				urls = append(urls, Root+"StructureDefinition/"+target)
			default:
				urls = append(urls, structureOf(target))
			}
		}
		if urls != nil {
			ref["targetProfile"] = urls
		}
		list = append(list, ref)
	}
	return list
}

func typedName(name, typ string) string { return name + strings.ToUpper(typ[:1]) + typ[1:] }

// primitiveAt gives the type of the element at a path that begins with a type.
func primitiveAt(path string) string {
	typ, rest, _ := strings.Cut(path, ".")
	t, ok := r4.LookupType(typ)
	if ok {
		_, typ, ok = t.Element(rest)
	}
	if !ok || !r4.IsPrimitive(typ) {
		panic("mycore: no primitive element " + path)
	}
	return typ
}

// extension gives the elements of an extension: those that are written down
// and those that every extension has, its url and either a value or parts.
func (e *entry) extension(url string) []object {
	body := slices.Clone(e.elements)
	complete := []*element{body[0]}
	fixed := &element{path: "url", min: "1", max: "1", fixed: url}
	if len(body) == 2 && body[1].path == "value[x]" {
		body[1].min, body[1].max = "1", "1"
		complete = append(complete, &element{path: "extension", max: "0"}, fixed, body[1])
		return differential("Extension", complete, "")
	}
	parts := &element{path: "extension", slicing: []string{"value", "url"}}
	for _, el := range body[1:] {
		switch name, isPart := strings.CutPrefix(el.path, "extension:"); {
		case el.path == "extension":
			parts.min, parts.max = el.min, el.max
		case isPart && !strings.Contains(name, "."):
			complete = append(complete, el, &element{path: el.path + ".url", min: "1", max: "1", fixed: name})
		default:
			complete = append(complete, el)
		}
	}
	complete = slices.Insert(complete, 1, parts)
	return differential("Extension", append(complete, fixed, &element{path: "value[x]", max: "0"}), "")
}

// VirtualProfile gives the canonical URL of the profile of virtual consultation
// with the given name.
func VirtualProfile(name string) string { return own + "StructureDefinition/vc-" + name }

// parsed makes a document of a definition.
func parsed(o object) *fhir.Document {
	doc, err := fhir.Parse(fhir.Marshal(o))
	if err != nil {
		panic("mycore: " + err.Error()) // made by this package
	}
	return doc
}
