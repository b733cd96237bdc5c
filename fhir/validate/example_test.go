package validate_test

import (
	"context"
	"fmt"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

func Example() {
	v := validate.New(validate.Options{})
	profile, err := fhir.Parse([]byte(`{"resourceType": "StructureDefinition", "url": "http://example.org/StructureDefinition/adult",
		"type": "Patient", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient", "derivation": "constraint",
		"differential": {"element": [{"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}]}}`))
	if err != nil {
		panic(err)
	}
	if err := v.AddProfile(profile); err != nil {
		panic(err)
	}
	doc, err := fhir.Parse([]byte(`{"resourceType": "Patient", "gender": "F"}`))
	if err != nil {
		panic(err)
	}
	for _, issue := range v.Validate(context.Background(), doc, "http://example.org/StructureDefinition/adult") {
		fmt.Println(issue.Diagnostics)
	}
	// Output:
	// Patient.gender: The code is not one that is allowed here. Use male, female, other or unknown. The value set is http://hl7.org/fhir/ValueSet/administrative-gender. (rule binding of http://hl7.org/fhir/StructureDefinition/Patient)
	// Patient.birthDate: The element is missing; the profile asks for at least 1. (rule min of http://example.org/StructureDefinition/adult)
}
