package fhirpath_test

import (
	"context"
	"fmt"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
)

func ExampleExpression_Evaluate() {
	d, err := fhir.Parse([]byte(`{"resourceType":"Encounter","status":"in-progress","_status":{"id":"s1"},
		"identifier":[{"system":"http://example.org/vc-token","value":"3f2504e0"},{"system":"http://example.org/mrn","value":"77"}]}`))
	if err != nil {
		panic(err)
	}
	token := fhirpath.MustCompile("Encounter.identifier.where(system = 'http://example.org/vc-token').value")
	values, err := token.Evaluate(context.Background(), d.Root(), fhirpath.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(values.Strings(), values[0].Node().Path())

	running := fhirpath.MustCompile("status = 'in-progress' and status.id = 's1'")
	values, err = running.Evaluate(context.Background(), d.Root(), fhirpath.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(values.Bool())
	// Output:
	// [3f2504e0] Encounter.identifier[0].value
	// true true
}

func ExampleCompile() {
	_, err := fhirpath.Compile("identifier.where(system = )")
	fmt.Println(err)
	// Output: fhirpath: at 26: ")" is not expected here
}
