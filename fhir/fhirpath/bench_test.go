package fhirpath

import (
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// typical are expressions of constraints and search parameters that every
// record of a consultation meets.
var typical = []struct{ name, text string }{
	{"exists", "status.exists()"},
	{"search-status", "Encounter.status"},
	{"search-identifier", "Encounter.identifier"},
	{"search-patient", "Encounter.subject.where(resolve() is Patient)"},
	{"search-practitioner", "Encounter.participant.individual.where(resolve() is Practitioner)"},
	{"where", "identifier.where(system = 'http://example.org/vc-token').value"},
	{"extension", "extension('http://example.org/rating').value"},
	{"ele-1", "hasValue() or (children().count() > id.count())"},
	{"per-1", "period.start.hasValue().not() or period.end.hasValue().not() or (period.start <= period.end)"},
	{"dom-2", "contained.contained.empty()"},
	{"dom-3", "contained.where(((id.exists() and ('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | %resource.descendants().as(uri) | %resource.descendants().as(url)))) or descendants().where(reference = '#').exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(uri) = '#').exists()).not()).trace('unmatched', id).empty()"},
	{"txt-1", "text.`div`.htmlChecks()"},
}

func BenchmarkCompile(b *testing.B) {
	for _, x := range typical {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(x.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEvaluate(b *testing.B) {
	d := parsed(b, encounterText)
	for _, x := range typical {
		e := MustCompile(x.text)
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Evaluate(b.Context(), d.Root(), Options{Resolver: ReferenceTypes{}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkModel measures what the first evaluation pays.
func BenchmarkModel(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if len(readModel(r4Text)) == 0 {
			b.Fatal("no types")
		}
	}
}

// BenchmarkParallel is one expression on all processors.
func BenchmarkParallel(b *testing.B) {
	e := MustCompile("identifier.where(system = 'http://example.org/vc-token').value")
	d, err := fhir.Parse([]byte(encounterText))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if c, err := e.Evaluate(b.Context(), d.Root(), Options{}); err != nil || len(c) != 1 {
				b.Error(c, err)
				return
			}
		}
	})
}
