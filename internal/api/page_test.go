package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

func requestOf(p auth.Principal) *http.Request {
	r := httptest.NewRequest("GET", Root, nil)
	return r.WithContext(auth.WithPrincipal(r.Context(), p))
}

// A sealed address shows nothing, and opens at its place, for the organisation
// that it was made for, under its key.
func TestSealedAddresses(t *testing.T) {
	f := withoutExchange(t)
	values := url.Values{"identifier": {"http://s|950728106051"}, "_count": {"20"}}
	link := f.sealed(requestOf(hospital), "Patient", values)
	if strings.Contains(link, "950728106051") || !strings.HasPrefix(link, testBase+"/Patient?_page=") {
		t.Fatalf("link %s", link)
	}
	parsed, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	got, at, err := f.openPage(requestOf(hospital), "Patient", parsed.Query())
	if err != nil || at != nil || got.Encode() != values.Encode() {
		t.Errorf("%v, %v, %v", got, at, err)
	}
	for name, open := range map[string]func() error{
		"at another type":          func() error { _, _, err := f.openPage(requestOf(hospital), "Encounter", parsed.Query()); return err },
		"at the whole system":      func() error { _, _, err := f.openPage(requestOf(hospital), "", parsed.Query()); return err },
		"for another organisation": func() error { _, _, err := f.openPage(requestOf(clinic), "Patient", parsed.Query()); return err },
		"for nobody": func() error {
			_, _, err := f.openPage(requestOf(auth.Principal{}), "Patient", parsed.Query())
			return err
		},
		"with another key": func() error {
			_, _, err := withoutExchange(t).openPage(requestOf(hospital), "Patient", parsed.Query())
			return err
		},
	} {
		if err := open(); fhir.CodeOf(err) != fhir.CodeInvalid || fhir.Status(err) != http.StatusBadRequest {
			t.Errorf("it opens %s: %v", name, err)
		}
	}
	if _, err := NewFHIR(FHIROptions{PageKey: []byte("short")}); err == nil {
		t.Error("a short key is taken")
	}
}

// Whatever is written in place of a page link is refused, and nothing but a
// link that the exchange has made opens.
func FuzzOpenPage(f *testing.F) {
	// With a key of its own, so that no process opens what another one has made.
	door, err := NewFHIR(FHIROptions{Base: func() string { return testBase }})
	if err != nil {
		f.Fatal(err)
	}
	r := requestOf(hospital)
	made := strings.TrimPrefix(door.sealed(r, "Patient", url.Values{placeCursor: {"c"}, placePart: {"0"}, placeOffset: {"20"}}), testBase+"/Patient?_page=")
	for _, seed := range []string{made, made[1:], made + "A", "", "x", "====", strings.Repeat("A", 60)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, at, err := door.openPage(r, "Patient", url.Values{pageParam: {text}})
		switch {
		case text == "":
			if err != nil || at != nil {
				t.Errorf("no link: %v, %v", at, err)
			}
		case text == made:
			if err != nil || at == nil || at.Cursor != "c" || at.Offset != 20 {
				t.Errorf("the link itself: %v, %v", at, err)
			}
		case err == nil:
			t.Errorf("%q opens", text)
		case fhir.Status(err) != http.StatusBadRequest:
			t.Errorf("%q: %v", text, err)
		}
	})
}
