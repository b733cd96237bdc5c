package play

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// Load says how hard to drive an exchange.
type Load struct {
	Options
	Rate     int           // check-ins a second
	Clients  int           // simultaneous callers of the FHIR interface
	Duration time.Duration // of the measured part
	Nodes    []string      // URLs of further nodes of the exchange: requests go to all in turn
}

// spread sends each request to the next of several nodes, as a balancer does.
type spread struct {
	*http.Transport
	nodes []*url.URL
	turn  atomic.Uint64
}

// transport makes what brings requests to the nodes, with so many connections
// to each of them.
func (l Load) transport(connections int) (*spread, error) {
	s := &spread{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	s.MaxIdleConnsPerHost, s.MaxIdleConns = connections, 0
	for _, text := range append([]string{l.Server}, l.Nodes...) {
		node, err := url.Parse(text)
		if err != nil || node.Host == "" {
			return nil, fmt.Errorf("%q is not the URL of a node", text)
		}
		s.nodes = append(s.nodes, node)
	}
	return s, nil
}

// RoundTrip implements http.RoundTripper.
func (s *spread) RoundTrip(req *http.Request) (*http.Response, error) {
	node := s.nodes[s.turn.Add(1)%uint64(len(s.nodes))]
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = node.Scheme, node.Host
	return s.Transport.RoundTrip(req)
}

// meter collects what requests took, and tells how it goes once a second.
type meter struct {
	name    string
	out     io.Writer
	start   time.Time
	mu      sync.Mutex
	took    []time.Duration
	refused atomic.Int64
	reason  atomic.Value // the last error
}

func newMeter(name string, out io.Writer) *meter {
	return &meter{name: name, out: out, start: time.Now()}
}

func (m *meter) note(took time.Duration, err error) {
	if err != nil {
		m.refused.Add(1)
		m.reason.Store(err.Error())
		return
	}
	m.mu.Lock()
	m.took = append(m.took, took)
	m.mu.Unlock()
}

// progress writes a live line until ctx ends.
func (m *meter) progress(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.mu.Lock()
			n := len(m.took)
			p99 := percentile(sorted(m.took[before:]), 99)
			m.mu.Unlock()
			_, _ = fmt.Fprintf(m.out, "\r%s: %4.0f s, %d done, %d/s, p99 %v, %d failed   ",
				m.name, time.Since(m.start).Seconds(), n, n-before, p99.Round(time.Millisecond), m.refused.Load())
			before = n
		}
	}
}

// report writes the percentiles. It fails when a request did.
func (m *meter) report() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := sorted(m.took)
	seconds := time.Since(m.start).Seconds()
	_, _ = fmt.Fprintf(m.out, "\r%-14s %8d in %.1f s = %.0f/s   p50 %v  p90 %v  p99 %v  max %v  failed %d\n", m.name, len(s), seconds, float64(len(s))/seconds,
		percentile(s, 50), percentile(s, 90), percentile(s, 99), percentile(s, 100), m.refused.Load())
	if m.refused.Load() > 0 {
		return fmt.Errorf("%s: %d requests failed, the last one: %v", m.name, m.refused.Load(), m.reason.Load())
	}
	return nil
}

func sorted(took []time.Duration) []time.Duration {
	s := slices.Clone(took)
	slices.Sort(s)
	return s
}

// percentile gives the shortest of durations in order that p percent of them
// do not exceed.
func percentile(s []time.Duration, p int) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return s[(len(s)*p+99)/100-1].Round(10 * time.Microsecond)
}

// system opens a source system with room for many connections. It fails when
// the exchange cannot be driven at all.
func (l Load) system(ctx context.Context) (*source.Client, error) {
	if len(l.People) == 0 {
		return nil, errors.New("load needs a patient with RekodSaya, there is none")
	}
	transport, err := l.transport(max(64, l.Clients))
	if err != nil {
		return nil, err
	}
	sys, err := source.New(source.Config{
		Server: l.Server, ClientID: l.Client.ID, ClientSecret: l.Client.Secret, Kafka: l.Kafka,
		HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	})
	if err != nil {
		return nil, err
	}
	_, err = sys.Get(ctx, "HealthcareService/"+l.Service)
	return sys, err
}

// appointment makes an Appointment that can be checked in to now.
func (l Load) appointment(id string, p Person) (*fhir.Document, error) {
	start := time.Now().Truncate(time.Minute)
	return source.NewAppointment(source.AppointmentParams{
		ID: id, ServiceType: mycore.ServiceIndividual, Specialty: specialty, HealthcareService: l.Service, HealthcareServiceName: "Load",
		Patient: p.ID, PatientName: p.Name, Start: start, End: start.Add(2 * time.Hour), ScheduleType: "internal",
	})
}

// FHIR drives durable writes (PUT Appointment) and then reads by id.
func (l Load) FHIR(ctx context.Context) error {
	sys, err := l.system(ctx)
	if err != nil {
		return err
	}
	run := "load-" + uuid.NewString()[:8]
	var n atomic.Int64
	if err := l.drive(ctx, "PUT Appointment", func(ctx context.Context) error {
		i := n.Add(1)
		doc, err := l.appointment(fmt.Sprintf("%s-%d", run, i), l.People[int(i)%len(l.People)])
		if err != nil {
			return err
		}
		_, err = sys.Put(ctx, doc)
		return err
	}); err != nil {
		return err
	}
	written := n.Load()
	return l.drive(ctx, "GET by id", func(ctx context.Context) error {
		_, err := sys.Get(ctx, fmt.Sprintf("Appointment/%s-%d", run, 1+rand.Int64N(written)))
		return err
	})
}

// drive calls do from all clients, as fast as they are answered.
func (l Load) drive(ctx context.Context, name string, do func(context.Context) error) error {
	m := newMeter(name, l.Out)
	until := m.start.Add(l.Duration)
	watch, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { m.progress(watch) })
	var clients sync.WaitGroup
	for range l.Clients {
		clients.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil {
				start := time.Now()
				err := do(ctx)
				m.note(time.Since(start), err)
			}
		})
	}
	clients.Wait()
	stop()
	wg.Wait()
	return errors.Join(m.report(), ctx.Err())
}

// tap is one prepared check-in.
type tap struct {
	appointment string
	browser     *Patient
	form        url.Values
}

// CheckIns drives a burst of check-ins at a fixed rate through the portal, and
// measures the answer and the way to a consumer of the topic. It fails when an
// acknowledged check-in does not arrive there.
func (l Load) CheckIns(ctx context.Context) error {
	sys, err := l.system(ctx)
	if err != nil {
		return err
	}
	taps, err := l.prepare(ctx, sys)
	if err != nil {
		return err
	}
	arrivals, stop, err := l.watch(ctx, sys, taps[0])
	if err != nil {
		return err
	}
	defer stop()
	answers := newMeter("check-in", l.Out)
	watch, done := context.WithCancel(ctx)
	var wg, sent sync.WaitGroup
	wg.Go(func() { answers.progress(watch) })
	for i, t := range taps[1:] {
		at := answers.start.Add(time.Duration(i) * time.Second / time.Duration(l.Rate))
		select {
		case <-time.After(time.Until(at)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		sent.Go(func() {
			arrivals.tapped(t.appointment, at)
			err := t.checkIn(ctx)
			answers.note(time.Since(at), err)
			if err == nil {
				arrivals.acknowledged(t.appointment)
			}
		})
	}
	sent.Wait()
	done()
	wg.Wait()
	return errors.Join(answers.report(), arrivals.report(ctx, l.Out))
}

// checkIn sends the form, as a browser does, and expects to be led on.
func (t tap) checkIn(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.browser.server+appointment(t.appointment)+"/check-in", strings.NewReader(t.form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := t.browser.http.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("the check-in answers %d", resp.StatusCode)
	}
	return nil
}

// prepare signs the patients in and books all appointments of the burst.
func (l Load) prepare(ctx context.Context, sys *source.Client) ([]tap, error) {
	transport, err := l.transport(512)
	if err != nil {
		return nil, err
	}
	count := 1 + l.Rate*int(l.Duration.Seconds()) // the first one shows that the consumer is at work
	taps := make([]tap, count)
	people := l.People[:min(len(l.People), count)]
	forms := make([]url.Values, len(people))
	browsers := make([]*Patient, len(people))
	_, _ = fmt.Fprintf(l.Out, "preparing %d appointments for %d patients\n", count, len(people))
	group, booking := errgroup.WithContext(ctx)
	group.SetLimit(32)
	run := "burst-" + uuid.NewString()[:8]
	for i := range taps {
		p := people[i%len(people)]
		taps[i].appointment = fmt.Sprintf("%s-%d", run, i)
		group.Go(func() error {
			doc, err := l.appointment(taps[i].appointment, p)
			if err != nil {
				return err
			}
			_, err = sys.Put(booking, doc)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, p := range people {
		browsers[i] = NewPatient(l.Server)
		browsers[i].http.Transport = transport
		if err := browsers[i].SignIn(ctx, p.IdentityNumber, p.Code); err != nil {
			return nil, err
		}
		pg, err := browsers[i].open(ctx, appointment(taps[i].appointment)+"/check-in")
		if err != nil {
			return nil, err
		}
		forms[i] = hiddenFields(pg, appointment(taps[i].appointment)+"/check-in")
		forms[i].Set("consent", "yes")
		browsers[i].http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	for i := range taps {
		taps[i].browser, taps[i].form = browsers[i%len(people)], forms[i%len(people)]
	}
	return taps, nil
}
