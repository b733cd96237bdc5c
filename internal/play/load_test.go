package play

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/source"
)

// limit bounds what is played on a busy machine.
const limit = 3 * time.Minute

// told is what was reported.
type told struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *told) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// exchange starts a whole exchange with its demo and gives the parts in it.
func exchange(t *testing.T) (Options, *told) {
	t.Helper()
	cfg := app.Defaults()
	cfg.Data, cfg.Listen, cfg.KafkaListen, cfg.UDPListen = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	a, err := app.Start(context.WithoutCancel(t.Context()), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	cast, _ := a.Credentials()
	c, out := cast.Clients[0], &told{}
	o := Options{
		Server: cast.Server, Kafka: []string{cast.Kafka}, Out: out, Doctor: cast.Practitioners[0].Name,
		Client: Client{ID: c.ClientID, Secret: c.ClientSecret, Organization: c.Organization},
	}
	for _, s := range cast.HealthcareServices {
		if s.Organization == c.Organization && s.ServiceType == "VCI" {
			o.Service = s.ID
		}
	}
	for _, p := range cast.Patients {
		if p.RekodSaya {
			o.People = append(o.People, Person{ID: p.ID, Name: p.Name, IdentityNumber: p.IdentityNumber, Code: p.SignInCode})
		}
	}
	return o, out
}

// count gives how many records the source system has whose ids begin so.
func count(t *testing.T, o Options, typ, prefix string, query url.Values) (n int) {
	t.Helper()
	sys, err := source.New(source.Config{Server: o.Server, ClientID: o.Client.ID, ClientSecret: o.Client.Secret})
	if err != nil {
		t.Fatal(err)
	}
	list, err := sys.SearchAll(t.Context(), typ, query)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range list {
		if strings.HasPrefix(doc.ID(), prefix) {
			n++
		}
	}
	return n
}

// numbers gives what a pattern finds in the report.
func numbers(t *testing.T, report, pattern string) (found []int) {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		t.Fatalf("the report does not have %s:\n%s", pattern, report)
	}
	for _, s := range m[1:] {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, n)
	}
	return found
}

func TestLoadOnTheFHIRInterface(t *testing.T) {
	o, out := exchange(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := (Load{Options: o, Clients: 4, Duration: time.Second}).FHIR(ctx); err != nil {
		t.Fatal(err)
	}
	written := numbers(t, out.String(), `PUT Appointment +(\d+) in .*failed (\d+)`)
	read := numbers(t, out.String(), `GET by id +(\d+) in .*failed (\d+)`)
	if written[0] == 0 || read[0] == 0 || written[1] != 0 || read[1] != 0 {
		t.Errorf("report: %s", out)
	}
	if got := count(t, o, "Appointment", "load-", url.Values{"status": {"booked"}}); got != written[0] {
		t.Errorf("%d writes are reported, %d Appointments are there", written[0], got)
	}
}

func TestLoadOfCheckIns(t *testing.T) {
	o, out := exchange(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	const rate = 10
	if err := (Load{Options: o, Rate: rate, Duration: time.Second}).CheckIns(ctx); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, out.String(), `check-in +(\d+) in .*failed (\d+)`); got[0] != rate || got[1] != 0 {
		t.Errorf("report: %s", out)
	}
	if got := numbers(t, out.String(), `tap to topic +(\d+) arrived, (\d+) acknowledged, (\d+) lost`); !slices.Equal(got, []int{rate, rate, 0}) {
		t.Errorf("report: %s", out)
	}
	// And so it is: the first one is there too, which was not measured.
	if got := count(t, o, "Appointment", "burst-", url.Values{"status": {"checked-in"}}); got != rate+1 {
		t.Errorf("%d are checked in", got)
	}
}

// Every other request goes to the second of two nodes.
func TestLoadOnTwoNodes(t *testing.T) {
	o, out := exchange(t)
	server, err := url.Parse(o.Server)
	if err != nil {
		t.Fatal(err)
	}
	var passed atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(server)
	second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passed.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	defer second.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	load := Load{Options: o, Rate: 10, Clients: 4, Duration: time.Second, Nodes: []string{second.URL}}
	if err := load.FHIR(ctx); err != nil {
		t.Fatal(err)
	}
	written, read := numbers(t, out.String(), `PUT Appointment +(\d+) in`), numbers(t, out.String(), `GET by id +(\d+) in`)
	if sent, got := int64(written[0]+read[0]), passed.Load(); got < sent/2-2 || got > sent/2+4 {
		t.Errorf("%d of %d requests went to the second node", got, sent)
	}
	before := passed.Load()
	if err := load.CheckIns(ctx); err != nil {
		t.Fatal(err)
	}
	if passed.Load()-before < 10 { // as many bookings, as many check-ins
		t.Errorf("%d requests of a burst went to the second node", passed.Load()-before)
	}
}

// A burst may be smaller than the number of patients.
func TestLoadOfOneCheckIn(t *testing.T) {
	o, out := exchange(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if len(o.People) < 3 {
		t.Fatalf("%d patients are not more than the check-ins", len(o.People))
	}
	if err := (Load{Options: o, Rate: 1, Duration: time.Second}).CheckIns(ctx); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, out.String(), `tap to topic +(\d+) arrived`); got[0] != 1 {
		t.Errorf("report: %s", out)
	}
}

// Load that cannot be driven says why, and measures nothing.
func TestLoadThatFails(t *testing.T) {
	good, out := exchange(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	changed := func(change func(*Options)) Load {
		o := good
		o.People = slices.Clone(good.People)
		change(&o)
		return Load{Options: o, Rate: 5, Clients: 2, Duration: time.Second}
	}
	with := func(nodes []string) Load {
		l := changed(func(*Options) {})
		l.Nodes = nodes
		return l
	}
	for _, c := range []struct {
		name  string
		load  Load
		drive func(Load, context.Context) error
		fault string
	}{
		{"no patients to write of", changed(func(o *Options) { o.People = nil }), Load.FHIR, "patient"},
		{"no patients to check in", changed(func(o *Options) { o.People = nil }), Load.CheckIns, "patient"},
		{"a patient of nobody", changed(func(o *Options) { o.People[0].ID, o.People = "nobody", o.People[:1] }), Load.FHIR, "PUT Appointment: "},
		{"a wrong secret for writing", changed(func(o *Options) { o.Client.Secret = "guess" }), Load.FHIR, "401"},
		{"a wrong secret for check-ins", changed(func(o *Options) { o.Client.Secret = "guess" }), Load.CheckIns, "401"},
		{"a wrong sign-in code", changed(func(o *Options) { o.People[0].Code = "000000x" }), Load.CheckIns, "sign"},
		{"a service of nobody", changed(func(o *Options) { o.Service = "nobody" }), Load.CheckIns, "404"},
		{"a node without an address", with([]string{"node-2"}), Load.FHIR, "node-2"},
		{"a node that is away", with([]string{"http://127.0.0.1:1"}), Load.CheckIns, "refused"},
		{"nobody there", changed(func(o *Options) { o.Server = "http://127.0.0.1:1" }), Load.FHIR, "cannot be reached"},
	} {
		err := c.drive(c.load, ctx)
		if err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", c.name, err, c.fault)
		}
	}
	if strings.Contains(out.String(), "tap to topic") {
		t.Errorf("report: %s", out)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	for name, drive := range map[string]func(Load, context.Context) error{"writes": Load.FHIR, "check-ins": Load.CheckIns} {
		if err := drive(changed(func(*Options) {}), stopped); !errors.Is(err, context.Canceled) {
			t.Errorf("%s that are stopped end with %v", name, err)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Millisecond
	}
	for _, c := range []struct {
		of   []time.Duration
		p    int
		want time.Duration
	}{
		{nil, 99, 0},
		{hundred[:1], 50, time.Millisecond},
		{hundred[:1], 100, time.Millisecond},
		{hundred[:2], 50, time.Millisecond},
		{hundred[:2], 51, 2 * time.Millisecond},
		{hundred[:3], 50, 2 * time.Millisecond},
		{hundred[:10], 90, 9 * time.Millisecond},
		{hundred[:10], 99, 10 * time.Millisecond},
		{hundred, 1, time.Millisecond},
		{hundred, 50, 50 * time.Millisecond},
		{hundred, 99, 99 * time.Millisecond},
		{hundred, 100, 100 * time.Millisecond},
		{[]time.Duration{1234567 * time.Nanosecond}, 50, 1230 * time.Microsecond},
	} {
		if got := percentile(c.of, c.p); got != c.want {
			t.Errorf("p%d of %d durations is %v, want %v", c.p, len(c.of), got, c.want)
		}
	}
}

func TestSortedKeepsWhatItGets(t *testing.T) {
	took := []time.Duration{3, 1, 2}
	if got := sorted(took); !slices.Equal(got, []time.Duration{1, 2, 3}) || took[0] != 3 {
		t.Errorf("%v of %v", got, took)
	}
}

func TestMeter(t *testing.T) {
	out := &told{}
	m := newMeter("PUT", out)
	for i := range 100 {
		m.note(time.Duration(100-i)*time.Millisecond, nil)
	}
	if err := m.report(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"PUT ", " 100 in ", "p50 50ms", "p90 90ms", "p99 99ms", "max 100ms", "failed 0\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	m.note(time.Hour, errors.New("the first"))
	m.note(time.Hour, errors.New("the last"))
	err := m.report()
	if err == nil || !strings.Contains(err.Error(), "PUT: 2 requests failed, the last one: the last") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), "failed 2\n") || strings.Contains(out.String(), "1h") {
		t.Errorf("failures count as durations: %q", out)
	}
	if err := newMeter("none", io.Discard).report(); err != nil {
		t.Errorf("nothing was done, and nothing failed: %v", err)
	}
}

// An acknowledged check-in whose event does not come is a failure; an event of
// one that was not acknowledged is none.
func TestArrivalsReport(t *testing.T) {
	for _, c := range []struct {
		name           string
		acked, arrived []string
		lost           int
	}{
		{"all came", []string{"a", "b"}, []string{"a", "b"}, 0},
		{"more came than was acknowledged", []string{"a"}, []string{"a", "b"}, 0},
		{"one did not come", []string{"a", "b", "c"}, []string{"a", "c"}, 1},
		{"none came", []string{"a", "b"}, nil, 2},
		{"nothing was done", nil, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &arrivals{taps: map[string]time.Time{}, acked: map[string]bool{}, arrived: map[string]time.Duration{}, more: make(chan struct{}, 1)}
			for _, id := range c.arrived {
				a.arrived[id] = time.Millisecond
			}
			for _, id := range c.acked {
				a.acknowledged(id)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // nothing more will come
			out := &told{}
			err := a.report(ctx, out)
			if (err != nil) != (c.lost > 0) {
				t.Errorf("%v", err)
			}
			if want := fmt.Sprintf("%d arrived, %d acknowledged, %d lost", len(c.arrived), len(c.acked), c.lost); !strings.Contains(out.String(), want) {
				t.Errorf("%q, want %q", out, want)
			}
		})
	}
}
