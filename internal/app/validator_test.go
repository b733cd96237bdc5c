package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Good records of MY Core are good FHIR R4 under MY Core's own profiles.
func TestGoodRecordsAreValid(t *testing.T) {
	v := validator("http://127.0.0.1/baseR4", mycore.Line2024)
	files, err := filepath.Glob("../../mycore/testdata/good/*.json")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d records, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := fhir.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Answer(t.Context(), doc, mycore.Strict).Err(); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		broken, err := doc.With(fhir.Set("nonsense", true))
		if err != nil {
			t.Fatal(err)
		}
		if v.Answer(t.Context(), broken, mycore.Strict).Err() == nil {
			t.Errorf("%s: an unknown element is not noticed", filepath.Base(file))
		}
	}
}

func BenchmarkValidator(b *testing.B) {
	for b.Loop() {
		validator("http://127.0.0.1/baseR4", mycore.Line2024)
	}
}
