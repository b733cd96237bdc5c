// Package desk is the reference source system: the page on which a clinic
// works through its virtual consultations of the day.
//
// It stands on the public SDK (package source) alone, as the system of any
// hospital would, and so proves the interfaces of the exchange every day. It
// keeps no records: the board is read from the exchange again whenever a topic
// says that something happened, and at least every minute. Who may sign in is
// given to it; what a source system may do, the exchange decides.
package desk

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/internal/web/ui"
	"github.com/jumpa-hie/jumpa/source"
)

// Root is where the desk is mounted.
const Root = "/desk/"

// Organization is a facility whose consultations are held here.
type Organization struct {
	ID, Name string
	Client   *source.Client // with the credentials of the facility's system
	Topics   []string       // that announce to it; the usual ones when empty
}

// Practitioner is somebody who signs in to the desk of an organisation.
type Practitioner struct {
	ID, Name     string // of the Practitioner record
	Username     string
	Password     func(string) bool // tells whether a password is right
	Organization string            // id
}

// Options are what the desk is made of. Organizations and Practitioners are
// required. There is one desk for an organisation: two would share its events.
type Options struct {
	Organizations []Organization
	Practitioners []Practitioner
	RoomOrigin    string           // of the video system; "" when the calls are the exchange's own
	Secure        bool             // the public address is https: cookies go nowhere else
	Clock         func() time.Time // time.Now when nil
	Log           *slog.Logger     // slog.Default when nil
}

// Desk serves everything below Root. It is safe for concurrent use.
type Desk struct {
	Options
	pages    *ui.Pages
	static   *ui.Static
	streams  *ui.Streams
	boards   map[string]*board // by organisation
	sessions *sessions
	handler  http.Handler

	cancel context.CancelFunc
	work   sync.WaitGroup
}

//go:embed pages/*.html static
var files embed.FS

// New makes the desk. It fails when a page, a text or an option is not right.
func New(o Options) (*Desk, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	d := &Desk{Options: o, streams: ui.NewStreams(), boards: map[string]*board{}, sessions: newSessions(o.Clock)}
	for _, org := range o.Organizations {
		if org.Client == nil {
			return nil, fmt.Errorf("desk: organisation %q has no client", org.ID)
		}
		d.boards[org.ID] = newBoard(org, o.Clock)
	}
	for _, p := range o.Practitioners {
		if d.boards[p.Organization] == nil || p.Password == nil {
			return nil, fmt.Errorf("desk: practitioner %q has no organisation or no password", p.ID)
		}
	}
	var err error
	if d.pages, d.static, err = ui.Texts.OpenSite(Root, files, template.FuncMap{"dict": dict}, chosenKeys()); err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	d.handler = ui.Secure(d.routes())
	return d, nil
}

// ServeHTTP implements http.Handler for paths below Root.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// Start begins to follow the topics of every organisation.
func (d *Desk) Start(ctx context.Context) {
	ctx, d.cancel = context.WithCancel(ctx)
	for _, b := range d.boards {
		d.work.Go(func() { d.follow(ctx, b) })
		d.work.Go(func() { d.keep(ctx, b) })
	}
}

// Stop ends what Start began, and waits.
func (d *Desk) Stop() {
	d.StopStreams()
	if d.cancel != nil {
		d.cancel()
	}
	d.work.Wait()
}

// StopStreams ends the open streams, so that a server can shut down.
func (d *Desk) StopStreams() { d.streams.Stop() }

const (
	lookEvery = time.Minute     // when no event comes
	pause     = 5 * time.Second // after a failure
)

// follow brings the board up to date with every event. What an event cannot
// tell, such as a booking of the organisation's own, the next reading does.
func (d *Desk) follow(ctx context.Context, b *board) {
	topics := b.org.Topics
	if len(topics) == 0 {
		topics = []string{source.EncounterTopic(b.org.ID), source.AppointmentTopic(b.org.ID)}
	}
	for ctx.Err() == nil {
		err := b.org.Client.Consume(ctx, source.ConsumerConfig{
			Group: "jumpa-desk-" + b.org.ID, Topics: topics,
			Foreign: func(err error) error {
				d.Log.Warn("desk: a message was passed over", "organization", b.org.ID, "error", err)
				return nil
			},
		}, func(_ context.Context, e source.Event) error {
			b.apply(e)
			return nil
		})
		if err != nil {
			d.Log.Error("desk: events cannot be read", "organization", b.org.ID, "error", err)
			wait(ctx, pause)
		}
	}
}

// keep reads the board again when it is stale.
func (d *Desk) keep(ctx context.Context, b *board) {
	for ctx.Err() == nil {
		if err := b.read(ctx); err != nil && ctx.Err() == nil {
			d.Log.Error("desk: the board cannot be read", "organization", b.org.ID, "error", err)
			wait(ctx, pause)
			continue
		}
		select {
		case <-ctx.Done():
		case <-b.stale:
		case <-time.After(lookEvery):
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (d *Desk) routes() http.Handler {
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		who     access
		serve   page
	}{
		{"GET {$}", signed, d.today},
		{"GET events", signed, d.events},
		{"GET sign-in", open, d.door},
		{"POST sign-in", open, d.signIn},
		{"POST sign-out", signed, d.signOut},
		{"GET visits/{id}", signed, d.visit},
		{"GET visits/{id}/call", signed, d.call},
		{"GET visits/{id}/call/tab", signed, d.tab},
		{"POST visits/{id}/start", signed, d.start},
		{"POST visits/{id}/remind", signed, d.remind},
		{"POST visits/{id}/finish", signed, d.finish},
		{"POST visits/{id}/no-show", signed, d.noShow},
		{"POST visits/{id}/cancel", signed, d.cancelVisit},
		{"GET book", signed, d.bookForm},
		{"POST book", signed, d.book},
		{"GET group", signed, d.groupForm},
		{"POST group", signed, d.bookGroup},
		{"GET hours", signed, d.hoursForm},
		{"POST hours", signed, d.openHours},
	} {
		method, path, _ := strings.Cut(route.pattern, " ")
		mux.Handle(method+" "+Root+path, d.wrap(route.who, route.serve))
	}
	mux.Handle("GET "+Root+"static/", d.static)
	mux.Handle(Root, d.wrap(open, func(http.ResponseWriter, *http.Request, *turn) error { return errNothing }))
	return mux
}

var errNothing = errors.New("there is no such page")

// dict gives a template several values: names and values in turn.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict needs pairs")
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("dict needs names")
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}
