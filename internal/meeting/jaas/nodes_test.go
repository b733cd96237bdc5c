package jaas_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/jaas"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Run(m) }

// newCluster is two nodes over one PostgreSQL. JaaS's webhooks go to the node
// that to names; -1 is one node after the other.
func newCluster(t *testing.T) (w *world, nodes [2]*jaas.Driver, to *atomic.Int32) {
	t.Helper()
	var opts jaas.Options
	w = newWorld(t, func(o *jaas.Options) { opts = *o })
	database := postgrestest.Database(t)
	for i := range nodes {
		st, err := postgres.Open(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		own := opts
		own.Store = st
		if nodes[i], err = jaas.New(own); err != nil {
			t.Fatal(err)
		}
	}
	w.driver = nodes[0]
	var turn atomic.Int32
	to = &atomic.Int32{}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := to.Load()
		if n < 0 {
			n = turn.Add(1) % 2
		}
		nodes[n].Handler().ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	w.jaas.Webhook = front.URL + "/jaas/events"
	return w, nodes, to
}

func TestWebhooksRepeatedAndReversedOverTwoNodes(t *testing.T) {
	w, nodes, to := newCluster(t)
	to.Store(-1)
	w.jaas.Behave(jitsitest.Faults{RepeatEvents: true, HoldEvents: true})
	d, p := w.join(doctor), w.join(patient)
	w.pass(time.Minute)
	for _, g := range []*jitsitest.Guest{p, d} {
		if err := g.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.jaas.Deliver(); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"practitioner", "patient"} {
		if j, l := strings.Count(w.desk.told(), "joined "+who), strings.Count(w.desk.told(), "left "+who); j != 1 || l != 1 {
			t.Errorf("the %s came %d times and left %d times: %s", who, j, l, w.desk.told())
		}
	}
	for _, n := range nodes {
		if people, err := n.Present(t.Context(), vc); err != nil || len(people) != 0 {
			t.Errorf("present: %v, %v", people, err)
		}
	}
}

func TestAnEndAtTheNodeThatHasHeardNothing(t *testing.T) {
	w, nodes, to := newCluster(t)
	w.join(doctor)
	w.join(patient)
	to.Store(1)
	if err := nodes[1].End(t.Context(), vc); err != nil {
		t.Fatal(err)
	}
	if n := w.jaas.Bans(); n != 2 {
		t.Errorf("%d people were banned, want 2", n)
	}
	if got := w.desk.told(); strings.Count(got, "left") != 2 {
		t.Errorf("told %q", got)
	}
	if _, err := nodes[0].Credentials(t.Context(), vc, doctor); fhir.CodeOf(err) != fhir.CodeBusinessRule {
		t.Errorf("the first node gives credentials for the ended call: %v", err)
	}
}

func TestWhoWasRefusedAtOneNodeIsBannedByTheOther(t *testing.T) {
	w, nodes, to := newCluster(t)
	w.join(doctor)
	token := w.token(patient)
	w.desk.says(patient.ID, fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation was cancelled."))
	if _, err := w.jaas.Join(token, vc); err != nil {
		t.Fatal(err)
	}
	to.Store(1)
	nodes[1].Chores(t.Context())
	if n := w.jaas.Bans(); n != 1 {
		t.Errorf("%d bans, want 1", n)
	}
	nodes[0].Chores(t.Context())
	if n := w.jaas.Bans(); n != 1 {
		t.Errorf("somebody who has left was banned again")
	}
	if got := w.desk.told(); got != "joined practitioner" {
		t.Errorf("told %q", got)
	}
}
