package validate_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/fhir/r4/r4test"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

func keyOf(i *fhir.Error) string {
	_, rest, _ := strings.Cut(i.Diagnostics, "(rule ")
	key, _, _ := strings.Cut(rest, " of ")
	return key
}

// inFHIRPath tells whether a key is that of a rule that R4 writes in FHIRPath.
var inFHIRPath = regexp.MustCompile(`^[a-z]{2,4}-\d+[ab]?$`)

func TestDocumentsFromTheDefinitionsAreRight(t *testing.T) {
	v := validate.New(validate.Options{})
	judged := 0
	broken := map[string]int{}
	for _, typ := range r4.Types() {
		if !r4.IsResource(typ.Name) {
			continue
		}
		for seed := range uint64(12) {
			m := r4test.NewSound(seed, 1)
			raw := fhir.Marshal(m.Resource(typ.Name, 5))
			doc := parsed(t, string(raw))
			for _, i := range v.Validate(t.Context(), doc) {
				key := keyOf(i)
				switch {
				case i.Code == fhir.CodeNotSupported:
					broken[key+" "+i.Diagnostics]++
				case key == "ref-bundle", key == "ele-1", key == "ext-1", key == "txt-1", key == "ref-1", !inFHIRPath.MatchString(key):
					t.Errorf("%s, seed %d: %s\n%s", typ.Name, seed, i.Diagnostics, short(raw))
				}
			}
			judged++
		}
	}
	for b, n := range broken {
		t.Logf("%d times: %s", n, b)
	}
	if judged < 1000 {
		t.Errorf("only %d documents were judged", judged)
	}
}

func short(raw []byte) string {
	if len(raw) > 1500 {
		raw = raw[:1500]
	}
	return string(raw)
}

// change is a way to break any document.
var changes = []struct {
	name string
	do   func(m *r4test.Sound, o map[string]any, key string) bool
}{
	{"an element is renamed", func(_ *r4test.Sound, o map[string]any, key string) bool {
		o[key+"Zz"] = o[key]
		delete(o, key)
		return true
	}},
	{"a value becomes null", func(_ *r4test.Sound, o map[string]any, key string) bool {
		o[key] = nil
		return true
	}},
	{"a value goes into a list, or out of it", func(_ *r4test.Sound, o map[string]any, key string) bool {
		if l, ok := o[key].([]any); ok {
			o[key] = l[0]
		} else {
			o[key] = []any{o[key]}
		}
		return true
	}},
	{"an empty list", func(_ *r4test.Sound, o map[string]any, key string) bool {
		o[key] = []any{}
		return true
	}},
	{"another JSON kind", func(_ *r4test.Sound, o map[string]any, key string) bool {
		switch o[key].(type) {
		case []any:
			o[key] = []any{[]any{}}
		case map[string]any:
			o[key] = "x"
		default:
			o[key] = map[string]any{"id": "x"}
		}
		return true
	}},
}

func TestDocumentsThatAreBrokenAreFound(t *testing.T) {
	v := validate.New(validate.Options{})
	judged := 0
	for _, typ := range r4.Types() {
		if !r4.IsResource(typ.Name) {
			continue
		}
		for n, change := range changes {
			m := r4test.NewSound(uint64(n), 2)
			o := m.Resource(typ.Name, 5)
			inner, key := place(m, o)
			if key == "" {
				continue
			}
			change.do(m, inner, key)
			raw := fhir.Marshal(o)
			doc, err := fhir.Parse(raw)
			if err != nil {
				continue // the change hit the id
			}
			judged++
			if v.Validate(t.Context(), doc).Err() == nil {
				t.Errorf("%s, %s at %s: nothing is found in\n%s", typ.Name, change.name, key, short(raw))
			}
		}
	}
	if judged < 400 {
		t.Errorf("only %d documents were judged", judged)
	}
}

// place picks a member anywhere in an object.
func place(m *r4test.Sound, o map[string]any) (map[string]any, string) {
	type at struct {
		o   map[string]any
		key string
	}
	var all []at
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			keys := make([]string, 0, len(v))
			for k := range v {
				keys = append(keys, k)
			}
			// the order of a map is not the same twice
			for i := range keys {
				for j := i + 1; j < len(keys); j++ {
					if keys[j] < keys[i] {
						keys[i], keys[j] = keys[j], keys[i]
					}
				}
			}
			for _, k := range keys {
				if k != "resourceType" && k[0] != '_' && v["_"+k] == nil {
					all = append(all, at{v, k})
				}
				walk(v[k])
			}
		case []any:
			for _, c := range v {
				walk(c)
			}
		}
	}
	walk(o)
	if len(all) == 0 {
		return nil, ""
	}
	p := all[m.IntN(len(all))]
	return p.o, p.key
}

// The forms of primitives are judged by hand-written code. It agrees with the
// patterns of the definitions, but where it is stricter on purpose.
func TestPrimitivesAgreeWithTheirPatterns(t *testing.T) {
	v := validate.New(validate.Options{})
	stricter := map[string]bool{ // days that do not exist, and broken padding
		"date 2026-02-30": true, "dateTime 2026-02-30": true, "instant 2026-02-30T09:00:00Z": true, "dateTime 2026-02-30T09:00:00Z": true,
	}
	pieces := []string{"2026", "-11", "-23", "-02", "-30", "-13", "T09:00:00", "T24:00:00", "T09:60:00", "T23:59:60", "T09:00", ".5", ".", "Z", "+08:00", "-14:00", "+14:01",
		"0000", "0", "1", "-1", "-0", "01", "2.0", "e3", "a", "A", " ", "  ", "\t", "b c", "urn:oid:", "1.2", ".03", "urn:uuid:", "0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88", "0B7C9A52-6f0e-4d6c-9a4e-3a1f5c2d7e88",
		"http://x", "09:00:00", "YQ==", "YWJj", "=", "_", "\n", "é", strings.Repeat("a", 64)}
	m := rand.New(rand.NewPCG(3, 3))
	yes, no := 0, 0
	for _, typ := range []string{"date", "dateTime", "instant", "time", "code", "id", "oid", "uuid", "uri", "url", "canonical", "string", "markdown", "integer", "positiveInt", "unsignedInt", "base64Binary"} {
		def, _ := r4.LookupType(typ)
		pattern := regexp.MustCompile(`^(?:` + def.Pattern + `)$`)
		number := strings.HasSuffix(strings.ToLower(typ), "int") || typ == "integer"
		for range 1500 {
			text := ""
			for range 1 + m.IntN(4) {
				text += pieces[m.IntN(len(pieces))]
			}
			value := fmt.Sprintf("%q", text)
			if number {
				text = strings.TrimSpace(text) // JSON has no spaces in a number
				value = text
			} else {
				value = string(fhir.Marshal(text))
			}
			name := "value" + strings.ToUpper(typ[:1]) + typ[1:]
			doc, err := fhir.Parse([]byte(`{"resourceType":"Basic","code":{"text":"x"},"extension":[{"url":"http://x","` + name + `":` + value + `}]}`))
			if err != nil {
				continue // no JSON number
			}
			want := pattern.MatchString(text)
			got := v.Validate(t.Context(), doc).Err() == nil
			if got {
				yes++
			} else {
				no++
			}
			switch {
			case got == want, stricter[typ+" "+text]:
			case want && strings.HasPrefix(text, "2026-02-30"): // no such day
			case want && typ == "base64Binary": // padding in the middle
			case want && (typ == "uri" || typ == "url" || typ == "canonical") && strings.HasPrefix(text, "urn:"): // no good URN
			case want && typ == "canonical" && !strings.HasPrefix(text, "http:"): // no whole URL
			case want && number && len(text) > 9: // does not fit in 32 bits
			case want && text == "-0", want && typ == "time":
				t.Errorf("%s %q: refused, but the pattern has it", typ, text)
			default:
				t.Errorf("%s %q: good is %v, by the pattern %v", typ, text, got, want)
			}
		}
	}
	if yes < 500 || no < 500 {
		t.Errorf("%d good and %d bad values say little", yes, no)
	}
}
