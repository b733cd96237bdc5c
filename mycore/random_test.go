package mycore

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

// places lists the paths of all values in a document, as edits name them.
func places(n fhir.Node, path string) (list []string) {
	i := 0
	for c := range n.Children() {
		at := c.Name()
		if n.Kind() == fhir.Array {
			at = strconv.Itoa(i)
			i++
		}
		if path != "" {
			at = path + "." + at
		}
		list = append(list, at)
		list = append(list, places(c, at)...)
	}
	return list
}

// mutated gives a document with one value changed, and what was done.
func mutated(t *testing.T, r *rand.Rand, doc *fhir.Document) (*fhir.Document, string) {
	t.Helper()
	all := slices.DeleteFunc(places(doc.Root(), ""), func(s string) bool { return s == "resourceType" || s == "id" })
	at := all[r.IntN(len(all))]
	values := []string{
		`null`, `{}`, `[]`, `""`, `" "`, `0`, `-1`, `1e400`, `true`, `"\u0000"`, `"2026-02-30"`, `"urn:uuid:x"`, `[[1]]`, `[null]`, `{"coding":7}`, `"#"`,
		`{"extension":[{"url":"x"}]}`, `[{"reference":"#a"},{"reference":"Patient?x=http://a|b"}]`, string(doc.Get(all[r.IntN(len(all))]).Raw()),
	}
	value := values[r.IntN(len(values))]
	edits := map[string]fhir.Edit{
		"set":    fhir.Set(at, raw(value)),
		"remove": fhir.Remove(at),
		"append": fhir.Append(at, raw(value)),
		"add":    fhir.Set(at+".odd", raw(value)),
	}
	verb := []string{"set", "set", "remove", "append", "add"}[r.IntN(5)]
	out, err := doc.With(edits[verb])
	if err != nil || value == "" {
		return doc, "nothing"
	}
	return out, fmt.Sprintf("%s %s %.60s", verb, at, value)
}

// A good record with any value changed is judged without a panic, twice the
// same, and what lenient refuses strict refuses too.
func TestAnyMutationIsJudgedTheSame(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.json"))
	if err != nil || len(files) < 20 {
		t.Fatal("no records", err)
	}
	v := map[Line]*Validator{}
	for _, line := range Lines {
		v[line] = NewValidator(line, validate.Options{})
	}
	r := rand.New(rand.NewPCG(7, 11))
	broken := 0
	for range 4000 {
		file := files[r.IntN(len(files))]
		kind, name := filepath.Base(filepath.Dir(file)), strings.TrimSuffix(filepath.Base(file), ".json")
		line := Lines[r.IntN(len(Lines))]
		doc, done := mutated(t, r, load(t, kind+"/"+name))
		lenient, strict := v[line].Receive(t.Context(), doc, Lenient), v[line].Receive(t.Context(), doc, Strict)
		if again := v[line].Receive(t.Context(), doc, Strict); !slices.Equal(found(again), found(strict)) {
			t.Fatalf("%s, %s: twice it gives\n%v\n%v", name, done, found(strict), found(again))
		}
		if strict.Err() != nil {
			broken++
		}
		refused := found(strict)
		for _, issue := range found(lenient) {
			if strings.HasPrefix(issue, "error") && !slices.Contains(refused, issue) {
				t.Errorf("%s, %s: lenient alone has %s", name, done, issue)
			}
		}
		if len(lenient) != len(strict) {
			t.Errorf("%s, %s: %d issues when lenient, %d when strict:\n%v\n%v", name, done, len(lenient), len(strict), found(lenient), refused)
		}
	}
	if broken < 1000 {
		t.Errorf("only %d of the records are broken: the changes are too mild", broken)
	}
}

func FuzzReceive(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "*", "*.json"))
	for _, file := range files {
		f.Add(load(f, filepath.Base(filepath.Dir(file))+"/"+strings.TrimSuffix(filepath.Base(file), ".json")).Bytes())
	}
	v := NewValidator(Line100, validate.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := fhir.Parse(body)
		if err != nil {
			return
		}
		lenient, strict := v.Receive(t.Context(), doc, Lenient), v.Receive(t.Context(), doc, Strict)
		if lenient.Err() != nil && strict.Err() == nil {
			t.Errorf("lenient refuses what strict takes: %v", lenient)
		}
		for _, issue := range strict {
			if issue.Diagnostics == "" || issue.Code == "" {
				t.Errorf("an issue that says nothing: %+v", issue)
			}
		}
	})
}
