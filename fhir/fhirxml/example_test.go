package fhirxml_test

import (
	"fmt"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
)

func Example() {
	doc, err := fhirxml.Decode([]byte(`<Slot xmlns="http://hl7.org/fhir">
	  <id value="s1"/>
	  <status value="free"/>
	  <start value="2026-12-01T09:00:00+08:00"/>
	</Slot>`), fhir.DefaultLimits)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(doc.Bytes()))

	xml, err := fhirxml.Encode(doc)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(xml))

	_, err = fhirxml.Decode([]byte(`<Slot xmlns="http://hl7.org/fhir"><quota value="2"/></Slot>`), fhir.DefaultLimits)
	fmt.Println(err)
	// Output:
	// {"resourceType":"Slot","id":"s1","status":"free","start":"2026-12-01T09:00:00+08:00"}
	// <?xml version="1.0" encoding="UTF-8"?>
	// <Slot xmlns="http://hl7.org/fhir"><id value="s1"/><status value="free"/><start value="2026-12-01T09:00:00+08:00"/></Slot>
	// structure at Slot: FHIR R4 does not define this element (quota). (line 1, column 35)
}
