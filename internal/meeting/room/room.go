// Package room is the video call that comes with the exchange: a web page and
// a small media server behind it, nothing else to install.
//
// Everybody sends to the server and the server forwards (it never decodes,
// mixes or stores), through one UDP port, for two people as for thirty. People
// enter with a JWT of five minutes; a lost connection keeps its seat for a
// minute and is resumed with a ticket. The package does not know appointments:
// it asks meeting.Admission who may enter and tells it who came and went.
//
// Limit: it does not cascade over several machines, does not adapt the picture
// to each receiver, and needs the people to reach the server's UDP port
// directly. Jitsi Meet is the video system for production.
package room

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
)

const (
	defaultUDPAddr         = "127.0.0.1:0"
	defaultMaxParticipants = 30
	defaultMaxRooms        = 200
	minSecret              = 32
	seatKept               = 60 * time.Second // after a lost connection
	idleKept               = 10 * time.Minute // of a room without people
	endedKept              = 24 * time.Hour   // credentials live for minutes
	maxEnded               = 10_000
	maxWaiting             = 256 // sockets that have not entered yet
	sweepInterval          = time.Second
)

// Options of a Room. PublicURL gives the address under which browsers reach
// the exchange ("https://vc.example.org") and Secret, at least 32 bytes, signs
// the credentials; both are required, the rest has defaults.
type Options struct {
	PublicURL       func() string
	UDPAddr         string // host:port of the media; 127.0.0.1 and a free port when empty
	Secret          []byte
	Clock           func() time.Time
	Admission       meeting.Admission // nobody enters while there is none
	FrameAncestors  []string          // origins that may embed the page, beside the exchange's own
	MaxParticipants int               // per room, 30 when 0
	MaxRooms        int               // open at a time, 200 when 0
	Log             *slog.Logger
}

// Room is the embedded video system. It implements meeting.Provider.
type Room struct {
	opts    Options
	signer  jose.Signer
	page    *page
	notices *notices
	waiting chan struct{} // one place per socket that has not entered yet

	mu        sync.Mutex
	admission meeting.Admission
	media     *media
	calls     map[string]*call
	ended     map[string]time.Time
	ctx       context.Context // of the service, between Start and Stop
	cancel    context.CancelFunc
	sockets   sync.WaitGroup
	loops     sync.WaitGroup
}

var _ meeting.Provider = (*Room)(nil)

// New checks the options and makes a Room that Start will open.
func New(opts Options) (*Room, error) {
	if opts.PublicURL == nil {
		return nil, errors.New("room: PublicURL is required")
	}
	if len(opts.Secret) < minSecret {
		return nil, errors.New("room: Secret needs at least 32 bytes")
	}
	if opts.UDPAddr == "" {
		opts.UDPAddr = defaultUDPAddr
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.MaxParticipants <= 0 {
		opts.MaxParticipants = defaultMaxParticipants
	}
	if opts.MaxRooms <= 0 {
		opts.MaxRooms = defaultMaxRooms
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: opts.Secret}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	p, err := newPage(opts.FrameAncestors)
	if err != nil {
		return nil, err
	}
	return &Room{
		opts: opts, signer: signer, page: p, notices: newNotices(), admission: opts.Admission,
		waiting: make(chan struct{}, maxWaiting), calls: map[string]*call{}, ended: map[string]time.Time{},
	}, nil
}

// SetAdmission names who decides on entry, for a wiring in which that one is
// made after the Room.
func (r *Room) SetAdmission(a meeting.Admission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admission = a
}

func (r *Room) currentAdmission() meeting.Admission {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.admission
}

// Start opens the UDP port. Calls go on until Stop or the end of ctx.
func (r *Room) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.media != nil {
		return errors.New("room: already started")
	}
	m, err := listenMedia(r.opts.UDPAddr)
	if err != nil {
		return err
	}
	r.media = m
	r.ctx, r.cancel = context.WithCancel(ctx)
	run := r.ctx
	r.loops.Go(func() { r.notices.run(run) })
	r.loops.Go(func() { r.watch(run) })
	return nil
}

// Stop closes every call without ending it: people who come back after a
// restart are let in again. It blocks until all is closed.
func (r *Room) Stop() {
	r.mu.Lock()
	m, cancel := r.media, r.cancel
	r.media = nil
	calls := r.calls
	r.calls = map[string]*call{}
	r.mu.Unlock()
	if m == nil {
		r.loops.Wait()
		return
	}
	for _, c := range calls {
		c.suspend()
	}
	cancel()
	r.sockets.Wait()
	r.loops.Wait()
	m.close()
}

// UDPAddr gives the address of the media port; nil before Start.
func (r *Room) UDPAddr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.media == nil {
		return nil
	}
	return r.media.conn.LocalAddr()
}

// End closes the room for everybody, for good. A room that never opened, or
// that has ended already, is no error.
func (r *Room) End(_ context.Context, room string) error {
	if !roomName.MatchString(room) {
		return fhir.Errorf(fhir.CodeValue, "", "The name of the call room is not valid.")
	}
	r.mu.Lock()
	c := r.calls[room]
	delete(r.calls, room)
	if _, ok := r.ended[room]; !ok {
		r.ended[room] = r.opts.Clock()
	}
	r.mu.Unlock()
	if c != nil {
		c.end()
	}
	return nil
}

func (r *Room) hasEnded(room string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.ended[room]
	return ok
}

// Present gives the people who hold a seat in the room, in the order of their
// coming; somebody whose connection is lost holds it for a minute.
func (r *Room) Present(_ context.Context, room string) ([]meeting.Person, error) {
	r.mu.Lock()
	c := r.calls[room]
	r.mu.Unlock()
	if c == nil {
		return nil, nil
	}
	return c.present(), nil
}

// Counts gives the number of open rooms and of the people in them.
func (r *Room) Counts(context.Context) (rooms, people int, err error) {
	for _, c := range r.openCalls() {
		rooms++
		people += len(c.present())
	}
	return rooms, people, nil
}

func (r *Room) openCalls() []*call {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*call, 0, len(r.calls))
	for _, c := range r.calls {
		all = append(all, c)
	}
	return all
}

// open finds the call of a room or makes it.
func (r *Room) open(room string) (*call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, over := r.ended[room]; over {
		return nil, refusal(codeEnded)
	}
	if r.media == nil {
		return nil, refusal(codeUnavailable)
	}
	if c := r.calls[room]; c != nil {
		return c, nil
	}
	if len(r.calls) >= r.opts.MaxRooms {
		return nil, refusal(codeUnavailable)
	}
	c := newCall(r, room)
	r.calls[room] = c
	return c, nil
}

// watch gives up seats, renews tickets and collects idle rooms.
func (r *Room) watch(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.sweep()
		}
	}
}

func (r *Room) sweep() {
	now := r.opts.Clock()
	for _, c := range r.openCalls() {
		if c.sweep(now) {
			r.mu.Lock()
			if r.calls[c.name] == c {
				delete(r.calls, c.name)
			}
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, at := range r.ended {
		if now.Sub(at) >= endedKept || len(r.ended) > maxEnded {
			delete(r.ended, room)
		}
	}
}

// begin counts a socket in, unless the Room is stopped.
func (r *Room) begin() (context.Context, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.media == nil {
		return nil, false
	}
	r.sockets.Add(1)
	return r.ctx, true
}

func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Host
}

// Handler serves the page and its socket; mount it at /room/.
func (r *Room) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /room/{room}", r.servePage)
	mux.HandleFunc("GET /room/{room}/socket", r.serveSocket)
	for _, name := range staticFiles {
		mux.Handle("GET /room/static/"+name, r.page.static)
	}
	return mux
}
