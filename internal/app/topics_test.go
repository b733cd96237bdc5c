package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
	"github.com/jumpa-hie/jumpa/source"
)

// topicsExample is the file that operators copy.
const topicsExample = "../../deploy/topics.yaml"

func topicsFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is printed as the topics, or written as JSON, is read as the same.
func TestTopicsThatAreReadBack(t *testing.T) {
	printed, err := TopicsExample()
	if err != nil {
		t.Fatal(err)
	}
	written, err := json.MarshalIndent(subscription.Default(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"topics.yaml": printed, "topics.json": string(written)} {
		set, err := Config{Topics: topicsFile(t, name, text)}.topics()
		if err != nil || !reflect.DeepEqual(set.Topics(), subscription.Default()) {
			t.Errorf("%s: %v\n%+v", name, err, set)
		}
	}
	var fields []string
	for _, f := range topicFields {
		fields = append(fields, f.name)
	}
	var tags []string
	for f := range reflect.TypeFor[subscription.Topic]().Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		tags = append(tags, tag)
		page, err := os.ReadFile("../../docs/topics.md")
		if err != nil || !strings.Contains(string(page), "\n| `"+tag+"` | ") {
			t.Errorf("docs/topics.md does not explain %s, %v", tag, err)
		}
	}
	if !slices.Equal(fields, tags) {
		t.Errorf("the fields read are %v, those written %v", fields, tags)
	}

	example, err := Config{Topics: topicsExample}.topics()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(example.Topics()[:2], subscription.Default()) {
		t.Error("the example's topics of the virtual consultation are not the usual ones")
	}
	page, _ := os.ReadFile("../../docs/topics.md")
	_, block, _ := strings.Cut(string(page), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	shown, err := Config{Topics: topicsFile(t, "topics.yaml", block)}.topics()
	if err != nil || !reflect.DeepEqual(shown.Topics()[0], example.Topics()[2]) {
		t.Errorf("the topic in docs/topics.md is not that of the example, %v", err)
	}
}

func TestTopicFilesThatAreRefused(t *testing.T) {
	const good = "- name: hie.lab.{organization}\n  category: affiliate\n  resource: ServiceRequest\n  recipients: [performer]\n" +
		"  criteria:\n    - {element: status, any: [active]}\n  payload: id-only\n  eventType: lab\n"
	with := func(old, replacement string) string { return strings.Replace(good, old, replacement, 1) }
	if _, err := (Config{Topics: topicsFile(t, "topics.yaml", good)}).topics(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, says string }{
		"nothing":                {"", "FILE is not a list of topics"},
		"comments alone":         {"# topics\n", "FILE is not a list of topics"},
		"null":                   {"null\n", "FILE is not a list of topics"},
		"no list":                {"name: x\n", "FILE is not a list of topics"},
		"an empty list":          {"[]\n", "FILE: There must be a topic"},
		"a text for a topic":     {"- hie.lab\n", "line 1 of FILE is not a topic"},
		"no YAML":                {"- name: a: b\n", "line 1 of FILE cannot be read"},
		"a tab":                  {"-\tname: x\n\tcategory: y\n", "FILE cannot be read"},
		"an unfinished list":     {with("[performer]", "[performer"), "FILE cannot be read"},
		"two documents":          {good + "---\n" + good, "of FILE begins a second document"},
		"an alias":               {"- &a {name: x}\n- *a\n", "line 1 of FILE has an anchor"},
		"a tag":                  {with("id-only", "!!binary id-only"), "line 7 of FILE has an anchor, an alias or a tag"},
		"unknown field":          {with("payload", "payloads"), `line 7 of FILE in topic "hie.lab.{organization}": it has no field "payloads"`},
		"another case":           {with("eventType", "eventtype"), `it has no field "eventtype"`},
		"a field twice":          {good + "  payload: empty\n", `line 9 of FILE: "payload" was set above`},
		"a list for a text":      {with("id-only", "[id-only]"), "line 7 of FILE in topic \"hie.lab.{organization}\": it needs a text as payload"},
		"a text for a list":      {with("[performer]", "performer"), "it needs a list as recipients"},
		"a mapping in a list":    {with("[performer]", "[{a: b}]"), "it needs a list of texts as recipients"},
		"no truth":               {good + "  byOthers: perhaps\n", "line 9 of FILE in topic \"hie.lab.{organization}\": it needs true or false as byOthers"},
		"a criterion as a text":  {with("- {element: status, any: [active]}", "- status=active"), "line 6 of FILE in topic \"hie.lab.{organization}\": it needs element and any"},
		"field of a criterion":   {with("any:", "one:"), `line 6 of FILE in topic "hie.lab.{organization}": it has no field "one" in its criteria`},
		"a mapping for a name":   {"- {a: b}: c\n", "line 1 of FILE has a list or a mapping where a name belongs"},
		"payload":                {with("id-only", "everything"), `FILE: Topic "hie.lab.{organization}": payload must be empty, id-only or full-resource`},
		"no payload":             {with("  payload: id-only\n", ""), `Topic "hie.lab.{organization}": payload must be`},
		"an element that is not": {with("element: status", "element: state"), `Topic "hie.lab.{organization}": criteria holds the element "state"`},
		"two names":              {good + good, `Topic "hie.lab.{organization}": name may be`},
		"too large":              {"#" + strings.Repeat("x", maxFile), "FILE is larger than"},
		"very deep":              {strings.Repeat("[", 200_000), "FILE cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			at := topicsFile(t, "topics.yaml", c.text)
			cfg := Defaults()
			cfg.Topics = at
			err := cfg.check()
			var mistake *UsageError
			if want := strings.ReplaceAll(c.says, "FILE", at); !errors.As(err, &mistake) || !strings.HasPrefix(mistake.Line, "JUMPA_TOPICS: ") || !strings.Contains(mistake.Line, want) ||
				strings.Contains(mistake.Line, "\n") || len(mistake.Line) > 600 {
				t.Errorf("the error is %v, want %q", err, want)
			}
		})
	}
	cfg := Defaults()
	for _, cfg.Topics = range []string{filepath.Join(t.TempDir(), "absent.yaml"), t.TempDir()} {
		if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "JUMPA_TOPICS: "+cfg.Topics+" cannot be read") {
			t.Errorf("%s: %v", cfg.Topics, err)
		}
	}
}

// systems gives the demo's source systems, each with its organisation.
func systems(t *testing.T, a *App) (list []*source.Client, organizations []string) {
	t.Helper()
	for _, c := range a.cast.Clients {
		sys, err := source.New(source.Config{Server: a.URL(), ClientID: c.ClientID, ClientSecret: c.ClientSecret, Kafka: a.brokers})
		if err != nil {
			t.Fatal(err)
		}
		list, organizations = append(list, sys), append(organizations, c.Organization)
	}
	return list, organizations
}

// awaited reads topics until the subject is announced on one.
func awaited(t *testing.T, sys *source.Client, subject string, topics ...string) (found source.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := sys.Consume(ctx, source.ConsumerConfig{Group: t.Name(), Topics: topics, FromStart: true}, func(_ context.Context, e source.Event) error {
		if e.Subject == subject {
			found = e
			cancel()
		}
		return nil
	})
	if err != nil || found.ID == "" {
		t.Fatalf("nothing is said of %s on %v, %v", subject, topics, err)
	}
	return found
}

func put(t *testing.T, sys *source.Client, body string) {
	t.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err == nil {
		_, err = sys.Put(t.Context(), doc)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
}

const labRequest = `{"resourceType":"ServiceRequest","id":%q,"status":"active","intent":"order","category":[{"coding":[{"system":"http://snomed.info/sct","code":"108252007"}]}],` +
	`"code":{"text":"Full blood count"},"subject":{"reference":"Patient/demo-aminah"},"performer":[{"reference":"Organization/%s"}]}`

// The topics of the example reach source systems over the embedded broker, and
// everything that speaks of topics knows them.
func TestConfiguredTopics(t *testing.T) {
	cfg := laptop(t, t.TempDir())
	cfg.Topics = topicsExample
	a := running(t, cfg)
	list, organizations := systems(t, a)
	hospital, clinic := list[0], list[1]

	if got := a.cast.Clients[1].Topics; !slices.Contains(got, source.TopicName("hie.lab.request.{organization}", organizations[1])) || !slices.Contains(got, "hie.vc.slot") || len(got) != 5 {
		t.Errorf("the clinic is told to read %v", got)
	}
	put(t, hospital, fmt.Sprintf(labRequest, "lab-1", organizations[1]))
	e := awaited(t, clinic, "ServiceRequest/lab-1", source.TopicName("hie.lab.request.{organization}", organizations[1]))
	if e.Type != "my.gov.moh.hie.lab.request-active.v1" || e.Focus == nil || len(e.Included) != 1 || e.Included[0].ID() != "demo-aminah" {
		t.Errorf("the clinic got %s with %v and %d more", e.Type, e.Focus, len(e.Included))
	}
	if _, err := clinic.Get(t.Context(), e.Subject); err != nil {
		t.Errorf("the clinic cannot read what it was told of: %v", err)
	}

	t.Run("a public topic", func(t *testing.T) {
		start := time.Now().Add(48 * time.Hour).Truncate(time.Minute)
		schedule, err := source.NewSchedule(source.ScheduleParams{
			ID: "sch-1", ServiceType: "VCI", Specialty: "02", ScheduleType: "public", HealthcareService: "htj-vci", Start: start, End: start.Add(time.Hour),
		})
		if err == nil {
			_, err = hospital.Put(t.Context(), schedule)
		}
		if err != nil {
			t.Fatal(err)
		}
		slot, err := source.NewSlot(source.SlotParams{
			ID: "slot-1", ServiceType: "VCI", Specialty: "02", ScheduleType: "public", Schedule: "sch-1", Quota: 1, Start: start, End: start.Add(time.Hour),
		})
		if err == nil {
			_, err = hospital.Put(t.Context(), slot)
		}
		if err != nil {
			t.Fatal(err)
		}
		e := awaited(t, clinic, "Slot/slot-1", "hie.vc.slot")
		if e.Focus != nil || len(e.Included) > 0 || e.Type != "my.gov.moh.hie.vc.slot-free.v1" {
			t.Errorf("the public topic carries %v", e.Focus)
		}
	})
	t.Run("FHIR", func(t *testing.T) {
		resp, err := http.Get(a.base() + "/metadata")
		if err != nil {
			t.Fatal(err)
		}
		statement, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Contains(statement, []byte(`"valueCanonical":"`+a.base()+`/SubscriptionTopic/hie.lab.request"`)) {
			t.Errorf("the statement does not name the topic, %v", err)
		}
		put(t, clinic, `{"resourceType":"Subscription","id":"lab","status":"requested","reason":"laboratory","criteria":"`+a.base()+`/SubscriptionTopic/hie.lab.request",`+
			`"channel":{"type":"websocket","payload":"application/fhir+json","_payload":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content","valueCode":"full-resource"}]}}}`)
		put(t, hospital, fmt.Sprintf(labRequest, "lab-2", organizations[1]))
		put(t, hospital, fmt.Sprintf(labRequest, "lab-3", organizations[0])) // asks itself
		var sub store.Subscriber
		err = a.store.View(t.Context(), func(r store.Reader) (err error) { sub, err = r.Subscriber("lab"); return err })
		if err != nil || sub.Events != 1 {
			t.Errorf("the Subscription has %d events, want 1; %v", sub.Events, err)
		}
	})
	t.Run("without the topic", func(t *testing.T) {
		a.Stop()
		cfg.Demo, cfg.Listen = false, a.listener.Addr().String()
		cfg.Topics = topicsFile(t, "topics.yaml", "- {name: 'hie.vc.appointment.{organization}', category: affiliate, resource: Appointment, criteria: [{element: status, any: [booked]}], payload: empty, eventType: x}\n")
		var log bytes.Buffer
		again, err := Start(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		again.Stop()
		for _, want := range []string{"no topic announces each Encounter", "Subscriptions to topics that there are no more", "subscriptions=1"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, log.String())
			}
		}
		says := ""
		for _, f := range Check(t.Context(), cfg) {
			if f.Part == "topics" {
				says += fmt.Sprintf("%v %v %s\n", f.OK, f.Odd, f.Says)
			}
		}
		if !strings.Contains(says, "true false hie.vc.appointment.{organization} (affiliate Appointment, empty)\ntrue true no topic announces") {
			t.Errorf("the check says %q", says)
		}
	})
}
