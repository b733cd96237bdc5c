package app

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/source"
)

// A source system writes at one node and searches at the other, which reads
// from a replica. It finds what it was answered to have been stored, and pages
// stand still, whether the replica keeps up, stands still or is gone.
func TestSearchesOnAReplica(t *testing.T) {
	primary := postgrestest.Own(t, "fsync=off")
	standby := primary.Standby(t, "fsync=off")
	c := clusterOn(t, time.Now, primary.URL(), standby.URL())
	onA, onB := c.system(t, at(c.a)), c.system(t, at(c.b))
	replay := func(what string) {
		control, err := pgx.Connect(t.Context(), standby.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = control.Close(t.Context()) }()
		if _, err := control.Exec(t.Context(), "SELECT pg_wal_replay_"+what+"()"); err != nil {
			t.Fatal(err)
		}
	}
	reads := func() (replica, database uint64) {
		st := c.b.engine.Stats()
		return st.OnReplica, st.Fallbacks
	}
	await := func(what string, is func() bool) {
		t.Helper()
		for begun := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Fatalf("after a minute it is still not so that %s", what)
			}
		}
	}
	written := 0
	writeAndFind := func() {
		t.Helper()
		written++
		id, text := fmt.Sprintf("r%02d", written%30), fmt.Sprint("version ", written)
		basic(t, onA, id, text)
		found, err := onB.SearchAll(t.Context(), "Basic", url.Values{"_id": {id}})
		if err != nil || len(found) != 1 || !found[0].Get("code").Get("text").Is(text) {
			t.Errorf("after %s of %s was stored, a search finds %d, %v", text, id, len(found), err)
		}
	}
	walk := func() {
		t.Helper()
		all, err := onA.SearchAll(t.Context(), "Basic", url.Values{"_sort": {"-_lastUpdated"}, "_count": {"100"}})
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, doc := range all {
			want = append(want, doc.ID()+" "+string(doc.Get("code").Raw()))
		}
		for doc, err := range onB.Search(t.Context(), "Basic", url.Values{"_sort": {"-_lastUpdated"}, "_count": {"4"}}) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, doc.ID()+" "+string(doc.Get("code").Raw())); len(got)%2 == 0 { // within a page and between two
				basic(t, onA, doc.ID(), fmt.Sprint("later ", len(got)))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages show\n%q\nwant\n%q", got, want)
		}
	}
	await("searches are on the replica", func() bool { writeAndFind(); replica, _ := reads(); return replica > 10 && written >= 30 })
	walk()
	replay("pause")
	_, before := reads()
	await("searches are on the database", func() bool { writeAndFind(); _, database := reads(); return database > before+10 })
	walk()
	replay("resume")
	await("searches are on the replica again", func() bool {
		before, _ := reads()
		writeAndFind()
		after, _ := reads()
		return after > before
	})
	walk()
	if value(t, c.b, "jumpa_store_replicas") != "1" || value(t, c.b, "jumpa_store_replicas_usable") != "1" ||
		value(t, c.b, "jumpa_store_replica_reads_total") == "0" || value(t, c.b, "jumpa_store_replica_fallbacks_total") == "0" {
		t.Error("the metrics do not tell of the replica")
	}
	if err := standby.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		writeAndFind()
	}
	walk()
}

// basic stores a record.
func basic(t *testing.T, sys *source.Client, id, text string) {
	t.Helper()
	doc, err := fhir.Parse(fmt.Appendf(nil, `{"resourceType":"Basic","id":%q,"code":{"text":%q}}`, id, text))
	if err == nil {
		_, err = sys.Put(context.WithoutCancel(t.Context()), doc)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAddressesOfReplicas(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                   nil,
		" postgres://a/x , postgresql://b/y": {"postgres://a/x", "postgresql://b/y"},
		"postgres://a,b:5433/x,postgres://c": {"postgres://a,b:5433/x", "postgres://c"},
		"postgres://a/x,":                    {"postgres://a/x"},
	} {
		cfg := Defaults()
		if cfg.DatabaseReplicaURL = text; !slices.Equal(cfg.replicas(), want) {
			t.Errorf("%q gives %q", text, cfg.replicas())
		}
	}
}
