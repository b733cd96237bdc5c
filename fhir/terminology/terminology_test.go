package terminology_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/mycore"
)

// guide knows MY Core too.
func guide(t testing.TB, more ...*fhir.Document) *terminology.Service {
	t.Helper()
	return service(t, terminology.Options{Documents: slices.Concat(mycore.Definitions(), more), Normalize: mycore.Normalize})
}

func parse(t testing.TB, body string) *fhir.Document {
	t.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every code of the guide's table is valid, with its display, in its system and
// in its value set, by every spelling of their URLs; none beside them is.
func TestEveryCodeOfTheGuide(t *testing.T) {
	s := guide(t)
	table, err := os.ReadFile("../../mycore/codes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 3 || f[0] == "system" {
			continue
		}
		checked++
		system, code, display := f[0], f[1], f[2]
		cs, err := s.System(system, "")
		if err != nil {
			t.Fatal(err)
		}
		valueSet := strings.Replace(system, "/CodeSystem/", "/ValueSet/", 1)
		set, err := s.Set(valueSet)
		if err != nil {
			t.Fatal(err)
		}
		for _, spelling := range []string{system, valueSet, strings.Replace(system, "/CodeSystem/", "/Valueset/", 1)} {
			coding := terminology.Coding{System: spelling, Code: code, Display: strings.ToUpper(display)}
			for where, ask := range map[string]func(terminology.Check) (terminology.Verdict, error){
				"system": func(q terminology.Check) (terminology.Verdict, error) { return s.Check(cs, q) }, "value set": set.Check,
			} {
				v, err := ask(terminology.Check{Codings: []terminology.Coding{coding}})
				if err != nil || !v.Result || v.Coding.System != system || v.Coding.Display != display {
					t.Errorf("%s of %s in the %s: %+v, %v", code, spelling, where, v, err)
				}
				coding.Code = code + "x"
				if v, err := ask(terminology.Check{Codings: []terminology.Coding{coding}}); err != nil || v.Result || v.Message == "" {
					t.Errorf("%s of %s in the %s: %+v, %v", coding.Code, spelling, where, v, err)
				}
				coding.Code = code
			}
		}
	}
	if checked != 472 {
		t.Errorf("%d codes were checked", checked)
	}
}

func TestContains(t *testing.T) {
	s := guide(t)
	const (
		vs     = "http://hl7.org/fhir/ValueSet/"
		v3     = "http://terminology.hl7.org/ValueSet/v3-"
		v3code = "http://terminology.hl7.org/CodeSystem/v3-"
		v2     = "http://terminology.hl7.org/ValueSet/v2-"
		sct    = "http://snomed.info/sct"
	)
	for _, c := range []struct {
		set, system, code string
		want              terminology.Answer
	}{
		{vs + "administrative-gender", genderSystem, "female", terminology.In},
		{vs + "administrative-gender", genderSystem, "Female", terminology.Out},
		{vs + "administrative-gender|4.0.1", genderSystem, "female", terminology.In},
		{vs + "administrative-gender|4.0", genderSystem, "female", terminology.In},
		{vs + "administrative-gender", "", "female", terminology.Out},
		{vs + "appointmentstatus", "http://hl7.org/fhir/appointmentstatus", "checked-in", terminology.In},
		{vs + "appointmentstatus", "http://hl7.org/fhir/appointmentstatus", "no-show", terminology.Out}, // noshow
		{vs + "appointmentstatus", "http://hl7.org/fhir/encounter-status", "arrived", terminology.Out},
		{vs + "units-of-time", "http://unitsofmeasure.org", "min", terminology.In},
		{vs + "all-types", "http://hl7.org/fhir/data-types", "HumanName", terminology.In},
		{vs + "all-types", "http://hl7.org/fhir/resource-types", "Patient", terminology.In},
		{vs + "encounter-status", "http://hl7.org/fhir/encounter-status", "in-progress", terminology.In},
		{vs + "encounter-status", "http://hl7.org/fhir/encounter-status", "in progress", terminology.Out},
		{v3 + "ActEncounterCode", v3code + "ActCode", "VR", terminology.In},
		{v3 + "ActEncounterCode", v3code + "ActCode", "ACUTE", terminology.In},              // two below
		{v3 + "ActEncounterCode", v3code + "ActCode", "_ActEncounterCode", terminology.Out}, // excluded by name
		{v3 + "ActEncounterCode", v3code + "ActCode", "SDE", terminology.Out},
		{v3 + "FamilyMember", v3code + "RoleCode", "DAUADOPT", terminology.In},
		{vs + "patient-contactrelationship", "http://terminology.hl7.org/CodeSystem/v2-0131", "N", terminology.In},
		{vs + "patient-contactrelationship", "http://terminology.hl7.org/CodeSystem/v2-0131", "O", terminology.Out}, // is-not-a
		{vs + "inactive", v3code + "ActMood", "GOL", terminology.In},
		{vs + "inactive", v3code + "ActMood", "_ActMoodPredicate", terminology.Out},                  // descendent-of
		{vs + "yesnodontknow", "http://terminology.hl7.org/CodeSystem/v2-0136", "Y", terminology.In}, // imported
		{vs + "yesnodontknow", "http://terminology.hl7.org/CodeSystem/data-absent-reason", "asked-unknown", terminology.In},
		{vs + "yesnodontknow", "http://terminology.hl7.org/CodeSystem/data-absent-reason", "masked", terminology.Out},
		{v2 + "0203", "http://terminology.hl7.org/CodeSystem/v2-0203", "MR", terminology.In},
		{v2 + "2.7-0360", "http://terminology.hl7.org/CodeSystem/v2-0360|2.7", "MD", terminology.In},

		{vs + "condition-code", sct, "73211009", terminology.Unknown},
		{vs + "condition-code", "http://hl7.org/fhir/sid/icd-10", "E11", terminology.Out},
		{vs + "condition-severity", sct, "24484000", terminology.In},
		{vs + "condition-severity", sct, "1", terminology.Out},
		{vs + "observation-vitalsignresult", "http://loinc.org", "8867-4", terminology.In},
		{vs + "languages", "urn:ietf:bcp:47", "ms", terminology.Out}, // a list, which Malay is not on
		{vs + "all-languages", "urn:ietf:bcp:47", "ms", terminology.In},
		{vs + "all-languages", "urn:ietf:bcp:47", "zh-Hant-MY", terminology.In},
		{vs + "all-languages", "urn:ietf:bcp:47", "malay", terminology.Out},
		{vs + "all-languages", "urn:ietf:bcp:47", "", terminology.Out},
		{vs + "mimetypes", "urn:ietf:bcp:13", "text/plain; charset=utf-8", terminology.In},
		{vs + "mimetypes", "urn:ietf:bcp:13", "application/fhir+json", terminology.In},
		{vs + "mimetypes", "urn:ietf:bcp:13", "pdf", terminology.Out},
		{vs + "currencies", "urn:iso:std:iso:4217", "MYR", terminology.In},
		{vs + "currencies", "urn:iso:std:iso:4217", "myr", terminology.Out},
		{vs + "currencies", "urn:iso:std:iso:4217", "RMX", terminology.Out},
		{vs + "iso3166-1-3", "urn:iso:std:iso:3166", "MYS", terminology.In},
		{vs + "iso3166-1-3", "urn:iso:std:iso:3166", "MY", terminology.Out}, // a filter
		{vs + "iso3166-1-N", "urn:iso:std:iso:3166", "458", terminology.In},
		{vs + "iso3166-1-2", "urn:iso:std:iso:3166", "MY", terminology.In},
		{vs + "iso3166-1-2", "urn:iso:std:iso:3166", "UK", terminology.Out},
		{vs + "service-type", "http://terminology.hl7.org/CodeSystem/service-type", "124", terminology.In},
		{vs + "service-type", "http://terminology.hl7.org/CodeSystem/service-type", "VCI", terminology.Unknown}, // examples
		{vs + "use-context", genderSystem, "male", terminology.In},
		{vs + "use-context", "http://elsewhere", "x", terminology.Unknown}, // it includes a set that is not known
	} {
		set, err := s.Set(c.set)
		if err != nil {
			t.Errorf("%s: %v", c.set, err)
			continue
		}
		if got := set.Contains(c.system, c.code); got != c.want {
			t.Errorf("%s: %s|%s is %v, want %v", c.set, c.system, c.code, got, c.want)
		}
		if set.Has(c.system, c.code) != (c.want == terminology.In) || c.want == terminology.In && !set.HasCode(c.code) {
			t.Errorf("%s: %s|%s: Has and HasCode disagree", c.set, c.system, c.code)
		}
	}
	for _, url := range []string{"", "http://example.org/none", genders + "|3.0.2", "http://hl7.org/fhir/ValueSet/administrative-gende"} {
		if _, err := s.Set(url); fhir.CodeOf(err) != fhir.CodeNotFound {
			t.Errorf("%s: %v", url, err)
		}
	}
}

const plants = `{"resourceType":"CodeSystem","url":"http://x/plants","version":"2","status":"active","content":"complete","caseSensitive":%v,
	"property":[{"code":"height","type":"integer"},{"code":"eaten","type":"boolean"},{"code":"kin","type":"Coding"}],"concept":[
	{"code":"plant","property":[{"code":"notSelectable","valueBoolean":true}],"concept":[
		{"code":"tree","display":"Tree","property":[{"code":"height","valueInteger":30}],"concept":[
			{"code":"oak","display":"Oak","designation":[{"language":"ms","value":"Pokok oak"}]},
			{"code":"apple","display":"Apple tree","property":[{"code":"eaten","valueBoolean":true}]}]},
		{"code":"herb","display":"Herb","concept":[
			{"code":"mint","display":"Mint","property":[{"code":"eaten","valueBoolean":true},{"code":"kin","valueCoding":{"system":"http://x/plants","code":"herb"}}]},
			{"code":"fern","display":"Fern","property":[{"code":"status","valueCode":"retired"}]}]}]},
	{"code":"fruit","display":"Fruit","property":[{"code":"child","valueCode":"apple"}]}]}`

// Filters and their combinations, as $expand lists what they let through.
func TestCompose(t *testing.T) {
	s := guide(t, parse(t, fmt.Sprintf(plants, true)),
		parse(t, `{"resourceType":"ValueSet","url":"http://x/trees","status":"active","compose":{"include":[{"system":"http://x/plants","filter":[{"property":"concept","op":"is-a","value":"tree"}]}]}}`),
		parse(t, `{"resourceType":"ValueSet","url":"http://x/given","status":"active","expansion":{"contains":[{"abstract":true,"code":"g","system":"http://x/y","contains":[{"system":"http://x/y","code":"a","display":"A"}]}]}}`))
	plant := func(filters ...string) string {
		var all []string
		for _, f := range filters {
			p := strings.SplitN(f, " ", 3)
			all = append(all, `{"property":"`+p[0]+`","op":"`+p[1]+`","value":"`+p[2]+`"}`)
		}
		return `{"system":"http://x/plants","filter":[` + strings.Join(all, ",") + `]}`
	}
	for _, c := range []struct{ name, include, exclude, more, beside, want string }{
		{name: "all", include: `{"system":"http://x/plants"}`, want: "plant tree oak apple herb mint fern fruit"},
		{name: "a version", include: `{"system":"http://x/plants","version":"2"}`, want: "plant tree oak apple herb mint fern fruit"},
		{name: "another version", include: `{"system":"http://x/plants","version":"1"}`, want: "Version 1"},
		{name: "codes", include: `{"system":"http://x/plants","concept":[{"code":"oak"},{"code":"mint","display":"Peppermint"}]}`, want: "oak mint"},
		{name: "is-a", include: plant("concept is-a tree"), want: "tree oak apple"},
		{name: "is-a, with two parents", include: plant("concept is-a fruit"), want: "apple fruit"},
		{name: "descendent-of", include: plant("concept descendent-of plant"), want: "tree oak apple herb mint fern"},
		{name: "is-not-a", include: plant("concept is-not-a tree"), want: "plant herb mint fern fruit"},
		{name: "generalizes", include: plant("concept generalizes apple"), want: "plant tree apple fruit"},
		{name: "in", include: plant("concept in oak, mint,none"), want: "oak mint"},
		{name: "not-in", include: plant("code not-in plant,tree,herb,fruit,fern"), want: "oak apple mint"},
		{name: "equal to a code", include: plant("code = oak"), want: "oak"},
		{name: "equal to a display", include: plant("display = Oak"), want: "oak"},
		{name: "a designation", include: plant("designation = Pokok oak"), want: "oak"},
		{name: "an integer", include: plant("height = 30"), want: "tree"},
		{name: "a boolean", include: plant("eaten = true"), want: "apple mint"},
		{name: "a coding", include: plant("kin = http://x/plants|herb"), want: "mint"},
		{name: "parent", include: plant("parent = herb"), want: "mint fern"},
		{name: "child", include: plant("child = apple"), want: "tree fruit"},
		{name: "exists", include: plant("eaten exists true"), want: "apple mint"},
		{name: "exists not", include: plant("eaten exists false"), want: "plant tree oak herb fern fruit"},
		{name: "regex", include: plant("code regex .*e.*"), want: "tree apple herb fern"},
		{name: "regex of all of it", include: plant("code regex t"), want: ""},
		{name: "regex of alternatives", include: plant("code regex oak|mint"), want: "oak mint"},
		{name: "inactive", include: plant("inactive = true"), want: "fern"},
		{name: "status", include: plant("status = retired"), want: "fern"},
		{name: "two filters", include: plant("concept is-a plant", "eaten = true"), want: "apple mint"},
		{name: "two includes", include: plant("code = oak") + "," + plant("concept is-a tree"), want: "oak tree apple"},
		{name: "exclude", include: plant("concept is-a plant"), exclude: plant("concept is-a tree"), want: "plant herb mint fern"},
		{name: "a value set", include: `{"valueSet":["http://x/trees"]}`, want: "tree oak apple"},
		{name: "an expansion", include: `{"valueSet":["http://x/given"]}`, want: "g a"},
		{name: "a part of a value set", include: `{"system":"http://x/plants","filter":[{"property":"eaten","op":"=","value":"true"}],"valueSet":["http://x/trees"]}`, want: "apple"},
		{name: "two value sets at once", include: `{"valueSet":["http://x/trees","http://x/given"]}`, want: ""},
		{name: "exclude a value set", include: `{"system":"http://x/plants"}`, exclude: `{"valueSet":["http://x/trees"]}`, want: "plant herb mint fern fruit"},
		{name: "what is in use", include: plant("concept is-a herb"), more: `,"inactive":false`, want: "herb mint"},
		{name: "a listed code with an unknown system", include: `{"system":"http://loinc.org","concept":[{"code":"1-8"}]}`, want: "1-8"},
		{name: "unknown codes that are listed too", include: `{"system":"http://x/plants"}`, exclude: `{"system":"http://loinc.org"}`, want: "plant tree oak apple herb mint fern fruit"},

		{name: "an unknown system", include: `{"system":"http://loinc.org"}`, want: "http://loinc.org are not known"},
		{name: "an unknown value set", include: `{"valueSet":["http://x/none"]}`, want: "http://x/none is not known"},
		{name: "exclude an unknown value set", include: plant("code = oak"), exclude: `{"valueSet":["http://x/none"]}`, want: "some of the codes"},
		{name: "an unknown property", include: plant("colour = green"), want: "property"},
		{name: "an unknown concept", include: plant("concept is-a moss"), want: "does not have"},
		{name: "an unknown operator", include: plant("code like oak"), want: "none of FHIR"},
		{name: "is-a of a property", include: plant("kin is-a herb"), want: "concept alone"},
		{name: "a bad pattern", include: plant("code regex ("), want: "cannot be read"},
		{name: "a long pattern", include: plant("code regex " + strings.Repeat("a", 501)), want: "longer"},
		{name: "an unknown system with an expansion", include: `{"system":"http://loinc.org"}`, beside: `,"expansion":{"total":1,"contains":[{"system":"http://loinc.org","code":"1-8"}]}`, want: "1-8"},
		{name: "an unknown system with a page of an expansion", include: `{"system":"http://loinc.org"}`, beside: `,"expansion":{"total":2,"contains":[{"system":"http://loinc.org","code":"1-8"}]}`, want: "http://loinc.org are not known"},
		{name: "a known system with an expansion", include: plant("code = oak"), beside: `,"expansion":{"contains":[{"system":"http://x/plants","code":"mint"}]}`, want: "oak"},
		{name: "a costly pattern", include: plant("code regex (.?){1000}"), want: "too costly"},
		{name: "no include", want: "includes nothing"},
		{name: "an empty include", include: `{}`, want: "names a system or value sets"},
		{name: "codes without a system", include: `{"concept":[{"code":"x"}],"valueSet":["http://x/trees"]}`, want: "need the system"},
		{name: "codes and filters", include: `{"system":"http://x/plants","concept":[{"code":"oak"}],"filter":[{"property":"code","op":"=","value":"oak"}]}`, want: "either codes or filters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			vs, err := terminology.ReadValueSet(parse(t, `{"resourceType":"ValueSet","status":"draft","compose":{"include":[`+c.include+`],"exclude":[`+c.exclude+`]`+c.more+`}`+c.beside+`}`))
			if err != nil {
				t.Fatal(err)
			}
			var x terminology.Expansion
			set, err := s.Compile(vs)
			if err == nil {
				x, err = set.Expand(terminology.Page{})
			}
			if err != nil {
				var e *fhir.Error
				if !strings.Contains(err.Error(), c.want) || c.want == "" || !errors.As(err, &e) || fhir.Status(err) != 422 {
					t.Fatalf("%v, want %q", err, c.want)
				}
				return
			}
			var codes []string
			for _, m := range x.Contains {
				codes = append(codes, m.Code)
			}
			if got := strings.Join(codes, " "); got != c.want || x.Total != len(codes) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A listed display goes before that of the system, and where the letters of
// codes do not count, they do not.
func TestDisplaysAndLetters(t *testing.T) {
	s := guide(t, parse(t, fmt.Sprintf(plants, false)))
	vs, err := terminology.ReadValueSet(parse(t, `{"resourceType":"ValueSet","compose":{"include":[{"system":"http://x/plants","concept":[{"code":"MINT","display":"Peppermint"},{"code":"oak"},{"code":"plant"},{"code":"fern"}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.Compile(vs)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		check   terminology.Check
		result  bool
		display string
	}{
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "Mint", Display: "peppermint"}}}, true, "Peppermint"},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "mint", Display: "Mint"}}}, true, "Peppermint"},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "mint", Display: "Spearmint"}}}, false, "Peppermint"},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "OAK", Display: "pokok  OAK"}}}, true, "Oak"},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "oak"}}, Language: "ms-MY, en;q=0.5"}, true, "Pokok oak"},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "oak"}}, Language: "en-GB,ms"}, true, "Oak"},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "apple"}}}, false, ""},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "plant"}}}, false, ""},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/plants", Code: "plant"}}, Abstract: true}, true, ""},
		{terminology.Check{Codings: []terminology.Coding{{System: "http://x/other", Code: "oak"}, {System: "http://x/plants", Code: "oak"}}}, true, "Oak"},
		{terminology.Check{Codings: []terminology.Coding{{Code: "oak"}}}, false, ""},
		{terminology.Check{Codings: []terminology.Coding{{Code: "oak"}}, Infer: true}, true, "Oak"},
		{terminology.Check{Codings: []terminology.Coding{{Code: "moss"}}, Infer: true}, false, ""},
		{terminology.Check{}, false, ""},
	} {
		v, err := set.Check(c.check)
		if err != nil || v.Result != c.result || v.Coding.Display != c.display || !v.Result && v.Message == "" {
			t.Errorf("%+v: %+v, %v", c.check, v, err)
		}
	}
}

func TestRelation(t *testing.T) {
	s := guide(t, parse(t, fmt.Sprintf(plants, true)),
		parse(t, `{"resourceType":"CodeSystem","url":"http://x/ring","content":"complete","concept":[{"code":"a","property":[{"code":"parent","valueCode":"b"}]},{"code":"b","property":[{"code":"parent","valueCode":"a"}]},{"code":"c"}]}`),
		parse(t, `{"resourceType":"CodeSystem","url":"http://x/parts","content":"complete","hierarchyMeaning":"part-of","concept":[{"code":"car","concept":[{"code":"wheel"}]}]}`))
	for _, c := range []struct{ system, a, b, want string }{
		{"http://x/plants", "plant", "oak", "subsumes"},
		{"http://x/plants", "oak", "plant", "subsumed-by"},
		{"http://x/plants", "fruit", "apple", "subsumes"},
		{"http://x/plants", "oak", "oak", "equivalent"},
		{"http://x/plants", "oak", "mint", "not-subsumed"},
		{"http://x/ring", "a", "b", "subsumes"}, // a circle does no harm
		{"http://x/ring", "c", "b", "not-subsumed"},
		{"http://x/parts", "car", "wheel", "not-subsumed"},
		{"http://x/plants", "oak", "moss", ""},
		{"http://x/plants", "moss", "oak", ""},
	} {
		cs, err := s.System(c.system, "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := cs.Relation(c.a, c.b)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s to %s: %s %v, want %s", c.a, c.b, got, err, c.want)
		}
	}
}

// Definitions that mean harm end with an error, and soon.
func TestHostileValueSets(t *testing.T) {
	include := func(sets ...string) string {
		var all []string
		for _, s := range sets {
			all = append(all, `{"valueSet":["http://x/`+s+`"]}`)
		}
		return strings.Join(all, ",")
	}
	named := func(id, includes string) *fhir.Document {
		return parse(t, `{"resourceType":"ValueSet","url":"http://x/`+id+`","compose":{"include":[`+includes+`]}}`)
	}
	docs := []*fhir.Document{
		named("self", include("self")),
		named("ping", include("pong")), named("pong", include("ping")),
		named("out", `{"system":"http://hl7.org/fhir/administrative-gender"},`+include("out")),
	}
	for i := range 40 {
		docs = append(docs, named(fmt.Sprint("deep", i), include(fmt.Sprint("deep", i+1))))
	}
	docs = append(docs, named("wide15", `{"system":"`+actCode+`"}`))
	for i := range 15 { // each twice as much as the next
		below := fmt.Sprint("wide", i+1)
		docs = append(docs, named(fmt.Sprint("wide", i), include(below, below)))
	}
	s := guide(t, docs...)
	for _, c := range []struct{ url, want string }{
		{"self", "includes itself"}, {"ping", "includes itself"}, {"out", "includes itself"}, {"deep0", "deep"}, {"wide0", ""},
	} {
		set, err := s.Set("http://x/" + c.url)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || fhir.Status(err) != 422 {
				t.Errorf("%s: %v", c.url, err)
			}
			continue
		}
		if err != nil || !set.Has(actCode, "VR") {
			t.Errorf("%s: %v", c.url, err)
		}
	}
	many := strings.TrimSuffix(strings.Repeat(`{"system":"`+actCode+`","filter":[{"property":"code","op":"regex","value":"(a|a)*(a|a)*(a|a)*b"}]},`, 5000), ",")
	vs, err := terminology.ReadValueSet(named("many", many))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Compile(vs); fhir.CodeOf(err) != fhir.CodeTooCostly || fhir.Status(err) != 422 {
		t.Errorf("%v", err)
	}
	for _, pattern := range []string{"(a|b|.)*" + strings.Repeat("(.?)", 90), "(.?){1000}", ".*"} {
		one := `{"system":"` + actCode + `","filter":[{"property":"display","op":"regex","value":"` + pattern + `"}]},`
		vs, err := terminology.ReadValueSet(named("patterns", strings.TrimSuffix(strings.Repeat(one, 2000), ",")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Compile(vs); fhir.CodeOf(err) != fhir.CodeTooCostly {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	var list []string
	for i := range 10_001 {
		list = append(list, fmt.Sprintf(`{"code":"c%d"}`, i))
	}
	vs, err = terminology.ReadValueSet(named("long", `{"system":"http://x/long","concept":[`+strings.Join(list, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.Compile(vs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Expand(terminology.Page{}); fhir.CodeOf(err) != fhir.CodeTooCostly {
		t.Errorf("%v", err)
	}
	count := 3
	if x, err := set.Expand(terminology.Page{Offset: 10_000, Count: &count}); err != nil || x.Total != 10_001 || len(x.Contains) != 1 {
		t.Errorf("%d of %d, %v", len(x.Contains), x.Total, err)
	}
}

// Many may ask at once, from the first question on.
func TestManyAsk(t *testing.T) {
	s := guide(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for _, url := range []string{genders, actEncounter, mycore.Root + "Valueset/specialty-my-core", "http://example.org/none"} {
				set, err := s.Set(url)
				if known := url != "http://example.org/none"; known != (err == nil) {
					t.Errorf("%s: %v", url, err)
				} else if known {
					if x, err := set.Expand(terminology.Page{Offset: i}); err != nil || x.Total == 0 {
						t.Errorf("%s: %v", url, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestIDs(t *testing.T) {
	s := guide(t)
	for _, typ := range []string{"CodeSystem", "ValueSet"} {
		ids := s.IDs(typ)
		if !slices.IsSorted(ids) || len(ids) < 1000 {
			t.Errorf("%d ids of %s", len(ids), typ)
		}
		for _, id := range ids {
			if _, ok := s.URL(typ + "/" + id); !ok || !fhir.ValidID(id) {
				t.Errorf("%s/%s", typ, id)
			}
		}
	}
	for reference, want := range map[string]string{
		"ValueSet/administrative-gender": genders, "CodeSystem/service-type-my-core": mycore.SystemServiceType, "ValueSet/none": "", "administrative-gender": "",
	} {
		if url, ok := s.URL(reference); url != want || ok != (want != "") {
			t.Errorf("%s: %s %v", reference, url, ok)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`{"resourceType":"ValueSet","compose":{"include":[{"system":"` + genderSystem + `","filter":[{"property":"code","op":"regex","value":"m.*"}]}],"exclude":[{"valueSet":["` + genders + `"]}]}}`)
	f.Add(`{"resourceType":"ValueSet","compose":{"include":[{"system":"` + actCode + `","filter":[{"property":"concept","op":"is-a","value":"IMP"},{"property":"status","op":"exists","value":"x"}]}],"inactive":false}}`)
	f.Add(`{"resourceType":"ValueSet","expansion":{"contains":[{"code":"x","contains":[{"system":"y"}]}]}}`)
	f.Add(`{"resourceType":"CodeSystem","content":"complete","concept":[{"code":"a","concept":[{"code":"a","property":[{"code":"child","valueCode":"a"}]}]}]}`)
	s := guide(f)
	f.Fuzz(func(t *testing.T, body string) {
		doc, err := fhir.Parse([]byte(body))
		if err != nil {
			return
		}
		if cs, err := terminology.ReadCodeSystem(doc); err == nil {
			for _, c := range cs.Concepts {
				if found, ok := cs.Find(c.Code); !ok || len(found.Below()) == 0 || len(found.Above()) == 0 {
					t.Errorf("%q is not found", c.Code)
				}
			}
			return
		}
		vs, err := terminology.ReadValueSet(doc)
		if err != nil {
			return
		}
		set, err := s.Compile(vs)
		if err != nil {
			if fhir.Status(err) != 422 {
				t.Errorf("%v", err)
			}
			return
		}
		x, err := set.Expand(terminology.Page{Designations: true, Nested: true})
		if err != nil {
			if fhir.Status(err) != 422 {
				t.Errorf("%v", err)
			}
			return
		}
		for _, c := range x.Contains {
			if set.Contains(c.System, c.Code) != terminology.In {
				t.Errorf("%s|%s is listed and not in it", c.System, c.Code)
			}
		}
	})
}

// The concept maps of R4 lead from codes that there are to codes that there are.
func TestConceptMapsOfTheRelease(t *testing.T) {
	s := service(t, terminology.Options{})
	all := s.ConceptMaps("", "")
	mappings := 0
	for _, m := range all {
		for _, g := range m.Groups {
			source, known := s.CodeSystem(g.Source)
			target, also := s.CodeSystem(g.Target)
			for _, e := range g.Elements {
				for _, to := range e.Targets {
					mappings++
					if to.Equivalence == "" || (to.Code == "") != (to.Equivalence == "unmatched") {
						t.Errorf("%s: %s is %q by %q", m.URL, e.Code, to.Code, to.Equivalence)
					}
					if !known || !also || !source.Complete() || !target.Complete() || to.Code == "" {
						continue
					}
					answer := s.Translate(m, terminology.Translation{Codings: []terminology.Coding{{System: g.Source, Code: e.Code}}, Target: g.Target})
					if !slices.ContainsFunc(answer, func(a terminology.Match) bool { return a.Code == to.Code && a.Equivalence == to.Equivalence }) {
						t.Errorf("%s: %s is not translated to %s", m.URL, e.Code, to.Code)
					}
					back := s.Translate(m, terminology.Translation{Codings: []terminology.Coding{{System: g.Target, Code: to.Code}}, Reverse: true})
					if !slices.ContainsFunc(back, func(a terminology.Match) bool { return a.Code == e.Code }) {
						t.Errorf("%s: %s does not lead back to %s", m.URL, to.Code, e.Code)
					}
				}
			}
		}
	}
	if len(all) != 18 || mappings < 300 {
		t.Errorf("%d maps with %d mappings", len(all), mappings)
	}
	if _, ok := s.ConceptMap("http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2|4.0.1"); !ok {
		t.Error("a map is not known by its version")
	}
	if _, ok := s.ConceptMap("http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2|3"); ok {
		t.Error("a map is known by another version")
	}
}

// What is wider one way is narrower the other way.
func TestTranslate(t *testing.T) {
	s := guide(t)
	m, err := terminology.ReadConceptMap(parse(t, `{"resourceType":"ConceptMap","group":[{"source":"`+mycore.SystemEncounterClass+`","target":"http://x","targetVersion":"1","element":[
		{"code":"VR","target":[{"code":"v","equivalence":"wider"},{"code":"w","equivalence":"equal","dependsOn":[{"property":"p","value":"q"}]}]},
		{"code":"AMB","display":"Outpatient","target":[{"equivalence":"unmatched"}]},{"code":"IMP"}],"unmapped":{"mode":"provided"}},
		{"source":"http://y","target":"http://z","element":[{"code":"VR","target":[{"code":"z","equivalence":"subsumes"}]}],"unmapped":{"mode":"fixed","code":"f","display":"F"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		system, code, target string
		reverse              bool
		want                 string
	}{
		{system: mycore.SystemEncounterClass, code: "VR", want: "http://x|v wider"},
		{system: mycore.Root + "ValueSet/encounter-class-my-core", code: "VR", want: "http://x|v wider"}, // a spelling
		{code: "VR", want: "http://x|v wider, http://z|z subsumes"},
		{code: "VR", target: "http://z", want: "http://z|z subsumes"},
		{system: mycore.SystemEncounterClass, code: "AMB", want: "http://x| unmatched"},
		{system: mycore.SystemEncounterClass, code: "IMP", want: ""},
		{system: mycore.SystemEncounterClass, code: "PAC", want: "http://x|PAC equal"},
		{system: "http://y", code: "other", want: "http://z|f relatedto"},
		{system: "http://x", code: "v", reverse: true, want: mycore.SystemEncounterClass + "|VR narrower"},
		{system: "http://z", code: "z", reverse: true, want: "http://y|VR specializes"},
		{system: "http://x", code: "w", reverse: true, want: ""},
		{system: "http://elsewhere", code: "VR", want: ""},
	} {
		var got []string
		for _, a := range s.Translate(m, terminology.Translation{Codings: []terminology.Coding{{System: c.system, Code: c.code}}, Target: c.target, Reverse: c.reverse}) {
			got = append(got, a.System+"|"+a.Code+" "+a.Equivalence)
			if a.Matches() == (a.Equivalence == "unmatched") {
				t.Errorf("%+v", a)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s|%s: %q, want %q", c.system, c.code, text, c.want)
		}
	}
}
