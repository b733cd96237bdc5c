package subscription

import (
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Whatever a Subscription holds, what is made of it can be stored and read
// again, is bounded, and shows no secret.
func FuzzRead(f *testing.F) {
	for _, body := range []string{
		ordered(encounters+","+filtered("Encounter?service-type=VCI&status=arrived"), hook+","+full),
		ordered(`"criteria":"Patient?name=x"`, hook+`,"header":["Authorization: Bearer secret","X-A: 1"]`),
		ordered(`"criteria":"Patient"`, hook+`,"header":"X-Token: secret"`),
		ordered(`"end":"2026-12-01T08:00:00+08:00","criteria":"Patient"`, hook+`,"extension":[{"url":"`+extensionTimeout+`","valueUnsignedInt":600}]`),
		ordered(`"criteria":"Patient"`, hook+`,"header":[["X: a","Y: b"],"Authorization: secret"]`),
		ordered(`"criteria":["Patient"],"_criteria":[null]`, `"type":{},"endpoint":[[]],"header":[null,{},["a: b"]]`),
	} {
		f.Add([]byte(body))
	}
	topics, err := New(Default())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := fhir.Parse(raw)
		if err != nil {
			return
		}
		o, err := topics.Read(d, base)
		if err != nil {
			return
		}
		again, err := ReadOrder(store.Subscriber{Order: o.Marshal()})
		if err != nil || !again.Same(o) {
			t.Fatalf("stored as %s, read as %s, %v", o.Marshal(), again.Marshal(), err)
		}
		if len(o.Headers) > maxHeaders || len(o.Filters) > maxFilters+1 || o.AtOnce() > maxAtOnce || o.Wait() > maxTimeout {
			t.Fatalf("no bounds: %s", o.Marshal())
		}
		hidden, err := Conceal(d, o)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := topics.Read(hidden, base)
		if err != nil {
			t.Fatalf("what is stored cannot be written again: %v\n%s", err, hidden.Bytes())
		}
		for i, h := range shown.Headers {
			if o.Headers[i].secret() && h.Value != withoutValue {
				t.Fatalf("%s shows a secret", hidden.Bytes())
			}
			if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") {
				t.Fatalf("a header of several lines: %q", h)
			}
		}
	})
}
