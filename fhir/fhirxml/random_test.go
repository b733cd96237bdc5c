package fhirxml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// maker makes documents that the definitions allow in form: any element, any
// type, any value, with or without companions.
type maker struct {
	*rand.Rand
	values int // how many values may still be made
	depth  int // of the resource at hand
}

func (m *maker) resource(name string, depth int) map[string]any {
	t, _ := r4.LookupType(name)
	outer := m.depth
	m.depth = depth
	object := m.object(t.Root, depth)
	m.depth = outer
	object["resourceType"] = name
	object["id"] = "a1"
	delete(object, "_id")
	return object
}

func (m *maker) object(content *r4.Element, depth int) map[string]any {
	object := map[string]any{}
	for _, el := range content.Children {
		// Half of a resource's elements, a few of those deeper down, and few
		// of those that every type has.
		often := 50
		if strings.Contains(el.Path, "xtension") || depth < m.depth {
			often = 15
		}
		if m.values <= 0 || m.IntN(100) >= often {
			continue
		}
		m.element(object, el, depth)
	}
	if len(object) == 0 {
		object["id"] = "only"
	}
	return object
}

func (m *maker) element(object map[string]any, el *r4.Element, depth int) {
	name, typ := el.Name, ""
	if len(el.Types) > 0 {
		typ = el.Types[m.IntN(len(el.Types))].Code
	}
	if el.Choice {
		name += strings.ToUpper(typ[:1]) + typ[1:]
	}
	m.values--
	switch {
	case el.Attribute:
		object[name] = m.text()
	case typ == "xhtml":
		object[name] = m.div()
	case r4.IsPrimitive(typ):
		m.primitives(object, name, typ, el.List())
	case depth <= 0:
	case typ == "Resource":
		all := m.list(el, func() any { return m.resource(m.resourceName(), depth-1) })
		object[name] = all
	default:
		object[name] = m.list(el, func() any { return m.object(el.Content(typ), depth-1) })
	}
}

func (m *maker) resourceName() string {
	all := r4.Types()
	for {
		if t := all[m.IntN(len(all))]; r4.IsResource(t.Name) {
			return t.Name
		}
	}
}

func (m *maker) list(el *r4.Element, one func() any) any {
	if !el.List() {
		return one()
	}
	var all []any
	for range 1 + m.IntN(3) {
		all = append(all, one())
	}
	return all
}

// primitives makes a value, a companion, or both, with nulls where one of two
// lists has a gap.
func (m *maker) primitives(object map[string]any, name, typ string, list bool) {
	n := 1
	if list {
		n += m.IntN(3)
	}
	values, unders := make([]any, n), make([]any, n)
	haveValue, haveUnder := false, false
	for i := range n {
		kind := m.IntN(6)
		if kind != 0 {
			values[i], haveValue = m.value(typ), true
		}
		if kind <= 1 {
			unders[i], haveUnder = m.companion(), true
		}
	}
	if haveValue {
		object[name] = values
		if !list {
			object[name] = values[0]
		}
	}
	if haveUnder {
		object["_"+name] = unders
		if !list {
			object["_"+name] = unders[0]
		}
	}
}

func (m *maker) companion() any {
	if m.IntN(2) == 0 {
		return map[string]any{"id": m.text()}
	}
	return map[string]any{"extension": []any{map[string]any{"url": "http://e/" + m.text(), "valueDecimal": m.value("decimal")}}}
}

func (m *maker) value(typ string) any {
	switch typ {
	case "boolean":
		return m.IntN(2) == 0
	case "integer":
		return json.Number(fmt.Sprint(m.IntN(2000) - 1000))
	case "positiveInt", "unsignedInt":
		return json.Number(fmt.Sprint(m.IntN(1000)))
	case "decimal":
		return json.Number([]string{"0", "-0", "1.00", "101.68650", "0.10e1", "1E+400", "-2e-7", "12345678901234567890.000"}[m.IntN(8)])
	case "id":
		return "x-1"
	}
	return m.text()
}

func (m *maker) text() string {
	letters := []rune("abcXYZ 09-./:&<>\"'\\\t\n\r;#é漢😀\u00a0\u2028]]>&amp;\ufffd")
	var b strings.Builder
	for range 1 + m.IntN(12) {
		b.WriteRune(letters[m.IntN(len(letters))])
	}
	return b.String()
}

func (m *maker) div() string {
	b := `<div xmlns="http://www.w3.org/1999/xhtml" xml:lang='ms'>`
	for range m.IntN(4) {
		b += []string{"<p>é &amp; &lt;b&gt;</p>", "<br/>", "<!-- - -->", "\n\t <b >\"x'</b\n>", "<![CDATA[<&]]>", `<a href="?a=1&amp;b=2" title='"'>x</a>`, `<x:p xmlns:x="http://www.w3.org/1999/xhtml" x:a=""/>`}[m.IntN(7)]
	}
	return b + "</div>"
}

func TestAnyDocumentOfTheDefinitionsSurvives(t *testing.T) {
	names := []string{}
	for _, typ := range r4.Types() {
		if r4.IsResource(typ.Name) {
			names = append(names, typ.Name)
		}
	}
	used := map[string]bool{}
	for seed := range uint64(4) {
		for i, name := range names {
			m := &maker{rand.New(rand.NewPCG(seed, uint64(i))), 400, 0}
			made := m.resource(name, 6)
			doc := mustParse(t, string(fhir.Marshal(made)))
			x := mustEncode(t, doc)
			agreeOnXML(t, x)
			back := mustDecode(t, x)
			if want, got := jsonTree(t, doc.Bytes()), jsonTree(t, back.Bytes()); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, %s:\n%s\nbecomes\n%s\nby way of\n%s", seed, name, doc.Bytes(), back.Bytes(), x)
			}
			if again := mustEncode(t, back); !bytes.Equal(again, x) {
				t.Fatalf("seed %d, %s: the second XML differs:\n%s\n%s", seed, name, x, again)
			}
			for _, el := range allNames(made) {
				used[el] = true
			}
		}
	}
	if len(used) < 1500 {
		t.Errorf("only %d names of elements were used", len(used))
	}
}

func allNames(v any) (names []string) {
	switch x := v.(type) {
	case map[string]any:
		for name, inner := range x {
			names = append(append(names, name), allNames(inner)...)
		}
	case []any:
		for _, inner := range x {
			names = append(names, allNames(inner)...)
		}
	}
	return names
}

// Whatever comes in: no panic, an error of ours, or a document whose XML gives
// the same document again and reads the same to the standard library.
func FuzzDecode(f *testing.F) {
	for _, raw := range samples(f) {
		if x, err := Encode(mustParse(f, raw)); err == nil {
			f.Add(x)
		}
	}
	for i, name := range []string{"Patient", "Bundle", "Parameters", "Observation", "Questionnaire"} {
		m := &maker{rand.New(rand.NewPCG(99, uint64(i))), 60, 0}
		f.Add(mustEncode(f, mustParse(f, string(fhir.Marshal(m.resource(name, 4))))))
	}
	f.Add([]byte(`<f:Basic xmlns:f="http://hl7.org/fhir" xmlns:h='http://www.w3.org/1999/xhtml'><f:text><h:div><![CDATA[]]>&#x20;</h:div></f:text></f:Basic>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`))
	f.Fuzz(func(t *testing.T, x []byte) {
		doc, err := Decode(x, fhir.Limits{Bytes: 1 << 16, Depth: 32, Nodes: 5000})
		if err != nil {
			if fhir.CodeOf(err) == fhir.CodeException {
				t.Fatalf("not an error of ours: %v", err)
			}
			return
		}
		agreeOnXML(t, bytes.TrimPrefix(x, []byte("\ufeff")))
		out, err := Encode(doc)
		if err != nil {
			t.Fatalf("the document cannot be written again: %v\n%s", err, doc.Bytes())
		}
		agreeOnXML(t, out)
		back, err := Decode(out, fhir.DefaultLimits)
		if err != nil {
			t.Fatalf("the XML cannot be read again: %v\n%s", err, out)
		}
		if !reflect.DeepEqual(jsonTree(t, back.Bytes()), jsonTree(t, doc.Bytes())) {
			t.Fatalf("%s\nbecomes\n%s", doc.Bytes(), back.Bytes())
		}
	})
}

// Whatever a JSON sender stores: no panic, a refusal with a place, or XML.
func FuzzEncode(f *testing.F) {
	for _, raw := range samples(f) {
		f.Add([]byte(raw))
	}
	f.Add([]byte(`{"resourceType":"Basic","text":{"div":"<div>&nbsp;<!-- x --></div>"},"_created":{"id":"a"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := fhir.ParseWithin(raw, fhir.Limits{Bytes: 1 << 16, Depth: 32, Nodes: 5000})
		if err != nil {
			return
		}
		x, err := Encode(doc)
		if err != nil {
			if fhir.CodeOf(err) == fhir.CodeException {
				t.Fatalf("not an error of ours: %v", err)
			}
			return
		}
		agreeOnXML(t, x)
		back, err := Decode(x, fhir.DefaultLimits)
		if err != nil {
			t.Fatalf("the XML cannot be read again: %v\n%s", err, x)
		}
		again, err := Encode(back)
		if err != nil || !bytes.Equal(again, x) {
			t.Fatalf("%s\nbecomes\n%s %v", x, again, err)
		}
	})
}

func benchmarkDocument(b *testing.B) *fhir.Document {
	raw := samples(b)["../../mycore/testdata/good/encounter-vci.json"]
	if raw == "" {
		b.Fatal("the sample is missing")
	}
	return mustParse(b, raw)
}

func BenchmarkDecode(b *testing.B) {
	x := mustEncode(b, benchmarkDocument(b))
	b.SetBytes(int64(len(x)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(x, fhir.DefaultLimits); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	doc := benchmarkDocument(b)
	b.SetBytes(int64(len(doc.Bytes())))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(doc); err != nil {
			b.Fatal(err)
		}
	}
}
