package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// TestProcessesChangeOneRecord: two processes write the next version of one
// record at the same time. One of them is later, and neither hears of it.
func TestProcessesChangeOneRecord(t *testing.T) {
	url := database(t)
	var wg sync.WaitGroup
	const callers, times = 6, 40
	processes := []*Store{open(t, url), open(t, url)}
	for _, s := range processes {
		for range callers {
			wg.Go(func() {
				for range times {
					err := s.Update(context.Background(), func(tx store.Tx) error {
						r, err := tx.Resource("Schedule", "s")
						if err != nil && !errors.Is(err, store.ErrNotFound) {
							return err
						}
						return tx.PutResource(store.Resource{
							Type: "Schedule", ID: "s", Version: r.Version + 1, Updated: time.Now(), Method: "PUT", Organization: "o", Body: []byte("{}"),
						}, nil, nil)
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if err := processes[0].View(t.Context(), func(r store.Reader) error {
		is, err := r.Resource("Schedule", "s")
		if want := int64(len(processes) * callers * times); is.Version != want {
			t.Errorf("%d changes made version %d", want, is.Version)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
