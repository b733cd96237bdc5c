package search

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// defined gives the parameters that FHIR R4 defines for a type, as far as
// their expressions are paths. The definitions name the values in a small part
// of FHIRPath: unions of a.b.c, of (a.b as T) and a.b.as(T), and with
// where(key='text') or where(resolve() is T) behind a step. What is written
// otherwise has a function in computed, or is listed in unreadable.
func defined(typ string) []Param {
	var all []Param
	for _, d := range r4.SearchParameters(typ) {
		if p, ok := definedAs(typ, d); ok {
			all = append(all, p)
		}
	}
	return all
}

// computed holds parameters whose values are no nodes of the document: each
// function gives the codes. It is the place for an expression that needs all
// of FHIRPath.
var computed = map[string]func(root fhir.Node) []string{
	"Patient.deceased": func(root fhir.Node) []string {
		if root.Get("deceasedDateTime").Exists() || root.Get("deceasedBoolean").String() == "true" {
			return []string{"true"}
		}
		return []string{"false"}
	},
}

// unreadable names what FHIR R4 defines and the exchange does not index: the
// first entry of a Bundle is a resource, not a reference to one; and the
// composite parameters of three parts, in which two ranges of one element would
// have to be compared at once, or which take a part from beside the element. The
// exchange does not have _query either.
var unreadable = []string{
	"Bundle.composition", "Bundle.message",
	"MolecularSequence.chromosome-variant-coordinate", "MolecularSequence.chromosome-window-coordinate",
	"MolecularSequence.referenceseqid-variant-coordinate", "MolecularSequence.referenceseqid-window-coordinate",
}

func definedAs(typ string, d *r4.SearchParameter) (Param, bool) {
	p := Param{Code: d.Code}
	if f := computed[typ+"."+d.Code]; f != nil {
		p.Kind, p.compute = Code, f
		return p, true
	}
	if strings.HasPrefix(d.Code, "_") || slices.Contains(unreadable, typ+"."+d.Code) {
		return p, false // _id and the like stand in the table for all types
	}
	if d.Type == "composite" {
		return composed(typ, d)
	}
	var ends []end
	for alternative := range strings.SplitSeq(d.Expression, " | ") {
		ends = append(ends, ending(typ, strings.TrimSpace(alternative))...)
	}
	p.learn(d, ends)
	return p, p.Kind != 0
}

// learn takes the kind and the paths of a parameter from its definition and
// from where its values stand.
func (p *Param) learn(d *r4.SearchParameter, ends []end) {
	var texts []string
	add := func(kind Kind, paths ...string) { p.Kind, texts = kind, append(texts, paths...) }
	for _, e := range ends {
		switch d.Type {
		case "token":
			if p.Kind == Token || !r4.IsPrimitive(e.typ) {
				add(Token, e.path)
			} else {
				add(Code, e.path) // its system goes without saying
			}
		case "reference":
			if e.typ == "Reference" {
				add(Reference, e.path)
			} else if p.Kind != Reference {
				add(Canonical, e.path)
			}
		case "string":
			switch e.typ {
			case "HumanName":
				add(Name, below(e.path, "text family given prefix suffix")...)
			case "Address":
				add(Name, below(e.path, "text line city district state postalCode country")...)
			default:
				add(max(p.Kind, String), e.path)
			}
		case "date":
			switch e.typ {
			case "date", "dateTime", "instant", "Period", "Timing":
				add(Date, e.path)
			}
		case "number":
			add(Number, e.path)
		case "quantity":
			add(Quantity, e.path)
		case "uri":
			add(URI, e.path)
		}
	}
	if p.Kind == Reference {
		p.Target = d.Targets
		if len(d.Targets) > maxTargets {
			p.Target = nil // any
		}
	}
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		p.paths = append(p.paths, compile(text))
	}
}

// maxTargets bounds the types that a reference names one by one.
const maxTargets = 40

func below(path, names string) []string {
	var all []string
	for name := range strings.FieldsSeq(names) {
		all = append(all, path+"."+name)
	}
	return all
}

// end is one place where values stand and their type.
type end struct{ path, typ string }

// ending reads one alternative of an expression. An element of several types
// has a path for each; an alternative for another type has none.
func ending(typ, text string) []end {
	text = strings.NewReplacer("(", "", ")", "", " as ", ".as:", ".as(", ".as:").Replace(withoutWhere(text))
	rest, ok := strings.CutPrefix(text, typ+".")
	if !ok && text != "" && (text[0] < 'a' || text[0] > 'z') {
		return nil
	}
	t, ok := r4.LookupType(typ)
	if !ok {
		return nil
	}
	return along(t.Root, rest)
}

// from reads an expression that starts at an element, as those of the parts of
// a composite parameter do.
func from(element *r4.Element, text string) []end {
	return along(element, strings.NewReplacer(")", "", ".as(", ".as:").Replace(withoutWhere(text)))
}

// along follows the steps of an expression.
func along(root *r4.Element, rest string) []end {
	ends := []end{{}}
	element := []*r4.Element{root}
	for _, part := range strings.Split(rest, ".") {
		name, condition, _ := strings.Cut(part, "{")
		var next []end
		var inside []*r4.Element
		for i, e := range ends {
			if as, ok := strings.CutPrefix(name, "as:"); ok {
				if strings.EqualFold(e.typ, as) || e.typ == "" { // the release has DateTime, too
					next, inside = append(next, e), append(inside, element[i])
				}
				continue
			}
			if element[i] == nil {
				continue
			}
			c, one, ok := element[i].Child(name)
			if !ok {
				continue
			}
			types := []string{one}
			if c.Choice {
				types = types[:0]
				for _, t := range c.Types {
					types = append(types, t.Code)
				}
			}
			for _, of := range types {
				step := c.Name
				if c.Choice {
					step += strings.ToUpper(of[:1]) + of[1:]
				}
				if condition != "" {
					step += "(" + strings.TrimSuffix(condition, "}") + ")"
				}
				next = append(next, end{strings.TrimPrefix(e.path+"."+step, "."), of})
				inside = append(inside, c.Content(of))
			}
		}
		ends, element = next, inside
	}
	return ends
}

// withoutWhere writes where(key='text') as {key=text} and takes away
// where(resolve() is T), which the targets of the parameter say too.
func withoutWhere(text string) string {
	for {
		before, rest, ok := strings.Cut(text, ".where(")
		if !ok {
			return text
		}
		if after, ok := strings.CutPrefix(rest, "resolve() is "); ok {
			_, after, _ = strings.Cut(after, ")")
			text = before + after
			continue
		}
		condition, after, _ := strings.Cut(rest, ")")
		text = before + "{" + strings.ReplaceAll(condition, "'", "") + "}" + after
	}
}
