package search

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// shelf is a database of small documents, which are found as a caller would
// find them.
type shelf struct {
	t     *testing.T
	db    store.Store
	docs  []*fhir.Document
	terms Terminology
}

func newShelf(t *testing.T, bodies ...string) shelf {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "shelf.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := shelf{t: t, db: db}
	for _, body := range bodies {
		doc, err := fhir.Parse([]byte(body))
		if err != nil {
			t.Fatal(err, body)
		}
		err = db.Update(t.Context(), func(tx store.Tx) error {
			return tx.PutResource(store.Resource{Type: doc.Type(), ID: doc.ID(), Version: 1, Updated: time.Unix(0, 0), Method: "PUT", Body: []byte(body)}, Index(doc, base), nil)
		})
		if err != nil {
			t.Fatal(err, body)
		}
		s.docs = append(s.docs, doc)
	}
	return s
}

// finds gives the ids that a search finds, in order and separated by spaces.
// Each document must be judged as the database judges it.
func (s shelf) finds(query string) string {
	s.t.Helper()
	typ, rest, _ := strings.Cut(query, "?")
	values, err := url.ParseQuery(rest)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := Parser{Base: base, Terminology: s.terms, Clock: func() time.Time { return today }}.Parse(typ, values)
	if err != nil {
		s.t.Fatal(query, err)
	}
	if len(req.Unknown) > 0 {
		s.t.Fatal(query, "unknown:", req.Unknown)
	}
	var ids []string
	if err := s.db.View(s.t.Context(), func(r store.Reader) error {
		page, err := r.Search(req.Query)
		for _, res := range page.Resources {
			ids = append(ids, res.ID)
		}
		return err
	}); err != nil {
		s.t.Fatal(query, err)
	}
	slices.Sort(ids)
	for _, doc := range s.docs {
		ok, err := Meets(req.Query, doc, base)
		if err != nil && fhir.CodeOf(err) != fhir.CodeNotSupported {
			s.t.Error(query, err)
		}
		if found := doc.Type() == typ && slices.Contains(ids, doc.ID()); err == nil && ok != found {
			s.t.Errorf("%s: the database finds %s: %v; by itself: %v", query, doc.ID(), found, ok)
		}
	}
	return strings.Join(ids, " ")
}

// today is when the searches of a shelf are made.
var today = time.Date(2013, 1, 20, 0, 0, 0, 0, fhir.Malaysia)

// What the specification says of dates in 3.1.1.4.7 and 3.1.1.5.1: ranges are
// compared, and a date without its parts is the whole of that time.
func TestDates(t *testing.T) {
	encounter := func(id, period string) string {
		return `{"resourceType":"Encounter","id":"` + id + `","period":{` + period + `}}`
	}
	s := newShelf(t,
		encounter("day", `"start":"2013-01-14","end":"2013-01-14"`),
		encounter("night", `"start":"2013-01-13T22:00:00+08:00","end":"2013-01-14T06:00:00+08:00"`),
		encounter("since", `"start":"2013-01-14T10:00:00+08:00"`),
		encounter("until", `"end":"2013-01-14T10:00:00+08:00"`),
		encounter("year", `"start":"2013","end":"2013"`),
		encounter("utc", `"start":"2013-01-13T16:00:00Z","end":"2013-01-13T16:30:00Z"`),
		encounter("backwards", `"start":"2014","end":"2013"`),
		encounter("none", ``),
	)
	for _, c := range []struct{ date, want string }{
		{"2013-01-14", "day utc"},
		{"eq2013-01-14", "day utc"},
		{"2013", "day night utc year"},
		{"2013-01", "day night utc"},
		{"ne2013-01-14", "night since until year"},
		{"lt2013-01-14", "night until year"},
		{"gt2013-01-14", "since year"},
		{"le2013-01-14", "day night until utc year"},
		{"ge2013-01-14", "day since utc year"},
		{"le2013-01-14T00:00:00+08:00", "night until year"},
		{"ge2013-01-14T12:00:00+08:00", "day since year"},
		{"sa2013-01-13", "day since utc"},
		{"sa2012", "day night since utc year"},
		{"eb2013-01-15", "day night until utc"},
		{"eb2014", "day night until utc year"},
		{"eb2013-01-13T16:31:00Z", "utc"},
		{"ap2013-01-10", "year until"},
		{"ap2012-12-31", "until year"},
		{"ap2013-01-20", "since year"},
		{"ap2013-01-13", "day night since until utc year"},
		{"ap2013-01-14", "day night since until utc year"},
		{"2013-01-14,2012", "day utc"},
	} {
		want := strings.Fields(c.want)
		slices.Sort(want)
		if got := s.finds("Encounter?date=" + url.QueryEscape(c.date)); got != strings.Join(want, " ") {
			t.Errorf("date=%s finds %q, want %q", c.date, got, want)
		}
	}
	if got := s.finds("Encounter?date=ge2013-01-13&date=lt2013-01-15"); got != "day night since until utc year" {
		t.Errorf("a window finds %q", got)
	}
}
