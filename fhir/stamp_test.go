package fhir

import (
	"testing"
	"time"
)

func TestStampChangesOnlyIDAndMeta(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 456e6, time.UTC)
	const stamp = `"versionId":"7","lastUpdated":"2026-11-23T09:02:03.456+08:00"`
	for _, c := range []struct{ name, in, want string }{
		{"nothing there", `{"resourceType":"Basic","x":1.00}`, `{"resourceType":"Basic","id":"a","meta":{` + stamp + `},"x":1.00}`},
		{"an id", `{"id":"a","resourceType":"Basic"}`, `{"id":"a","meta":{` + stamp + `},"resourceType":"Basic"}`},
		{"another id", `{"resourceType":"Basic","id":"b"}`, `{"resourceType":"Basic","id":"a","meta":{` + stamp + `}}`},
		{"an empty meta", `{"resourceType":"Basic","id":"a","meta":{ }}`, `{"resourceType":"Basic","id":"a","meta":{ ` + stamp + `}}`},
		{"a meta", `{"resourceType":"Basic","id":"a","meta":{"source":"x" }}`, `{"resourceType":"Basic","id":"a","meta":{"source":"x",` + stamp + `}}`},
		{
			"an older stamp", `{ "resourceType":"Basic","meta":{"lastUpdated":"2020","tag":[],"versionId":"1"},"id" : "a"}`,
			`{ "resourceType":"Basic","meta":{"lastUpdated":"2026-11-23T09:02:03.456+08:00","tag":[],"versionId":"7"},"id" : "a"}`,
		},
		{
			"half a stamp", `{"resourceType":"Basic","id":"a","meta":{"versionId":"1","profile":["p"]}}`,
			`{"resourceType":"Basic","id":"a","meta":{"versionId":"7","profile":["p"],"lastUpdated":"2026-11-23T09:02:03.456+08:00"}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Stamp("a", 7, at)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Bytes()) != c.want {
				t.Errorf("got  %s\nwant %s", got.Bytes(), c.want)
			}
		})
	}
}
