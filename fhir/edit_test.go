package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSet(t *testing.T) {
	for _, c := range []struct {
		name, in, path string
		value          any
		want           string
	}{
		{"a value there", `{ "resourceType":"Basic", "a" : 1.00 , "b":2 }`, "a", "x", `{ "resourceType":"Basic", "a" : "x" , "b":2 }`},
		{"a value below", basic(`"a":{"b":{"c":1,"d":2}}`), "a.b.c", 7, basic(`"a":{"b":{"c":7,"d":2}}`)},
		{"an item", basic(`"a":[1, 2 ,3]`), "a.1", true, basic(`"a":[1, true ,3]`)},
		{"a member of an item", basic(`"a":[{"b":1},{"b":2}]`), "a.1.b", 3, basic(`"a":[{"b":1},{"b":3}]`)},
		{"a new member", basic(`"a":1`), "b", "x", basic(`"a":1,"b":"x"`)},
		{"a new member behind spaces", "{\"resourceType\":\"Basic\",\n\"a\":1\n}", "b", 2, "{\"resourceType\":\"Basic\",\n\"a\":1,\"b\":2\n}"},
		{"a new member of an empty object", basic(`"a":{ }`), "a.b", 1, basic(`"a":{ "b":1}`)},
		{"a new member of an item", basic(`"a":[{"b":1}]`), "a.0.c", 2, basic(`"a":[{"b":1,"c":2}]`)},
		{"missing objects on the way", basic(`"a":1`), "p.q.r", "x", basic(`"a":1,"p":{"q":{"r":"x"}}`)},
		{"a missing list on the way", basic(`"a":1`), "p.0.r", "x", basic(`"a":1,"p":[{"r":"x"}]`)},
		{"an item of a missing list", basic(`"a":1`), "p.0", "x", basic(`"a":1,"p":["x"]`)},
		{"one behind the last item", basic(`"a":[1]`), "a.1", 2, basic(`"a":[1,2]`)},
		{"the first item of an empty list", basic(`"a":[]`), "a.0.b", 2, basic(`"a":[{"b":2}]`)},
		{"item 0 of a single object", basic(`"a":{"b":1}`), "a.0.b", 2, basic(`"a":{"b":2}`)},
		{"a new member of item 0 of a single object", basic(`"a":{"b":1}`), "a.0.c.0.d", 2, basic(`"a":{"b":1,"c":[{"d":2}]}`)},
		{"all of a single object", basic(`"a":{"b":1}`), "a.0", 2, basic(`"a":2`)},
		{"a member called 0", basic(`"a":{"0":1}`), "a.0", 2, basic(`"a":{"0":2}`)},
		{"a new id", `{"resourceType":"Basic","a":1}`, "id", "x", `{"resourceType":"Basic","id":"x","a":1}`},
		{"a new id behind the type", `{"a":1,"resourceType":"Basic"}`, "id", "x", `{"a":1,"resourceType":"Basic","id":"x"}`},
		{"a new meta", `{"resourceType":"Basic","a":1}`, "meta.source", "x", `{"resourceType":"Basic","meta":{"source":"x"},"a":1}`},
		{"a new meta behind the id", `{"resourceType":"Basic","id":"i","a":1}`, "meta.source", "x", `{"resourceType":"Basic","id":"i","meta":{"source":"x"},"a":1}`},
		{"an id further down", basic(`"a":{"b":1}`), "a.id", "x", basic(`"a":{"b":1,"id":"x"}`)},
		{"a name written with an escape", basic(`"\u0061":1`), "a", 2, basic(`"\u0061":2`)},
		{"null", basic(`"a":1`), "a", nil, basic(`"a":null`)},
		{"what is null", basic(`"a":null`), "a", 1, basic(`"a":1`)},
		{"raw JSON as it is", basic(`"a":1`), "a", json.RawMessage(`[ 1.00 ]`), basic(`"a":[ 1.00 ]`)},
		{"text without HTML escapes", basic(`"a":1`), "a", "<b> & \"c\" é", basic(`"a":"<b> & \"c\" é"`)},
		{"a struct", basic(`"a":1`), "a", struct {
			B int `json:"b"`
		}{2}, basic(`"a":{"b":2}`)},
		{"the type", basic(`"a":1`), "resourceType", "Other", `{"resourceType":"Other","a":1}`},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, c.in, c.want, Set(c.path, c.value)) })
	}
}

func TestAppend(t *testing.T) {
	for _, c := range []struct{ name, in, path, want string }{
		{"to a list", basic(`"a":[1,2]`), "a", basic(`"a":[1,2,"x"]`)},
		{"to a list with spaces", basic(`"a":[ 1 ]`), "a", basic(`"a":[ 1,"x" ]`)},
		{"to an empty list", basic(`"a":[]`), "a", basic(`"a":["x"]`)},
		{"to a missing list", basic(`"a":1`), "b", basic(`"a":1,"b":["x"]`)},
		{"to a missing list of a missing object", basic(`"a":1`), "b.c", basic(`"a":1,"b":{"c":["x"]}`)},
		{"to a list in an item", basic(`"a":[{"b":[1]},{}]`), "a.1.b", basic(`"a":[{"b":[1]},{"b":["x"]}]`)},
		{"to a list in a single object", basic(`"a":{"b":[1]}`), "a.0.b", basic(`"a":{"b":[1,"x"]}`)},
		{"to a missing tag", `{"resourceType":"Basic","id":"i","a":1}`, "meta.tag", `{"resourceType":"Basic","id":"i","meta":{"tag":["x"]},"a":1}`},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, c.in, c.want, Append(c.path, "x")) })
	}
}

func TestRemove(t *testing.T) {
	for _, c := range []struct{ name, in, path, want string }{
		{"in the middle", basic(`"a":1,"b":2`), "a", basic(`"b":2`)},
		{"the last", basic(`"a":1,"b":2`), "b", basic(`"a":1`)},
		{"the first", `{"a":1,"resourceType":"Basic"}`, "a", `{"resourceType":"Basic"}`},
		{"the only member", basic(`"a":{"b":1}`), "a.b", basic(`"a":{}`)},
		{"with spaces", "{\"resourceType\":\"Basic\" ,\n \"a\" : 1 ,\n \"b\":2}", "a", "{\"resourceType\":\"Basic\" ,\n \n \"b\":2}"},
		{"the last with spaces", "{\"resourceType\":\"Basic\" ,\n \"a\" : 1\n}", "a", "{\"resourceType\":\"Basic\" \n}"},
		{"the first item", basic(`"a":[1,2,3]`), "a.0", basic(`"a":[2,3]`)},
		{"an item", basic(`"a":[1,2,3]`), "a.1", basic(`"a":[1,3]`)},
		{"the last item", basic(`"a":[1,2,3]`), "a.2", basic(`"a":[1,2]`)},
		{"the only item", basic(`"a":[1]`), "a.0", basic(`"a":[]`)},
		{"a list", basic(`"a":[{"x":[1,{}]}],"b":2`), "a", basic(`"b":2`)},
		{"a name written with an escape", basic(`"\u0061":1,"b":2`), "a", basic(`"b":2`)},
		{"text that looks like JSON", basic(`"a":"},]","b":"x,"`), "a", basic(`"b":"x,"`)},
		{"text with commas before", basic(`"a":"x,","b":1`), "b", basic(`"a":"x,"`)},
		{"item 0 of a single object", basic(`"a":{"b":1},"c":2`), "a.0", basic(`"c":2`)},
		{"a member of item 0 of a single object", basic(`"a":{"b":1,"c":2}`), "a.0.b", basic(`"a":{"c":2}`)},
		{"item 1 of a single object", basic(`"a":{"b":1}`), "a.1", basic(`"a":{"b":1}`)},
		{"nothing", basic(`"a":1`), "b", basic(`"a":1`)},
		{"nothing below", basic(`"a":{"b":1}`), "a.c.d", basic(`"a":{"b":1}`)},
		{"nothing below a value", basic(`"a":1`), "a.b", basic(`"a":1`)},
		{"an item that is not there", basic(`"a":[1]`), "a.1", basic(`"a":[1]`)},
		{"an item before the first", basic(`"a":[1]`), "a.-1", basic(`"a":[1]`)},
		{"a name in a list", basic(`"a":[{"b":1}]`), "a.b", basic(`"a":[{"b":1}]`)},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, c.in, c.want, Remove(c.path)) })
	}
}

// want compares the bytes after an edit; the document edited stays as it was.
func want(t *testing.T, in, want string, edits ...Edit) {
	t.Helper()
	d := mustParse(t, in)
	got, err := d.With(edits...)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Bytes()) != want {
		t.Errorf("got  %q\nwant %q", got.Bytes(), want)
	}
	if string(d.Bytes()) != in {
		t.Errorf("the document itself has become %q", d.Bytes())
	}
}

func TestEditsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name, in string
		edit     Edit
		at       string
	}{
		{"a member of a text", basic(`"a":"x"`), Set("a.b", 1), "Basic.a"},
		{"a member of a number", basic(`"a":1`), Set("a.b", 1), "Basic.a"},
		{"a member of null", basic(`"a":null`), Set("a.b", 1), "Basic.a"},
		{"a member of true", basic(`"a":true`), Set("a.b.c", 1), "Basic.a"},
		{"a member of a list", basic(`"a":[{"b":1}]`), Set("a.b", 1), "Basic.a"},
		{"item 1 of a single object", basic(`"a":{"b":1}`), Set("a.1.b", 1), "Basic.a"},
		{"item 0 of a resource", basic(`"a":1`), Set("0", 1), "Basic"},
		{"an item before the first", basic(`"a":[1]`), Set("a.-1", 1), "Basic.a"},
		{"appending to a text", basic(`"a":"x"`), Append("a", 1), "Basic.a"},
		{"appending to an object", basic(`"a":{"b":1}`), Append("a", 1), "Basic.a"},
		{"appending to null", basic(`"a":null`), Append("a", 1), "Basic.a"},
		{"appending below a text", basic(`"a":"x"`), Append("a.b", 1), "Basic.a"},
		{"appending below a list", basic(`"a":[{}]`), Append("a.b", 1), "Basic.a"},
		{"no type", basic(`"a":1`), Remove("resourceType"), "resourceType"},
		{"a wrong type", basic(`"a":1`), Set("resourceType", "x y"), "resourceType"},
		{"half a value", basic(`"a":1`), Set("a", json.RawMessage(`{`)), ""},
		{"no value", basic(`"a":1`), Set("a", json.RawMessage{}), ""},
		{"a name twice", basic(`"a":1`), Set("a", json.RawMessage(`1,"resourceType":"X"`)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := mustParse(t, c.in)
			got, err := d.With(c.edit)
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v, %v", got, err)
			}
			if e.Code != CodeStructure || e.Expression != c.at {
				t.Errorf("code %s at %q: %v", e.Code, e.Expression, e)
			}
			if string(d.Bytes()) != c.in {
				t.Errorf("the document has become %q", d.Bytes())
			}
		})
	}
	t.Run("a wrong id", func(t *testing.T) {
		if _, err := mustParse(t, basic(`"a":1`)).With(Set("id", "a b")); CodeOf(err) != CodeValue {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a value that is no JSON", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("a programming error went unnoticed")
			}
		}()
		Set("a", make(chan int))
	})
}

func TestEditsApplyInOrder(t *testing.T) {
	want(t, basic(`"a":[1]`), basic(`"a":[{"b":2}],"c":3`),
		Append("a", map[string]int{"b": 1}), Remove("a.0"), Set("a.0.b", 2), Set("c", 4), Set("c", 3), Set("d", 1), Remove("d"))
	want(t, basic(`"a":1`), basic(`"a":1`))
	if d := mustParse(t, basic(`"a":1`)); true {
		if got, err := d.With(Set("b", 1), Set("a.x", 1)); err == nil || got != nil {
			t.Errorf("half the edits: %v, %v", got, err)
		}
	}
}

// Values taken out of a document may be put elsewhere; neither changes.
func TestMovingAValueLeavesItsDocumentAlone(t *testing.T) {
	const in = `{"resourceType":"Basic","a":[1.00, 2],"b":{"x":"y"},"c":3}`
	for _, path := range []string{"new", "new.deep", "new.deep.down", "b.x", "b.z.z"} {
		for _, from := range []string{"a", "b", "c", "resourceType"} {
			d := mustParse(t, in)
			got, err := d.With(Set(path, json.RawMessage(d.Root().Get(from).Raw())))
			if err != nil {
				t.Fatal(err)
			}
			if string(d.Bytes()) != in {
				t.Fatalf("setting %s from %s has changed the source to %s", path, from, d.Bytes())
			}
			if moved := got.Get(path); from != "a" && string(moved.Raw()) != string(d.Root().Get(from).Raw()) {
				t.Errorf("%s is %s", path, moved.Raw())
			}
		}
	}
}

// everyPath lists all places of a document in the form of Set.
func everyPath(n Node, prefix string) (paths []string) {
	i := 0
	for c := range n.Children() {
		step := c.Name()
		if n.Kind() == Array {
			step = strconv.Itoa(i)
		}
		i++
		if step == "" || strings.Contains(step, ".") {
			continue
		}
		paths = append(paths, prefix+step)
		paths = append(paths, everyPath(c, prefix+step+".")...)
	}
	return paths
}

func at(d *Document, path string) Node {
	n := d.Root()
	for part := range strings.SplitSeq(path, ".") {
		n = n.step(part)
	}
	return n
}

// leaves lists each place with its bytes: containers by their place only.
func leaves(d *Document) (list []string) {
	for _, path := range everyPath(d.Root(), "") {
		if n := at(d, path); n.Kind() == Object || n.Kind() == Array {
			list = append(list, fmt.Sprintf("%s kind %d", path, n.Kind()))
		} else {
			list = append(list, path+" "+string(n.Raw()))
		}
	}
	return list
}

// Whatever place is set, all bytes before and behind it stay.
func TestSetKeepsAllOtherBytes(t *testing.T) {
	for name, in := range samples(t) {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, in)
			for _, path := range everyPath(d.Root(), "") {
				n := at(d, path)
				x := d.nodes[n.i]
				got, err := d.With(Set(path, json.RawMessage(`"Mark"`)))
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if want := in[:x.start] + `"Mark"` + in[x.end:]; string(got.Bytes()) != want {
					t.Errorf("%s:\ngot  %s\nwant %s", path, got.Bytes(), want)
				}
				back, err := got.With(Set(path, json.RawMessage(n.Raw())))
				if err != nil || string(back.Bytes()) != in {
					t.Errorf("%s: setting it back: %v", path, err)
				}
			}
		})
	}
}

// Whatever is removed, all else stays in its order with its bytes.
func TestRemoveKeepsAllElse(t *testing.T) {
	for name, in := range samples(t) {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, in)
			for _, path := range everyPath(d.Root(), "") {
				if path == "resourceType" {
					continue
				}
				got, err := d.With(Remove(path))
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if gotJSON, wantJSON := compact(t, got.Root(), Node{}), compact(t, d.Root(), at(d, path)); gotJSON != wantJSON {
					t.Errorf("%s:\ngot  %s\nwant %s", path, gotJSON, wantJSON)
				}
			}
		})
	}
}

// compact writes a document without spaces, and without one node.
func compact(t testing.TB, n, without Node) string {
	t.Helper()
	var b strings.Builder
	var write func(n Node)
	write = func(n Node) {
		x := n.d.nodes[n.i]
		if x.keyStart > 0 {
			b.Write(n.d.raw[x.keyStart-1 : x.keyEnd+1])
			b.WriteByte(':')
		}
		if n.Kind() != Object && n.Kind() != Array {
			b.Write(n.Raw())
			return
		}
		b.WriteByte(n.d.raw[x.start])
		first := true
		for c := range n.Children() {
			if c == without {
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			write(c)
		}
		b.WriteByte(n.d.raw[x.end-1])
	}
	write(n)
	return b.String()
}

// Whatever object or list something is added to, all bytes stay and the new
// value comes last; removing it gives the first bytes again.
func TestAddingIsUndoneByRemoving(t *testing.T) {
	for name, in := range samples(t) {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, in)
			for _, path := range everyPath(d.Root(), "") {
				n := at(d, path)
				var edit Edit
				place := path + ".brandNew"
				switch n.Kind() {
				case Object:
					edit = Set(place, 1)
				case Array:
					edit, place = Append(path, 1), path+"."+strconv.Itoa(n.Len())
				default:
					continue
				}
				got, err := d.With(edit)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				before := leaves(d)
				after := slices.DeleteFunc(leaves(got), func(l string) bool { return l == place+" 1" })
				if !slices.Equal(after, before) || at(got, place).String() != "1" {
					t.Errorf("%s: %s", path, got.Bytes())
				}
				back, err := got.With(Remove(place))
				if err != nil || string(back.Bytes()) != in {
					t.Errorf("%s: removing it again: %v\ngot  %q\nwant %q", path, err, back.Bytes(), in)
				}
			}
		})
	}
}

func TestStampRefusesAMetaThatIsNoObject(t *testing.T) {
	for _, meta := range []string{`"x"`, `[]`, `null`, `1`} {
		_, err := mustParse(t, basic(`"meta":`+meta)).Stamp("a", 1, time.Unix(0, 0))
		if e, ok := err.(*Error); !ok || e.Code != CodeStructure || e.Expression != "Basic.meta" {
			t.Errorf("meta %s: %v", meta, err)
		}
	}
}

// Stamping twice is stamping once, whatever the document.
func TestStampIsTheSameTwice(t *testing.T) {
	for name, in := range samples(t) {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, in)
			first, err := d.Stamp("s-1", 3, time.Unix(1_700_000_000, 0))
			if err != nil {
				t.Fatal(err)
			}
			second, err := first.Stamp("s-1", 3, time.Unix(1_700_000_000, 0))
			if err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Errorf("%v\nfirst  %s\nsecond %s", err, first.Bytes(), second.Bytes())
			}
			if first.ID() != "s-1" || !first.Get("meta.versionId").Is("3") || !first.Get("meta.lastUpdated").Is("2023-11-15T06:13:20.000+08:00") {
				t.Errorf("stamped %s", first.Bytes())
			}
			for c := range d.Root().Children() {
				if c.Name() != "id" && c.Name() != "meta" && !bytes.Equal(first.Root().Get(c.Name()).Raw(), c.Raw()) {
					t.Errorf("%s has changed", c.Name())
				}
			}
		})
	}
}

func TestMarshal(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{"<a>&\u00e9", `"<a>&é"`},
		{map[string]any{"b": 1, "a": nil}, `{"a":null,"b":1}`},
		{json.RawMessage(`{ "x" : 1.00 }`), `{ "x" : 1.00 }`},
		{json.Number("1.00"), `1.00`},
		{nil, `null`},
		{"line\n", `"line\n"`},
	} {
		if got := string(Marshal(c.in)); got != c.want {
			t.Errorf("Marshal(%v) = %s, want %s", c.in, got, c.want)
		}
	}
}

func BenchmarkEdit(b *testing.B) {
	raw := encounter(b)
	d := mustParse(b, string(raw))
	for name, edits := range map[string][]Edit{
		"one":   {Set("status", "finished")},
		"three": {Set("status", "finished"), Set("period.end", "2026-11-23T09:30:00+08:00"), Append("extension", map[string]string{"url": "http://x"})},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.With(edits...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("stamp", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Stamp("enc-1", 7, time.Unix(1_700_000_000, 0)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestReplace(t *testing.T) {
	d := mustParse(t, `{"resourceType":"Xy", "a":[1, "two",{"b":null}] ,"c":"é"}`)
	node := func(path string) Node { return d.Get(path) }
	for _, c := range []struct {
		name string
		list []Replacement
		want string // "" for an error
	}{
		{"none", nil, `{"resourceType":"Xy", "a":[1, "two",{"b":null}] ,"c":"é"}`},
		{"some", []Replacement{{node("a.b"), "<b>"}, {node("c"), 1}}, `{"resourceType":"Xy", "a":[1, "two",{"b":"<b>"}] ,"c":1}`},
		{"against the order", []Replacement{{node("c"), 1}, {node("a.b"), 2}}, ""},
		{"one within another", []Replacement{{d.Root().Get("a"), 1}, {node("a.b"), 2}}, ""},
		{"of another document", []Replacement{{mustParse(t, `{"resourceType":"Xy","c":1}`).Get("c"), 1}}, ""},
	} {
		got, err := d.Replace(c.list)
		if (err != nil) != (c.want == "") || err == nil && string(got.Bytes()) != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}
