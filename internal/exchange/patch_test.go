package exchange

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

const spaced = "{ \"resourceType\" : \"Patient\",\n  \"id\":\"p1\",\n\t\"active\" : true,\n \"name\":[ {\"family\":\"A\", \"given\" : [\"x\" , \"y\"]},{\"text\":\"B\"} ],\"multipleBirthInteger\":2,\n" +
	` "_birthDate":{"id":"b"},"birthDate":"1991-05-03","a/b":{"m~n":[1.00]},"contact":[{"gender":"male"}], "deceasedBoolean":false }`

func change(t testing.TB, body string) (Change, error) {
	t.Helper()
	if strings.HasPrefix(body, "{") {
		doc, err := fhir.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return ParseFHIRPathPatch(doc)
	}
	return ParseJSONPatch([]byte(body))
}

// changed applies a patch to a document.
func changed(t testing.TB, doc, patch string) (string, error) {
	t.Helper()
	c, err := change(t, patch)
	if err != nil {
		return "", err
	}
	d, err := fhir.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.apply(t.Context(), d)
	return string(out), err
}

// A tree that nobody changes is written as it was read.
func TestTreeKeepsBytes(t *testing.T) {
	for _, doc := range []string{spaced, `{"resourceType":"Xx"}`, "{\"resourceType\":\"Xy\",\"a\":[ ],\"b\":{ },\"c\":[1,-2.0e+5 , null,true],\"d\":\"\\\"\\\\\\u0041\"}\n"} {
		d, err := fhir.Parse([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(grow(d.Bytes()).write(nil)); got != string(d.Bytes()) {
			t.Errorf("%s\n%s", got, d.Bytes())
		}
	}
}

func TestJSONPatch(t *testing.T) {
	for _, c := range []struct{ name, patch, old, new string }{
		{"nothing", `[]`, "", ""},
		{"replace", `[{"op":"replace","path":"/active","value":false}]`, `"active" : true`, `"active" : false`},
		{"replace in a list", `[{"op":"replace","path":"/name/0/given/1","value":"z"}]`, `"y"`, `"z"`},
		{"add a member", `[{"op":"add","path":"/name/1/use","value":"old"}]`, `"text":"B"`, `"text":"B","use":"old"`},
		{"add over a member", `[{"op":"add","path":"/active","value":1.50}]`, `: true`, `: 1.50`},
		{"add at the end", `[{"op":"add","path":"/name/0/given/-","value":"z"}]`, `"y"]`, `"y","z"]`},
		{"add before", `[{"op":"add","path":"/name/0/given/0","value":"z"}]`, `["x"`, `["z","x"`},
		{"add behind", `[{"op":"add","path":"/name/0/given/2","value":"z"}]`, `"y"]`, `"y","z"]`},
		{"remove a member", `[{"op":"remove","path":"/active"}]`, "\n\t\"active\" : true,", ""},
		{"remove the last member", `[{"op":"remove","path":"/deceasedBoolean"}]`, `, "deceasedBoolean":false }`, `}`},
		{"remove an item", `[{"op":"remove","path":"/name/1"}]`, `,{"text":"B"} ]`, `]`},
		{"escapes", `[{"op":"replace","path":"/a~1b/m~0n/0","value":2}]`, `1.00`, `2`},
		{"move", `[{"op":"move","from":"/name/1/text","path":"/name/0/text"}]`, `["x" , "y"]},{"text":"B"}`, `["x" , "y"],"text":"B"},{}`},
		{"move within a list", `[{"op":"move","from":"/name/0/given/0","path":"/name/0/given/1"}]`, `["x" , "y"]`, `[ "y","x"]`},
		{"move onto itself", `[{"op":"move","from":"/name/0","path":"/name/0"}]`, "", ""},
		{"copy", `[{"op":"copy","from":"/name/1","path":"/name/-"}]`, `{"text":"B"} ]`, `{"text":"B"},{"text":"B"} ]`},
		{"test", `[{"op":"test","path":"/name/1","value":{ "text":"\u0042" }},{"op":"test","path":"/a~1b","value":{"m~n":[10e-1]}},{"op":"test","path":"/active","value":true}]`, "", ""},
		{"in order", `[{"op":"add","path":"/name/0/prefix","value":[]},{"op":"add","path":"/name/0/prefix/-","value":"Dr"}]`, `"y"]}`, `"y"],"prefix":["Dr"]}`},
		{"members that are not needed", `[{"op":"replace","path":"/active","value":false,"from":7,"xyz":[]}]`, `: true`, `: false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := changed(t, spaced, c.patch)
			if want := strings.Replace(spaced, c.old, c.new, 1); err != nil || got != want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

func TestJSONPatchRefused(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"/x"},`, maxOperations+1), ",")
	grows := `{"op":"add","path":"/x","value":["` + strings.Repeat("x", 1000) + `"]}` + strings.Repeat(`,{"op":"copy","from":"/x","path":"/x/0"}`, 30)
	for _, c := range []struct {
		name, patch string
		code        fhir.Code
	}{
		{"no list", ` {"op":"x"}`, fhir.CodeStructure},
		{"no json", `[`, fhir.CodeStructure},
		{"nothing", ``, fhir.CodeStructure},
		{"something behind", `[],"x":1`, fhir.CodeStructure},
		{"no operation", `[7]`, fhir.CodeInvalid},
		{"unknown operation", `[{"op":"delete","path":"/active"}]`, fhir.CodeInvalid},
		{"no path", `[{"op":"remove"}]`, fhir.CodeInvalid},
		{"a number for a path", `[{"op":"remove","path":7}]`, fhir.CodeInvalid},
		{"a path without a slash", `[{"op":"remove","path":"active"}]`, fhir.CodeInvalid},
		{"a bad escape", `[{"op":"remove","path":"/a~2"}]`, fhir.CodeInvalid},
		{"half an escape", `[{"op":"remove","path":"/a~"}]`, fhir.CodeInvalid},
		{"no value", `[{"op":"add","path":"/x"}]`, fhir.CodeInvalid},
		{"no from", `[{"op":"move","path":"/x"}]`, fhir.CodeInvalid},
		{"too many", "[" + many + "]", fhir.CodeTooCostly},
		{"too much", "[" + grows + "]", fhir.CodeTooLong},
		{"nothing to remove", `[{"op":"remove","path":"/x"}]`, fhir.CodeBusinessRule},
		{"the record itself", `[{"op":"remove","path":""}]`, fhir.CodeBusinessRule},
		{"nothing to replace", `[{"op":"replace","path":"/x","value":1}]`, fhir.CodeBusinessRule},
		{"a parent that is missing", `[{"op":"add","path":"/x/y","value":1}]`, fhir.CodeBusinessRule},
		{"a parent that is a value", `[{"op":"add","path":"/active/y","value":1}]`, fhir.CodeBusinessRule},
		{"behind the end", `[{"op":"add","path":"/name/3","value":1}]`, fhir.CodeBusinessRule},
		{"the end replaced", `[{"op":"replace","path":"/name/-","value":1}]`, fhir.CodeBusinessRule},
		{"a leading zero", `[{"op":"remove","path":"/name/00"}]`, fhir.CodeBusinessRule},
		{"a negative place", `[{"op":"remove","path":"/name/-1"}]`, fhir.CodeBusinessRule},
		{"a name in a list", `[{"op":"remove","path":"/name/text"}]`, fhir.CodeBusinessRule},
		{"into itself", `[{"op":"move","from":"/name","path":"/name/0/x"}]`, fhir.CodeBusinessRule},
		{"another value", `[{"op":"test","path":"/active","value":"true"}]`, fhir.CodeBusinessRule},
		{"another number", `[{"op":"test","path":"/multipleBirthInteger","value":20}]`, fhir.CodeBusinessRule},
		{"a longer list", `[{"op":"test","path":"/name/0/given","value":["x"]}]`, fhir.CodeBusinessRule},
		{"other members", `[{"op":"test","path":"/name/1","value":{"texts":"B"}}]`, fhir.CodeBusinessRule},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, err := changed(t, spaced, c.patch); fhir.CodeOf(err) != c.code || err == nil {
				t.Errorf("%v, want %s; %s", err, c.code, out)
			}
		})
	}
}

func TestNumbersAreTheSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"1", "1.0", true}, {"100", "1e2", true}, {"0.010", "1E-2", true}, {"-0", "0.0", true}, {"-5", "-50e-1", true},
		{"1", "-1", false}, {"1", "10", false}, {"0.1", "0.01", false}, {"1e999999999999", "1e999999999999", true}, {"1e999999999999", "1", false},
	} {
		if got := grow([]byte(c.a)).same(grow([]byte(c.b)), number); got != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

// operation gives an operation of a FHIRPath Patch; parts are JSON.
func operation(kind, path string, parts ...string) string {
	return fmt.Sprintf(`{"name":"operation","part":[{"name":"type","valueCode":%q},{"name":"path","valueString":%q}%s]}`,
		kind, path, strings.Join(append([]string{""}, parts...), ","))
}

func parameters(operations ...string) string {
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(operations, ",") + `]}`
}

func named(name string) string { return fmt.Sprintf(`{"name":"name","valueString":%q}`, name) }

func place(name string, i int) string { return fmt.Sprintf(`{"name":%q,"valueInteger":%d}`, name, i) }

func TestFHIRPathPatch(t *testing.T) {
	const given = `"_given":[null,{"id":"g"}],"given" : ["x" , "y"]`
	extended := strings.Replace(spaced, `"given" : ["x" , "y"]`, given, 1)
	for _, c := range []struct{ name, doc, patch, old, new string }{
		{"add", spaced, operation("add", "Patient", named("gender"), `{"name":"value","valueCode":"male"}`), `false }`, `false,"gender":"male" }`},
		{"add to a list", spaced, operation("add", "Patient.name[0]", named("given"), `{"name":"value","valueString":"z"}`), `"y"]`, `"y","z"]`},
		{"add a list", spaced, operation("add", "Patient.name[1]", named("given"), `{"name":"value","valueString":"z"}`), `"text":"B"`, `"text":"B","given":["z"]`},
		{"add with an id of its own", spaced, operation("add", "Patient", named("gender"), `{"name":"value","valueCode":"male","_valueCode":{"id":"i"}}`), `false }`, `false,"gender":"male","_gender":{"id":"i"} }`},
		{"add what has extensions to a list", spaced, operation("add", "Patient.name[0]", named("given"), `{"name":"value","valueString":"z","_valueString":{"id":"i"}}`), `"y"]`, `"y","z"],"_given":[null,null,{"id":"i"}]`},
		{"add a choice", spaced, operation("add", "Patient.contact", named("extension"), `{"name":"value","part":[{"name":"url","valueUri":"http://x"},{"name":"value","valueDecimal":1.00}]}`), `"gender":"male"`, `"gender":"male","extension":[{"url":"http://x","valueDecimal":1.00}]`},
		{"add parts", spaced, operation("add", "Patient", named("contact"), `{"name":"value","part":[{"name":"name","valueHumanName":{"text":"C"}},{"name":"telecom","valueContactPoint":{"value":"1"}},{"name":"telecom","valueContactPoint":{"value":"2"}}]}`),
			`[{"gender":"male"}]`, `[{"gender":"male"},{"name":{"text":"C"},"telecom":[{"value":"1"},{"value":"2"}]}]`},
		{"add to a filtered element", spaced, operation("add", "Patient.name.where(text = 'B')", named("use"), `{"name":"value","valueCode":"old"}`), `"text":"B"`, `"text":"B","use":"old"`},
		{"replace", spaced, operation("replace", "Patient.birthDate", `{"name":"value","valueDate":"1999"}`), `1991-05-03`, `1999`},
		{"replace an item", spaced, operation("replace", "Patient.name[0].given[1]", `{"name":"value","valueString":"z"}`), `"y"`, `"z"`},
		{"replace a complex element", spaced, operation("replace", "Patient.name[1]", `{"name":"value","valueHumanName":{ "family":"Z" }}`), `{"text":"B"}`, `{ "family":"Z" }`},
		{"replace a choice", spaced, operation("replace", "Patient.deceased", `{"name":"value","valueDateTime":"2020"}`), ` "deceasedBoolean":false`, `"deceasedDateTime":"2020"`},
		{"delete", spaced, operation("delete", "Patient.active"), "\n\t\"active\" : true,", ""},
		{"delete with extensions", spaced, operation("delete", "Patient.birthDate"), "\n \"_birthDate\":{\"id\":\"b\"},\"birthDate\":\"1991-05-03\",", ""},
		{"delete nothing", spaced, operation("delete", "Patient.photo"), "", ""},
		{"delete the last of a list", spaced, operation("delete", "Patient.contact"), `"contact":[{"gender":"male"}],`, ""},
		{"delete an item", spaced, operation("delete", "Patient.name[0].given[0]"), `"x" ,`, ""},
		{"delete an item with its extensions", extended, operation("delete", "Patient.name[0].given[1]"), given, `"_given":[null],"given" : ["x" ]`},
		{"insert", spaced, operation("insert", "Patient.name[0].given", place("index", 1), `{"name":"value","valueString":"z"}`), `"x" , "y"`, `"x" ,"z", "y"`},
		{"insert behind", spaced, operation("insert", "Patient.name", place("index", 2), `{"name":"value","valueHumanName":{}}`), `{"text":"B"} ]`, `{"text":"B"},{} ]`},
		{"insert beside extensions", extended, operation("insert", "Patient.name[0].given", place("index", 0), `{"name":"value","valueString":"z"}`), given, `"_given":[null,null,{"id":"g"}],"given" : ["z","x" , "y"]`},
		{"move", spaced, operation("move", "Patient.name[0].given", place("source", 0), place("destination", 1)), `["x" , "y"]`, `[ "y","x"]`},
		{"move with extensions", extended, operation("move", "Patient.name[0].given", place("source", 1), place("destination", 0)), given, `"_given":[{"id":"g"},null],"given" : ["y","x" ]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := changed(t, c.doc, parameters(c.patch))
			if want := strings.Replace(c.doc, c.old, c.new, 1); err != nil || got != want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

func TestFHIRPathPatchRefused(t *testing.T) {
	text := `{"name":"value","valueString":"z"}`
	for _, c := range []struct {
		name, patch string
		code        fhir.Code
	}{
		{"another resource", `{"resourceType":"Patient"}`, fhir.CodeInvalid},
		{"nothing", `{"resourceType":"Parameters"}`, fhir.CodeRequired},
		{"too many", parameters(strings.TrimSuffix(strings.Repeat(operation("delete", "Patient.active")+",", maxPathOperations+1), ",")), fhir.CodeTooCostly},
		{"another parameter", parameters(`{"name":"op"}`), fhir.CodeInvalid},
		{"another part", parameters(operation("delete", "Patient.active", named("x"), `{"name":"colour"}`)), fhir.CodeInvalid},
		{"no type", parameters(`{"name":"operation","part":[{"name":"path","valueString":"Patient.active"}]}`), fhir.CodeInvalid},
		{"no path", parameters(`{"name":"operation","part":[{"name":"type","valueCode":"delete"}]}`), fhir.CodeInvalid},
		{"no FHIRPath", parameters(operation("delete", "Patient..")), fhir.CodeInvalid},
		{"no name", parameters(operation("add", "Patient", text)), fhir.CodeInvalid},
		{"no value", parameters(operation("add", "Patient", named("gender"))), fhir.CodeInvalid},
		{"an empty value", parameters(operation("replace", "Patient.active", `{"name":"value"}`)), fhir.CodeInvalid},
		{"no index", parameters(operation("insert", "Patient.name", text)), fhir.CodeInvalid},
		{"a negative index", parameters(operation("insert", "Patient.name", place("index", -1), text)), fhir.CodeInvalid},
		{"no destination", parameters(operation("move", "Patient.name", place("source", 0))), fhir.CodeInvalid},
		{"nothing there", parameters(operation("replace", "Patient.photo", text)), fhir.CodeBusinessRule},
		{"several", parameters(operation("delete", "Patient.name")), fhir.CodeBusinessRule},
		{"computed", parameters(operation("delete", "Patient.name.count()")), fhir.CodeBusinessRule},
		{"the record", parameters(operation("delete", "Patient")), fhir.CodeBusinessRule},
		{"what R4 does not have", parameters(operation("add", "Patient", named("colour"), text)), fhir.CodeBusinessRule},
		{"what is there", parameters(operation("add", "Patient", named("birthDate"), text)), fhir.CodeBusinessRule},
		{"what is there in another form", parameters(operation("add", "Patient", named("deceased"), `{"name":"value","valueDateTime":"2020"}`)), fhir.CodeBusinessRule},
		{"a type that is none of the choices", parameters(operation("replace", "Patient.deceased", text)), fhir.CodeBusinessRule},
		{"to a value", parameters(operation("add", "Patient.active", named("x"), text)), fhir.CodeBusinessRule},
		{"an index behind the end", parameters(operation("insert", "Patient.name", place("index", 3), text)), fhir.CodeBusinessRule},
		{"a part of a list", parameters(operation("insert", "Patient.name[0]", place("index", 0), text)), fhir.CodeBusinessRule},
		{"no list", parameters(operation("move", "Patient.birthDate", place("source", 0), place("destination", 0))), fhir.CodeBusinessRule},
		{"a source behind the end", parameters(operation("move", "Patient.name", place("source", 2), place("destination", 0))), fhir.CodeBusinessRule},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := changed(t, spaced, c.patch)
			if fhir.CodeOf(err) != c.code || err == nil {
				t.Errorf("%v, want %s; %s", err, c.code, out)
			}
		})
	}
}

// Whatever a patch does to whatever document: it ends, and what it has not
// named keeps its bytes.
func FuzzJSONPatch(f *testing.F) {
	f.Add(spaced, `[{"op":"add","path":"/name/0/given/-","value":"z"},{"op":"move","from":"/name/0","path":"/name/1"},{"op":"remove","path":"/a~1b"}]`)
	f.Add(`{"resourceType":"Xx","a":[[],{}, [ ]]}`, `[{"op":"copy","from":"/a","path":"/a/0/0"},{"op":"test","path":"/a/1","value":{}}]`)
	f.Add(`{"resourceType":"Xx","":{"~":1}}`, `[{"op":"replace","path":"//~0","value":null},{"op":"add","path":"","value":{"resourceType":"Yy"}}]`)
	f.Fuzz(func(t *testing.T, document, patch string) {
		doc, err := fhir.Parse([]byte(document))
		if err != nil {
			return
		}
		if got := grow(doc.Bytes()).write(nil); string(got) != string(doc.Bytes()) {
			t.Fatalf("%s\n%s", got, doc.Bytes())
		}
		c, err := ParseJSONPatch([]byte(patch))
		if err != nil {
			return
		}
		raw, err := c.apply(t.Context(), doc)
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%s gives %s", patch, raw)
		}
	})
}

// A patch that takes too long is given up, and the record stays as it is.
func TestPatchIsGivenUp(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	doc, err := fhir.Parse([]byte(spaced))
	if err != nil {
		t.Fatal(err)
	}
	for _, patch := range []string{`[{"op":"remove","path":"/active"}]`, parameters(operation("delete", "Patient.active"))} {
		c, err := change(t, patch)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := c.apply(ended, doc); err == nil {
			t.Errorf("%s", raw)
		}
	}
	large := strings.TrimSuffix(spaced, "}") + `,"text":{"div":"` + strings.Repeat("x", maxPathBytes/maxPathOperations+1) + `"}}`
	if _, err := changed(t, large, parameters(strings.TrimSuffix(strings.Repeat(operation("delete", "Patient.photo")+",", maxPathOperations), ","))); fhir.CodeOf(err) != fhir.CodeTooCostly {
		t.Errorf("%v", err)
	}
}

// The same for FHIRPath Patches, on records of any form.
func FuzzFHIRPathPatch(f *testing.F) {
	text := `{"name":"value","valueString":"z"}`
	for _, op := range []string{
		operation("add", "Patient.name[0]", named("given"), text), operation("delete", "Patient.contact.gender"),
		operation("replace", "Patient.deceased", `{"name":"value","valueDateTime":"2020"}`),
		operation("insert", "Patient.name", place("index", 0), `{"name":"value","valueHumanName":{"_given":[null]}}`),
		operation("move", "Patient.name.given", place("source", 0), place("destination", 1)),
		operation("add", "Patient", named("contact"), `{"name":"value","part":[{"name":"name","valueHumanName":{}}]}`),
	} {
		f.Add(spaced, parameters(op))
		f.Add(`{"resourceType":"Patient","name":{"given":"x","_given":{"id":"g"}},"contact":[[{"gender":7}],{}],"deceasedBoolean":null,"contained":[{"resourceType":"Patient","name":[]}]}`, parameters(op))
	}
	f.Fuzz(func(t *testing.T, document, patch string) {
		doc, err := fhir.Parse([]byte(document))
		if err != nil {
			return
		}
		p, err := fhir.Parse([]byte(patch))
		if err != nil {
			return
		}
		c, err := ParseFHIRPathPatch(p)
		if err != nil {
			return
		}
		if raw, err := c.apply(t.Context(), doc); err == nil && !json.Valid(raw) {
			t.Fatalf("%s gives %s", patch, raw)
		}
	})
}
