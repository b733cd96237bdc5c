package fault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/app"
)

// phone is a patient's browser without scripts. It stays signed in over all
// crashes of the exchange.
type phone struct {
	app.DemoPatient
	server string
	http   *http.Client
	csrf   string

	mu      sync.Mutex
	pending []string // titles of acknowledged messages that were not looked for yet
}

const root = "/rekodsaya"

// maxPending is how many messages may wait to be looked for: the inbox shows
// the last hundred.
const maxPending = 60

func signIn(ctx context.Context, t *testing.T, server string, who app.DemoPatient) *phone {
	t.Helper()
	jar, _ := cookiejar.New(nil) // never fails
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	p := &phone{DemoPatient: who, server: server, http: &http.Client{
		Jar: jar, Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, step := range []struct {
		page, form string
		values     url.Values
	}{
		{"/sign-in", "/sign-in", url.Values{"identity": {who.IdentityNumber}}},
		{"/sign-in/code", "/sign-in/code", url.Values{"code": {who.SignInCode}}},
		{"/inbox", "", nil},
	} {
		body, err := p.open(ctx, step.page)
		if err != nil {
			t.Fatalf("%s cannot sign in: %v", who.ID, err)
		}
		p.csrf = csrfField.FindStringSubmatch(body)[1]
		if step.form == "" {
			break
		}
		if to, err := p.submit(ctx, step.form, step.values); err != nil || strings.Contains(to, "m=") {
			t.Fatalf("%s cannot sign in: led to %q, %v", who.ID, to, err)
		}
	}
	return p
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// open loads a page.
func (p *phone) open(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+root+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return string(body), nil
	case unanswered(resp.StatusCode):
		return "", errUnanswered
	}
	return "", answered{resp.StatusCode, resp.Header.Get("Location")}
}

// submit sends a form and gives where it leads.
func (p *phone) submit(ctx context.Context, path string, values url.Values) (to string, err error) {
	form := url.Values{"csrf": {p.csrf}}
	for k, v := range values {
		form[k] = v
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.server+root+path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusSeeOther && strings.HasPrefix(resp.Header.Get("Location"), root+"/sign-in") && !strings.HasPrefix(path, "/sign-in"):
		return "", answered{resp.StatusCode, resp.Header.Get("Location")}
	case resp.StatusCode == http.StatusSeeOther:
		return resp.Header.Get("Location"), nil
	case unanswered(resp.StatusCode):
		return "", errUnanswered
	}
	return "", answered{resp.StatusCode, ""}
}

// errUnanswered says that nobody knows what became of a form: a patient sends
// it again.
var errUnanswered = errors.New("there was no answer")

// answered is an answer that leads nowhere.
type answered struct {
	status int
	to     string
}

func (a answered) Error() string { return fmt.Sprintf("the page answers %d %s", a.status, a.to) }

// press sends a form of an appointment once; done tells whether the exchange
// has acknowledged it, err that there was no answer.
func (p *phone) press(ctx context.Context, l *ledger, appointment, button string, values url.Values) (done bool, err error) {
	to, err := p.submit(ctx, "/appointments/"+appointment+"/"+button, values)
	if _, ok := err.(answered); ok {
		l.t.Errorf("%s of Appointment/%s: %v", button, appointment, err)
		return false, nil
	}
	if err != nil {
		l.with(func() { l.unknown[button]++ })
		return false, err
	}
	if strings.Contains(to, "m=") {
		l.with(func() { l.refused[button]++ })
		return false, nil
	}
	return true, nil
}

// pressUntil sends a form until there is an answer.
func (p *phone) pressUntil(ctx context.Context, l *ledger, appointment, button string, values url.Values) bool {
	for {
		done, err := p.press(ctx, l, appointment, button, values)
		if err == nil {
			return done
		}
		if !pause(ctx, 50*time.Millisecond) {
			return false
		}
	}
}

// checkIn taps with so many fingers at once, again until one is answered.
func (p *phone) checkIn(ctx context.Context, l *ledger, appointment string, fingers int) bool {
	for {
		done, failed := make([]bool, fingers), make([]error, fingers)
		var wg sync.WaitGroup
		for i := range fingers {
			wg.Go(func() {
				done[i], failed[i] = p.press(ctx, l, appointment, "check-in", url.Values{"consent": {"yes"}})
			})
		}
		wg.Wait()
		acknowledged, broken := 0, 0
		for i := range fingers {
			if done[i] {
				acknowledged++
			} else if failed[i] != nil {
				broken++
			}
		}
		l.with(func() { l.taps += acknowledged })
		switch {
		case acknowledged+broken < fingers:
			l.t.Errorf("a check-in to Appointment/%s was refused: %d of %d taps acknowledged, %d without an answer", appointment, acknowledged, fingers, broken)
			return false
		case acknowledged > 0:
			return true
		case !pause(ctx, 50*time.Millisecond):
			return false
		}
	}
}

var phaseMark = regexp.MustCompile(`data-phase="([a-z]+)"`)

// phase is what the page of an appointment says.
func (p *phone) phase(ctx context.Context, appointment string) (string, error) {
	body, err := p.open(ctx, "/appointments/"+appointment)
	if err != nil {
		return "", err
	}
	m := phaseMark.FindStringSubmatch(body)
	if m == nil {
		return "", fmt.Errorf("the page of Appointment/%s shows no state", appointment)
	}
	return m[1], nil
}

// await waits at the page of an appointment, as the waiting room does, until
// it is the patient's turn or over: it looks at each signal of the live stream,
// and comes back when the stream ends.
func (p *phone) await(ctx context.Context, appointment string) error {
	for {
		err := p.watch(ctx, appointment)
		if err == nil || !pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// watch is await on one stream; the error says that it has ended.
func (p *phone) watch(ctx context.Context, appointment string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+root+"/appointments/"+appointment+"/events", nil)
	if err != nil {
		return err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errUnanswered
	}
	lines := bufio.NewScanner(resp.Body)
	for look := true; look || lines.Scan(); look = false {
		if !look && !strings.HasPrefix(lines.Text(), "data:") && !strings.HasPrefix(lines.Text(), "event:") {
			continue
		}
		switch now, err := p.phase(ctx, appointment); {
		case err != nil:
			return err
		case now != "open" && now != "waiting":
			return nil
		}
	}
	return errors.New("the live stream has ended")
}

// told notes an acknowledged message and looks into the inbox now and then.
func (p *phone) told(ctx context.Context, l *ledger, title string) {
	p.mu.Lock()
	p.pending = append(p.pending, title)
	full := len(p.pending) >= maxPending
	p.mu.Unlock()
	if full {
		p.readInbox(ctx, l)
	}
}

var messageTitle = regexp.MustCompile(`<h2>([^<]*)</h2>`)

// readInbox expects each acknowledged message exactly once.
func (p *phone) readInbox(ctx context.Context, l *ledger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		body, err := p.open(ctx, "/inbox")
		if err == nil {
			p.compare(l, body)
			return
		}
		if _, ok := err.(answered); ok {
			l.t.Errorf("the inbox of %s: %v", p.ID, err)
			return
		}
		if !pause(ctx, 50*time.Millisecond) {
			return
		}
	}
}

func (p *phone) compare(l *ledger, body string) {
	times := map[string]int{}
	for _, m := range messageTitle.FindAllStringSubmatch(body, -1) {
		times[html.UnescapeString(m[1])]++
	}
	for title, n := range times {
		if n > 1 {
			l.t.Errorf("%s has the message %s %d times", p.ID, title, n)
		}
	}
	for _, title := range p.pending {
		if times[title] == 0 {
			l.t.Errorf("LOST: the message %s to %s was acknowledged and is not in the inbox", title, p.ID)
		}
	}
	p.pending = nil
}

// pause waits; it gives false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
