package postgres

import (
	"context"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/internal/store/storetest"
)

func TestMain(m *testing.M) { postgrestest.Run(m) }

func database(t testing.TB) string { return postgrestest.Database(t) }

func open(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// fresh opens a new database and closes it when the test ends.
func fresh(t testing.TB) *Store {
	t.Helper()
	return open(t, database(t))
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return fresh(t) })
}

// The suite once more, with a process that has few connections.
func TestConformanceWithTwoConnections(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, database(t)+"&pool_max_conns=2")
	})
}
