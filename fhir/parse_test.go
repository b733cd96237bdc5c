package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func mustParse(t testing.TB, raw string) *Document {
	t.Helper()
	d, err := Parse([]byte(raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return d
}

// basic puts members into the smallest resource.
func basic(members string) string { return `{"resourceType":"Basic",` + members + `}` }

func TestBytesAreKept(t *testing.T) {
	for name, in := range map[string]string{
		"the order of keys":        `{"z":1,"resourceType":"Basic","a":2,"id":"x"}`,
		"decimals":                 basic(`"a":1.00,"b":0.0,"c":-0,"d":10.10`),
		"exponents":                basic(`"a":1e2,"b":1E+2,"c":1.5e-10`),
		"numbers beyond any float": basic(`"a":123456789012345678901234567890.123456789,"b":1e999`),
		"primitive extensions":     basic(`"_status":{"extension":[{"url":"x","valueCode":"y"}]},"given":["a",null],"_given":[null,{"id":"1"}]`),
		"unknown elements":         basic(`"x-nobody":{"deep":[[1,[2]],{}]}`),
		"escapes":                  basic(`"a":"\u0041\/\b\f\n\r\t\"\\\u00e9\ud83d\ude00"`),
		"escaped names":            basic(`"\u0061":1`),
		"text of any script":       basic(`"a":"日本語 தமிழ் 😀 é"`),
		"separators of lines":      basic("\"a\":\"\u2028\u2029\u007f\""),
		"an escaped NUL":           basic(`"a":"\u0000"`),
		"spaces between tokens":    "{ \"resourceType\"\t:\r\n\"Basic\" , \"a\" : [ 1 , 2 ] }",
		"empty containers":         basic(`"a":{},"b":[],"c":"","d":null,"e":{ },"f":[ ]`),
		"all literals":             basic(`"a":[true,false,null]`),
		"an empty name":            basic(`"":1`),
		"HTML":                     basic(`"text":{"div":"<div>a & b</div>"}`),
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(mustParse(t, in).Bytes()); got != in {
				t.Errorf("got  %q\nwant %q", got, in)
			}
		})
	}
}

func TestSpaceAndByteOrderMarkAroundAreDropped(t *testing.T) {
	const doc = `{"resourceType":"Basic"}`
	for _, in := range []string{doc + "\n", "\r\n\t " + doc + " \t\r\n", "\ufeff" + doc, "\ufeff\n" + doc + "\n"} {
		if got := string(mustParse(t, in).Bytes()); got != doc {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestWhatIsNotOneJSONObjectIsRefused(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                       ``,
		"spaces":                        " \n",
		"a byte order mark only":        "\ufeff",
		"two byte order marks":          "\ufeff\ufeff" + `{"resourceType":"Basic"}`,
		"a byte order mark inside":      `{` + "\ufeff" + `"resourceType":"Basic"}`,
		"a byte order mark behind":      `{"resourceType":"Basic"}` + "\ufeff",
		"UTF-16":                        "\xff\xfe{\x00}\x00",
		"a list":                        `[{"resourceType":"Basic"}]`,
		"a string":                      `"Basic"`,
		"a number":                      `1`,
		"null":                          `null`,
		"XML":                           `<Basic xmlns="http://hl7.org/fhir"/>`,
		"two objects":                   `{"resourceType":"Basic"}{"resourceType":"Basic"}`,
		"two lines":                     `{"resourceType":"Basic"}` + "\n" + `{"resourceType":"Basic"}`,
		"a comma behind":                `{"resourceType":"Basic"},`,
		"a brace behind":                `{"resourceType":"Basic"}}`,
		"a NUL behind":                  `{"resourceType":"Basic"}` + "\x00",
		"a no-break space behind":       `{"resourceType":"Basic"}` + "\u00a0",
		"a form feed before":            "\f" + `{"resourceType":"Basic"}`,
		"a form feed inside":            basic("\"a\":\f1"),
		"an open object":                `{"resourceType":"Basic"`,
		"an open list":                  `{"resourceType":"Basic","a":[1`,
		"an open string":                `{"resourceType":"Basic`,
		"an open escape":                `{"resourceType":"Basic","a":"\`,
		"an open unicode escape":        `{"resourceType":"Basic","a":"\u00`,
		"an open name":                  `{"resourceType":"Basic","a`,
		"no value":                      basic(`"a":`),
		"no colon":                      basic(`"a" 1`),
		"no name":                       basic(`:1`),
		"a bare name":                   basic(`a:1`),
		"single quotes":                 basic(`'a':1`),
		"a comma before the end":        basic(`"a":1,`),
		"two commas":                    basic(`"a":1,,"b":2`),
		"a comma at the end of a list":  basic(`"a":[1,]`),
		"a comma at the start":          `{,"resourceType":"Basic"}`,
		"no comma":                      basic(`"a":1 "b":2`),
		"no comma in a list":            basic(`"a":[1 2]`),
		"a list closed by a brace":      basic(`"a":[1}`),
		"an object closed by a bracket": basic(`"a":{"b":1]`),
		"a comment":                     basic(`"a":1 /* one */`),
		"a line comment":                basic("\"a\":1 // one\n"),
		"True":                          basic(`"a":True`),
		"a word and more":               basic(`"a":truex`),
		"half a word":                   basic(`"a":tru`),
		"NaN":                           basic(`"a":NaN`),
		"Infinity":                      basic(`"a":-Infinity`),
		"a leading zero":                basic(`"a":01`),
		"a leading plus":                basic(`"a":+1`),
		"a leading point":               basic(`"a":.5`),
		"a point without digits":        basic(`"a":1.`),
		"an exponent without digits":    basic(`"a":1e`),
		"an exponent with a sign only":  basic(`"a":1e+`),
		"a minus only":                  basic(`"a":-`),
		"two minuses":                   basic(`"a":--1`),
		"hexadecimal":                   basic(`"a":0x10`),
		"a line break in a string":      basic("\"a\":\"x\ny\""),
		"a tab in a string":             basic("\"a\":\"x\ty\""),
		"a NUL in a string":             basic("\"a\":\"x\x00y\""),
		"a tab in a name":               basic("\"a\t\":1"),
		"an unknown escape":             basic(`"a":"\x41"`),
		"an escaped quote of Go":        basic(`"a":"\'"`),
		"an escape without digits":      basic(`"a":"\u00zz"`),
		"an escape with three digits":   basic(`"a":"\u123"`),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse([]byte(in))
			if err == nil {
				t.Fatalf("accepted as %q", d.Bytes())
			}
			if CodeOf(err) != CodeStructure || Status(err) != 400 {
				t.Errorf("code %s, status %d: %v", CodeOf(err), Status(err), err)
			}
		})
	}
}

func TestDuplicateNamesAreRefused(t *testing.T) {
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"key%d":[{"a":%d}],`, i, i)
	}
	for name, in := range map[string]string{
		"at the top":                   basic(`"a":1,"a":2`),
		"the resourceType":             basic(`"resourceType":"Basic"`),
		"with the same value":          basic(`"a":1,"a":1`),
		"in an object":                 basic(`"m":{"a":1,"b":2,"a":3}`),
		"in a list":                    basic(`"m":[1,{"a":1},{"b":1,"b":1}]`),
		"deep down":                    basic(`"m":{"a":{"b":[{"c":{"d":[[{"x":1,"x":2}]]}}]}}`),
		"written with an escape":       basic(`"a":1,"\u0061":2`),
		"both written with an escape":  basic(`"\u0061":1,"\u0061":2`),
		"written with other escapes":   basic(`"\u0061\u002F":1,"a\/":2`),
		"an empty name":                basic(`"":1,"":2`),
		"among many, near the start":   basic(many.String() + `"key1":0`),
		"among many, near the end":     basic(many.String() + `"key99":0`),
		"among many, behind the limit": basic(many.String() + `"x":0,"x":0`),
		"among many, by an escape":     basic(many.String() + `"\u006bey50":0`),
		"the first an escape":          basic(`"\u006bey50":0,` + many.String() + `"z":0`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(in))
			if CodeOf(err) != CodeStructure {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), "twice") {
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
	for name, in := range map[string]string{
		"in different objects":   basic(`"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]`),
		"that differ in case":    basic(`"a":1,"A":2`),
		"with an underscore":     basic(`"a":1,"_a":2`),
		"of another composition": basic("\"\u00e9\":1,\"e\u0301\":2"),
		"many":                   basic(many.String() + `"z":1`),
	} {
		t.Run("the same names "+name, func(t *testing.T) { mustParse(t, in) })
	}
	t.Run("at every distance", func(t *testing.T) {
		// The set of names changes its form as the object grows.
		for n := 1; n < 60; n++ {
			for at := range n {
				var b strings.Builder
				for i := range n {
					fmt.Fprintf(&b, `"k%d":{"x":1},`, i)
				}
				if _, err := Parse([]byte(basic(b.String() + fmt.Sprintf(`"k%d":1`, at)))); CodeOf(err) != CodeStructure {
					t.Fatalf("name %d of %d stands twice: %v", at, n, err)
				}
			}
		}
	})
}

func TestTextMustBeUnicode(t *testing.T) {
	for name, in := range map[string]string{
		"a bare byte":                    basic("\"a\":\"\xff\""),
		"a cut sequence":                 basic("\"a\":\"\xe6\x97\""),
		"Latin-1":                        basic("\"a\":\"Ren\xe9\""),
		"an overlong form":               basic("\"a\":\"\xc0\xaf\""),
		"a surrogate in UTF-8":           basic("\"a\":\"\xed\xa0\x80\""),
		"beyond the last character":      basic("\"a\":\"\xf4\x90\x80\x80\""),
		"in a name":                      basic("\"\xff\":1"),
		"a high half alone":              basic(`"a":"\ud83d"`),
		"a high half and text":           basic(`"a":"\ud83dxxxxxx"`),
		"a high half and another escape": basic(`"a":"\ud83d\n"`),
		"a high half and a character":    basic(`"a":"\ud83d\u0041"`),
		"two high halves":                basic(`"a":"\ud83d\ud83d\ude00"`),
		"a low half alone":               basic(`"a":"\ude00"`),
		"halves in the wrong order":      basic(`"a":"\ude00\ud83d"`),
		"a high half in a name":          basic(`"\ud83d":1`),
		"capitals":                       basic(`"a":"\uD83D"`),
		"a pair cut short":               basic(`"a":"\ud83d\ude0`),
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := Parse([]byte(in)); CodeOf(err) != CodeStructure {
				t.Errorf("got %v, %v", d, err)
			}
		})
	}
	for in, want := range map[string]string{
		`\ud83d\ude00`: "😀", `\uD83D\uDE00`: "😀", `\ud800\udc00`: "\U00010000", `\udbff\udfff`: "\U0010ffff",
		`\ud7ff\ue000`: "\ud7ff\ue000", `\u0000`: "\x00", `\ufffd`: "\ufffd", `\\ud83d`: `\ud83d`,
	} {
		if got := mustParse(t, basic(`"a":"`+in+`"`)).Get("a").String(); got != want {
			t.Errorf("%s reads %q, want %q", in, got, want)
		}
	}
}

func TestResourceTypeAndID(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		code Code
		at   string
	}{
		"no resourceType":             {`{"id":"a"}`, CodeStructure, "resourceType"},
		"an empty object":             {`{}`, CodeStructure, "resourceType"},
		"an empty resourceType":       {`{"resourceType":""}`, CodeStructure, "resourceType"},
		"a lower-case resourceType":   {`{"resourceType":"patient"}`, CodeStructure, "resourceType"},
		"a resourceType with a slash": {`{"resourceType":"Patient/1"}`, CodeStructure, "resourceType"},
		"a resourceType with a break": {`{"resourceType":"Patient\n"}`, CodeStructure, "resourceType"},
		"a resourceType of one":       {`{"resourceType":"P"}`, CodeStructure, "resourceType"},
		"a very long resourceType":    {`{"resourceType":"P` + strings.Repeat("a", 64) + `"}`, CodeStructure, "resourceType"},
		"a number as resourceType":    {`{"resourceType":1}`, CodeStructure, "resourceType"},
		"null as resourceType":        {`{"resourceType":null}`, CodeStructure, "resourceType"},
		"a list as resourceType":      {`{"resourceType":["Patient"]}`, CodeStructure, "resourceType"},
		"a resourceType deeper down":  {`{"contained":{"resourceType":"Patient"}}`, CodeStructure, "resourceType"},
		"an empty id":                 {basic(`"id":""`), CodeValue, "Basic.id"},
		"an id with a slash":          {basic(`"id":"a/b"`), CodeValue, "Basic.id"},
		"an id with a space":          {basic(`"id":"a b"`), CodeValue, "Basic.id"},
		"an id with a line break":     {basic(`"id":"a\n"`), CodeValue, "Basic.id"},
		"an id with an underscore":    {basic(`"id":"a_b"`), CodeValue, "Basic.id"},
		"an id of 65":                 {basic(`"id":"` + strings.Repeat("a", 65) + `"`), CodeValue, "Basic.id"},
		"a number as id":              {basic(`"id":1`), CodeValue, "Basic.id"},
		"null as id":                  {basic(`"id":null`), CodeValue, "Basic.id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.in))
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.Code != c.code || e.Expression != c.at || Status(err) != 400 {
				t.Errorf("code %s at %s, status %d", e.Code, e.Expression, Status(err))
			}
		})
	}
	d := mustParse(t, `{"id":"A-z.0","resourceType":"\u0050atient"}`)
	if d.Type() != "Patient" || d.ID() != "A-z.0" {
		t.Errorf("%s/%s", d.Type(), d.ID())
	}
	if d := mustParse(t, `{"resourceType":"Basic"}`); d.ID() != "" {
		t.Errorf("id %q", d.ID())
	}
	mustParse(t, basic(`"id":"`+strings.Repeat("a", 64)+`"`))
}

func TestLimits(t *testing.T) {
	const doc = `{"resourceType":"Basic","a":[1,2,{"b":3}]}`
	within := Limits{Bytes: len(doc), Depth: 3, Nodes: 7}
	if _, err := ParseWithin([]byte(doc), within); err != nil {
		t.Errorf("just within all limits: %v", err)
	}
	for name, c := range map[string]struct {
		lim    Limits
		code   Code
		status int
	}{
		"bytes": {Limits{Bytes: len(doc) - 1, Depth: 3, Nodes: 7}, CodeTooLong, 413},
		"depth": {Limits{Bytes: len(doc), Depth: 2, Nodes: 7}, CodeTooCostly, 400},
		"nodes": {Limits{Bytes: len(doc), Depth: 3, Nodes: 6}, CodeTooCostly, 413},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseWithin([]byte(doc), c.lim)
			if CodeOf(err) != c.code || Status(err) != c.status {
				t.Errorf("code %s, status %d: %v", CodeOf(err), Status(err), err)
			}
		})
	}
	nested := func(n int) string { return basic(`"a":` + strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := Parse([]byte(nested(DefaultLimits.Depth))); err != nil {
		t.Errorf("as deep as may be: %v", err)
	}
	for name, in := range map[string]string{
		"one list too deep":       nested(DefaultLimits.Depth + 1),
		"lists without end":       basic(`"a":` + strings.Repeat("[", 2<<20)),
		"objects without end":     strings.Repeat(`{"a":`, 500_000),
		"more values than may be": basic(`"a":[` + strings.Repeat("0,", DefaultLimits.Nodes) + `0]`),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(in)); CodeOf(err) != CodeTooCostly {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Parse(bytes.Repeat([]byte(" "), DefaultLimits.Bytes+1)); CodeOf(err) != CodeTooLong {
		t.Errorf("spaces beyond the limit: %v", err)
	}
}

// A refusal tells where, and never what: documents hold the data of patients.
func TestRefusalsDoNotQuoteTheDocument(t *testing.T) {
	for _, in := range []string{
		basic(`"name":"Aminah" x`), basic(`"Aminah":1,"Aminah":2`), basic(`"id":"Aminah binti Yusof"`), `{"resourceType":"Aminah binti"}`, basic("\"Aminah\":\"\xff\""),
	} {
		if _, err := Parse([]byte(in)); err == nil || strings.Contains(err.Error(), "Aminah") {
			t.Errorf("got %v", err)
		}
	}
}

// agree compares a node with what encoding/json makes of the same text.
func agree(t testing.TB, n Node, want any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		count := 0
		for c := range n.Children() {
			count++
			v, ok := w[c.Name()]
			if !ok {
				t.Fatalf("%s is not in the document", c.Path())
			}
			agree(t, c, v)
			if got := n.Get(c.Name()); got != c {
				t.Fatalf("Get(%q) finds %s", c.Name(), got.Path())
			}
		}
		if n.Kind() != Object || count != len(w) {
			t.Fatalf("%s has kind %d and %d members, want %d", n.Path(), n.Kind(), count, len(w))
		}
	case []any:
		i := 0
		for c := range n.Children() {
			if i >= len(w) {
				t.Fatalf("%s is one too many", c.Path())
			}
			agree(t, c, w[i])
			i++
		}
		if n.Kind() != Array || i != len(w) {
			t.Fatalf("%s has kind %d and %d items, want %d", n.Path(), n.Kind(), i, len(w))
		}
	case string:
		if n.Kind() != String || n.String() != w {
			t.Fatalf("%s reads %q, want %q", n.Path(), n.String(), w)
		}
	case json.Number:
		if n.Kind() != Number || n.String() != string(w) {
			t.Fatalf("%s reads %q, want %q", n.Path(), n.String(), w)
		}
	case bool:
		if got, ok := n.Bool(); got != w || !ok {
			t.Fatalf("%s reads %v, %v; want %v", n.Path(), got, ok, w)
		}
	case nil:
		if n.Kind() != Null {
			t.Fatalf("%s has kind %d, want null", n.Path(), n.Kind())
		}
	}
}

// decode reads JSON as encoding/json does, numbers as they are written.
func decode(t testing.TB, raw []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("encoding/json: %v\n%q", err, raw)
	}
	return v
}

// anEncounter is a resource as source systems send it.
const anEncounter = `{
  "resourceType": "Encounter",
  "id": "enc-vci-1",
  "identifier": [
    {"system": "http://fhir.hie.moh.gov.my/sid/vc-token", "value": "0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"},
    {"system": "http://fhir.hie.moh.gov.my/sid/encounter-id", "value": "HTJ-ENC-2611000042"}
  ],
  "status": "in-progress",
  "statusHistory": [
    {"status": "planned", "period": {"start": "2026-11-23T09:00:00+08:00", "end": "2026-11-23T09:30:00+08:00"}},
    {"status": "arrived", "period": {"start": "2026-11-23T08:55:00+08:00", "end": "2026-11-23T09:01:10+08:00"}}
  ],
  "class": {"system": "http://fhir.hie.moh.gov.my/CodeSystem/encounter-class-my-core", "code": "VR", "display": "Virtual"},
  "type": [{"coding": [{"system": "http://fhir.hie.moh.gov.my/CodeSystem/specialty-my-core", "code": "86"}]}],
  "serviceType": {"coding": [{"system": "http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core", "code": "VCI"}]},
  "subject": {"reference": "Patient/pat-1", "type": "Patient", "display": "Aminah binti Yusof"},
  "participant": [{
    "type": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "ATND"}]}],
    "period": {"start": "2026-11-23T09:01:10+08:00"},
    "individual": {"reference": "Practitioner/prac-1", "display": "Dr Lim"}
  }],
  "appointment": [{"reference": "Appointment/app-vci-1"}],
  "period": {"start": "2026-11-23T08:55:00+08:00"},
  "diagnosis": [{
    "condition": {"display": "Hypertension"},
    "use": {"coding": [{"system": "http://fhir.hie.moh.gov.my/CodeSystem/diagnosis-role-my-core", "code": "01"}]}
  }],
  "serviceProvider": {"reference": "Organization/11-05060009"}
}`

// samples are documents of all shapes, for the properties that hold for each.
func samples(t testing.TB) map[string]string {
	t.Helper()
	list := map[string]string{
		"smallest":  `{"resourceType":"Basic"}`,
		"spaced":    "{\r\n  \"resourceType\" : \"Basic\" ,\n\t\"a\" : [ 1 , { \"b\" : null } , [ ] ] ,\n  \"c\" : { }\n}",
		"numbers":   basic(`"n":[1.00,1e2,-0,0.10,123456789012345678901234567890]`),
		"text":      basic(`"s":["\u0041","\ud83d\ude00","\"\\\/\b\f\n\r\t","é日😀",""],"\u0061b":"x","_s":[null,{"id":"1"}]`),
		"type last": `{"a":[[["x"]]],"id":"b-1","meta":{"tag":[{"code":"t"}]},"resourceType":"Basic"}`,
	}
	list["encounter"] = anEncounter
	return list
}

func TestTheIndexAgreesWithEncodingJSON(t *testing.T) {
	for name, in := range samples(t) {
		t.Run(name, func(t *testing.T) { agree(t, mustParse(t, in).Root(), decode(t, []byte(in))) })
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range samples(f) {
		f.Add([]byte(in))
	}
	for _, in := range []string{
		``, `{}`, `[]`, `null`, "\ufeff" + `{"resourceType":"Basic"}`, basic(`"a":1,"\u0061":2`), basic(`"a":"\ud83d"`), basic("\"a\":\"\xff\""),
		basic(`"a":01`), basic(`"a":1e+`), basic(`"id":"x","meta":{"versionId":"1"}`), basic(`"extension":{"url":"x"}`), basic(`"extension":[]`), basic(`"extension":null`),
		basic(`"meta":"x"`), basic(`"a":[1,]`), `{"resourceType":"Basic"}x`, strings.Repeat(`{"a":`, 70), basic(`"":{"":[{"":1}]}`), " {\"resourceType\":\"Basic\"}\v",
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		d, err := Parse(in)
		if !bytes.Equal(in, before) {
			t.Fatal("the input has changed")
		}
		if err != nil {
			if code := CodeOf(err); code == CodeException {
				t.Fatalf("an error that is none of ours: %v", err)
			}
			return
		}
		want := bytes.Trim(bytes.TrimPrefix(in, []byte("\ufeff")), " \t\r\n")
		if !bytes.Equal(d.Bytes(), want) {
			t.Fatalf("Bytes() = %q", d.Bytes())
		}
		if !json.Valid(want) {
			t.Fatalf("encoding/json refuses %q", want)
		}
		agree(t, d.Root(), decode(t, want))

		again, err := d.With(Set("id", "edited"), Set("meta.source", "http://x"))
		if meta := d.Root().Get("meta"); meta.Exists() && meta.Kind() != Object {
			if CodeOf(err) != CodeStructure {
				t.Fatalf("meta.source set in %s: %v", meta.Raw(), err)
			}
			return
		}
		if err != nil {
			t.Fatalf("editing: %v", err)
		}
		if again.ID() != "edited" || !again.Get("meta.source").Is("http://x") || !bytes.Equal(d.Bytes(), want) {
			t.Fatalf("edited: %s", again.Bytes())
		}
		agree(t, again.Root(), decode(t, again.Bytes()))
		for c := range d.Root().Children() {
			if name := c.Name(); name != "id" && name != "meta" && !bytes.Equal(again.Root().Get(name).Raw(), c.Raw()) {
				t.Fatalf("%q has changed: %s", name, again.Root().Get(name).Raw())
			}
		}
		if fewer, err := again.With(Remove("id"), Remove("meta")); err != nil || fewer.ID() != "" || fewer.Get("meta").Exists() {
			t.Fatalf("removing: %v", err)
		}
	})
}

// encounter gives a document of about 3 KB, the exchange's daily bread.
func encounter(b *testing.B) []byte {
	d := mustParse(b, anEncounter)
	var err error
	for len(d.Bytes()) < 3000 {
		if d, err = d.With(Append("statusHistory", json.RawMessage(d.Get("statusHistory").Raw()))); err != nil {
			b.Fatal(err)
		}
	}
	return d.Bytes()
}

func BenchmarkParse(b *testing.B) {
	raw := encounter(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
