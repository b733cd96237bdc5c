package app

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

func TestMain(m *testing.M) { postgrestest.Run(m) }

// balancer stands before the nodes. A request goes to the first node that can
// be reached; the others follow.
type balancer struct {
	*httptest.Server
	mu    sync.Mutex
	nodes []string
}

func newBalancer(t *testing.T) *balancer {
	b := &balancer{}
	b.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "a.node"})
			r.Out.Host = r.In.Host
		},
		Transport:     &http.Transport{DialContext: b.dial},
		FlushInterval: -1, // streams
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(b.Close)
	return b
}

func (b *balancer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	b.mu.Lock()
	nodes := append([]string{}, b.nodes...)
	b.mu.Unlock()
	err := errors.New("there is no node")
	for _, address := range nodes {
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (b *balancer) add(a *App) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = append(b.nodes, a.listener.Addr().String())
}

// cluster is two nodes over one PostgreSQL, one broker and one Jitsi.
type cluster struct {
	a, b     *App
	jitsi    *jitsitest.Server
	balancer *balancer
	kafka    string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return clusterAt(t, time.Now)
}

// clusterAt makes a cluster whose second node has a clock of its own.
func clusterAt(t *testing.T, second func() time.Time) *cluster {
	t.Helper()
	return clusterOn(t, second, postgrestest.Database(t), "")
}

// clusterOn makes one over a database with replicas.
func clusterOn(t *testing.T, second func() time.Time, database, replicas string) *cluster {
	t.Helper()
	kafka := &broker.Broker{Dir: t.TempDir(), Listen: "127.0.0.1:0"}
	if err := kafka.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Stop)
	jitsi := jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi", Bearer: shownByProsody})
	t.Cleanup(jitsi.Close)
	c := &cluster{jitsi: jitsi, balancer: newBalancer(t), kafka: kafka.Addr()}
	node := func(demo bool, clock func() time.Time) *App {
		cfg := laptop(t, t.TempDir())
		cfg.Demo, cfg.DatabaseURL, cfg.DatabaseReplicaURL, cfg.KafkaBrokers, cfg.PublicURL = demo, database, replicas, c.kafka, c.balancer.URL
		cfg.MeetingProvider, cfg.JitsiDomain, cfg.JitsiControlURL, cfg.JitsiBearer = "jitsi", "meet.example.my", jitsi.URL(), shownByProsody
		a := runningAt(t, cfg, clock)
		c.balancer.add(a)
		return a
	}
	c.a, c.b = node(true, time.Now), node(false, second)
	jitsi.Configure(func(o *jitsitest.Options) {
		o.LoginKeys, o.SystemKeys = c.balancer.URL+"/jitsi/asap/login", c.balancer.URL+"/jitsi/asap/system"
		o.Reservations, o.Events = c.balancer.URL+"/jitsi/reservation", c.balancer.URL+"/jitsi"
	})
	return c
}

// at gives the address of one node itself.
func at(a *App) string { return "http://" + a.listener.Addr().String() }

// system is the first source system of the demo, at a node or the balancer.
func (c *cluster) system(t *testing.T, server string) *source.Client {
	t.Helper()
	client := c.a.cast.Clients[0]
	sys, err := source.New(source.Config{Server: server, ClientID: client.ClientID, ClientSecret: client.ClientSecret, Kafka: []string{c.kafka}})
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

// book makes an appointment for a patient, to which one can check in now.
func (c *cluster) book(t *testing.T, sys *source.Client, id string, p DemoPatient) {
	t.Helper()
	var service string
	for _, s := range c.a.cast.HealthcareServices {
		if s.Organization == c.a.cast.Clients[0].Organization && s.ServiceType == mycore.ServiceIndividual {
			service = s.ID
		}
	}
	start := time.Now().Truncate(time.Minute)
	doc, err := source.NewAppointment(source.AppointmentParams{
		ID: id, ServiceType: mycore.ServiceIndividual, Specialty: "86", HealthcareService: service, HealthcareServiceName: "Clinic",
		Patient: p.ID, PatientName: p.Name, Start: start, End: start.Add(time.Hour), ScheduleType: "internal",
	})
	if err == nil {
		_, err = sys.Put(t.Context(), doc)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// encounter gives the Encounter of an appointment.
func encounter(t *testing.T, sys *source.Client, appointment string) *fhir.Document {
	t.Helper()
	for doc, err := range sys.Search(t.Context(), "Encounter", url.Values{"appointment": {"Appointment/" + appointment}}) {
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	t.Fatal("there is no Encounter")
	return nil
}

// TestTwoNodes lets a patient wait on one node while the source system acts on
// the other, stops the first, and goes on to the end of the consultation.
func TestTwoNodes(t *testing.T) {
	c := newCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	onA, onB := c.system(t, at(c.a)), c.system(t, at(c.b))
	p := c.a.cast.Patients[0]
	const id = "two-nodes"
	c.book(t, onB, id, p)

	phone := play.NewPatient(at(c.a))
	if err := phone.SignIn(ctx, p.IdentityNumber, p.SignInCode); err != nil {
		t.Fatal(err)
	}
	if err := phone.CheckIn(ctx, id); err != nil {
		t.Fatal(err)
	}
	visit := encounter(t, onB, id)
	heard, forget := c.a.hub.Subscribe(notify.InboxKey(p.IdentityNumber))
	defer forget()
	if _, err := onB.Activate(ctx, mycore.Token(visit)); err != nil {
		t.Fatal(err)
	}
	activated := time.Now()
	select {
	case <-heard:
	case <-ctx.Done():
		t.Fatal("one node has not heard what happened on the other")
	}
	t.Logf("the other node has heard of it after %v", time.Since(activated).Round(time.Millisecond))
	if err := phone.Await(ctx, id, "ready"); err != nil {
		t.Fatal(err)
	}
	if _, err := onB.Notify(ctx, source.Notification{Title: "Ready", Body: "You can join.", PatientIDs: []string{p.IdentityNumber}}); err != nil {
		t.Fatal(err)
	}
	if inbox, err := phone.Inbox(ctx); err != nil || !strings.Contains(inbox, "You can join.") {
		t.Errorf("the inbox on the other node says %q, %v", inbox, err)
	}

	// A page that waits at the balancer outlives its node.
	other := c.a.cast.Patients[1]
	const second = "two-nodes-second"
	c.book(t, onA, second, other)
	tablet := play.NewPatient(c.balancer.URL)
	if err := tablet.SignIn(ctx, other.IdentityNumber, other.SignInCode); err != nil {
		t.Fatal(err)
	}
	if err := tablet.CheckIn(ctx, second); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		err := tablet.Await(ctx, second, "ready")
		for err != nil && ctx.Err() == nil { // as browsers do, it comes back
			err = tablet.Await(ctx, second, "ready")
		}
		waiting <- err
	}()
	c.a.Stop()
	if _, err := onB.Activate(ctx, mycore.Token(encounter(t, onB, second))); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Fatalf("the page did not go on at the other node: %v", err)
	}

	started, err := encounter(t, onB, id).With(fhir.Set("status", "in-progress"))
	if err == nil {
		_, err = onB.Put(ctx, started)
	}
	if err != nil {
		t.Fatal(err)
	}
	finished, err := source.FinishEncounter(encounter(t, onB, id), source.FinishParams{At: time.Now(), Outcome: "1", PractitionerName: "Dr Aminah"})
	if err == nil {
		_, err = onB.Put(ctx, finished)
	}
	if err != nil {
		t.Fatal(err)
	}
	if phase, err := play.NewPatient(c.balancer.URL).Phase(ctx, id); err == nil {
		t.Errorf("somebody who is not signed in sees %q", phase)
	}
	c.statuses(ctx, t, onB, map[string]string{
		visit.ID(): "arrived in-progress finished",
	})
}

// statuses reads the topic until each Encounter has its statuses, in the order
// of its versions.
func (c *cluster) statuses(ctx context.Context, t *testing.T, sys *source.Client, want map[string]string) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := source.NewSeen(1000)
	got := map[string][]string{}
	last := map[string]int{}
	err := sys.Consume(ctx, source.ConsumerConfig{
		Group: t.Name(), Topics: []string{source.EncounterTopic(c.a.cast.Clients[0].Organization)}, FromStart: true,
	}, func(_ context.Context, e source.Event) error {
		if seen.Has(e.ID) {
			return nil
		}
		seen.Add(e.ID)
		version, _ := strconv.Atoi(e.Focus.Get("meta.versionId").String())
		if version <= last[e.Subject] {
			t.Errorf("version %d of a record comes after %d", version, last[e.Subject])
		}
		last[e.Subject] = version
		got[e.Focus.ID()] = append(got[e.Focus.ID()], e.Focus.Get("status").String())
		for id, list := range want {
			if strings.Join(got[id], " ") != list {
				return nil
			}
		}
		cancel()
		return nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		text, _ := json.Marshal(got)
		t.Errorf("the events are %s: %v", text, err)
	}
}

// TestSecondNodeNeedsSharedParts refuses a second node whose broker or calls
// nobody else could reach.
func TestSecondNodeNeedsSharedParts(t *testing.T) {
	cfg := laptop(t, t.TempDir())
	cfg.DatabaseURL = postgrestest.Database(t)
	running(t, cfg)
	for _, c := range []struct{ kafka, blames string }{{"", "JUMPA_KAFKA_BROKERS"}, {"127.0.0.1:1", "JUMPA_MEETING_PROVIDER"}} {
		t.Run(c.blames, func(t *testing.T) {
			t.Parallel()
			second := laptop(t, t.TempDir())
			second.DatabaseURL, second.Demo, second.KafkaBrokers = cfg.DatabaseURL, false, c.kafka
			a, err := Start(t.Context(), second, silent())
			if a != nil {
				a.Stop()
			}
			if mistake := (*UsageError)(nil); !errors.As(err, &mistake) || !strings.HasPrefix(mistake.Line, c.blames) {
				t.Errorf("got %v", err)
			}
		})
	}
}
