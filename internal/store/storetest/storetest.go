// Package storetest is the suite that every engine of the store must pass. It
// reads as the specification of package store: what is not tested here, no
// part of the exchange may rely on.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Run tests an engine. open gives a new, empty store and closes it when the
// test ends.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"resource", resourceTests},
		{"visibility", visibilityTests},
		{"search", searchTests},
		{"cursor", cursorTests},
		{"tree", treeTests},
		{"consultation", consultationTests},
		{"account", accountTests},
		{"event", eventTests},
		{"subscriber", subscriberTests},
		{"audit", auditTests},
		{"transaction", transactionTests},
		{"concurrency", concurrencyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
			}
		})
	}
}

// test is one sentence about a store.
type test struct {
	name string
	run  func(t *testing.T, s store.Store)
}

// monday is when the tests take place.
var monday = time.Date(2026, 11, 23, 1, 0, 0, 123456000, time.UTC)

// minute gives the time so many minutes into the day.
func minute(n int) time.Time { return monday.Add(time.Duration(n) * time.Minute) }

// patience bounds every wait: it ends a test that would hang, it measures
// nothing.
const patience = 2 * time.Minute

// write runs one update that must succeed. fn must not end the test: it runs
// on the engine's goroutine.
func write(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

// read gives what one view gives, which must succeed.
func read[T any](t *testing.T, s store.Store, fn func(store.Reader) (T, error)) T {
	t.Helper()
	v, err := try(t.Context(), s, fn)
	if err != nil {
		t.Fatalf("view: %v", err)
	}
	return v
}

func try[T any](ctx context.Context, s store.Store, fn func(store.Reader) (T, error)) (v T, err error) {
	err = s.View(ctx, func(r store.Reader) error {
		var err error
		v, err = fn(r)
		return err
	})
	return v, err
}

// absent demands that a read finds nothing.
func absent[T any](t *testing.T, s store.Store, what string, fn func(store.Reader) (T, error)) {
	t.Helper()
	if v, err := try(t.Context(), s, fn); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s gives %+v, %v; want ErrNotFound", what, v, err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// record makes a version of a record whose body tells which one it is.
func record(typ, id string, version int64, at time.Time) store.Resource {
	r := store.Resource{Type: typ, ID: id, Version: version, Updated: at, Method: "PUT", Organization: "org-a"}
	if version == 1 {
		r.Method = "POST"
	}
	r.Body = fmt.Appendf(nil, `{"resourceType":%q,"id":%q,"meta":{"versionId":"%d"}}`, typ, id, version)
	return r
}

// deletion makes a version that removes a record.
func deletion(typ, id string, version int64, at time.Time) store.Resource {
	return store.Resource{Type: typ, ID: id, Version: version, Updated: at, Method: "DELETE", Organization: "org-a"}
}

// put writes versions without index entries.
func put(t *testing.T, s store.Store, list ...store.Resource) {
	t.Helper()
	write(t, s, func(tx store.Tx) error {
		for _, r := range list {
			if err := tx.PutResource(r, nil, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// same compares resources; no body and an empty body are the same.
func same(t *testing.T, what string, got store.Resource, want store.Resource) {
	t.Helper()
	if len(got.Body) == 0 && len(want.Body) == 0 {
		got.Body, want.Body = nil, nil
	}
	equal(t, what, got, want)
}

// names gives the "id/version" of resources, in order.
func names(list []store.Resource) []string {
	out := make([]string, 0, len(list))
	for _, r := range list {
		out = append(out, fmt.Sprintf("%s/%d", r.ID, r.Version))
	}
	return out
}

// ids gives the ids of resources, in order.
func ids(list []store.Resource) []string {
	out := make([]string, 0, len(list))
	for _, r := range list {
		out = append(out, r.ID)
	}
	return out
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// isConflict tells whether the store refused a version that is not the next.
func isConflict(err error) bool {
	var e *fhir.Error
	return errors.As(err, &e) && e.Code == fhir.CodeConflict
}
