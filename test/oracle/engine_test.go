package oracle

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// expressionsOf gives R4's search parameters for a type, and its rules and
// those of the data types, each asked of all elements that it is about. What
// needs more than the document is left out.
func expressionsOf(typ string) (list []string) {
	add := func(expression string) {
		for _, outside := range []string{"resolve()", "memberOf(", "conformsTo("} {
			if strings.Contains(expression, outside) {
				return
			}
		}
		list = append(list, expression)
	}
	for _, p := range r4.SearchParameters(typ) {
		if p.Expression != "" {
			add(p.Expression)
		}
	}
	var walk func(*r4.Element)
	walk = func(el *r4.Element) {
		for _, c := range el.Constraints {
			add(el.Path + ".all(" + c.Expression + ")")
		}
		for _, child := range el.Children {
			walk(child)
		}
	}
	t, _ := r4.LookupType(typ)
	walk(t.Root)
	for _, t := range r4.Types() {
		if !r4.IsResource(t.Name) && !r4.IsPrimitive(t.Name) && t.Root != nil {
			for _, c := range t.Root.Constraints {
				add("descendants().where($this is " + t.Name + ").all(" + c.Expression + ")")
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// HL7's engine for JavaScript gives the same values as Jumpa's for R4's own
// expressions, on R4's examples and the records of MY Core.
func TestEnginesOfFHIRPathAgree(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("node is missing: run `make deps`")
	}
	all := samples(t)
	var in bytes.Buffer
	to := json.NewEncoder(&in)
	var asked [][]string
	for _, r := range all {
		expressions := expressionsOf(r.doc.Type())
		asked = append(asked, expressions)
		if err := to.Encode(map[string]any{"resource": json.RawMessage(r.doc.Bytes()), "expressions": expressions}); err != nil {
			t.Fatal(err)
		}
	}
	script := exec.CommandContext(t.Context(), "node", "../clients/paths.mjs")
	var said strings.Builder
	script.Stdin, script.Stderr = &in, &said
	out, err := script.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	from := json.NewDecoder(bytes.NewReader(out))
	evaluated, valued, used := 0, 0, map[string]bool{}
	for i, r := range all {
		var theirs [][]string
		if err := from.Decode(&theirs); err != nil {
			t.Fatal(err)
		}
		for j, expression := range asked[i] {
			evaluated++
			ours := textsOf(t, r.doc, expression)
			if len(theirs[j]) > 0 {
				valued++
			}
			if slices.Equal(ours, theirs[j]) && (ours == nil) == (theirs[j] == nil) {
				continue
			}
			if known := slices.IndexFunc(engines, func(d engineDifference) bool { return strings.Contains(r.name+": "+expression, d.in) }); known >= 0 {
				used[engines[known].in] = true
				continue
			}
			t.Errorf("%s: %s\n\tHL7's engine: %q\n\tJumpa:        %q", r.name, expression, theirs[j], ours)
		}
	}
	for _, d := range engines {
		if !used[d.in] {
			t.Errorf("there is no difference in %s: %s", d.in, d.why)
		}
	}
	t.Logf("%d expressions were evaluated, %d with values", evaluated, valued)
	if evaluated < 2000 || valued < 1000 {
		t.Error("these are too few")
	}
}

// engineDifference is what the engines see differently: in has a part of the
// name of the document and the expression.
type engineDifference struct{ in, why string }

var engines = []engineDifference{
	{"where($this is Element).all(hasValue()", "a narrative is a primitive of R4, so it has a value; for HL7's engine it has none"},
	{" as ", manyAs},
	{".as(canonical)", manyAs},
	{"ElementDefinition).all(", "regular expressions that JavaScript does not take, for a bracket or quotation mark in them is escaped"},
	{"observation-decimal.json: ", zeros},
	{"RiskAssessment.prediction.probability", zeros},
}

const (
	manyAs = "R4's own expressions use as on several values, which HL7's engine refuses"
	zeros  = "JavaScript does not keep the zeros at the end of a decimal"
)

// textsOf evaluates an expression; nil is an error.
func textsOf(t *testing.T, doc *fhir.Document, expression string) []string {
	t.Helper()
	e, err := fhirpath.Compile(expression)
	if err != nil {
		return nil
	}
	values, err := e.Evaluate(t.Context(), doc.Root(), fhirpath.Options{Resource: doc.Root()})
	if err != nil {
		return nil
	}
	texts := []string{}
	for _, v := range values {
		switch n := v.Node(); n.Kind() {
		case fhir.Object:
			var value any
			d := json.NewDecoder(bytes.NewReader(n.Raw()))
			d.UseNumber()
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(fhir.Marshal(value)))
		default:
			texts = append(texts, v.String())
		}
	}
	return texts
}
