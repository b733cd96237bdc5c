package fhirpath

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

func seeds(f *testing.F) []string {
	all := []string{
		"", "a", "(", "'\\u", "@", "@T", "%", "$", "`", "1.", "-", "{}", "%vs-", "a[", "/*", "//", "@2026-11-23T09:00:00.1+08:00", "@T23:59:59.999 + 1 hour",
		"1 'kg.m/s2' / 1 '/(h.[in_i])'", "('a' | 'b').join(',').split(',')", "iif(1 = 1, $this, {})", "(1|2|3).aggregate($total + $this * 2.5, 0).power(3)",
		"name.given.replaceMatches('(.)', '$1$1')", "descendants().where($this is string).distinct()", "1.repeat($this + 1)", "'x'.matches('[a-z]{1,1000}{1,1000}')",
		"9.9.power(400) * 1e5", "(-1.5).round(2).sqrt().ln()", "9999999999.9999999999 mod 0.0000001", "(5 'mg').toQuantity('g') ~ 4 days", "today() - 100000 years",
		"'a'.encode('base64').decode('hex').escape('json').unescape('html')", "%resource.descendants() = %context.children()", "checkModifiers('x').htmlChecks()",
		"(1 | 'a' | true | @2026 | @T10 | 1 'mg' | {}).select($this.toString() & $index.toString())",
	}
	for _, r := range rows(f, constraintText, 2, 1) {
		all = append(all, r[1])
	}
	for i, r := range rows(f, searchText, 3, 1) {
		if i%25 == 0 {
			all = append(all, r[2])
		}
	}
	return all
}

// Whatever the text, compiling gives an expression or an Error with a place in it.
func FuzzCompile(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Compile(text)
		if err == nil {
			if e.String() != text {
				t.Fatalf("it reads %q", e)
			}
			_ = e.Check(nil, "Encounter")
			return
		}
		var place *Error
		if !errors.As(err, &place) || place.Offset < 0 || place.Offset > len(text) || place.Message == "" || fhir.CodeOf(err) == fhir.CodeException {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// Whatever the expression and the document, evaluating ends with the same
// result each time, within the limits, and never panics.
func FuzzEvaluate(f *testing.F) {
	documents := []string{
		encounterText, patient(`"name":[{"given":["A",null],"_given":[null,{"id":"x"}]}],"birthDate":"1974-12"`),
		patient(`"name":"no list","birthDate":5,"active":"true","deceasedDateTime":{"value":1},"contact":[[1],null]`),
	}
	for i, s := range seeds(f) {
		f.Add(s, documents[i%len(documents)])
	}
	lim := Limits{Steps: 20_000, Items: 2_000, Bytes: 1 << 16}
	f.Fuzz(func(t *testing.T, text, doc string) {
		e, err := Compile(text)
		if err != nil {
			return
		}
		d, err := fhir.Parse([]byte(doc))
		if err != nil {
			return
		}
		opts := Options{Limits: lim, Resolver: ReferenceTypes{}, Now: time.Unix(1_800_000_000, 0).UTC()}
		c, err := e.Evaluate(t.Context(), d.Root(), opts)
		again, err2 := e.Evaluate(t.Context(), d.Root(), opts)
		if (err == nil) != (err2 == nil) || len(c) != len(again) {
			t.Fatalf("%q: %v, %v and then %v, %v", text, c.Strings(), err, again.Strings(), err2)
		}
		if err != nil {
			var place *Error
			if !errors.As(err, &place) || place.Offset < 0 || place.Offset > len(text) || place.Message == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(c) > lim.Items {
			t.Fatalf("%q: %d items", text, len(c))
		}
		total := 0
		for i, v := range c {
			if v.String() != again[i].String() || v.Type() != again[i].Type() {
				t.Fatalf("%q: %q and then %q", text, v, again[i])
			}
			if !v.Node().Exists() && v.Type() == "System.String" {
				total += len(v.String())
			}
		}
		if total > (lim.Bytes+len(doc)+len(text))*(1+strings.Count(text, "|")+len(c)) {
			t.Fatalf("%q: %d bytes of text", text, total)
		}
	})
}
