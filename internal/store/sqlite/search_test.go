package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// BenchmarkSearch asks for few records among many: what a patient's page and
// an incoming record pay.
func BenchmarkSearch(b *testing.B) {
	const n = 50_000
	s := fresh(b)
	for at := 0; at < n; at += 1000 {
		err := s.Update(b.Context(), func(tx store.Tx) error {
			for i := at; i < at+1000; i++ {
				id := fmt.Sprint("p", i)
				if err := tx.PutResource(store.Resource{Type: "Patient", ID: id, Version: 1, Updated: time.UnixMicro(int64(i) + 1), Organization: "o", Body: make([]byte, 1500)}, []store.Entry{
					{Param: "identifier", Kind: store.Token, Value: fmt.Sprintf("%012d|nric", i)},
					{Param: "status", Kind: store.Token, Value: "active|"},
					{Param: "doctor", Kind: store.Reference, Value: fmt.Sprintf("Practitioner/d%d", i/10)},
					{Param: "date", Kind: store.Date, Low: int64(i), High: int64(i) + 1},
				}, nil); err != nil {
					return err
				}
				if err := tx.PutResource(store.Resource{Type: "Patient", ID: id, Version: 2, Updated: time.UnixMicro(int64(i) + 1), Organization: "o", Body: make([]byte, 1500)}, nil, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	is := func(param string, kind store.Kind, values ...string) store.Clause {
		c := store.Clause{Param: param}
		for _, v := range values {
			c.Any = append(c.Any, store.Match{Kind: kind, Compare: store.Equal, Value: v})
		}
		return c
	}
	doctor, active := is("doctor", store.Reference, "Practitioner/d77"), is("status", store.Token, "active|")
	for _, c := range []struct {
		name string
		q    store.Query
	}{
		{"by identifier", store.Query{Where: store.Where(is("identifier", store.Token, "000000000777|nric"))}},
		{"by any of four identifiers", store.Query{Where: store.Where(is("identifier", store.Token, "000000000777|nric", "x|nric", "y|nric", "z|nric"))}},
		{"by reference", store.Query{Where: store.Where(doctor)}},
		{"by status and reference", store.Query{Where: store.Where(active, doctor)}},
		{"by not a status and reference", store.Query{Where: store.Where(store.Clause{Param: active.Param, Any: active.Any, Not: true}, doctor)}},
		{"by status", store.Query{Where: store.Where(active)}},
		{"by reference, sorted", store.Query{Where: store.Where(doctor), Sort: []store.Sort{{Param: "date"}}}},
		{"by update", store.Query{Where: store.Where(store.Clause{Param: "_lastUpdated", Any: []store.Match{{Kind: store.Date, Compare: store.GreaterEqual, Low: n - 10, High: n - 9}}})}},
		{"of all, the first", store.Query{}},
		{"of all, the last updated", store.Query{Sort: []store.Sort{{Param: "_lastUpdated", Descending: true}}}},
	} {
		c.q.Type, c.q.Count = "Patient", 10
		for _, organization := range []string{"", "o"} {
			c.q.Organization = organization
			b.Run(c.name+"/"+organization, func(b *testing.B) {
				for b.Loop() {
					if err := s.View(b.Context(), func(r store.Reader) error { _, err := r.Search(c.q); return err }); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("history of one", func(b *testing.B) {
		for b.Loop() {
			if err := s.View(b.Context(), func(r store.Reader) error {
				_, err := r.History(store.HistoryQuery{Type: "Patient", ID: "p777", Count: 10})
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
