package fhirxml

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

func mustParse(t testing.TB, raw string) *fhir.Document {
	t.Helper()
	d, err := fhir.Parse([]byte(raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return d
}

func mustEncode(t testing.TB, d *fhir.Document) []byte {
	t.Helper()
	x, err := Encode(d)
	if err != nil {
		t.Fatalf("Encode: %v\n%s", err, d.Bytes())
	}
	return x
}

func mustDecode(t testing.TB, x []byte) *fhir.Document {
	t.Helper()
	d, err := Decode(x, fhir.DefaultLimits)
	if err != nil {
		t.Fatalf("Decode: %v\n%s", err, x)
	}
	return d
}

// tree gives JSON as Go values, with numbers as they are written.
func jsonTree(t testing.TB, raw []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Both formats of the same record, letter by letter, in both directions.
func TestBothFormatsOfARecord(t *testing.T) {
	const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	for _, c := range []struct{ name, json, xml string }{
		{"a resource alone",
			`{"resourceType":"Patient"}`,
			`<Patient xmlns="http://hl7.org/fhir"/>`},
		{"elements in the order of the definition; lists, booleans, dates",
			`{"resourceType":"Patient","id":"p1","active":true,"name":[{"family":"Tan","given":["Mei","Ling"]}],"gender":"female","birthDate":"1990-05"}`,
			`<Patient xmlns="http://hl7.org/fhir"><id value="p1"/><active value="true"/><name><family value="Tan"/><given value="Mei"/><given value="Ling"/></name><gender value="female"/><birthDate value="1990-05"/></Patient>`},
		{"decimals and integers keep their digits",
			`{"resourceType":"Observation","valueQuantity":{"value":1.00},"component":[{"valueInteger":-12},{"valueQuantity":{"value":0.10e+1}}]}`,
			`<Observation xmlns="http://hl7.org/fhir"><valueQuantity><value value="1.00"/></valueQuantity><component><valueInteger value="-12"/></component><component><valueQuantity><value value="0.10e+1"/></valueQuantity></component></Observation>`},
		{"extensions and ids of primitives",
			`{"resourceType":"Patient","birthDate":"1990","_birthDate":{"id":"b","extension":[{"url":"http://e/t","valueDateTime":"1990-01-01T10:00:00Z"}]},"_gender":{"extension":[{"url":"http://e/why","valueCode":"asked-declined"}]}}`,
			`<Patient xmlns="http://hl7.org/fhir"><gender><extension url="http://e/why"><valueCode value="asked-declined"/></extension></gender><birthDate value="1990" id="b"><extension url="http://e/t"><valueDateTime value="1990-01-01T10:00:00Z"/></extension></birthDate></Patient>`},
		{"nulls where a list of primitives has gaps",
			`{"resourceType":"Patient","name":[{"given":["A",null,"C"],"_given":[null,{"id":"x"},{"extension":[{"url":"u","valueString":"s"}]}]},{"_given":[{"id":"y"}]}]}`,
			`<Patient xmlns="http://hl7.org/fhir"><name><given value="A"/><given id="x"/><given value="C"><extension url="u"><valueString value="s"/></extension></given></name><name><given id="y"/></name></Patient>`},
		{"ids of elements, extensions inside extensions",
			`{"resourceType":"Basic","extension":[{"id":"a","url":"u","extension":[{"url":"v","valueBoolean":false}]}],"code":{"id":"c","coding":[{"code":"x"}]}}`,
			`<Basic xmlns="http://hl7.org/fhir"><extension id="a" url="u"><extension url="v"><valueBoolean value="false"/></extension></extension><code id="c"><coding><code value="x"/></coding></code></Basic>`},
		{"resources inside resources",
			`{"resourceType":"Encounter","contained":[{"resourceType":"Patient","id":"a"},{"resourceType":"Location","id":"b","name":"Klinik"}],"status":"arrived"}`,
			`<Encounter xmlns="http://hl7.org/fhir"><contained><Patient><id value="a"/></Patient></contained><contained><Location><id value="b"/><name value="Klinik"/></Location></contained><status value="arrived"/></Encounter>`},
		{"a Bundle",
			`{"resourceType":"Bundle","type":"collection","link":[{"relation":"self","url":"x"}],"entry":[{"link":[{"relation":"alternate","url":"y"}],"fullUrl":"urn:uuid:1","resource":{"resourceType":"Slot","status":"free"},"response":{"status":"200","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}}}]}`,
			`<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/><link><relation value="self"/><url value="x"/></link><entry><link><relation value="alternate"/><url value="y"/></link><fullUrl value="urn:uuid:1"/><resource><Slot><status value="free"/></Slot></resource><response><status value="200"/><outcome><OperationOutcome><issue><severity value="error"/><code value="invalid"/></issue></OperationOutcome></outcome></response></entry></Bundle>`},
		{"Parameters inside Parameters",
			`{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","part":[{"name":"c","resource":{"resourceType":"Parameters","parameter":[{"name":"d","valueMoney":{"value":5}}]}}]}]}]}`,
			`<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="a"/><part><name value="b"/><part><name value="c"/><resource><Parameters><parameter><name value="d"/><valueMoney><value value="5"/></valueMoney></parameter></Parameters></resource></part></part></parameter></Parameters>`},
		{"a narrative keeps its bytes",
			`{"resourceType":"Basic","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\" ><!-- kept -->\n  <p class='x'>a &lt; b &#160;<br/></p></div>"},"code":{"text":"t"}}`,
			"<Basic xmlns=\"http://hl7.org/fhir\"><text><status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\" ><!-- kept -->\n  <p class='x'>a &lt; b &#160;<br/></p></div></text><code><text value=\"t\"/></code></Basic>"},
		{"characters that need care",
			`{"resourceType":"Basic","code":{"text":" <a href=\"x\">&amp;'\n\r\n\t\\ é 漢 😀  "}}`,
			`<Basic xmlns="http://hl7.org/fhir"><code><text value=" &lt;a href=&quot;x&quot;&gt;&amp;amp;'&#10;&#13;&#10;&#9;\ é 漢 😀  "/></code></Basic>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := mustParse(t, c.json)
			x := mustEncode(t, doc)
			if string(x) != head+c.xml {
				t.Errorf("Encode gives\n%s, want\n%s", x, c.xml)
			}
			back := mustDecode(t, []byte(c.xml))
			if !reflect.DeepEqual(jsonTree(t, back.Bytes()), jsonTree(t, doc.Bytes())) {
				t.Errorf("Decode gives\n%s, want\n%s", back.Bytes(), c.json)
			}
			if again := mustEncode(t, back); !bytes.Equal(again, x) {
				t.Errorf("Encode of what Decode gave is\n%s, want\n%s", again, x)
			}
		})
	}
}

// What other programs may write for the same record.
func TestDecodeReadsEveryWayToWriteIt(t *testing.T) {
	const want = `{"resourceType":"Basic","id":"b","text":{"div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"code":{"text":"a b"}}`
	const body = `<id value="b"/><text><div xmlns="http://www.w3.org/1999/xhtml">x</div></text><code><text value="a b"/></code>`
	for name, x := range map[string]string{
		"plain":                   `<Basic xmlns="http://hl7.org/fhir">` + body + `</Basic>`,
		"byte order mark":         "\ufeff<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\r\n" + `<Basic xmlns="http://hl7.org/fhir">` + body + "</Basic >\n<!-- end -->\n",
		"a prefix":                `<f:Basic xmlns:f="http://hl7.org/fhir"><f:id value="b"/><f:text><div xmlns="http://www.w3.org/1999/xhtml">x</div></f:text><f:code><f:text value="a b"/></f:code></f:Basic>`,
		"comments and space":      `<!-- a --><Basic xmlns = 'http://hl7.org/fhir' > <!-- b - c --> ` + strings.ReplaceAll(body, "><", ">\n\t<") + ` </Basic>`,
		"other order":             `<Basic xmlns="http://hl7.org/fhir"><code><text value="a b"/></code><text><div xmlns="http://www.w3.org/1999/xhtml">x</div></text><id value="b"></id></Basic>`,
		"references":              `<Basic xmlns="http://hl7.org/fhir"><id value="&#x62;"/><text><div xmlns="http://www.w3.org/1999/xhtml">x</div></text><code><text value="&#97; b"/></code></Basic>`,
		"a line break in a value": `<Basic xmlns="http://hl7.org/fhir"><id value="b"/><text><div xmlns="http://www.w3.org/1999/xhtml">x</div></text><code><text value="a` + "\r\n" + `b"/></code></Basic>`,
		"comments in a value":     `<Basic xmlns="http://hl7.org/fhir"><id value="b"><!-- a --> </id><text><div xmlns="http://www.w3.org/1999/xhtml">x</div></text><code><text value="a b"><!-- b --></text></code></Basic>`,
		"a schema's place":        `<Basic xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir ../../schema/basic.xsd">` + body + `</Basic>`,
	} {
		got := mustDecode(t, []byte(x))
		if !reflect.DeepEqual(jsonTree(t, got.Bytes()), jsonTree(t, []byte(want))) {
			t.Errorf("%s: got\n%s, want\n%s", name, got.Bytes(), want)
		}
	}
}

func TestNarrativeTakesItsNamespacesAlong(t *testing.T) {
	for name, c := range map[string]struct{ xml, div string }{
		"a prefix from outside": {
			`<Basic xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><text><h:div class="c">a<h:b/></h:div></text></Basic>`,
			`<h:div xmlns:h="http://www.w3.org/1999/xhtml" class="c">a<h:b/></h:div>`},
		"the default from outside": {
			`<f:Basic xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml"><f:text><div>a<b/></div></f:text></f:Basic>`,
			`<div xmlns="http://www.w3.org/1999/xhtml">a<b/></div>`},
		"an attribute's prefix": {
			`<Basic xmlns="http://hl7.org/fhir" xmlns:q="urn:a&amp;b"><text><div xmlns="http://www.w3.org/1999/xhtml" xml:lang="ms"><p q:a="1" q:b="2"/></div></text></Basic>`,
			`<div xmlns:q="urn:a&amp;b" xmlns="http://www.w3.org/1999/xhtml" xml:lang="ms"><p q:a="1" q:b="2"/></div>`},
		"line ends": {
			"<Basic xmlns=\"http://hl7.org/fhir\"><text><div xmlns=\"http://www.w3.org/1999/xhtml\">a\r\nb\rc</div></text></Basic>",
			"<div xmlns=\"http://www.w3.org/1999/xhtml\">a\nb\nc</div>"},
	} {
		doc := mustDecode(t, []byte(c.xml))
		if got := doc.Get("text.div").String(); got != c.div {
			t.Errorf("%s: got\n%s, want\n%s", name, got, c.div)
		}
		back := mustDecode(t, mustEncode(t, doc))
		if got := back.Get("text.div").String(); got != c.div {
			t.Errorf("%s: the second time\n%s", name, got)
		}
	}
}

func TestEncodePutsNarrativesRight(t *testing.T) {
	for _, c := range []struct{ div, want string }{
		{`<div>a</div>`, `<div xmlns="http://www.w3.org/1999/xhtml">a</div>`},
		{` <div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;&copy;&eacute;&amp;&lt;</div> `, `<div xmlns="http://www.w3.org/1999/xhtml">a` + "\u00a0©é" + `&amp;&lt;</div>`},
		{`<div/>`, `<div xmlns="http://www.w3.org/1999/xhtml"/>`},
	} {
		doc := mustParse(t, `{"resourceType":"Basic","text":{"div":`+string(fhir.Marshal(c.div))+`}}`)
		if got := mustDecode(t, mustEncode(t, doc)).Get("text.div").String(); got != c.want {
			t.Errorf("%s becomes\n%s, want\n%s", c.div, got, c.want)
		}
	}
}

func TestSlipsOfJSONComeBackPutRight(t *testing.T) {
	for name, c := range map[string]struct{ in, out string }{
		"one where a list belongs":   {`"identifier":{"value":"1"},"serviceType":{"text":"a"}`, `"identifier":[{"value":"1"}],"serviceType":[{"text":"a"}]`},
		"a list of one":              {`"status":["free"],"schedule":[{"reference":"Schedule/1"}]`, `"status":"free","schedule":{"reference":"Schedule/1"}`},
		"a text for a boolean":       {`"overbooked":"true"`, `"overbooked":true`},
		"a text for a number":        {`"extension":[{"url":"u","valueInteger":"5"}]`, `"extension":[{"url":"u","valueInteger":5}]`},
		"a number for a text":        {`"comment":1.50`, `"comment":"1.50"`},
		"members that hold nothing":  {`"comment":null,"identifier":[],"serviceType":[{}],"meta":{"tag":[{"code":null}]},"_start":{},"specialty":[null]`, ``},
		"nulls without a companion":  {`"meta":{"profile":["a",null,"b"]}`, `"meta":{"profile":["a","b"]}`},
		"lists of different lengths": {`"meta":{"profile":["a"],"_profile":[null,{"id":"x"}]}`, `"meta":{"profile":["a",null],"_profile":[null,{"id":"x"}]}`},
	} {
		join := func(members string) string {
			return strings.TrimSuffix(`{"resourceType":"Slot",`+members, ",") + "}"
		}
		got := mustDecode(t, mustEncode(t, mustParse(t, join(c.in))))
		if !reflect.DeepEqual(jsonTree(t, got.Bytes()), jsonTree(t, []byte(join(c.out)))) {
			t.Errorf("%s: got\n%s, want\n%s", name, got.Bytes(), join(c.out))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	in := func(body string) string { return `<Patient xmlns="http://hl7.org/fhir">` + body + `</Patient>` }
	many := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return b.String()
	}
	same := func(s string) func(int) string { return func(int) string { return s } }
	for name, c := range map[string]struct {
		xml        string
		code       fhir.Code
		expression string
		says       string
	}{
		"nothing":                      {"", fhir.CodeStructure, "", "empty"},
		"space":                        {" \n", fhir.CodeStructure, "", "empty"},
		"JSON":                         {`{"resourceType":"Patient"}`, fhir.CodeStructure, "", "text outside"},
		"two resources":                {in("") + in(""), fhir.CodeStructure, "", "second element"},
		"text after the end":           {in("") + "x", fhir.CodeStructure, "", "text outside"},
		"no end":                       {`<Patient xmlns="http://hl7.org/fhir">`, fhir.CodeStructure, "", "does not end"},
		"half a tag":                   {`<Patient xmlns="http://hl7.org/fhir"`, fhir.CodeStructure, "", "does not end"},
		"half a value":                 {`<Patient xmlns="http://hl7.org/fhir`, fhir.CodeStructure, "", "does not end"},
		"wrong end":                    {in("<active></activ>"), fhir.CodeStructure, "", "does not fit"},
		"a longer end":                 {in("<active></actives>"), fhir.CodeStructure, "", "does not fit"},
		"end without start":            {"</Patient>", fhir.CodeStructure, "", "no start tag"},
		"place by line and column":     {"<?xml version=\"1.0\"?>\n<Patient xmlns=\"http://hl7.org/fhir\">\né<", fhir.CodeStructure, "", "line 3, column 3"},
		"document type":                {`<!DOCTYPE Patient [<!ENTITY a "b">]>` + in(""), fhir.CodeStructure, "", "document type"},
		"external entity":              {`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + in(`<gender value="&e;"/>`), fhir.CodeStructure, "", "document type"},
		"entity":                       {in(`<gender value="&e;"/>`), fhir.CodeStructure, "", "reference is unknown"},
		"HTML entity":                  {in(`<text><div xmlns="http://www.w3.org/1999/xhtml">&nbsp;</div></text>`), fhir.CodeStructure, "", "reference is unknown"},
		"bare ampersand":               {in(`<gender value="a & b"/>`), fhir.CodeStructure, "", "bare &"},
		"character zero":               {in(`<gender value="&#0;"/>`), fhir.CodeStructure, "", "reference is unknown"},
		"half a surrogate":             {in(`<gender value="&#xD800;"/>`), fhir.CodeStructure, "", "reference is unknown"},
		"a huge reference":             {in(`<gender value="&#99999999999;"/>`), fhir.CodeStructure, "", "reference is unknown"},
		"reference without digits":     {in(`<gender value="&#;"/>`), fhir.CodeStructure, "", "reference is unknown"},
		"processing instruction":       {`<?xml-stylesheet href="x"?>` + in(""), fhir.CodeStructure, "", "processing instruction"},
		"instruction inside":           {in(`<?php x ?>`), fhir.CodeStructure, "", "processing instruction"},
		"declaration inside":           {in(`<?xml version="1.0"?>`), fhir.CodeStructure, "", "processing instruction"},
		"XML 1.1":                      {`<?xml version="1.1"?>` + in(""), fhir.CodeStructure, "", "XML 1.0"},
		"broken declaration":           {`<?xml encoding="UTF-8"?>` + in(""), fhir.CodeStructure, "", "declaration is broken"},
		"another charset":              {`<?xml version="1.0" encoding="ISO-8859-1"?>` + in(""), fhir.CodeStructure, "", "UTF-8"},
		"UTF-16":                       {"\xff\xfe<\x00P\x00", fhir.CodeStructure, "", "UTF-8"},
		"invalid UTF-8":                {in("<gender value=\"\xe9\"/>"), fhir.CodeStructure, "", "not UTF-8"},
		"surrogates in UTF-8":          {in("<gender value=\"\xed\xa0\x80\"/>"), fhir.CodeStructure, "", "not UTF-8"},
		"control character":            {in("<gender value=\"\x01\"/>"), fhir.CodeStructure, "", "character that XML does not have"},
		"no character":                 {in("<gender value=\"\uffff\"/>"), fhir.CodeStructure, "", "character that XML does not have"},
		"< in a value":                 {in(`<gender value="<"/>`), fhir.CodeStructure, "", "bare <"},
		"no quotes":                    {in(`<gender value=male/>`), fhir.CodeStructure, "", "no quotes"},
		"no value":                     {in(`<gender value/>`), fhir.CodeStructure, "", "has no value"},
		"no space":                     {in(`<gender id="a"value="male"/>`), fhir.CodeStructure, "", "white space is missing"},
		"attribute twice":              {in(`<gender value="male" value="female"/>`), fhir.CodeStructure, "", "stands twice"},
		"attribute twice by prefix":    {in(`<text><div xmlns="http://www.w3.org/1999/xhtml" xmlns:a="u" xmlns:b="u" a:x="" b:x=""/></text>`), fhir.CodeStructure, "", "stands twice"},
		"unknown prefix":               {in(`<f:gender value="male"/>`), fhir.CodeStructure, "", "prefix has no namespace"},
		"prefix out of scope":          {in(`<contact xmlns:f="http://hl7.org/fhir"><f:gender value="male"/></contact><f:gender value="male"/>`), fhir.CodeStructure, "", "prefix has no namespace"},
		"prefix undeclared":            {in(`<gender xmlns:f=""/>`), fhir.CodeStructure, "", "namespace declaration"},
		"xml bound anew":               {in(`<gender xmlns:xml="urn:x"/>`), fhir.CodeStructure, "", "namespace declaration"},
		"two colons":                   {in(`<a:b:c/>`), fhir.CodeStructure, "", "name is missing"},
		"no name":                      {in(`< gender/>`), fhir.CodeStructure, "", "name is missing"},
		"comment that does not end":    {in(`<!-- a -- b -->`), fhir.CodeStructure, "", "comment does not end"},
		"]]> in text":                  {in(`<text><div xmlns="http://www.w3.org/1999/xhtml">]]></div></text>`), fhir.CodeStructure, "", "]]>"},
		"deep":                         {strings.Repeat(`<a>`, 100_000), fhir.CodeTooCostly, "", "deeper"},
		"many attributes":              {in("<gender" + many(65, func(i int) string { return " a" + strconv.Itoa(i) + `=""` }) + "/>"), fhir.CodeTooCostly, "", "attributes"},
		"many namespaces":              {in(strings.Repeat("<a"+many(33, func(i int) string { return " xmlns:a" + strconv.Itoa(i) + `="u"` })+">", 2)), fhir.CodeTooCostly, "", "namespaces"},
		"many parts":                   {in(many(500_000, same("<a/>"))), fhir.CodeTooCostly, "", "parts"},
		"many comments":                {in(many(500_000, same("<!---->"))), fhir.CodeTooCostly, "", "parts"},
		"large":                        {strings.Repeat(" ", 5<<20), fhir.CodeTooLong, "", "larger"},
		"text":                         {in(`<gender>male</gender>`), fhir.CodeStructure, "Patient.gender", "text in the element"},
		"text beside a value":          {in(`<gender value="male">x</gender>`), fhir.CodeStructure, "Patient.gender", "text in the element"},
		"CDATA":                        {in(`<name><![CDATA[x]]></name>`), fhir.CodeStructure, "Patient.name[0]", "text in the element"},
		"no namespace":                 {`<Patient/>`, fhir.CodeStructure, "", "(Patient) is not in the namespace"},
		"another namespace":            {`<Patient xmlns="urn:hl7-org:v3"/>`, fhir.CodeStructure, "", "not in the namespace"},
		"an element of another":        {in(`<gender xmlns="urn:x" value="male"/>`), fhir.CodeStructure, "Patient", "not in the namespace"},
		"narrative without XHTML":      {in(`<text><div>x</div></text>`), fhir.CodeStructure, "Patient.text", "not in the namespace http://www.w3.org/1999/xhtml"},
		"narrative with FHIR in it":    {in(`<text><div xmlns="http://www.w3.org/1999/xhtml"><p xmlns="http://hl7.org/fhir"/></div></text>`), fhir.CodeStructure, "Patient.text.div", "not in the namespace http://www.w3.org/1999/xhtml"},
		"XHTML elsewhere":              {in(`<gender xmlns="http://www.w3.org/1999/xhtml"/>`), fhir.CodeStructure, "Patient", "not in the namespace http://hl7.org/fhir"},
		"unknown resource":             {`<Patiente xmlns="http://hl7.org/fhir"/>`, fhir.CodeStructure, "", "(Patiente) is not a resource"},
		"abstract resource":            {`<DomainResource xmlns="http://hl7.org/fhir"/>`, fhir.CodeStructure, "", "not a resource"},
		"a data type":                  {`<HumanName xmlns="http://hl7.org/fhir"/>`, fhir.CodeStructure, "", "not a resource"},
		"unknown element":              {in(`<name><use value="x"/></name><name><nickname value="x"/></name>`), fhir.CodeStructure, "Patient.name[1]", "this element (nickname)"},
		"an element like a number":     {in(`<A900101-01-5555/>`), fhir.CodeStructure, "Patient", "does not define this element. (line 1, column 38)"},
		"unknown element in a list":    {in(`<contact><name><given value="a"/><given value="b"><foo/></given></name></contact>`), fhir.CodeStructure, "Patient.contact[0].name.given[1]", "foo"},
		"unknown attribute":            {in(`<name use="official"/>`), fhir.CodeStructure, "Patient.name[0]", "attribute (use)"},
		"value on an object":           {in(`<name value="x"/>`), fhir.CodeStructure, "Patient.name[0]", "attribute (value)"},
		"attribute of another":         {in(`<name xml:lang="en"/>`), fhir.CodeStructure, "Patient.name[0]", "attribute (lang)"},
		"id as an attribute":           {`<Patient xmlns="http://hl7.org/fhir" id="a"/>`, fhir.CodeStructure, "Patient", "attribute (id)"},
		"id as an element":             {in(`<name><id value="a"/></name>`), fhir.CodeStructure, "Patient.name[0]", "element (id)"},
		"url as an element":            {in(`<extension><url value="a"/></extension>`), fhir.CodeStructure, "Patient.extension[0]", "element (url)"},
		"choice without a type":        {in(`<deceased value="true"/>`), fhir.CodeStructure, "Patient", "element (deceased)"},
		"choice of a wrong type":       {in(`<deceasedString value="true"/>`), fhir.CodeStructure, "Patient", "element (deceasedString)"},
		"twice":                        {in(`<gender value="male"/><active value="true"/><gender value="female"/>`), fhir.CodeStructure, "Patient.gender", "more than once"},
		"empty primitive":              {in(`<gender/>`), fhir.CodeStructure, "Patient.gender", "empty"},
		"empty object":                 {in(`<name><period/></name>`), fhir.CodeStructure, "Patient.name[0].period", "empty"},
		"boolean":                      {in(`<active value="1"/>`), fhir.CodeValue, "Patient.active", "type boolean"},
		"integer":                      {in(`<multipleBirthInteger value="two"/>`), fhir.CodeValue, "Patient.multipleBirthInteger", "type integer"},
		"decimal":                      {`<Location xmlns="http://hl7.org/fhir"><position><longitude value=".5"/></position></Location>`, fhir.CodeValue, "Location.position.longitude", "type decimal"},
		"JSON in a number":             {`<Location xmlns="http://hl7.org/fhir"><position><longitude value="1,&quot;a&quot;:2"/></position></Location>`, fhir.CodeValue, "Location.position.longitude", "type decimal"},
		"empty number":                 {in(`<multipleBirthInteger value=""/>`), fhir.CodeValue, "Patient.multipleBirthInteger", "type integer"},
		"bad id":                       {in(`<id value="a b"/>`), fhir.CodeValue, "Patient.id", "id"},
		"contained: nothing":           {in(`<contained/>`), fhir.CodeStructure, "Patient.contained[0]", "one resource"},
		"contained: two":               {in(`<contained><Slot/><Slot/></contained>`), fhir.CodeStructure, "Patient.contained[0]", "one resource"},
		"contained: text":              {in(`<contained>x<Slot/></contained>`), fhir.CodeStructure, "Patient.contained[0]", "one resource"},
		"contained: an attribute":      {in(`<contained id="x"><Slot/></contained>`), fhir.CodeStructure, "Patient.contained[0]", "one resource"},
		"contained: no resource":       {in(`<contained><Slott/></contained>`), fhir.CodeStructure, "Patient.contained[0]", "not a resource"},
		"contained: in a contained":    {in(`<contained><Slot><status/></Slot></contained>`), fhir.CodeStructure, "Patient.contained[0].status", "empty"},
		"two narratives":               {in(`<text>` + strings.Repeat(`<div xmlns="http://www.w3.org/1999/xhtml"/>`, 2) + `</text>`), fhir.CodeStructure, "Patient.text.div", "more than once"},
		"deep JSON of shallow XML":     {in(strings.Repeat(`<extension url="u">`, 50) + `<valueString value="x"/>` + strings.Repeat(`</extension>`, 50)), fhir.CodeTooCostly, "", "deeper"},
		"a resource inside a resource": {in(`<Patient/>`), fhir.CodeStructure, "Patient", "element (Patient)"},
	} {
		d, err := Decode([]byte(c.xml), fhir.DefaultLimits)
		if err == nil {
			t.Errorf("%s: accepted as %s", name, d.Bytes())
			continue
		}
		var issue *fhir.Error
		if !errors.As(err, &issue) {
			t.Errorf("%s: %v is no fhir.Error", name, err)
			continue
		}
		if issue.Code != c.code || issue.Expression != c.expression || !strings.Contains(issue.Diagnostics, c.says) {
			t.Errorf("%s: got %q at %q: %s; want %q at %q: …%s…", name, issue.Code, issue.Expression, issue.Diagnostics, c.code, c.expression, c.says)
		}
		if s := fhir.Status(err); s/100 != 4 {
			t.Errorf("%s: status %d", name, s)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	patient := func(members string) string { return `{"resourceType":"Patient",` + members + `}` }
	for name, c := range map[string]struct {
		json, expression, says string
	}{
		"unknown resource":        {`{"resourceType":"Unknown"}`, "Unknown", "not a resource"},
		"a later resource":        {`{"resourceType":"SubscriptionStatus"}`, "SubscriptionStatus", "not a resource"},
		"abstract resource":       {`{"resourceType":"Resource"}`, "Resource", "not a resource"},
		"unknown element":         {patient(`"name":[{"nick":"x"}]`), "Patient.name[0].nick", "not define"},
		"choice without type":     {patient(`"deceased":true`), "Patient.deceased", "not define"},
		"choice as defined":       {patient(`"deceased[x]":true`), "Patient.deceased[x]", "not define"},
		"choice of a wrong type":  {patient(`"deceasedString":"x"`), "Patient.deceasedString", "not define"},
		"a name that breaks out":  {patient(`"a><b":true`), "Patient.a><b", "not define"},
		"underscore of an object": {patient(`"_name":[{"id":"x"}]`), "Patient._name", "underscore"},
		"underscore of a div":     {patient(`"text":{"_div":{"id":"x"}}`), "Patient.text._div", "underscore"},
		"underscore of an id":     {patient(`"name":[{"_id":{"id":"x"}}]`), "Patient.name[0]._id", "underscore"},
		"unknown in underscore":   {patient(`"_gender":{"comments":["x"]}`), "Patient._gender.comments", "not define"},
		"value in underscore":     {patient(`"gender":"male","_gender":{"value":"female"}`), "Patient._gender", "without an underscore"},
		"text in underscore":      {patient(`"_gender":"x"`), "Patient._gender", "object"},
		"text for an object":      {patient(`"name":["x"]`), "Patient.name[0]", "object"},
		"object for a text":       {patient(`"gender":{"x":"y"}`), "Patient.gender", "single value"},
		"list in a list":          {patient(`"name":[{"given":[["x"]]}]`), "Patient.name[0].given[0]", "single value"},
		"two for one":             {patient(`"gender":["male","female"]`), "Patient.gender", "single value"},
		"two objects for one":     {patient(`"maritalStatus":[{"text":"a"},{"text":"b"}]`), "Patient.maritalStatus", "single value"},
		"list for an attribute":   {patient(`"name":[{"id":["x"]}]`), "Patient.name[0].id", "single value"},
		"no boolean":              {patient(`"active":"yes"`), "Patient.active", "type boolean"},
		"number for a boolean":    {patient(`"active":1`), "Patient.active", "type boolean"},
		"no integer":              {patient(`"multipleBirthInteger":"two"`), "Patient.multipleBirthInteger", "type integer"},
		"control character":       {patient(`"name":[{"text":"a\u0000"}]`), "Patient.name[0].text", "XML cannot carry"},
		"no character":            {patient(`"name":[{"text":"a\uffff"}]`), "Patient.name[0].text", "XML cannot carry"},
		"contained: no resource":  {patient(`"contained":[{"resourceType":"X"}]`), "Patient.contained[0]", "not a resource"},
		"contained: no type":      {patient(`"contained":[{"id":"x"}]`), "Patient.contained[0]", "not a resource"},
		"contained: a text":       {patient(`"contained":["x"]`), "Patient.contained[0]", "object"},
		"resourceType elsewhere":  {patient(`"name":[{"resourceType":"HumanName"}]`), "Patient.name[0].resourceType", "not define"},
		"div: no markup":          {patient(`"text":{"div":"hello"}`), "Patient.text.div", "well-formed"},
		"div: an object":          {patient(`"text":{"div":{}}`), "Patient.text.div", "must be a text"},
		"div: does not end":       {patient(`"text":{"div":"<div><p></div>"}`), "Patient.text.div", "well-formed"},
		"div: breaks out":         {patient(`"text":{"div":"<div/></text><gender value='x'/><text>"}`), "Patient.text.div", "well-formed"},
		"div: two":                {patient(`"text":{"div":"<div/><div/>"}`), "Patient.text.div", "well-formed"},
		"div: another element":    {patient(`"text":{"div":"<p xmlns='http://www.w3.org/1999/xhtml'/>"}`), "Patient.text.div", "one div"},
		"div: a comment before":   {patient(`"text":{"div":"<!-- --><div/>"}`), "Patient.text.div", "one div"},
		"div: FHIR inside":        {patient(`"text":{"div":"<div><a xmlns='http://hl7.org/fhir'/></div>"}`), "Patient.text.div", "not XHTML"},
		"div: no namespace":       {patient(`"text":{"div":"<div xmlns=''/>"}`), "Patient.text.div", "well-formed"},
		"div: a document type":    {patient(`"text":{"div":"<!DOCTYPE div><div/>"}`), "Patient.text.div", "document type"},
		"div: an entity":          {patient(`"text":{"div":"<div>&x;</div>"}`), "Patient.text.div", "unknown"},
		"div: control character":  {patient(`"text":{"div":"<div>\u0007</div>"}`), "Patient.text.div", "well-formed"},
	} {
		x, err := Encode(mustParse(t, c.json))
		if err == nil {
			t.Errorf("%s: accepted as %s", name, x)
			continue
		}
		var issue *fhir.Error
		if !errors.As(err, &issue) || issue.Expression != c.expression || !strings.Contains(issue.Diagnostics, c.says) || fhir.Status(err) != 406 {
			t.Errorf("%s: got %v (%d), want %q: …%s…", name, err, fhir.Status(err), c.expression, c.says)
		}
	}
}

func TestRefusalsDoNotQuoteValues(t *testing.T) {
	for _, x := range []string{
		`<Patient xmlns="http://hl7.org/fhir"><active value="900101-01-5555"/></Patient>`,
		`<Patient xmlns="http://hl7.org/fhir"><active>900101-01-5555</active></Patient>`,
		`<Patient xmlns="http://hl7.org/fhir"><x900101-01-5555/></Patient>`,
		`<Patient xmlns="http://hl7.org/fhir" x900101-01-5555="a"/>`,
		`<Patient xmlns="http://hl7.org/fhir">&x900101-01-5555;</Patient>`,
		`<Patient xmlns="900101-01-5555"/>`,
	} {
		if _, err := Decode([]byte(x), fhir.DefaultLimits); err == nil || strings.Contains(err.Error(), "5555") {
			t.Errorf("%s: %v", x, err)
		}
	}
}

// samples are the documents that the repository holds as files.
func samples(t testing.TB) map[string]string {
	all := map[string]string{}
	for _, pattern := range []string{"../../mycore/testdata/*/*.json", "../../internal/*/testdata/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := fhir.Parse(raw); err == nil {
				all[f] = string(d.Bytes())
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d sample documents were found", len(all))
	}
	return all
}

func TestSamplesSurviveTheWayThroughXML(t *testing.T) {
	for file, raw := range samples(t) {
		doc := mustParse(t, raw)
		x, err := Encode(doc)
		if strings.HasSuffix(file, "guide/vce-schedule.json") {
			// It has an element that R4 does not know.
			if err == nil || !strings.Contains(err.Error(), "Schedule.participant") {
				t.Errorf("%s: %v", file, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		agreeOnXML(t, x)
		back := mustDecode(t, x)
		want, got := jsonTree(t, doc.Bytes()), jsonTree(t, back.Bytes())
		if !strings.Contains(file, "good") {
			// The guide's samples have the slips that package fhirxml puts right.
			root, _ := r4.LookupType(doc.Type())
			want, got = putRight(want, root.Root), putRight(got, root.Root)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%v, want\n%v", file, got, want)
		}
	}
}

// putRight gives an object with lists and values as R4 has them and every
// primitive as its text.
func putRight(v any, content *r4.Element) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	if name, ok := object["resourceType"].(string); ok {
		t, _ := r4.LookupType(name)
		content = t.Root
	}
	out := map[string]any{}
	for name, value := range object {
		if name == "resourceType" {
			out[name] = value
			continue
		}
		el, typ, ok := content.Child(strings.TrimPrefix(name, "_"))
		if !ok {
			out[name] = value
			continue
		}
		list, isList := value.([]any)
		if !isList {
			list = []any{value}
		}
		inner := el.Content(typ)
		var all []any
		for _, item := range list {
			switch x := item.(type) {
			case map[string]any:
				all = append(all, putRight(x, inner))
			case json.Number:
				all = append(all, x.String())
			case bool:
				all = append(all, strconv.FormatBool(x))
			default:
				all = append(all, x)
			}
		}
		out[name] = all
	}
	return out
}

// Every document in the tests of package fhir either makes the way there and
// back, or is refused with the place that XML cannot carry.
func TestDocumentsOfOtherTestsSurviveOrAreRefused(t *testing.T) {
	files, err := filepath.Glob("../*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	carried, refused := 0, 0
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(lit.Value)
			doc, err := fhir.Parse([]byte(text))
			if err != nil {
				return true
			}
			x, err := Encode(doc)
			if err != nil {
				var issue *fhir.Error
				if !errors.As(err, &issue) || !strings.HasPrefix(issue.Expression, doc.Type()) {
					t.Errorf("%s: %v", file, err)
				}
				refused++
				return true
			}
			carried++
			agreeOnXML(t, x)
			if again := mustEncode(t, mustDecode(t, x)); !bytes.Equal(again, x) {
				t.Errorf("%s:\n%s becomes\n%s", text, x, again)
			}
			return true
		})
	}
	if carried < 5 || refused < 5 {
		t.Errorf("%d documents were carried and %d refused: the search is broken", carried, refused)
	}
}

// agreeOnXML checks that the standard library's reader sees the same elements
// and attributes as ours.
func agreeOnXML(t testing.TB, x []byte) {
	t.Helper()
	ours, err := scan(string(x), fhir.DefaultLimits, false)
	if err != nil {
		t.Fatalf("%v\n%s", err, x)
	}
	plain := strings.NewReplacer("\n", " ", "\t", " ", "\r", " ")
	dec := xml.NewDecoder(bytes.NewReader(x))
	i := 0
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("encoding/xml: %v\n%s", err, x)
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		if i == len(ours.nodes) {
			t.Fatalf("encoding/xml finds more elements than the %d of ours\n%s", i, x)
		}
		n := ours.nodes[i]
		i++
		var attrs []attr
		for _, a := range start.Attr {
			if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" || a.Name.Space == nsXSI && a.Name.Local == "schemaLocation" {
				continue
			}
			attrs = append(attrs, attr{a.Name.Local, a.Name.Space, plain.Replace(a.Value)})
		}
		var mine []attr
		for _, a := range ours.attrs[n.attrStart:n.attrEnd] {
			mine = append(mine, attr{a.local, a.ns, plain.Replace(a.value)})
		}
		if n.local != start.Name.Local || n.ns != start.Name.Space || !reflect.DeepEqual(mine, attrs) {
			t.Fatalf("element %d is %s %q %v, by encoding/xml %s %q %v\n%s", i, n.local, n.ns, mine, start.Name.Local, start.Name.Space, attrs, x)
		}
	}
	if i != len(ours.nodes) {
		t.Fatalf("encoding/xml finds %d elements, not %d\n%s", i, len(ours.nodes), x)
	}
}
