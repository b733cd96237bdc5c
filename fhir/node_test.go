package fhir

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

const aRecord = `{
  "resourceType": "Appointment",
  "id": "a1",
  "active": true,
  "minutesDuration": 30,
  "priority": 1.00,
  "comment": "Ren\u00e9 said \"ok\"",
  "empty": "",
  "nothing": null,
  "none": [],
  "name": [{"given": ["Mei", "Ling"], "family": "Tan"}, {"family": "Lim"}, {"given": ["Aminah"]}],
  "slot": {"reference": "Slot/1"},
  "matrix": [[1, 2], [{"x": 3}]],
  "extension": [{"url": "http://a", "valueInteger": 1}, {"url": "http://b", "extension": [{"url": "c", "valueString": "7"}]}, {"url": "http://a", "valueInteger": 2}],
  "_active": {"extension": [{"url": "http://x"}]},
  "f\u006fo": {"b\u0061r": 5}
}`

func texts(seq func(func(Node) bool)) []string {
	list := []string{}
	for n := range seq {
		list = append(list, string(n.Raw()))
	}
	return list
}

func TestGet(t *testing.T) {
	root := mustParse(t, aRecord).Root()
	for _, c := range []struct{ name, raw string }{
		{"id", `"a1"`},
		{"active", `true`},
		{"priority", `1.00`},
		{"nothing", `null`},
		{"none", `[]`},
		{"slot", `{"reference": "Slot/1"}`},
		{"_active", `{"extension": [{"url": "http://x"}]}`},
		{"foo", `{"b\u0061r": 5}`}, // names are compared as they read, not as they are written
		{`f\u006fo`, ``},
		{"ID", ``},
		{"missing", ``},
		{"", ``},
		{"slot.reference", ``}, // a name, not a path
	} {
		n := root.Get(c.name)
		if string(n.Raw()) != c.raw || n.Exists() != (c.raw != "") {
			t.Errorf("Get(%q) = %q, %v", c.name, n.Raw(), n.Exists())
		}
		if n.Exists() && n.Name() != c.name {
			t.Errorf("Get(%q).Name() = %q", c.name, n.Name())
		}
	}
	if n := root.Get("name").Get("family"); n.Exists() {
		t.Errorf("a list has no members, yet %s", n.Path())
	}
	if n := root.Get("id").Get("a"); n.Exists() {
		t.Errorf("a string has no members, yet %s", n.Path())
	}
}

func TestAllAndFirst(t *testing.T) {
	d := mustParse(t, aRecord)
	for _, c := range []struct {
		path string
		want []string
	}{
		{"id", []string{`"a1"`}},
		{"name.family", []string{`"Tan"`, `"Lim"`}},
		{"name.given", []string{`"Mei"`, `"Ling"`, `"Aminah"`}},
		{"slot.reference", []string{`"Slot/1"`}}, // a single object where a list belongs
		{"extension.url", []string{`"http://a"`, `"http://b"`, `"http://a"`}},
		{"extension.extension.valueString", []string{`"7"`}},
		{"foo.bar", []string{`5`}},
		{"none", nil},
		{"nothing", []string{`null`}},
		{"nothing.x", nil},
		{"matrix", []string{`[1, 2]`, `[{"x": 3}]`}}, // FHIR has no lists of lists
		{"name.family.x", nil},
		{"name.missing", nil},
		{"missing.family", nil},
		{"", nil},
		{"name.", nil},
		{".name", nil},
	} {
		got := texts(d.All(c.path))
		if !slices.Equal(got, c.want) {
			t.Errorf("All(%q) = %q, want %q", c.path, got, c.want)
		}
		first := ""
		if len(c.want) > 0 {
			first = c.want[0]
		}
		if n := d.Get(c.path); string(n.Raw()) != first || n.Exists() != (first != "") {
			t.Errorf("Get(%q) = %q, want %q", c.path, n.Raw(), first)
		}
	}
	t.Run("stops when told", func(t *testing.T) {
		for _, path := range []string{"name.given", "name", "extension.url"} {
			count := 0
			for range d.All(path) {
				count++
				break
			}
			if count != 1 {
				t.Errorf("%s: %d", path, count)
			}
		}
	})
}

func TestChildrenItemsAndLen(t *testing.T) {
	d := mustParse(t, aRecord)
	for _, c := range []struct {
		path            string
		children, items []string
	}{
		{"slot", []string{`"Slot/1"`}, []string{`{"reference": "Slot/1"}`}},
		{"id", nil, []string{`"a1"`}},
		{"nothing", nil, []string{`null`}},
		{"none", nil, nil},
		{"missing", nil, nil},
		{"matrix", []string{`[1, 2]`, `[{"x": 3}]`}, []string{`[1, 2]`, `[{"x": 3}]`}},
	} {
		n := d.Root().Get(c.path)
		if got := texts(n.Children()); !slices.Equal(got, c.children) {
			t.Errorf("children of %s: %q, want %q", c.path, got, c.children)
		}
		if got := texts(n.Items()); !slices.Equal(got, c.items) || n.Len() != len(c.items) {
			t.Errorf("items of %s: %q (%d), want %q", c.path, got, n.Len(), c.items)
		}
	}
	var names []string
	for c := range d.Root().Children() {
		names = append(names, c.Name())
	}
	want := []string{
		"resourceType", "id", "active", "minutesDuration", "priority", "comment", "empty", "nothing", "none", "name", "slot", "matrix", "extension", "_active", "foo",
	}
	if !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	for range d.Root().Children() {
		break
	}
	for range d.Root().Get("name").Items() {
		break
	}
}

func TestValues(t *testing.T) {
	d := mustParse(t, aRecord)
	for _, c := range []struct {
		path   string
		kind   Kind
		text   string
		number int64
		isInt  bool
		truth  bool
		isBool bool
	}{
		{path: "id", kind: String, text: "a1"},
		{path: "active", kind: Bool, text: "true", truth: true, isBool: true},
		{path: "minutesDuration", kind: Number, text: "30", number: 30, isInt: true},
		{path: "priority", kind: Number, text: "1.00"},
		{path: "comment", kind: String, text: `René said "ok"`},
		{path: "empty", kind: String},
		{path: "nothing", kind: Null},
		{path: "slot", kind: Object},
		{path: "missing", kind: None},
		{path: "extension.extension.valueString", kind: String, text: "7", number: 7, isInt: true},
	} {
		n := d.Get(c.path)
		if n.Kind() != c.kind || n.String() != c.text {
			t.Errorf("%s: kind %d, text %q", c.path, n.Kind(), n.String())
		}
		if v, ok := n.Int(); ok != c.isInt || ok && v != c.number {
			t.Errorf("%s: Int = %d, %v", c.path, v, ok)
		}
		if v, ok := n.Bool(); ok != c.isBool || v != c.truth {
			t.Errorf("%s: Bool = %v, %v", c.path, v, ok)
		}
		value := c.kind == String || c.kind == Number || c.kind == Bool
		if n.Is(c.text) != value {
			t.Errorf("%s: Is(%q) = %v", c.path, c.text, !value)
		}
		if n.Is(c.text + "x") {
			t.Errorf("%s is not %q", c.path, c.text+"x")
		}
	}
	if d.Root().Get("none").Kind() != Array || d.Root().Get("none").Is("") {
		t.Error("an empty list is a list, and not an empty text")
	}
	for in, want := range map[string]bool{`9223372036854775807`: true, `9223372036854775808`: false, `-5`: true, `1e2`: false, `"x"`: false, `""`: false, `" 1"`: false, `true`: false} {
		if _, ok := mustParse(t, basic(`"a":`+in)).Get("a").Int(); ok != want {
			t.Errorf("Int of %s: %v", in, ok)
		}
	}
	if v, ok := mustParse(t, basic(`"a":"true"`)).Get("a").Bool(); v || ok {
		t.Error("a text that reads true is no boolean")
	}
}

func TestPath(t *testing.T) {
	d := mustParse(t, aRecord)
	for path, want := range map[string]string{
		"id":                              "Appointment.id",
		"name":                            "Appointment.name[0]",
		"name.given":                      "Appointment.name[0].given[0]",
		"slot.reference":                  "Appointment.slot.reference",
		"extension.extension.valueString": "Appointment.extension[1].extension[0].valueString",
		"_active.extension.url":           "Appointment._active.extension[0].url",
		"foo.bar":                         "Appointment.foo.bar",
		"missing":                         "",
	} {
		if got := d.Get(path).Path(); got != want {
			t.Errorf("path of %s: %q, want %q", path, got, want)
		}
	}
	if got := d.Root().Path(); got != "Appointment" {
		t.Errorf("path of the root: %q", got)
	}
	var last string
	for n := range d.All("name.given") {
		last = n.Path()
	}
	if last != "Appointment.name[2].given[0]" {
		t.Errorf("path of the last: %q", last)
	}
	for n := range d.Root().Get("matrix").Children() {
		for m := range n.Children() {
			last = m.Path()
		}
	}
	if last != "Appointment.matrix[1][0]" {
		t.Errorf("path in a list of lists: %q", last)
	}
	i := 0
	for n := range mustParse(t, basic(`"a":[`+strings.Repeat(`{"x":[1]},`, 5000)+`{}]`)).Root().Get("a").Children() {
		if want := "Basic.a[" + strconv.Itoa(i) + "]"; n.Path() != want {
			t.Fatalf("path of item %d: %q", i, n.Path())
		}
		i++
	}
}

func TestExtension(t *testing.T) {
	d := mustParse(t, aRecord)
	if v, _ := d.Root().Extension("http://a").Get("valueInteger").Int(); v != 1 {
		t.Errorf("the first of two: %d", v)
	}
	if v, _ := d.Root().Extension("http://b").Extension("c").Get("valueString").Int(); v != 7 {
		t.Errorf("nested: %d", v)
	}
	for _, n := range []Node{d.Root().Extension("http://c"), d.Root().Extension(""), d.Get("id").Extension("http://a"), Node{}.Extension("http://a")} {
		if n.Exists() {
			t.Errorf("found %s", n.Path())
		}
	}
	single := mustParse(t, basic(`"extension":{"url":"http://a","valueInteger":3}`))
	if v, _ := single.Root().Extension("http://a").Get("valueInteger").Int(); v != 3 {
		t.Errorf("a single object: %d", v)
	}
}

func TestTheZeroNodeFindsNothing(t *testing.T) {
	var n Node
	if n.Exists() || n.Kind() != None || n.Raw() != nil || n.String() != "" || n.Name() != "" || n.Path() != "" || n.Len() != 0 ||
		n.Is("") || n.Get("a").Exists() || n.First("a.b").Exists() {
		t.Error("the zero node is something")
	}
	if _, ok := n.Int(); ok {
		t.Error("it is a number")
	}
	if _, ok := n.Bool(); ok {
		t.Error("it is a boolean")
	}
	if _, ok := n.Time(); ok {
		t.Error("it is a time")
	}
	for range n.Children() {
		t.Error("it has children")
	}
	for range n.Items() {
		t.Error("it has items")
	}
	for range n.All("a") {
		t.Error("it has descendants")
	}
}

// What a node hands out cannot be grown into the document behind it.
func TestRawEndsWhereItEnds(t *testing.T) {
	d := mustParse(t, basic(`"a":[1],"b":2`))
	before := string(d.Bytes())
	_ = append(d.Get("a").Raw(), "XXXX"...)
	_ = append(d.Root().Get("a").Raw(), "XXXX"...)
	if got := string(d.Bytes()); got != before {
		t.Errorf("the document has become %s", got)
	}
}
