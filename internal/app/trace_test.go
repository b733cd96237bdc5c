package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// receiver takes traces as a collector does.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlp.Span
	text  strings.Builder // all that came
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var in collector.ExportTraceServiceRequest
		body, err := gzip.NewReader(req.Body)
		if err == nil {
			var raw []byte
			if raw, err = io.ReadAll(body); err == nil {
				err = proto.Unmarshal(raw, &in)
			}
		}
		if err != nil || req.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", req.URL.Path, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.text.WriteString(protojson.Format(&in))
		for _, rs := range in.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				r.spans = append(r.spans, ss.GetSpans()...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// named gives the spans of a name, and their number.
func (r *receiver) named(name string) (found []*otlp.Span) {
	for _, s := range r.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

// lines is a log in memory.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

// watchedNode is a node with all that an operator can watch turned on, and a
// Jitsi beside it.
func watchedNode(t *testing.T, traces string) (*cluster, *lines) {
	t.Helper()
	jitsi := jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi", Bearer: shownByProsody})
	t.Cleanup(jitsi.Close)
	cfg := laptop(t, t.TempDir())
	cfg.Log, cfg.LogLevel, cfg.OTLPEndpoint, cfg.OTLPRatio = "json", "debug", traces, 1
	cfg.MeetingProvider, cfg.JitsiDomain, cfg.JitsiControlURL, cfg.JitsiBearer = "jitsi", "meet.example.my", jitsi.URL(), shownByProsody
	log := &lines{}
	logger, err := cfg.Logger(log)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Start(context.WithoutCancel(t.Context()), cfg, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	jitsi.Configure(func(o *jitsitest.Options) {
		o.LoginKeys, o.SystemKeys = a.URL()+"/jitsi/asap/login", a.URL()+"/jitsi/asap/system"
		o.Reservations, o.Events = a.URL()+"/jitsi/reservation", a.URL()+"/jitsi"
	})
	return &cluster{a: a, kafka: a.Kafka()}, log
}

// TestWatchingTellsNobody plays a whole consultation with every line of the
// log, every trace and all metrics on, and looks for people and secrets there.
func TestWatchingTellsNobody(t *testing.T) {
	traces := newReceiver(t)
	c, log := watchedNode(t, traces.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	v := &visitor{T: t, cast: c.a.cast}
	v.signInSystem(c.a)
	header := map[string]string{"Authorization": "Bearer " + v.token, "Content-Type": "application/fhir+json"}
	hooked := make(chan struct{}, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hooked <- struct{}{} }))
	t.Cleanup(hook.Close)
	if status, body := v.request(c.a, http.MethodPost, "/baseR4/Subscription", header, `{"resourceType":"Subscription","status":"requested","reason":"to know","criteria":"Encounter?status=finished",
		"channel":{"type":"rest-hook","endpoint":"`+hook.URL+`/hook-path","payload":"application/fhir+json","header":["Authorization: Bearer hook-secret-4711"]}}`); status != http.StatusCreated {
		t.Fatalf("the Subscription gets %d: %s", status, body)
	}

	const id, told, practitioner = "watched", "Please call about your kidneys", "Dr Farid bin Osman"
	p := c.a.cast.Patients[0]
	sys := c.system(t, at(c.a))
	c.book(t, sys, id, p)
	phone := play.NewPatient(at(c.a))
	if err := phone.SignIn(ctx, p.IdentityNumber, p.SignInCode); err != nil {
		t.Fatal(err)
	}
	if err := v.signIn(c.a); err != nil {
		t.Fatal(err)
	}
	v.request(c.a, http.MethodGet, "/rekodsaya/appointments?name=Aminah&nric="+p.IdentityNumber, map[string]string{"Cookie": "rekodsaya_session=" + v.cookie, "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate": "vendor=" + p.IdentityNumber, "User-Agent": p.Name}, "")
	if _, err := c.a.access.browsers.SignIn(ctx, "patient", p.IdentityNumber, "no such code 4711", false); err == nil {
		t.Fatal("a wrong code is right")
	}
	if err := phone.CheckIn(ctx, id); err != nil {
		t.Fatal(err)
	}
	visit := encounter(t, sys, id)
	token := mycore.Token(visit)
	if _, err := sys.Activate(ctx, token); err != nil {
		t.Fatal(err)
	}
	_, call := v.request(c.a, http.MethodGet, "/rekodsaya/appointments/"+id+"/call", map[string]string{"Cookie": "rekodsaya_session=" + v.cookie}, "")
	jwt := regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`).FindString(call)
	if jwt == "" {
		t.Fatalf("the page of the call has no token: the test is blind\n%s", call)
	}
	if _, err := sys.Notify(ctx, source.Notification{Title: "Ready", Body: told, PatientIDs: []string{p.IdentityNumber}}); err != nil {
		t.Fatal(err)
	}
	started, err := encounter(t, sys, id).With(fhir.Set("status", "in-progress"))
	if err == nil {
		_, err = sys.Put(ctx, started)
	}
	if err != nil {
		t.Fatal(err)
	}
	finished, err := source.FinishEncounter(encounter(t, sys, id), source.FinishParams{At: time.Now(), Outcome: "1", PractitionerName: practitioner})
	if err == nil {
		_, err = sys.Put(ctx, finished)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = phone.Rate(ctx, id, "5", told) // how it ends is no matter here
	c.statuses(ctx, t, sys, map[string]string{visit.ID(): "arrived in-progress finished"})
	select {
	case <-hooked:
	case <-ctx.Done():
		t.Fatal("the Subscription was not told")
	}
	if status, body := v.request(c.a, http.MethodPatch, "/jitsi/v1/sessions/"+token, header, `{"status":"ended"}`); status != http.StatusOK {
		t.Errorf("ending the session gets %d: %s", status, body)
	}
	v.request(c.a, http.MethodGet, "/baseR4/Patient?identifier="+p.IdentityNumber+"&name=Aminah", header, "")
	v.request(c.a, http.MethodPut, "/baseR4/Patient/odd", header, `{"resourceType":"Patient","id":"odd","name":"`+p.Name+`","gender":"`+p.IdentityNumber+`"}`)
	metrics, _ := exposed(t, c.a)
	for move, want := range map[string]string{"check in": "1", "activate": "1", "finish": "1"} {
		if got := value(t, c.a, `jumpa_consultation_moves_total{move="`+move+`"}`); got != want {
			t.Errorf("%s is counted %s times", move, got)
		}
	}
	codes := c.a.access.codes.messages()
	c.a.Stop()

	secrets := map[string]string{
		"a name": p.Name, "an identity number": p.IdentityNumber, "the standing code": p.SignInCode, "an access token": v.token, "a cookie": v.cookie,
		"a client's secret": c.a.cast.Clients[0].ClientSecret, "a session's token": token, "a message": told, "a practitioner": practitioner,
		"a header of a hook": "hook-secret-4711", "the address of a hook": "hook-path", "what Prosody shows": shownByProsody, "a wrong code": "no such code 4711",
		"a parameter": "nric", "a token of a call": jwt,
	}
	for _, m := range codes {
		secrets["a one-time code "+m.Code] = m.Code
	}
	if len(codes) == 0 {
		t.Error("no one-time code was sent: the test is blind")
	}
	shown := func(where, text string) {
		for name, secret := range secrets {
			if regexp.MustCompile(`(^|[^0-9A-Za-z])` + regexp.QuoteMeta(secret) + `($|[^0-9A-Za-z])`).MatchString(text) {
				t.Errorf("%s shows %s: %.300s", where, name, text)
			}
		}
	}
	requests := 0
	for line := range strings.Lines(log.String()) {
		var said map[string]any
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Errorf("%q is no JSON: %v", line, err)
		}
		if said["msg"] == "request" {
			requests++
		}
		delete(said, "took") // a number like any code
		text, _ := json.Marshal(said)
		shown("the log", string(text))
	}
	shown("a metric", metrics)
	traces.mu.Lock()
	defer traces.mu.Unlock()
	shown("a trace", traces.text.String())
	if requests < 20 || len(traces.spans) < 50 {
		t.Errorf("%d requests in the log and %d spans: the test is blind", requests, len(traces.spans))
	}
	traces.hangTogether(t)
}

// hangTogether looks at how spans are connected.
func (r *receiver) hangTogether(t *testing.T) {
	t.Helper()
	roots := map[string]string{} // span ids of writes, by trace
	for _, name := range []string{"PUT /baseR4/{type}/{id}", "POST /baseR4/{type}/_search"} {
		if len(r.named(name)) == 0 {
			t.Errorf("there is no span %q", name)
		}
		for _, s := range r.named(name) {
			roots[hex.EncodeToString(s.GetTraceId())] = hex.EncodeToString(s.GetSpanId())
		}
	}
	within := 0
	for _, s := range append(r.named("store update"), r.named("store view")...) {
		if root := roots[hex.EncodeToString(s.GetTraceId())]; root != "" && root == hex.EncodeToString(s.GetParentSpanId()) {
			within++
		}
	}
	linked := 0
	for _, s := range r.named("publish") {
		for _, l := range s.GetLinks() {
			if roots[hex.EncodeToString(l.GetTraceId())] != "" {
				linked++
			}
		}
	}
	if within == 0 || linked == 0 {
		t.Errorf("%d transactions stand below their requests, %d batches are linked to them", within, linked)
	}
	for _, name := range []string{"deliver notification", "video system"} {
		if len(r.named(name)) == 0 {
			t.Errorf("there is no span %q", name)
		}
	}
}
