package fhirxml

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4/r4test"
)

func TestAnyDocumentOfTheDefinitionsSurvives(t *testing.T) {
	names := r4test.Resources()
	used := map[string]bool{}
	for seed := range uint64(4) {
		for i, name := range names {
			m := r4test.New(seed, uint64(i), 400)
			made := m.Resource(name, 6)
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
		m := r4test.New(99, uint64(i), 60)
		f.Add(mustEncode(f, mustParse(f, string(fhir.Marshal(m.Resource(name, 4))))))
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
