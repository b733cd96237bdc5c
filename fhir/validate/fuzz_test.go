package validate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

func FuzzValidate(f *testing.F) {
	files, _ := filepath.Glob("../../mycore/testdata/*/*.json")
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, x := range base {
		f.Add([]byte(x.document))
	}
	v := with(f, validate.Options{}, race, definition("x", "Patient", sliced("closed", "true")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := fhir.Parse(raw)
		if err != nil {
			return
		}
		first := v.Validate(t.Context(), doc, home+"x")
		if len(first) > 100 {
			t.Errorf("%d issues", len(first))
		}
		if again := v.Validate(t.Context(), doc, home+"x"); found(again) != found(first) && len(first) < 100 {
			t.Errorf("twice the same document gives\n%s\nand\n%s", found(first), found(again))
		}
	})
}

// FuzzAddProfile uses whatever is taken as a profile.
func FuzzAddProfile(f *testing.F) {
	for _, x := range profiled {
		f.Add([]byte(definition("x", x.typ, x.elements)), []byte(x.document))
	}
	f.Fuzz(func(t *testing.T, raw, document []byte) {
		p, err := fhir.Parse(raw)
		if err != nil {
			return
		}
		doc, err := fhir.Parse(document)
		if err != nil {
			return
		}
		v := validate.New(validate.Options{})
		if v.AddProfile(p) != nil {
			return
		}
		if n := len(v.Validate(t.Context(), doc, p.Get("url").String())); n > 100 {
			t.Errorf("%d issues", n)
		}
	})
}
