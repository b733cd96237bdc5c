package exchange_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// page follows a link.
func (w *world) page(p auth.Principal, at *exchange.Place) exchange.SearchResult {
	w.Helper()
	_, out, err := w.exchange.Page(w.ctx, p, *at)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// flag writes a record that is cheap and found by all that it has.
func flag(id, organization, status string, version int64, at time.Time) (store.Resource, []store.Entry) {
	body := fmt.Sprintf(`{"resourceType":"Flag","id":%q,"meta":{"versionId":"%d"},"status":%q,"code":{"text":"x"},"subject":{"reference":"Patient/lim"}}`, id, version, status)
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		panic(err)
	}
	return store.Resource{Type: "Flag", ID: id, Version: version, Updated: at, Method: "PUT", Organization: organization, Body: []byte(body)}, search.Index(doc)
}

// field is a set of flags that change while somebody reads their pages.
type field struct {
	*world
	random  *rand.Rand
	version map[string]int64
	status  map[string]string
	gone    map[string]bool
	made    int
}

func (f *field) put(id, organization, status string) {
	f.Helper()
	f.update(func(tx store.Tx) error {
		var old []store.Entry
		if v := f.version[id]; v > 0 {
			_, old = flag(id, organization, f.status[id], v, f.now)
		}
		f.version[id]++
		res, entries := flag(id, organization, status, f.version[id], f.now)
		add, remove := search.Diff(old, entries)
		return tx.PutResource(res, add, remove)
	})
	f.status[id] = status
}

func (f *field) remove(id string) {
	f.Helper()
	f.update(func(tx store.Tx) error {
		_, old := flag(id, hospital, f.status[id], f.version[id], f.now)
		f.version[id]++
		return tx.PutResource(store.Resource{Type: "Flag", ID: id, Version: f.version[id], Updated: f.now, Method: "DELETE", Organization: hospital}, nil, old)
	})
	f.gone[id] = true
}

// disturb does something at random to one of the flags: a new one, one that
// changes (what it is sorted by, whether it still meets the search), one that
// goes.
func (f *field) disturb() {
	f.Helper()
	f.at(f.now.Add(time.Second))
	ids := []string{}
	for id := range f.version {
		if !f.gone[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	id := ids[f.random.IntN(len(ids))]
	status := []string{"active", "inactive", "entered-in-error"}[f.random.IntN(3)]
	switch f.random.IntN(3) {
	case 0:
		f.made++
		f.put(fmt.Sprintf("n%03d", f.random.IntN(1000)*1000+f.made), hospital, status)
	case 1:
		f.put(id, hospital, status)
	default:
		f.remove(id)
	}
}

func newField(t *testing.T, seed uint64, flags int) *field {
	t.Helper()
	f := &field{world: newWorld(t), random: rand.New(rand.NewPCG(seed, 1)), version: map[string]int64{}, status: map[string]string{}, gone: map[string]bool{}}
	for i := range flags {
		f.put(fmt.Sprintf("f%03d", (i*37)%1000), hospital, []string{"active", "inactive"}[i%2])
	}
	for i := range 5 { // of another organisation
		f.update(func(tx store.Tx) error {
			res, entries := flag(fmt.Sprint("clinic", i), clinic, "active", 1, f.now)
			return tx.PutResource(res, entries, nil)
		})
	}
	return f
}

// Every match of the first moment is shown exactly once, in its order and in
// its version, whatever is written, changed or deleted meanwhile. What has been
// deleted when its page is asked for is left out.
func TestPagesStandStill(t *testing.T) {
	for seed, query := range []string{
		"Flag?", "Flag?_sort=_id", "Flag?_sort=-_lastUpdated", "Flag?status=active", "Flag?status=inactive&_sort=-_id&_total=accurate",
		"Flag?_sort=_lastUpdated", "Flag?subject=Patient/lim&_sort=-_lastUpdated,_id", "Flag?patient.identifier=" + lim.Login, "Flag?status=active,inactive&_sort=_id",
	} {
		t.Run(query, func(t *testing.T) {
			f := newField(t, uint64(seed), 40+seed)
			whole, err := f.find(hospitalSystem, query+"&_count=200")
			if err != nil || len(whole.Matches) < 15 || whole.Pages.First != nil || whole.Total != len(whole.Matches) {
				t.Fatal(listed(whole.Matches), whole.Pages, whole.Total, err)
			}
			count := 3 + f.random.IntN(5)
			page, err := f.find(hospitalSystem, fmt.Sprintf("%s&_count=%d", query, count))
			if err != nil {
				t.Fatal(err)
			}
			rest := whole.Matches
			var back []*exchange.Place
			last := page.Pages.Last
			for n := 0; ; n++ {
				of := rest[:min(count, len(rest))]
				rest = rest[len(of):]
				var want, bodies []string
				for _, res := range of {
					if n == 0 || !f.gone[res.ID] {
						want, bodies = append(want, res.ID), append(bodies, string(res.Body))
					}
				}
				for i, res := range page.Matches {
					if i >= len(want) || res.ID != want[i] || string(res.Body) != bodies[i] {
						t.Fatalf("page %d: %s, want %v", n, listed(page.Matches), want)
					}
				}
				if len(page.Matches) != len(want) || page.Total != len(whole.Matches) || *page.Pages.Last != *last {
					t.Fatalf("page %d: %s of %d, want %v of %d", n, listed(page.Matches), page.Total, want, len(whole.Matches))
				}
				if (page.Pages.Previous == nil) != (n == 0) || n > 0 && *page.Pages.Previous != *back[n-1] {
					t.Fatalf("page %d: previous is %v", n, page.Pages.Previous)
				}
				if page.Pages.Next == nil {
					break
				}
				here := &exchange.Place{Cursor: last.Cursor, Offset: n * count}
				back = append(back, here)
				for range f.random.IntN(8) {
					f.disturb()
				}
				page = f.page(hospitalSystem, page.Pages.Next)
			}
			if len(rest) > 0 {
				t.Errorf("%d matches were never shown", len(rest))
			}
			if len(back) < 2 {
				t.Error("there were no pages to speak of")
			}
		})
	}
}

// A result of more than a thousand matches is listed in parts. The parts behind
// the first go on from where the one before ended.
func TestPagesOfManyMatches(t *testing.T) {
	for _, query := range []string{"Flag?_count=200", "Flag?_count=150&_sort=-_id", "Flag?_count=170&_sort=_lastUpdated", "Flag?_count=200&_sort=-_lastUpdated"} {
		t.Run(query, func(t *testing.T) {
			w := newWorld(t)
			write := func(from, to int, version int64, status string) {
				w.update(func(tx store.Tx) error {
					for i := from; i < to; i++ {
						res, entries := flag(fmt.Sprintf("f%05d", i), hospital, status, version, w.now)
						if version > 1 {
							_, old := flag(fmt.Sprintf("f%05d", i), hospital, "active", version-1, w.now)
							add, remove := search.Diff(old, entries)
							if err := tx.PutResource(res, add, remove); err != nil {
								return err
							}
							continue
						}
						if err := tx.PutResource(res, entries, nil); err != nil {
							return err
						}
					}
					return nil
				})
			}
			write(0, 2345, 1, "active")
			page, err := w.find(hospitalSystem, query)
			if err != nil || page.Pages.Last != nil || page.Total != -1 {
				t.Fatal(page.Pages, page.Total, err)
			}
			w.at(w.now.Add(time.Minute))
			write(0, 300, 2, "inactive")     // which moves them to the end of those by _lastUpdated
			write(2000, 2100, 2, "inactive") // or to the beginning
			write(9000, 9100, 1, "active")
			seen := map[string]int{}
			pages := []*exchange.Place{nil}
			var last exchange.Pages
			for {
				for _, res := range page.Matches {
					seen[res.ID]++
				}
				if last = page.Pages; page.Pages.Next == nil {
					break
				}
				pages = append(pages, page.Pages.Next)
				page = w.page(hospitalSystem, page.Pages.Next)
			}
			for i := range 2345 {
				if id := fmt.Sprintf("f%05d", i); seen[id] != 1 {
					t.Errorf("%s is shown %d times", id, seen[id])
				}
			}
			if len(seen) != 2345 {
				t.Errorf("%d records are shown", len(seen))
			}
			if last.Last == nil || *last.Last != *pages[len(pages)-1] {
				t.Errorf("the last page is %v, not %v", last.Last, pages[len(pages)-1])
			}
			// All the way back, over the borders of the parts.
			for n := len(pages) - 1; n > 1; n-- {
				page = w.page(hospitalSystem, pages[n])
				if *page.Pages.Previous != *pages[n-1] {
					t.Errorf("before %v stands %v", pages[n], page.Pages.Previous)
				}
			}
		})
	}
}

// A result may begin behind an offset, which the caller names.
func TestPagesFromAnOffsetOn(t *testing.T) {
	f := newField(t, 9, 20)
	for _, order := range []string{"", "&_sort=-_id", "&_sort=date,_id"} {
		whole, err := f.find(hospitalSystem, "Flag?_count=100"+order)
		if err != nil {
			t.Fatal(err)
		}
		page, err := f.find(hospitalSystem, "Flag?_count=3&_offset=5"+order)
		if err != nil || page.Total != -1 || page.Pages.Previous != nil {
			t.Fatal(page.Total, page.Pages, err)
		}
		walked := page.Matches
		for page.Pages.Next != nil {
			page = f.page(hospitalSystem, page.Pages.Next)
			walked = append(walked, page.Matches...)
		}
		if listed(walked) != listed(whole.Matches[5:]) {
			t.Errorf("%s: %s, want %s", order, listed(walked), listed(whole.Matches[5:]))
		}
	}
	f.put("f000", hospital, "inactive")
	history, err := f.exchange.History(f.ctx, hospitalSystem, exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: "Flag", Count: 2, Offset: 17}})
	if err != nil || len(history.Matches) != 2 || history.Total != 21 {
		t.Fatal(listed(history.Matches), history.Total, err)
	}
	if next := f.page(hospitalSystem, history.Pages.Next); len(next.Matches) != 2 || next.Pages.Next != nil || listed(next.Matches) == listed(history.Matches) {
		t.Errorf("%s after %s", listed(next.Matches), listed(history.Matches))
	}
}

// Who may see a record is decided anew on each page.
func TestPagesShowWhatMayBeSeen(t *testing.T) {
	f := newField(t, 7, 12)
	page, err := f.find(hospitalSystem, "Flag?_count=4&_include=Flag:subject")
	if err != nil || listed(page.Included) != "Patient/lim" {
		t.Fatal(listed(page.Included), err)
	}
	next := page.Pages.Next
	whole := f.page(hospitalSystem, next)
	f.update(func(tx store.Tx) error { // to the clinic
		res, _ := flag(whole.Matches[1].ID, clinic, "active", 2, f.now)
		return tx.PutResource(res, nil, nil)
	})
	want := listed(slices.Delete(slices.Clone(whole.Matches), 1, 2))
	if page = f.page(hospitalSystem, next); listed(page.Matches) != want || listed(page.Included) != "Patient/lim" {
		t.Errorf("%s with %s, want %s", listed(page.Matches), listed(page.Included), want)
	}
	scoped := hospitalSystem
	scoped.Scopes = []string{"system/Flag.rs"}
	if page = f.page(scoped, next); listed(page.Matches) != want || len(page.Included) != 0 {
		t.Errorf("%s with %s", listed(page.Matches), listed(page.Included))
	}
	scoped.Scopes = []string{"system/Patient.rs"}
	if _, _, err := f.exchange.Page(f.ctx, scoped, *next); fhir.CodeOf(err) != fhir.CodeForbidden {
		t.Errorf("without the scope: %v", err)
	}
	if page = f.page(clinicSystem, next); listed(page.Matches) != "Flag/"+whole.Matches[1].ID {
		t.Errorf("the clinic sees %s", listed(page.Matches))
	}
}

// A cursor lives as long as it is used, and half an hour more.
func TestPagesExpire(t *testing.T) {
	f := newField(t, 8, 12)
	page, err := f.find(hospitalSystem, "Flag?_count=4")
	if err != nil {
		t.Fatal(err)
	}
	next, start := page.Pages.Next, f.now
	for _, minutes := range []int{1, 29, 55, 80, 109} {
		f.at(start.Add(time.Duration(minutes) * time.Minute))
		f.page(hospitalSystem, next)
	}
	f.at(start.Add(140 * time.Minute))
	for _, at := range []exchange.Place{*next, {Cursor: "none"}, {Cursor: "none", Part: 3}, {Cursor: next.Cursor, Part: 1}} {
		if _, _, err := f.exchange.Page(f.ctx, hospitalSystem, at); fhir.Status(err) != http.StatusGone || !strings.Contains(err.Error(), "Search again") {
			t.Errorf("%v: %v", at, err)
		}
	}
}

func TestPagesOfAHistory(t *testing.T) {
	w := newWorld(t)
	for i := range 11 {
		w.at(w.now.Add(time.Minute))
		w.put(hospitalSystem, fmt.Sprintf(`{"resourceType":"Basic","id":"b%d","code":{"text":"%d"}}`, i%2, i))
	}
	w.put(clinicSystem, `{"resourceType":"Basic","id":"b9","code":{"text":"x"}}`)
	for path, q := range map[string]store.HistoryQuery{"Basic": {Type: "Basic"}, "Basic/b0": {Type: "Basic", ID: "b0"}, "": {Since: w.now.Add(-8 * time.Minute)}} {
		q.Count = 100
		whole, err := w.exchange.History(w.ctx, hospitalSystem, exchange.HistoryQuery{HistoryQuery: q})
		if err != nil || len(whole.Matches) < 6 || whole.Pages.First != nil {
			t.Fatal(path, listed(whole.Matches), err)
		}
		q.Count = 2
		page, err := w.exchange.History(w.ctx, hospitalSystem, exchange.HistoryQuery{HistoryQuery: q})
		if err != nil {
			t.Fatal(err)
		}
		var walked []store.Resource
		for {
			if page.Total != len(whole.Matches) {
				t.Errorf("%s: %d versions", path, page.Total)
			}
			if walked = append(walked, page.Matches...); page.Pages.Next == nil {
				break
			}
			w.put(hospitalSystem, fmt.Sprintf(`{"resourceType":"Basic","id":"b0","code":{"text":"later %d %s"}}`, len(walked), path))
			page = w.page(hospitalSystem, page.Pages.Next)
		}
		if listed(walked) != listed(whole.Matches) {
			t.Errorf("%s: %s, want %s", path, listed(walked), listed(whole.Matches))
		}
	}
	at := exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: "Basic", Count: 1}, From: w.now.Add(-2 * time.Minute), To: w.now.Add(-time.Minute)}
	page, err := w.exchange.History(w.ctx, hospitalSystem, at)
	if err != nil || page.Total != 2 || len(page.Matches) != 1 {
		t.Fatal(listed(page.Matches), page.Total, err)
	}
	w.put(hospitalSystem, `{"resourceType":"Basic","id":"b1","code":{"text":"again"}}`)
	if next := w.page(hospitalSystem, page.Pages.Next); len(next.Matches) != 1 || next.Matches[0].ID == page.Matches[0].ID || next.Pages.Next != nil {
		t.Errorf("%s after %s", listed(next.Matches), listed(page.Matches))
	}
}

func TestPagesOfEverything(t *testing.T) {
	w := newWorld(t)
	pharmacy(w)
	whole, err := w.exchange.Everything(w.ctx, hospitalSystem, exchange.Everything{Type: "Patient", ID: "lim", Count: 100})
	if err != nil || len(whole.Matches) < 5 || whole.Pages.First != nil {
		t.Fatal(listed(whole.Matches), err)
	}
	page, err := w.exchange.Everything(w.ctx, hospitalSystem, exchange.Everything{Type: "Patient", ID: "lim", Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	w.put(hospitalSystem, `{"resourceType":"Basic","id":"first","code":{"text":"x"},"subject":{"reference":"Patient/lim"}}`)
	walked := page.Matches
	for page.Pages.Next != nil {
		page = w.page(hospitalSystem, page.Pages.Next)
		walked = append(walked, page.Matches...)
	}
	if listed(walked) != listed(whole.Matches) || page.Total != len(whole.Matches) {
		t.Errorf("%s, want %s", listed(walked), listed(whole.Matches))
	}
}

// AuditEvents come newest first, and every page makes another one.
func TestPagesOfAuditEvents(t *testing.T) {
	w := newWorld(t)
	for range 9 {
		if _, err := w.exchange.Read(w.ctx, hospitalSystem, "Patient", "siti"); err != nil {
			t.Fatal(err)
		}
	}
	for _, total := range []string{"", "&_total=accurate"} {
		whole, err := w.find(hospitalSystem, "AuditEvent?entity=Patient/siti&_count=100")
		if err != nil || len(whole.Matches) < 9 {
			t.Fatal(listed(whole.Matches), err)
		}
		page, err := w.find(hospitalSystem, "AuditEvent?entity=Patient/siti&_count=4"+total)
		if err != nil || (page.Pages.Last != nil) != (total != "") {
			t.Fatal(page.Pages, err)
		}
		walked := page.Matches
		for page.Pages.Next != nil {
			if _, err := w.exchange.Read(w.ctx, hospitalSystem, "Patient", "siti"); err != nil {
				t.Fatal(err)
			}
			page = w.page(hospitalSystem, page.Pages.Next)
			walked = append(walked, page.Matches...)
		}
		if listed(walked) != listed(whole.Matches) {
			t.Errorf("%s, want %s", listed(walked), listed(whole.Matches))
		}
	}
}
