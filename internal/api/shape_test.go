package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

const shapely = `{"resourceType":"Observation","id":"o1","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">t</div>"},` +
	`"extension":[{"url":"http://x","valueCode":"x"}],"modifierExtension":[{"url":"http://m","valueCode":"m"}],` +
	`"status":"final","_status":{"id":"s"},"code":{"text":"pulse","id":"c"},"subject":{"reference":"Patient/p1","display":"Siti"},"valueQuantity":{"value":72.00},` +
	`"note":[{"text":"n"}],"component":[{"code":{"text":"k"},"valueString":"v","interpretation":[{"text":"i"}]},{"code":{"text":"l"}}],"colour":"red"}`

func TestShape(t *testing.T) {
	const tag = `"meta":{"tag":[` + subsetted + `]},`
	const head = `{"resourceType":"Observation","id":"o1",` + tag
	for _, c := range []struct{ query, want string }{
		{"", shapely},
		{"_summary=false", shapely},
		{"_summary=true", head + `"modifierExtension":[{"url":"http://m","valueCode":"m"}],"status":"final","_status":{"id":"s"},"code":{"text":"pulse"},` +
			`"subject":{"reference":"Patient/p1","display":"Siti"},"valueQuantity":{"value":72.00},"component":[{"code":{"text":"k"},"valueString":"v"},{"code":{"text":"l"}}]}`},
		{"_summary=text", head + shapely[strings.Index(shapely, `"text":{"status`):strings.Index(shapely, `"extension"`)] +
			`"modifierExtension":[{"url":"http://m","valueCode":"m"}],"status":"final","_status":{"id":"s"},"code":{"text":"pulse","id":"c"}}`},
		{"_summary=data", head + shapely[strings.Index(shapely, `"extension"`):]},
		{"_elements=value,note", head + `"modifierExtension":[{"url":"http://m","valueCode":"m"}],"status":"final","_status":{"id":"s"},"code":{"text":"pulse","id":"c"},"valueQuantity":{"value":72.00},"note":[{"text":"n"}]}`},
		{"_elements=Observation.note&_elements=colour,,unknown", head + `"modifierExtension":[{"url":"http://m","valueCode":"m"}],"status":"final","_status":{"id":"s"},"code":{"text":"pulse","id":"c"},"note":[{"text":"n"}],"colour":"red"}`},
	} {
		values, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := shapeOf(values)
		if err != nil {
			t.Fatal(err)
		}
		got := string(s.of([]byte(shapely)))
		if got != c.want || !json.Valid([]byte(got)) {
			t.Errorf("%s:\n%s\nwant\n%s", c.query, got, c.want)
		}
		if again := string(s.of([]byte(got))); again != got {
			t.Errorf("%s: a part of the part is %s", c.query, again)
		}
	}
}

// Parts of records, alone, in searches and in histories.
func TestParts(t *testing.T) {
	s := newServer(t)
	for _, body := range []string{organizationBody, patientBody, shapely} {
		if w := s.do(hospital, "PUT", Root+"/"+between(body, `"resourceType":"`, `"`)+"/"+between(body, `"id":"`, `"`), body, nil); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for _, c := range []struct {
		url      string
		status   int
		contains string
		excludes string
	}{
		{"/Observation/o1?_summary=true", 200, `SUBSETTED & "versionId":"1"`, `"note"`},
		{"/Observation/o1?_elements=note", 200, `SUBSETTED & "note"`, `valueQuantity`},
		{"/Observation/o1/_history/1?_summary=text", 200, `SUBSETTED & "div"`, `valueQuantity`},
		{"/Observation/o1?_summary=false", 200, `"note"`, `SUBSETTED`},
		{"/Observation/o1?_summary=count", 400, `_summary`, ``},
		{"/Observation/o1?_summary=some", 400, `_summary`, ``},
		{"/Observation?_summary=true", 200, `SUBSETTED & ?_summary=true"`, `"note"`},
		{"/Observation?_summary=data&_include=Observation:subject", 200, `"id":"p1" & "mode":"include"`, `"div"`},
		{"/Observation?_elements=note&_include=Observation:subject", 200, `"note" & "birthDate" & _elements=note`, `valueQuantity`},
		{"/Observation?_summary=count", 200, `"total":1`, `"entry"`},
		{"/Observation?_summary=some", 200, `_summary=some was ignored & "note"`, `SUBSETTED`},
		{"/Observation/o1/_history?_summary=true", 200, `SUBSETTED`, `"note"`},
	} {
		w := s.do(hospital, "GET", Root+c.url, "", nil)
		if w.Code != c.status {
			t.Errorf("%s: %d %s", c.url, w.Code, w.Body)
		}
		for part := range strings.SplitSeq(c.contains, " & ") {
			if !strings.Contains(w.Body.String(), part) {
				t.Errorf("%s: no %s in %s", c.url, part, w.Body)
			}
		}
		if c.excludes != "" && strings.Contains(w.Body.String(), c.excludes) {
			t.Errorf("%s: %s in %s", c.url, c.excludes, w.Body)
		}
	}
	// A page keeps to the part that was asked for.
	s.do(hospital, "PUT", Root+"/Observation/o2", strings.Replace(shapely, `"o1"`, `"o2"`, 1), nil)
	w := s.do(hospital, "GET", Root+"/Observation?_summary=true&_count=1", "", nil)
	to, err := url.Parse(nextLink.FindStringSubmatch(w.Body.String())[1])
	if err != nil {
		t.Fatal(err)
	}
	if w = s.do(hospital, "GET", to.RequestURI(), "", nil); !strings.Contains(w.Body.String(), "SUBSETTED") || strings.Contains(w.Body.String(), `"note"`) {
		t.Errorf("%s", w.Body)
	}
}

// What was current when: three versions an hour apart, and another record.
func TestHistoryOfATime(t *testing.T) {
	s := newServer(t)
	start := s.now
	step := func(method, id, body string, want int) {
		t.Helper()
		if w := s.do(hospital, method, Root+"/Observation/"+id, body, nil); w.Code != want {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		s.now = s.now.Add(time.Hour)
	}
	step("PUT", "a", pulse("a", 1), 201) // 09:00
	step("PUT", "b", pulse("b", 1), 201) // 10:00
	step("PUT", "a", pulse("a", 2), 200) // 11:00
	step("DELETE", "a", "", 204)         // 12:00
	if s.now.Sub(start) != 4*time.Hour {
		t.Fatal("the clock moves on its own")
	}
	const day = "2026-11-23T"
	for _, c := range []struct {
		path, query string
		want        []string
	}{
		{"/_history", "", []string{"a3", "a2", "b1", "a1"}},
		{"/_history", "_since=" + day + "11:00:00%2B08:00", []string{"a3", "a2"}},
		{"/_history", "_at=" + day + "08:59:59%2B08:00", nil},
		{"/_history", "_at=" + day + "09:00:00%2B08:00", []string{"a1"}},
		{"/_history", "_at=" + day + "10:30:00%2B08:00", []string{"b1", "a1"}},
		{"/_history", "_at=" + day + "11:00:00%2B08:00", []string{"a2", "b1"}},
		{"/_history", "_at=2026-11-23", []string{"a3", "a2", "b1", "a1"}},
		{"/_history", "_at=2026-11-24", []string{"a3", "b1"}},
		{"/Observation/_history", "_at=" + day + "10:30:00%2B08:00", []string{"b1", "a1"}},
		{"/Observation/a/_history", "_at=" + day + "11:30:00%2B08:00", []string{"a2"}},
		{"/Patient/_history", "_at=2026-11-24", nil},
	} {
		for _, page := range []string{"", "&_count=1"} {
			var got []string
			for target := Root + c.path + "?" + c.query + page; ; {
				w := s.do(hospital, "GET", target, "", nil)
				var bundle struct {
					Total int
					Entry []struct {
						FullURL  string
						Response struct{ Etag string }
					}
				}
				if err := json.Unmarshal(w.Body.Bytes(), &bundle); err != nil || w.Code != 200 || bundle.Total != len(c.want) {
					t.Fatalf("%s: %d %s", target, w.Code, w.Body)
				}
				for _, e := range bundle.Entry {
					got = append(got, e.FullURL[len(e.FullURL)-1:]+strings.Trim(e.Response.Etag, `W/"`))
				}
				next := nextLink.FindStringSubmatch(w.Body.String())
				if next == nil || len(got) > 9 {
					break
				}
				to, err := url.Parse(next[1])
				if err != nil {
					t.Fatal(err)
				}
				target = to.RequestURI()
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s?%s%s: %v, want %v", c.path, c.query, page, got, c.want)
			}
		}
	}
	for _, c := range []struct {
		as    auth.Principal
		query string
		code  int
		total string
	}{
		{clinic, "", 200, `"total":0`},   // others have no part in it
		{reader, "", 403, "forbidden"},   // a scope for one type is none for all
		{hospital, "_count=0", 200, "4"}, // a count alone
	} {
		if w := s.do(c.as, "GET", Root+"/_history?"+c.query, "", nil); w.Code != c.code || !strings.Contains(w.Body.String(), c.total) {
			t.Errorf("%s: %d %s", c.as.ID, w.Code, w.Body)
		}
	}
}
