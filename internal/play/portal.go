// Package play holds whole consultations and load, played against a running
// exchange from outside: as a source system through the public SDK, as
// patients through the pages of RekodSaya, and as participants of the call
// with real media.
//
// It proves an installation and measures it. It uses nothing but the public
// interfaces, and it works with demo credentials only.
package play

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// maxPage bounds a page that is read.
const maxPage = 1 << 20

// Patient is a patient at a browser without scripts.
type Patient struct {
	server string
	http   *http.Client
}

// NewPatient opens a browser on the exchange at server.
func NewPatient(server string) *Patient {
	jar, _ := cookiejar.New(nil) // never fails
	return &Patient{server: server, http: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// page is what came back: where the browser ended up, and the parsed page.
type page struct {
	status int
	url    *url.URL
	root   *html.Node
}

func (p *Patient) do(req *http.Request) (*page, error) {
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	root, err := html.Parse(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, err
	}
	return &page{status: resp.StatusCode, url: resp.Request.URL, root: root}, nil
}

// open loads a page.
func (p *Patient) open(ctx context.Context, path string) (*page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+path, nil)
	if err != nil {
		return nil, err
	}
	pg, err := p.do(req)
	if err == nil && pg.status != http.StatusOK {
		return pg, fmt.Errorf("the page %s answers %d: %s", req.URL.Path, pg.status, pg.heading())
	}
	return pg, err
}

// submit fills in and sends the form of a page whose action is path.
func (p *Patient) submit(ctx context.Context, on *page, path string, values url.Values) (*page, error) {
	filled := hiddenFields(on, path)
	if filled == nil {
		return nil, fmt.Errorf("the page %s has no form for %s: %s", on.url.Path, path, on.heading())
	}
	for name, v := range values {
		filled[name] = v
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.server+path, strings.NewReader(filled.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	pg, err := p.do(req)
	if err == nil && pg.status != http.StatusOK {
		return pg, fmt.Errorf("the form %s answers %d: %s", path, pg.status, pg.heading())
	}
	return pg, err
}

// hiddenFields gives what the form for path carries unseen; nil without such a
// form.
func hiddenFields(on *page, path string) url.Values {
	form := find(on.root, func(n *html.Node) bool { return n.Data == "form" && attr(n, "action") == path })
	if form == nil {
		return nil
	}
	fields := url.Values{}
	walk(form, func(n *html.Node) {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			fields.Set(attr(n, "name"), attr(n, "value"))
		}
	})
	return fields
}

// SignIn signs in with an identity number and a code.
func (p *Patient) SignIn(ctx context.Context, identityNumber, code string) error {
	return p.enter(ctx, "/rekodsaya/sign-in", url.Values{"identity": {identityNumber}}, func() (string, error) { return code, nil })
}

// Activate signs in for the first time, with a code that is sent once it has
// been asked for.
func (p *Patient) Activate(ctx context.Context, identityNumber string, code func() (string, error)) error {
	return p.enter(ctx, "/rekodsaya/activate", url.Values{"identity": {identityNumber}, "accept": {"yes"}}, code)
}

func (p *Patient) enter(ctx context.Context, door string, values url.Values, receive func() (string, error)) error {
	pg, err := p.open(ctx, door)
	if err != nil {
		return err
	}
	if pg, err = p.submit(ctx, pg, door, values); err != nil {
		return err
	}
	code, err := receive()
	if err != nil {
		return err
	}
	if pg, err = p.submit(ctx, pg, "/rekodsaya/sign-in/code", url.Values{"code": {code}}); err != nil {
		return err
	}
	if !strings.HasPrefix(pg.url.Path, "/rekodsaya/appointments") {
		return fmt.Errorf("signing in led to %s: %s", pg.url.Path, pg.heading())
	}
	return nil
}

func appointment(id string) string { return "/rekodsaya/appointments/" + url.PathEscape(id) }

// CheckIn gives consent and checks in.
func (p *Patient) CheckIn(ctx context.Context, id string) error {
	path := appointment(id) + "/check-in"
	pg, err := p.open(ctx, path)
	if err != nil {
		return err
	}
	_, err = p.submit(ctx, pg, path, url.Values{"consent": {"yes"}})
	return err
}

// Phase tells what the appointment's page says: early, open, waiting, ready,
// incall, finished, ….
func (p *Patient) Phase(ctx context.Context, id string) (string, error) {
	pg, err := p.open(ctx, appointment(id))
	if err != nil {
		return "", err
	}
	n := find(pg.root, func(n *html.Node) bool { return attr(n, "data-phase") != "" })
	if n == nil {
		return "", errors.New("the page of the appointment does not show its state")
	}
	return attr(n, "data-phase"), nil
}

// Await waits, as the waiting room does, until the page says one of the
// phases: it listens to the live signal and looks again at each.
func (p *Patient) Await(ctx context.Context, id string, phases ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan error, 1)
	go p.listen(ctx, id, signals)
	for {
		now, err := p.Phase(ctx, id)
		if err != nil {
			return err
		}
		for _, want := range phases {
			if now == want {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the page says %q and not %s: %w", now, strings.Join(phases, " or "), ctx.Err())
		case err := <-signals:
			if err != nil {
				return err
			}
		}
	}
}

// listen passes on the events of the appointment's live stream.
func (p *Patient) listen(ctx context.Context, id string, signals chan<- error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+appointment(id)+"/events", nil)
	if err != nil {
		signals <- err
		return
	}
	stream := &http.Client{Jar: p.http.Jar}
	resp, err := stream.Do(req)
	if err != nil {
		signals <- err
		return
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") || strings.HasPrefix(lines.Text(), "event:") {
			select {
			case signals <- nil:
			default: // a signal is waiting already
			}
		}
	}
	select {
	case signals <- errors.New("the live signal of the page ended"):
	case <-ctx.Done():
	}
}

// Join opens the page of the call and gives the link of the room in it.
func (p *Patient) Join(ctx context.Context, id string) (joinURL string, err error) {
	pg, err := p.open(ctx, appointment(id)+"/call")
	if err != nil {
		return "", err
	}
	room := find(pg.root, func(n *html.Node) bool { return attr(n, "id") == "room" })
	if room == nil {
		return "", fmt.Errorf("the page %s has no call: %s", pg.url.Path, pg.heading())
	}
	if address := attr(room, "data-address"); address != "" { // of a call elsewhere
		return address, nil
	}
	return attr(room, "src"), nil
}

// Rate rates a finished consultation.
func (p *Patient) Rate(ctx context.Context, id, rating, remark string) error {
	pg, err := p.open(ctx, appointment(id))
	if err != nil {
		return err
	}
	_, err = p.submit(ctx, pg, appointment(id)+"/rating", url.Values{"rating": {rating}, "remark": {remark}})
	return err
}

// Inbox gives the text of the messages to the patient.
func (p *Patient) Inbox(ctx context.Context) (string, error) {
	pg, err := p.open(ctx, "/rekodsaya/inbox")
	if err != nil {
		return "", err
	}
	return text(pg.root), nil
}

func (pg *page) heading() string {
	if h := find(pg.root, func(n *html.Node) bool { return n.Data == "h1" }); h != nil {
		return text(h)
	}
	return "no heading"
}

func walk(n *html.Node, visit func(*html.Node)) {
	visit(n)
	for c := range n.ChildNodes() {
		walk(c, visit)
	}
}

func find(n *html.Node, is func(*html.Node) bool) (found *html.Node) {
	walk(n, func(n *html.Node) {
		if found == nil && n.Type == html.ElementNode && is(n) {
			found = n
		}
	})
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	walk(n, func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
	})
	return strings.Join(strings.Fields(b.String()), " ")
}
