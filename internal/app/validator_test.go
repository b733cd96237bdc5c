package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/subscription"
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

// Subscriptions are judged by the profile of the backport, whose extensions are
// known.
func TestSubscriptionsAreJudged(t *testing.T) {
	v := validator("http://127.0.0.1/baseR4", mycore.Line2024)
	const extension = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
	good := `{"resourceType":"Subscription","meta":{"profile":["` + subscription.Profile + `"]},"status":"requested","reason":"x",
		"criteria":"http://127.0.0.1/baseR4/SubscriptionTopic/hie.vc.encounter",
		"_criteria":{"extension":[{"url":"` + extension + `filter-criteria","valueString":"Encounter?status=arrived"},{"url":"` + extension + `filter-criteria","valueString":"Encounter?class=VR"}]},
		"channel":{"extension":[{"url":"` + extension + `heartbeat-period","valueUnsignedInt":60},{"url":"` + extension + `timeout","valueUnsignedInt":5},{"url":"` + extension + `max-count","valuePositiveInt":3}],
		"type":"rest-hook","endpoint":"https://hooks.example/x","payload":"application/fhir+json","_payload":{"extension":[{"url":"` + extension + `payload-content","valueCode":"id-only"}]}}}`
	for _, c := range []struct {
		name, old, new string
		errors         bool
	}{
		{"good", "", "", false},
		{"a value of another type", `"valueUnsignedInt":60`, `"valueString":"60"`, true},
		{"a filter of another type", `filter-criteria","valueString":"Encounter?class=VR"`, `filter-criteria","valueCode":"x"`, true},
		{"no content", `"_payload":{"extension":[{"url":"` + extension + `payload-content","valueCode":"id-only"}]}`, `"id":"c"`, true},
	} {
		doc, err := fhir.Parse([]byte(strings.Replace(good, c.old, c.new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		issues := v.Answer(t.Context(), doc, mycore.Strict)
		if (issues.Err() != nil) != c.errors {
			t.Errorf("%s: %v", c.name, issues)
		}
		for _, i := range issues {
			if !c.errors && i.Code == fhir.CodeExtension {
				t.Errorf("%s: %v", c.name, i)
			}
		}
	}
}

func BenchmarkValidator(b *testing.B) {
	for b.Loop() {
		validator("http://127.0.0.1/baseR4", mycore.Line2024)
	}
}
