// Package jitsitest plays a Jitsi Meet as far as the exchange can see one:
// Prosody's token check, reservation client, events, and the HTTP modules that
// end calls, remove people and count.
//
// It is written from the documented behaviour and carries no media. It can be
// slow, refuse, repeat, reorder and lie when told to.
package jitsitest

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Options say how the server is set up, as an operator does in Prosody's
// configuration.
type Options struct {
	Issuer       string
	Audience     string
	XMPPDomain   string
	LoginKeys    string // asap_key_server
	SystemKeys   string // prosody_password_public_key_repo_url
	Reservations string // reservations_api_prefix; "" for none
	Events       string // api_prefix of event_sync; "" for none
	Bearer       string // api_headers of both
	Secret       []byte // app_secret; turns RS256 off
	Clock        func() time.Time
}

// Faults are what goes wrong. The zero value is a good server.
type Faults struct {
	Hang         bool   // control calls get no answer until the client gives up
	Status       int    // control calls are answered with this alone
	Body         string // the census answers with this
	EmptyCensus  bool   // the census says that there are no calls
	PretendEnd   bool   // end-meeting says 200 and ends nothing
	PretendGone  bool   // end-meeting says 404 and ends nothing
	PretendKick  bool   // kick-participant says 200 and removes nobody
	EndsToIgnore int    // so many end-meetings are answered with 200 and not done
	LoseEvents   bool
	RepeatEvents bool // every event is sent twice
	HoldEvents   bool // events wait for Deliver
}

// Server is the video system.
type Server struct {
	opts   Options
	http   *httptest.Server
	client *http.Client
	closed chan struct{}

	mu     sync.Mutex
	faults Faults
	keys   map[string]*rsa.PublicKey
	rooms  map[string]*room
	calls  map[string]int
	called chan struct{} // closed at the next call
	held   []func() error
	tokens []string // shown in control calls
}

type room struct {
	created     time.Time
	reservation string
	occupants   []*Occupant
	past        []*Occupant
}

// Occupant is somebody in a room.
type Occupant struct {
	Affiliation string // owner or member
	Nick        string

	server *Server
	room   string
	jid    string
	joined time.Time
	left   time.Time
	name   any
	id     any
}

// New starts a server; Close stops it.
func New(opts Options) *Server {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	s := &Server{
		opts: opts, client: &http.Client{Timeout: 30 * time.Second}, closed: make(chan struct{}),
		keys: map[string]*rsa.PublicKey{}, rooms: map[string]*room{}, calls: map[string]int{}, called: make(chan struct{}),
	}
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"POST /end-meeting": s.endMeeting, "PUT /kick-participant": s.kick, "GET /room-census": s.census,
	} {
		mux.HandleFunc(pattern, s.faulty(serve))
	}
	s.http = httptest.NewServer(mux)
	return s
}

// Close stops the server.
func (s *Server) Close() {
	close(s.closed)
	s.http.Close()
	s.client.CloseIdleConnections()
}

// URL is the address of Prosody's HTTP port.
func (s *Server) URL() string { return s.http.URL }

// MUC is the component of the rooms.
func (s *Server) MUC() string { return "muc." + s.opts.XMPPDomain }

// Configure sets what depends on the exchange's own address.
func (s *Server) Configure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.opts)
}

// Behave changes what goes wrong.
func (s *Server) Behave(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

func (s *Server) behaviour() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// Calls counts the requests to one path.
func (s *Server) Calls(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

// Called waits until there were n requests to one path.
func (s *Server) Called(ctx context.Context, path string, n int) error {
	for {
		s.mu.Lock()
		have, next := s.calls[path], s.called
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("%d requests to %s, want %d: %w", have, path, n, ctx.Err())
		}
	}
}

// Shown gives the tokens that control calls carried.
func (s *Server) Shown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}

// Open tells whether a room exists, whatever the census says.
func (s *Server) Open(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[name] != nil
}

// ErrWaiting is the answer to somebody who is held in the lobby.
var ErrWaiting = errors.New("registration-required")

// Refusal is what the person reads when a reservation is refused.
type Refusal struct {
	Status  int
	Message string
}

// Error implements error.
func (e *Refusal) Error() string { return fmt.Sprintf("reservation-error %d: %s", e.Status, e.Message) }

// Join logs in with a token and enters a room, opening it when it is the first.
func (s *Server) Join(ctx context.Context, token, name string) (*Occupant, error) {
	t, err := s.Verify(ctx, s.opts.LoginKeys, token)
	if err != nil {
		return nil, err
	}
	if strings.ToLower(t.text("room")) != name || t.text("sub") != s.opts.XMPPDomain {
		return nil, errors.New("not-allowed: room and token mismatched")
	}
	o := &Occupant{server: s, room: name, Affiliation: "member", name: t.User["name"], id: t.User["id"]}
	if m := t.User["moderator"]; m == true || m == "true" {
		o.Affiliation = "owner"
	}
	return o, s.enter(ctx, o, t.User["lobby_bypass"] == true)
}

// Intrude enters a room without any token, as on a server that is set up wrong.
func (s *Server) Intrude(ctx context.Context, name string) (*Occupant, error) {
	o := &Occupant{server: s, room: name, Affiliation: "member"}
	return o, s.enter(ctx, o, true)
}

func (s *Server) enter(ctx context.Context, o *Occupant, bypass bool) error {
	if !s.Open(o.room) {
		id, lobby, err := s.reserve(ctx, o.room)
		if err != nil {
			return err
		}
		if lobby && !bypass {
			return ErrWaiting
		}
		s.mu.Lock()
		s.rooms[o.room] = &room{created: s.opts.Clock(), reservation: id}
		s.mu.Unlock()
		if err := s.send("/events/room/created", s.event(o.room, "muc-room-created", nil)); err != nil {
			return err
		}
	}
	node := uuid.NewString()
	o.jid, o.joined = node+"@"+s.opts.XMPPDomain+"/"+node[:6], s.opts.Clock()
	o.Nick, _, _ = strings.Cut(node, "-")
	s.mu.Lock()
	r := s.rooms[o.room]
	r.occupants = append(r.occupants, o)
	r.past = append(r.past, o)
	s.mu.Unlock()
	return s.send("/events/occupant/joined", s.event(o.room, "muc-occupant-joined", o))
}

// Leave leaves the room; with the last one it is destroyed.
func (o *Occupant) Leave() error {
	s := o.server
	s.mu.Lock()
	r := s.rooms[o.room]
	if r == nil || !slices.Contains(r.occupants, o) {
		s.mu.Unlock()
		return nil
	}
	r.occupants = slices.DeleteFunc(r.occupants, func(other *Occupant) bool { return other == o })
	o.left = s.opts.Clock()
	last := len(r.occupants) == 0
	s.mu.Unlock()
	err := s.send("/events/occupant/left", s.event(o.room, "muc-occupant-left", o))
	if last {
		err = errors.Join(err, s.destroy(o.room))
	}
	return err
}

// destroy ends a room. The end of the room and of the reservation are told
// before the leaving of those who were inside.
func (s *Server) destroy(name string) error {
	now := s.opts.Clock()
	s.mu.Lock()
	r := s.rooms[name]
	if r == nil {
		s.mu.Unlock()
		return nil
	}
	delete(s.rooms, name)
	inside := slices.Clone(r.occupants)
	for _, o := range inside {
		o.left = now
	}
	s.mu.Unlock()
	gone := s.event(name, "muc-room-destroyed", nil)
	gone["created_at"], gone["destroyed_at"] = r.created.Unix(), now.Unix()
	all := []any{}
	for _, o := range r.past {
		all = append(all, o.body())
	}
	gone["all_occupants"] = all
	err := s.send("/events/room/destroyed", gone)
	if r.reservation != "" {
		_, _ = s.call(context.Background(), http.MethodDelete, s.opts.Reservations+"/conference/"+r.reservation, "", nil, nil)
	}
	for _, o := range inside {
		err = errors.Join(err, s.send("/events/occupant/left", s.event(name, "muc-occupant-left", o)))
	}
	return err
}

// reserve asks whether a room may open.
func (s *Server) reserve(ctx context.Context, name string) (id string, lobby bool, err error) {
	if s.opts.Reservations == "" {
		return "", false, nil
	}
	form := url.Values{
		"name": {name}, "start_time": {s.opts.Clock().UTC().Format("2006-01-02T15:04:05.000Z")},
		"mail_owner": {uuid.NewString() + "@" + s.opts.XMPPDomain},
	}
	var answer struct {
		ID        *string `json:"id"`
		Name      *string `json:"name"`
		MailOwner *string `json:"mail_owner"`
		StartTime *string `json:"start_time"`
		Duration  *int    `json:"duration"`
		Lobby     bool    `json:"lobby"`
		Conflict  string  `json:"conflict_id"`
		Message   string  `json:"message"`
	}
	const urlencoded = "application/x-www-form-urlencoded"
	status, err := s.call(ctx, http.MethodPost, s.opts.Reservations+"/conference", urlencoded, []byte(form.Encode()), &answer)
	if err == nil && status == http.StatusConflict {
		status, err = s.call(ctx, http.MethodGet, s.opts.Reservations+"/conference/"+answer.Conflict, "", nil, &answer)
	}
	switch {
	case err != nil:
		return "", false, err
	case status != http.StatusOK && status != http.StatusCreated:
		return "", false, &Refusal{Status: status, Message: answer.Message}
	case answer.ID == nil || answer.Name == nil || answer.MailOwner == nil || answer.StartTime == nil || answer.Duration == nil:
		return "", false, errors.New("the reservation lacks one of its five fields")
	case !strings.EqualFold(*answer.Name, name):
		return "", false, errors.New("the reservation is for another room")
	}
	return *answer.ID, answer.Lobby, nil
}

func (s *Server) event(name, what string, o *Occupant) map[string]any {
	e := map[string]any{"event_name": what, "room_name": name, "room_jid": name + "@" + s.MUC(), "is_breakout": false}
	if o != nil {
		e["occupant"] = o.body()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[name]; r != nil {
		e["created_at"], e["active_occupants_count"] = r.created.Unix(), len(r.occupants)
	}
	return e
}

func (o *Occupant) body() map[string]any {
	b := map[string]any{"occupant_jid": o.jid, "joined_at": o.joined.Unix()}
	for name, value := range map[string]any{"name": o.name, "id": o.id} {
		if value != nil {
			b[name] = value
		}
	}
	if !o.left.IsZero() {
		b["left_at"] = o.left.Unix()
	}
	return b
}

func (s *Server) send(path string, event map[string]any) error {
	if s.opts.Events == "" {
		return nil
	}
	f := s.behaviour()
	if f.LoseEvents {
		return nil
	}
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	deliver := func() error {
		status, err := s.call(context.Background(), http.MethodPost, s.opts.Events+path, "application/json", body, nil)
		if err == nil && status/100 != 2 {
			err = fmt.Errorf("%s was answered with %d", path, status)
		}
		return err
	}
	times := 1
	if f.RepeatEvents {
		times = 2
	}
	for range times {
		if f.HoldEvents {
			s.mu.Lock()
			s.held = append(s.held, deliver)
			s.mu.Unlock()
		} else if err := deliver(); err != nil {
			return err
		}
	}
	return nil
}

// Deliver sends the held events, the last one first.
func (s *Server) Deliver() error {
	s.mu.Lock()
	held := s.held
	s.held = nil
	s.mu.Unlock()
	slices.Reverse(held)
	var all error
	for _, deliver := range held {
		all = errors.Join(all, deliver())
	}
	return all
}

func (s *Server) call(ctx context.Context, method, address, contentType string, body []byte, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.opts.Bearer)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	return resp.StatusCode, err
}

// faulty counts a control call and lets it go wrong.
func (s *Server) faulty(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[r.URL.Path]++
		close(s.called)
		s.called = make(chan struct{})
		f := s.faults
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			s.tokens = append(s.tokens, token)
		}
		s.mu.Unlock()
		switch {
		case f.Hang:
			_, _ = io.Copy(io.Discard, r.Body) // so that the end of the client is noticed
			select {
			case <-r.Context().Done():
			case <-s.closed:
			}
		case f.Status != 0:
			w.WriteHeader(f.Status)
		case r.Host != s.opts.XMPPDomain:
			w.WriteHeader(http.StatusNotFound) // no such virtual host
		default:
			next(w, r)
		}
	}
}

func (s *Server) systemToken(r *http.Request) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, err := s.Verify(r.Context(), s.opts.SystemKeys, token)
	return err == nil
}

func (s *Server) endMeeting(w http.ResponseWriter, r *http.Request) {
	name, domain, _ := strings.Cut(r.URL.Query().Get("conference"), "@")
	f := s.behaviour()
	switch {
	case name == "" || domain != s.MUC():
		w.WriteHeader(http.StatusBadRequest)
	case !s.systemToken(r):
		w.WriteHeader(http.StatusUnauthorized)
	case f.PretendGone, !s.Open(name):
		w.WriteHeader(http.StatusNotFound)
	case f.PretendEnd, f.EndsToIgnore > 0:
		s.mu.Lock()
		s.faults.EndsToIgnore = max(0, s.faults.EndsToIgnore-1)
		s.mu.Unlock()
		w.WriteHeader(http.StatusOK)
	default:
		if err := s.destroy(name); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

func (s *Server) kick(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ParticipantID string `json:"participantId"`
	}
	name := r.URL.Query().Get("room")
	switch {
	case r.Header.Get("Content-Type") != "application/json", json.NewDecoder(r.Body).Decode(&body) != nil, body.ParticipantID == "":
		w.WriteHeader(http.StatusBadRequest)
		return
	case !s.systemToken(r):
		w.WriteHeader(http.StatusForbidden)
		return
	case s.behaviour().PretendKick:
		return
	}
	s.mu.Lock()
	var found *Occupant
	if r := s.rooms[name]; r != nil {
		for _, o := range r.occupants {
			if o.Nick == body.ParticipantID {
				found = o
			}
		}
	}
	s.mu.Unlock()
	if found == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err := found.Leave(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *Server) census(w http.ResponseWriter, _ *http.Request) {
	f := s.behaviour()
	if f.Body != "" {
		_, _ = w.Write([]byte(f.Body))
		return
	}
	rooms := []map[string]any{}
	s.mu.Lock()
	for name, r := range s.rooms {
		if !f.EmptyCensus {
			rooms = append(rooms, map[string]any{
				"room_name": name + "@" + s.MUC(), "participants": len(r.occupants),
				"created_time": strconv.FormatInt(r.created.UnixMilli(), 10), "leaked": false,
			})
		}
	}
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"room_census": rooms})
}
