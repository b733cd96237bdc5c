package jitsi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Run(m) }

// cluster is two nodes of an exchange over one PostgreSQL, with one
// consultation behind both, and a Jitsi that speaks with either of them.
type cluster struct {
	*world
	nodes [2]*jitsi.Driver
	to    atomic.Int32 // where the next request goes; -1 is one node after the other
	turn  atomic.Int32
	grow  func(...func(*jitsi.Options)) *jitsi.Driver // another node
}

func newCluster(t *testing.T, changes ...func(*jitsi.Options)) *cluster {
	t.Helper()
	database := postgrestest.Database(t)
	var opts jitsi.Options
	c := &cluster{}
	open := func(changes ...func(*jitsi.Options)) *jitsi.Driver {
		st, err := postgres.Open(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		own := opts
		own.Store = st
		for _, change := range changes {
			change(&own)
		}
		d, err := jitsi.New(own)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	c.grow = open
	c.world = newWorld(t, append(changes, func(o *jitsi.Options) { opts = *o })...)
	c.nodes = [2]*jitsi.Driver{open(), open()}
	c.driver = c.nodes[0]
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := c.to.Load()
		if n < 0 {
			n = c.turn.Add(1) % 2
		}
		c.nodes[n].Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c.url = front.URL
	c.prosody.Configure(func(o *jitsitest.Options) {
		o.LoginKeys, o.SystemKeys = c.url+"/jitsi/asap/login", c.url+"/jitsi/asap/system"
		o.Reservations, o.Events = c.url+"/jitsi/reservation", c.url+"/jitsi"
	})
	return c
}

// both says who is present, and that all nodes say the same.
func (c *cluster) both() string {
	c.t.Helper()
	c.driver = c.nodes[0]
	first := c.present()
	c.driver = c.nodes[1]
	if second := c.present(); second != first {
		c.t.Errorf("one node sees %q, the other %q", first, second)
	}
	return first
}

func TestACallOverTwoNodes(t *testing.T) {
	c := newCluster(t)
	form := url.Values{"name": {vc}, "start_time": {"2026-11-22T22:50:12.000Z"}, "mail_owner": {"0b7e@meet.jitsi"}}.Encode()
	if status, body := c.ask("POST", "/jitsi/reservation/conference", bearer, "application/x-www-form-urlencoded", form); status != 201 || !strings.Contains(body, `"id":"`+vc+`"`) {
		t.Fatalf("reservation: %d %s", status, body)
	}
	c.to.Store(1)
	if status, body := c.ask("GET", "/jitsi/reservation/conference/"+vc, bearer, "", ""); status != 200 {
		t.Errorf("the reservation at the other node: %d %s", status, body)
	}
	if status, _ := c.ask("DELETE", "/jitsi/reservation/conference/"+vc, bearer, "", ""); status != 204 {
		t.Errorf("the release at the other node: %d", status)
	}
	c.to.Store(0)
	d, p := c.join(doctor), c.join(patient)
	if got := c.both(); got != "practitioner,patient" {
		t.Errorf("present: %s", got)
	}
	c.pass(time.Minute)
	c.to.Store(1)
	for _, o := range []*jitsitest.Occupant{p, d} {
		if err := o.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.both(); got != "" {
		t.Errorf("still present: %s", got)
	}
	if got, want := c.desk.told(), "joined practitioner, joined patient, left patient, left practitioner"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestEventsRepeatedAndReversedOverTwoNodes(t *testing.T) {
	c := newCluster(t)
	c.to.Store(-1)
	c.prosody.Behave(jitsitest.Faults{RepeatEvents: true, HoldEvents: true})
	d, p := c.join(doctor), c.join(patient)
	c.pass(time.Minute)
	for _, o := range []*jitsitest.Occupant{p, d} {
		if err := o.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.prosody.Deliver(); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"practitioner", "patient"} {
		if j, l := strings.Count(c.desk.told(), "joined "+who), strings.Count(c.desk.told(), "left "+who); j != 1 || l != 1 {
			t.Errorf("the %s came %d times and left %d times: %s", who, j, l, c.desk.told())
		}
	}
	if got := c.both(); got != "" {
		t.Errorf("still present: %s", got)
	}
}

func TestAnEndAtTheNodeThatHasHeardNothing(t *testing.T) {
	c := newCluster(t)
	c.join(doctor)
	c.join(patient)
	if err := c.nodes[1].End(t.Context(), vc); err != nil {
		t.Fatal(err)
	}
	if c.prosody.Open(vc) || c.both() != "" {
		t.Error("the call goes on")
	}
	if got := c.desk.told(); strings.Count(got, "left") != 2 {
		t.Errorf("told %q", got)
	}
	if _, err := c.nodes[0].Credentials(t.Context(), vc, doctor); fhir.CodeOf(err) != fhir.CodeBusinessRule {
		t.Errorf("the first node gives credentials for the ended call: %v", err)
	}
}

func TestANodeThatStartsKnowsWhoIsInside(t *testing.T) {
	c := newCluster(t)
	d := c.join(doctor)
	c.join(patient)
	c.nodes[0] = c.grow()
	if got := c.both(); got != "practitioner,patient" {
		t.Errorf("present after the start: %s", got)
	}
	c.pass(time.Minute)
	if err := d.Leave(); err != nil {
		t.Fatal(err)
	}
	if got := c.both(); got != "patient" || !strings.HasSuffix(c.desk.told(), "left practitioner") {
		t.Errorf("present %q, told %q", got, c.desk.told())
	}
}

func TestWhoWasRefusedAtOneNodeIsRemovedByTheOther(t *testing.T) {
	c := newCluster(t)
	c.join(doctor)
	token := c.credentials(patient).JWT
	c.desk.says(patient.ID, fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation was cancelled."))
	if _, err := c.prosody.Join(t.Context(), token, vc); err != nil {
		t.Fatal(err)
	}
	c.to.Store(1)
	c.nodes[1].Reconcile(t.Context())
	before := c.prosody.Calls("/kick-participant")
	if before == 0 {
		t.Error("nobody was removed")
	}
	c.nodes[0].Reconcile(t.Context())
	if n := c.prosody.Calls("/kick-participant"); n != before {
		t.Errorf("somebody who has left was removed %d times more", n-before)
	}
	if got := c.desk.told(); got != "joined practitioner" || c.both() != "practitioner" {
		t.Errorf("told %q, present %q", got, c.both())
	}
}

// Only the node that has the duty asks Jitsi for its calls.
func TestOneNodeReconciles(t *testing.T) {
	c := newCluster(t)
	var holder, asked, held atomic.Int32
	var ticks [2]chan time.Time
	for i := range c.nodes {
		ticks[i] = make(chan time.Time)
		c.nodes[i] = c.grow(func(o *jitsi.Options) {
			o.Ticks, o.Duty = ticks[i], func(context.Context) bool {
				asked.Add(1)
				mine := int(holder.Load()) == i
				if mine {
					held.Add(1)
				}
				return mine
			}
		})
		if err := c.nodes[i].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer c.nodes[i].Stop()
	}
	for round := range 4 {
		holder.Store(int32(round % 2))
		for _, ch := range ticks {
			ch <- c.clock()
			ch <- c.clock() // taken when the one before is done with
		}
	}
	for _, n := range c.nodes {
		n.Stop()
	}
	n := c.prosody.Calls("/room-census")
	if mine := int(held.Load()); n > mine || n < mine-1 || n < 4 || // the stop may come before the last count
		asked.Load() != 16 {
		t.Errorf("%d counts; the duty was asked for %d times and held %d times", n, asked.Load(), held.Load())
	}
}

// A Jitsi that is down, slow, wrong or lying delays the end of a call at every
// node and does nothing else.
func TestABadJitsiOverTwoNodes(t *testing.T) {
	for name, f := range map[string]jitsitest.Faults{
		"it hangs":                 {Hang: true},
		"it breaks":                {Status: 500},
		"it refuses our key":       {Status: 401},
		"it says done":             {PretendEnd: true},
		"it says there is no call": {PretendGone: true},
		"its count is a page":      {Body: "<html>It works!</html>", PretendEnd: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(o *jitsi.Options) {
				o.Limits.Call, o.Limits.End = 200*time.Millisecond, 500*time.Millisecond
			})
			c.to.Store(-1)
			c.join(doctor)
			c.join(patient)
			c.prosody.Behave(f)
			var ends sync.WaitGroup
			for _, n := range c.nodes {
				ends.Go(func() {
					began := time.Now()
					if err := n.End(t.Context(), vc); fhir.CodeOf(err) != fhir.CodeTransient {
						t.Errorf("End says %v", err)
					}
					if took := time.Since(began); took > 20*time.Second { // far above the deadline, far below a default of the network
						t.Errorf("it took %s", took)
					}
				})
			}
			ends.Wait()
			for _, n := range c.nodes {
				if _, err := n.Credentials(t.Context(), vc, doctor); fhir.CodeOf(err) != fhir.CodeBusinessRule {
					t.Errorf("credentials for an ended call: %v", err)
				}
				if _, err := n.Credentials(t.Context(), vc+"-other", patient); err != nil {
					t.Errorf("another call waits for Jitsi: %v", err)
				}
				n.Reconcile(t.Context())
			}
			if !c.prosody.Open(vc) || strings.Contains(c.desk.told(), "left") {
				t.Fatalf("open %v, told %q", c.prosody.Open(vc), c.desk.told())
			}
			c.prosody.Behave(jitsitest.Faults{})
			c.pass(time.Minute)
			c.until("the end", func() bool { // one short attempt may be too slow on a busy machine
				c.pass(11 * time.Second)
				c.nodes[1].Reconcile(t.Context())
				return !c.prosody.Open(vc)
			})
			if err := c.nodes[0].End(t.Context(), vc); err != nil && fhir.CodeOf(err) != fhir.CodeTransient {
				t.Errorf("the end of a call that is over: %v", err)
			}
			if got := c.both(); got != "" {
				t.Errorf("present: %s", got)
			}
			for _, who := range []string{"practitioner", "patient"} {
				if n := strings.Count(c.desk.told(), "left "+who); n != 1 {
					t.Errorf("the %s left %d times: %s", who, n, c.desk.told())
				}
			}
		})
	}
}
