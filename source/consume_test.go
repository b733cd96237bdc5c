package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

const patience = 30 * time.Second

// notification renders an event as the exchange does.
func notification(t *testing.T, id string, version int64, includes ...*fhir.Document) (topic string, headers map[string]string, value []byte) {
	t.Helper()
	set, err := subscription.New(subscription.Default())
	if err != nil {
		t.Fatal(err)
	}
	change := subscription.Change{
		After:   document(t, strings.Replace(encounter(`"status":"arrived"`), `"id":"e1"`, `"id":"`+id+`"`, 1)),
		Version: version, At: nine, Provider: "o1", Includes: includes,
	}
	matches := set.Match(change)
	if len(matches) != 1 {
		t.Fatalf("%d topics", len(matches))
	}
	event := subscription.Render(matches[0], change, "https://hie/baseR4")
	headers = map[string]string{}
	for _, h := range event.Headers {
		headers[h.Name] = h.Value
	}
	return event.Topic, headers, subscription.Numbered(event.Value, version)
}

func TestParseEvent(t *testing.T) {
	patient := document(t, `{"resourceType":"Patient", "id":"p1"}`)
	topic, headers, value := notification(t, "e1", 3, patient)
	e, err := ParseEvent(headers, value)
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != topic+"/Encounter/e1/_history/3" || e.Topic != EncounterTopic("o1") || e.Subject != "Encounter/e1" ||
		e.Type != "my.gov.moh.hie.vc.encounter-arrived.v1" || !e.Time.Equal(nine) {
		t.Errorf("event %+v", e)
	}
	if e.Focus == nil || e.Focus.ID() != "e1" || len(e.Included) != 1 || string(e.Included[0].Bytes()) != string(patient.Bytes()) {
		t.Errorf("focus %v, included %v", e.Focus, e.Included)
	}
	reduced := `{"resourceType":"Bundle","type":"history","entry":[{"fullUrl":"https://hie/baseR4/Encounter/e1"}]}`
	if e, err := ParseEvent(headers, []byte(reduced)); err != nil || e.Focus != nil || e.Included != nil || e.Subject != "Encounter/e1" {
		t.Errorf("an event without records: %+v, %v", e, err)
	}
	for name, breaks := range map[string]func(h map[string]string, v *string){
		"no headers":    func(h map[string]string, _ *string) { clear(h) },
		"no id":         func(h map[string]string, _ *string) { delete(h, "ce_id") },
		"no type":       func(h map[string]string, _ *string) { delete(h, "ce_type") },
		"other version": func(h map[string]string, _ *string) { h["ce_specversion"] = "2.0" },
		"bad subject":   func(h map[string]string, _ *string) { h["ce_subject"] = "e1" },
		"bad time":      func(h map[string]string, _ *string) { h["ce_time"] = "now" },
		"no JSON":       func(_ map[string]string, v *string) { *v = "Siti" },
		"no Bundle":     func(_ map[string]string, v *string) { *v = `{"resourceType":"Patient"}` },
		"no history":    func(_ map[string]string, v *string) { *v = `{"resourceType":"Bundle","type":"batch"}` },
		"broken record": func(_ map[string]string, v *string) {
			*v = `{"resourceType":"Bundle","type":"history","entry":[{"resource":{"resourceType":7}}]}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, h, v := notification(t, "e1", 3)
			text := string(v)
			breaks(h, &text)
			if e, err := ParseEvent(h, []byte(text)); err == nil {
				t.Errorf("parsed as %+v", e)
			} else if strings.Contains(err.Error(), "Siti") {
				t.Errorf("the error shows the message: %v", err)
			}
		})
	}
}

func TestTopicsAreTheExchanges(t *testing.T) {
	topics := map[string]func(string) string{"Encounter": EncounterTopic, "Appointment": AppointmentTopic}
	for _, topic := range subscription.Default() {
		name := topics[topic.Resource]
		for _, id := range []string{"11-05060009", "a.b", "a_b", "a/b", "ü", strings.Repeat("x", 64), strings.Repeat("_", 64)} {
			if got, want := name(id), topic.For(id); got != want {
				t.Errorf("%s is %s for the exchange", got, want)
			}
		}
	}
}

func TestSeen(t *testing.T) {
	s := NewSeen(2)
	for _, id := range []string{"a", "b", "b", "c"} {
		s.Add(id)
	}
	if s.Has("a") || !s.Has("b") || !s.Has("c") || s.Has("") {
		t.Error("the latest two are not b and c")
	}
	NewSeen(0).Add("a")
}

// hub is a broker with the means to publish on it.
type hub struct {
	*broker.Broker
	t      *testing.T
	topic  string
	client *Client
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{t: t, Broker: &broker.Broker{Dir: t.TempDir(), Listen: "127.0.0.1:0"}, topic: EncounterTopic("o1")}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	if err := h.EnsureTopics(t.Context(), h.topic); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Server: "https://hie", Kafka: []string{h.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	c.wait = func(ctx context.Context, _ time.Duration) error { return sleep(ctx, time.Millisecond) }
	h.client = c
	return h
}

func (h *hub) publish(ids ...string) {
	h.t.Helper()
	for _, id := range ids {
		_, headers, value := notification(h.t, id, 1)
		r := &kgo.Record{Topic: h.topic, Key: []byte("Encounter/" + id), Value: value}
		for name, v := range headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(v)})
		}
		h.produce(r)
	}
}

func (h *hub) produce(r *kgo.Record) {
	h.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(h.Addr()))
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) config() ConsumerConfig {
	return ConsumerConfig{Group: "desk", Topics: []string{h.topic}, FromStart: true}
}

// read consumes until n events were handled well and gives their subjects.
// The handler may fail; fails is asked first.
func (h *hub) read(n int, fails func(Event) error) []string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	var got []string
	err := h.client.Consume(ctx, h.config(), func(_ context.Context, e Event) error {
		if fails != nil {
			if err := fails(e); err != nil {
				return err
			}
		}
		got = append(got, e.Focus.ID())
		if len(got) == n {
			cancel()
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

func TestConsumeGoesOnWhereItStopped(t *testing.T) {
	h := newHub(t)
	h.publish("e1", "e2", "e3")
	if got := h.read(2, nil); !slices.Equal(got, []string{"e1", "e2"}) {
		t.Errorf("read %v", got)
	}
	h.publish("e4")
	if got := h.read(2, nil); !slices.Equal(got, []string{"e3", "e4"}) {
		t.Errorf("then read %v", got)
	}
}

func TestConsumeSkipsNothing(t *testing.T) {
	h := newHub(t)
	h.publish("e1", "e2", "e3")
	failures := 0
	got := h.read(3, func(e Event) error {
		if e.Focus.ID() == "e2" && failures < 5 {
			failures++
			return errors.New("the database is away")
		}
		return nil
	})
	if !slices.Equal(got, []string{"e1", "e2", "e3"}) || failures != 5 {
		t.Errorf("read %v with %d failures", got, failures)
	}
}

// TestConsumeRepeatsWhatFailed: an event whose handler never succeeded is the
// first that comes after a new start.
func TestConsumeRepeatsWhatFailed(t *testing.T) {
	h := newHub(t)
	h.publish("e1", "e2")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := h.client.Consume(ctx, h.config(), func(_ context.Context, e Event) error {
		if e.Focus.ID() == "e2" {
			cancel()
			return errors.New("no")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.read(1, nil); !slices.Equal(got, []string{"e2"}) {
		t.Errorf("then read %v", got)
	}
}

func TestConsumeStopsAtForeignMessages(t *testing.T) {
	h := newHub(t)
	h.publish("e1")
	h.produce(&kgo.Record{Topic: h.topic, Value: []byte("Siti")})
	h.publish("e2")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ignore := func(context.Context, Event) error { return nil }
	for range 2 { // it stays in the way
		err := h.client.Consume(ctx, h.config(), ignore)
		if err == nil || !strings.Contains(err.Error(), "offset 1:") || strings.Contains(err.Error(), "Siti") {
			t.Fatalf("the error is %v", err)
		}
	}
	cfg := h.config()
	var told []error
	cfg.Foreign = func(err error) error { told = append(told, err); return nil }
	err := h.client.Consume(ctx, cfg, func(_ context.Context, e Event) error {
		if e.Focus.ID() == "e2" {
			cancel()
		}
		return nil
	})
	if err != nil || len(told) != 1 {
		t.Errorf("told of %v, error %v", told, err)
	}
}

// TestConsumeSharesAGroup: a second member takes partitions over, or waits, and
// every event is handled by one of them.
func TestConsumeSharesAGroup(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex
	handled := map[string]bool{}
	first := make(chan struct{})
	var once sync.Once
	var members sync.WaitGroup
	member := func() {
		err := h.client.Consume(ctx, h.config(), func(_ context.Context, e Event) error {
			mu.Lock()
			defer mu.Unlock()
			once.Do(func() { close(first) })
			if handled[e.Focus.ID()] = true; len(handled) == 20 {
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	members.Go(member)
	h.publish("e0")
	<-first
	members.Go(member)
	for i := range 19 {
		h.publish(fmt.Sprintf("e%d", i+1))
	}
	members.Wait()
	if len(handled) != 20 {
		t.Errorf("%d events were handled", len(handled))
	}
}

func TestConsumeOutlastsTheBroker(t *testing.T) {
	h := newHub(t)
	h.publish("e1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, done := make(chan string, 10), make(chan error)
	go func() {
		done <- h.client.Consume(ctx, h.config(), func(_ context.Context, e Event) error {
			got <- e.Focus.ID()
			return nil
		})
	}()
	if id := <-got; id != "e1" {
		t.Errorf("first read %s", id)
	}
	addr := h.Addr()
	h.Stop()
	h.Listen = addr
	if err := h.Start(ctx); err != nil {
		t.Fatal(err)
	}
	h.publish("e2")
	for id := ""; id != "e2"; {
		select {
		case id = <-got:
		case <-ctx.Done():
			t.Fatal("nothing came after the restart")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConsumeNeedsItsParts(t *testing.T) {
	h := newHub(t)
	without, _ := New(Config{Server: "https://hie"})
	for name, c := range map[string]struct {
		client *Client
		cfg    ConsumerConfig
	}{
		"brokers":    {without, h.config()},
		"a group":    {h.client, ConsumerConfig{Topics: []string{"x"}}},
		"topics":     {h.client, ConsumerConfig{Group: "g"}},
		"topic name": {h.client, ConsumerConfig{Group: "g", Topics: []string{""}}},
	} {
		if err := c.client.Consume(t.Context(), c.cfg, nil); err == nil {
			t.Errorf("Consume without %s", name)
		}
	}
}
