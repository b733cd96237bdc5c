package library

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/mycore"
)

var opened = time.Date(2026, 11, 23, 9, 0, 0, 0, fhir.Malaysia)

// whole is the library with the terms that the exchange knows.
func whole(t testing.TB) *Library {
	l := New(opened, func() string { return "http://hie.example/baseR4" })
	known, err := terms()
	if err != nil {
		t.Fatal(err)
	}
	l.AddTerms(known)
	return l
}

var terms = sync.OnceValues(func() (*terminology.Service, error) {
	return terminology.New(terminology.Options{Documents: mycore.Definitions(), Normalize: mycore.Normalize})
})

// What the library holds is valid R4. HL7's own definitions have faults, which
// are kept: names of primitives and of search parameters begin with a small
// letter, types of FHIRPath are no defined-types, and the use of most
// designations is not in the value set for it.
func TestAllIsValid(t *testing.T) {
	l := whole(t)
	v := validate.New(validate.Options{Timeout: time.Minute, MaxIssues: 10_000})
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
				if strings.Contains(text, "df-0") || strings.Contains(text, "pd-0") || strings.Contains(text, "sd-0") || strings.Contains(text, "ValueSet/defined-types") || strings.Contains(text, "ValueSet/designation-use") {
					continue
				}
				t.Errorf("%s/%s: %s", typ, b.item.ID, text)
			}
		}
	}
}

// No resource takes the place of another: where two sources have the same id,
// they have the same definition.
func TestIDsAreUnique(t *testing.T) {
	for typ, s := range whole(t).shelves {
		total := 0
		for _, source := range s.sources {
			for _, item := range source() {
				total++
				other := &book{item: item, shelf: s}
				kept := s.find(item.ID)
				if a, b := url(t, other), url(t, kept); a != b {
					t.Errorf("%s/%s is %s and %s", typ, item.ID, a, b)
				}
			}
		}
		t.Logf("%s: %d", typ, len(s.all()))
		if total == 0 {
			t.Errorf("there is no %s", typ)
		}
	}
}

func url(t *testing.T, b *book) string {
	t.Helper()
	doc, err := fhir.ParseWithin(b.open().Body, limits)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Get("url").String()
}

// Everything is made and indexed at the first question about it; no start waits
// for it.
func BenchmarkFirstUse(b *testing.B) {
	for typ := range whole(b).shelves {
		b.Run(typ, func(b *testing.B) {
			for b.Loop() {
				whole(b).shelves[typ].indexed()
			}
		})
	}
}
