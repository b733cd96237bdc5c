package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

func answerOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestStop stops a node while a page waits and a request is under way: it says
// so first, serves until the balancers have had time to see it, ends the
// stream, finishes the request, and brings out its event.
func TestStop(t *testing.T) {
	cfg := laptop(t, t.TempDir())
	cfg.Drain = time.Second
	a := running(t, cfg)
	resume := make(chan struct{})
	paused := make(chan time.Duration, 1)
	a.pause = func(d time.Duration) { paused <- d; <-resume }

	status := func(path string) (int, string) {
		resp, err := http.Get(a.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, answerOf(t, resp)
	}
	if code, body := status("/readyz"); code != http.StatusOK {
		t.Fatalf("/readyz answers %d before the stop: %s", code, body)
	}
	v := &visitor{T: t, cast: a.cast}
	v.signInSystem(a)
	if err := v.signIn(a); err != nil {
		t.Fatal(err)
	}
	page := func(path string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(&http.Cookie{Name: "rekodsaya_session", Value: v.cookie})
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	found := regexp.MustCompile(`/rekodsaya/appointments/[A-Za-z0-9.-]+`).FindString(answerOf(t, page("/rekodsaya/appointments")))
	if found == "" {
		t.Fatal("the demo has no appointment for its first patient")
	}
	stream := page(found + "/events")
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream answers %d", stream.StatusCode)
	}
	defer func() { _ = stream.Body.Close() }()

	// A request whose body the exchange has begun to ask for.
	client := a.cast.Clients[0]
	doc := `{"resourceType":"Patient","id":"late","managingOrganization":{"reference":"Organization/` + client.Organization + `"}}`
	body, rest := io.Pipe()
	taken := make(chan struct{})
	asked := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(taken) }})
	req, err := http.NewRequestWithContext(asked, http.MethodPut, a.base()+"/Patient/late", body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + v.token, "Content-Type": "application/fhir+json", "Expect": "100-continue"} {
		req.Header.Set(name, value)
	}
	type answer struct {
		resp *http.Response
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		resp, err := (&http.Transport{ExpectContinueTimeout: time.Minute}).RoundTrip(req)
		answered <- answer{resp, err}
	}()
	select {
	case <-taken:
	case got := <-answered:
		t.Fatalf("an answer before the body: %+v", got)
	}

	stopped := make(chan struct{})
	go func() { a.Stop(); close(stopped) }()
	if d := <-paused; d != cfg.Drain {
		t.Errorf("it waits %s for the balancers", d)
	}
	if code, body := status("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "stopping") {
		t.Errorf("/readyz answers %d while it stops: %s", code, body)
	}
	if code, _ := status("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz answers %d while it stops: it would be killed", code)
	}
	if code, _ := status("/baseR4/metadata"); code != http.StatusOK {
		t.Errorf("a request during the pause gets %d", code)
	}
	select {
	case <-stopped:
		t.Error("it did not wait for the balancers")
	default:
	}
	close(resume)
	if _, err := io.Copy(io.Discard, stream.Body); err != nil {
		t.Errorf("the stream breaks off: %v", err)
	}
	_, _ = io.WriteString(rest, doc) // an early answer closes it, and shows below
	_ = rest.Close()
	got := <-answered
	if got.err != nil {
		t.Fatalf("the request under way was broken off: %v", got.err)
	}
	if text := answerOf(t, got.resp); got.resp.StatusCode != http.StatusCreated {
		t.Errorf("the request under way gets %d: %s", got.resp.StatusCode, text)
	}
	<-stopped

	st, err := openStore(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	err = st.View(t.Context(), func(r store.Reader) error {
		_, err := r.Resource("Patient", "late")
		return err
	})
	if err != nil {
		t.Errorf("what was answered is not on disk: %v", err)
	}
}
