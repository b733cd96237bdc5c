package library

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

var opened = time.Date(2026, 11, 23, 9, 0, 0, 0, fhir.Malaysia)

func whole() *Library { return New(opened, func() string { return "http://hie.example/baseR4" }) }

// What the library holds is valid R4. HL7's own definitions have faults, which
// are kept: names of primitives and of search parameters begin with a small
// letter, and types of FHIRPath are no defined-types.
func TestAllIsValid(t *testing.T) {
	l := whole()
	v := validate.New(validate.Options{Timeout: time.Minute})
	for typ, s := range l.shelves {
		for _, b := range s.all() {
			doc, err := fhir.ParseWithin(b.open().Body, limits)
			if err != nil {
				t.Fatal(err)
			}
			if doc.Type() != typ || doc.ID() != b.item.ID || doc.Get("meta.versionId").String() != "1" {
				t.Errorf("%s/%s: %.200s", typ, b.item.ID, doc.Bytes())
			}
			for _, issue := range v.Validate(context.WithoutCancel(t.Context()), doc) {
				text := issue.Error()
				if strings.Contains(text, "sdf-0") || strings.Contains(text, "spd-0") || strings.Contains(text, "ValueSet/defined-types") {
					continue
				}
				t.Errorf("%s/%s: %s", typ, b.item.ID, text)
			}
		}
	}
}

// Everything is made and indexed at the first question about it; no start waits
// for it.
func BenchmarkFirstUse(b *testing.B) {
	for typ := range whole().shelves {
		b.Run(typ, func(b *testing.B) {
			for b.Loop() {
				for _, book := range whole().shelves[typ].all() {
					book.values()
				}
			}
		})
	}
}
