package fhir

import (
	"regexp"
	"strings"
	"testing"
)

func TestParseReference(t *testing.T) {
	const base = "https://fhir.hie.moh.gov.my/baseR4"
	const uuid = "841eaff3-18a0-42d9-a62c-91a3cbb6bcec"
	for _, c := range []struct {
		name, in, base string
		want           Reference
		ok             bool
	}{
		{"relative", "Patient/1", base, Reference{Type: "Patient", ID: "1"}, true},
		{"relative, by UUID", "Patient/" + uuid, base, Reference{Type: "Patient", ID: uuid}, true},
		{"relative, without base", "Patient/1", "", Reference{Type: "Patient", ID: "1"}, true},
		{"relative, with a version", "PractitionerRole/a.b-1/_history/15", base, Reference{"PractitionerRole", "a.b-1", "15"}, true},
		{"absolute", base + "/Patient/1", base, Reference{Type: "Patient", ID: "1"}, true},
		{"absolute, base with a slash", base + "/Patient/1", base + "/", Reference{Type: "Patient", ID: "1"}, true},
		{"absolute, with a version", base + "/Patient/1/_history/2", base, Reference{"Patient", "1", "2"}, true},
		{"base of a path only", "/fhir/Patient/1", "/fhir", Reference{Type: "Patient", ID: "1"}, true},

		{"another server", "https://example.org/fhir/Patient/1", base, Reference{}, false},
		{"absolute, no base known", base + "/Patient/1", "", Reference{}, false},
		{"a server of similar name", base + "x/Patient/1", base, Reference{}, false},
		{"the base twice", base + "/" + base + "/Patient/1", base, Reference{}, false},
		{"below the base", base + "/x/Patient/1", base, Reference{}, false},
		{"another scheme", "http" + strings.TrimPrefix(base, "https") + "/Patient/1", base, Reference{}, false},
		{"the base alone", base, base, Reference{}, false},
		{"the base and a type", base + "/Patient", base, Reference{}, false},
		{"two slashes", base + "//Patient/1", base, Reference{}, false},
		{"urn:uuid", "urn:uuid:" + uuid, base, Reference{}, false},
		{"urn:oid", "urn:oid:1.2.3", base, Reference{}, false},
		{"a type before a urn", "Schedule/urn:uuid:" + uuid, base, Reference{}, false},
		{"contained", "#p1", base, Reference{}, false},
		{"the container", "#", base, Reference{}, false},
		{"a fragment of another", "Patient/1#p1", base, Reference{}, false},
		{"conditional", "Patient?identifier=x|1", base, Reference{}, false},
		{"conditional, by a URL", "Patient?identifier=http://fhir.hie.moh.gov.my/sid/patient-mrn|PHIS-123", base, Reference{}, false},
		{"conditional, with one slash", "Patient?identifier=a/b", base, Reference{}, false},
		{"an id with a question mark", "Patient/1?x=y", base, Reference{}, false},
		{"nothing", "", base, Reference{}, false},
		{"a type alone", "Patient", base, Reference{}, false},
		{"an id alone", "/1", base, Reference{}, false},
		{"no id", "Patient/", base, Reference{}, false},
		{"a slash before", "/Patient/1", base, Reference{}, false},
		{"a slash behind", "Patient/1/", base, Reference{}, false},
		{"lower case", "patient/1", base, Reference{}, false},
		{"a space", "Patient/1 ", base, Reference{}, false},
		{"a line break", "Patient/1\n", base, Reference{}, false},
		{"a way out", "Patient/../../etc/passwd", base, Reference{}, false},
		{"an escape", "Patient/%31", base, Reference{}, false},
		{"no version", "Patient/1/_history", base, Reference{}, false},
		{"an empty version", "Patient/1/_history/", base, Reference{}, false},
		{"a wrong version", "Patient/1/_history/a b", base, Reference{}, false},
		{"more than a version", "Patient/1/_history/2/x", base, Reference{}, false},
		{"another operation", "Patient/1/_versions/2", base, Reference{}, false},
		{"an id of 65", "Patient/" + strings.Repeat("a", 65), base, Reference{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ParseReference(c.in, c.base)
			if got != c.want || ok != c.ok {
				t.Errorf("ParseReference(%q) = %+v, %v; want %+v, %v", c.in, got, ok, c.want, c.ok)
			}
		})
	}
	if got := (Reference{"Patient", "1", "2"}).String(); got != "Patient/1" {
		t.Errorf("as text: %s", got)
	}
}

func TestValidID(t *testing.T) {
	for in, want := range map[string]bool{
		"a": true, "0": true, "A-1.b": true, ".": true, "-": true, strings.Repeat("x", 64): true,
		"": false, "a_b": false, "a/b": false, "a b": false, "é": false, "a\n": false, strings.Repeat("x", 65): false,
	} {
		if got := ValidID(in); got != want {
			t.Errorf("ValidID(%q) = %v", in, got)
		}
	}
}

// The names of types, as a pattern.
var typeName = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)

func TestTypeNames(t *testing.T) {
	for _, in := range []string{
		"Patient", "Li", "L", "", "patient", "pAtient", "Patient1", "1Patient", "Pa-tient", "Pat ient", "Patient\n", "É", "Pétient", "[atient", "@a", "Z[",
		strings.Repeat("P", 64), strings.Repeat("P", 65),
	} {
		if got, want := validTypeName(in), typeName.MatchString(in); got != want {
			t.Errorf("validTypeName(%q) = %v", in, got)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, in := range []string{
		"Patient/1", "Patient/1/_history/2", "https://h/b/Patient/1", "https://h/b/Patient/1/_history/2", "urn:uuid:841eaff3-18a0-42d9-a62c-91a3cbb6bcec", "#a",
		"Patient?identifier=http://x|1", "https://other/Patient/1", "", "/", "//", "https://h/b/https://h/b/Patient/1", "Patient/1\n",
	} {
		f.Add(in, "https://h/b")
		f.Add(in, "https://h/b/")
		f.Add(in, "")
	}
	f.Fuzz(func(t *testing.T, in, base string) {
		r, ok := ParseReference(in, base)
		if !ok {
			if r != (Reference{}) {
				t.Fatalf("%q is none, yet %+v", in, r)
			}
			return
		}
		if !ValidID(r.ID) || !typeName.MatchString(r.Type) || r.Version != "" && !ValidID(r.Version) {
			t.Fatalf("%q reads %+v", in, r)
		}
		again := r.String()
		if r.Version != "" {
			again += "/_history/" + r.Version
		}
		if !strings.HasSuffix(in, again) {
			t.Fatalf("%q reads %q", in, again)
		}
		if rest := strings.TrimSuffix(in, again); rest != "" && rest != strings.TrimSuffix(base, "/")+"/" {
			t.Fatalf("%q is not below %q", in, base)
		}
		if got, ok := ParseReference(again, base); got != r || !ok {
			t.Fatalf("%q reads %+v, %v the second time", again, got, ok)
		}
	})
}
