package delivery_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// Three nodes write and deliver side by side on PostgreSQL: numbers have no
// gap, events arrive in their order, and no Subscription stands still.
func TestNodesOnPostgres(t *testing.T) {
	url := postgrestest.Database(t)
	var nodes []*world
	for i := range 3 {
		st, err := postgres.Open(context.Background(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		w := worldOf(t, st)
		w.service.Node = fmt.Sprint("node ", i)
		nodes = append(nodes, w)
	}
	receivers := map[string]*receiver{}
	for _, id := range []string{"s1", "s2", "s3"} {
		r := newReceiver(t)
		receivers[id] = r
		nodes[0].put(hospitalSystem, sub{id: id, criteria: "Observation", endpoint: r.URL, content: "id-only", maxCount: 3}.String())
	}
	for _, w := range nodes {
		w.start()
	}
	const each = 20
	var wg sync.WaitGroup
	for i, w := range nodes {
		wg.Go(func() {
			for n := range each {
				if _, err := w.try(hospitalSystem, observation(fmt.Sprint("o", i), n, "final")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for id, r := range receivers {
		for s := nodes[0].subscriber(id); s.Status != "active" || s.Done < each*int64(len(nodes)); s = nodes[0].subscriber(id) {
			for _, w := range nodes {
				w.service.Wake()
			}
			if s.Status == "error" {
				t.Fatalf("%+v", s)
			}
			select {
			case <-nodes[0].settled:
			case <-nodes[1].settled:
			case <-nodes[2].settled:
			case <-time.After(patience):
				t.Fatalf("%s stands still: %+v", id, nodes[0].subscriber(id))
			}
		}
		inOrder(t, r, each*int64(len(nodes)))
		if s := nodes[0].subscriber(id); s.Events != each*int64(len(nodes)) || s.Holder != "" {
			t.Errorf("%+v", s)
		}
	}
	if d, err := nodes[1].service.Waiting(t.Context()); err != nil || d != (store.Deliveries{}) {
		t.Errorf("waiting: %+v", d)
	}
}
