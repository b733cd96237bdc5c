// Package portal is RekodSaya, where a patient signs in, sees virtual
// appointments, checks in, waits, joins the video call and rates it.
//
// Pages are rendered on the server in four languages and need no script up to
// the waiting room. The state of an appointment is always asked from the
// consultation; live signals only say "look again". The package keeps no state
// of its own beyond open streams, and it does not decide who may do what: a
// patient sees what the consultation gives to that patient.
package portal

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
)

// Root is where the portal is mounted.
const Root = "/rekodsaya/"

// Consultations is what the portal needs of the consultation.
type Consultations interface {
	Appointments(ctx context.Context, p auth.Principal) ([]consult.View, error)
	Appointment(ctx context.Context, p auth.Principal, id string) (consult.View, error)
	CheckIn(ctx context.Context, p auth.Principal, id string, c consult.Consent) error
	Cancel(ctx context.Context, p auth.Principal, id string) error
	Join(ctx context.Context, p auth.Principal, id string) (meeting.Credentials, error)
	// Rate takes a rating from 1 to 5 and a remark, which may be empty.
	Rate(ctx context.Context, p auth.Principal, id string, rating int, remark string) error
}

// SignIns knows the people and their browsers.
type SignIns interface {
	// SendCode sends a one-time code to the person with this identity number,
	// written in any usual way; it never tells whether the person is known.
	// Errors: fhir.Error value (no identity number), throttled.
	SendCode(ctx context.Context, kind auth.Kind, login string) error
	// SignIn checks a one-time code. activate also activates an account that
	// is not yet active (terms were accepted). Errors: fhir.Error login (wrong
	// or expired), throttled, business-rule (not activated).
	SignIn(ctx context.Context, kind auth.Kind, login, code string, activate bool) (cookie string, err error)
	Lookup(ctx context.Context, kind auth.Kind, cookie string) (p auth.Principal, csrf string, err error)
	SignOut(ctx context.Context, cookie string) error
}

// Inbox holds the messages to a patient, newest first.
type Inbox interface {
	Inbox(ctx context.Context, p auth.Principal) ([]store.Notification, error)
	MarkRead(ctx context.Context, p auth.Principal) error
}

// Signals wake the open pages of a patient.
type Signals interface {
	Subscribe(keys ...string) (<-chan struct{}, func())
}

// DevMessage is a one-time code that demo mode shows instead of sending.
type DevMessage struct {
	To   string // masked
	Code string
	At   time.Time
}

// Options are what the portal is made of. All but the last five are required.
type Options struct {
	Consultations Consultations
	SignIns       SignIns
	Inbox         Inbox
	Signals       Signals
	// RoomOrigin is the origin of the video system, such as
	// https://meet.example; "" when it is the exchange's own.
	RoomOrigin string
	// Secure says that the public address is https: cookies go nowhere else.
	Secure bool
	// Key seals the cookie of a sign-in in progress: 32 bytes, the same on
	// every node. Without it, sign-ins in progress end with the process.
	Key []byte
	// DevMessages gives the codes last sent; nil outside demo mode, and then
	// there is no page that shows them.
	DevMessages func() []DevMessage
	Clock       func() time.Time // time.Now when nil
	Log         *slog.Logger     // slog.Default when nil
}

// Portal serves everything below Root. It is safe for concurrent use.
type Portal struct {
	Options
	pages   *ui.Pages
	static  *ui.Static
	seal    sealer
	handler http.Handler
	streams *ui.Streams
}

//go:embed pages/*.html static
var files embed.FS

// New makes the portal. It fails when a page or a text is not right, so that
// a fault shows when the program starts and not when a patient comes.
func New(o Options) (*Portal, error) {
	if o.Consultations == nil || o.SignIns == nil || o.Inbox == nil || o.Signals == nil {
		return nil, errors.New("portal: consultations, sign-ins, inbox and signals are required")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Key == nil {
		o.Key = make([]byte, 32)
		_, _ = rand.Read(o.Key) // never fails
	}
	p := &Portal{Options: o, streams: ui.NewStreams()}
	var err error
	if p.seal, err = newSealer(o.Key); err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	if p.pages, p.static, err = ui.Texts.OpenSite(Root, files, nil, chosenKeys()); err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	p.handler = ui.Secure(p.routes())
	return p, nil
}

// ServeHTTP implements http.Handler for paths below Root.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// Stop ends the open streams, so that a server can shut down; browsers come
// back by themselves. It may be called more than once.
func (p *Portal) Stop() { p.streams.Stop() }

// access says who may open a page.
type access bool

const (
	open   access = false
	signed access = true
)

func (p *Portal) routes() http.Handler {
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		who     access
		serve   page
	}{
		{"GET {$}", open, p.start},
		{"GET terms", open, p.terms},
		{"GET sign-in", open, p.signIn},
		{"POST sign-in", open, p.sendCode},
		{"GET activate", open, p.activate},
		{"POST activate", open, p.sendActivation},
		{"GET sign-in/code", open, p.code},
		{"POST sign-in/code", open, p.enterCode},
		{"POST sign-in/again", open, p.sendAgain},
		{"POST sign-out", signed, p.signOut},
		{"GET device-test", open, p.device},
		{"GET appointments", signed, p.list},
		{"GET appointments/{id}", signed, p.appointment},
		{"GET appointments/{id}/events", signed, p.events},
		{"GET appointments/{id}/check-in", signed, p.consent},
		{"POST appointments/{id}/check-in", signed, p.checkIn},
		{"GET appointments/{id}/cancel", signed, p.mayCancel},
		{"POST appointments/{id}/cancel", signed, p.cancel},
		{"GET appointments/{id}/call", signed, p.call},
		{"GET appointments/{id}/call/tab", signed, p.tab},
		{"GET appointments/{id}/present", signed, p.present},
		{"POST appointments/{id}/rating", signed, p.rate},
		{"GET inbox", signed, p.inbox},
		{"POST inbox/read", signed, p.markRead},
		{"GET dev/inbox", open, p.devInbox},
	} {
		method, path, _ := strings.Cut(route.pattern, " ")
		mux.Handle(method+" "+Root+path, p.wrap(route.who, route.serve))
	}
	mux.Handle("GET "+Root+"static/", p.static)
	mux.Handle(Root, p.wrap(open, p.nothing))
	return mux
}
